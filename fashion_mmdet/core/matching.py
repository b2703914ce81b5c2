"""What became of every detection and instance: COCO's matching, kept image by image.

COCO's figures are sums over images, and its tools keep the sums alone. Kept here is, for each
detection and each instance, how it fared at every IoU threshold and size range. From that, every
figure can be computed again for any choice of images, without the masks and without the model:
what bootstrap intervals, paired comparisons, curves and confidence thresholds need.

The rules are those of ``COCOeval.evaluateImg`` and ``accumulate``
(https://github.com/cocodataset/cocoapi); the figures equal its to the last bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    position = {image_id: n for n, image_id in enumerate(known.tolist())}
    truth_of = _grouped(instances, "category_id", position)
    found_of = _grouped(detections, "label", position)
    key = "segmentation" if iou_type == "segm" else "bbox"
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES}
    for image, label in sorted(truth_of.keys() | found_of.keys()):
        truth, found = truth_of.get((image, label), []), found_of.get((image, label), [])
        scores = np.array([d["score"] for d in found], dtype=np.float64)
        # Of equal scores the first stays first, as in COCO.
        order = np.argsort(-scores, kind="stable")[:MAX_DETECTIONS]
        found = [found[i] for i in order]
        crowd_G = np.array([bool(g["iscrowd"]) for g in truth], dtype=bool)
        gt_void_GA = crowd_G[:, None] | _outside([g["area"] for g in truth])
        hit_DAT, void_DAT = _match_one(
            _ious(found, truth, key, crowd_G), crowd_G, gt_void_GA, len(found)
        )
        void_DAT |= ~hit_DAT & _outside([d["area"] for d in found])[:, :, None]
        for name, values in (
            ("det_image", np.full(len(found), image)),
            ("det_label", np.full(len(found), label)),
            ("det_rank", np.arange(len(found))),
            ("det_score", scores[order]),
            ("hit_DA", (hit_DAT * _BIT_T).sum(axis=-1)),
            ("void_DA", (void_DAT * _BIT_T).sum(axis=-1)),
            ("gt_image", np.full(len(truth), image)),
            ("gt_label", np.full(len(truth), label)),
            ("gt_void_GA", gt_void_GA),
        ):
            parts[name].append(values)
    joined: dict[str, np.ndarray] = {
        name: np.concatenate([np.zeros((0, *shape)), *parts[name]]).astype(dtype)
        for name, (dtype, shape) in _DTYPES.items()
    }
    return Matches(known, **joined)


_N_AREAS = len(AREAS)
_DTYPES: dict[str, tuple[type, tuple[int, ...]]] = {
    "det_image": (np.int32, ()),
    "det_label": (np.int16, ()),
    "det_rank": (np.int16, ()),
    "det_score": (np.float64, ()),
    "hit_DA": (np.uint16, (_N_AREAS,)),
    "void_DA": (np.uint16, (_N_AREAS,)),
    "gt_image": (np.int32, ()),
    "gt_label": (np.int16, ()),
    "gt_void_GA": (np.bool_, (_N_AREAS,)),
}


def _grouped(
    entries: Iterable[Mapping[str, Any]], label_key: str, position: Mapping[int, int]
) -> dict[tuple[int, int], list[Mapping[str, Any]]]:
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault((position[entry["image_id"]], entry[label_key]), []).append(entry)
    return groups


def _outside(areas_px: Sequence[float]) -> np.ndarray:
    """Return (N, A) bool: whether an area lies outside a size range."""
    areas = np.asarray(areas_px, dtype=np.float64).reshape(-1, 1)
    return (areas < _LOW_A) | (areas > _HIGH_A)


def _ious(
    found: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]], key: str, crowd_G: Any
) -> np.ndarray:
    """Return the (D, G) overlaps; with a crowd, the share of the detection that lies in it."""
    if not found or not truth:
        return np.zeros((len(found), len(truth)))
    return coco_mask.iou(
        [d[key] for d in found], [g[key] for g in truth], crowd_G.astype(np.uint8).tolist()
    )


def _match_one(
    iou_DG: np.ndarray, crowd_G: np.ndarray, gt_void_GA: np.ndarray, n_found: int
) -> tuple[np.ndarray, np.ndarray]:
    """Match one label of one image at all thresholds and size ranges at once.

    The best free instance wins; one that counts goes before one that does not, however well that
    fits; of equals the last. A crowd is never used up.

    Returns:
        (D, A, T) bool twice: met an instance; met one that does not count.
    """
    n_instances = crowd_G.size
    hit_DAT = np.zeros((n_found, _N_AREAS, IOU_THRESHOLDS.size), dtype=bool)
    void_DAT = np.zeros_like(hit_DAT)
    if not n_instances:
        return hit_DAT, void_DAT
    least_T = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)  # as COCO: an IoU of 1 is enough for all
    free_ATG = np.ones((_N_AREAS, IOU_THRESHOLDS.size, n_instances), dtype=bool)
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
    return hit_DAT, void_DAT
