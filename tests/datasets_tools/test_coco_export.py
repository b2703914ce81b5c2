"""COCO files of annotation tools: what CVAT and Label Studio do differently, planted by hand."""

from __future__ import annotations

import argparse
import json

import pytest
from PIL import Image

from datasets_tools.category_map import MAPS, CategoryTable
from datasets_tools.sources import coco_export
from datasets_tools.sources.coco_export import photo_names
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES

HEIGHT_PX, WIDTH_PX = 40, 60
BRUSH = {"size": [HEIGHT_PX, WIDTH_PX], "counts": [80, 5, 35, 5, 2275]}


def square(x, y, side=10):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def coco(annotations, file_names=("a.jpg",), names=("shoe", "dress"), first_id=1):
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "description": ""},
        "categories": [
            {"id": first_id + i, "name": n, "supercategory": ""} for i, n in enumerate(names)
        ],
        "images": [
            {"id": i, "width": WIDTH_PX, "height": HEIGHT_PX, "file_name": name, "license": 0}
            for i, name in enumerate(file_names)
        ],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": first_id, "area": 1.0, "bbox": [0, 0, 1, 1],
             "iscrowd": 0, "segmentation": square(2, 3), **more}
            for i, more in enumerate(annotations)
        ],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, "a.jpg")
    return tmp_path


def put(folder, *names):
    for name in names:
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(path)


def convert(folder, made, *options, checked=True):
    (folder / "in.json").write_text(json.dumps(made))
    parser = argparse.ArgumentParser()
    coco_export.add_arguments(parser)
    photos = ["--images", str(folder / "photos")] if checked else ["--no-check-photos"]
    words = [str(folder / "in.json"), *photos, "--out", str(folder / "all.json"), *options]
    assert coco_export.run(parser.parse_args(words)) == 0
    return read_coco(folder / "all.json")


CVAT = {"occluded": False}


def test_convert_cvat_brush_masks_are_instances_and_attributes_stay(folder, capsys):
    data = convert(folder, coco([
        {"segmentation": BRUSH, "iscrowd": 1, "attributes": {**CVAT, "fit": "slim"}},
        {"segmentation": square(30, 5), "attributes": {"occluded": True}},
    ]))  # fmt: skip
    brush, polygon = data["annotations"]
    assert brush["iscrowd"] == 0 and brush["attributes"] == {"occluded": False, "fit": "slim"}
    assert brush["bbox"] == [2, 0, 2, 5] and brush["area"] == 10
    assert isinstance(brush["segmentation"]["counts"], str)
    assert polygon["attributes"] == {"occluded": True}
    assert [a["source_id"] for a in data["annotations"]] == [0, 1]
    said = "note: 1 mask with iscrowd read as one instance each (--crowds)"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("annotation", "crowds", "expected"),
    [
        # COCO's own crowds have no attributes, and CVAT's polygons never have the flag.
        ({"segmentation": BRUSH}, "auto", 1),
        ({"segmentation": BRUSH, "attributes": {"fit": "slim"}}, "auto", 1),
        ({"segmentation": square(2, 3), "attributes": CVAT}, "auto", 1),
        ({"segmentation": BRUSH, "attributes": CVAT}, "auto", 0),
        ({"segmentation": BRUSH, "attributes": CVAT}, "keep", 1),
        ({"segmentation": BRUSH}, "instances", 0),
    ],
)
def test_convert_crowd_flag_is_kept_unless_cvat_or_the_user_says_otherwise(
    folder, annotation, crowds, expected
):
    data = convert(folder, coco([{**annotation, "iscrowd": 1}]), "--crowds", crowds)
    assert data["annotations"][0]["iscrowd"] == expected


def test_convert_boxes_and_ignored_are_left_out_and_counted(folder, capsys):
    made = coco([{}, {"segmentation": []}, {"ignore": 1, "segmentation": square(20, 5)},
                 {"ignore": 0, "segmentation": square(30, 5), "annotator": "me"}])  # fmt: skip
    made["annotations"].append(
        {"id": 9, "image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    )
    data = convert(folder, made)
    assert [a["source_id"] for a in data["annotations"]] == [0, 3]
    out = capsys.readouterr().out
    assert "note: 2 boxes without a mask left out" in out
    assert "note: 1 annotation left out: ignore is set" in out
    assert "note: 1 value of 'annotator' of annotations, not kept" in out


def test_convert_file_of_boxes_alone_is_an_error(folder):
    with pytest.raises(AnnotationError, match="at least one mask"):
        convert(folder, coco([{"segmentation": []}]))


@pytest.mark.parametrize("first_id", [0, 1, 700])
def test_convert_categories_go_by_name_from_whatever_number(folder, first_id):
    names = ("background", "sleeve", "Trousers".lower(), "bag, wallet")
    made = coco([{"category_id": first_id + 1},
                 {"category_id": first_id + 2, "segmentation": square(20, 5)},
                 {"category_id": first_id + 3, "segmentation": square(30, 5)}],
                names=names, first_id=first_id)  # fmt: skip
    data = convert(folder, made)
    names = [CLASSES[a["category_id"]] for a in data["annotations"]]
    assert names == ["sleeve", "pants", "bag, wallet"]


def test_convert_names_that_do_not_fit_are_all_named_with_the_nearest(folder):
    made = coco([{}, {"category_id": 2, "segmentation": square(20, 5)}], names=("Shoo", "Dres"))
    with pytest.raises(OntologyError) as caught:
        convert(folder, made)
    assert "'Dres'. Did you mean 'dress'" in str(caught.value)
    assert "'Shoo'. Did you mean 'shoe'" in str(caught.value)
    assert not (folder / "all.json").exists()
    (folder / "my.csv").write_text("name,category\nShoo,sandals\nDres,\n")
    data = convert(folder, made, "--map", str(folder / "my.csv"))
    assert [CLASSES[a["category_id"]] for a in data["annotations"]] == ["sandals"]


def test_convert_added_rows_go_before_those_of_the_table(folder, capsys):
    made = coco([{}, {"category_id": 2, "segmentation": square(20, 5)},
                 {"category_id": 3, "segmentation": square(30, 5)}],
                names=("Shoe", "kilt", "T_Shirt"))  # fmt: skip
    (folder / "my.csv").write_text("name;category\nkilt;skirt\nshoe;sandals\n;\n")
    data = convert(folder, made, "--map-add", str(folder / "my.csv"))
    names = [CLASSES[a["category_id"]] for a in data["annotations"]]
    assert names == ["sandals", "skirt", "top, t-shirt, sweatshirt"]
    out = capsys.readouterr().out
    assert "note: 'Shoe' taken as 'shoe' (1)" in out and "'kilt' taken" not in out
    assert "note: 'T_Shirt' taken as 't-shirt' (1)" in out
    (folder / "all.json").write_text("name,category\nkilt,skirt\n")
    with pytest.raises(FashionError, match="another file than the input"):
        convert(folder, made, "--map-add", str(folder / "all.json"), "--force")


@pytest.mark.parametrize(
    ("name", "said"),
    [("a.csv", "Export as JSON"), ("a.XML", "as COCO 1.0"), ("a.zip", "Unpack it")],
)
def test_convert_other_exports_are_refused_with_what_to_export(folder, name, said):
    parser = argparse.ArgumentParser()
    coco_export.add_arguments(parser)
    (folder / name).write_text("<annotations/>")
    words = [str(folder / name), "--no-check-photos", "--out", str(folder / "all.json")]
    with pytest.raises(FashionError, match=rf"a JSON file expected, got a \.\w+ file\. .*{said}"):
        coco_export.run(parser.parse_args(words))


def test_table_has_our_names_as_they_are_and_a_note_for_every_synonym():
    rows = CategoryTable.read(MAPS / "coco.csv").rows
    assert {n: rows[n].category for n in CLASSES} == {n: n for n in CLASSES}
    assert all(row.category and row.note for n, row in rows.items() if n not in CLASSES)


@pytest.mark.parametrize(
    ("file_name", "stored"),
    [
        ("sub/b.jpg", "sub/b.jpg"),
        ("images/3/abcd1234-b.jpg", "images/3/abcd1234-b.jpg"),
        ("images/3/abcd1234-b.jpg", "abcd1234-b.jpg"),
        ("images/3/abcd1234-b.jpg", "b.jpg"),
        ("images/abcd1234-b.jpg", "b.jpg"),
        ("images\\abcd1234-b.jpg", "abcd1234-b.jpg"),
        ("images\\abcd1234-b.jpg", "images/abcd1234-b.jpg"),
        ("images/3/abcd1234-my%20photo.jpg", "my photo.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("/data/upload/3/abcd1234-b.jpg", "b.jpg"),
        ("..\\..\\label-studio\\media\\upload\\4\\cb0618f6-b.jpg", "cb0618f6-b.jpg"),
        ("/data/local-files/?d=set/one%20two/b.jpg", "set/one two/b.jpg"),
        ("s3://bucket/set/b.jpg", "set/b.jpg"),
        ("https://host.org/set/b.jpg?sign=1", "b.jpg"),
        ("sub/abcd1234-b.jpg", "sub/b.jpg"),
    ],
)
def test_convert_photo_is_found_by_what_the_tool_made_of_its_name(folder, file_name, stored):
    put(folder, stored)
    image = convert(folder, coco([{}], [file_name]))["images"][0]
    assert image["file_name"] == stored
    assert image.get("source_name", stored) == file_name


def test_convert_photo_as_written_comes_before_any_guess(folder):
    put(folder, "images/abcd1234-b.jpg", "abcd1234-b.jpg", "b.jpg")
    data = convert(folder, coco([{}], ["images/abcd1234-b.jpg"]))
    assert data["images"][0]["file_name"] == "images/abcd1234-b.jpg"


def test_convert_two_uploads_of_one_name_are_both_refused(folder, capsys):
    put(folder, "b.jpg")
    made = coco([{}, {"image_id": 1}, {"image_id": 2}],
                ["a.jpg", "images/aaaaaaaa-b.jpg", "images/bbbbbbbb-b.jpg"])  # fmt: skip
    data = convert(folder, made)
    assert [i["file_name"] for i in data["images"]] == ["a.jpg"]
    assert capsys.readouterr().err.count("skipped (photo twice): in.json: images[") == 2


@pytest.mark.parametrize(
    ("file_name", "kind"),
    [
        ("gone.jpg", "missing photo"),
        ("../secret/b.jpg", "image name"),
        ("/etc/b.jpg", "image name"),
        ("%2e%2e/b.jpg", "missing photo"),
    ],
)
def test_convert_photo_that_is_not_there_or_outside_is_a_bad_row(folder, capsys, file_name, kind):
    put(folder, "../secret/b.jpg", "../b.jpg")
    data = convert(folder, coco([{}, {"image_id": 1}], ["a.jpg", file_name]))
    assert len(data["images"]) == 1
    assert f"skipped ({kind}): in.json: images[1] (id 1): " in capsys.readouterr().err


def test_convert_unchecked_names_are_made_safe_but_not_guessed(folder):
    made = coco(
        [{}, {"image_id": 1}, {"image_id": 2}],
        ["images/3/abcd1234-b.jpg", "/data/upload/3/abcd1234-b.jpg", "x\\y.jpg"],
    )
    data = convert(folder, made, checked=False)
    names = [i["file_name"] for i in data["images"]]
    assert names[:2] == ["images/3/abcd1234-b.jpg", "abcd1234-b.jpg"]


def test_photo_names_are_distinct_and_most_literal_first():
    assert photo_names("a.jpg") == ["a.jpg"]
    assert photo_names("images/3/abcd1234-b%20c.jpg") == [
        "images/3/abcd1234-b%20c.jpg",
        "images/3/abcd1234-b c.jpg",
        "abcd1234-b c.jpg",
        "b c.jpg",
    ]


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ({"segmentation": [[1, 2, 3]]}, "mask"),
        ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "mask"),
        ({"segmentation": {"size": [40, 60], "counts": [2400]}}, "empty mask"),
        ({"segmentation": square(2, 3)}, "duplicate mask"),
        ({"attributes": {"fit": float("nan")}, "segmentation": square(9, 9)}, "not a number"),
    ],
)
def test_convert_bad_mask_is_named_by_file_and_entry(folder, capsys, annotation, kind):
    data = convert(folder, coco([{}, annotation]))
    assert len(data["annotations"]) == 1
    assert f"skipped ({kind}): in.json: annotations[1] (id 1): " in capsys.readouterr().err


def test_convert_file_that_is_no_coco_file_is_an_error_that_names_it(folder):
    for made in ([], {"images": []}, coco([{"image_id": 5}])):
        with pytest.raises(FashionError, match=r"in\.json"):
            convert(folder, made)


def test_convert_own_output_again_is_the_same(folder):
    once = convert(folder, coco([{"attributes": CVAT}, {"segmentation": BRUSH}]))
    again = convert(folder, once, "--force")
    for key in ("bbox", "area", "segmentation", "category_id", "iscrowd"):
        assert [a[key] for a in again["annotations"]] == [a[key] for a in once["annotations"]]
