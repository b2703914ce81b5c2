"""Which class is taken for which: the confusion matrix of detection.

The rule: detections of a score of at least the threshold are served in falling score, of equal
scores the first first, up to 100 per image and class. Each takes, *whatever the class*, the free
instance that it overlaps best, if by at least the IoU asked for; of equal overlaps one of its own
class goes first, then the last. A detection that takes none counts in the row of the background,
an instance that nobody takes in the column of what was missed. A detection that takes none and
lies in a crowd of its class is left out, as COCO does.

The diagonal is not COCO's true positives: there a detection may pass over a free instance of
another class that it overlaps better, here it takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .evidence import Evidence
from .overlaps import ImageOverlaps, best_last, least, overlaps


@dataclass(frozen=True)
class Confusion:
    """The matrix of one evaluation.

    Attributes:
        counts_TP: (K + 1, K + 1) int64: rows the truth, columns what was predicted, in label
            order; last row the background (nothing there), last column what was missed. The
            last of both is 0.
        min_score: detections below it were left out.
        iou: the least overlap of a match.
        n_void: detections left out in crowds.
    """

    counts_TP: np.ndarray
    min_score: float
    iou: float
    n_void: int


def confusion_matrix(
    evidence: Evidence, kind: str, min_score: float = 0.5, iou: float = 0.5
) -> Confusion:
    """Return the confusion matrix; the rule is in the module's docstring.

    Args:
        evidence: of one evaluation.
        kind: ``"segm"`` or ``"bbox"``: what is overlapped.
        min_score: the least score of a detection that counts, 0..1.
        iou: the least overlap of a match, 0..1.

    Raises:
        AnnotationError: for masks where the evidence has none.
        ConfigError: for another kind.
    """
    n_labels = len(evidence.classes)
    counts_TP = np.zeros((n_labels + 1, n_labels + 1), dtype=np.int64)
    n_void = 0
    for image in overlaps(evidence, kind, min_score):
        taken_D = _serve(image, least(iou))
        void_D = (taken_D < 0) & image.in_crowd(iou)
        n_void += int(void_D.sum())
        found_D = evidence.found.label[image.found_D]
        truth_G = evidence.truth.label[image.truth_G]
        hit_D, wrong_D = taken_D >= 0, (taken_D < 0) & ~void_D
        np.add.at(counts_TP, (truth_G[taken_D[hit_D]], found_D[hit_D]), 1)
        np.add.at(counts_TP, (n_labels, found_D[wrong_D]), 1)
        left_G = ~image.crowd_G
        left_G[taken_D[hit_D]] = False
        np.add.at(counts_TP, (truth_G[left_G], n_labels), 1)
    return Confusion(counts_TP, min_score, iou, n_void)


def _serve(image: ImageOverlaps, least_iou: float) -> np.ndarray:
    """Return (D,) int64: the instance that each detection takes, -1 for none."""
    taken_D = np.full(image.found_D.size, -1, dtype=np.int64)
    fits_DG = (image.iou_DG >= least_iou) & ~image.crowd_G
    free_G = np.ones(image.truth_G.size, dtype=bool)
    for d in np.flatnonzero(fits_DG.any(axis=1)):
        iou_G = np.where(fits_DG[d] & free_G, image.iou_DG[d], -1.0)
        if (best := iou_G.max()) < 0:
            continue
        equal_G = iou_G == best
        own_G = equal_G & image.same_DG[d]
        taken_D[d] = best_last(own_G if own_G.any() else equal_G)
        free_G[taken_D[d]] = False
    return taken_D
