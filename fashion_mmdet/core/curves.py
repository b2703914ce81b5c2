"""Precision, recall and AP of matched detections, for all images or for weighted ones.

A weight says how often an image counts. With whole numbers the figures are those of a set in
which each image stands so often, which is what a bootstrap needs, a thousand sets at a time.
"""

from __future__ import annotations

import numpy as np

from .matching import AREAS, IOU_THRESHOLDS, MAX_DETECTIONS, Matches

#: Recall steps at which precision is read, to the bit those of pycocotools.
RECALL_STEPS = np.linspace(0.0, 1.0, 101)
_AREA_INDEX = {name: n for n, name in enumerate(AREAS)}


def average_precisions(
    matches: Matches, n_labels: int, area: str = "all", weights_BI: np.ndarray | None = None
) -> np.ndarray:
    """Return AP in 0..1 by sample, label and IoU threshold.

    Args:
        matches: from :func:`.matching.match`.
        n_labels: how many labels there are.
        area: a size range of :data:`.matching.AREAS`.
        weights_BI: (B, I), how often each image counts in each sample; None counts each once.

    Returns:
        (B, n_labels, T) float64; NaN where a sample has no instance of the label.
    """
    if weights_BI is None:
        weights_BI = np.ones((1, matches.image_ids.size))
    out_BKT = np.full((len(weights_BI), n_labels, IOU_THRESHOLDS.size), np.nan)
    for label in np.unique(matches.gt_label).tolist():
        out_BKT[:, label] = _of_label(matches, label, _AREA_INDEX[area], weights_BI)
    return out_BKT


def _of_label(matches: Matches, label: int, area: int, weights_BI: np.ndarray) -> np.ndarray:
    counts = (matches.gt_label == label) & ~matches.gt_void_GA[:, area]
    n_B = weights_BI[:, matches.gt_image[counts]].sum(axis=1)
    found = np.flatnonzero(matches.det_label == label)
    found = found[np.argsort(-matches.det_score[found], kind="stable")]
    hit, void = matches.hit_DA[found, area], matches.void_DA[found, area]
    # What comes after the last hit changes no precision that is read.
    hits = np.flatnonzero(hit & ~void)
    n_read = hits[-1] + 1 if hits.size else 0
    found, hit, void = found[:n_read], hit[:n_read], void[:n_read]
    weights_BD = weights_BI[:, matches.det_image[found]]
    out_BT = np.zeros((len(weights_BI), IOU_THRESHOLDS.size))
    for t in range(IOU_THRESHOLDS.size):
        void_D = (void >> t & 1).astype(bool)
        at = np.flatnonzero((hit >> t & 1).astype(bool) & ~void_D)
        right_BH = np.cumsum(weights_BD[:, at], axis=1)
        given_BH = np.cumsum(weights_BD * ~void_D, axis=1)[:, at]
        precision_BH = right_BH / (given_BH + np.spacing(1))
        precision_BH = np.maximum.accumulate(precision_BH[:, ::-1], axis=1)[:, ::-1]
        if at.size:
            # Each step is read at the first hit that reaches it.
            with np.errstate(invalid="ignore", divide="ignore"):
                recall_BH = right_BH / n_B[:, None]
            reached_BH = np.searchsorted(RECALL_STEPS, recall_BH, side="right")
            steps_BH = np.diff(reached_BH, axis=1, prepend=0)
            out_BT[:, t] = (precision_BH * steps_BH).sum(axis=1) / RECALL_STEPS.size
    out_BT[n_B == 0] = np.nan
    return out_BT


def precision_curves(matches: Matches, n_labels: int, area: str = "all") -> np.ndarray:
    """Return precision at :data:`RECALL_STEPS`, the higher one at a higher recall taken before.

    Its mean over the steps is AP.

    Args:
        matches: from :func:`.matching.match`.
        n_labels: how many labels there are.
        area: a size range of :data:`.matching.AREAS`.

    Returns:
        (n_labels, T, 101) float64 by label, IoU threshold and recall step; 0 at a recall that is
        not reached, NaN for a label without an instance.
    """
    index = _AREA_INDEX[area]
    out_KTR = np.full((n_labels, IOU_THRESHOLDS.size, RECALL_STEPS.size), np.nan)
    counts = ~matches.gt_void_GA[:, index]
    n_K = np.bincount(matches.gt_label[counts], minlength=n_labels)
    for label in np.flatnonzero(n_K).tolist():
        found = np.flatnonzero(matches.det_label == label)
        found = found[np.argsort(-matches.det_score[found], kind="stable")]
        hit, void = matches.hit_DA[found, index], matches.void_DA[found, index]
        for t in range(IOU_THRESHOLDS.size):
            void_D = (void >> t & 1).astype(bool)
            at = np.flatnonzero((hit >> t & 1).astype(bool) & ~void_D)
            right_H, given_H = np.arange(1, at.size + 1), np.cumsum(~void_D)[at]
            precision_H = right_H / (given_H + np.spacing(1))
            precision_H = np.maximum.accumulate(precision_H[::-1])[::-1]
            # Each step is read at the first hit that reaches it.
            reached_R = np.searchsorted(right_H / n_K[label], RECALL_STEPS, side="left")
            out_KTR[label, t] = np.append(precision_H, 0.0)[reached_R]
    return out_KTR


def average_recalls(
    matches: Matches, n_labels: int, area: str = "all", most: int = MAX_DETECTIONS
) -> np.ndarray:
    """Return the recall, (n_labels, T), of the ``most`` best detections of an image and label."""
    index = _AREA_INDEX[area]
    out_KT = np.full((n_labels, IOU_THRESHOLDS.size), np.nan)
    counts = ~matches.gt_void_GA[:, index]
    n_K = np.bincount(matches.gt_label[counts], minlength=n_labels)
    taken = matches.det_rank < most
    for t in range(IOU_THRESHOLDS.size):
        right = taken & (
            (matches.hit_DA[:, index] & ~matches.void_DA[:, index]) >> t & 1
        ).astype(bool)
        hits_K = np.bincount(matches.det_label[right], minlength=n_labels)
        out_KT[n_K > 0, t] = hits_K[n_K > 0] / n_K[n_K > 0]
    return out_KT


def mean_ap(ap_BKT: np.ndarray) -> np.ndarray:
    """Return the mean over thresholds and over the labels that a sample has, (B,); NaN for none."""
    ap_BK = ap_BKT.mean(axis=2)
    n_B = (~np.isnan(ap_BK)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(n_B > 0, np.nansum(ap_BK, axis=1) / n_B, np.nan)
