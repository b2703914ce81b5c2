"""Intervals and paired verdicts: against a slow bootstrap, and on cases with a known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashion_mmdet.core.bootstrap import draw_weights, draws_of, require_same_truth
from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.matching import AREAS, Matches

ALL_BITS = 2**10 - 1


def matches_of(hits, scores=None, n_false=0):
    """One instance of label 0 an image; ``hits[i]`` tells whether it was found, at any IoU."""
    n = len(hits)
    found = np.array([*np.flatnonzero(hits), *range(n_false)], dtype=np.int32)
    n_hits = int(np.sum(hits))
    bits = np.array([ALL_BITS] * n_hits + [0] * n_false, dtype=np.uint16)
    return Matches(
        image_ids=np.arange(n),
        det_image=found,
        det_label=np.zeros(found.size, np.int16),
        det_rank=np.zeros(found.size, np.int16),
        det_score=np.linspace(1, 0.5, found.size) if scores is None else scores,
        hit_DA=np.repeat(bits[:, None], len(AREAS), axis=1),
        void_DA=np.zeros((found.size, len(AREAS)), np.uint16),
        gt_image=np.arange(n, dtype=np.int32),
        gt_label=np.zeros(n, np.int16),
        gt_void_GA=np.zeros((n, len(AREAS)), bool),
    )


def ap_interval(matches, n_labels, figure="mAP"):
    return draws_of(matches, n_labels)[figure].interval


def ap_difference(first, second, n_labels):
    require_same_truth(first, second)
    old, new = (draws_of(m, n_labels)["mAP"] for m in (first, second))
    return new.minus(old)


def test_draw_weights_are_draws_with_replacement_and_by_seed():
    weights = draw_weights(50, 400, seed=3)
    assert weights.shape == (400, 50) and (weights.sum(axis=1) == 50).all()
    assert (weights == draw_weights(50, 400, seed=3)).all()
    assert (weights != draw_weights(50, 400, seed=4)).any()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.25)
    # An image is left out of a draw with the probability (1 - 1/50) ** 50.
    assert (weights == 0).mean() == pytest.approx(0.98**50, abs=0.01)


def test_ap_interval_of_pure_recall_is_that_of_a_share():
    # Without false detections AP is the share of instances found (in steps of 1/101), of which
    # the bootstrap's spread is known: sqrt(p (1 - p) / n).
    hits = np.arange(200) % 5 < 3
    found = ap_interval(matches_of(hits), 1)
    assert found.value == pytest.approx(0.6, abs=0.01)
    half_width = 1.96 * np.sqrt(0.6 * 0.4 / 200)
    assert found.low == pytest.approx(0.6 - half_width, abs=0.015)
    assert found.high == pytest.approx(0.6 + half_width, abs=0.015)


def test_ap_difference_of_a_model_and_itself_is_nothing():
    matches = matches_of(np.arange(60) % 3 > 0, n_false=20)
    found = ap_difference(matches, matches, 1)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.verdict == "not distinguishable"


def test_ap_difference_pairs_the_images_and_tells_what_single_intervals_cannot():
    # The second finds 12 of 200 more, and loses none.
    hits = np.arange(200) % 2 == 0
    more = hits.copy()
    more[1:24:2] = True
    first, second = matches_of(hits), matches_of(more)
    alone = [ap_interval(m, 1) for m in (first, second)]
    assert alone[0].high > alone[1].low
    assert ap_difference(first, second, 1).verdict == "better"
    assert ap_difference(second, first, 1).verdict == "worse"
    assert ap_difference(first, second, 1).value == pytest.approx(0.06, abs=0.011)


def test_ap_difference_as_many_gained_as_lost_is_not_distinguishable():
    hits = np.arange(200) % 2 == 0
    other = hits.copy()
    other[:20] = ~other[:20]
    found = ap_difference(matches_of(hits), matches_of(other), 1)
    assert found.verdict == "not distinguishable" and found.low < 0 < found.high


@pytest.mark.parametrize("name", ["image_ids", "gt_image", "gt_label", "gt_void_GA"])
def test_ap_difference_of_models_scored_on_other_data_is_refused(name):
    matches = matches_of(np.ones(5, bool))
    changed = getattr(matches, name).copy()
    changed[-1] = 3 if changed.dtype != bool else True
    with pytest.raises(AnnotationError, match="that differ. Score both models on one"):
        ap_difference(matches, replace(matches, **{name: changed}), 1)


def test_ap_interval_of_images_without_an_instance_is_refused():
    matches = matches_of(np.ones(5, bool))
    nothing = replace(matches, gt_void_GA=np.ones_like(matches.gt_void_GA))
    with pytest.raises(AnnotationError, match="5 images without one"):
        ap_interval(nothing, 1)


def test_ap_interval_of_another_figure_is_of_that():
    matches = matches_of(np.arange(40) % 4 > 0, n_false=10)
    at_50 = ap_interval(matches, 1, figure="mAP_50")
    assert at_50.value == average_precisions(matches, 1)[0, 0, 0]
    assert at_50.value == pytest.approx(float(mean_ap(average_precisions(matches, 1))[0]))
