"""Precision over recall: equal to pycocotools' curves, step by step."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_mmdet.core.curves import RECALL_STEPS, average_precisions, precision_curves
from fashion_mmdet.core.matching import AREAS, match

N_LABELS = 4  # of which the last has no instance
IMAGE_IDS = list(range(1, 16))


def made(seed: int, digits: int):
    """Boxes of all sizes, some crowds; detections near them, elsewhere, and mislabelled."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image_id in IMAGE_IDS:
        for _ in range(rng.integers(0, 7)):
            box = np.concatenate([rng.integers(0, 60, 2), rng.integers(3, 130, 2)])
            label = int(rng.integers(N_LABELS - 1))
            truth.append(
                {"id": len(truth) + 1, "image_id": image_id, "category_id": label,
                 "bbox": box.tolist(), "area": int(box[2] * box[3]),
                 "iscrowd": int(rng.random() < 0.1)}
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                near = np.maximum(box + rng.integers(-3, 4, 4), [0, 0, 1, 1])
                shown = label if rng.random() < 0.8 else int(rng.integers(N_LABELS))
                found.append(
                    {"id": len(found) + 1, "image_id": image_id, "label": shown,
                     "category_id": shown, "bbox": near.tolist(), "area": int(near[2] * near[3]),
                     "score": round(float(rng.random()), digits), "iscrowd": 0}
                )  # fmt: skip
    return truth, found


def reference(truth, found) -> np.ndarray:
    """Return pycocotools' precision, (T, R, K, A); -1 where there is no instance."""
    sides = []
    with contextlib.redirect_stdout(io.StringIO()):
        for entries in (truth, found):
            side = COCO()
            side.dataset = {
                "images": [{"id": i, "height": 200, "width": 200} for i in IMAGE_IDS],
                "categories": [{"id": label, "name": str(label)} for label in range(N_LABELS)],
                "annotations": [dict(entry) for entry in entries],
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., -1]


@pytest.mark.parametrize(("seed", "digits"), [(0, 6), (1, 6), (2, 1)])  # 1: many equal scores
@pytest.mark.parametrize("area", AREAS)
def test_precision_curves_random_data_are_those_of_pycocotools(seed, digits, area):
    truth, found = made(seed, digits)
    expected = reference(truth, found)[..., list(AREAS).index(area)].transpose(2, 0, 1)
    matches = match(IMAGE_IDS, truth, found, "bbox")
    curves_KTR = precision_curves(matches, N_LABELS, area)
    assert curves_KTR.shape == (N_LABELS, 10, RECALL_STEPS.size)
    np.testing.assert_allclose(np.nan_to_num(curves_KTR, nan=-1.0), expected, rtol=0, atol=1e-12)
    assert ((expected > 0) & (expected < 1)).sum() > 100
    np.testing.assert_allclose(
        curves_KTR.mean(axis=2), average_precisions(matches, N_LABELS, area)[0], rtol=0, atol=1e-12
    )


def test_precision_curves_two_hits_and_a_miss_are_the_hand_computed_steps():
    box = [0, 0, 10, 10]
    truth = [{"id": n, "image_id": n, "category_id": 0, "bbox": box, "area": 100, "iscrowd": 0}
             for n in (1, 2, 3, 4)]  # fmt: skip
    found = [
        {"image_id": 1, "label": 0, "bbox": box, "area": 100, "score": 0.9},
        {"image_id": 5, "label": 0, "bbox": box, "area": 100, "score": 0.8},
        {"image_id": 2, "label": 0, "bbox": box, "area": 100, "score": 0.7},
    ]
    curve_R = precision_curves(match(IMAGE_IDS, truth, found, "bbox"), 1)[0, 0]
    # All right up to a quarter of the instances, 2 of 3 up to the half, no more found.
    np.testing.assert_allclose(curve_R[:26], 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve_R[26:51], 2 / 3, rtol=0, atol=1e-12)
    assert curve_R[51:].tolist() == [0.0] * 50


def test_precision_curves_permuted_labels_lower_them():
    truth, found = made(0, 6)
    right = np.nanmean(precision_curves(match(IMAGE_IDS, truth, found, "bbox"), N_LABELS))
    turned = [{**d, "label": (d["label"] + 1) % 3} for d in found]
    wrong = np.nanmean(precision_curves(match(IMAGE_IDS, truth, turned, "bbox"), N_LABELS))
    assert wrong < 0.5 * right


def test_precision_curves_without_instances_are_nan():
    assert np.isnan(precision_curves(match([1], [], [], "bbox"), 2)).all()
