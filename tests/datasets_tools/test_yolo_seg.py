"""YOLO segmentation labels, on files made from the format's description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from datasets_tools.sources.yolo_seg import read_names
from fashion_mmdet.commands import main
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.ontology import CLASSES

DRESS = "1 0.25 0.1 0.75 0.1 0.75 0.9 0.25 0.9"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A set of two folders: train/a with a dress and a shoe, val/b with a shoe."""
    for folder, name, text in (
        ("train", "a", f"{DRESS}\n\n0 0 0 .5 0 0.5 5e-1 0 0.5\n"),
        ("val", "b", "0 0 0 1 0 1 1"),
    ):
        (tmp_path / "labels" / folder).mkdir(parents=True)
        (tmp_path / "images" / folder).mkdir(parents=True)
        (tmp_path / "labels" / folder / f"{name}.txt").write_text(text)
        Image.new("RGB", (80, 40)).save(tmp_path / "images" / folder / f"{name}.jpg")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [shoe, dress]\n")
    return tmp_path


def convert(root: Path, *words: str) -> int:
    return main([
        "data", "convert", "yolo-seg", str(root / "labels"), "--images", str(root / "images"),
        "--data", str(root / "data.yaml"), "--out", str(root / "all.json"), *words,
    ])  # fmt: skip


def converted(root: Path, *words: str) -> dict[str, Any]:
    assert convert(root, *words) == 0
    return json.loads((root / "all.json").read_text())


def names_of(coco: dict[str, Any]) -> list[str]:
    return [CLASSES[annotation["category_id"]] for annotation in coco["annotations"]]


# --- labels


def test_convert_shares_become_pixels_of_the_photo(root: Path):
    coco = converted(root)
    assert [(i["file_name"], i["height"], i["width"]) for i in coco["images"]] == [
        ("train/a.jpg", 40, 80), ("val/b.jpg", 40, 80),
    ]  # fmt: skip
    assert names_of(coco) == ["dress", "shoe", "shoe"]
    # The line is drawn, so its last pixel belongs to the mask; 1.0 is the last one of the photo.
    assert [a["bbox"] for a in coco["annotations"]] == [
        [20, 4, 41, 33], [0, 0, 41, 21], [0, 0, 80, 40],
    ]  # fmt: skip
    assert [a["area"] for a in coco["annotations"]][:2] == [41 * 33, 41 * 21]


def test_convert_photo_turned_by_exif_has_its_turned_size(root: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(root / "images" / "train" / "a.jpg", exif=exif)
    coco = converted(root)
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == (80, 40)
    assert coco["annotations"][0]["bbox"] == [10, 8, 21, 65]


def test_convert_six_digits_lead_back_to_the_pixel(root: Path):
    Image.new("RGB", (2999, 1999)).save(root / "images" / "val" / "b.jpg")
    corners = [(x / 2999, y / 1999) for x, y in ((7, 11), (2989, 11), (2989, 1001), (7, 1001))]
    line = " ".join(f"{share:.6f}" for corner in corners for share in corner)
    (root / "labels" / "val" / "b.txt").write_text(f"0 {line}")
    assert converted(root)["annotations"][-1]["bbox"] == [7, 11, 2983, 991]


def test_convert_what_the_export_wrote_gives_the_same_masks(root: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    masks = [np.zeros((40, 80), np.uint8) for _ in range(3)]
    masks[0][5:30, 10:50] = 1
    masks[0][10:20, 20:30] = 0  # a hole
    masks[1][:, 60:] = 1  # at the frame
    masks[2][7, 9] = 1  # a dot
    masks.append(np.kron(rng.integers(0, 2, (4, 8), np.uint8), np.ones((9, 9), np.uint8))[:40, :80])
    masks[3] = ndimage.label(np.pad(masks[3], ((0, 4), (0, 8))))[0] == 1
    annotations = [
        {"id": n, "image_id": 1, "category_id": 0, "segmentation": rle.encode_mask(mask_HW)}
        for n, mask_HW in enumerate(masks)
    ]
    coco = {"images": [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 80}],
            "annotations": annotations, "categories": [{"id": 0, "name": "shoe"}]}  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(coco))
    out = tmp_path / "yolo"
    assert main(["data", "export", "yolo-seg", str(tmp_path / "train.json"), "--images",
                 str(root / "images" / "train"), "--out", str(out)]) == 0  # fmt: skip
    assert main(["data", "convert", "yolo-seg", str(out / "labels"), "--images",
                 str(out / "images"), "--data", str(out / "data.yaml"),
                 "--out", str(tmp_path / "back.json")]) == 0  # fmt: skip
    back = json.loads((tmp_path / "back.json").read_text())["annotations"]
    assert len(back) == 4
    for annotation, mask_HW in zip(back[1:], masks[1:], strict=True):
        np.testing.assert_array_equal(rle.decode(annotation["segmentation"]), mask_HW)
    differs = rle.decode(back[0]["segmentation"]) != masks[0]
    assert differs.sum() <= 10  # the bridge into the hole


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("1 0.5 0.5 0.2 0.2", "box, no mask", "got five numbers: a box of the detection format"),
        ("1 0.5 0.5 0.2", "number of numbers", "got 4 numbers"),
        ("1 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "number of numbers", "got 8 numbers"),
        ("1", "number of numbers", "got 1 numbers"),
        ("dress 0 0 1 0 1 1", "junk", "got 'dress'"),
        ("1 nan 0 1 0 1 1", "junk", "got 'nan'"),
        ("1 0_1 0 1 0 1 1", "junk", "got '0_1'"),
        ("2 0 0 1 0 1 1", "unknown class", "(0 to 1) expected, got '2'"),
        ("-1 0 0 1 0 1 1", "unknown class", "got '-1'"),
        ("1.0 0 0 1 0 1 1", "unknown class", "got '1.0'"),
        (f"{'9' * 5000} 0 0 1 0 1 1", "unknown class", "got '999"),
        ("1 20 4 60 4 60 36", "out of range", "0 to 1, expected, got 60. Are they in pixels"),
        ("1 0 0 1 0 1 -0.02", "out of range", "got -0.02"),
        ("1 0 0 1 0 1 1e999", "out of range", "got inf"),
    ],
)
def test_convert_bad_line_is_named_by_file_and_line(
    root: Path, capsys, line: str, kind: str, said: str
):
    (root / "labels" / "train" / "a.txt").write_text(f"{DRESS}\n{line}\n")
    assert names_of(converted(root)) == ["dress", "shoe"]
    error = capsys.readouterr().err
    assert f"skipped ({kind}): train/a.txt:2: " in error and said in error


def test_convert_points_just_outside_are_moved_to_the_edge_and_counted(root: Path, capsys):
    (root / "labels" / "train" / "a.txt").write_text("1 -0.004 0 1.01 0 1 1.0001")
    coco = converted(root)
    assert coco["annotations"][0]["bbox"] == [0, 0, 80, 40]
    assert "note: 1 mask with points just outside the photo" in capsys.readouterr().out


def test_convert_empty_label_file_is_a_photo_without_masks(root: Path, capsys):
    (root / "labels" / "train" / "a.txt").write_text("\n")
    assert [i["file_name"] for i in converted(root)["images"]] == ["val/b.jpg"]
    assert "1 photo left out: no mask of our categories" in capsys.readouterr().out


def test_convert_label_file_without_photo_or_text_is_a_bad_row(root: Path, capsys):
    (root / "labels" / "train" / "gone.txt").write_text(DRESS)
    (root / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe\0")
    assert [i["file_name"] for i in converted(root)["images"]] == ["val/b.jpg"]
    error = capsys.readouterr().err
    assert "skipped (missing photo): train/gone.txt: " in error
    assert "skipped (unreadable): train/a.txt: " in error


def test_convert_classes_txt_is_no_label_file_unless_a_photo_has_its_name(root: Path, capsys):
    path = root / "labels" / "train" / "classes.txt"
    path.write_text("shoe\ndress\n")
    assert len(converted(root)["images"]) == 2
    out, error = capsys.readouterr()
    assert "1 file classes.txt: no labels" in out and "skipped (" not in error
    path.write_text(DRESS)
    Image.new("RGB", (80, 40)).save(root / "images" / "train" / "classes.jpg")
    assert len(converted(root, "--force")["images"]) == 3


def test_convert_photos_of_one_folder_alone_are_refused_with_the_right_one(root: Path, capsys):
    assert convert(root, "--images", str(root / "images" / "train")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the photo of train/a.txt has the same path expected" in line
    assert line.endswith(f"Give {root / 'images'}.") and not (root / "all.json").exists()


def test_convert_photos_without_a_text_file_are_counted(root: Path, capsys):
    converted(root)
    assert "without a text file" not in capsys.readouterr().out
    for name in ("train/c.jpg", "val/a.JPG", "d.png", "readme.md"):
        (root / "images" / name).touch()
    converted(root, "--force")
    assert "note: 3 photos without a text file: not in the set" in capsys.readouterr().out


def test_convert_other_files_are_counted(root: Path, capsys):
    (root / "labels" / "train.cache").touch()
    converted(root)
    assert "1 file in" in capsys.readouterr().out


def test_convert_name_that_is_none_of_ours_is_refused_and_mapped_by_a_table(root: Path, capsys):
    (root / "data.yaml").write_text("names: {0: sandal, 1: frock}")
    assert convert(root) == 1
    assert "got 'frock'" in capsys.readouterr().err
    (root / "mine.csv").write_text("name,category\nsandal,sandals\nfrock,\n")
    coco = converted(root, "--map", str(root / "mine.csv"))
    assert names_of(coco) == ["sandals", "sandals"]
    assert "'frock' has no category of ours: 1 mask left out" in capsys.readouterr().out


def test_convert_without_photos_is_refused_even_unchecked(root: Path, capsys):
    words = ["data", "convert", "yolo-seg", str(root / "labels"), "--no-check-photos",
             "--data", str(root / "data.yaml"), "--out", str(root / "all.json")]  # fmt: skip
    assert main(words) == 1
    assert "Points are shares of a photo's size" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["data.yaml", "labels/val/b.txt"])
def test_convert_over_its_own_input_is_refused(root: Path, capsys, given: str):
    before = (root / given).read_bytes()
    assert convert(root, "--out", str(root / given), "--force") == 1
    assert "another file than the input" in capsys.readouterr().err
    assert (root / given).read_bytes() == before


# --- data.yaml


@pytest.mark.parametrize(
    "text",
    ["names: [shoe, dress]\nnc: 2", "names:\n 0: shoe\n 1: dress\n", "names: {1: dress, 0: shoe}"],
)
def test_read_names_takes_lists_and_numbers(tmp_path: Path, text: str):
    (tmp_path / "data.yaml").write_text(text)
    assert dict(sorted(read_names(tmp_path / "data.yaml").items())) == {0: "shoe", 1: "dress"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [shoe", "a readable YAML file expected, got: while parsing"),
        ("names: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("", "got None"),
        ("- shoe", "got None"),
        ("names: shoe", "got 'shoe'"),
        ("names: []", "got {}"),
        ("names: [shoe, no]", "got 1: False"),
        ("names: [501]", "got 0: 501"),
        ("names: {a: shoe}", "got 'a': 'shoe'"),
        ("names: [shoe]\nnc: 2", "as 'nc' says, 2, expected, got 1"),
        ("a: " + "[" * 600, "a readable YAML file expected"),
    ],
)
def test_read_names_of_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, said: str):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(FashionError, match="data.yaml: ") as error:
        read_names(tmp_path / "data.yaml")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("last", ["names: [*z]", "names: {<<: [*z, *z]}", "nc: *z\nnames: [shoe]"])
def test_read_names_alias_is_refused_before_it_grows(tmp_path: Path, last: str):
    text = "a: &a {0: shoe}\n"
    for one, other in zip("abcdefghijklmno", "bcdefghijklmnoz", strict=True):
        text += f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]\n"
    (tmp_path / "data.yaml").write_text(text + last)
    with pytest.raises(FashionError, match=r"the alias \*a; write out") as error:
        read_names(tmp_path / "data.yaml")
    assert len(str(error.value)) < 1000


def test_read_names_of_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(FashionError, match="found no file"):
        read_names(tmp_path / "gone.yaml")
