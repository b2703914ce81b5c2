"""What the inputs of ``fashion predict`` name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.inference.inputs import Source, find_sources
from fashion_mmdet.inference.names import named_apart


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)
    return path


def names(given: list[Source], **known: str) -> list[str]:
    return [source.name for source in named_apart(given, known)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "in/a.jpg", "in/รูป ถ่าย.JPG"):
        photo(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    (tmp_path / "photos" / "._b.jpg").write_text("x")
    return tmp_path / "photos"


def test_folder_gives_its_photos_to_the_bottom_and_counts_the_rest(folder: Path) -> None:
    found = find_sources([str(folder)])
    assert names(found.all) == ["a", "b", "in/a", "in/รูป ถ่าย"]
    assert found.counts == {"hidden files": 1, "files that are no photos by their suffix": 1}
    assert found.ids is None


def test_photos_of_one_stem_get_names_apart_whatever_the_case(folder: Path) -> None:
    photo(folder / "A.jpg")
    found = names(find_sources([str(folder)]).all)
    assert found[:3] == ["A", "a.png", "b"]
    assert len({name.lower() for name in found}) == len(found)


def test_name_of_an_earlier_run_stays_whoever_is_first_now(folder: Path) -> None:
    first, second = Source("/x/a.jpg", "a.jpg"), Source("/y/a.jpg", "a.jpg")
    assert names([first, second]) == ["a", "a.jpg"]
    assert names([second, first], **{"/x/a.jpg": "a"}) == ["a.jpg", "a"]


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("2024 12:30.jpg", "2024 12_30"),
        ("a\\..\\b.jpg", "a_.._b"),
        ("..jpg.png", "..jpg"),
        ("a\nb#1.jpg", "a_b#1"),
        ("ก" * 80 + ".jpg", "ก" * 60 + "~0dd2ebeb"),
    ],
)
def test_name_that_some_system_cannot_hold_is_made_safe(file_name: str, name: str) -> None:
    (found,) = names([Source(f"/x/{file_name}", file_name)])
    assert found == name


def test_photo_beside_a_folder_called_as_its_picture_gets_another_name() -> None:
    given = [Source("/x/x.jpg/y.png", "x.jpg/y.png"), Source("/x/x.png", "x.png")]
    assert names(given) == ["x.jpg/y", "x.png"]
    assert names(given[::-1]) == ["x", "x.jpg_y_3"]  # not into a folder called as a picture


def test_photos_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    for place in ("a/x.jpg", "b/x.jpg", "b/y.jpg"):
        photo(tmp_path / place)
    found = find_sources([str(tmp_path / "a"), str(tmp_path / "b")])
    assert [s.file_name for s in found.all] == ["a/x.jpg", "b/x.jpg", "y.jpg"]


def test_linked_folder_is_counted_not_entered(folder: Path, tmp_path: Path) -> None:
    photo(tmp_path / "far" / "z.jpg")
    os.symlink(tmp_path / "far", folder / "near")
    found = find_sources([str(folder)])
    assert len(found.all) == 4
    assert found.counts["links to folders, which are not followed"] == 1


def test_photo_named_twice_is_taken_once(folder: Path) -> None:
    os.symlink(folder / "b.jpg", folder / "link.jpg")
    found = find_sources([str(folder / "b.jpg"), str(folder)])
    assert [s.file_name for s in found.all].count("b.jpg") == 1
    assert found.counts["named twice"] == 2


def test_folder_of_the_outputs_is_left_out(folder: Path) -> None:
    photo(folder / "out" / "pictures" / "b.jpg")
    photo(folder / "cutouts" / "b" / "01_dress_90.png")
    photo(folder / "pictures" / "b.jpg")
    assert len(find_sources([str(folder)], out_dir=str(folder / "out")).all) == 6
    assert len(find_sources([str(folder)], out_dir=str(folder)).all) == 5
    pattern = str(folder / "**" / "*.jpg")
    assert len(find_sources([pattern], out_dir=str(folder)).all) == 3


def test_pattern_names_photos_from_its_fixed_part(folder: Path) -> None:
    assert names(find_sources([str(folder / "i*" / "*.jpg")]).all) == ["in/a"]


def test_pattern_in_the_name_of_a_file_is_the_file(folder: Path) -> None:
    photo(folder / "[1].jpg")
    assert names(find_sources([str(folder / "[1].jpg")]).all) == ["[1]"]


@pytest.mark.parametrize("given", ["gone.jpg", "gone*.jpg", "notes-only"])
def test_input_that_is_not_there_is_told(folder: Path, given: str) -> None:
    (folder / "notes-only").mkdir()
    with pytest.raises(FashionError, match="expected, found none"):
        find_sources([str(folder / given)])


def test_list_gives_ids_in_its_order_and_tells_what_is_missing(folder: Path) -> None:
    table = folder / "sample.csv"
    table.write_text(
        "ImageId,EncodedPixels,ClassId\nb.jpg,1 1,0\nb.jpg,2 1,0\nx.jpg,1 1,0\na,1 1,0\n"
    )
    found = find_sources([str(table)])
    assert found.ids == ["b.jpg", "x.jpg", "a"]
    assert [(s.file_name, s.image_id) for s in found.all] == [("b.jpg", "b.jpg"), ("a.png", "a")]
    [(name, message)] = found.missing
    assert name == "x.jpg" and "sample.csv:4: a photo 'x'" in message


@pytest.mark.parametrize("name", ["../b.jpg", "/etc/passwd", "C:\\x.jpg"])
def test_list_that_leaves_its_folder_is_refused(folder: Path, name: str) -> None:
    (folder / "in" / "list.csv").write_text(f"ImageId\n{name}\n")
    with pytest.raises(FashionError, match="a file name inside"):
        find_sources([str(folder / "in" / "list.csv")])


def test_list_without_a_column_of_photos_is_refused(folder: Path) -> None:
    (folder / "list.csv").write_text("name,score\nb.jpg,1\n")
    with pytest.raises(FashionError, match="a column ImageId or image or"):
        find_sources([str(folder / "list.csv")])
