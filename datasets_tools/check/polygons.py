"""What can be said of one polygon: its points, its edges, its place."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .values import is_number, not_finite

#: How far beyond the frame a point may lie: annotation tools round outwards.
FRAME_PX = 1.0
#: A polygon with less than this share of its area in the frame is no garment that hangs over it.
LEAST_INSIDE = 0.5
#: Whether a polygon of more points crosses itself is not looked at: time grows with their square.
MOST_POINTS = 5000
# Edges that are compared with as many others in one go: bounds memory.
_BLOCK = 256
# Cells a side of the raster on which the share in the frame is measured, to about a percent.
_CELLS = 512
# Beyond any photo; squares of larger numbers would leave the range of a double.
_FAR_PX = 1e12


def faults_of(polygon: Any, height_px: int, width_px: int) -> list[tuple[str, str]]:
    """Return (kind, message) for all that is wrong with one polygon ``[x0, y0, x1, y1, ...]``."""
    if not_finite(polygon):
        return [("number not finite", "finite points expected, got NaN or infinity.")]
    is_list = isinstance(polygon, list) and all(map(is_number, polygon))
    if not is_list or len(polygon) % 2:
        got = f"{len(polygon)} numbers" if is_list else type(polygon).__name__
        message = f"[x0, y0, x1, y1, ...] as polygon expected, got {got}."
        return [("segmentation malformed", message)]
    if len(polygon) < 6:
        return [("polygon of too few points", f"three or more expected, got {len(polygon) // 2}.")]
    points_N2 = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    faults = []
    beyond = np.maximum(-points_N2, points_N2 - (width_px, height_px)).max()
    points_N2 = points_N2.clip(-_FAR_PX, _FAR_PX)
    if beyond > FRAME_PX:
        share = share_inside(points_N2, height_px, width_px)
        message = (
            f"points within {width_px} x {height_px} px (width x height) expected, got one "
            f"{beyond:.1f} px outside"
        )
        if share < LEAST_INSIDE:
            return [("polygon outside", f"{message}, and {share:.0%} of the area inside.")]
        faults.append(("polygon out of frame", f"{message}."))
    if _shares_a_line(points_N2):
        faults.append(("polygon degenerate", "an area expected, got points on one line."))
    elif len(points_N2) > MOST_POINTS:
        message = f"at most {MOST_POINTS:,} expected, got {len(points_N2):,}."
        faults.append(("polygon of many points", message))
    elif crosses_itself(points_N2):
        faults.append(("polygon crosses itself", "edges that do not cross expected."))
    return faults


def clip(polygon: list[float], height_px: int, width_px: int) -> list[float]:
    """Return the polygon with every point moved to the frame, where it is outside."""
    points_N2 = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    return np.clip(points_N2, 0, (width_px, height_px)).ravel().tolist()


def share_inside(points_N2: np.ndarray, height_px: int, width_px: int) -> float:
    """Return the share of a polygon's area that lies in the frame, to about a percent."""
    low_2 = points_N2.min(axis=0)
    # A raster of the polygon's own extent: however far it reaches, it fits.
    cells_a_px_2 = (_CELLS - 1) / np.maximum(points_N2.max(axis=0) - low_2, 1e-9)
    raster_YX = np.zeros((_CELLS, _CELLS), np.uint8)
    corners_N2 = np.rint((points_N2 - low_2) * cells_a_px_2).astype(np.int32)
    cv2.fillPoly(raster_YX, [corners_N2], 1)
    x, y = (low_2 + np.arange(_CELLS)[:, None] / cells_a_px_2).T
    in_frame_YX = ((y >= 0) & (y <= height_px))[:, None] & ((x >= 0) & (x <= width_px))
    return float(raster_YX[in_frame_YX].sum() / raster_YX.sum())


def _shares_a_line(points_N2: np.ndarray) -> bool:
    centred = points_N2 - points_N2.mean(axis=0)
    return bool(np.linalg.svd(centred, compute_uv=False)[1] < 1e-3)


def crosses_itself(points_N2: np.ndarray) -> bool:
    """Return whether two edges of a closed polygon cross; edges that merely touch do not."""
    edges_N22 = np.stack([points_N2, np.roll(points_N2, -1, axis=0)], axis=1)
    starts = range(0, len(edges_N22), _BLOCK)
    blocks = [edges_N22[start : start + _BLOCK] for start in starts]
    low_B2 = np.array([block.min(axis=(0, 1)) for block in blocks])
    high_B2 = np.array([block.max(axis=(0, 1)) for block in blocks])
    for i, block in enumerate(blocks):
        # Edges can cross only where the boxes around their blocks meet.
        meets_B = ((low_B2 <= high_B2[i]) & (high_B2 >= low_B2[i])).all(axis=1)
        if any(_cross(block, blocks[j]) for j in np.flatnonzero(meets_B) if j >= i):
            return True
    return False


def _cross(some_N22: np.ndarray, others_M22: np.ndarray) -> bool:
    """Return whether an edge of the one array crosses an edge of the other."""
    a, b = some_N22[:, None, 0], some_N22[:, None, 1]
    c, d = others_M22[:, 0], others_M22[:, 1]
    apart = _side(a, b, c) * _side(a, b, d) < 0
    across = _side(c, d, a) * _side(c, d, b) < 0
    return bool((apart & across).any())


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return on which side of the line from a to b the point c lies, by sign."""
    (ax, ay), (bx, by), (cx, cy) = (np.moveaxis(p, -1, 0) for p in (a, b, c))
    return np.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
