"""Masks cut down to their boxes, against whole bitmaps."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import MaskError

pytestmark = pytest.mark.mm


def whole(crop, size_hw):
    out = np.zeros(size_hw, dtype=np.uint8)
    out[crop.at] = crop.bitmap_HW
    return out


def nearest(mask_HW, size_hw):
    """Return the mask under the centre of each pixel of ``size_hw``, by floating point."""
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size_hw, mask_HW.shape, strict=True)
    )
    return mask_HW[rows[:, None], columns]


def made_masks():
    rng = np.random.default_rng(0)
    for height, width in ((7, 5), (16, 16), (31, 64)):
        yield np.ones((height, width), np.uint8)
        yield np.zeros((height, width), np.uint8)
        for share in (0.03, 0.5, 0.97):
            yield (rng.random((height, width)) < share).astype(np.uint8)
        corner = np.zeros((height, width), np.uint8)
        corner[-1, -1] = 1
        yield corner
        columns = np.zeros((height, width), np.uint8)
        columns[3:, 2] = columns[:2, 3] = 1  # one run, from one column into the next
        yield columns


@pytest.mark.parametrize("size_hw", [None, (4, 3), (13, 13), (40, 70), (1, 1), (90, 2)])
def test_crop_of_code_equals_sampling_of_the_whole_bitmap(size_hw):
    from fashion_mmdet.visualization.crops import crop_of_bitmap, crop_of_code

    for mask_HW in made_masks():
        drawn_hw = size_hw or mask_HW.shape
        expected = nearest(mask_HW, drawn_hw)
        crop = crop_of_code(rle.encode_mask(mask_HW), size_hw)
        np.testing.assert_array_equal(whole(crop, drawn_hw), expected)
        np.testing.assert_array_equal(whole(crop_of_bitmap(mask_HW, drawn_hw), drawn_hw), expected)


def test_crop_of_code_is_as_large_as_its_box():
    from fashion_mmdet.visualization.crops import crop_of_code

    mask_HW = np.zeros((100, 60), np.uint8)
    mask_HW[20:30, 10:50] = 1
    crop = crop_of_code(rle.encode_mask(mask_HW))
    assert (crop.y0, crop.x0, crop.bitmap_HW.shape) == (20, 10, (10, 40))
    half = crop_of_code(rle.encode_mask(mask_HW), (50, 30))
    assert (half.y0, half.x0, half.bitmap_HW.shape) == (10, 5, (5, 20))


def test_crop_of_code_that_no_pixel_looks_at_is_empty():
    from fashion_mmdet.visualization.crops import crop_of_code

    mask_HW = np.zeros((100, 60), np.uint8)
    mask_HW[:, 0] = 1  # the centres of 6 columns lie on 5, 15, ...
    assert crop_of_code(rle.encode_mask(mask_HW), (10, 6)).bitmap_HW.shape == (0, 0)


def test_crop_of_code_on_a_large_photo_takes_the_memory_of_its_box():
    from fashion_mmdet.visualization.crops import crop_of_code

    mask_HW = np.zeros((3000, 2000), np.uint8)
    mask_HW[1000:1200, 900:1100] = 1
    code = rle.encode_mask(mask_HW)
    tracemalloc.start()
    crop = crop_of_code(code)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert crop.bitmap_HW.sum() == 200 * 200
    assert peak < 1_000_000  # the bitmap has 6,000,000


def test_crop_of_code_that_is_damaged_is_refused():
    from fashion_mmdet.visualization.crops import crop_of_code

    with pytest.raises(MaskError, match="sum 4 x 4 = 16"):
        crop_of_code({"size": [4, 4], "counts": [5, 99]})
