"""What became of every detection and instance: COCO's matching, kept image by image.

COCO's figures are sums over images, and its tools keep the sums alone. Kept here is, for each
detection and each instance, how it fared at every IoU threshold and size range. From that, every
figure can be computed again for any choice of images, without the masks and without the model:
what bootstrap intervals, paired comparisons, curves and confidence thresholds need.

The rules are those of ``COCOeval.evaluateImg`` and ``accumulate``
(https://github.com/cocodataset/cocoapi); the figures equal its to the last bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

#: IoU thresholds, to the bit those of pycocotools.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: Size range -> least and most area in px.
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
#: Most detections that count, per image and label.
MAX_DETECTIONS = 100
_LOW_A = np.array([low for low, _ in AREAS.values()])
_HIGH_A = np.array([high for _, high in AREAS.values()])
_BIT_T = (1 << np.arange(IOU_THRESHOLDS.size)).astype(np.uint16)
_ALL_BITS = np.uint16((1 << IOU_THRESHOLDS.size) - 1)


@dataclass(frozen=True)
class Matches:
    """D detections and G instances of I images, by image, then label, then falling score.

    Attributes:
        image_ids: (I,) int64, rising.
        det_image: (D,) int32, position in ``image_ids``.
        det_label: (D,) int16.
        det_rank: (D,) int16, place among the detections of its image and label, from 0.
        det_score: (D,) float64.
        hit_DA: (D, A) uint16; bit t is set where it met an instance at ``IOU_THRESHOLDS[t]``.
        void_DA: (D, A) uint16; bit t is set where it counts neither for nor against the model:
            it met an instance that does not count, or met none and has another size.
        gt_image: (G,) int32, position in ``image_ids``.
        gt_label: (G,) int16.
        gt_void_GA: (G, A) bool; an instance that does not count: a crowd, or of another size.
    """

    image_ids: np.ndarray
    det_image: np.ndarray
    det_label: np.ndarray
    det_rank: np.ndarray
    det_score: np.ndarray
    hit_DA: np.ndarray
    void_DA: np.ndarray
    gt_image: np.ndarray
    gt_label: np.ndarray
    gt_void_GA: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, to be written."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def match(
    image_ids: Iterable[int],
    instances: Iterable[Mapping[str, Any]],
    detections: Iterable[Mapping[str, Any]],
    iou_type: str,
) -> Matches:
    """Match detections with instances as COCO does.

    Args:
        image_ids: all images that are scored.
        instances: ``image_id``, ``category_id`` (a label), ``area``, ``iscrowd`` and ``bbox``
            (xywh, px) or ``segmentation`` (a compressed code).
        detections: ``image_id``, ``label``, ``score``, ``area`` and likewise.
        iou_type: ``"bbox"`` or ``"segm"``.
    """
    known = np.unique(np.fromiter(image_ids, dtype=np.int64))
    truth, found = list(instances), list(detections)
    gt_image, gt_label = _places(truth, "category_id", known)
    order = np.lexsort((gt_label, gt_image))
    truth, gt_image, gt_label = [truth[i] for i in order], gt_image[order], gt_label[order]
    det_image, det_label = _places(found, "label", known)
    score = np.array([d["score"] for d in found], dtype=np.float64)
    # Of equal scores the first stays first, as in COCO.
    order = np.lexsort((-score, det_label, det_image))
    rank = _ranks(det_image[order], det_label[order])
    order, rank = order[rank < MAX_DETECTIONS], rank[rank < MAX_DETECTIONS]
    found = [found[i] for i in order]
    det_image, det_label, score = det_image[order], det_label[order], score[order]

    crowd_G = np.array([bool(g["iscrowd"]) for g in truth], dtype=bool)
    gt_void_GA = crowd_G[:, None] | _outside([g["area"] for g in truth])
    hit_DA = np.zeros((len(found), len(AREAS)), dtype=np.uint16)
    void_DA = np.zeros_like(hit_DA)
    key = "segmentation" if iou_type == "segm" else "bbox"
    for of_det, of_gt in _met((det_image, det_label), (gt_image, gt_label)):
        crowd = crowd_G[of_gt]
        iou_DG = coco_mask.iou(
            [d[key] for d in found[of_det]],
            [g[key] for g in truth[of_gt]],
            crowd.astype(np.uint8).tolist(),
        )
        hit_DA[of_det], void_DA[of_det] = _match_one(iou_DG, crowd, gt_void_GA[of_gt])
    outside_DA = _outside([d["area"] for d in found])
    void_DA |= np.where(outside_DA, ~hit_DA & _ALL_BITS, 0).astype(np.uint16)
    return Matches(
        image_ids=known,
        det_image=det_image.astype(np.int32),
        det_label=det_label.astype(np.int16),
        det_rank=rank.astype(np.int16),
        det_score=score,
        hit_DA=hit_DA,
        void_DA=void_DA,
        gt_image=gt_image.astype(np.int32),
        gt_label=gt_label.astype(np.int16),
        gt_void_GA=gt_void_GA,
    )


def _places(
    entries: Sequence[Mapping[str, Any]], label_key: str, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return position among the known images, and label, of each; both int64."""
    position = {image_id: n for n, image_id in enumerate(known.tolist())}
    image = np.array([position[e["image_id"]] for e in entries], dtype=np.int64)
    return image, np.array([e[label_key] for e in entries], dtype=np.int64)


def _starts(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return where an image and label begin, of entries sorted by both."""
    is_new = (np.diff(image, prepend=-1) != 0) | (np.diff(label, prepend=-1) != 0)
    return np.flatnonzero(is_new)


def _ranks(image: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return each entry's place in its image and label, from 0, of entries sorted by both."""
    starts = _starts(image, label)
    sizes = np.diff(starts, append=image.size)
    return np.arange(image.size) - np.repeat(starts, sizes)


def _met(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[slice, slice]]:
    """Yield where each image and label that both have lies in either, both sorted by them."""
    slices_of: list[dict[tuple[int, int], slice]] = []
    for image, label in (first, second):
        starts = _starts(image, label)
        ends = starts + np.diff(starts, append=image.size)
        rows = (image[starts], label[starts], starts, ends)
        each = zip(*(row.tolist() for row in rows), strict=True)
        slices_of.append({(i, k): slice(start, end) for i, k, start, end in each})
    for key, of_first in slices_of[0].items():
        if key in slices_of[1]:
            yield of_first, slices_of[1][key]


def _outside(areas_px: Sequence[float]) -> np.ndarray:
    """Return (N, A) bool: whether an area lies outside a size range."""
    areas = np.asarray(areas_px, dtype=np.float64).reshape(-1, 1)
    return (areas < _LOW_A) | (areas > _HIGH_A)


def _match_one(
    iou_DG: np.ndarray, crowd_G: np.ndarray, gt_void_GA: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match one label of one image at all thresholds and size ranges at once.

    The best free instance wins; one that counts goes before one that does not, however well that
    fits; of equals the last. A crowd is never used up.

    Args:
        iou_DG: overlaps of D detections in falling score with G instances; with a crowd, the
            share of the detection that lies in it.
        crowd_G: (G,) bool.
        gt_void_GA: (G, A) bool, see :class:`Matches`.

    Returns:
        (D, A) uint16 twice, bits by threshold: met an instance; met one that does not count.
    """
    n_found, n_instances = iou_DG.shape
    hit_DAT = np.zeros((n_found, len(AREAS), IOU_THRESHOLDS.size), dtype=bool)
    void_DAT = np.zeros_like(hit_DAT)
    least_T = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)  # as COCO: an IoU of 1 is enough for all
    free_ATG = np.ones((len(AREAS), IOU_THRESHOLDS.size, n_instances), dtype=bool)
    void_ATG = np.broadcast_to(gt_void_GA.T[:, None, :], free_ATG.shape)
    for d in np.flatnonzero(iou_DG.max(axis=1) >= least_T[0]):
        fits_ATG = (free_ATG | crowd_G) & (iou_DG[d] >= least_T[:, None])
        counting_ATG = fits_ATG & ~void_ATG
        chosen_ATG = np.where(counting_ATG.any(axis=2, keepdims=True), counting_ATG, fits_ATG)
        overlap_ATG = np.where(chosen_ATG, iou_DG[d], -1.0)
        best_AT = n_instances - 1 - overlap_ATG[..., ::-1].argmax(axis=2)
        a, t = np.nonzero(chosen_ATG.any(axis=2))
        g = best_AT[a, t]
        hit_DAT[d, a, t] = True
        void_DAT[d, a, t] = gt_void_GA[g, a]
        free_ATG[a, t, g] = False
    return (hit_DAT * _BIT_T).sum(axis=-1), (void_DAT * _BIT_T).sum(axis=-1)
