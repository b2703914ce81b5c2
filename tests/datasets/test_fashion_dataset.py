"""FashionDataset: labels by name, every kind of mask trains, nothing is dropped in silence."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_mmdet.core.errors import AnnotationError, OntologyError
from fashion_mmdet.core.ontology import CLASSES

pytestmark = pytest.mark.mm

H, W = 40, 60
PIPELINE = [
    {"type": "LoadPhoto"},
    {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True},
    {"type": "PackDetInputs"},
]


def rle_of(mask: np.ndarray, kind: str) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    if kind == "bytes":
        return rle
    if kind == "compressed":
        return {"size": rle["size"], "counts": rle["counts"].decode()}
    flat = mask.flatten(order="F").astype(int)
    counts, value, run = [], 0, 0
    for pixel in flat:
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": rle["size"], "counts": [*counts, run]}


def square(x0: int, y0: int, side: int = 12) -> np.ndarray:
    mask = np.zeros((H, W), dtype=bool)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return mask


def annotation(number: int, category_id: int, mask: np.ndarray, **extra: Any) -> dict[str, Any]:
    ys, xs = np.nonzero(mask)
    box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
    entry = {
        "id": number,
        "image_id": 1,
        "category_id": category_id,
        "bbox": box,
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": rle_of(mask, "compressed"),
    }
    return {**entry, **extra}


def coco(categories: list[tuple[int, str]], annotations: list[dict]) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": H, "width": W}],
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in categories],
    }


@pytest.fixture
def build(tmp_path: Path):
    """Return a function that writes a COCO dict and builds the dataset on it."""
    Image.fromarray(np.full((H, W, 3), 128, np.uint8)).save(tmp_path / "a.jpg")

    def make(content: dict[str, Any], **kwargs: Any):
        from mmdet.utils import register_all_modules

        import fashion_mmdet.register  # noqa: F401
        from fashion_mmdet.datasets import FashionDataset

        register_all_modules()
        path = tmp_path / "ann.json"
        path.write_text(json.dumps(content, default=lambda b: b.decode()))
        kwargs.setdefault("pipeline", PIPELINE)
        return FashionDataset(ann_file=str(path), data_prefix={"img": str(tmp_path)}, **kwargs)

    return make


@pytest.fixture
def log():
    """What is logged while a test runs, as one text; mmengine's logger does not propagate."""
    from mmengine.logging import MMLogger

    class Kept(logging.Handler):
        text = ""
        records: list[logging.LogRecord] = []

        def emit(self, record: logging.LogRecord) -> None:
            Kept.text += record.getMessage() + "\n"
            Kept.records.append(record)

    kept = Kept()
    logger = MMLogger.get_current_instance()
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)


def labels(dataset: Any) -> list[int]:
    return [i["bbox_label"] for i in dataset.get_data_info(0)["instances"]]


def test_labels_of_a_reordered_file_do_not_shift(build) -> None:
    given = coco(
        [(7, "sandals"), (900, "shoe"), (3, "dress")],
        [annotation(1, 900, square(0, 0)), annotation(2, 3, square(20, 5))],
    )
    assert labels(build(given)) == [CLASSES.index("shoe"), CLASSES.index("dress")]


def test_labels_of_the_three_shoe_types_alone_are_not_0_1_2(build) -> None:
    given = coco(
        [(0, "canvasshoes"), (1, "high-heels"), (2, "sandals")],
        [annotation(i + 1, i, square(14 * i, 0)) for i in range(3)],
    )
    assert labels(build(given)) == [46, 47, 48]


def test_stock_dataset_shifts_on_the_same_file(build, tmp_path: Path) -> None:
    # The control: what this class is for. If mmdet mends it, this class may go.
    from mmdet.datasets import CocoDataset

    build(coco([(9, "sandals"), (4, "shoe"), (2, "dress")], [annotation(1, 4, square(0, 0))]))
    stock = CocoDataset(
        ann_file=str(tmp_path / "ann.json"),
        data_prefix={"img": str(tmp_path)},
        metainfo={"classes": CLASSES},
        pipeline=[],
    )
    assert labels(stock) != [CLASSES.index("shoe")]


def test_misspelt_category_is_refused_with_the_nearest(build) -> None:
    given = coco([(1, "snadals")], [annotation(1, 1, square(0, 0))])
    said = r"'snadals' \(1 annotations; did you mean 'sandals'\?\)\. Rename"
    with pytest.raises(OntologyError, match=said):
        build(given)


def test_foreign_categories_are_listed_as_a_sentence(build) -> None:
    given = coco(
        [(1, "qqqq"), (2, "snadals")],
        [annotation(1, 1, square(0, 0)), annotation(2, 2, square(20, 5))],
    )
    said = r"got 'qqqq' \(1 annotations\), 'snadals' \(1 annotations; did you .*\?\)\. Rename"
    with pytest.raises(OntologyError, match=said):
        build(given)


def test_duplicated_category_name_is_refused(build) -> None:
    given = coco([(1, "shoe"), (2, "shoe")], [annotation(1, 1, square(0, 0))])
    with pytest.raises(OntologyError, match="shoe"):
        build(given)


def test_annotation_of_an_unlisted_category_is_refused(build) -> None:
    given = coco([(1, "shoe")], [annotation(1, 23, square(0, 0))])
    with pytest.raises(AnnotationError):
        build(given)


def test_unknown_category_without_annotations_is_a_warning(build, log) -> None:
    given = coco([(1, "earmuffs"), (2, "shoe")], [annotation(1, 2, square(0, 0))])
    assert labels(build(given)) == [23]
    assert "earmuffs" in log.text


def test_classes_asked_for_alone_leave_the_others_out_and_count_them(build) -> None:
    given = coco(
        [(1, "shoe"), (2, "dress")],
        [annotation(1, 1, square(0, 0)), annotation(2, 2, square(20, 5))],
    )
    dataset = build(given, metainfo={"classes": ("dress",)})
    assert labels(dataset) == [0]
    assert dataset.report["left out: category not in metainfo.classes"] == 1
    assert len(dataset.metainfo["palette"]) == 1


def test_classes_of_ones_own_are_taken_by_name(build) -> None:
    given = coco([(5, "hat of mine"), (6, "other")], [annotation(1, 5, square(0, 0))])
    assert labels(build(given, metainfo={"classes": ("other", "hat of mine")})) == [1]


@pytest.mark.parametrize("poly2mask", [True, False])
@pytest.mark.parametrize("kind", ["compressed", "uncompressed", "bytes", "polygon"])
def test_mask_of_every_kind_trains_and_is_the_same(build, kind: str, poly2mask: bool) -> None:
    mask = square(10, 8)
    segmentation = [[10, 8, 22, 8, 22, 20, 10, 20]] if kind == "polygon" else rle_of(mask, kind)
    pipeline = copy.deepcopy(PIPELINE)
    pipeline[1]["poly2mask"] = poly2mask
    given = coco([(1, "shoe")], [annotation(1, 1, mask, segmentation=segmentation)])
    packed = build(given, pipeline=pipeline)[0]["data_samples"]
    assert len(packed.gt_instances) == 1 and len(packed.ignored_instances) == 0
    assert np.array_equal(packed.gt_instances.masks.to_ndarray()[0].astype(bool), mask)


def test_bytes_counts_given_as_an_object_train(build) -> None:
    # JSON cannot hold bytes; a dataset built from Python objects can.
    dataset = build(coco([(1, "shoe")], []))
    found = dataset._mask({"id": 1, "segmentation": rle_of(square(3, 3), "bytes")}, H, W)
    assert isinstance(found["counts"], str)


def test_run_length_masks_under_poly2mask_false_are_said(build, log) -> None:
    pipeline = copy.deepcopy(PIPELINE)
    pipeline[1]["poly2mask"] = False
    build(coco([(1, "shoe")], [annotation(1, 1, square(0, 0))]), pipeline=pipeline)
    assert "poly2mask=False" in log.text


def test_what_is_ignored_or_dropped_is_counted_and_logged(build, log) -> None:
    good = annotation(1, 1, square(0, 0))
    size_wrong = {"size": [H + 1, W], "counts": [(H + 1) * W]}
    given = coco(
        [(1, "shoe")],
        [
            good,
            annotation(2, 1, square(20, 0), iscrowd=1),
            annotation(3, 1, square(20, 0), segmentation=size_wrong),
            annotation(4, 1, square(20, 0), segmentation=[[1, 1, 2, 2]]),
            annotation(5, 1, square(20, 0), bbox=[W + 5, 0, 10, 10]),
            annotation(6, 1, square(20, 0), bbox=[3, 3, 0.4, 9]),
            annotation(7, 1, square(20, 0), ignore=1),
            annotation(8, 1, square(20, 0), area=0),
        ],
    )
    dataset = build(given)
    assert dataset.report == {
        "kept": 1,
        "ignored": 3,
        "ignored: crowd": 1,
        "ignored: no valid mask": 2,
        "dropped: box outside the image": 1,
        "dropped: box under 1 px or area 0": 2,
        "dropped: marked 'ignore'": 1,
    }
    for reason in dataset.report:
        assert reason == "kept" or reason in log.text
    packed = dataset[0]["data_samples"]
    assert len(packed.gt_instances) == 1 and len(packed.ignored_instances) == 3


GOOD_POLYGON = [10, 8, 22, 8, 22, 20, 10, 20]


@pytest.mark.parametrize("bad", [3e9, 1e300, "50"])
@pytest.mark.parametrize("poly2mask", [True, False])
def test_bad_polygon_never_reaches_the_loader(build, bad: Any, poly2mask: bool) -> None:
    # pycocotools crashes the process on the first two.
    polygon = [1, 1, bad, 1, 4, 4]
    entries = [
        annotation(1, 1, square(10, 8), segmentation=[polygon]),
        annotation(2, 1, square(10, 8), segmentation=[polygon, GOOD_POLYGON]),
    ]
    pipeline = copy.deepcopy(PIPELINE)
    pipeline[1]["poly2mask"] = poly2mask
    dataset = build(coco([(1, "shoe")], entries), pipeline=pipeline)
    assert dataset.report["ignored: no valid mask"] == 1
    assert dataset.report["polygon left out of a mask"] == 1
    packed = dataset[0]["data_samples"]
    assert len(packed.gt_instances) == 1 and len(packed.ignored_instances) == 1
    assert np.array_equal(packed.gt_instances.masks.to_ndarray()[0].astype(bool), square(10, 8))


@pytest.mark.parametrize(
    "bad", [[1, 1, 2, 2], ["1"] * 6, [0, 0, 9e9, 0, 9, 9], [0, 0, 1e3, 0, 1, 1]]
)
def test_dataset_and_metric_keep_the_same_of_a_mask(build, tmp_path: Path, bad: list) -> None:
    from fashion_mmdet.core.ground_truth import read_ground_truth
    from fashion_mmdet.core.rle import to_rle

    given = coco([(1, "shoe")], [annotation(1, 1, square(10, 8), segmentation=[GOOD_POLYGON, bad])])
    trained = build(given).get_data_info(0)["instances"][0]
    truth = read_ground_truth(tmp_path / "ann.json", CLASSES, masks=True)
    assert truth.annotations[0]["segmentation"] == to_rle(trained["mask"], H, W, "test")
    assert len(truth.faults) == 1 and not trained["ignore_flag"]


def test_box_with_an_invalid_mask_and_no_area_is_an_ignored_region(build) -> None:
    entry = annotation(1, 1, square(20, 0), segmentation=[[1, 1, 2, 2]])
    del entry["area"]
    dataset = build(coco([(1, "shoe")], [entry]))
    (instance,) = dataset.get_data_info(0)["instances"]
    assert instance["ignore_flag"] == 1 and instance["bbox"] == [20, 0, 32, 12]
    assert dataset.report["area of the box taken: no valid mask"] == 1


def test_crowd_with_a_mask_and_no_box_is_an_ignored_region(build) -> None:
    entry = annotation(1, 1, square(10, 8), iscrowd=1)
    del entry["bbox"]
    (instance,) = build(coco([(1, "shoe")], [entry])).get_data_info(0)["instances"]
    assert instance["ignore_flag"] == 1 and instance["bbox"] == [10, 8, 22, 20]


def test_training_set_with_nothing_left_names_the_file_and_the_reasons(build) -> None:
    given = coco([(1, "shoe")], [annotation(1, 1, square(0, 0), iscrowd=1)])
    with pytest.raises(AnnotationError, match=r"ann\.json: .*of 1 \(.*1 x ignored: crowd; "):
        build(given, filter_cfg={"filter_empty_gt": True})


def test_box_and_area_are_derived_from_the_mask(build, log) -> None:
    entry = annotation(1, 1, square(10, 8))
    del entry["bbox"], entry["area"]
    dataset = build(coco([(1, "shoe")], [entry]))
    assert dataset.get_data_info(0)["instances"][0]["bbox"] == [10, 8, 22, 20]
    assert dataset.report["box derived from its mask"] == 1
    (said,) = [r for r in log.records if "derived from its mask" in r.getMessage()]
    assert said.levelno == logging.INFO
    assert said.getMessage().endswith(
        ": 1 x box derived from its mask; 1 x area derived from its mask."
    )


def test_image_without_anything_to_learn_is_left_out_and_counted(build) -> None:
    given = coco([(1, "shoe")], [annotation(1, 1, square(0, 0), iscrowd=1)])
    given["images"].append({"id": 2, "file_name": "a.jpg", "height": H, "width": W})
    given["annotations"].append(annotation(2, 1, square(0, 0), image_id=2))
    dataset = build(given, filter_cfg={"filter_empty_gt": True})
    assert [dataset.get_data_info(n)["img_id"] for n in range(len(dataset))] == [2]
    assert dataset.report["image left out: nothing to learn from in it"] == 1


def test_missing_annotation_file_says_how_to_get_it_and_where_it_was_looked_for(
    build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(coco([(1, "shoe")], [annotation(1, 1, square(0, 0))]))  # registers all
    from fashion_mmdet.datasets import FashionDataset

    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnnotationError) as caught:
        FashionDataset(ann_file="annotations/train.json", data_root="data/demo", pipeline=[])
    said = str(caught.value)
    assert said.startswith("data/demo/annotations/train.json: an annotation file expected, found")
    assert "Convert the data first (README, 'Data')" in said and "FASHION_DATA" in said
    assert said.endswith(f" Relative paths are looked up from {tmp_path}.")


def test_missing_photos_of_a_relative_folder_name_the_working_directory(
    build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(coco([(1, "shoe")], [annotation(1, 1, square(0, 0))]))
    from fashion_mmdet.datasets import FashionDataset

    monkeypatch.chdir(tmp_path)
    with pytest.raises(AnnotationError, match=f"looked up from {tmp_path}") as caught:
        FashionDataset(ann_file="ann.json", data_prefix={"img": "photos"}, pipeline=[])
    assert "the first is photos/a.jpg" in str(caught.value)


def test_missing_photos_stop_the_run_at_its_start(build) -> None:
    given = coco([(1, "shoe")], [annotation(1, 1, square(0, 0))])
    given["images"][0]["file_name"] = "gone.jpg"
    with pytest.raises(AnnotationError, match=r"1 are missing.*gone\.jpg"):
        build(given)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "x/../../a.jpg"])
def test_file_name_that_leaves_the_folder_is_refused(build, name: str) -> None:
    given = coco([(1, "shoe")], [annotation(1, 1, square(0, 0))])
    given["images"][0]["file_name"] = name
    with pytest.raises(ValueError, match="inside"):
        build(given)


def test_real_fashionpedia_sample_maps_by_name(shared_dir: Path) -> None:
    import fashion_mmdet.register  # noqa: F401
    from fashion_mmdet.datasets import FashionDataset

    folder = shared_dir / "data" / "fashionpedia_sample"
    dataset = FashionDataset(
        ann_file=str(folder / "sample.json"), data_prefix={"img": str(folder)}, pipeline=[]
    )
    raw = json.loads((folder / "sample.json").read_text())
    name_of = {c["id"]: c["name"] for c in raw["categories"]}
    expected = sorted(name_of[a["category_id"]] for a in raw["annotations"])
    found = sorted(
        CLASSES[i["bbox_label"]] for n in range(2) for i in dataset.get_data_info(n)["instances"]
    )
    assert found == expected
    # Its ids are those of an older order: by id, sleeves (32) would become pockets.
    assert any(CLASSES[a["category_id"]] != name_of[a["category_id"]] for a in raw["annotations"])


@pytest.mark.parametrize("is_cache", [False, True])
def test_stale_cache_is_told_by_its_ledger_alone(build, tmp_path: Path, is_cache: bool) -> None:
    content = coco([(1, "dress")], [annotation(1, 1, square(2, 2))])
    content["info"] = {"cached_from": {"annotations": "ann.json", "sha256": "of another file"}}
    if is_cache:
        (tmp_path / "photos.jsonl").write_text("")
        with pytest.raises(AnnotationError, match="one of an earlier state"):
            build(content)
    else:
        assert len(build(content)) == 1
