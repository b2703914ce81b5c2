"""ModaNet's converter, on files made from the format's description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasets_tools.category_map import MAPS, CategoryTable
from fashion_mmdet.commands import main
from fashion_mmdet.core.ontology import CLASSES

TABLE = CategoryTable.read(MAPS / "modanet.csv")
NAMES = TABLE.name_of_id()


def square(x0: float, y0: float, side: float) -> list[float]:
    return [x0, y0, x0 + side, y0, x0 + side, y0 + side, x0, y0 + side]


def annotation(number: int, category_id: int, polygons: Any, **changes: Any) -> dict[str, Any]:
    xs, ys = ([v for p in polygons for v in p[at::2]] for at in (0, 1))
    return {
        "id": number, "image_id": 736495, "category_id": category_id, "segmentation": polygons,
        "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
        "area": 1, "iscrowd": 0, **changes,
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """One photo with a scarf, a pair of boots under one mask, and an outer garment."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 60)).save(tmp_path / "images" / "0736495.jpg")
    return {
        "info": {"version": "0.1"}, "year": 2018, "type": "instances", "licenses": [],
        "categories": [
            {"supercategory": "fashion", "id": number, "name": name}
            for number, name in reversed(NAMES.items())
        ],
        "images": [
            {"id": 736495, "file_name": "0736495.jpg", "height": 60, "width": 40, "license": 3}
        ],
        "annotations": [
            annotation(900, 13, [square(10, 5, 10)]),
            annotation(901, 3, [square(2, 40, 12), square(24, 42, 11)]),
            annotation(902, 5, [square(8, 12, 20)]),
        ],
    }  # fmt: skip


def convert(tmp_path: Path, data: Any, *words: str) -> int:
    (tmp_path / "train.json").write_text(json.dumps(data))
    return main([
        "data", "convert", "modanet", str(tmp_path / "train.json"), "--images",
        str(tmp_path / "images"), "--out", str(tmp_path / "all.json"), *words,
    ])  # fmt: skip


def converted(tmp_path: Path, data: Any, *words: str) -> dict[str, Any]:
    assert convert(tmp_path, data, *words) == 0
    return json.loads((tmp_path / "all.json").read_text())


def names_of(coco: dict[str, Any]) -> list[str]:
    return [CLASSES[annotation["category_id"]] for annotation in coco["annotations"]]


def test_map_holds_the_13_categories_by_their_ids():
    assert sorted(NAMES) == list(range(1, 14))
    assert {row.name for row in TABLE.rows.values() if row.is_pair} == {"boots", "footwear"}


@pytest.mark.parametrize(
    ("name", "category"),
    [("scarf & tie", "scarf"), ("scarf/tie", "scarf"), ("outer", "jacket"), ("headwear", "hat"),
     ("top", "top, t-shirt, sweatshirt")],
)  # fmt: skip
def test_map_doubtful_names_are_decided_and_say_why(name: str, category: str):
    assert TABLE.rows[name].category == category and TABLE.rows[name].note


def test_convert_maps_by_name_and_parts_the_pair(tmp_path: Path, data: dict[str, Any]):
    coco = converted(tmp_path, data)
    assert names_of(coco) == ["scarf", "shoe", "shoe", "jacket"]
    assert [a["area"] for a in coco["annotations"]] == [100, 144, 121, 400]
    assert [a["source_id"] for a in coco["annotations"]] == [900, 901, 901, 902]
    assert [a["source_name"] for a in coco["annotations"]][::3] == ["scarf & tie", "outer"]
    assert coco["annotations"][1]["bbox"] == [2, 40, 12, 12]
    (image,) = coco["images"]
    assert (image["file_name"], image["source_id"]) == ("0736495.jpg", 736495)


def test_convert_box_that_misses_its_polygons_is_replaced_and_counted(
    tmp_path: Path, data: dict[str, Any], capsys
):
    data["annotations"][0]["bbox"] = [10, 5, 10, 13]
    data["annotations"][1]["bbox"][2] += 2  # rounding
    data["annotations"][2]["bbox"] = None
    coco = converted(tmp_path, data)
    assert coco["annotations"][0]["bbox"] == [10, 5, 10, 10]
    assert "note: 2 boxes more than 2 px off their polygons" in capsys.readouterr().out


def test_convert_crowd_stays_a_crowd_and_is_not_parted(tmp_path: Path, data: dict[str, Any]):
    data["annotations"][1]["iscrowd"] = 1
    coco = converted(tmp_path, data)
    assert [a["iscrowd"] for a in coco["annotations"]] == [0, 1, 0]


@pytest.mark.parametrize(
    ("index", "change", "said"),
    [
        (0, {"category_id": 99}, "annotations[0]: the category_id of an entry"),
        (0, {"category_id": None}, "annotations[0]: the category_id of an entry"),
        (1, {"segmentation": []}, "annotations[1]: at least one polygon expected"),
        (1, {"segmentation": "x"}, "annotations[1]: a list of polygons"),
        (1, {"segmentation": [["a", "b", 1, 2, 3, 4]]}, "annotations[1]: polygons of three"),
        (1, {"segmentation": [[1, 2, 3, 4]]}, "annotations[1]: polygons of three or more points"),
        (2, {"image_id": 1}, "annotations[2]: the image_id of a good entry of 'images' expected"),
        (2, {"image_id": {}}, "annotations[2]: the image_id of a good entry"),
        (2, {"id": "a"}, "annotations[2]: a whole number 'id'"),
        (2, {"iscrowd": 2}, "annotations[2]: a whole number 'id', and 0 or 1 as 'iscrowd'"),
    ],
)
def test_convert_bad_annotation_is_named_and_the_others_stay(
    tmp_path: Path, data: dict[str, Any], capsys, index: int, change: dict[str, Any], said: str
):
    data["annotations"][index].update(change)
    coco = converted(tmp_path, data)
    left = [900, 901, 902]
    del left[index]
    assert sorted({a["source_id"] for a in coco["annotations"]}) == left
    assert f"train.json: {said}" in capsys.readouterr().err


def test_convert_annotation_that_is_no_object_is_a_bad_row(
    tmp_path: Path, data: dict[str, Any], capsys
):
    data["annotations"][0] = 5
    assert len(converted(tmp_path, data)["annotations"]) == 3
    assert "annotations[0]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_name": 5}, "got 1 and 5"),
        ({"height": 0}, "height and width in whole pixels"),
        ({"width": "40"}, "height and width in whole pixels"),
        ({"id": 736495}, "each id once expected, got 736495 again"),
        ({"file_name": "../0736495.jpg"}, "inside the folder of photos"),
        ({"height": 40, "width": 60}, "Were Height and Width swapped?"),
    ],
)
def test_convert_bad_image_is_named_and_the_others_stay(
    tmp_path: Path, data: dict[str, Any], capsys, change: dict[str, Any], said: str
):
    Image.new("RGB", (40, 60)).save(tmp_path / "images" / "1.jpg")
    entry = {"id": 1, "file_name": "1.jpg", "height": 60, "width": 40}
    data["images"].append({**entry, **change})
    data["annotations"].append(annotation(903, 1, [square(1, 1, 9)], image_id=1))
    coco = converted(tmp_path, data)
    assert [i["file_name"] for i in coco["images"]] == ["0736495.jpg"]
    error = capsys.readouterr().err
    assert "images[1]" in error and said in error


def test_convert_image_that_is_no_object_is_a_bad_row(tmp_path: Path, data: dict[str, Any], capsys):
    data["images"].append(None)
    assert len(converted(tmp_path, data)["images"]) == 1
    assert "images[1]" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_convert_file_without_a_list_is_refused(
    tmp_path: Path, data: dict[str, Any], capsys, key: str
):
    data[key] = {}
    assert convert(tmp_path, data) == 1
    assert f"got no '{key}'" in capsys.readouterr().err


def test_convert_val_file_without_annotations_writes_nothing(
    tmp_path: Path, data: dict[str, Any], capsys
):
    data["annotations"] = []
    assert convert(tmp_path, data) == 1
    assert "got none" in capsys.readouterr().err and not (tmp_path / "all.json").exists()


def test_convert_unknown_category_is_refused_with_the_nearest(
    tmp_path: Path, data: dict[str, Any], capsys
):
    data["categories"] = [{**c, "name": c["name"].replace("outer", "outers")}
                          for c in data["categories"]]  # fmt: skip
    assert convert(tmp_path, data) == 1
    assert "'outers'. Did you mean 'outer'" in capsys.readouterr().err


def test_convert_over_its_own_input_is_refused(tmp_path: Path, data: dict[str, Any], capsys):
    path = tmp_path / "train.json"
    assert convert(tmp_path, data, "--out", str(path), "--force") == 1
    assert "another file than the input" in capsys.readouterr().err
    assert json.loads(path.read_text()) == data
