"""Overlaps of everything with everything in one photo, whatever the class.

COCO's matching (:mod:`.matching`) overlaps only what is of one class. To say that a detection lies
on an instance of another class, the overlaps across classes are needed too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import AnnotationError, ConfigError
from .evidence import Evidence
from .matching import MAX_DETECTIONS
from .shapes import Shapes


@dataclass(frozen=True)
class ImageOverlaps:
    """D detections and G instances of one image; positions are those in the evidence.

    Attributes:
        image: position of the image.
        found_D: (D,) int64, positions in ``evidence.found``, in falling score, of equal scores the
            first first; those beyond the most that COCO takes per class are left out.
        truth_G: (G,) int64, positions in ``evidence.truth``, crowds among them.
        iou_DG: (D, G) float64 in 0..1; with a crowd the share of the detection that lies in it.
        same_DG: (D, G) bool, of one class.
        crowd_G: (G,) bool.
    """

    image: int
    found_D: np.ndarray
    truth_G: np.ndarray
    iou_DG: np.ndarray
    same_DG: np.ndarray
    crowd_G: np.ndarray

    def in_crowd(self, iou: float) -> np.ndarray:
        """Return (D,) bool: lies in a crowd of its class; it may have met an instance as well."""
        return (self.same_DG & self.crowd_G & (self.iou_DG >= least(iou))).any(axis=1)


def overlaps(evidence: Evidence, kind: str, min_score: float = 0.0) -> Iterator[ImageOverlaps]:
    """Yield the overlaps, image by image; images with neither side are left out.

    Args:
        evidence: of one evaluation.
        kind: ``"segm"`` or ``"bbox"``: what is overlapped.
        min_score: detections below it are left out.

    Raises:
        AnnotationError: for masks where the evidence has none.
        ConfigError: for another kind.
    """
    require_kind(evidence, kind)
    truth_of = _by_image(evidence.truth, np.arange(len(evidence.truth)), evidence)
    kept = np.flatnonzero(evidence.found.score >= min_score)
    found_of = _by_image(evidence.found, kept, evidence)
    for image in range(evidence.image_ids.size):
        truth_G, found_D = truth_of[image], _best(evidence.found, found_of[image])
        if not truth_G.size and not found_D.size:
            continue
        crowd_G = evidence.truth.is_crowd[truth_G]
        iou_DG = np.zeros((found_D.size, truth_G.size))
        if iou_DG.size:
            iou_DG = coco_mask.iou(
                _given(evidence, evidence.found, found_D, kind, image),
                _given(evidence, evidence.truth, truth_G, kind, image),
                crowd_G.astype(np.uint8).tolist(),
            )
        same_DG = evidence.found.label[found_D][:, None] == evidence.truth.label[truth_G][None, :]
        yield ImageOverlaps(image, found_D, truth_G, iou_DG, same_DG, crowd_G)


def require_kind(evidence: Evidence, kind: str) -> None:
    """Refuse an overlap that the evidence cannot give; errors as of :func:`overlaps`."""
    if kind not in ("segm", "bbox"):
        raise ConfigError(f"overlaps: 'segm' or 'bbox' expected, got {kind!r}. Take one of them.")
    if kind == "segm" and (evidence.truth.counts is None or evidence.found.counts is None):
        raise AnnotationError(
            f"{evidence.annotations}: instances and detections with masks expected, got boxes "
            "alone. Take 'bbox'."
        )


def least(iou: float) -> float:
    """Return the least overlap that is a match: as COCO, an IoU of 1 is enough for all."""
    return min(iou, 1 - 1e-10)


def best_last(iou_G: np.ndarray) -> int:
    """Return the position of the largest, of equals the last, as COCO's matching takes it."""
    return int(iou_G.size - 1 - iou_G[::-1].argmax())


def _by_image(shapes: Shapes, kept: np.ndarray, evidence: Evidence) -> list[np.ndarray]:
    order = kept[np.argsort(shapes.image[kept], kind="stable")]
    cuts = np.searchsorted(shapes.image[order], np.arange(1, evidence.image_ids.size))
    return np.split(order, cuts)


def _best(found: Shapes, of_image: np.ndarray) -> np.ndarray:
    """Return detections of an image in falling score, per class only as many as COCO takes."""
    order = of_image[np.argsort(-found.score[of_image], kind="stable")]
    taken = np.zeros(order.size, dtype=bool)
    for label in np.unique(found.label[order]):
        taken[np.flatnonzero(found.label[order] == label)[:MAX_DETECTIONS]] = True
    return order[taken]


def _given(evidence: Evidence, shapes: Shapes, which: np.ndarray, kind: str, image: int) -> Any:
    """Return shapes as pycocotools takes them."""
    if kind == "bbox":
        return np.ascontiguousarray(shapes.box_xywh[which], dtype=np.float64)
    return [shapes.rle(n, evidence.size_hw[image]) for n in which.tolist()]
