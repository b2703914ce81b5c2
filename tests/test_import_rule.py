"""Who may import whom, one way; and no torch behind the two plain imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOMS = ("datasets", "transforms", "evaluation", "hooks", "engine", "models", "visualization")

#: room -> rooms of ours that it may import (itself is always allowed)
MAY_IMPORT: dict[str, set[str]] = {
    "fashion_mmdet.core": set(),
    "fashion_mmdet.compat": set(),
    "datasets_tools": {"fashion_mmdet.core"},
    **{f"fashion_mmdet.{room}": {"fashion_mmdet.core"} for room in ROOMS},
    "fashion_mmdet.reports": {"fashion_mmdet.core", "datasets_tools"},
    "fashion_mmdet.sweeps": {"fashion_mmdet.core", "fashion_mmdet.reports", "datasets_tools"},
    "fashion_mmdet.tuning": {"fashion_mmdet.core", "fashion_mmdet.reports", "datasets_tools"},
    "fashion_mmdet.register": {f"fashion_mmdet.{room}" for room in ROOMS},
    "fashion_mmdet.inference": {
        "datasets_tools",
        "fashion_mmdet.core",
        "fashion_mmdet.register",
        "fashion_mmdet.visualization",
    },
    "fashion_mmdet.commands": {
        "datasets_tools",
        "fashion_mmdet.inference",
        "fashion_mmdet.core",
        "fashion_mmdet.compat",
        "fashion_mmdet.register",
        "fashion_mmdet.reports",
        "fashion_mmdet.sweeps",
        "fashion_mmdet.tuning",
    },
    "fashion_mmdet.__main__": {"fashion_mmdet.commands"},
}
#: what core may import from outside
CORE_NEEDS = {"numpy", "pycocotools", "faster_coco_eval"}
TOOLS_NEED = CORE_NEEDS | {
    "pandas", "scipy", "PIL", "cv2", "matplotlib", "tqdm", "jinja2", "imagehash", "iterstrat",
    "yaml",
}  # fmt: skip
SWEEPS_NEED = TOOLS_NEED | {"optuna", "sqlalchemy", "rich", "terminaltables"}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] != "fashion_mmdet" else ".".join(parts[:2])


def imports_of(path: Path, repo: Path) -> set[str]:
    """Return the absolute names of all modules that a file imports, relative ones resolved."""
    package = list(path.relative_to(repo).with_suffix("").parts)
    if package[-1] == "__init__":
        package = [*package[:-1], ""]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{stem}.{alias.name}" for alias in node.names} | {stem}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                found.add(str(node.args[0].value))
    return found


def files() -> list[Path]:
    return sorted(
        p for top in ("fashion_mmdet", "datasets_tools") for p in (REPO / top).rglob("*.py")
    )


def violations(path: Path, repo: Path = REPO) -> list[str]:
    module = ".".join(path.relative_to(repo).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    out = []
    for name in imports_of(path, repo):
        top = name.split(".")[0]
        if top in ("tests", "configs", "work_dirs"):
            out.append(f"{module} imports {name}")
        if top not in ("fashion_mmdet", "datasets_tools"):
            limit = {
                "fashion_mmdet.core": CORE_NEEDS,
                "datasets_tools": TOOLS_NEED,
                "fashion_mmdet.reports": TOOLS_NEED,
                "fashion_mmdet.sweeps": SWEEPS_NEED,
                "fashion_mmdet.tuning": TOOLS_NEED,
            }.get(room)
            if limit is not None and top not in limit | sys.stdlib_module_names:
                out.append(f"{module} imports {name}")
            continue
        target = room_of(name)
        if target not in (room, "fashion_mmdet", "fashion_mmdet.__version__"):
            if target not in MAY_IMPORT.get(room, set()):
                out.append(f"{module} imports {name}")
    return out


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(REPO)))
def test_import_rule_of_each_file_holds(path: Path) -> None:
    assert violations(path) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("fashion_mmdet/core/a.py", "import torch"),
        ("fashion_mmdet/core/a.py", "from fashion_mmdet.datasets import x"),
        ("fashion_mmdet/hooks/a.py", "from ..datasets.fashion_dataset import x"),
        ("fashion_mmdet/compat/a.py", "from fashion_mmdet.core.errors import x"),
        ("datasets_tools/a.py", "import fashion_mmdet.register"),
        ("datasets_tools/a.py", "import mmengine"),
        ("datasets_tools/a.py", "import fashion_mmdet.reports.runs"),
        ("fashion_mmdet/reports/a.py", "import torch"),
        ("fashion_mmdet/reports/a.py", "import fashion_mmdet.commands"),
        ("fashion_mmdet/reports/a.py", "import fashion_mmdet.sweeps.record"),
        ("fashion_mmdet/reports/a.py", "import optuna"),
        ("fashion_mmdet/sweeps/a.py", "import torch"),
        ("fashion_mmdet/tuning/a.py", "import torch"),
        ("fashion_mmdet/tuning/a.py", "import fashion_mmdet.sweeps.record"),
        ("fashion_mmdet/reports/a.py", "import fashion_mmdet.tuning"),
        ("fashion_mmdet/sweeps/a.py", "from mmengine.config import Config"),
        ("fashion_mmdet/sweeps/a.py", "from fashion_mmdet.commands import configs"),
        ("fashion_mmdet/hooks/a.py", "from fashion_mmdet.sweeps.record import x"),
        ("datasets_tools/a.py", "importlib.import_module('torch')"),
        ("fashion_mmdet/hooks/a.py", "__import__('fashion_mmdet.commands.train')"),
        ("fashion_mmdet/engine/a.py", "import tests.conftest"),
    ],
)
def test_import_rule_broken_is_found(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"def f():\n    {line}\n")
    assert violations(path, tmp_path)


def test_every_room_is_under_the_rule() -> None:
    rooms = {room_of(".".join(p.relative_to(REPO).with_suffix("").parts)) for p in files()}
    assert rooms <= set(MAY_IMPORT) | {"fashion_mmdet.__init__"}


@pytest.mark.parametrize(
    "module",
    [
        "fashion_mmdet",
        "fashion_mmdet.compat",
        "fashion_mmdet.commands",
        "fashion_mmdet.inference",
        "fashion_mmdet.reports",
        "fashion_mmdet.sweeps",
        "fashion_mmdet.tuning",
        "datasets_tools",
    ],
)
def test_plain_import_pulls_in_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'mmengine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("room", ["datasets_tools", "fashion_mmdet/sweeps", "fashion_mmdet/tuning"])
def test_every_module_of_a_plain_room_pulls_in_no_torch(room: str) -> None:
    found = (REPO / room).rglob("*.py")
    modules = [".".join(p.relative_to(REPO).with_suffix("").parts) for p in found]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
