"""DeepFashion2's converter, on files made from the format's description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasets_tools.category_map import MAPS, CategoryTable
from fashion_mmdet.commands import main
from fashion_mmdet.core.ontology import CLASSES

TABLE = CategoryTable.read(MAPS / "deepfashion2.csv")
SIZE_WH = (80, 60)


def item(category_id: int, box: tuple[int, int, int, int], **changes: Any) -> dict[str, Any]:
    """Return an item whose mask is the rectangle ``box`` (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    return {
        "category_id": category_id,
        "category_name": TABLE.name_of_id()[category_id],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        "bounding_box": list(box),
        "landmarks": [x0, y0, 2, x1, y1, 1],
        "style": 1, "scale": 2, "occlusion": 3, "zoom_in": 1, "viewpoint": 2,
        **changes,
    }  # fmt: skip


def save(root: Path, name: str, items: dict[str, Any], **changes: Any) -> None:
    data = {"source": "user", "pair_id": 7, **items, **changes}
    (root / "annos" / f"{name}.json").write_text(json.dumps(data))
    Image.new("RGB", SIZE_WH).save(root / "image" / f"{name}.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two photos: 000002 with a vest and trousers, 000010 with a sling dress."""
    (tmp_path / "annos").mkdir()
    (tmp_path / "image").mkdir()
    save(tmp_path, "000010", {"item1": item(13, (10, 5, 30, 55))}, source="shop", pair_id=8)
    save(tmp_path, "000002", {
        "item10": item(8, (10, 30, 30, 58)), "item2": item(5, (10, 5, 30, 25), style=0),
    })  # fmt: skip
    return tmp_path


def convert(root: Path, *words: str) -> int:
    return main([
        "data", "convert", "deepfashion2", str(root / "annos"), "--images", str(root / "image"),
        "--out", str(root / "all.json"), *words,
    ])  # fmt: skip


def converted(root: Path, *words: str) -> dict[str, Any]:
    assert convert(root, *words) == 0
    return json.loads((root / "all.json").read_text())


def names_of(coco: dict[str, Any]) -> list[str]:
    return [CLASSES[annotation["category_id"]] for annotation in coco["annotations"]]


# --- the table


def test_map_holds_the_13_categories_by_their_ids():
    assert sorted(TABLE.name_of_id()) == list(range(1, 14)) and len(TABLE.rows) == 13
    assert all(row.category for row in TABLE.rows.values())


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("vest", "top, t-shirt, sweatshirt"),  # a sleeveless top, not the waistcoat of our name
        ("sling", "top, t-shirt, sweatshirt"),
        ("vest dress", "dress"),
        ("short sleeve outwear", "jacket"),
        ("trousers", "pants"),
    ],
)
def test_map_doubtful_names_are_decided_and_say_why(name: str, category: str):
    assert TABLE.rows[name].category == category
    assert TABLE.rows[name].note or name == "trousers"


# --- convert


def test_convert_photos_come_sorted_and_items_by_number(root: Path):
    coco = converted(root)
    assert [image["file_name"] for image in coco["images"]] == ["000002.jpg", "000010.jpg"]
    assert [a["item"] for a in coco["annotations"]] == ["item2", "item10", "item1"]
    assert names_of(coco) == ["top, t-shirt, sweatshirt", "pants", "dress"]
    assert [a["source_name"] for a in coco["annotations"]] == ["vest", "trousers", "sling dress"]
    assert [a["area"] for a in coco["annotations"]] == [400, 560, 1000]
    assert coco["annotations"][0]["bbox"] == [10, 5, 20, 20]


def test_convert_keeps_pair_and_what_items_say(root: Path):
    coco = converted(root)
    assert [(i["pair_id"], i["photo_source"]) for i in coco["images"]] == [(7, "user"), (8, "shop")]
    assert [a["style"] for a in coco["annotations"]] == [0, 1, 1]
    first = coco["annotations"][0]
    assert [first[k] for k in ("scale", "occlusion", "zoom_in", "viewpoint")] == [2, 3, 1, 2]
    assert "landmarks" not in first


def test_convert_says_once_that_landmarks_are_not_read(root: Path, capsys):
    converted(root)
    said = capsys.readouterr().out
    assert said.count("landmarks") == 2  # of one line
    assert "note: 3 items with landmarks: the landmarks are not read" in said
    assert "without" not in said.replace("classes without a mask", "")


def test_convert_lacking_keys_and_foreign_entries_and_files_are_counted(root: Path, capsys):
    save(root, "000002", {"item1": item(1, (0, 0, 20, 20), style="x"), "items": {}, "item0": {}})
    (root / "annos" / "readme.txt").touch()
    converted(root)
    said = capsys.readouterr().out
    assert "1 item without a whole number 'style'" in said
    assert "2 entries beside the items: not read" in said
    assert "1 file in" in said and "without .json: not read" in said


def test_convert_polygon_of_two_points_beside_a_good_one_is_left_out_and_counted(
    root: Path, capsys
):
    good = [0, 0, 20, 0, 20, 20, 0, 20]
    save(root, "000002", {"item1": item(1, (0, 0, 1, 1), segmentation=[[1, 2, 3, 4], good])})
    coco = converted(root)
    assert coco["annotations"][0]["segmentation"] == [good]
    assert "1 polygon left out of masks that have others" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entry", "kind", "said"),
    [
        ({"category_id": 9}, "category", "'skirt', expected, got 'trousers'"),
        ({"category_id": "8"}, "category", "got 'trousers' and '8'"),
        ({"category_id": [8]}, "category", "got 'trousers' and [8]"),
        ({"category_name": None}, "category", "got None and 8"),
        ({"segmentation": None}, "mask", "got None"),
        ({"segmentation": [[1, 2, 3, 4]]}, "mask", "three or more points"),
    ],
)
def test_convert_bad_item_is_named_by_file_and_item(
    root: Path, capsys, entry: dict[str, Any], kind: str, said: str
):
    bad = {**item(8, (10, 30, 30, 58)), **entry}
    save(root, "000002", {"item1": item(5, (10, 5, 30, 25)), "item2": bad})
    coco = converted(root)
    assert names_of(coco) == ["top, t-shirt, sweatshirt", "dress"]
    error = capsys.readouterr().err
    assert f"skipped ({kind}): 000002.json: item2: " in error and said in error


def test_convert_item_that_is_no_object_is_a_bad_row(root: Path, capsys):
    save(root, "000002", {"item1": [1], "item2": item(5, (10, 5, 30, 25))})
    assert len(converted(root)["annotations"]) == 2
    assert "000002.json: item1: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"source": "shop", "pair_id": "7"}', '{"source": [], "pair_id": 7}', '{"half"'],
)
def test_convert_foreign_or_damaged_file_is_a_bad_row(root: Path, capsys, content: str):
    (root / "annos" / "000002.json").write_text(content)
    assert [i["file_name"] for i in converted(root)["images"]] == ["000010.jpg"]
    assert "000002.json" in capsys.readouterr().err
    assert convert(root, "--force", "--max-bad-rows", "0") == 1


def test_convert_missing_photo_is_named(root: Path, capsys):
    (root / "image" / "000002.jpg").unlink()
    assert len(converted(root)["images"]) == 1
    assert "skipped (missing photo): 000002.json: a photo '000002'" in capsys.readouterr().err


def test_convert_with_a_table_of_ones_own_follows_it(root: Path):
    lines = (MAPS / "deepfashion2.csv").read_text().replace(
        '5,vest,"top, t-shirt, sweatshirt"', "5,vest,vest"
    )
    (root / "mine.csv").write_text(lines)
    coco = converted(root, "--map", str(root / "mine.csv"))
    assert names_of(coco) == ["vest", "pants", "dress"]


@pytest.mark.parametrize("folder", ["gone", "image"])
def test_convert_folder_without_annotations_is_refused(root: Path, capsys, folder: str):
    (root / "annos").rename(root / "elsewhere")
    if folder == "image":
        (root / "image").rename(root / "annos")
        (root / "image").mkdir()
    assert convert(root) == 1
    assert "a folder with .json files expected, found" in capsys.readouterr().err
    assert not (root / "all.json").exists()


def test_convert_over_its_own_input_is_refused(root: Path, capsys):
    given = root / "annos" / "000002.json"
    before = given.read_bytes()
    assert convert(root, "--out", str(given), "--force") == 1
    assert "another file than the input" in capsys.readouterr().err
    assert given.read_bytes() == before
