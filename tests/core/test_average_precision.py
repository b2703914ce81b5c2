"""``core.average_precision``: against hand-computed numbers and against pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_mmdet.core.average_precision import RECALLS, SUMMARY, average_precision
from fashion_mmdet.core.errors import AnnotationError, OntologyError
from fashion_mmdet.core.ground_truth import read_ground_truth
from fashion_mmdet.core.rle import encode_mask

CLASSES = ("dress", "shoe", "hat")
SIZE = 64


def rectangle(x, y, w, h):
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return encode_mask(mask)


def coco_file(path, annotations, categories=None, n_images=1):
    categories = categories or [{"id": i + 1, "name": n} for i, n in enumerate(CLASSES)]
    images = [
        {"id": i + 1, "file_name": f"{i}.jpg", "height": SIZE, "width": SIZE}
        for i in range(n_images)
    ]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def instance(number, box, category_id, image_id=1, **extra):
    entry = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": list(box),
             "area": box[2] * box[3], "segmentation": rectangle(*box), "iscrowd": 0}
    return {**entry, **extra}


def detection(box, label, score, image_id=1):
    return {"image_id": image_id, "label": label, "score": score,
            "bbox": [float(v) for v in box], "segmentation": rectangle(*box)}


def random_case(seed):
    """Ground truth with crowds and all sizes; detections near it, elsewhere, and mislabelled."""
    rng = np.random.default_rng(seed)
    annotations, detections = [], []
    for image_id in range(1, 7):
        for _ in range(rng.integers(0, 6)):
            w, h = rng.integers(4, 50, size=2)
            x, y = rng.integers(0, SIZE - w), rng.integers(0, SIZE - h)
            box = tuple(int(v) for v in (x, y, w, h))
            label = int(rng.integers(3))
            crowd = int(rng.random() < 0.15)
            annotations.append(
                instance(len(annotations) + 1, box, label + 1, image_id, iscrowd=crowd)
            )
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.integers(-4, 5, size=2)
                near = (int(np.clip(x + dx, 0, SIZE - w)), int(np.clip(y + dy, 0, SIZE - h)),
                        int(w), int(h))
                shown = label if rng.random() < 0.8 else int(rng.integers(3))
                detections.append(detection(near, shown, float(rng.random()), image_id))
        detections.append(detection((0, 0, 9, 9), int(rng.integers(3)), 0.3, image_id))
    return annotations, detections


def pycocotools_stats(path, detections, iou_type):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        rows = copy.deepcopy(detections)
        for row in rows:
            row["category_id"] = row.pop("label") + 1
            if iou_type == "segm":
                row.pop("bbox")
            else:
                row.pop("segmentation")
        evaluation = COCOeval(truth, truth.loadRes(rows), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval["precision"]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_average_precision_hand_computed_case_matches(tmp_path, iou_type):
    # Two shoes. Best first: a hit (IoU 1), a miss, a hit with IoU 90/110 = 0.818.
    # IoU 0.50 to 0.80 (7 thresholds): precision 1 for recall <= 0.5 (51 of 101 steps),
    # 2/3 for the other 50; at 0.85, 0.90 and 0.95 only the first hit: 51 steps of 1.
    path = coco_file(
        tmp_path / "a.json", [instance(1, (0, 0, 10, 10), 2), instance(2, (20, 20, 10, 10), 2)]
    )
    found = [detection((0, 0, 10, 10), 1, 0.9), detection((45, 45, 10, 10), 1, 0.8),
             detection((21, 20, 10, 10), 1, 0.7)]
    low, high = (51 + 50 * 2 / 3) / 101, 51 / 101
    ap = average_precision(read_ground_truth(path, CLASSES, masks=True), found, iou_type)
    expected = (7 * low + 3 * high) / 10
    assert ap.summary["mAP"] == pytest.approx(expected, abs=1e-9)
    assert ap.summary["mAP_50"] == pytest.approx(low, abs=1e-9)
    assert ap.summary["mAP_75"] == pytest.approx(low, abs=1e-9)
    assert ap.of_label == {1: pytest.approx(expected, abs=1e-9)}
    assert ap.of_group == {"legs and feet": pytest.approx(expected, abs=1e-9)}


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_random_data_equals_pycocotools(tmp_path, seed, iou_type):
    annotations, found = random_case(seed)
    path = coco_file(tmp_path / "a.json", annotations, n_images=6)
    stats, curves = pycocotools_stats(path, found, iou_type)
    ap = average_precision(read_ground_truth(path, CLASSES, masks=True), found, iou_type)
    expected = {n: s for n, s in zip([*SUMMARY, *RECALLS], stats, strict=True) if s > -1}
    assert ap.summary == pytest.approx(expected, abs=1e-9)
    assert 0.02 < ap.summary["mAP"] < 0.98
    for label, value in ap.of_label.items():
        assert value == pytest.approx(curves[:, :, label, 0, -1].mean(), abs=1e-9)


def test_average_precision_permuted_labels_lowers_it(tmp_path):
    annotations, found = random_case(0)
    path = coco_file(tmp_path / "a.json", annotations, n_images=6)
    truth = read_ground_truth(path, CLASSES, masks=True)
    permuted = [{**d, "label": (d["label"] + 1) % 3} for d in found]
    right = average_precision(truth, found, "segm").summary["mAP"]
    assert average_precision(truth, permuted, "segm").summary["mAP"] < 0.5 * right


def test_average_precision_groups_are_means_of_measured_classes(tmp_path):
    annotations, found = random_case(1)
    path = coco_file(tmp_path / "a.json", annotations, n_images=6)
    classes = ("dress", "shoe", "hat", "coat", "sock")
    ap = average_precision(read_ground_truth(path, classes, masks=True), found, "bbox")
    # coat (whole body, as dress) and sock (legs and feet, as shoe) have no ground truth.
    assert ap.of_label.keys() == {0, 1, 2}
    assert ap.of_group == {
        "wholebody": pytest.approx(ap.of_label[0]),
        "legs and feet": pytest.approx(ap.of_label[1]),
        "head": pytest.approx(ap.of_label[2]),
    }


def test_average_precision_groups_come_from_the_file_for_foreign_classes(tmp_path):
    categories = [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog",
                  "supercategory": "pet"}, {"id": 3, "name": "rock"}]
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 9, 9), 1),
                     instance(2, (20, 20, 9, 9), 2), instance(3, (40, 40, 9, 9), 3)], categories)
    truth = read_ground_truth(path, ("cat", "dog", "rock"), masks=True)
    ap = average_precision(truth, [detection((0, 0, 9, 9), 0, 0.9)], "segm")
    assert ap.of_group == {"pet": pytest.approx(0.5)}


def test_average_precision_no_detections_is_zero_not_missing(tmp_path):
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 10, 10), 2)])
    ap = average_precision(read_ground_truth(path, CLASSES, masks=True), [], "segm")
    # A 10 x 10 instance is small: there is nothing to measure in the other two sizes.
    measured = {"mAP", "mAP_50", "mAP_75", "mAP_s", "AR_1", "AR_10", "AR_100", "AR_s"}
    assert ap.summary == dict.fromkeys(measured, 0.0)
    assert ap.of_label == {1: 0.0}


def test_average_precision_annotation_id_zero_counts(tmp_path):
    # pycocotools writes the matched id, and takes 0 for "no match".
    path = coco_file(tmp_path / "a.json", [instance(0, (0, 0, 10, 10), 2)])
    found = [detection((0, 0, 10, 10), 1, 0.9)]
    assert pycocotools_stats(path, found, "bbox")[0][0] == 0.0
    truth = read_ground_truth(path, CLASSES, masks=True)
    assert average_precision(truth, found, "bbox").summary["mAP"] == pytest.approx(1.0)


def test_average_precision_category_order_and_ids_play_no_part(tmp_path):
    annotations, found = random_case(2)
    straight = coco_file(tmp_path / "a.json", annotations, n_images=6)
    new_id = {1: 70, 2: 3, 3: 12}
    mixed = [{**a, "category_id": new_id[a["category_id"]]} for a in annotations]
    categories = [{"id": new_id[i + 1], "name": CLASSES[i]} for i in (1, 2, 0)]
    permuted = coco_file(tmp_path / "b.json", mixed, categories, n_images=6)
    one, two = (
        average_precision(read_ground_truth(p, CLASSES, masks=True), found, "segm")
        for p in (straight, permuted)
    )
    assert one == two


def test_average_precision_prints_nothing(tmp_path, capsys):
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 10, 10), 2)])
    average_precision(read_ground_truth(path, CLASSES, masks=True), [], "segm")
    assert capsys.readouterr() == ("", "")


def test_average_precision_detection_on_unknown_image_is_refused(tmp_path):
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 10, 10), 2)])
    truth = read_ground_truth(path, CLASSES, masks=True)
    with pytest.raises(AnnotationError, match="image id 9"):
        average_precision(truth, [detection((0, 0, 9, 9), 1, 0.5, image_id=9)], "bbox")


def test_average_precision_mask_of_another_size_is_refused(tmp_path):
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 10, 10), 2)])
    truth = read_ground_truth(path, CLASSES, masks=True)
    turned = detection((0, 0, 9, 9), 1, 0.5)
    turned["segmentation"] = encode_mask(np.ones((SIZE, SIZE + 1), dtype=bool))
    with pytest.raises(AnnotationError, match="EXIF"):
        average_precision(truth, [turned], "segm")


def test_read_ground_truth_missing_box_and_area_come_from_the_mask(tmp_path):
    entry = instance(1, (5, 6, 10, 20), 1)
    del entry["bbox"], entry["area"]
    entry["segmentation"] = [[5, 6, 15, 6, 15, 26, 5, 26]]
    truth = read_ground_truth(coco_file(tmp_path / "a.json", [entry]), CLASSES, masks=True)
    assert truth.annotations[0]["bbox"] == [5.0, 6.0, 10.0, 20.0]
    assert truth.annotations[0]["area"] == 200.0
    assert truth.report == {"box derived from the mask": 1, "area derived from the mask": 1}


def test_read_ground_truth_invalid_mask_is_left_out_and_counted(tmp_path):
    bad = instance(2, (5, 6, 10, 20), 1, segmentation=[[5, 6, 15, 6]])
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 9, 9), 1), bad])
    truth = read_ground_truth(path, CLASSES, masks=True)
    assert truth.count_of == {0: 1}
    assert truth.report == {"left out: no valid mask": 1}
    assert "annotation 2" in truth.faults[0]
    # Boxes need no mask.
    assert read_ground_truth(path, CLASSES, masks=False).count_of == {0: 2}


def test_read_ground_truth_good_polygon_beside_a_bad_one_stays(tmp_path):
    good = [5, 6, 15, 6, 15, 26, 5, 26]
    entry = instance(1, (5, 6, 10, 20), 1, segmentation=[[1, 1, 3e9, 1, 4, 4], good])
    truth = read_ground_truth(coco_file(tmp_path / "a.json", [entry]), CLASSES, masks=True)
    assert truth.annotations[0]["segmentation"] == rectangle(5, 6, 10, 20)
    assert truth.report == {"polygon left out of a mask": 1}
    assert "polygon 1" in truth.faults[0]


def test_read_ground_truth_crowd_alone_is_refused(tmp_path):
    path = coco_file(tmp_path / "a.json", [instance(1, (0, 0, 9, 9), 1, iscrowd=1)])
    with pytest.raises(AnnotationError, match="none among 1 annotations"):
        read_ground_truth(path, CLASSES, masks=True)


def test_read_ground_truth_misspelt_category_is_refused_and_named(tmp_path):
    categories = [{"id": 1, "name": "dress"}, {"id": 2, "name": "shoo"}]
    annotations = [instance(1, (0, 0, 9, 9), 1), instance(2, (0, 0, 9, 9), 2)]
    path = coco_file(tmp_path / "a.json", annotations, categories)
    with pytest.raises(OntologyError, match="'shoo'.*Did you mean 'shoe'"):
        read_ground_truth(path, CLASSES, masks=True)


def test_read_ground_truth_ontology_category_outside_classes_is_counted(tmp_path):
    categories = [{"id": 1, "name": "dress"}, {"id": 2, "name": "sock"}]
    annotations = [instance(1, (0, 0, 9, 9), 1), instance(2, (0, 0, 9, 9), 2)]
    truth = read_ground_truth(
        coco_file(tmp_path / "a.json", annotations, categories), CLASSES, masks=True
    )
    assert truth.report == {"left out: 'sock' is not among the classes": 1}
    assert truth.count_of == {0: 1}


def test_average_precision_parts_and_garments_are_means_of_their_classes(tmp_path):
    # One of two garments is found, no sleeve, and the shoe is in neither.
    classes = ("dress", "coat", "sleeve", "shoe")
    truth = [instance(i + 1, (12 * i, 0, 10, 10), i + 1) for i in range(4)]
    named = [{"id": i + 1, "name": name} for i, name in enumerate(classes)]
    path = coco_file(tmp_path / "a.json", truth, named)
    found = [detection((0, 0, 10, 10), 0, 0.9), detection((36, 0, 10, 10), 3, 0.9)]
    ap = average_precision(read_ground_truth(path, classes, masks=True), found, "segm")
    assert ap.of_side == {"garments": pytest.approx(0.5), "parts": 0.0}


def test_average_precision_of_boundaries_asks_for_the_outline(tmp_path):
    # A square of 40 px, and the same with a corner of 12 x 12 px missing: mask IoU 0.91. The
    # boundary is 2 % of the diagonal (91 px) wide: 2 px.
    whole = np.zeros((SIZE, SIZE), bool)
    whole[10:50, 10:50] = True
    cut = whole.copy()
    cut[10:22, 38:50] = False

    def frame(mask):
        # Eroded by a 3 x 3 square twice, the outside counting as empty.
        inner = np.pad(mask, 2)
        for _ in range(2):
            views = [np.roll(inner, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
            inner = np.logical_and.reduce(views)
        return mask & ~inner[2:-2, 2:-2]

    frames = frame(whole), frame(cut)
    boundary_iou = (frames[0] & frames[1]).sum() / (frames[0] | frames[1]).sum()
    mask_iou = (whole & cut).sum() / (whole | cut).sum()
    assert 0.70 < boundary_iou < 0.80 < 0.90 < mask_iou < 0.95
    thing = {**instance(1, (10, 10, 40, 40), 1), "segmentation": encode_mask(whole)}
    path = coco_file(tmp_path / "a.json", [thing])
    truth = read_ground_truth(path, CLASSES, masks=True)
    found = {**detection((10, 10, 40, 40), 0, 0.9), "segmentation": encode_mask(cut)}
    thresholds = np.linspace(0.5, 0.95, 10)
    for iou_type, iou in (("segm", mask_iou), ("boundary", boundary_iou)):
        expected = (iou >= thresholds).mean()
        assert average_precision(truth, [found], iou_type).summary["mAP"] == pytest.approx(expected)
