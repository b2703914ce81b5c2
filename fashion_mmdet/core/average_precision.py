"""COCO average precision (AP) and recall (AR): overall, per label, per super-category.

faster-coco-eval does the matching and the curves in C++, equal to pycocotools to the last bits (a
test compares the two); what is here feeds it labels instead of category ids
and reads its curves. That keeps four traps away: categories in the order of the file, an
annotation with id 0 (taken for "no match"), predicted masks of another size than the photo (taken
for "no overlap"), and printing.

Definition of the figures: https://cocodataset.org/#detection-eval, with at most 100 detections
per image and category. Boundary AP takes the smaller of mask IoU and boundary IoU (Cheng et al.,
2021), so it asks for the outline, which mask IoU forgives on large masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from pycocotools import mask as coco_mask

from .errors import AnnotationError
from .ground_truth import GroundTruth
from .matching import MAX_DETECTIONS
from .ontology import GARMENT_SUPERCATEGORIES, PART_SUPERCATEGORIES

#: What overlap is taken of.
IOU_TYPES = ("bbox", "segm", "boundary")
#: Figure -> (IoU threshold or None for the mean over 0.50:0.95, index of the area range).
SUMMARY: dict[str, tuple[float | None, int]] = {
    "mAP": (None, 0),
    "mAP_50": (0.5, 0),
    "mAP_75": (0.75, 0),
    "mAP_s": (None, 1),
    "mAP_m": (None, 2),
    "mAP_l": (None, 3),
}
#: Figure -> (index of the area range, most detections of an image and category).
RECALLS: dict[str, tuple[int, int]] = {
    "AR_1": (0, 1),
    "AR_10": (0, 10),
    "AR_100": (0, MAX_DETECTIONS),
    "AR_s": (1, MAX_DETECTIONS),
    "AR_m": (2, MAX_DETECTIONS),
    "AR_l": (3, MAX_DETECTIONS),
}
_MOST = (1, 10, MAX_DETECTIONS)
#: Parts against garments: their super-categories. What is worn besides is in neither.
SIDES = {"garments": GARMENT_SUPERCATEGORIES, "parts": PART_SUPERCATEGORIES}


@dataclass(frozen=True)
class AveragePrecision:
    """What one evaluation measured; what has nothing to measure is not in it.

    Attributes:
        summary: figure of :data:`SUMMARY` or :data:`RECALLS` -> value in 0..1.
        of_label: label -> AP in 0..1, for the labels with ground truth.
        of_label_50: label -> AP at an IoU of 0.5, likewise.
        of_group: super-category -> mean AP of its labels with ground truth.
        of_side: ``"garments"``, ``"parts"`` -> mean AP of their labels with ground truth.
    """

    summary: dict[str, float]
    of_label: dict[int, float]
    of_label_50: dict[int, float]
    of_group: dict[str, float]
    of_side: dict[str, float]


def average_precision(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]], iou_type: str
) -> AveragePrecision:
    """Score detections against the ground truth as COCO does.

    Args:
        truth: from :func:`.read_ground_truth`, with masks unless ``iou_type`` is ``"bbox"``.
        detections: dictionaries with ``image_id``, ``label``, ``score``, ``bbox`` (xywh, pixels)
            and, for masks, ``segmentation`` (a compressed code of the image's size, made here: what
            comes from a file must have been through :func:`.rle.to_rle`).
        iou_type: one of :data:`IOU_TYPES`.

    Raises:
        AnnotationError: for a detection of an unknown image, or a mask of another size.
    """
    found = checked(truth, detections, iou_type)
    curves_TRKA, recall_TKAM = _evaluate(truth, found, iou_type)
    of_label, of_label_50 = _by_label(curves_TRKA[..., 0]), _by_label(curves_TRKA[:1, ..., 0])

    def mean_of(labels: Iterable[int]) -> float | None:
        values = [of_label[label] for label in labels]
        return float(np.mean(values)) if values else None

    group_of = {label: truth.groups[label] for label in of_label}
    groups = dict.fromkeys(group for group in group_of.values() if group is not None)
    of_group = {g: mean_of(n for n in of_label if group_of[n] == g) for g in groups}
    of_side = {
        side: mean_of(n for n in of_label if group_of[n] in members)
        for side, members in SIDES.items()
    }
    return AveragePrecision(
        summary=_summary(curves_TRKA) | _recalls(recall_TKAM),
        of_label=of_label,
        of_label_50=of_label_50,
        of_group={name: value for name, value in of_group.items() if value is not None},
        of_side={name: value for name, value in of_side.items() if value is not None},
    )


def checked(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]], iou_type: str
) -> list[dict[str, Any]]:
    """Return the detections as COCO's tools and :func:`.matching.match` take them.

    Raises:
        AnnotationError: as :func:`average_precision`.
    """
    found = []
    for number, detection in enumerate(detections, start=1):
        size_hw = truth.size_hw_of.get(detection["image_id"])
        if size_hw is None:
            raise AnnotationError(
                f"{truth.where}: predictions on its own images expected, got one on image id "
                f"{detection['image_id']!r}. Evaluator and dataset must name the same file."
            )
        entry = {**detection, "id": number, "category_id": detection["label"], "iscrowd": 0}
        if iou_type != "bbox":
            rle = detection["segmentation"]
            if tuple(rle["size"]) != size_hw:
                raise AnnotationError(
                    f"{truth.where}: image {detection['image_id']}: a predicted mask of the "
                    f"annotated size (height, width) = {size_hw} expected, got "
                    f"{tuple(rle['size'])}. Was the photo resized or turned (EXIF) after it was "
                    "annotated?"
                )
            # In C, which trusts the code: to parse it here took half of an evaluation's time.
            entry["area"] = int(coco_mask.area(rle))
        else:
            entry["area"] = detection["bbox"][2] * detection["bbox"][3]
        found.append(entry)
    return found


def _evaluate(
    truth: GroundTruth, detections: list[dict[str, Any]], iou_type: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision by threshold, recall step, label and area; recall by ..., most detections.

    What cannot be measured is -1.
    """
    images = [
        {"id": i, "height": height, "width": width}
        for i, (height, width) in truth.size_hw_of.items()
    ]
    categories = [{"id": label, "name": name} for label, name in enumerate(truth.classes)]
    sides = []
    # The evaluation writes into the annotations, so each gets its own.
    for entries in (truth.annotations, detections):
        side = COCO()
        own = [dict(entry) for entry in entries]
        side.dataset = {"images": images, "categories": categories, "annotations": own}
        side.createIndex()
        sides.append(side)
    evaluation = COCOeval_faster(*sides, iouType=iou_type, print_function=_nothing)
    evaluation.params.maxDets = list(_MOST)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"][..., -1], evaluation.eval["recall"]


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Print nothing."""


def _summary(curves_TRKA: np.ndarray) -> dict[str, float]:
    thresholds = [round(0.5 + 0.05 * step, 2) for step in range(curves_TRKA.shape[0])]
    out = {}
    for name, (threshold, area) in SUMMARY.items():
        rows = slice(None) if threshold is None else thresholds.index(threshold)
        value = _mean(curves_TRKA[rows, ..., area])
        if value is not None:
            out[name] = value
    return out


def _by_label(curves_TRK: np.ndarray) -> dict[int, float]:
    means = ((label, _mean(curves_TRK[..., label])) for label in range(curves_TRK.shape[-1]))
    return {label: value for label, value in means if value is not None}


def _recalls(recall_TKAM: np.ndarray) -> dict[str, float]:
    out = {}
    for name, (area, most) in RECALLS.items():
        value = _mean(recall_TKAM[:, :, area, _MOST.index(most)])
        if value is not None:
            out[name] = value
    return out


def _mean(measured: np.ndarray) -> float | None:
    known = measured[measured > -1]
    return float(known.mean()) if known.size else None
