"""COCO average precision (AP) per label, per super-category and overall.

pycocotools does the matching and the precision-recall curves; what is here feeds it labels
instead of category ids and reads its curves. That keeps four of its traps away: categories in
the order of the file, an annotation with id 0 (which it takes for "no match"), predicted masks
of another size than the photo (which it takes for "no overlap"), and printing.

Definition of the figures: https://cocodataset.org/#detection-eval, with at most 100 detections
per image and category.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco import map_categories, read_coco
from .errors import AnnotationError, OntologyError, did_you_mean
from .ontology import CLASSES, supercategory
from .rle import area_px, box_xywh, to_rle, usable

#: Most detections that count, per image and category.
MAX_DETECTIONS = 100
#: Figure -> (IoU threshold or None for the mean over 0.50:0.95, index of the area range).
SUMMARY: dict[str, tuple[float | None, int]] = {
    "mAP": (None, 0),
    "mAP_50": (0.5, 0),
    "mAP_75": (0.75, 0),
    "mAP_s": (None, 1),
    "mAP_m": (None, 2),
    "mAP_l": (None, 3),
}


@dataclass(frozen=True)
class GroundTruth:
    """The measurable part of an annotation file, with labels for category ids.

    Attributes:
        where: the file, for messages.
        classes: class names; position = label.
        groups: the super-category of each class, None where there is none.
        size_hw_of: image id -> (height, width) in pixels.
        annotations: pycocotools' dictionaries, ``category_id`` being the label, ids from 1,
            ``segmentation`` a compressed code where masks were asked for.
        count_of: label -> how many instances count (crowds do not).
        report: what was left out or derived -> how often.
        faults: a message for every invalid mask.
    """

    where: str
    classes: tuple[str, ...]
    groups: tuple[str | None, ...]
    size_hw_of: dict[int, tuple[int, int]]
    annotations: list[dict[str, Any]]
    count_of: Counter[int]
    report: Counter[str]
    faults: list[str]


def read_ground_truth(
    path: str | os.PathLike[str], classes: Sequence[str], masks: bool
) -> GroundTruth:
    """Read a COCO file for scoring; a missing ``bbox`` or ``area`` comes from the mask.

    Args:
        path: the annotation file.
        classes: class names in label order, as trained. Categories meet them by name.
        masks: also prepare the masks; an annotation without a valid one is then left out, and
            counted in ``report``.

    Raises:
        AnnotationError: for a file that is no COCO file or holds nothing to measure.
        OntologyError: for annotated categories that are neither in ``classes`` nor ours.
    """
    where = os.fspath(path)
    data = read_coco(path)
    report: Counter[str] = Counter()
    label_of = _labels(data, classes, where, report)
    size_hw_of = {i["id"]: (i["height"], i["width"]) for i in data["images"]}
    annotations: list[dict[str, Any]] = []
    faults: list[str] = []
    for entry in data["annotations"]:
        label = label_of.get(entry["category_id"])
        if label is not None:
            size_hw = size_hw_of[entry["image_id"]]
            made = _annotation(entry, size_hw, masks, where, report, faults)
            if made is not None:
                annotations.append({**made, "id": len(annotations) + 1, "category_id": label})
    count_of = Counter(a["category_id"] for a in annotations if not a["iscrowd"])
    if not count_of:
        raise AnnotationError(
            f"{where}: instances of the {len(classes)} classes to measure against expected, got "
            f"none among {len(data['annotations'])} annotations. Is this the right file?"
        )
    group_in_file = {c["name"]: c.get("supercategory") for c in data["categories"]}
    groups = tuple(supercategory(n) if n in CLASSES else group_in_file.get(n) for n in classes)
    return GroundTruth(
        where, tuple(classes), groups, size_hw_of, annotations, count_of, report, faults
    )


def _labels(
    data: dict[str, Any], classes: Sequence[str], where: str, report: Counter[str]
) -> dict[int, int]:
    """Return category id -> label; count the annotations of ours outside ``classes``."""
    found = map_categories(data["categories"], classes, where)
    used = Counter(a["category_id"] for a in data["annotations"])
    for category_id, name in found.unknown.items():
        if used[category_id] and name not in CLASSES:
            raise OntologyError(
                f"{where}: annotations of the dataset's {len(classes)} classes expected, got "
                f"{used[category_id]} of {name!r}.{did_you_mean(name, classes)} "
                "Mend the name in the file or in metainfo.classes."
            )
        if used[category_id]:
            report[f"left out: {name!r} is not among the classes"] += used[category_id]
    return found.label_of_id


def _annotation(
    entry: dict[str, Any],
    size_hw: tuple[int, int],
    masks: bool,
    where: str,
    report: Counter[str],
    faults: list[str],
) -> dict[str, Any] | None:
    box, area, rle = entry.get("bbox"), entry.get("area"), None
    if masks or box is None or area is None:
        place = f"{where}: annotation {entry['id']}"
        mask, found = usable(entry.get("segmentation"), *size_hw, place)
        if mask is not None:
            rle = to_rle(mask, *size_hw, place)
            if found:
                report["polygon left out of a mask"] += len(found)
            faults += found
        elif masks or box is None:
            report["left out: no valid mask"] += 1
            faults += found
            return None
    if box is None:
        assert rle is not None  # else it was left out above
        box = box_xywh(rle)
        report["box derived from the mask"] += 1
    if area is None and rle is not None:
        area = area_px(rle)
        report["area derived from the mask"] += 1
    elif area is None:
        area = box[2] * box[3]
        report["area of the box taken, there is no mask"] += 1
    made = {
        "image_id": entry["image_id"],
        "bbox": [float(v) for v in box],
        "area": float(area),
        "iscrowd": int(entry.get("iscrowd", 0)),
    }
    return {**made, "segmentation": rle} if masks else made


@dataclass(frozen=True)
class AveragePrecision:
    """What one evaluation measured; what has nothing to measure is not in it.

    Attributes:
        summary: figure of :data:`SUMMARY` -> value in 0..1.
        of_label: label -> AP in 0..1, for the labels with ground truth.
        of_group: super-category -> mean AP of its labels with ground truth.
    """

    summary: dict[str, float]
    of_label: dict[int, float]
    of_group: dict[str, float]


def average_precision(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]], iou_type: str
) -> AveragePrecision:
    """Score detections against the ground truth as COCO does.

    Args:
        truth: from :func:`read_ground_truth`, with masks if ``iou_type`` is ``"segm"``.
        detections: dictionaries with ``image_id``, ``label``, ``score``, ``bbox`` (xywh, pixels)
            and, for ``"segm"``, ``segmentation`` (a compressed code of the image's size).
        iou_type: ``"bbox"`` or ``"segm"``.

    Raises:
        AnnotationError: for a detection of an unknown image, or a mask of another size.
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
        if iou_type == "segm":
            rle = detection["segmentation"]
            if tuple(rle["size"]) != size_hw:
                raise AnnotationError(
                    f"{truth.where}: image {detection['image_id']}: a predicted mask of the "
                    f"annotated size (height, width) = {size_hw} expected, got "
                    f"{tuple(rle['size'])}. Was the photo resized or turned (EXIF) after it was "
                    "annotated?"
                )
            entry["area"] = area_px(rle)
        else:
            entry["area"] = detection["bbox"][2] * detection["bbox"][3]
        found.append(entry)
    curves = _precision_TRKA(truth, found, iou_type)
    of_label = {
        label: value
        for label in range(len(truth.classes))
        if (value := _mean(curves[:, :, label, 0])) is not None
    }
    members: dict[str, list[float]] = {}
    for label, value in of_label.items():
        if (group := truth.groups[label]) is not None:
            members.setdefault(group, []).append(value)
    return AveragePrecision(
        summary=_summary(curves),
        of_label=of_label,
        of_group={name: float(np.mean(values)) for name, values in members.items()},
    )


def _precision_TRKA(
    truth: GroundTruth, detections: list[dict[str, Any]], iou_type: str
) -> np.ndarray:
    """Return precision by IoU threshold, recall step, label and area; -1 where unmeasurable."""
    images = [
        {"id": i, "height": height, "width": width}
        for i, (height, width) in truth.size_hw_of.items()
    ]
    categories = [{"id": label, "name": name} for label, name in enumerate(truth.classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        # COCOeval writes into the annotations, so each evaluation gets its own.
        for annotations in ([dict(a) for a in truth.annotations], detections):
            side = COCO()
            side.dataset = {
                "images": images, "categories": categories, "annotations": annotations
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iouType=iou_type)
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0]


def _summary(curves_TRKA: np.ndarray) -> dict[str, float]:
    thresholds = [round(0.5 + 0.05 * step, 2) for step in range(curves_TRKA.shape[0])]
    out = {}
    for name, (threshold, area) in SUMMARY.items():
        rows = slice(None) if threshold is None else thresholds.index(threshold)
        value = _mean(curves_TRKA[rows, ..., area])
        if value is not None:
            out[name] = value
    return out


def _mean(precision: np.ndarray) -> float | None:
    measured = precision[precision > -1]
    return float(measured.mean()) if measured.size else None
