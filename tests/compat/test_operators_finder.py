"""The finder of ``mmcv._ext``: who answers, when, and without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_mmdet.compat import operators_finder as finder


def _run(code: str, *path: Path) -> str:
    """Run ``code`` in a fresh interpreter that sees ``path`` before what is installed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FASHION_COMPAT")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _fake_mmcv(folder: Path, compiled: bool) -> Path:
    package = folder / "mmcv"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if compiled:
        (package / "_ext.py").write_text("nms = 'the compiled one'\n")
    return folder


def test_install_twice_adds_one_finder_at_the_end() -> None:
    code = (
        "import sys\n"
        "from fashion_mmdet.compat import operators_finder as f\n"
        "before = list(sys.meta_path)\n"
        "f.install(); f.install()\n"
        "assert sys.meta_path[:-1] == before\n"
        "print(type(sys.meta_path[-1]).__module__)"
    )
    assert _run(code) == "fashion_mmdet.compat.operators_finder"


def test_install_and_backend_import_neither_torch_nor_mmcv() -> None:
    code = (
        "import sys\n"
        "from fashion_mmdet.compat import operators_finder as f\n"
        "f.install(); f.backend()\n"
        "print(sorted({'torch', 'torchvision', 'mmcv', 'mmengine'} & set(sys.modules)))"
    )
    assert _run(code) == "[]"


def test_finder_other_modules_are_not_answered() -> None:
    answers = [
        finder._OperatorsFinder().find_spec(name)
        for name in ("mmcv", "mmcv._ext2", "mmcv._ext.nms", "_ext", "torch")
    ]
    assert answers == [None] * 5


def test_finder_compiled_mmcv_present_wins(tmp_path: Path) -> None:
    code = (
        "from fashion_mmdet.compat import operators_finder as f\n"
        "f.install()\n"
        "import mmcv._ext\n"
        "print(mmcv._ext.nms, '|', f.backend())"
    )
    folder = _fake_mmcv(tmp_path, compiled=True)
    assert _run(code, folder) == "the compiled one | compiled mmcv"


def test_finder_no_compiled_mmcv_gives_a_spec_with_a_loader(tmp_path: Path) -> None:
    code = (
        "import importlib.util\n"
        "from fashion_mmdet.compat import operators_finder as f\n"
        "print(importlib.util.find_spec('mmcv._ext'), f.backend())\n"
        "f.install()\n"
        "spec = importlib.util.find_spec('mmcv._ext')\n"
        "print(spec.name, spec.loader is not None)"
    )
    folder = _fake_mmcv(tmp_path, compiled=False)
    assert _run(code, folder).splitlines() == ["None none", "mmcv._ext True"]


def test_missing_operator_called_raises_an_error_that_names_it_and_the_remedy() -> None:
    operator = finder.missing_operator("carafe_forward")
    with pytest.raises(finder.OperatorMissingError) as raised:
        operator(1, masks=2)
    message = str(raised.value)
    assert message.startswith("mmcv operator 'carafe_forward': expected ")
    assert "mmcv==2.1.0 --no-build-isolation" in message
    assert "FPN upsampling" in message  # the stock alternative
    assert isinstance(raised.value, NotImplementedError)


def test_missing_operator_without_alternative_suggests_none() -> None:
    with pytest.raises(finder.OperatorMissingError, match=r"--no-build-isolation`\.$"):
        finder.missing_operator("ball_query_forward")()


@pytest.mark.parametrize("name", ["__path__", "__wrapped__", "_private"])
def test_extension_private_name_raises_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        finder._extension_getattr(name)
