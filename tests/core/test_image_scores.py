"""``core.image_scores``: against hand-computed numbers and a slow reading of the definitions."""

from __future__ import annotations

import warnings
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from fashion_mmdet.core.errors import AnnotationError, ConfigError
from fashion_mmdet.core.ground_truth import GroundTruth
from fashion_mmdet.core.image_scores import imat2019_scores, matterport_scores
from fashion_mmdet.core.rle import decode, encode_mask

CLASSES = ("dress", "shoe", "hat")
DRESS, SHOE, HAT = range(3)
SIZE = 48


@pytest.fixture(autouse=True)
def no_warnings():
    """A division by zero is a mistake here, even one that numpy survives."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def rectangle(x, y, w, h):
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


def instance(box, label, image_id=1, iscrowd=0):
    mask = rectangle(*box) if isinstance(box, tuple) else box
    return {
        "image_id": image_id,
        "category_id": label,
        "iscrowd": iscrowd,
        "segmentation": encode_mask(mask),
    }


def detection(box, label, score, image_id=1):
    mask = rectangle(*box) if isinstance(box, tuple) else box
    return {"image_id": image_id, "label": label, "score": score, "segmentation": encode_mask(mask)}


def ground_truth(annotations, image_ids=(1,)):
    count_of = Counter(a["category_id"] for a in annotations if not a["iscrowd"])
    size_hw_of = {i: (SIZE, SIZE) for i in image_ids}
    return GroundTruth(
        "a.json", CLASSES, (None,) * 3, size_hw_of, annotations, count_of, Counter(), []
    )


def random_case(seed, image_ids=range(1, 9)):
    """Ragged masks: instances, crowds, detections near them, elsewhere, and mislabelled."""
    rng = np.random.default_rng(seed)

    def ragged(mask, noise):
        return mask ^ (rng.random(mask.shape) < noise)

    annotations, detections = [], []
    for image_id in image_ids:
        for _ in range(rng.integers(0, 5)):
            w, h = (int(v) for v in rng.integers(8, 24, size=2))
            mask = rectangle(*(int(v) for v in rng.integers(0, SIZE - 24, size=2)), w, h)
            label = int(rng.integers(3))
            crowd = int(rng.random() < 0.2)
            annotations.append(instance(ragged(mask, 0.01), label, image_id, crowd))
            for _ in range(rng.integers(0, 4)):
                near = np.roll(mask, rng.integers(-2, 3, size=2), axis=(0, 1))
                shown = label if rng.random() < 0.8 else int(rng.integers(3))
                score = round(float(rng.random()), 1)  # ties among them
                detections.append(detection(ragged(near, 0.01), shown, score, image_id))
        if rng.random() < 0.4:
            detections.append(detection((0, 0, 9, 9), int(rng.integers(3)), 0.8, image_id))
    return ground_truth(annotations, image_ids), detections


def slow_outcome(annotations, found, fits):
    """Return what became of each detection, best first: True, False, or None for in a crowd."""
    free = [a for a in annotations if not a["iscrowd"]]
    outcome = []
    for one in sorted(found, key=lambda d: d["score"], reverse=True):
        mask, best = decode(one["segmentation"]), None
        for number, other in enumerate(free):
            there = decode(other["segmentation"])
            iou = Fraction(int((mask & there).sum()), int((mask | there).sum()))
            same = other["category_id"] == one["label"]
            if same and fits(iou) and (best is None or iou >= best[0]):
                best = iou, number
        if best is not None:
            del free[best[1]]
        outcome.append(True if best is not None else False)
        if best is None and any(
            c["iscrowd"]
            and c["category_id"] == one["label"]
            and 2 * (mask & decode(c["segmentation"])).sum() >= mask.sum()
            for c in annotations
        ):
            outcome[-1] = None
    return outcome


def slow_ap(outcome, n_instances):
    """For each instance more that is found: the best precision at which that many are."""
    judged = [o for o in outcome if o is not None]
    total = Fraction(0)
    for wanted in range(1, n_instances + 1):
        total += max(
            (
                Fraction(sum(judged[:k]), k)
                for k in range(1, len(judged) + 1)
                if sum(judged[:k]) >= wanted
            ),
            default=Fraction(0),
        )
    return float(total / n_instances) if n_instances else float("nan")


def slow_imat(annotations, found):
    n_instances = sum(not a["iscrowd"] for a in annotations)
    total = Fraction(0)
    for step in range(10):
        outcome = slow_outcome(annotations, found, lambda iou, s=step: iou > Fraction(10 + s, 20))
        whole = outcome.count(False) + n_instances
        total += Fraction(outcome.count(True), whole) if whole else 1
    return float(total / 10)


def of_image(entries, image_id):
    return [e for e in entries if e["image_id"] == image_id]


# The notebook's figures.


@pytest.fixture
def hand_case():
    """Image 7: hit, wrong class, duplicate, hit, and a hit too unsure. 5: all missed. 2: a false
    detection where nothing is. 9: nothing on either side."""
    annotations = [
        instance((0, 0, 10, 10), SHOE, 7),
        instance((20, 20, 10, 10), SHOE, 7),
        instance((0, 30, 10, 10), DRESS, 7),
        instance((0, 0, 20, 20), HAT, 5),
    ]
    found = [
        detection((20, 20, 10, 10), SHOE, 0.69, 7),
        detection((0, 30, 10, 10), DRESS, 0.7, 7),
        detection((0, 0, 10, 10), SHOE, 0.75, 7),
        detection((20, 20, 10, 10), HAT, 0.9, 7),
        detection((0, 0, 10, 9), SHOE, 0.95, 7),
        detection((30, 30, 5, 5), HAT, 0.8, 2),
    ]
    return ground_truth(annotations, image_ids=(7, 2, 9, 5)), found


def test_matterport_scores_hand_computed_case_matches(hand_case):
    scores = matterport_scores(*hand_case)
    nan = float("nan")
    assert scores.image_ids.tolist() == [2, 5, 7, 9]
    # Image 7, best first: hit, miss, miss, hit: precision 1 at recall 1/3, 1/2 at 2/3.
    assert scores.ap == pytest.approx([nan, 0.0, (1 + 1 / 2) / 3, nan], nan_ok=True)
    assert scores.precision_by_image == pytest.approx([0.0, nan, 2 / 4, nan], nan_ok=True)
    assert scores.recall_by_image == pytest.approx([nan, 0.0, 2 / 3, nan], nan_ok=True)
    assert scores.f1_by_image == pytest.approx([0.0, 0.0, 4 / 7, nan], nan_ok=True)
    assert scores.mean_ap == pytest.approx(1 / 4)
    assert scores.mean_precision == pytest.approx((0 + 2 / 4) / 2)
    assert scores.mean_recall == pytest.approx((0 + 2 / 3) / 2)
    assert scores.mean_f1 == pytest.approx((0 + 0 + 4 / 7) / 3)
    assert (scores.precision, scores.recall) == pytest.approx((2 / 5, 2 / 4))
    assert scores.f1 == pytest.approx(2 / (1 / scores.precision + 1 / scores.recall))
    assert scores.without_instances == 2


def test_matterport_scores_lower_threshold_lets_more_in(hand_case):
    scores = matterport_scores(*hand_case, threshold=0.69)
    # One more hit in image 7, in fifth place: precision 3/5 lifts the 1/2 before it.
    assert scores.ap[2] == pytest.approx((1 + 3 / 5 + 3 / 5) / 3)
    assert scores.recall == pytest.approx(3 / 4)


def test_matterport_scores_overlap_of_exactly_a_half_is_a_hit():
    truth = ground_truth([instance((0, 0, 10, 10), SHOE)])
    for height, expected in ((5, 1), (4, 0)):
        scores = matterport_scores(truth, [detection((0, 0, 10, height), SHOE, 0.9)])
        assert scores.hits.tolist() == [expected]


def test_matterport_scores_surer_detection_goes_first_and_takes_its_best():
    # The surer one overlaps both and takes A (IoU 0.8); B (0.6) is left to the other.
    a, b = instance((0, 0, 10, 10), SHOE), instance((2, 0, 6, 10), SHOE)
    first, second = detection((1, 0, 8, 10), SHOE, 0.9), detection((0, 0, 10, 9), SHOE, 0.8)
    for both in ([a, b], [b, a]):
        scores = matterport_scores(ground_truth(both), [second, first])
        assert scores.hits.tolist() == [2]
    # Alone, without A, the surer one takes B, and the other (54/96) finds it gone.
    scores = matterport_scores(ground_truth([b]), [second, first])
    assert (scores.hits.tolist(), scores.precision) == ([1], 0.5)


def test_matterport_scores_equal_overlaps_take_the_last_instance():
    left, right = (0, 0, 10, 10), (10, 0, 10, 10)
    truth = ground_truth([instance(left, SHOE), instance(right, SHOE)])
    across = detection((0, 0, 20, 10), SHOE, 0.9)
    for box, hits in ((left, 2), (right, 1)):
        scores = matterport_scores(truth, [across, detection(box, SHOE, 0.8)])
        assert scores.hits.tolist() == [hits]


@pytest.mark.parametrize("seed", range(4))
def test_matterport_scores_random_masks_equal_slow_definition(seed):
    truth, found = random_case(seed)
    scores = matterport_scores(truth, found, threshold=0.2)
    for i, image_id in enumerate(scores.image_ids.tolist()):
        annotations = of_image(truth.annotations, image_id)
        n_instances = sum(not a["iscrowd"] for a in annotations)
        kept = [d for d in of_image(found, image_id) if d["score"] >= 0.2]
        outcome = slow_outcome(annotations, kept, lambda iou: iou >= Fraction(1, 2))
        expected = slow_ap(outcome, n_instances)
        assert scores.ap[i] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert scores.hits[i] == outcome.count(True)
        assert scores.detections[i] == outcome.count(True) + outcome.count(False)
        assert scores.in_crowd[i] == outcome.count(None)
        assert (scores.instances[i], scores.crowds[i]) == (
            n_instances,
            len(annotations) - n_instances,
        )
    assert 0.1 < scores.mean_ap < 0.9


def test_random_masks_hold_every_kind_of_outcome():
    # Else the comparisons with the slow definition would leave rules untried.
    kinds = Counter()
    for seed in range(4):
        scores = matterport_scores(*random_case(seed), threshold=0.2)
        kinds += Counter(
            hits=int(scores.hits.sum()),
            wrong=int((scores.detections - scores.hits).sum()),
            in_crowd=int(scores.in_crowd.sum()),
            unmeasured=scores.without_instances,
        )
    assert all(kinds[k] >= 3 for k in ("hits", "wrong", "in_crowd", "unmeasured")), kinds


def test_matterport_scores_permuted_labels_lower_it():
    truth, found = random_case(0)
    permuted = [{**d, "label": (d["label"] + 1) % 3} for d in found]
    right, wrong = (matterport_scores(truth, d, threshold=0.0) for d in (found, permuted))
    for figure in ("mean_ap", "precision", "recall", "f1", "mean_f1"):
        assert getattr(wrong, figure) < 0.5 * getattr(right, figure)


def test_matterport_scores_no_detections_is_zero_not_missing(hand_case):
    scores = matterport_scores(hand_case[0], [])
    figures = ("mean_ap", "mean_precision", "mean_recall", "mean_f1", "precision", "recall", "f1")
    assert [getattr(scores, f) for f in figures] == [0.0] * 7


def test_matterport_scores_detection_in_crowd_is_neither_right_nor_wrong():
    truth = ground_truth([instance((0, 0, 10, 10), SHOE), instance((20, 0, 20, 20), SHOE, 1, 1)])
    hit = detection((0, 0, 10, 10), SHOE, 0.8)
    inside, half = (20, 0, 9, 9), (15, 0, 10, 9)
    for box, label, counted in (
        (inside, SHOE, 0),
        (half, SHOE, 0),
        ((14, 0, 10, 9), SHOE, 1),
        (inside, HAT, 1),
    ):
        scores = matterport_scores(truth, [hit, detection(box, label, 0.9)])
        assert scores.detections.tolist() == [1 + counted]
        assert scores.in_crowd.tolist() == [1 - counted]
        assert scores.ap.tolist() == [1 / (1 + counted)]
        assert (scores.instances.tolist(), scores.crowds.tolist()) == ([1], [1])


def test_matterport_scores_threshold_in_percent_is_refused(hand_case):
    for threshold in (70, -0.1, float("nan")):
        with pytest.raises(ConfigError, match=r"in 0\.\.1 expected, got .*not percent"):
            matterport_scores(*hand_case, threshold=threshold)


# iMaterialist's rule.


def test_imat2019_scores_hand_computed_case_matches(hand_case):
    truth, found = hand_case
    # Image 7, at every threshold: the dress and the other shoe hit, the hat is wrong. The first
    # shoe (IoU 0.9) hits up to 0.85, its exact duplicate is wrong; above, the duplicate hits and
    # the first is wrong. So TP 3, FP 2, FN 0 all along. Image 5 and 2: one side. 9: neither.
    assert imat2019_scores(truth, found) == pytest.approx([0.0, 0.0, 3 / 5, 1.0])


def test_imat2019_scores_mean_over_thresholds_matches():
    # IoU 90/110 = 0.818: seven thresholds with TP 1, FP 0, FN 1, three with TP 0, FP 1, FN 2.
    truth = ground_truth([instance((0, 0, 10, 10), SHOE), instance((20, 20, 10, 10), SHOE)])
    found = [detection((1, 0, 10, 10), SHOE, 0.1)]
    assert imat2019_scores(truth, found) == pytest.approx([7 * (1 / 2) / 10])


@pytest.mark.parametrize("pixels", range(50, 101, 5))
def test_imat2019_scores_overlap_equal_to_a_threshold_is_no_match(pixels):
    # IoU = pixels / 100: above the thresholds 0.50 to pixels / 100 - 0.05.
    truth = ground_truth([instance((0, 0, 20, 5), SHOE)])
    found = [detection((0, 0, pixels // 5, 5), SHOE, 0.5)]
    assert imat2019_scores(truth, found) == pytest.approx([(pixels - 50) / 5 / 10])


@pytest.mark.parametrize("seed", range(4))
def test_imat2019_scores_random_masks_equal_slow_definition(seed):
    truth, found = random_case(seed)
    expected = [
        slow_imat(of_image(truth.annotations, i), of_image(found, i)) for i in truth.size_hw_of
    ]
    assert imat2019_scores(truth, found) == pytest.approx(expected, abs=1e-12)
    assert 0.05 < np.mean(expected) < 0.9


def test_imat2019_scores_permuted_labels_lower_it():
    truth, found = random_case(1, image_ids=range(30))
    permuted = [{**d, "label": (d["label"] + 1) % 3} for d in found]
    # Images with nothing to find and nothing found score 1 either way.
    used = [i for i in range(30) if of_image(truth.annotations + found, i)]
    right, wrong = (imat2019_scores(truth, d)[used].mean() for d in (found, permuted))
    assert wrong < 0.5 * right


def test_imat2019_scores_crowd_is_left_out_and_counted():
    annotations = [instance((0, 0, 10, 10), SHOE), instance((20, 0, 20, 20), SHOE, 1, 1)]
    found = [detection((0, 0, 10, 10), SHOE, 0.8), detection((20, 0, 9, 9), SHOE, 0.9)]
    report = Counter({"before": 1})
    assert imat2019_scores(ground_truth(annotations), found, report).tolist() == [1.0]
    assert report == {
        "before": 1,
        "crowd left out": 1,
        "detection in a crowd, neither right nor wrong": 1,
    }


def test_imat2019_scores_nothing_left_out_adds_nothing_to_the_report():
    report = Counter()
    imat2019_scores(ground_truth([instance((0, 0, 10, 10), SHOE)]), [], report)
    assert list(report) == []


# Both.


@pytest.mark.parametrize("score", [matterport_scores, imat2019_scores])
def test_scores_detection_on_unknown_image_is_refused(score):
    truth = ground_truth([instance((0, 0, 10, 10), SHOE)])
    with pytest.raises(AnnotationError, match="a.json: .*image id 9"):
        score(truth, [detection((0, 0, 10, 10), SHOE, 0.9, image_id=9)])


@pytest.mark.parametrize("score", [matterport_scores, imat2019_scores])
def test_scores_mask_of_another_size_is_refused(score):
    truth = ground_truth([instance((0, 0, 10, 10), SHOE)])
    found = detection(np.ones((SIZE, 30), dtype=bool), SHOE, 0.9)
    with pytest.raises(AnnotationError, match=r"= \(48, 48\) expected, got \(48, 30\)"):
        score(truth, [found])
