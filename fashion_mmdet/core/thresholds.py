"""From which score on to believe a detection: precision, recall and F1 over thresholds.

COCO's matching serves detections in falling score, so that leaving out those below a threshold
changes nothing for the others: every threshold can be read off one matching.

A threshold that is best on some photos flatters itself on them: it was chosen to. Choose it on the
validation set, and measure with it on the test set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calibration import judged
from .matching import Matches

#: The thresholds that are tried. Divided, so that a score of 0.3 is at least 0.3.
THRESHOLDS = np.arange(101) / 100


@dataclass(frozen=True)
class ThresholdCurves:
    """Precision, recall and F1 of detections of at least a score, at IoU 0.5.

    Row ``n`` is the class of label ``n``, the last row all classes together: every detection and
    instance weighs the same.

    Attributes:
        thresholds: (T,) float64, rising.
        precision_KT: (K + 1, T) float64; NaN without a detection.
        recall_KT: (K + 1, T) float64; NaN without an instance.
        f1_KT: (K + 1, T) float64; 2 TP / (2 TP + FP + FN), NaN with neither.
        n_truth_K: (K + 1,) int64, instances to be found.
    """

    thresholds: np.ndarray
    precision_KT: np.ndarray
    recall_KT: np.ndarray
    f1_KT: np.ndarray
    n_truth_K: np.ndarray

    def best(self, label: int | None = None) -> Best | None:
        """Return the threshold with the best F1, of equals the lowest.

        It is chosen on the photos that it is measured on, so its F1 is too good for others, the
        more so the fewer instances there are. See the module's docstring.

        Args:
            label: of this class; None for all together.

        Returns:
            None where there is no instance, or none is found at any threshold.
        """
        row = -1 if label is None else label
        f1_T = np.nan_to_num(self.f1_KT[row], nan=0.0)
        at = int(f1_T.argmax())
        if not f1_T[at] > 0:
            return None
        return Best(
            float(self.thresholds[at]), float(self.precision_KT[row, at]),
            float(self.recall_KT[row, at]), float(f1_T[at]),
        )  # fmt: skip


@dataclass(frozen=True)
class Best:
    """A score threshold, and what it gives; all in 0..1."""

    threshold: float
    precision: float
    recall: float
    f1: float


def threshold_curves(
    matches: Matches, n_labels: int, thresholds: np.ndarray = THRESHOLDS
) -> ThresholdCurves:
    """Return the curves, by class and over all.

    Args:
        matches: from :func:`.matching.match`.
        n_labels: how many labels there are.
        thresholds: (T,) float64, rising; a detection of exactly this score counts.
    """
    right_D, counted_D = judged(matches)
    n_truth_K = np.bincount(matches.gt_label[~matches.gt_void_GA[:, 0]], minlength=n_labels)
    hits_KT = np.zeros((n_labels + 1, thresholds.size), dtype=np.int64)
    given_KT = np.zeros_like(hits_KT)
    for label in np.unique(matches.det_label).tolist():
        of_label_D = matches.det_label == label
        hits_KT[label] = _at_least(matches.det_score[of_label_D & right_D], thresholds)
        given_KT[label] = _at_least(matches.det_score[of_label_D & counted_D], thresholds)
    hits_KT[-1], given_KT[-1] = hits_KT[:-1].sum(axis=0), given_KT[:-1].sum(axis=0)
    n_truth_K = np.append(n_truth_K, n_truth_K.sum())
    there_KT = np.broadcast_to(n_truth_K[:, None], hits_KT.shape)
    return ThresholdCurves(
        thresholds, _ratio(hits_KT, given_KT), _ratio(hits_KT, there_KT),
        _ratio(2 * hits_KT, given_KT + there_KT), n_truth_K,
    )  # fmt: skip


def _at_least(score_D: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return (T,) int64: how many scores are at least each threshold."""
    return score_D.size - np.searchsorted(np.sort(score_D), thresholds, side="left")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
