"""``core.paste``: against hand-computed pixels and a slow reading of bilinear sampling."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fashion_mmdet.core import paste
from fashion_mmdet.core.paste import paste_mask
from fashion_mmdet.core.rle import decode


def box(*values):
    return np.array(values, dtype=np.float32)


def pasted(grid_HW, box_xyxy, height_px, width_px, threshold=0.5):
    """Return the bitmap, having checked that the code is what pycocotools makes of it."""
    code = paste_mask(np.float32(grid_HW), box(*box_xyxy), height_px, width_px, threshold)
    mask_HW = decode(code)
    expected = coco_mask.encode(np.asfortranarray(mask_HW))
    assert code == {"size": [height_px, width_px], "counts": expected["counts"].decode()}
    return mask_HW


def slow_values(grid_HW, box_xyxy, height_px, width_px):
    """Mix the four cells around each pixel's middle, in float64; cells beyond the grid are 0."""
    rows, columns = grid_HW.shape
    padded = np.pad(grid_HW.astype(np.float64), 1)
    x0, y0, x1, y1 = (float(v) for v in box_xyxy)
    out = np.zeros((height_px, width_px))
    for y in range(height_px):
        v = (y + 0.5 - y0) / (y1 - y0) * rows - 0.5
        for x in range(width_px):
            u = (x + 0.5 - x0) / (x1 - x0) * columns - 0.5
            if -1 < u < columns and -1 < v < rows:
                j, i = int(np.floor(u)), int(np.floor(v))
                right, below = u - j, v - i
                corner = padded[i + 1 : i + 3, j + 1 : j + 3]
                out[y, x] = np.array([1 - below, below]) @ corner @ np.array([1 - right, right])
    return out


# Two rows of two cells, 2 x 2 px each. From one pixel before the box to one after it the columns
# are mixed to 0.25, 0.75, 1, 1, 0.75, 0.25 and the rows to 0.25, 0.75, 0.875, 0.625, 0.375, 0.125.
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, ["......", ".####.", ".####.", "..##..", "......", "......"]),
        (0.3, ["......", ".####.", ".####.", ".####.", "..##..", "......"]),
        # Half a cell beyond the box is not nothing yet.
        (0.2, ["..##..", ".####.", "######", ".####.", ".####.", "......"]),
    ],
)
def test_paste_mask_hand_computed_case_is_exact(threshold, expected):
    framed = np.zeros((10, 11), dtype=int)
    framed[2:8, 1:7] = [[pixel == "#" for pixel in row] for row in expected]
    grid = [[1.0, 1.0], [0.5, 0.5]]
    assert (pasted(grid, (2, 3, 6, 7), 10, 11, threshold) == framed).all()


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_paste_mask_random_boxes_equal_bilinear_sampling(seed, threshold):
    rng = np.random.default_rng(seed)
    grid = rng.random((7, 5), dtype=np.float32)
    corner = rng.uniform(-25, 45, 2)
    box_xyxy = box(*corner, *(corner + rng.uniform(3, 50, 2)))
    values = slow_values(grid, box_xyxy, 40, 50)
    found = pasted(grid, box_xyxy, 40, 50, threshold)
    # float32 may round a value to the other side of the threshold.
    sure = np.abs(values - threshold) > 1e-5
    assert sure.mean() > 0.99
    assert (found == (values >= threshold))[sure].all()


def test_paste_mask_box_over_the_edge_is_cut_there():
    grid = np.random.default_rng(3).random((28, 28))
    whole = pasted(grid, (20, 30, 60, 90), 100, 90)
    # The same box, 30 px further left and 50 px further up.
    cut = pasted(grid, (-10, -20, 30, 40), 50, 40)
    assert 0 < cut.sum() < whole.sum()
    assert (cut == whole[50:100, 30:70]).all()


@pytest.mark.parametrize("threshold", [0.3, 0.5])
@pytest.mark.parametrize(
    "box_xyxy",
    [
        (100, 10, 130, 20),  # right of the image
        (10, -40, 20, -10),
        (30, 10, 20, 40),  # its edges swapped
        (float("nan"), 10, 20, 20),
        (10, 10, float("inf"), 20),
    ],
)
def test_paste_mask_box_outside_or_none_at_all_is_empty(box_xyxy, threshold):
    assert not pasted(np.ones((4, 4)), box_xyxy, 40, 50, threshold).any()


def test_paste_mask_box_without_extent_shows_its_middle_as_in_mmdet():
    # mmdet divides by zero there, and takes the middle of the grid for every pixel.
    grid = np.zeros((3, 3))
    grid[:, 1] = 1
    found = pasted(grid, (10, 5, 10, 15), 20, 30)
    assert found[:, 9:11].any() and not found[:, 12:].any() and not found[:, :8].any()


def test_paste_mask_not_a_number_in_the_grid_makes_it_empty():
    grid = np.ones((4, 4))
    grid[3, 3] = np.nan
    assert not pasted(grid, (0, 0, 40, 40), 40, 40).any()


@pytest.mark.parametrize("products", [1, 1 << 12, 1 << 16])
def test_paste_mask_in_strips_equals_one_made_in_one_piece(monkeypatch, products):
    grid = np.random.default_rng(0).random((28, 28))
    monkeypatch.setattr(paste, "_STRIP_PRODUCTS", 1 << 40)
    whole = pasted(grid, (-3.3, 5.1, 180.2, 140.7), 150, 200)
    monkeypatch.setattr(paste, "_STRIP_PRODUCTS", products)
    strips = list(paste._strips(184, 138 * 28))
    assert len(strips) > 1 and strips[-1].stop >= 184
    assert (pasted(grid, (-3.3, 5.1, 180.2, 140.7), 150, 200) == whole).all()
    assert 0.2 < whole.mean() < 0.8
