"""Masks cut down to where they are, at the size that is drawn: never a bitmap of the whole photo.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_mmdet.core import rle
from fashion_mmdet.core.mask_arithmetic import resampled


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
    code = dict(code)
    if size_hw is not None and list(size_hw) != [int(v) for v in code["size"]]:
        code = resampled(code, *size_hw)
    starts, ends = rle.runs(code)
    if not starts.size:
        return _NOTHING
    height = int(code["size"][0])
    x0, x1 = int(starts[0]) // height, int(ends[-1] - 1) // height + 1
    # Of the columns that the mask is in, the pixels one below the other: outside, inside, ...
    edges = np.stack((starts, ends), axis=1).ravel() - x0 * height
    lengths = np.diff(edges, prepend=0, append=(x1 - x0) * height)
    values = np.arange(lengths.size, dtype=np.uint8) & 1
    columns_WH = np.repeat(values, lengths).reshape(x1 - x0, height)
    rows = np.flatnonzero(columns_WH.any(axis=0))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return Crop(x0, y0, np.ascontiguousarray(columns_WH[:, y0:y1].T))


def crop_of_bitmap(mask_HW: np.ndarray, size_hw: tuple[int, int]) -> Crop:
    """Do as :func:`crop_of_code` with a mask that is a bitmap already: bool, or integers."""
    return crop_of_code(rle.encode_mask(mask_HW), size_hw)
