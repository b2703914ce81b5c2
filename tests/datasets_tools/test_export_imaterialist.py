"""COCO to iMaterialist's CSV, and back to the same."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_tools.export_imaterialist import export_imaterialist
from datasets_tools.sources import imaterialist
from fashion_mmdet.commands import data
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import FashionError, OntologyError

ATTRIBUTES = [{"id": i, "name": f"attribute {i}"} for i in range(5)]


def save_coco(path: Path, photos: list[tuple[str, tuple[int, int], list]]) -> Path:
    """Write a file of (file_name, size_hw, [(category id, mask_HW, attribute ids)])."""
    info = {"description": "test"}
    extra = {"attributes": ATTRIBUTES}
    with CocoWriter(path, ontology.coco_categories(), info, extra) as writer:
        for image_id, (name, size_hw, masks) in enumerate(photos, start=1):
            writer.add_image(image_id=image_id, file_name=name, height=size_hw[0],
                             width=size_hw[1])
            for category_id, mask_HW, attribute_ids in masks:
                code = rle.encode_mask(mask_HW)
                writer.add_annotation(
                    annotation_id=writer.n_annotations + 1, image_id=image_id,
                    category_id=category_id, segmentation=code, bbox=rle.box_xywh(code),
                    area=rle.area_px(code), extra={"attribute_ids": attribute_ids},
                )  # fmt: skip
    return path


def there_and_back(coco_path: Path, folder: Path) -> Path:
    """Export ``coco_path`` into ``folder`` and convert it again."""
    folder.mkdir()
    export_imaterialist(coco_path, folder / "train.csv")
    out = folder / "all.json"
    imaterialist.convert(
        folder / "train.csv", folder / "label_descriptions.json", None, out, check_photos=False,
        progress=False, max_bad_rows=0,
    )  # fmt: skip
    return out


MASK = np.zeros((4, 6), dtype=bool)
MASK[1:3, 2:5] = True


@pytest.fixture
def coco_path(tmp_path: Path) -> Path:
    photos = [("a.jpg", (4, 6), [(6, MASK, [1, 2]), (48, ~MASK, [])])]
    return save_coco(tmp_path / "all.json", photos)


def edit(path: Path, change) -> None:
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))


def test_export_rows_are_kaggles(coco_path, tmp_path, capsys):
    out = tmp_path / "train.csv"
    assert data.main(["export", "imaterialist", str(coco_path), "--out", str(out)]) == 0
    assert out.read_text().splitlines()[:2] == [
        "ImageId,EncodedPixels,Height,Width,ClassId", "a,10 2 14 2 18 2,4,6,6_1_2",
    ]  # fmt: skip
    assert out.read_text().splitlines()[2].endswith(",48")
    descriptions = json.loads((tmp_path / "label_descriptions.json").read_text())
    assert [c["name"] for c in descriptions["categories"]] == list(ontology.CLASSES)
    assert descriptions["attributes"] == ATTRIBUTES
    assert "2 rows of 1 image," in capsys.readouterr().out


def test_export_ids_of_the_file_play_no_part(coco_path, tmp_path):
    def renumber(coco):
        for category in coco["categories"]:
            category["id"] += 100
        for annotation in coco["annotations"]:
            annotation["category_id"] += 100

    edit(coco_path, renumber)
    export_imaterialist(coco_path, tmp_path / "train.csv")
    assert "4,6,6_1_2" in (tmp_path / "train.csv").read_text()


_names = st.text("abcXYZ019 ._-,'\"é", min_size=1, max_size=8).filter(lambda t: t == t.strip())
_suffixes = st.sampled_from([".jpg", ".png", ".JPG", ".jpg.jpg", ".png.jpg"])


@st.composite
def _photos(draw) -> list:
    names = draw(st.lists(st.tuples(_names, _suffixes), min_size=1, max_size=4, unique_by=str))
    photos = []
    for name, suffix in names:
        height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        masks = {}
        for _ in range(draw(st.integers(1, 3))):
            bits = draw(st.integers(1, 2 ** (height * width) - 1))
            mask_HW = np.array([bits >> i & 1 for i in range(height * width)], dtype=bool)
            attributes = draw(st.lists(st.integers(0, 4), max_size=3))
            # One category of the same pixels would be a duplicate.
            key = (draw(st.integers(0, 48)), bits)
            masks[key] = (key[0], mask_HW.reshape(height, width), attributes)
        photos.append((f"{name}{suffix}", (height, width), list(masks.values())))
    return photos


@settings(max_examples=60, deadline=None)
@given(_photos())
def test_export_and_convert_again_is_identical(photos):
    with tempfile.TemporaryDirectory() as folder:
        first = there_and_back(save_coco(Path(folder) / "0.json", photos), Path(folder) / "1")
        second = there_and_back(first, Path(folder) / "2")
        assert second.read_bytes() == first.read_bytes()
        # And the first trip lost nothing: names, pixels, categories, attributes.
        start, end = (json.loads(p.read_text()) for p in (Path(folder) / "0.json", first))
        assert end["images"] == start["images"]
        for old, new in zip(start["annotations"], end["annotations"], strict=True):
            assert new.pop("source_line") == new["id"] + 1
            assert new == old


def test_export_real_excerpt_round_trip_is_identical(shared_dir, tmp_path):
    raw = shared_dir / "data" / "imaterialist"
    first = tmp_path / "all.json"
    imaterialist.convert(
        raw / "train_excerpt.csv", raw / "imaterialist2019_label_descriptions.json", None, first,
        check_photos=False, progress=False,
    )  # fmt: skip
    second = there_and_back(first, tmp_path / "again")
    first_coco, second_coco = (json.loads(p.read_text()) for p in (first, second))
    assert second_coco["annotations"] == first_coco["annotations"]
    assert second_coco["images"] == first_coco["images"]
    with open(raw / "train_excerpt.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    with open(tmp_path / "again" / "train.csv", newline="") as stream:
        again = list(csv.reader(stream))
    assert again == [row[:5] for row in rows]


def test_export_polygons_are_drawn_and_crowds_said(coco_path, tmp_path, capsys):
    def change(coco):
        coco["annotations"][0]["segmentation"] = [[2, 1, 5, 1, 5, 3, 2, 3], [1, 1]]
        coco["annotations"][1]["iscrowd"] = 1

    edit(coco_path, change)
    out = tmp_path / "train.csv"
    assert data.main(["export", "imaterialist", str(coco_path), "--out", str(out)]) == 0
    assert "a,10 2 14 2 18 2,4,6,6_1_2" in out.read_text()
    said = capsys.readouterr().out
    assert "regions of many instances (iscrowd) left out: 1" in said
    assert "polygons left out of masks that have others: 1" in said


@pytest.mark.parametrize("segmentation", [None, [], [[0, 0]], [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]])
def test_export_annotation_without_mask_is_a_bad_row(coco_path, tmp_path, segmentation):
    def change(coco):
        del coco["annotations"][0]["segmentation"]
        if segmentation is not None:
            coco["annotations"][0]["segmentation"] = segmentation

    edit(coco_path, change)
    report = export_imaterialist(coco_path, tmp_path / "train.csv")
    assert (report.n_rows, report.bad.total) == (1, 1)
    assert len((tmp_path / "train.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0].update(attribute_ids=[9]), r"got \[9\]"),
        (lambda c: c["annotations"][0].update(attribute_ids="1"), "got '1'"),
        (lambda c: c["annotations"][0].update(attribute_ids=[True]), "got .True"),
        (lambda c: c.update(attributes={}), "a list as 'attributes'"),
        (lambda c: c["images"][0].update(file_name="a\nb.jpg"), "one line"),
        (lambda c: c["images"][0].update(file_name=" a.jpg"), "without blanks"),
        (lambda c: c["annotations"].clear(), "at least one mask"),
    ],
)
def test_export_what_the_format_cannot_say_is_refused(coco_path, tmp_path, change, message):
    edit(coco_path, change)
    with pytest.raises(FashionError, match=message):
        export_imaterialist(coco_path, tmp_path / "train.csv")
    assert not list(tmp_path.glob("*.csv")) and not (tmp_path / "label_descriptions.json").exists()


def test_export_other_category_and_old_files_are_refused(coco_path, tmp_path):
    (tmp_path / "label_descriptions.json").write_text("{}")
    with pytest.raises(FashionError, match="label_descriptions.json.*--force"):
        export_imaterialist(coco_path, tmp_path / "train.csv")
    edit(coco_path, lambda coco: coco["categories"][6].update(name="pant"))
    with pytest.raises(OntologyError, match="'pant' .1 annotations.*'pants'"):
        export_imaterialist(coco_path, tmp_path / "train.csv", force=True)


@pytest.mark.parametrize("name", ["label_descriptions.json", "link.csv"])
def test_export_csv_of_the_other_files_name_is_refused(coco_path, tmp_path, name):
    (tmp_path / "link.csv").symlink_to("label_descriptions.json")
    with pytest.raises(FashionError, match="the name of a CSV expected"):
        export_imaterialist(coco_path, tmp_path / name, force=True)
    assert not (tmp_path / "label_descriptions.json").exists()
