"""Masks cut down to where they are, at the size that is drawn: never a bitmap of the whole photo.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_mmdet.core import rle


@dataclass(frozen=True)
class Crop:
    """A mask on a picture, and nothing around it.

    Attributes:
        x0: column of the picture that it begins in.
        y0: row likewise.
        bitmap_HW: (h, w) uint8 of 0 and 1; (0, 0) for a mask without a pixel.
    """

    x0: int
    y0: int
    bitmap_HW: np.ndarray

    @property
    def at(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that it lies in."""
        h, w = self.bitmap_HW.shape
        return slice(self.y0, self.y0 + h), slice(self.x0, self.x0 + w)


_NOTHING = Crop(0, 0, np.zeros((0, 0), dtype=np.uint8))


def crop_of_code(code: Mapping[str, Any], size_hw: tuple[int, int] | None = None) -> Crop:
    """Decode a mask within its box, on a picture of any size.

    Each pixel of the picture is that of the mask under its centre (nearest sampling). Work and
    memory go with the runs and with the box as it is drawn: a hundred masks of a 6-megapixel
    photo need no 600 MB.

    Args:
        code: a COCO code, compressed or not.
        size_hw: of the picture, px; None for the code's own.

    Raises:
        MaskError: for a code that is none.

    >>> crop = crop_of_code({"size": [4, 4], "counts": [5, 2, 2, 2, 5]})
    >>> crop.x0, crop.y0, crop.bitmap_HW.tolist()
    (1, 1, [[1, 1], [1, 1]])
    >>> crop_of_code({"size": [4, 4], "counts": [5, 2, 2, 2, 5]}, (2, 2)).bitmap_HW.tolist()
    [[1]]
    """
    starts, ends = rle.runs(dict(code))
    if not starts.size:
        return _NOTHING
    height, width = (int(v) for v in code["size"])
    # A run that goes on into the next column touches the lower edge and the upper.
    last = ends - 1
    whole_columns = (starts // height != last // height).any()
    y0 = 0 if whole_columns else int((starts % height).min())
    y1 = height if whole_columns else int((last % height).max()) + 1
    h, w = (height, width) if size_hw is None else size_hw
    top, row_of = _sampled(y0, y1, height, h)
    left, column_of = _sampled(int(starts[0]) // height, int(last[-1]) // height + 1, width, w)
    if not row_of.size or not column_of.size:
        return _NOTHING
    # Where the picture is larger than the mask, several of its rows look at the same one.
    rows, again_rows = np.unique(row_of, return_inverse=True)
    columns, again_columns = np.unique(column_of, return_inverse=True)
    edges = np.stack((starts, ends), axis=1).ravel()
    column, row = np.divmod(edges, height)
    nth = np.searchsorted(columns, column)
    is_seen = columns[np.minimum(nth, columns.size - 1)] == column
    # Of the pixels that are looked at, column by column: how many come before each edge.
    before = nth * rows.size + np.where(is_seen, np.searchsorted(rows, row), 0)
    lengths = np.diff(before, prepend=0, append=columns.size * rows.size)
    values = np.arange(lengths.size, dtype=np.uint8) & 1
    bitmap_HW = np.repeat(values, lengths).reshape(columns.size, rows.size).T
    if rows.size != row_of.size:
        bitmap_HW = bitmap_HW[again_rows]
    if columns.size != column_of.size:
        bitmap_HW = bitmap_HW[:, again_columns]
    return Crop(left, top, np.ascontiguousarray(bitmap_HW))


def crop_of_bitmap(mask_HW: np.ndarray, size_hw: tuple[int, int]) -> Crop:
    """Do as :func:`crop_of_code` with a mask that is a bitmap already: bool, or integers."""
    mask_HW = np.asarray(mask_HW)
    ys, xs = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not ys.size:
        return _NOTHING
    top, row_of = _sampled(int(ys[0]), int(ys[-1]) + 1, mask_HW.shape[0], size_hw[0])
    left, column_of = _sampled(int(xs[0]), int(xs[-1]) + 1, mask_HW.shape[1], size_hw[1])
    return Crop(left, top, (mask_HW[row_of[:, None], column_of] != 0).astype(np.uint8))


def _sampled(begin: int, end: int, length: int, drawn: int) -> tuple[int, np.ndarray]:
    """Return which of ``drawn`` pixels look at ``begin`` to ``end`` of ``length``, and at which.

    Returns:
        The first pixel drawn, and for it and those after it, rising, the pixel under its centre.
    """
    looked_at = (2 * np.arange(drawn, dtype=np.int64) + 1) * length // (2 * drawn)
    first, stop = np.searchsorted(looked_at, (begin, end))
    return int(first), looked_at[first:stop]
