"""Filtering a COCO file and drawing photos of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datasets_tools.sample import draw, draw_per_class
from datasets_tools.split import make_lists
from datasets_tools.subset import filter_coco
from fashion_mmdet.commands import data
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError

NAMES = {1: "dress", 2: "shoe", 3: "shirt, blouse"}


def box(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def coco_of(*photos: list[tuple[int, list]], sources: list[str] | None = None) -> dict:
    """Return a file whose photo i has the given (category id, polygons)."""
    images, annotations = [], []
    for i, masks in enumerate(photos, start=1):
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 50, "width": 50})
        if sources:
            images[-1]["source"] = sources[i - 1]
        for category_id, segmentation in masks:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": category_id,
                 "segmentation": segmentation, "bbox": [0, 0, 50, 50], "area": 2500}
            )  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in NAMES.items()]
    info = {"description": "é"}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


BIG, THIN, SMALL = box(0, 0, 20, 20), box(0, 0, 40, 2), box(0, 0, 5, 5)
COCO = coco_of([(1, BIG), (2, SMALL)], [(2, BIG)], [(3, THIN)], [])


def kept(subset) -> tuple[list[int], list[int]]:
    coco = subset.coco
    return [i["id"] for i in coco["images"]], [a["id"] for a in coco["annotations"]]


@pytest.mark.parametrize(
    ("options", "images", "annotations"),
    [
        ({}, [1, 2, 3], [1, 2, 3, 4]),
        ({"classes": ["shoe"]}, [1, 2], [2, 3]),
        ({"classes": ["shirt, blouse", "dress"]}, [1, 3], [1, 4]),
        ({"min_area_px": 80}, [1, 2, 3], [1, 3, 4]),
        ({"min_area_px": 81}, [1, 2], [1, 3]),
        ({"min_side_px": 3}, [1, 2], [1, 2, 3]),
        ({"min_instances": 2}, [1], [1, 2]),
    ],
)
def test_filter_keeps_what_is_asked_for(options, images, annotations):
    assert kept(filter_coco(COCO, **options)) == (images, annotations)


def test_filter_counts_what_it_leaves_out():
    subset = filter_coco(COCO, classes=["dress", "shoe"], min_area_px=100, min_instances=1)
    assert subset.counts == {
        "masks of other classes": 1,
        "masks that are too small": 1,
        "images that had no masks": 1,
        "images without any mask left": 1,
    }
    assert list(subset.lines())[-1] == "kept 2 of 4 images, 2 of 4 masks"
    assert filter_coco(COCO, min_instances=2).counts["masks on such images"] == 2


def test_filter_sources_keeps_parts_and_parts_of_parts():
    photos = [[(1, BIG)]] * 4
    coco = coco_of(*photos, sources=["a", "b/a", "a/x", "b+a"])
    assert kept(filter_coco(coco, sources=["a"]))[0] == [1, 3, 4]
    assert kept(filter_coco(coco, sources=["b"]))[0] == [2, 4]
    coco["annotations"][3]["source"] = "b"  # of the photo of both, the mask is of one
    assert kept(filter_coco(coco, sources=["a"]))[0] == [1, 3]
    with pytest.raises(FashionError, match="There are: a, a/x, b, b/a"):
        filter_coco(coco, sources=["c"])
    with pytest.raises(FashionError, match="only merged files"):
        filter_coco(COCO, sources=["c"])


def test_filter_unknown_class_and_nothing_left_are_refused():
    with pytest.raises(FashionError, match="'shoes'.* Did you mean 'shoe'"):
        filter_coco(COCO, classes=["shoes"])
    with pytest.raises(FashionError, match="at least one image to keep.*that are too small: 4"):
        filter_coco(COCO, min_area_px=1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(COCO))
    return path


def test_filter_command_writes_a_coco_file_with_all_categories(path, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["filter", str(path), "--out", str(out)]
    assert data.main([*words, "--classes", "dress", "shirt, blouse"]) == 0
    coco = read_coco(out)
    assert [a["id"] for a in coco["annotations"]] == [1, 4]
    assert coco["categories"] == COCO["categories"] and coco["info"] == COCO["info"]
    assert "left out, masks of other classes: 2" in capsys.readouterr().out
    with pytest.raises(FashionError, match="--force"):
        data.main(words)
    with pytest.raises(FashionError, match="another file than the input"):
        data.main(["filter", str(path), "--out", str(path), "--force"])


@pytest.mark.parametrize("words", [["--min-area", "-1"], ["--min-area", "nan"],
                                   ["--min-instances", "0"], ["--min-instances", "1.5"]])
def test_filter_wrong_numbers_are_wrong_usage(path, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        data.main(["filter", str(path), "--out", "x.json", *words])
    assert stopped.value.code == 2


MANY = coco_of(*[[(1, BIG)] + [(2, BIG)] * (i % 5 == 0) + [(3, BIG)] * (i % 20 == 0)
                 for i in range(100)])


def test_sample_same_seed_same_photos_whatever_the_order():
    drawn = draw(MANY, 20, seed=3)
    assert len(drawn) == 20 and drawn != draw(MANY, 20, seed=4)
    assert drawn == draw(MANY | {"images": MANY["images"][::-1]}, 20, seed=3)
    renumbered = [{**image, "id": image["id"] + 1000} for image in MANY["images"]]
    assert {i - 1000 for i in draw(MANY | {"images": renumbered}, 20, seed=3)} == drawn
    assert drawn < draw(MANY, 21, seed=3)
    with pytest.raises(FashionError, match="at most 100"):
        draw(MANY, 101)


def test_sample_is_no_draw_of_split_by_the_same_seed():
    # One ranking for both would make a sample of test photos alone.
    test = make_lists([image["file_name"] for image in MANY["images"]], (0.6, 0.2, 0.2), 0)["test"]
    names = {image["id"]: image["file_name"] for image in MANY["images"]}
    shared = {names[i] for i in draw(MANY, 20, seed=0)} & set(test)
    assert len(shared) < 10  # 4 of 20 are to be expected


def test_sample_per_class_draws_no_more_than_each_class_lacks():
    chosen = draw_per_class(MANY, 8, seed=0)
    images_of = {c: {a["image_id"] for a in MANY["annotations"] if a["category_id"] == c}
                 for c in NAMES}
    assert images_of[3] <= chosen  # it has five
    assert len(images_of[2] & chosen) == 8  # those five, which have it too, and three more
    assert len(chosen) == 8  # all of these have the first class


def test_sample_command_keeps_all_instances_of_a_photo(path, tmp_path, capsys):
    out = tmp_path / "out.json"
    assert data.main(["sample", str(path), "--per-class", "1", "--out", str(out)]) == 0
    coco = read_coco(out)
    assert {a["category_id"] for a in coco["annotations"]} == set(NAMES)
    ids = {i["id"] for i in coco["images"]}
    assert coco["annotations"] == [a for a in COCO["annotations"] if a["image_id"] in ids]
    assert "images not drawn" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["filter"], ["sample", "--count", "2"]])
def test_part_of_a_cache_is_refused_and_the_originals_named(path, tmp_path, words):
    whole = {**COCO, "info": {"description": "é", "cached_from": {"annotations": "../a.json"}}}
    path.write_text(json.dumps(whole))
    with pytest.raises(FashionError, match=r"got those of a cache.* Give \.\./a\.json"):
        data.main([words[0], str(path), *words[1:], "--out", str(tmp_path / "o.json")])
    assert not (tmp_path / "o.json").exists()
