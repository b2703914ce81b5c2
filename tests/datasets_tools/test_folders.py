"""Files and folders by their names: what --out may be, and whether a folder has the photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets_tools.folders import (
    absent_photos,
    holds_photos,
    refuse_json_folder,
    require_json,
)
from fashion_mmdet.commands import main
from fashion_mmdet.core.errors import FashionError


def test_require_json_name_of_another_kind_is_refused_with_a_better_one(tmp_path: Path):
    require_json(tmp_path / "a.json")
    require_json("A.JSON")
    with pytest.raises(FashionError, match=r"--fix: .* got a\. Write e\.g\. a\.json\."):
        require_json("a", "--fix")
    with pytest.raises(FashionError, match=r"Write e\.g\. .*all\.json\."):
        require_json(tmp_path)


def test_refuse_json_folder_name_of_a_file_is_refused_unless_it_is_a_folder(tmp_path: Path):
    refuse_json_folder(tmp_path / "folds")
    with pytest.raises(FashionError, match="--out: a folder expected, got .*s.json"):
        refuse_json_folder(tmp_path / "s.json")
    (tmp_path / "s.json").mkdir()
    refuse_json_folder(tmp_path / "s.json")


@pytest.mark.parametrize(
    "words",
    [
        ["filter", "a.json", "--out", "x"],
        ["sample", "a.json", "--count", "1", "--out", "x"],
        ["merge", "a.json", "--out", "x"],
        ["split", "a.json", "--folds", "2", "--out", "x.json"],
        ["stats", "a.json", "--out", "x.json"],
        ["export", "yolo-seg", "a.json", "--images", ".", "--out", "x.json"],
    ],
    ids=lambda words: words[0],
)
def test_tool_out_of_the_wrong_kind_is_refused_before_anything_is_read(words, capsys):
    assert main(["data", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --out: ")


def test_absent_photos_are_named_and_most_of_them_refused(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "sub/b.jpg"):
        (tmp_path / name).touch()
    assert absent_photos(tmp_path, ["a.jpg", "sub/b.jpg", "c.jpg", "sub"], "x.json") == [
        "c.jpg", "sub",
    ]  # fmt: skip
    with pytest.raises(FashionError, match=r"of x.json expected, found 1 of 3, without 2 \(c, d\)"):
        absent_photos(tmp_path, ["a.jpg", "c", "d"], "x.json")
    with pytest.raises(FashionError, match="folder of the photos expected.*looked up from"):
        absent_photos("gone", [], "x.json")
    with pytest.raises(FashionError, match="a file name inside"):
        absent_photos(tmp_path, ["../a.jpg"], "x.json")


def test_holds_photos_counts_those_of_the_folder_itself(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "B.JPG").touch()
    (tmp_path / "notes.txt").touch()
    assert holds_photos(tmp_path / "sub") and not holds_photos(tmp_path)
    assert not holds_photos(tmp_path / "gone")
