"""The notebook: what is committed of it, that its commands are ours, and that it runs."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.commands import COMMANDS, main

nbformat = pytest.importorskip("nbformat")

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "fashion.ipynb"
BOOK = nbformat.read(NOTEBOOK, as_version=4)
#: What stands for an expression in a command, where a name will not do.
_VALUES = {"IMAGES": "30", "SHARES": "0.5 0.25 0.25"}


def source(cell_id: str) -> str:
    """Return the text of one cell."""
    (text,) = [cell.source for cell in BOOK.cells if cell.id == cell_id]
    return text


def examples() -> list[str]:
    """Return the Python that texts tell the reader to put in."""
    texts = [cell.source for cell in BOOK.cells if cell.cell_type == "markdown"]
    return [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.S)]


def commands() -> Iterator[str]:
    """Yield every line that is given to ``sh``, expressions in it replaced by words."""
    codes = [cell.source for cell in BOOK.cells if cell.cell_type == "code"]
    for text in [*codes, *examples()]:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "sh":
                yield "".join(_words(node.args[0]))


def _words(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from _words(part)
    elif isinstance(node, ast.FormattedValue):
        yield _VALUES.get(ast.unparse(node.value), "x")
    else:
        yield str(ast.literal_eval(node))


COMMAND_LINES = list(commands())


def test_notebook_is_valid_and_holds_no_results() -> None:
    nbformat.validate(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    assert (BOOK.nbformat, BOOK.nbformat_minor) == (4, 5)
    assert BOOK.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in BOOK.cells]
    assert len(set(ids)) == len(ids) > 20
    codes = [cell for cell in BOOK.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in codes] == [[]] * len(codes)
    assert {cell.execution_count for cell in codes} == {None}


def test_notebook_names_no_machine_and_no_shell_magic() -> None:
    for cell in BOOK.cells:
        found = re.findall(r"(?<![\w.])/(?:home|Users|root|work|tmp|content|mnt)/", cell.source)
        assert not found, f"{cell.id}: {found}"
        # `!command` that fails does not stop a notebook.
        assert cell.cell_type != "code" or not re.search(r"^\s*[!%]", cell.source, re.M), cell.id


def test_notebook_has_the_stages_in_order() -> None:
    heads = re.findall(r"^## (.+)$", "\n".join(cell.source for cell in BOOK.cells), re.M)
    assert heads == [
        "Install", "Import and define", "Weights and config", "Data", "Statistics", "Samples",
        "Train", "Loss curves", "Best epoch", "Predict", "Submission", "Pictures", "Figures",
        "Where the errors are", "Your own photos",
    ]  # fmt: skip


def test_notebook_commands_are_found() -> None:
    assert all(line.startswith("fashion ") for line in COMMAND_LINES)
    used = {line.split()[1] for line in COMMAND_LINES}
    assert used == {"data", "train", "predict", "test", "analyze"} and used <= set(COMMANDS)
    assert len(COMMAND_LINES) >= 12


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_notebook_command_is_taken(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line)[1:]
    if words[0] in ("train", "test"):
        pytest.importorskip("mmengine")
    monkeypatch.chdir(tmp_path)  # where there is nothing, which is 1; wrong usage exits with 2
    is_from_nothing = words[:2] == ["data", "make-demo"]
    assert main(words) == (0 if is_from_nothing else 1)


def test_notebook_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", "\n".join(c.source for c in BOOK.cells))
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link
    for name in re.findall(r"configs/[\w/]+\.py", "\n".join(c.source for c in BOOK.cells)):
        assert (NOTEBOOK.parent.parent / name).is_file(), name


@pytest.mark.parametrize("on", ["GPU", "CPU"])
def test_recipe_for_own_photos_reads_them(
    on: str, tmp_path: Path, repo_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pytest.importorskip("mmengine.config")
    (recipe,) = [block for block in examples() if "RECIPE" in block]
    if on == "CPU":  # as the text below it says
        bricks = ("mask_rcnn_r50", "ccp", "schedule_1x_small")
        for brick, other in zip(bricks, ("mask_rcnn_r18", "ccp_288", "adamw_cpu"), strict=True):
            assert f"`{other}.py`" in source("own") and f"/{brick}.py" in recipe
            recipe = recipe.replace(f"/{brick}.py", f"/{other}.py")
    exec(recipe, {"REPO": repo_dir, "OUT": tmp_path})
    cfg = config.Config.fromfile(tmp_path / "recipe.py", import_custom_modules=False)
    for part in ("train", "val", "test"):
        dataset = cfg[f"{part}_dataloader"].dataset
        place = dataset.data_root + dataset.data_prefix.img
        assert place == "data/mine/photos/" and dataset.ann_file == f"annotations/{part}.json"
    assert cfg.val_evaluator.ann_file == "data/mine/annotations/val.json"
    assert cfg.test_evaluator.ann_file == "data/mine/annotations/test.json"
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (12, 1)


def test_sh_command_that_fails_stops_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("IPython")
    for name, value in (("OUT", tmp_path / "made"), ("SHORT", "1")):
        monkeypatch.setenv(f"FASHION_NOTEBOOK_{name}", str(value))
    for name in ("FASHION_DATA", "NO_COLOR"):  # so that what the cell sets is undone
        monkeypatch.setenv(name, "")
    names: dict[str, Any] = {"Path": Path, "subprocess": subprocess, "sys": sys}
    exec(source("define"), names)
    assert names["OUT"] == tmp_path / "made" and names["SHORT"] is True
    names["sh"]("fashion --version")
    with pytest.raises(subprocess.CalledProcessError):
        names["sh"]("fashion data stats absent.json --out stats", only="nothing matches this")
    told = capsys.readouterr().out
    assert re.search(r"^fashion-mmdet \d", told, re.M)
    assert "error: absent.json" in told, "what a failing command said is shown, whatever `only` is"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """Run the notebook, short, in an empty folder by a kernel of this Python."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    home, jupyter = tmp_path_factory.mktemp("notebook"), tmp_path_factory.mktemp("jupyter")
    spec = jupyter / "kernels" / "this-python" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "this", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(jupyter))
        patch.setenv("FASHION_NOTEBOOK_SHORT", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("FASHION_NOTEBOOK_OUT", "FASHION_WANDB", "MPLBACKEND"):
            patch.delenv(name, raising=False)
        book = nbformat.read(NOTEBOOK, as_version=4)
        nbclient.NotebookClient(
            book, timeout=600, kernel_name="this-python", resources={"metadata": {"path": home}}
        ).execute()
    yield book, home


@pytest.mark.mm
@pytest.mark.slow
def test_notebook_runs_and_shows_its_pictures(executed: tuple[Any, Path]) -> None:
    book, home = executed
    assert [path.name for path in home.iterdir()] == ["notebook_run"], "one folder holds all"
    shown = [
        cell.id
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    # No cut-out: so short a training finds nothing.
    assert shown == ["statistics", "samples", "curves", "sheet", "beside", "python", "errors"]


@pytest.mark.mm
@pytest.mark.slow
def test_notebook_leaves_a_record_and_a_valid_submission(executed: tuple[Any, Path]) -> None:
    from datasets_tools.submission import check_submission
    from fashion_mmdet.core.run_record import read_run

    book, home = executed
    out = home / "notebook_run"
    record = read_run(out / "run")
    assert record.status == "finished" and [v.epoch for v in record.validations] == [1, 2]
    (test,) = record.tests
    figures = json.loads((out / "test.json").read_text())
    assert figures["coco/notebook/mAP_50"] == test.metrics["coco/notebook/mAP_50"]
    assert Path(str(test.checkpoint)).name.startswith("best_coco_segm_mAP_epoch_")

    sample = out / "sample_submission.csv"
    report = check_submission(out / "predicted" / "submission.csv", sample=sample)
    assert report.findings.n("error") == 0
    photos = json.loads((out / "data/demo/annotations/test.json").read_text())["images"]
    listed = [line.split(",")[0] for line in sample.read_text().splitlines()[1:]]
    assert listed == [photo["file_name"] for photo in photos][:24]
    assert (out / "errors" / "report.html").is_file() and (out / "stats" / "index.html").is_file()
