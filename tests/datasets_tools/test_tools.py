"""What all data tools share: how they start, print, fail, and keep off what is not theirs."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
import time
from pathlib import Path

import pytest

from datasets_tools import report
from fashion_mmdet.commands import main

REPO = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPO / "datasets_tools").rglob("*.py"))
CCP, IMATERIALIST = "convert ccp", "convert imaterialist2019"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 2, "width": 3}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
    "categories": [{"id": 1, "name": "shoe"}],
}


def age(path: Path) -> None:
    for place in [*path.rglob("*"), path]:
        os.utime(place, (time.time() - 7200,) * 2)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (CCP, ["gone", "--out", "x.json"]),
        (IMATERIALIST, ["t.csv", "--descriptions", "gone", "--images", ".", "--out", "x.json"]),
        ("make-demo", ["--out", "x", "--images", "0"]),
        ("make-demo", ["--out", "file/x", "--images", "1"]),  # an OSError
        ("shoe-types", ["gone", "gone.csv", "--out", "x.json"]),
        ("split", ["gone", "--fractions", "1", "0", "0", "--out", "x"]),
    ],
)
def test_tool_fault_is_one_line(tool, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["data", *tool.split(), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    ("tool", "words", "given"),
    [
        (CCP, [".", "--out", "label_list.mat"], "label_list.mat"),
        (CCP, [".", "--out", "photos/0001.jpg"], "photos/0001.jpg"),
        (IMATERIALIST, ["t.csv", "--descriptions", "d.json", "--no-check-photos", "--out",
                        "t.csv"], "t.csv"),
        (IMATERIALIST, ["t.csv", "--descriptions", "d.json", "--no-check-photos", "--out",
                        "link.json"], "d.json"),
        ("shoe-types", ["train.json", "t.csv", "--out", "t.csv"], "t.csv"),
        ("split", ["train.json", "--fractions", "1", "0", "0", "--out", "."], "train.json"),
        ("split", ["all.json", "--lists", ".", "--out", "."], "test.txt"),
        ("split", ["all.json", "--fractions", "1", "0", "0", "--groups", "val.txt", "--out", "."],
         "val.txt"),
    ],
)  # fmt: skip
def test_tool_with_force_keeps_its_input(tool, words, given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in ("label_list.mat", "photos/0001.jpg", "t.csv", "d.json", "all.json", "train.json"):
        Path(name).write_text(json.dumps(COCO) if name.endswith("n.json") else "{}")
    Path("all.json").write_text(json.dumps(COCO))
    Path(given).write_text(Path(given).read_text() if Path(given).exists() else "a\n")
    Path("link.json").symlink_to("d.json")
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    assert main(["data", *tool.split(), *words, "--force"]) == 1
    assert "another file than the input expected" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("tool", "words", "target"),
    [
        (CCP, ["gone", "--out", "x.json"], "x.json"),
        (IMATERIALIST, ["t.csv", "--descriptions", "d", "--no-check-photos", "--out", "x.json"],
         "x.json"),
        ("shoe-types", ["gone", "t.csv", "--out", "x.json"], "x.json"),
        ("split", ["gone", "--fractions", "1", "0", "0", "--out", "."], "val.txt"),
    ],
)  # fmt: skip
def test_tool_removes_its_stale_leftover_and_says_so(
    tool, words, target, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    stale, fresh = Path(f".{target}.abcd_123.part"), Path(f".{target}.abcd_124.part")
    for path in (stale, fresh):
        path.write_text("half")
    age(stale)
    main(["data", *tool.split(), *words])
    assert not stale.exists() and fresh.exists()
    assert f"{stale}, the leftover of a killed run" in capsys.readouterr().err


def test_make_demo_removes_its_stale_folder_and_no_other(tmp_path, capsys):
    for name, content in (("stale_00", "train"), ("foreign0", "notes")):
        part = tmp_path / f".set.{name}.part"
        (part / content).mkdir(parents=True)
        (part / content / "1.jpg").touch()
        age(part)
    words = ["--out", str(tmp_path / "set"), "--images", "1", "--size", "64", "96"]
    assert main(["data", "make-demo", *words]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [".set.foreign0.part", "set"]
    assert "stale_00" in capsys.readouterr().err


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_tool_starts_as_a_command_of_fashion_alone(path):
    text = path.read_text(encoding="utf-8")
    assert "\nif __name__" not in text and "python -m datasets_tools" not in text


def test_say_characters_that_the_output_lacks_are_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    report.say("é \ud800 ok")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\xe9 \\ud800 ok\n"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_tool_prints_to_stdout_through_say_alone(path):
    calls = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]  # fmt: skip
    plain = [call for call in calls if not any(k.arg == "file" for k in call.keywords)]
    assert len(plain) == (path == REPO / "datasets_tools/report.py")
