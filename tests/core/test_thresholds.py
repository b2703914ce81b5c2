"""Score thresholds: figures by hand, and equal to matching again without the low scores."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.matching import match
from fashion_mmdet.core.thresholds import threshold_curves

BOX = [0, 0, 10, 10]
APART = [50, 50, 10, 10]


def gt(image_id, label, crowd=0, box=BOX):
    return {"image_id": image_id, "category_id": label, "bbox": box, "area": 100, "iscrowd": crowd}


def det(image_id, label, score, box=BOX):
    return {"image_id": image_id, "label": label, "score": score, "bbox": box, "area": 100}


@pytest.fixture
def matches():
    truth = [gt(1, 0), gt(2, 0), gt(3, 0), gt(1, 1), gt(4, 0, crowd=1)]
    found = [det(1, 0, 0.9), det(1, 0, 0.7, APART), det(2, 0, 0.6), det(3, 0, 0.3),
             det(2, 0, 0.2, APART), det(1, 1, 0.3), det(4, 0, 0.95), det(1, 2, 0.5)]  # fmt: skip
    return match([1, 2, 3, 4], truth, found, "bbox")


def test_threshold_curves_by_hand(matches):
    curves = threshold_curves(matches, 4, np.array([0.0, 0.3, 0.5, 0.65, 0.95]))
    # Class 0: right 0.9, 0.6, 0.3; wrong 0.7, 0.2; what lies in the crowd is neither.
    assert curves.precision_KT[0, :4].tolist() == pytest.approx([3 / 5, 3 / 4, 2 / 3, 1 / 2])
    assert np.isnan(curves.precision_KT[0, 4])
    assert curves.recall_KT[0].tolist() == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])
    assert curves.f1_KT[0].tolist() == pytest.approx([6 / 8, 6 / 7, 4 / 6, 2 / 5, 0])
    # All: three and one right; wrong are two and one of class 2, which has no instance.
    assert curves.precision_KT[-1, :3].tolist() == pytest.approx([4 / 7, 4 / 6, 2 / 4])
    assert curves.recall_KT[-1].tolist() == pytest.approx([1, 1, 2 / 4, 1 / 4, 0])
    assert curves.n_truth_K.tolist() == [3, 1, 0, 0, 4]
    assert np.isnan(curves.recall_KT[2]).all() and curves.f1_KT[2, 0] == 0
    assert np.isnan(curves.f1_KT[3]).all()


def test_best_is_the_lowest_threshold_with_the_highest_f1(matches):
    curves = threshold_curves(matches, 4)
    best = curves.best(0)
    assert best.threshold == 0.21 and best.f1 == pytest.approx(6 / 7)
    assert (best.precision, best.recall) == pytest.approx((3 / 4, 1))
    assert curves.best(1).threshold == 0.0 and curves.best(1).f1 == 1
    assert curves.best().threshold == 0.21 and curves.best().f1 == pytest.approx(8 / 10)
    assert curves.best(2) is None and curves.best(3) is None


def test_threshold_curves_a_score_of_exactly_the_threshold_counts(matches):
    curves = threshold_curves(matches, 4)
    at = curves.thresholds.tolist().index(0.3)
    assert curves.recall_KT[1, at] == 1 and curves.recall_KT[1, at + 1] == 0


def test_threshold_curves_equal_matching_again_without_the_low_scores():
    rng = np.random.default_rng(0)
    truth = [gt(int(i), int(rng.integers(2)), int(rng.random() < 0.1), list(rng.integers(5, 20, 4)))
             for i in rng.integers(0, 9, 60)]  # fmt: skip
    found = [det(int(i), int(rng.integers(2)), float(rng.random()), list(rng.integers(5, 20, 4)))
             for i in rng.integers(0, 9, 200)]  # fmt: skip
    whole = threshold_curves(match(range(9), truth, found, "bbox"), 2)
    for t in (20, 50, 80):
        kept = [d for d in found if d["score"] >= t / 100]
        again = threshold_curves(match(range(9), truth, kept, "bbox"), 2, np.zeros(1))
        for name in ("precision_KT", "recall_KT", "f1_KT"):
            np.testing.assert_array_equal(getattr(again, name)[:, 0], getattr(whole, name)[:, t])
    assert 0.1 < whole.best().f1 < 0.9


def test_threshold_curves_without_anything_have_no_best():
    curves = threshold_curves(match([1], [], [], "bbox"), 2)
    assert curves.best() is None and np.isnan(curves.f1_KT).all()
