"""How well a model did on each single image, to find the best, the worst and the most different."""

from __future__ import annotations

import numpy as np

from .matching import IOU_THRESHOLDS, Matches


def image_quality(matches: Matches, score: float = 0.5) -> np.ndarray:
    """Return TP / (TP + FP + FN) of each image, the mean over COCO's IoU thresholds.

    The rule of iMaterialist 2019, by which nothing found where nothing is is left out.

    Args:
        matches: of one model.
        score: detections below are none.

    Returns:
        (I,) float64 in 0..1; NaN for an image without instances and detections.
    """
    n_images = matches.image_ids.size
    sure = matches.det_score >= score
    hit_D, void_D = matches.hit_DA[sure, 0], matches.void_DA[sure, 0]
    image_D = matches.det_image[sure]
    counts = ~matches.gt_void_GA[:, 0]
    n_I = np.bincount(matches.gt_image[counts], minlength=n_images)
    quality_TI = np.full((IOU_THRESHOLDS.size, n_images), np.nan)
    for t in range(IOU_THRESHOLDS.size):
        is_void = (void_D >> t & 1).astype(bool)
        is_hit = (hit_D >> t & 1).astype(bool) & ~is_void
        hits_I = np.bincount(image_D[is_hit], minlength=n_images)
        false_I = np.bincount(image_D[~is_hit & ~is_void], minlength=n_images)
        whole_I = n_I + false_I
        np.divide(hits_I, whole_I, out=quality_TI[t], where=whole_I > 0)
    # An image that is empty at one threshold, a detection in a crowd apart, is so at all.
    known = ~np.isnan(quality_TI)
    n_T = known.sum(axis=0)
    total_I = np.where(known, quality_TI, 0).sum(axis=0)
    return np.divide(total_I, n_T, out=np.full(n_images, np.nan), where=n_T > 0)
