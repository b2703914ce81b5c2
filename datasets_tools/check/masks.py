"""Masks, boxes and areas: each by itself, and those of one image against each other.

Run lengths stay run lengths: no bitmap is drawn, but for polygons by pycocotools.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask
from tqdm import tqdm

from datasets_tools.pairs import MIN_INSTANCE_PX
from fashion_mmdet.core import rle

from .annotations import Survey, is_crowd
from .polygons import faults_of
from .values import is_id, is_number, not_finite, short

#: Two masks of one category that share more than this (IoU) are likely one instance.
MOST_OVERLAP = 0.7
#: A mask over more than this share of its photo is likely the background.
MOST_COVER = 0.95
# Tools round boxes and draw polygons differently, by about a pixel at each side.
_BOX_SLACK_PX = 2.0
_AREA_SLACK = 0.02


@dataclass(frozen=True)
class Mask:
    """A mask as run lengths, with its area (px) and its box (xywh, px)."""

    index: int
    category_id: int
    code: dict[str, Any]
    area_px: int
    box_xywh: list[float]


def read_mask(
    segmentation: Any, height_px: int, width_px: int
) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """Return the code of whatever in ``segmentation`` is a mask, and (kind, message) of faults.

    Args:
        segmentation: anything at all.
        height_px: height of the image.
        width_px: width of the image.
    """
    if segmentation is None or segmentation == [] or segmentation == {}:
        return None, [("no segmentation", "polygons or a run-length code expected, got nothing.")]
    faults: list[tuple[str, str]] = []
    if isinstance(segmentation, dict):
        size = segmentation.get("size")
        is_size = isinstance(size, list) and len(size) == 2 and all(map(is_id, size))
        if is_size and size != [height_px, width_px]:
            wanted = f"[height, width] = [{height_px}, {width_px}]"
            return None, [("mask of another size", f"{wanted} expected, got {size}.")]
        if not_finite(segmentation.get("counts")):
            return None, [("number not finite", "whole run lengths expected, got NaN.")]
    elif isinstance(segmentation, list):
        by_polygon = [faults_of(polygon, height_px, width_px) for polygon in segmentation]
        faults = [fault for found in by_polygon for fault in found]
        drawn = [
            polygon
            for polygon, found in zip(segmentation, by_polygon, strict=True)
            if not any(kind in NOT_DRAWN for kind, _ in found)
        ]
        if not drawn:
            return None, faults
        segmentation = drawn
    found, messages = rle.usable(segmentation, height_px, width_px, "")
    if isinstance(segmentation, dict) or found is None:
        told = {kind for kind, _ in faults}
        if "polygon out of frame" not in told:
            faults += [("segmentation malformed", _plain(text)) for text in messages]
    if isinstance(found, list):
        found = rle.to_rle(found, height_px, width_px, "")
    return found, faults


#: Kinds of faults with which a polygon is no part of its mask.
NOT_DRAWN = frozenset({
    "number not finite", "segmentation malformed", "polygon of too few points",
    "polygon degenerate", "polygon outside",
})  # fmt: skip


def check_masks(survey: Survey, scale: tuple[int, int], progress: bool = False) -> None:
    """Look at every mask, box and area of the survey's images.

    Args:
        survey: takes the findings.
        scale: working size (long side, short side) in px, as mmdet's ``Resize`` takes it.
        progress: show a progress bar where stderr is a terminal.
    """
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    for image_id, index in tqdm(survey.images.items(), unit="image", desc="masks", disable=hidden):
        image = survey.data["images"][index]
        height_px, width_px = image["height"], image["width"]
        zoom = zoom_of(height_px, width_px, scale)
        masks = []
        for at in survey.annotations_of.get(image_id, []):
            mask = _look_at_mask(survey, at, height_px, width_px, zoom)
            _look_at_box(survey, at, height_px, width_px, mask)
            _look_at_area(survey, at, mask)
            if mask is not None and mask.area_px:
                masks.append(mask)
        _look_at_pairs(survey, masks)


def zoom_of(height_px: int, width_px: int, scale: tuple[int, int]) -> float:
    """Return by how much ``Resize(scale, keep_ratio=True)`` enlarges an image."""
    return min(max(scale) / max(height_px, width_px), min(scale) / min(height_px, width_px))


def _look_at_mask(
    survey: Survey, index: int, height_px: int, width_px: int, zoom: float
) -> Mask | None:
    entry = survey.data["annotations"][index]
    code, faults = read_mask(entry.get("segmentation"), height_px, width_px)
    for kind, message in faults:
        survey.add(kind, message, "annotations", index)
    if code is None:
        return None
    area_px, box_xywh = rle.measure(code)
    mask = Mask(index, entry["category_id"], code, area_px, box_xywh)
    if not area_px:
        survey.add("mask empty", "at least one pixel expected.", "annotations", index)
    elif area_px * zoom**2 < MIN_INSTANCE_PX:
        message = (
            f"{MIN_INSTANCE_PX} px or more at the working size expected, got "
            f"{area_px * zoom**2:.1f} ({area_px} px at its own)."
        )
        survey.add("mask tiny", message, "annotations", index)
    elif area_px > MOST_COVER * height_px * width_px:
        share = area_px / (height_px * width_px)
        message = f"at most {MOST_COVER:.0%} of the photo expected, got {share:.1%}."
        survey.add("mask over the whole photo", message, "annotations", index)
    return mask


def _look_at_box(
    survey: Survey, index: int, height_px: int, width_px: int, mask: Mask | None
) -> None:
    entry = survey.data["annotations"][index]
    box = entry.get("bbox")
    kind = message = ""
    if not_finite(box):
        kind, message = "number not finite", f"finite numbers as box expected, got {short(box)}."
    elif box is None:
        kind, message = "box missing", "a bbox expected, got none."
    elif not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        kind, message = "box malformed", f"[x, y, width, height] expected, got {short(box)}."
    elif box[2] < 1 or box[3] < 1:
        kind, message = "box without area", f"at least 1 x 1 px expected, got {box}."
    else:
        kind, message = _misplaced(box, height_px, width_px, mask)
    if kind:
        survey.add(kind, message, "annotations", index)


def _misplaced(
    box: list[float], height_px: int, width_px: int, mask: Mask | None
) -> tuple[str, str]:
    x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    frame = f"{width_px} x {height_px} px (width x height)"
    if min(x1, width_px) <= max(x0, 0) or min(y1, height_px) <= max(y0, 0):
        return "box outside", f"a box within {frame} expected, got {box}."
    if max(-x0, -y0, x1 - width_px, y1 - height_px) > _BOX_SLACK_PX:
        return "box out of frame", f"a box within {frame} expected, got {box}."
    if mask is None or not mask.area_px:
        return "", ""
    x, y, w, h = mask.box_xywh
    off = max(abs(x0 - x), abs(y0 - y), abs(x1 - x - w), abs(y1 - y - h))
    if off > _BOX_SLACK_PX:
        return (
            "box is not the mask's",
            f"{mask.box_xywh} expected, got {box}, {off:.1f} px off at one side.",
        )
    return "", ""


def _look_at_area(survey: Survey, index: int, mask: Mask | None) -> None:
    entry = survey.data["annotations"][index]
    area = entry.get("area")
    wanted = f"{mask.area_px} px" if mask else "a number of px"
    got = f"{wanted} expected, got {short(area)}."
    if not_finite(area):
        survey.add("number not finite", f"area: {got}", "annotations", index)
    elif area is None:
        survey.add("area missing", f"{wanted} expected, got none.", "annotations", index)
    elif not is_number(area):
        survey.add("area malformed", got, "annotations", index)
    elif area <= 0:
        survey.add("area 0", got, "annotations", index)
    elif mask is not None and mask.area_px:
        _, _, w, h = mask.box_xywh
        # An outline of any length is off by half a pixel all along it, between tools.
        slack = w + h + _AREA_SLACK * mask.area_px
        if abs(area - mask.area_px) > slack:
            is_box = abs(area - w * h) <= w + h + _AREA_SLACK * w * h
            kind = "area is the box's" if is_box else "area is not the mask's"
            survey.add(kind, got, "annotations", index)


def _look_at_pairs(survey: Survey, masks: list[Mask]) -> None:
    """Compare the masks of one image: the same pixels, or nearly."""
    first_of: dict[tuple[int, bool, str], Mask] = {}
    first_of_pixels: dict[tuple[bool, str], Mask] = {}
    distinct = []
    names = survey.category_names
    for mask in masks:
        # A crowd over the pixels of an instance says something else than the instance.
        crowd = is_crowd(survey.data["annotations"][mask.index])
        first = first_of.setdefault((mask.category_id, crowd, mask.code["counts"]), mask)
        if first is not mask:
            message = f"each mask once expected, got that of annotations[{first.index}] again."
            survey.add("mask twice", message, "annotations", mask.index)
            continue
        other = first_of_pixels.setdefault((crowd, mask.code["counts"]), mask)
        if other is not mask:
            message = (
                f"one category for these pixels expected, got {names[mask.category_id]!r} here "
                f"and {names[other.category_id]!r} at annotations[{other.index}]."
            )
            survey.add("mask with two categories", message, "annotations", mask.index)
        if not crowd:
            distinct.append(mask)
    distinct.sort(key=lambda mask: mask.category_id)
    for _, group in itertools.groupby(distinct, key=lambda mask: mask.category_id):
        for a, b in itertools.combinations(group, 2):
            if most_iou(a, b) <= MOST_OVERLAP:
                continue
            iou = float(coco_mask.iou([a.code], [b.code], [0])[0, 0])
            if iou > MOST_OVERLAP:
                message = (
                    f"an IoU of at most {MOST_OVERLAP} with others of {names[a.category_id]!r} "
                    f"expected, got {iou:.2f} with annotations[{a.index}]."
                )
                survey.add("masks overlap", message, "annotations", b.index)


def most_iou(a: Mask, b: Mask) -> float:
    """Return what the IoU of two masks is at most, from their boxes and areas alone."""
    ax, ay, aw, ah = a.box_xywh
    bx, by, bw, bh = b.box_xywh
    w = min(ax + aw, bx + bw) - max(ax, bx)
    h = min(ay + ah, by + bh) - max(ay, by)
    if w <= 0 or h <= 0:
        return 0.0
    shared = min(w * h, a.area_px, b.area_px)
    return shared / (a.area_px + b.area_px - shared)


def _plain(message: str) -> str:
    return message.removeprefix(": ")
