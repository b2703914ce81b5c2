"""A mask of many parts and holes as one closed line, which is all that YOLO's labels can say.

The outlines of parts and holes run through the centres of the mask's border pixels. They are
joined to one line by *bridges*, walked there and back, so that they enclose nothing; filled by the
even-odd rule with its line drawn, as ``cv2.fillPoly`` does, such a line gives the mask again, holes
included, and beside it only the pixels under bridges between separate parts and into holes.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree


def outline(mask_HW: np.ndarray) -> np.ndarray:
    """Return one closed line of a mask that is not empty.

    Parts are joined where they are nearest to what is joined already, the nearest first.

    Args:
        mask_HW: (height, width), what is not 0 belongs to the mask.

    Returns:
        int32, (points, 2): x and y of pixels, three or more.
    """
    # A border of 0, or OpenCV would take the frame's pixels for the border of nothing.
    padded_HW = np.pad(np.asarray(mask_HW) != 0, 1).astype(np.uint8)
    contours, _ = cv2.findContours(padded_HW, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [contour[:, 0, :].astype(np.int32) - 1 for contour in contours]
    line = _straightened(_joined(rings) if len(rings) > 1 else rings[0])
    if len(line) < 3:  # a dot or a straight line of pixels, still a polygon to who reads it
        line = np.concatenate([line, np.repeat(line[:1], 3 - len(line), axis=0)])
    return line


def filled(line: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Return the bitmap, uint8 of 0 and 1, that Ultralytics makes of a line of pixels."""
    mask_HW = np.zeros(size_hw, dtype=np.uint8)
    cv2.fillPoly(mask_HW, [line.astype(np.int32)], color=1)
    return mask_HW


def _joined(rings: list[np.ndarray]) -> np.ndarray:
    """Join rings to one by bridges, as Prim's tree grows: a linked list of points."""
    points = np.concatenate(rings)
    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    first = np.concatenate(([0], np.cumsum([len(ring) for ring in rings])))
    # after[i] is the point that follows i; bridges add copies of their two ends.
    within = np.arange(1, len(points) + 1)
    within[first[1:] - 1] = first[:-1]
    after, copy_of = within.tolist(), list(range(len(points)))
    ring = int(np.argmax([len(ring) for ring in rings]))
    distance = np.full(len(points), np.inf)
    nearest = np.zeros(len(points), dtype=np.int64)
    waiting = np.ones(len(rings), dtype=bool)
    for _ in range(len(rings) - 1):
        waiting[ring] = False
        rest = np.flatnonzero(waiting[ring_of])
        far, index = cKDTree(points[first[ring] : first[ring + 1]]).query(points[rest])
        closer = far < distance[rest]
        distance[rest[closer]] = far[closer]
        nearest[rest[closer]] = index[closer] + first[ring]
        new = int(rest[np.argmin(distance[rest])])
        ring, old = int(ring_of[new]), int(nearest[new])
        before = new - 1 if new > first[ring] else int(first[ring + 1]) - 1
        # ... old, new, round the ring to before, new again, old again, what came after old ...
        new_again, old_again = len(after), len(after) + 1
        after += [old_again, after[old]]
        copy_of += [new, old]
        after[before], after[old] = new_again, new
    order, at = [], 0
    for _ in range(len(after)):
        order.append(copy_of[at])
        at = after[at]
    return points[order]


def _straightened(line: np.ndarray) -> np.ndarray:
    """Leave out the points in the midst of a straight walk."""
    step = np.roll(line, -1, axis=0) - line
    turns = (step != np.roll(step, 1, axis=0)).any(axis=1)
    return line[turns] if turns.any() else line[:1]
