"""The figure of a single photo: hand-computed, and against the one that scores from masks."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.ground_truth import GroundTruth
from fashion_mmdet.core.image_scores import imat2019_scores
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.per_image import image_quality
from fashion_mmdet.core.rle import area_px, encode_mask


def shape(image_id: int, label: int, width: int, score: float = 1.0, crowd: int = 0) -> dict:
    mask = np.zeros((10, 100), dtype=bool)
    mask[:, :width] = True
    return {
        "image_id": image_id, "category_id": label, "label": label, "score": score,
        "iscrowd": crowd, "area": area_px(encode_mask(mask)), "bbox": [0, 0, width, 10],
        "segmentation": encode_mask(mask),
    }  # fmt: skip


def test_quality_of_each_image_is_hits_by_all_over_the_thresholds() -> None:
    truth = [shape(1, 0, 100), shape(1, 1, 50), shape(2, 0, 40), shape(4, 0, 30, crowd=1)]
    found = [
        shape(1, 0, 72, 0.9),  # IoU 0.72: a hit at 5 of 10 thresholds
        shape(1, 1, 50, 0.4),  # not sure enough
        shape(2, 0, 40, 0.9), shape(2, 1, 40, 0.8),  # one right, one of another class
        shape(3, 0, 10, 0.9),  # where nothing is
        shape(4, 0, 30, 0.9),  # in a crowd
    ]  # fmt: skip
    matches = match([1, 2, 3, 4, 5], truth, found, "segm")
    # 1: one of {hit, missed} at 5 thresholds, {false, missed, missed} at the others.
    np.testing.assert_allclose(
        image_quality(matches), [5 / 10 * 1 / 2, 1 / 2, 0, np.nan, np.nan], atol=1e-12
    )
    np.testing.assert_allclose(
        image_quality(matches, 0.3)[0], (5 * 2 / 2 + 5 * 1 / 3) / 10, atol=1e-12
    )


def test_quality_equals_the_competitions_rule_without_crowds() -> None:
    rng = np.random.default_rng(0)
    truth = [shape(int(i), int(k), int(w)) for i, k, w in rng.integers([1, 0, 20], [30, 3, 90], (90, 3))]  # noqa: E501
    found = [
        shape(int(i), int(k), int(w), float(s))
        for (i, k, w), s in zip(rng.integers([1, 0, 20], [30, 3, 90], (150, 3)), rng.random(150),
                                strict=True)
    ]  # fmt: skip
    ids = range(1, 31)
    sizes = {i: (10, 100) for i in ids}
    whole = GroundTruth("here", ("a", "b", "c"), (None,) * 3, sizes, truth, {}, {}, [])  # type: ignore[arg-type]
    sure = [d for d in found if d["score"] >= 0.5]
    expected = imat2019_scores(whole, sure)
    # Its rule asks for more than the threshold, COCO for as much; none of these lies on one.
    got = np.nan_to_num(image_quality(match(ids, truth, found, "segm")), nan=1.0)
    assert got == pytest.approx(expected, abs=0.051) and 0.1 < got.mean() < 0.9
    assert (np.abs(got - expected) < 1e-12).mean() > 0.8
