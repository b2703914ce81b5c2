"""Calibration: bins and ECE by hand, and near 0 where scores say what is true."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.calibration import judged, reliability
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.matching import AREAS, Matches


def matches_of(scores, hits, voids=None, labels=None, gt_labels=(0,)):
    """Return matches at IoU 0.5 alone, all in one image."""
    n, n_areas = len(scores), len(AREAS)
    voids = np.zeros(n) if voids is None else voids

    def bits(values):
        return np.repeat(np.asarray(values, dtype=np.uint16)[:, None], n_areas, axis=1)

    return Matches(
        image_ids=np.array([1]), det_image=np.zeros(n, np.int32),
        det_label=np.asarray(np.zeros(n) if labels is None else labels, dtype=np.int16),
        det_rank=np.arange(n, dtype=np.int16), det_score=np.asarray(scores, dtype=np.float64),
        hit_DA=bits(hits), void_DA=bits(voids), gt_image=np.zeros(len(gt_labels), np.int32),
        gt_label=np.asarray(gt_labels, dtype=np.int16),
        gt_void_GA=np.zeros((len(gt_labels), n_areas), bool),
    )  # fmt: skip


def test_reliability_by_hand():
    matches = matches_of([1.0, 0.9, 0.8, 0.3, 0.2, 0.1], [1, 1, 0, 1, 0, 0])
    found = reliability(matches, n_bins=2)
    assert found.edges.tolist() == [0, 0.5, 1]
    assert found.count_B.tolist() == [3, 3]
    assert found.mean_score_B.tolist() == pytest.approx([0.2, 0.9])
    assert found.precision_B.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found.ece == pytest.approx((abs(1 / 3 - 0.2) + abs(2 / 3 - 0.9)) / 2)


def test_reliability_weighs_bins_by_detections_and_skips_empty_ones():
    matches = matches_of([0.95, 0.15, 0.15, 0.15], [0, 0, 0, 1])
    found = reliability(matches)
    assert found.count_B.tolist() == [0, 3, 0, 0, 0, 0, 0, 0, 0, 1]
    assert np.isnan(found.precision_B).sum() == 8
    assert found.ece == pytest.approx(0.95 / 4 + (1 / 3 - 0.15) * 3 / 4)


def test_reliability_bin_holds_its_lower_end():
    found = reliability(matches_of([0.3, 0.6, 0.7, 0.0], [1, 1, 1, 1]))
    assert np.flatnonzero(found.count_B).tolist() == [0, 3, 6, 7]


def test_reliability_leaves_out_what_is_neither_right_nor_wrong():
    # The second met an instance that does not count, the third lies in a crowd.
    matches = matches_of([0.9, 0.9, 0.9], [1, 1, 0], voids=[0, 1, 1])
    assert reliability(matches).count_B.sum() == 1
    right_D, counted_D = judged(matches)
    assert right_D.tolist() == [True, False, False] == counted_D.tolist()


def test_reliability_looks_at_iou_half_alone():
    # Bit 1 is IoU 0.55.
    assert reliability(matches_of([0.9, 0.9], [0b10, 0b11])).precision_B[-1] == 0.5


def test_reliability_of_true_scores_is_near_0_and_of_others_is_not():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    hits = rng.random(20_000) < scores
    assert reliability(matches_of(scores, hits)).ece < 0.015
    assert reliability(matches_of(scores**0.5, hits)).ece == pytest.approx(2 / 3 - 1 / 2, abs=0.01)
    assert reliability(matches_of(scores, rng.permutation(hits))).ece > 0.2


def test_reliability_of_one_class():
    matches = matches_of([0.9, 0.8, 0.7], [1, 0, 0], labels=[1, 0, 1])
    assert reliability(matches, label=0, n_bins=1).ece == pytest.approx(0.8)
    assert reliability(matches, label=1, n_bins=1).ece == pytest.approx(0.3)
    assert np.isnan(reliability(matches, label=2).ece)


def test_reliability_without_bins_is_refused():
    with pytest.raises(ConfigError, match="at least 1 bin expected, got 0"):
        reliability(matches_of([0.5], [1]), n_bins=0)
