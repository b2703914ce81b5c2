"""LabelMe's converter, on files made from the format's description."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_mmdet.commands import data
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError

SIZE_HW = (40, 60)
SQUARE = [[10, 10], [20, 10], [20, 20], [10, 20]]
FAR_SQUARE = [[30, 10], [50, 10], [50, 30], [30, 30]]


def shape(label: str = "dress", points: list | None = None, **keys) -> dict:
    return {
        "label": label, "points": points or SQUARE, "group_id": None, "description": "",
        "shape_type": "polygon", "flags": {}, **keys,
    }  # fmt: skip


def painted(mask_HW: np.ndarray, x1: int, y1: int, **keys) -> dict:
    stream = io.BytesIO()
    Image.fromarray(mask_HW.astype(np.uint8) * 255).convert("1").save(stream, "PNG")
    height, width = mask_HW.shape
    corners = [[x1, y1], [x1 + width - 1, y1 + height - 1]]
    text = base64.b64encode(stream.getvalue()).decode()
    return shape(points=corners, shape_type="mask", mask=text, **keys)


def save(folder: Path, name: str, shapes: list, **keys) -> Path:
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    photo = {"imagePath": f"{path.stem}.jpg", "imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1]}
    path.write_text(
        json.dumps(
            {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": "no base64!", **photo}
            | keys
        )
    )
    return path


def save_photo(path: Path, size_hw: tuple[int, int] = SIZE_HW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_hw[::-1]).save(path)


def converted(folder: Path, *words: str) -> dict:
    out = folder.parent / "out.json"
    assert data.main(["convert", "labelme", str(folder), "--out", str(out), "--force", *words]) == 0
    return json.loads(out.read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_photo(tmp_path / "set" / "a.jpg")
    return tmp_path / "set"


def test_labelme_polygons_become_instances_and_group_is_one(folder, capsys):
    shapes = [
        shape(group_id=1),
        shape(points=FAR_SQUARE, group_id=1),
        shape("shoe"),
        shape("skirt", FAR_SQUARE, group_id=1),  # another label: another instance
        shape("shoe", FAR_SQUARE),
    ]
    save(folder, "a", shapes)
    coco = converted(folder)
    names = {c["id"]: c["name"] for c in coco["categories"]}
    found = [(names[a["category_id"]], a["area"]) for a in coco["annotations"]]
    assert found == [("dress", 500), ("shoe", 100), ("skirt", 400), ("shoe", 400)]
    assert len(coco["annotations"][0]["segmentation"]) == 2
    assert coco["images"][0]["file_name"] == "a.jpg"
    assert "1 image, 4 masks" in capsys.readouterr().out
    out = str(folder.parent / "out.json")
    assert data.main(["check", out, "--images", str(folder)]) == 0


def test_labelme_painted_mask_lies_at_its_corners_inclusive(folder):
    crop_HW = np.zeros((5, 7), dtype=bool)
    crop_HW[0, 0] = crop_HW[4, 6] = crop_HW[2] = True
    save(folder, "a", [painted(crop_HW, x1=3, y1=8)])
    (annotation,) = converted(folder)["annotations"]
    assert data.main(["check", str(folder.parent / "out.json"), "--images", str(folder)]) == 0
    expected_HW = np.zeros(SIZE_HW, dtype=bool)
    expected_HW[8:13, 3:10] = crop_HW
    np.testing.assert_array_equal(rle.decode(annotation["segmentation"]), expected_HW)
    assert annotation["bbox"] == [3, 8, 7, 5]


def test_labelme_painted_masks_and_polygon_of_a_group_are_joined(folder):
    ones_HW = np.ones((4, 4), dtype=bool)
    shapes = [painted(ones_HW, 0, 0, group_id=7), painted(ones_HW, 2, 0, group_id=7)]
    save(folder, "a", [*shapes, shape(group_id=7)])
    (annotation,) = converted(folder)["annotations"]
    assert annotation["area"] == 24 + 100


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (shape(points=[[1, 1], [9, 9]], shape_type="rectangle"), "no mask: rectangle"),
        (shape(points=[[1, 1], [9, 9]], shape_type="circle"), "no mask: circle"),
        (shape(points=[[1, 1]], shape_type="point"), "no mask: point"),
        (shape(points=[[1, 1], [5, 5], [9, 1]], shape_type="linestrip"), "no mask: linestrip"),
        (shape(""), "no label"),
        (shape(None), "no label"),
        ("dress", "no label"),
        (shape(group_id=[1]), "group_id"),
        (shape(points=[[1, 2], [3]]), "points"),
        (shape(points=[[1, "2"], [3, 4], [5, 6]]), "points"),
        (shape(points=[[1, 2], [3, 4]]), "mask"),
        (painted(np.ones((4, 4)), 58, 0), "points"),  # beyond the photo
        (painted(np.ones((4, 4)), 0, 0) | {"points": [[0, 0], [9, 9]]}, "mask"),
        (painted(np.ones((4, 4)), 0, 0) | {"mask": None}, "mask"),
        (painted(np.ones((4, 4)), 0, 0) | {"mask": "%%%"}, "mask"),
        (painted(np.ones((4, 4)), 0, 0) | {"mask": base64.b64encode(b"GIF89a").decode()}, "mask"),
    ],
)  # fmt: skip
def test_labelme_shape_that_is_no_mask_is_a_bad_row(folder, capsys, broken, kind):
    save(folder, "a", [shape("shoe"), broken])
    assert len(converted(folder)["annotations"]) == 1
    out = capsys.readouterr().out
    assert f"skipped 1 bad row: 1 {kind}" in out
    assert "a.json: shape 2" in out


@pytest.mark.parametrize(
    ("text", "kind"),
    [("{", "unreadable"), ("[]", "no LabelMe file"), ('{"shapes": []}', "no LabelMe file")],
)
def test_labelme_other_json_is_a_bad_row(folder, capsys, text, kind):
    save(folder, "a", [shape()])
    (folder / "b.json").write_text(text)
    converted(folder)
    assert f"1 {kind}" in capsys.readouterr().out


def test_labelme_photo_apart_from_labels_is_found_by_its_path(tmp_path):
    save_photo(tmp_path / "set" / "photos" / "day1" / "a.jpg")
    save(tmp_path / "set" / "labels", "a", [shape()], imagePath="..\\photos\\day1\\a.jpg")
    coco = converted(tmp_path / "set" / "labels", "--images", str(tmp_path / "set" / "photos"))
    assert coco["images"][0]["file_name"] == "day1/a.jpg"


def test_labelme_photo_moved_is_found_by_its_name(tmp_path):
    save_photo(tmp_path / "photos" / "a.jpg")
    save(tmp_path / "set" / "labels", "a", [shape()])
    coco = converted(tmp_path / "set" / "labels", "--images", str(tmp_path / "photos"))
    assert coco["images"][0]["file_name"] == "a.jpg"


@pytest.mark.parametrize("path", ["../../a.jpg", "/etc/a.jpg"])
def test_labelme_photo_outside_is_a_bad_row(folder, capsys, path):
    save(folder, "a", [shape()])
    save(folder, "b", [shape()], imagePath=path)
    assert len(converted(folder)["images"]) == 1
    assert "1 image name" in capsys.readouterr().out


def test_labelme_other_size_is_a_bad_row(folder, capsys):
    save(folder, "a", [shape()])
    save_photo(folder / "b.jpg")
    save(folder, "b", [shape()], imageHeight=SIZE_HW[1], imageWidth=SIZE_HW[0])
    converted(folder)
    assert "1 size swapped" in capsys.readouterr().out


def test_labelme_flags_that_are_set_are_kept_and_descriptions_said(folder, capsys):
    torn = shape(flags={"torn": True, "wet": False}, description="at the hem")
    save(folder, "a", [torn], flags={"night": True})
    coco = converted(folder)
    assert "1 description of shapes, left out" in capsys.readouterr().out
    assert coco["annotations"][0]["flags"] == ["torn"]
    assert coco["images"][0]["flags"] == ["night"]


def test_labelme_unknown_label_names_the_nearest_and_map_mends_it(folder, tmp_path):
    save(folder, "a", [shape("Skirts"), shape("dress")])
    with pytest.raises(FashionError, match="'Skirts'.*'skirt'"):
        converted(folder)
    table = tmp_path / "map.csv"
    table.write_text("name,category\nSkirts,skirt\ndress,\n")
    (annotation,) = converted(folder, "--map", str(table))["annotations"]
    assert annotation["source_name"] == "Skirts"


def test_labelme_own_input_and_empty_folder_are_refused(folder):
    path = save(folder, "a", [shape()])
    with pytest.raises(FashionError, match="another file than the input"):
        data.main(["convert", "labelme", str(folder), "--out", str(path), "--force"])
    path.unlink()
    with pytest.raises(FashionError, match="found none"):
        converted(folder)


@pytest.mark.parametrize("keys", [{"shape_type": "polygon"}, {"shape_type": "mask", "mask": ""}])
@pytest.mark.parametrize("number", [10**400, 10**300, -(10**400)], ids=["huge", "large", "-huge"])
def test_labelme_number_of_hundreds_of_digits_is_a_bad_row(folder, capsys, keys, number):
    save(folder, "a", [shape("shoe"), shape(points=[[1, number], [9, 9], [9, 1]], **keys)])
    assert len(converted(folder)["annotations"]) == 1
    assert "skipped 1 bad row" in capsys.readouterr().out


def test_labelme_size_beyond_any_photo_is_a_bad_row(folder, capsys):
    save(folder, "a", [shape()])
    side = {"imageHeight": 10**7, "imageWidth": 10**7}
    save(folder, "b", [painted(np.ones((4, 4)), 0, 0)], **side)
    assert len(converted(folder, "--no-check-photos")["annotations"]) == 1
    out, error = capsys.readouterr()
    assert "1 size" in out and "at most 178,956,970 pixels expected" in error


def test_labelme_unknown_names_of_all_files_are_told_at_once(folder):
    save_photo(folder / "b.jpg")
    save(folder, "a", [shape("dress"), shape("High_Heel"), shape("gizmo")])
    save(folder, "b", [shape("gizmo"), shape(" CANVASSHOE "), shape("dress")])
    out = folder.parent / "out.json"
    with pytest.raises(FashionError) as raised:
        data.main(["convert", "labelme", str(folder), "--out", str(out)])
    line = str(raised.value)
    for name, place in (("High_Heel", "a.json: shape 2"), ("gizmo", "a.json: shape 3"),
                        ("CANVASSHOE", "b.json: shape 2")):  # fmt: skip
        assert f"{name!r} ({place})" in line
    assert "'High_Heel'. Did you mean 'high-heels'" in line
    assert "'CANVASSHOE'. Did you mean 'canvasshoes'" in line
    assert not out.exists()


def test_labelme_other_spellings_are_taken_and_said(folder, capsys):
    save(folder, "a", [shape("Dress"), shape("HIGH_heels"), shape("Dress", FAR_SQUARE)])
    coco = converted(folder)
    names = {c["id"]: c["name"] for c in coco["categories"]}
    assert sorted(names[a["category_id"]] for a in coco["annotations"]) == [
        "dress", "dress", "high-heels",
    ]  # fmt: skip
    assert {a["source_name"] for a in coco["annotations"]} == {"Dress", "HIGH_heels"}
    out = capsys.readouterr().out
    assert "note: 'Dress' taken as 'dress' (2)" in out
    assert "note: 'HIGH_heels' taken as 'high-heels' (1)" in out


@pytest.mark.parametrize("image_path", ["..\\photos\\x.JPG", "C:\\pics\\x.jpg", "/home/me/x.JPG"])
def test_labelme_moved_photo_is_found_by_its_name_where_only_one_has_it(
    folder, tmp_path, capsys, image_path
):
    photos = tmp_path / "photos"
    Image.new("RGB", SIZE_HW[::-1]).save(tmp_path / "x.JPG", "JPEG")
    save_photo(photos / "a.jpg")
    (tmp_path / "x.JPG").rename(photos / "x.JPG")
    save(tmp_path / "far" / "away", "moved", [shape()], imagePath=image_path)
    words = ["--images", str(photos)]
    (image,) = converted(tmp_path / "far" / "away", *words)["images"]
    assert image["file_name"] == "x.JPG"
    said = "1 photo found by the name alone, not where imagePath points"
    assert said in capsys.readouterr().out
    save(tmp_path / "far" / "away" / "day2", "other", [shape()], imagePath="../day2/x.jpg")
    save(tmp_path / "far" / "away", "good", [shape()], imagePath="a.jpg")
    images = converted(tmp_path / "far" / "away", *words)["images"]  # two labels want it
    assert [image["file_name"] for image in images] == ["a.jpg"]
    (tmp_path / "far" / "away" / "day2" / "other.json").unlink()
    save_photo(photos / "deep" / "x.jpg")  # now there are two photos
    save(tmp_path / "far" / "away", "good", [shape()], imagePath="a.jpg")
    images = converted(tmp_path / "far" / "away", *words)["images"]
    assert [image["file_name"] for image in images] == ["a.jpg"]


def test_labelme_photos_without_a_json_file_are_counted(folder, capsys):
    save(folder / "labels", "a", [shape()], imagePath="../a.jpg")
    (folder / "labels" / "broken.json").write_text("{")
    for name in ("b.jpg", "deep/a.png", "labels/broken.jpg", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    converted(folder)
    assert "note: 2 photos without a JSON file: not in the set" in capsys.readouterr().out


def test_labelme_output_that_cannot_be_is_refused_before_the_labels_are_read(folder, tmp_path):
    save(folder, "a", [shape("gizmo")])
    (tmp_path / "annotations").touch()
    for out, said in (
        ("annotations/all.json", "expected, found a file of that name"),
        ("all", r"the name of a \.json file expected"),
        ("set", r"Write e\.g\. .*set/all\.json"),
    ):
        with pytest.raises(FashionError, match=said):
            data.main(["convert", "labelme", str(folder), "--out", str(tmp_path / out)])
