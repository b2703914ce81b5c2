"""Fashionpedia: by name alone, attributes kept, masks of every form; and the real sample."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datasets_tools.category_map import MAPS, CategoryTable
from datasets_tools.sources import fashionpedia
from fashion_mmdet.commands import data as data_command
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES, CLASSES_46

HEIGHT_PX, WIDTH_PX = 40, 60


def square(x, y, side=10):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def compressed():
    mask_HW = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    mask_HW[5:9, 7:10] = 1
    return rle.encode_mask(mask_HW)


def fixture_file():
    """As the format's description has it: 46 categories, attributes with gaps, three kinds of mask.

    The order of the categories is turned round, so that a number tells nothing.
    """
    names = list(reversed(CLASSES_46))
    number = names.index
    annotation = {"image_id": 11, "iscrowd": 0, "area": 1}
    return {
        "info": {"year": 2020, "version": "1.0"},
        "licenses": [{"id": 1, "name": "x", "url": "y"}],
        "images": [
            {"id": 11, "width": WIDTH_PX, "height": HEIGHT_PX, "file_name": "a.jpg", "license": 1,
             "kaggle_id": "0a1b", "isstatic": 1, "original_url": "http://x", "time_captured": "t"},
            {"id": 12, "width": WIDTH_PX, "height": HEIGHT_PX, "file_name": "b.jpg"},
        ],
        "categories": [
            {"id": i, "name": n, "supercategory": "s", "level": 2, "taxonomy_id": f"obj{i}"}
            for i, n in enumerate(names)
        ],
        "attributes": [{"id": i, "name": f"n{i}", "supercategory": "g", "level": 1,
                        "taxonomy_id": f"att{i}"} for i in (0, 234, 281)],
        "annotations": [
            {**annotation, "id": 5, "category_id": number("sleeve"), "attribute_ids": [281, 0],
             "segmentation": [square(2, 3), square(30, 3)], "bbox": [2, 3, 10, 10]},
            {**annotation, "id": 3, "category_id": number("dress"), "attribute_ids": [],
             "segmentation": compressed()},
            {**annotation, "id": 4, "category_id": number("shoe"), "attribute_ids": [234],
             "segmentation": {"size": [HEIGHT_PX, WIDTH_PX], "counts": [0, 3, 2397]}},
            {**annotation, "id": 9, "image_id": 12, "category_id": number("bead"),
             "attribute_ids": [], "segmentation": compressed(), "iscrowd": 1},
        ],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "photos" / name)
    return tmp_path


def convert(folder, data, *options, images="photos"):
    (folder / "in.json").write_text(json.dumps(data))
    parser = argparse.ArgumentParser()
    fashionpedia.add_arguments(parser)
    words = [str(folder / "in.json"), "--images", str(folder / images),
             "--out", str(folder / "all.json"), *options]  # fmt: skip
    assert fashionpedia.run(parser.parse_args(words)) == 0
    return read_coco(folder / "all.json")


def names_of(data):
    return [CLASSES[a["category_id"]] for a in data["annotations"]]


def test_convert_goes_by_name_and_keeps_attributes_and_ids(folder, capsys):
    data = convert(folder, fixture_file())
    assert names_of(data) == ["sleeve", "dress", "shoe", "bead"]
    assert [a["source_id"] for a in data["annotations"]] == [5, 3, 4, 9]
    assert [a["attribute_ids"] for a in data["annotations"]] == [[281, 0], [], [234], []]
    assert data["attributes"][1] == {"id": 234, "name": "n234", "supercategory": "g"}
    assert data["images"][0] == {
        "id": 1, "file_name": "a.jpg", "height": 40, "width": 60, "source_id": 11,
        "kaggle_id": "0a1b", "license": 1,
    }  # fmt: skip
    assert [a["iscrowd"] for a in data["annotations"]] == [0, 0, 0, 1]
    out = capsys.readouterr().out
    assert "note: 1 mask with iscrowd kept as regions to ignore (--crowds)" in out
    assert out.splitlines()[-1].endswith("2 images, 4 masks, 4 of 49 classes, 0 bad rows skipped")


def test_convert_masks_of_every_form_have_derived_boxes_and_areas(folder):
    data = convert(folder, fixture_file())
    sleeve, dress, shoe, _ = data["annotations"]
    assert sleeve["segmentation"] == [square(2, 3), square(30, 3)]
    assert (sleeve["bbox"], sleeve["area"]) == ([2, 3, 38, 10], 200)
    assert dress["segmentation"] == compressed()
    assert (dress["bbox"], dress["area"]) == ([7, 5, 3, 4], 12)
    assert shoe["segmentation"]["size"] == [40, 60]
    assert isinstance(shoe["segmentation"]["counts"], str)
    assert (shoe["bbox"], shoe["area"]) == ([0, 0, 1, 3], 3)


def test_convert_crowds_as_instances_if_asked(folder):
    data = convert(folder, fixture_file(), "--crowds", "instances")
    assert [a["iscrowd"] for a in data["annotations"]] == [0, 0, 0, 0]


@pytest.mark.parametrize("ids", [[77], [True], "0", 0, [None], [[0]]])
def test_convert_unknown_attribute_is_a_bad_row(folder, capsys, ids):
    made = fixture_file()
    made["annotations"][1]["attribute_ids"] = ids
    data = convert(folder, made)
    assert [a["source_id"] for a in data["annotations"]] == [5, 4, 9]
    said = "skipped (unknown attribute): in.json: annotations[1] (id 3): attribute_ids"
    assert said in capsys.readouterr().err


def test_convert_annotation_without_attributes_is_kept(folder):
    made = fixture_file()
    del made["annotations"][1]["attribute_ids"]
    assert "attribute_ids" not in convert(folder, made)["annotations"][1]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda d: d["categories"][22].update(name="shoes"), OntologyError, "'shoes'. Did you mean "
         "'shoe'"),
        (lambda d: d["annotations"][0].update(category_id=99), AnnotationError, "annotations[0]"),
        (lambda d: d["annotations"][2].update(image_id=99), AnnotationError, "annotations[2]"),
        (lambda d: d["annotations"][2].update(segmentation="x"), AnnotationError, "annotations[2]"),
        (lambda d: d["categories"][1].update(id=0), FashionError, "each id once"),
        (lambda d: d.pop("attributes"), AnnotationError, "fashion data convert coco"),
        (lambda d: d["attributes"][1].update(id=0), AnnotationError, "attributes[1]: each id"),
    ],
)  # fmt: skip
def test_convert_faulty_file_stops_and_names_the_entry(folder, change, error, said):
    made = fixture_file()
    change(made)
    with pytest.raises(error) as caught:
        convert(folder, made)
    assert "in.json" in str(caught.value) and said in str(caught.value)
    assert not (folder / "all.json").exists()


def test_table_has_the_46_by_their_names_and_two_of_the_sample_without_category():
    rows = CategoryTable.read(MAPS / "fashionpedia.csv").rows
    assert {n: r.category for n, r in rows.items()} == {
        **{n: n for n in CLASSES_46}, "earmuffs": None, "garment belt": None,
    }  # fmt: skip
    assert all(row.note for row in rows.values() if row.category is None)


def test_convert_real_sample_by_name_with_pixels_where_they_were_drawn(shared_dir, tmp_path):
    source = shared_dir / "data" / "fashionpedia_sample"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    out = tmp_path / "all.json"
    code = data_command.main(["convert", "fashionpedia", str(source / "sample.json"),
                              "--images", str(source), "--out", str(out)])  # fmt: skip
    real, data = json.loads((source / "sample.json").read_text()), read_coco(out)
    assert code == 0 and len(data["images"]) == 2 and len(data["annotations"]) == 12
    name_of = {c["id"]: c["name"] for c in real["categories"]}
    names = [name_of[a["category_id"]] for a in real["annotations"]]
    assert names_of(data) == names
    # The numbers differ from the ontology's, which is what a by-number import would get wrong.
    numbers = [a["category_id"] for a in real["annotations"]]
    assert sum(CLASSES[n] != name for n, name in zip(numbers, names, strict=True)) == 9
    assert len(data["attributes"]) == 320
    for before, after in zip(real["annotations"], data["annotations"], strict=True):
        assert after["source_id"] == before["id"]
        assert after["attribute_ids"] == before["attribute_ids"]
        assert after["area"] == pytest.approx(before["area"], rel=0.12)
        image = next(i for i in data["images"] if i["id"] == after["image_id"])
        drawn = Image.new("1", (image["width"], image["height"]))
        for polygon in before["segmentation"]:
            ImageDraw.Draw(drawn).polygon(polygon, fill=1)
        drawn_HW = np.array(drawn)
        code = rle.to_rle(after["segmentation"], image["height"], image["width"], "a")
        mask_HW = rle.decode(code).astype(bool)
        # Pillow colours the outline too; all but the outline must agree.
        assert (mask_HW & drawn_HW).sum() / (mask_HW | drawn_HW).sum() > 0.8
        ys, xs = np.nonzero(mask_HW)
        box = [xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1]
        assert after["bbox"] == box and after["area"] == mask_HW.sum()
