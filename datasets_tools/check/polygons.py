"""What can be said of one polygon: its points, its edges, its place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .annotations import not_finite

#: How far beyond the frame a point may lie: annotation tools round outwards.
FRAME_PX = 1.0
# Rows of the table of edge pairs looked at in one go: bounds memory for polygons of any size.
_BLOCK = 256


def faults_of(polygon: Any, height_px: int, width_px: int) -> list[tuple[str, str]]:
    """Return (kind, message) for all that is wrong with one polygon ``[x0, y0, x1, y1, ...]``."""
    if not_finite(polygon):
        return [("number not finite", "finite points expected, got NaN or infinity.")]
    is_list = isinstance(polygon, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in polygon
    )
    if not is_list or len(polygon) % 2:
        got = f"{len(polygon)} numbers" if is_list else type(polygon).__name__
        message = f"[x0, y0, x1, y1, ...] as polygon expected, got {got}."
        return [("segmentation malformed", message)]
    if len(polygon) < 6:
        return [("polygon of too few points", f"three or more expected, got {len(polygon) // 2}.")]
    points_N2 = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    faults = []
    beyond = np.maximum(-points_N2, points_N2 - (width_px, height_px)).max()
    if beyond > FRAME_PX:
        faults.append((
            "polygon out of frame",
            f"points within {width_px} x {height_px} px (width x height) expected, got one "
            f"{beyond:.1f} px outside.",
        ))
    if _shares_a_line(points_N2):
        faults.append(("polygon degenerate", "an area expected, got points on one line."))
    elif crosses_itself(points_N2):
        faults.append(("polygon crosses itself", "edges that do not cross expected."))
    return faults


def clip(polygon: list[float], height_px: int, width_px: int) -> list[float]:
    """Return the polygon with every point moved to the frame, where it is outside."""
    points_N2 = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    return np.clip(points_N2, 0, (width_px, height_px)).ravel().tolist()


def _shares_a_line(points_N2: np.ndarray) -> bool:
    centred = points_N2 - points_N2.mean(axis=0)
    return bool(np.linalg.svd(centred, compute_uv=False)[1] < 1e-3)


def crosses_itself(points_N2: np.ndarray) -> bool:
    """Return whether two edges of a closed polygon cross; edges that merely touch do not."""
    ends_N2 = np.roll(points_N2, -1, axis=0)
    for start in range(0, len(points_N2), _BLOCK):
        a, b = points_N2[start : start + _BLOCK, None], ends_N2[start : start + _BLOCK, None]
        apart = _side(a, b, points_N2) * _side(a, b, ends_N2) < 0
        across = _side(points_N2, ends_N2, a) * _side(points_N2, ends_N2, b) < 0
        if (apart & across).any():
            return True
    return False


def _side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return on which side of the line from a to b the point c lies, by sign."""
    (ax, ay), (bx, by), (cx, cy) = (np.moveaxis(p, -1, 0) for p in (a, b, c))
    return np.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
