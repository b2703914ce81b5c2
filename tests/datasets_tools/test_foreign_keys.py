"""A user's COCO file may have any keys of its own, even those that our writers use as names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fashion_mmdet.commands import main
from fashion_mmdet.core.coco import read_coco

#: Names of arguments of ``CocoWriter`` and its methods.
OWN = ("self", "path", "info", "extra", "image_id", "annotation_id", "width_px", "cached_from")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``all.json`` with such keys everywhere, and its photos."""
    foreign = {key: f"their {key}" for key in OWN}
    images = [
        {**foreign, "id": n, "file_name": f"{n}.jpg", "height": 60, "width": 80} for n in (1, 2)
    ]
    annotations = [
        {**foreign, "id": n, "image_id": n, "category_id": 1, "iscrowd": 0, "area": 1600,
         "bbox": [5, 5, 40, 40], "segmentation": [[5, 5, 45, 5, 45, 45, 5, 45]]} for n in (1, 2)
    ]  # fmt: skip
    (tmp_path / "photos").mkdir()
    for image in images:
        Image.new("RGB", (80, 60)).save(tmp_path / "photos" / image["file_name"])
    top = {key: value for key, value in foreign.items() if key != "info"}
    coco = {**top, "images": images, "annotations": annotations}
    coco["categories"] = [{"id": 1, "name": "dress"}]
    (tmp_path / "all.json").write_text(json.dumps(coco))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("tool", "out"),
    [
        ("filter all.json --out out.json", "out.json"),
        ("sample all.json --count 1 --out out.json", "out.json"),
        ("split all.json --fractions 0.5 0 0.5 --out out", "out/train.json"),
        ("merge mine=all.json --out out.json", "out.json"),
        ("cache all.json --images photos --size 40 40 --out out", "out/train.json"),
        ("convert coco all.json --images photos --out out.json", "out.json"),
    ],
    ids=lambda text: text.split()[0],
)
def test_foreign_keys_named_as_our_arguments_harm_no_tool(folder, tool, out):
    assert main(["data", *tool.split()]) == 0
    coco = read_coco(out)
    assert len(coco["images"]) == len(coco["annotations"]) > 0
    for entry in coco["annotations"]:
        assert entry["image_id"] in {image["id"] for image in coco["images"]}
        assert entry["bbox"][2] in (20, 40) and entry["area"] in (400, 1600)


@pytest.mark.parametrize("tool", ["filter all.json", "cache all.json --images photos"])
def test_foreign_keys_of_a_copied_entry_stay(folder, tool):
    assert main(["data", *tool.split(), "--out", "out.json"]) == 0
    coco = read_coco("out.json" if tool.startswith("filter") else "out.json/train.json")
    assert coco["path"] == "their path" and coco["self"] == "their self"
    assert coco["images"][0]["image_id"] == "their image_id"
    assert coco["annotations"][0]["annotation_id"] == "their annotation_id"


@pytest.mark.parametrize(
    "tool",
    [
        "filter c.json --out out.json",
        "sample c.json --count 1 --out out.json",
        "split c.json --fractions 0.5 0 0.5 --out out",
        "merge mine=c.json --out out.json",
        "cache c.json --images photos --size 40 40 --out out",
        "convert coco c.json --images photos --out out.json",
        "convert fashionpedia c.json --images photos --out out.json",
        "export yolo-seg c.json --images photos --out out",
        "export imaterialist c.json --out out.csv",
        "shoe-types c.json list.csv --out out.json",
    ],
)
def test_file_of_a_cache_is_refused_where_the_originals_are_needed(folder, tool, capsys):
    coco = json.loads((folder / "all.json").read_text())
    coco["info"] = {"cached_from": {"annotations": "../all.json"}}
    coco["attributes"] = []
    (folder / "c.json").write_text(json.dumps(coco))
    (folder / "list.csv").write_text("image,mask,shoe_type\n1.jpg,1,sandals\n")
    before = {path for path in folder.rglob("*") if path.name[0] != "."}
    assert main(["data", *tool.split()]) == 1
    assert "got those of a cache" in capsys.readouterr().err
    assert {path for path in folder.rglob("*") if path.name[0] != "."} - before <= {folder / "out"}
