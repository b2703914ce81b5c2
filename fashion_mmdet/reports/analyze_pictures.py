"""Crops of the worst errors of each cause: what the figures are made of."""

from __future__ import annotations

import numpy as np

from fashion_mmdet.core.error_causes import ERRORS, Cause, Fate

from .analyze_words import MEANING, NAMES, Analysis
from .drawing import Photos, crop
from .page import Picture, Pictures

_COUNT = 8  # crops per cause
_TRIES = 40  # photos per cause, where some cannot be read
_SIDE_PX = 300


def pictures_of(found: Analysis, folder: str | None) -> tuple[list[Pictures], list[str]]:
    """Return a grid of crops for each cause that has errors, and what is said of missing photos.

    The detections with the highest scores come first, of missed instances the largest; of a photo
    only the first is shown.

    Args:
        found: the analysis.
        folder: of the photos; None takes what the evidence names.
    """
    photos = Photos(found.run.evidence, folder)
    grids = [_grid(found, photos, error) for error in ERRORS]
    notes = [f"{count} photo(s) not shown: {why}." for why, count in photos.missing.items()]
    if photos.missing:
        notes[-1] += " Say where the photos are with --images."
    return [grid for grid in grids if grid.items], notes


def worst(found: Analysis, error: Cause) -> list[int]:
    """Return positions in ``evidence.found``, of missed in ``evidence.truth``, the worst first.

    Only the first of each photo is kept.
    """
    evidence, causes = found.run.evidence, found.causes
    if error == Cause.MISSED:
        shapes, which = evidence.truth, np.flatnonzero(causes.fate_G == Fate.MISSED)
        order = which[np.argsort(-shapes.area_px[which], kind="stable")]
    else:
        shapes, which = evidence.found, np.flatnonzero(causes.cause_D == error)
        order = which[np.argsort(-shapes.score[which], kind="stable")]
    _, first = np.unique(shapes.image[order], return_index=True)
    return [int(n) for n in order[np.sort(first)]]


def _grid(found: Analysis, photos: Photos, error: Cause) -> Pictures:
    items: list[Picture] = []
    for n in worst(found, error)[:_TRIES]:
        if len(items) == _COUNT:
            break
        picture = _picture(found, photos, error, n)
        if picture is not None:
            items.append(picture)
    order = "largest instances" if error == Cause.MISSED else "highest scores"
    text = (
        f"{MEANING[error].capitalize()}: the {order}, one a photo. The truth is dashed in white, "
        "what was found is drawn in its class's colour."
    )
    return Pictures(f"Examples: {NAMES[error]}", text, items)


def _picture(found: Analysis, photos: Photos, error: Cause, n: int) -> Picture | None:
    evidence, causes = found.run.evidence, found.causes
    if error == Cause.MISSED:
        instances, detections = [n], []
        image = int(evidence.truth.image[n])
    else:
        instance = int(causes.instance_D[n])
        instances, detections = ([] if instance < 0 else [instance]), [n]
        if error == Cause.DUPE:
            detections.append(int(causes.detection_G[instance]))
        image = int(evidence.found.image[n])
    photo = photos.read(image)
    if photo is None:
        return None
    boxes = np.concatenate(
        [evidence.truth.box_xywh[instances], evidence.found.box_xywh[detections]]
    )
    jpeg = crop(photo, evidence, image, instances, detections, _around(boxes), _SIDE_PX)
    name = evidence.file_names.get(int(evidence.image_ids[image]), "")
    return Picture(jpeg, f"{_caption(found, error, n)}; {name}")


def _around(boxes_xywh: np.ndarray) -> list[float]:
    """Return the box, xywh in px, round all boxes."""
    low = boxes_xywh[:, :2].min(axis=0)
    high = (boxes_xywh[:, :2] + boxes_xywh[:, 2:]).max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _caption(found: Analysis, error: Cause, n: int) -> str:
    evidence, causes = found.run.evidence, found.causes
    if error == Cause.MISSED:
        area_px = int(evidence.truth.area_px[n])
        return f"{evidence.classes[evidence.truth.label[n]]}, {area_px:,} px, not found"
    said = f"{evidence.classes[evidence.found.label[n]]} {evidence.found.score[n]:.2f}"
    instance = int(causes.instance_D[n])
    true = evidence.classes[evidence.truth.label[instance]] if instance >= 0 else ""
    if error == Cause.CLS:
        return f"{said} on {true}, IoU {causes.iou_other_D[n]:.2f}"
    if error == Cause.LOC:
        return f"{said}, IoU {causes.iou_same_D[n]:.2f}"
    if error == Cause.DUPE:
        first = evidence.found.score[causes.detection_G[instance]]
        return f"{said} again, IoU {causes.iou_same_D[n]:.2f}, the first {first:.2f}"
    near = f" near {true}" if error == Cause.BOTH else ""
    return f"{said}{near}, IoU {causes.iou_any_D[n]:.2f}"
