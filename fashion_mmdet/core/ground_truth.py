"""The measurable part of an annotation file, with labels for category ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .coco import map_categories, read_coco
from .errors import AnnotationError, OntologyError, did_you_mean
from .ontology import CLASSES, supercategory
from .rle import area_px, box_xywh, to_rle, usable


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
        file_names: image id -> file name of the photo.
    """

    where: str
    classes: tuple[str, ...]
    groups: tuple[str | None, ...]
    size_hw_of: dict[int, tuple[int, int]]
    annotations: list[dict[str, Any]]
    count_of: Counter[int]
    report: Counter[str]
    faults: list[str]
    file_names: dict[int, str] = field(default_factory=dict)


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
        where,
        tuple(classes),
        groups,
        size_hw_of,
        annotations,
        count_of,
        report,
        faults,
        {image["id"]: image["file_name"] for image in data["images"]},
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
