"""A mask head's small grid of probabilities, stretched into its box and encoded there.

mmdet pastes every mask into a bitmap of the photo's size and encodes that: a hundred masks of a
6-megapixel photo are 600 MB and most of the time of an evaluation. Here a mask is made and encoded
within its box, one at a time, and only its run-length code is kept.

The values are those of bilinear sampling as ``torch.nn.functional.grid_sample`` does it
(``align_corners=False``, zeros outside), which is a weighted sum over rows times one over columns:
two small matrix products a mask. They differ from its by float32's rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .rle import encode_columns, encode_mask

# Multiplications of one product. OpenBLAS takes no second thread for so few
# (GEMM_MULTITHREAD_THRESHOLD); on a machine that is busy two threads took several times as long.
_STRIP_PRODUCTS = 1 << 18


def paste_mask(
    grid_HW: np.ndarray,
    box_xyxy: np.ndarray,
    height_px: int,
    width_px: int,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Return the compressed COCO code of a mask.

    Args:
        grid_HW: (M, N) float32, probabilities over the box. One that is not a number makes the
            mask empty.
        box_xyxy: (4,) float32, in pixels of the image; it may reach over the edge.
        height_px: height of the image.
        width_px: width of the image.
        threshold: a pixel of at least this probability belongs to the mask; over 0.
    """
    rows, n_columns = grid_HW.shape
    # The outermost values fade to nothing within half a cell. With a threshold of a half or more
    # none of that is in the mask.
    faded = 0.0 if threshold >= 0.5 else 0.5
    x0, x1, across_WN = _weights(box_xyxy[0], box_xyxy[2], n_columns, width_px, faded)
    y0, y1, down_HM = _weights(box_xyxy[1], box_xyxy[3], rows, height_px, faded)
    if x1 <= x0 or y1 <= y0:
        return encode_mask(np.zeros((height_px, width_px), dtype=bool))
    columns_WH = np.zeros((x1 - x0, y1 - y0 + 1), dtype=bool)
    grid_HW = np.asarray(grid_HW, dtype=np.float32)
    stretched_HN = np.empty((y1 - y0, n_columns), dtype=np.float32)
    for strip in _strips(y1 - y0, rows * n_columns):
        stretched_HN[strip] = down_HM[strip] @ grid_HW
    stretched_NH = np.ascontiguousarray(stretched_HN.T)
    for strip in _strips(x1 - x0, (y1 - y0) * n_columns):
        np.greater_equal(
            across_WN[strip] @ stretched_NH, np.float32(threshold), out=columns_WH[strip, :-1]
        )
    return encode_columns(columns_WH, x0, y0, height_px, width_px)


def _strips(size: int, products_each: int) -> Iterator[slice]:
    """Yield slices of ``size`` rows, each of which takes so many multiplications."""
    step = max(1, _STRIP_PRODUCTS // products_each)
    for start in range(0, size, step):
        yield slice(start, start + step)


def _weights(
    low: Any, high: Any, cells: int, size_px: int, faded: float
) -> tuple[int, int, np.ndarray]:
    """Return the pixels that an edge of the box covers, and how each mixes the cells.

    Returns:
        First pixel, last pixel + 1, and (pixels, cells) float32.
    """
    low, high = np.float32(low), np.float32(high)
    if not np.isfinite(low) or not np.isfinite(high) or high < low:
        return 0, 0, np.zeros((0, cells), dtype=np.float32)
    margin = faded * float(high - low) / cells
    first = int(max(0, np.floor(low - margin) - 1))
    last = int(min(size_px, np.ceil(high + margin) + 1))
    if last <= first:
        return 0, 0, np.zeros((0, cells), dtype=np.float32)
    # In float32 and in the order of mmdet and grid_sample, so that both round alike.
    at = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    if high > low:
        at = (at - low) / (high - low) * np.float32(2) - np.float32(1)
    else:  # as mmdet: a box without extent shows its middle
        at[:] = 0
    at = ((at + np.float32(1)) * np.float32(cells) - np.float32(1)) / np.float32(2)
    left = np.floor(at).astype(np.int64)
    share = at - left.astype(np.float32)
    weights = np.zeros((last - first, cells), dtype=np.float32)
    pixel = np.arange(last - first)
    for cell, of_cell in ((left, np.float32(1) - share), (left + 1, share)):
        inside = (cell >= 0) & (cell < cells)
        weights[pixel[inside], cell[inside]] += of_cell[inside]
    return first, last, weights
