"""Finding photos: what is said of one that is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from datasets_tools import photos
from datasets_tools.photos import PhotoFinder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("images/default/sub/a.jpg", "images/other/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "images" / "c.webp").touch()
    (tmp_path / "images" / "other" / "d.HEIC").touch()
    return tmp_path / "images"


def fault(root: Path, name: str) -> tuple[str, str]:
    found = PhotoFinder(root).find(name).fault
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "there"),
    [("c.jpg", "c.webp"), ("c.webp", "c.webp"), ("c", "c.webp"), ("other/d.png", "d.HEIC")],
)
def test_find_photo_of_another_format_is_named_and_so_are_those_read(root, name, there):
    kind, message = fault(root, name)
    assert kind == "photo of another format"
    assert f"got {there}, whose format is not read" in message
    assert ".jpg, .jpeg, .png" in message


def test_find_photo_that_lies_below_names_the_folder_to_give(root):
    kind, message = fault(root, "sub/a.jpg")
    assert kind == "missing photo"
    assert "found it below, in default" in message and f"{root / 'default'}." in message
    kind, message = fault(root.parent, "sub/a")
    assert "found it below, in images/default" in message


def test_find_photo_that_is_nowhere_is_missing(root):
    assert fault(root, "z.jpg")[1].endswith("found none. Is the folder complete?")
    assert "in default/sub" in fault(root, "a.jpg")[1]


def test_find_photo_folders_below_that_cannot_be_listed_are_passed_over(root, monkeypatch):
    real = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "default":
            raise PermissionError(path)
        return real(path)

    # As chmod 0 does, but for root too.
    monkeypatch.setattr(os, "listdir", listdir)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "default")
    assert "Is the folder complete?" in fault(root, "sub/a.jpg")[1]
    assert "found it below, in other" in fault(root, "b.jpg")[1]


def test_find_photo_below_a_circle_of_links_ends(root):
    (root / "other" / "round").symlink_to(root)
    assert fault(root, "z.jpg")[0] == "missing photo"


def test_find_photo_looks_below_in_so_many_folders_and_no_more(root, monkeypatch):
    assert "found it below" in fault(root, "a.jpg")[1]
    monkeypatch.setattr(photos, "_MOST_FOLDERS", 2)  # default and other, not default/sub
    assert "found it below" not in fault(root, "a.jpg")[1]
    assert "found it below, in other" in fault(root, "b.jpg")[1]


def test_find_photo_in_a_folder_that_cannot_be_listed_is_a_fault_and_no_error(root):
    kind, message = fault(root, f"{'x' * 300}/a.jpg")
    assert kind == "unreadable folder" and "File name too long" in message


def test_find_photo_that_is_a_pipe_is_unreadable_at_once(root):
    os.mkfifo(root / "pipe.jpg")
    assert fault(root, "pipe.jpg")[0] == "unreadable photo"
