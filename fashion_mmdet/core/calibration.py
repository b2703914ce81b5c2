"""Whether a score means what it says: of the detections scored 0.8, are four in five right?

Right means: meets an instance at IoU 0.5 by COCO's matching. Detections that are neither right nor
wrong (in crowds) are left out.

The expected calibration error (ECE; Naeini et al., AAAI 2015; Guo et al., ICML 2017) is the mean
distance between score and precision over bins of equal width, weighed by detections. Most
detections of a detector have low scores, so most of the weight lies there; the bins say more. A
badly calibrated model may have the same AP, which looks at the order of scores alone, but one
score threshold then suits no two classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import ConfigError
from .matching import Matches

#: Bins of equal width over 0..1.
N_BINS = 10


@dataclass(frozen=True)
class Reliability:
    """How scores and precision agree, bin by bin.

    Attributes:
        edges: (B + 1,) float64, ends of the bins; a bin holds its lower end, the last both.
        mean_score_B: (B,) float64, NaN for an empty bin.
        precision_B: (B,) float64, share that is right, NaN for an empty bin.
        count_B: (B,) int64, detections.
        ece: expected calibration error in 0..1, NaN without detections.
    """

    edges: np.ndarray
    mean_score_B: np.ndarray
    precision_B: np.ndarray
    count_B: np.ndarray
    ece: float


def reliability(matches: Matches, label: int | None = None, n_bins: int = N_BINS) -> Reliability:
    """Return how well scores say what share of detections is right, at IoU 0.5.

    Args:
        matches: from :func:`.matching.match`.
        label: of this class alone; None takes all.
        n_bins: how many bins of equal width.

    Raises:
        ConfigError: for fewer than one bin.
    """
    if n_bins < 1:
        raise ConfigError(f"calibration: at least 1 bin expected, got {n_bins!r}. Take 10.")
    right_D, counted_D = judged(matches)
    if label is not None:
        counted_D = counted_D & (matches.det_label == label)
    right_D, score_D = right_D[counted_D], matches.det_score[counted_D]
    edges = np.arange(n_bins + 1) / n_bins
    bin_D = np.clip(np.searchsorted(edges, score_D, side="right") - 1, 0, n_bins - 1)
    count_B = np.bincount(bin_D, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_score_B = np.bincount(bin_D, score_D, n_bins) / count_B
        precision_B = np.bincount(bin_D, right_D.astype(float), n_bins) / count_B
    there = count_B > 0
    gap_B = np.abs(precision_B - mean_score_B)[there]
    ece = float((gap_B * count_B[there]).sum() / count_B.sum()) if there.any() else float("nan")
    return Reliability(edges, mean_score_B, precision_B, count_B, ece)


def judged(matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Return (D,) bool twice, at IoU 0.5 and all sizes: is right; is right or wrong."""
    # Bit 0 is IoU 0.5, column 0 all sizes.
    counted_D = (matches.void_DA[:, 0] & 1) == 0
    return counted_D & ((matches.hit_DA[:, 0] & 1) == 1), counted_D
