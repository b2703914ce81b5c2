"""iMaterialist 2020: attributes in a column of their own; all else is as in 2019."""

from __future__ import annotations

import csv
import json

import pytest

from datasets_tools.csv_rows import split_row
from datasets_tools.sources.imaterialist import convert as convert_csv
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.ontology import CLASSES, CLASSES_46

HEADER = "ImageId,EncodedPixels,Height,Width,ClassId,AttributesIds"
GOOD = ['a,1 2,4,6,6,"115,136,143"', "a,5 4,4,6,23,", "b,24 1,4,6,0,340"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({
        "categories": [{"id": i, "name": n, "level": 2} for i, n in enumerate(CLASSES_46)],
        # As in the real file, the numbers have gaps.
        "attributes": [{"id": i, "name": f"attribute {i}", "supercategory": "nickname"}
                       for i in (0, 1, 115, 136, 143, 340)],
    }))  # fmt: skip
    return tmp_path


def convert(folder, rows, header=HEADER, labels=None):
    (folder / "train.csv").write_text("".join(f"{line}\n" for line in [header, *rows]))
    report = convert_csv(
        folder / "train.csv", labels or folder / "labels.json", None, folder / "all.json",
        check_photos=False, progress=False,
    )  # fmt: skip
    return report, read_coco(folder / "all.json")


def test_convert_2020_attributes_come_from_their_column(folder):
    report, data = convert(folder, GOOD)
    assert [CLASSES[a["category_id"]] for a in data["annotations"]] == [
        "pants", "shoe", "shirt, blouse",
    ]  # fmt: skip
    assert [a["attribute_ids"] for a in data["annotations"]] == [[115, 136, 143], [], [340]]
    assert [a["area"] for a in data["annotations"]] == [2, 4, 1]
    assert data["attributes"][-1] == {
        "id": 340, "name": "attribute 340", "supercategory": "nickname",
    }  # fmt: skip
    assert "2020" in data["info"]["description"]
    assert report.bad.total == 0 and report.notes == ()


def test_convert_2019_file_by_the_same_reader_has_them_in_the_class_id(folder):
    header = HEADER.removesuffix(",AttributesIds")
    _, data = convert(folder, ["a,1 2,4,6,6_115_340"], header)
    assert data["annotations"][0]["attribute_ids"] == [115, 340]
    assert "2019" in data["info"]["description"]


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ("a,9 1,4,6,6_115,", "unknown class", "such as '6' expected"),
        ("a,9 1,4,6,46,", "unknown class", "got 46"),
        ("a,9 1,4,6,,115", "unknown class", "''"),
        ("a,9 1,4,6,6,2", "unknown attribute", "got 2"),
        ('a,9 1,4,6,6,"115,x"', "unknown attribute", "'115,x'"),
        ('a,9 1,4,6,6,"115,"', "unknown attribute", "'115,'"),
        ("a,9 1,4,6,6,115.0", "unknown attribute", "'115.0'"),
        ("a,9 1,4,6,6,115,136", "number of fields", "got 7"),
        ("a,9 1,4,6,6", "number of fields", "got 5"),
        ('a,9 1,4,6,6,"115', "number of fields", "quote"),
        ("a,9 x,4,6,6,", "junk numbers", "'x'"),
    ],
)
def test_convert_2020_bad_row_is_named_counted_and_skipped(folder, row, kind, said):
    report, data = convert(folder, [GOOD[0], row, *GOOD[1:]])
    assert dict(report.bad.counts) == {kind: 1}
    (message,) = report.bad.first[kind]
    assert message.startswith("train.csv:3: ") and said in message
    assert [a["source_line"] for a in data["annotations"]] == [2, 4, 5]


def test_convert_attributes_column_twice_is_fatal(folder):
    with pytest.raises(AnnotationError, match="AttributesIds expected, each once"):
        convert(folder, GOOD, HEADER + ",AttributesIds")


@pytest.mark.parametrize(
    "text",
    [
        'a,1 2,4,6,6,"115,136"', "a,1,", 'a,"1,2",b', '"a",b', '"1,2"', 'a,""', 'a,"x""y"',
        'a,"1,2"x', 'a,"1', 'a,b"c"', 'a, "1"',
    ],
)  # fmt: skip
def test_split_row_does_as_the_csv_module(text):
    try:
        expected = next(csv.reader([text], strict=True))
    except csv.Error:
        expected = None
    assert split_row(text) == expected


def test_convert_2020_real_descriptions_by_all_46_names(shared_dir, folder):
    labels = shared_dir / "data" / "imaterialist" / "imaterialist2020_label_descriptions.json"
    if not labels.is_file():
        pytest.skip(f"no {labels}")
    real = json.loads(labels.read_text())
    rows = [f'a,{1 + i} 1,9,9,{c["id"]},"0,340"' for i, c in enumerate(real["categories"])]
    report, data = convert(folder, rows, labels=labels)
    assert report.n_masks == 46 and report.bad.total == 0
    names = [CLASSES[a["category_id"]] for a in data["annotations"]]
    assert names == [c["name"] for c in real["categories"]]
    assert len(data["attributes"]) == 294
    assert [a["name"] for a in data["attributes"]] == [a["name"] for a in real["attributes"]]
