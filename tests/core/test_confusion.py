"""The confusion matrix: counted by hand, its sums, and what the rule says of doubtful cases."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.confusion import confusion_matrix
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.shapes import to_shapes


def evidence_of(truth, found, n_images=1, classes=("coat", "dress", "shoe")):
    """Return evidence of boxes; an entry is (box xywh, label, then score or crowd, then image)."""
    position = {n: n for n in range(n_images)}

    def entry(box, label, more, image_id=0, **key):
        return {"image_id": image_id, "bbox": box, "area": box[2] * box[3], "label": label,
                "score": more, "iscrowd": more}  # fmt: skip

    there = [{**entry(*t), "score": 1.0} for t in truth]
    given = [{**entry(*d), "iscrowd": 0} for d in found]
    return Evidence(
        classes=classes, annotations="made.json", sha256="", photos=None,
        file_names={}, image_ids=np.arange(n_images), size_hw=np.full((n_images, 2), 100),
        truth=to_shapes(there, position, "label"), found=to_shapes(given, position, "label"),
        matches={}, predicted=np.ones(n_images, bool),
    )  # fmt: skip


A, B, C = [0, 0, 20, 20], [40, 0, 20, 20], [0, 40, 20, 20]


def test_confusion_matrix_by_hand():
    truth = [(A, 0, 0), (B, 1, 0), (C, 1, 0), (A, 2, 0, 1)]
    found = [(A, 0, 0.9), (B, 0, 0.8), ([70, 70, 9, 9], 2, 0.7), (A, 2, 0.6, 1), (A, 2, 0.55, 1),
             (C, 1, 0.4)]  # fmt: skip
    confusion = confusion_matrix(evidence_of(truth, found, 2), "bbox")
    assert confusion.counts_TP.tolist() == [
        [1, 0, 0, 0],  # the coat is found
        [1, 0, 0, 1],  # a dress is taken for a coat, another has only a score below 0.5
        [0, 0, 1, 0],
        [0, 0, 2, 0],  # a shoe where nothing is, and a second one where there is one
    ]
    lower = confusion_matrix(evidence_of(truth, found, 2), "bbox", min_score=0.4)
    assert lower.counts_TP[1].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_confusion_matrix_sums_are_the_instances_and_the_detections(seed):
    rng = np.random.default_rng(seed)

    def boxes(n):
        return [[*map(float, rng.integers(0, 30, 2)), *map(float, rng.integers(10, 40, 2))]
                for _ in range(n)]  # fmt: skip

    truth = [(b, int(rng.integers(3)), int(rng.random() < 0.2), int(rng.integers(5)))
             for b in boxes(40)]  # fmt: skip
    found = [(b, int(rng.integers(3)), float(rng.random()), int(rng.integers(5)))
             for b in boxes(90)]  # fmt: skip
    confusion = confusion_matrix(evidence_of(truth, found, 5), "bbox", 0.3)
    counts_TP = confusion.counts_TP
    there = np.bincount([t[1] for t in truth if not t[2]], minlength=3)
    given = np.bincount([d[1] for d in found if d[2] >= 0.3], minlength=3)
    assert counts_TP[:3].sum(axis=1).tolist() == there.tolist()
    assert counts_TP[:, :3].sum() + confusion.n_void == given.sum()
    assert (counts_TP[:, :3].sum(axis=0) <= given).all()
    assert counts_TP[3, 3] == 0 and confusion.n_void > 0
    assert counts_TP[:3, :3].sum() > np.trace(counts_TP[:3, :3])


def test_confusion_matrix_better_scored_is_served_first_and_takes_the_best_overlap():
    near = [0, 0, 20, 15]  # IoU 0.75 with A
    found = [(near, 1, 0.9), (A, 0, 0.8)]
    # The dress is served first and takes the coat: whatever the class.
    confusion = confusion_matrix(evidence_of([(A, 0, 0)], found), "bbox")
    assert confusion.counts_TP[0].tolist() == [0, 1, 0, 0]
    assert confusion.counts_TP[3].tolist() == [1, 0, 0, 0]


def test_confusion_matrix_of_equal_overlaps_takes_its_own_class():
    truth = [(A, 1, 0), (A, 0, 0), (A, 2, 0)]
    confusion = confusion_matrix(evidence_of(truth, [(A, 1, 0.9), (A, 0, 0.8)]), "bbox")
    assert np.diag(confusion.counts_TP).tolist() == [1, 1, 0, 0]
    assert confusion.counts_TP[2, 3] == 1


def test_confusion_matrix_in_a_crowd_of_its_class_is_left_out():
    truth = [([0, 0, 60, 60], 0, 1)]
    found = [(A, 0, 0.9), (A, 0, 0.8), (A, 1, 0.7)]
    confusion = confusion_matrix(evidence_of(truth, found), "bbox")
    assert confusion.n_void == 2 and confusion.counts_TP.sum() == confusion.counts_TP[3, 1] == 1


def test_confusion_matrix_of_nothing_is_zero():
    confusion = confusion_matrix(evidence_of([], []), "bbox")
    assert confusion.counts_TP.sum() == 0 and confusion.n_void == 0
