"""The photos of an evaluation, ready to be asked what a rule keeps and what that is worth.

What is slow, the overlaps of masks, is measured once a photo and mask threshold. All score
thresholds are read off one greedy matching: both the suppression of overlaps and the matching
serve detections in falling score, so that leaving out a tail of low scores changes nothing for
those above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.operating_point import AREA_SIDE_PX, OperatingPoint, suppressed
from fashion_mmdet.core.paste import paste_mask

#: What masks are made with where the evidence does not say: mmdet's own value.
MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Matching:
    """When a detection counts as right.

    Attributes:
        name: of the rule, each another.
        least_T: (T,) float64, rising, at most 16: an overlap of at least this is a match.
        crowd_T: (T,) float64: a detection that matches nothing, with at least this share of it in
            a crowd of its class, is neither right nor wrong.
    """

    name: str
    least_T: np.ndarray
    crowd_T: np.ndarray


@dataclass(frozen=True)
class Photo:
    """D detections, in falling score, and G instances of one photo.

    Attributes:
        image: its position in the evidence.
        label_D: (D,) int64.
        score_D: (D,) float64.
        area_D: (D,) float64, px of the photo squeezed to 512 x 512.
        codes: the D masks, as pycocotools takes them.
        gt_label_G: (G,) int64, without crowds.
        iou_DG: (D, G) float64; -1 where the classes differ.
        crowd_D: (D,) float64, the largest share of the detection in a crowd of its class.
    """

    image: int
    label_D: np.ndarray
    score_D: np.ndarray
    area_D: np.ndarray
    codes: list[dict]
    gt_label_G: np.ndarray
    iou_DG: np.ndarray
    crowd_D: np.ndarray
    _met: dict[tuple[str, bytes], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    _close: dict[tuple[Any, Any], np.ndarray] = field(default_factory=dict)

    @cached_property
    def iou_DD(self) -> np.ndarray:
        """(D, D) float64, the overlaps of the detections."""
        if not self.codes:
            return np.zeros((0, 0))
        return np.asarray(coco_mask.iou(self.codes, self.codes, [0] * len(self.codes)))

    def kept(self, point: OperatingPoint, given_D: np.ndarray, limit: bool = True) -> np.ndarray:
        """Return positions of what ``point`` keeps of those given, in falling score.

        As :meth:`.OperatingPoint.kept`, which a test holds it against.

        Args:
            point: its scores play no part.
            given_D: (D,) bool, those with a score that is high enough.
            limit: whether ``max_count`` counts.
        """
        order = np.flatnonzero(given_D)
        if point.needs_overlaps and order.size:
            order = order[suppressed(self._too_close(point)[np.ix_(order, order)])]
        if point.min_area > 0:
            order = order[self.area_D[order] >= point.min_area]
        return order[: point.max_count] if limit else order

    def _too_close(self, point: OperatingPoint) -> np.ndarray:
        """Return (D, D) bool, see :meth:`.OperatingPoint.too_close`; the last answer is kept."""
        key = (point.nms_iou, point.nms_iou_any)
        if key not in self._close:
            self._close.clear()
            self._close[key] = point.too_close(self.label_D, self.iou_DD)
        return self._close[key]

    def high_enough(self, point: OperatingPoint, classes: Sequence[str]) -> np.ndarray:
        """Return (D,) bool: the score is at least what the point asks for."""
        least_K = np.array([point.score_of.get(name, point.score) for name in classes])
        return self.score_D >= least_K[self.label_D]

    def met(self, order: np.ndarray, matching: Matching) -> tuple[np.ndarray, np.ndarray]:
        """Match the detections at ``order`` with the instances, each class for itself.

        Each takes the free instance that it overlaps best, of equals the last, as COCO does.

        Returns:
            (N,) uint16 twice: bit t is set where it met an instance at ``least_T[t]``; where it
            met none and lies in a crowd.
        """
        key = (matching.name, order.tobytes())
        if key not in self._met:
            self._met[key] = self._matched(order, matching)
        return self._met[key]

    def _matched(self, order: np.ndarray, matching: Matching) -> tuple[np.ndarray, np.ndarray]:
        least_T = matching.least_T
        bit_T = (1 << np.arange(least_T.size)).astype(np.uint16)
        hit_D = np.zeros(order.size, dtype=np.uint16)
        iou_DG = self.iou_DG[order]
        n_there = iou_DG.shape[1]
        free_TG = np.ones((least_T.size, n_there), dtype=bool)
        for d in np.flatnonzero((iou_DG >= least_T[0]).any(axis=1)).tolist():
            overlap_TG = np.where(free_TG & (iou_DG[d] >= least_T[:, None]), iou_DG[d], 0.0)
            t = np.flatnonzero(overlap_TG.any(axis=1))
            free_TG[t, n_there - 1 - overlap_TG[t, ::-1].argmax(axis=1)] = False
            hit_D[d] = bit_T[t].sum()
        in_crowd_DT = self.crowd_D[order, None] >= matching.crowd_T
        void_D = (in_crowd_DT * bit_T).sum(axis=1).astype(np.uint16) & ~hit_D
        return hit_D, void_D


class Photos:
    """Those of an evaluation that the model saw, by mask threshold.

    Args:
        evidence: with masks.
        images: positions to take; None takes all that were predicted.

    Raises:
        AnnotationError: for evidence without masks.
    """

    def __init__(self, evidence: Evidence, images: np.ndarray | None = None) -> None:
        if evidence.truth.counts is None or evidence.found.counts is None:
            raise AnnotationError(
                f"{evidence.annotations}: evidence with masks expected, got boxes alone. Take what "
                "`fashion test` or a validation has left, not what was kept of it."
            )
        self.evidence = evidence
        self.images = np.flatnonzero(evidence.predicted) if images is None else images
        self._truth_of = _split(evidence.truth.image, evidence.image_ids.size)
        self._found_of = _split(evidence.found.image, evidence.image_ids.size)
        self._made: dict[float, dict[int, Photo]] = {}

    @property
    def own_threshold(self) -> float:
        """The mask threshold that the evidence's masks were made with."""
        own = self.evidence.mask_threshold
        return MASK_THRESHOLD if own is None else own

    @property
    def has_grids(self) -> bool:
        """Whether masks can be made at other thresholds."""
        return self.evidence.found.grids_NHW is not None

    def part(self, images: np.ndarray) -> Photos:
        """Return some of the photos; what has been measured is shared."""
        out = Photos(self.evidence, images)
        out._made = self._made
        return out

    def at(self, mask_threshold: float) -> list[Photo]:
        """Return the photos with masks of a threshold.

        Raises:
            AnnotationError: for another threshold than the masks', where there are no grids.
        """
        made = self._made.setdefault(mask_threshold, {})
        for image in self.images.tolist():
            if image not in made:
                made[image] = self._photo(image, mask_threshold)
        return [made[image] for image in self.images.tolist()]

    def instances(self) -> np.ndarray:
        """Return the labels of the instances in these photos, crowds left out."""
        truth = self.evidence.truth
        return truth.label[np.isin(truth.image, self.images) & ~truth.is_crowd]

    def _photo(self, image: int, mask_threshold: float) -> Photo:
        truth, found = self.evidence.truth, self.evidence.found
        size_hw = self.evidence.size_hw[image].tolist()
        at = self._found_of[image]
        at = at[np.argsort(-found.score[at], kind="stable")]
        codes = self._codes(at, size_hw, mask_threshold)
        there = self._truth_of[image]
        crowd_G = truth.is_crowd[there]
        iou_DG = np.zeros((at.size, there.size))
        if iou_DG.size:
            instances = [truth.rle(n, size_hw) for n in there.tolist()]
            iou_DG = np.asarray(coco_mask.iou(codes, instances, crowd_G.astype(np.uint8).tolist()))
        iou_DG = np.where(found.label[at][:, None] == truth.label[there][None, :], iou_DG, -1.0)
        area_px = coco_mask.area(codes) if codes else []
        return Photo(
            image=image,
            label_D=found.label[at].astype(np.int64),
            score_D=found.score[at],
            area_D=np.asarray(area_px) * (AREA_SIDE_PX**2 / (size_hw[0] * size_hw[1])),
            codes=codes,
            gt_label_G=truth.label[there][~crowd_G].astype(np.int64),
            iou_DG=iou_DG[:, ~crowd_G],
            crowd_D=iou_DG[:, crowd_G].max(axis=1, initial=-1.0),
        )

    def _codes(self, at: np.ndarray, size_hw: list[int], mask_threshold: float) -> list[dict]:
        found = self.evidence.found
        if mask_threshold == self.own_threshold:
            return [found.rle(n, size_hw) for n in at.tolist()]
        if found.grids_NHW is None or found.grid_box_xyxy is None:
            raise AnnotationError(
                f"{self.evidence.annotations}: evidence with grids expected for a mask threshold "
                f"of {mask_threshold:g}, got masks of {self.own_threshold:g} alone. Evaluate with "
                "`fashion test --keep-grids`."
            )
        height_px, width_px = size_hw
        codes = []
        for n in at.tolist():
            grid = found.grids_NHW[n].astype(np.float32) / np.float32(255)
            box_xyxy = found.grid_box_xyxy[n]
            codes.append(paste_mask(grid, box_xyxy, height_px, width_px, mask_threshold))
        return codes


def _split(image: np.ndarray, n_images: int) -> list[np.ndarray]:
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, n_images)))
