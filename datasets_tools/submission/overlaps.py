"""No pixel may lie in two masks of one class of an image, and no row come twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.mask_arithmetic import intersection, union

from .findings import Findings

#: Masks compared with all before them at a time.
_CHUNK = 256


class Mask(NamedTuple):
    """A good row: ``block`` is the number of the file's stretch of rows of one image."""

    line: int
    block: int
    class_id: int
    attributes: tuple[int, ...]  # in rising order: they are a set
    code: dict[str, Any]


def compare_masks(
    masks: Iterable[Mask], name: str, found: Findings, *, across_blocks: bool = False
) -> None:
    """Enter the overlaps within each class of one image, and rows given twice.

    The rule is about the class: attributes make no other of it. Rows that differ in the order of
    their attributes alone are the same.

    Args:
        masks: all of one image, in the order of the file.
        name: what messages call the file.
        found: takes the findings.
        across_blocks: look only at those of different blocks.
    """
    of_class: dict[int, list[Mask]] = {}
    first_of_row: dict[tuple[int, tuple[int, ...], str], Mask] = {}
    for mask in masks:
        row = mask.class_id, mask.attributes, mask.code["counts"]
        first = first_of_row.setdefault(row, mask)
        if first is mask:
            of_class.setdefault(mask.class_id, []).append(mask)
        elif not across_blocks or first.block != mask.block:
            found.error(
                "duplicate row",
                f"{name}:{mask.line}: each mask once expected, got that of line {first.line} "
                "again. Remove one.",
            )
    for group in of_class.values():
        for at in range(0, len(group) if len(group) > 1 else 0, _CHUNK):
            for mask, others in _overlaps(group, at):
                if across_blocks:
                    others = [other for other in others if other.block != mask.block]
                if others:
                    found.error("overlap within a class", _overlap(mask, others, name))


def _overlaps(group: list[Mask], at: int) -> Iterator[tuple[Mask, list[Mask]]]:
    """Compare the masks of one class from position ``at`` on, a chunk, with those before."""
    chunk = group[at : at + _CHUNK]
    codes = [mask.code for mask in group[: at + len(chunk)]]
    # pycocotools compares the boxes first, and walks the runs of those that meet.
    iou_MN = np.tril(coco_mask.iou(codes[at:], codes, [0] * len(codes)), at - 1)
    for mask, row in zip(chunk, iou_MN, strict=True):
        yield mask, [group[n] for n in np.flatnonzero(row).tolist()]


def _overlap(mask: Mask, others: list[Mask], name: str) -> str:
    """Return the message for a mask that has pixels of ``others``."""
    theirs = union([other.code for other in others])
    shared_px = rle.measure(intersection([mask.code, theirs]))[0]
    lines = [str(other.line) for other in others]
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(lines[:5])}"
    more = ", ..." if len(lines) > 5 else ""
    return (
        f"{name}:{mask.line}: no pixel in two masks of class {mask.class_id} "
        f"({ontology.CLASSES_46[mask.class_id]}) expected, got {shared_px:,} px of "
        f"{where}{more}. `fashion data submission` removes them."
    )
