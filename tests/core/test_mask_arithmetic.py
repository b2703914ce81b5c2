"""Arithmetic on run-length codes against the same on bitmaps, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fashion_mmdet.core.errors import MaskError
from fashion_mmdet.core.mask_arithmetic import (
    complement,
    exclusive,
    intersection,
    resampled,
    union,
    without,
)
from fashion_mmdet.core.rle import (
    area_px,
    coco_to_kaggle,
    decode,
    encode_mask,
    from_runs,
    runs,
)

sides_px = st.integers(1, 12)


@st.composite
def masks_NHW(draw, most: int = 4) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, most), sides_px, sides_px))
    return draw(hnp.arrays(np.bool_, shape, elements=st.booleans()))


def slow_resize(mask_HW: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Look every pixel up at its centre, in exact fractions."""
    out = np.zeros((height_px, width_px), dtype=bool)
    for i in range(height_px):
        for j in range(width_px):
            row = (2 * i + 1) * mask_HW.shape[0] // (2 * height_px)
            column = (2 * j + 1) * mask_HW.shape[1] // (2 * width_px)
            out[i, j] = mask_HW[row, column]
    return out


def slow_exclusive(masks: np.ndarray, scores: list, groups: list) -> np.ndarray:
    """Let every pixel choose the mask that keeps it, in each group."""
    out = np.zeros_like(masks)
    for group in set(groups):
        members = [n for n in range(len(masks)) if groups[n] == group]
        for y, x in np.ndindex(masks.shape[1:]):
            inside = [n for n in members if masks[n, y, x]]
            if inside:
                out[max(inside, key=lambda n: (scores[n], -n)), y, x] = True
    return out


@settings(max_examples=300, deadline=None)
@given(masks_NHW(most=1), sides_px, sides_px)
@example(np.ones((1, 1, 1), dtype=bool), 5, 3)
@example(np.ones((1, 7, 11), dtype=bool), 1, 1)
@example(np.zeros((1, 3, 2), dtype=bool), 5, 9)
def test_resampled_any_mask_and_size_is_what_the_bitmap_gives(masks, height_px, width_px):
    found = resampled(encode_mask(masks[0]), height_px, width_px)
    assert found == encode_mask(slow_resize(masks[0], height_px, width_px))


@pytest.mark.parametrize("size_hw", [(1031, 517), (517, 1031), (300, 1400), (1400, 300), (97, 101)])
def test_resampled_photo_sizes_to_512_are_what_indexing_gives(size_hw):
    rng = np.random.default_rng(size_hw)
    rows = (2 * np.arange(512) + 1) * size_hw[0] // 1024
    columns = (2 * np.arange(512) + 1) * size_hw[1] // 1024
    for share in (0.0, 0.02, 0.5, 0.98, 1.0):
        mask_HW = rng.random(size_hw) < share
        mask_HW[size_hw[0] // 2 :, : size_hw[1] // 3] = share > 0
        found = resampled(encode_mask(mask_HW), 512, 512)
        assert found == encode_mask(mask_HW[np.ix_(rows, columns)])


def test_resampled_by_hand_takes_the_pixels_under_the_centres():
    # Centres of two target rows over five: 1.25 and 3.75, so rows 1 and 3; columns are kept.
    mask_HW = np.array([[1, 0], [0, 1], [1, 1], [1, 0], [0, 0]], dtype=bool)
    assert decode(resampled(encode_mask(mask_HW), 2, 2)).tolist() == [[0, 1], [1, 0]]


def test_resampled_same_size_is_the_same_code_and_counts_as_list_become_text():
    code = {"size": [2, 3], "counts": [0, 2, 2, 1, 1]}
    assert resampled(code, 2, 3) == {"size": [2, 3], "counts": "022OO"}


@settings(max_examples=100, deadline=None)
@given(masks_NHW())
def test_set_operations_any_masks_are_those_of_bitmaps(masks):
    codes = [encode_mask(mask_HW) for mask_HW in masks]
    assert union(codes) == encode_mask(masks.any(axis=0))
    assert intersection(codes) == encode_mask(masks.all(axis=0))
    assert without(codes[0], codes[-1]) == encode_mask(masks[0] & ~masks[-1])
    assert complement(codes[0]) == encode_mask(~masks[0])


@settings(max_examples=200, deadline=None)
@given(masks_NHW(most=6), st.data())
def test_exclusive_any_masks_are_what_each_pixel_chooses(masks, data):
    n = len(masks)
    # Few values, so that ties are met.
    scores = data.draw(st.lists(st.sampled_from([0.25, 0.5, 0.75]), min_size=n, max_size=n))
    groups = data.draw(st.lists(st.sampled_from(["shoe", "bag"]), min_size=n, max_size=n))
    codes = [encode_mask(mask_HW) for mask_HW in masks]
    for given_groups in (groups, None):
        wanted = slow_exclusive(masks, scores, given_groups or [0] * n)
        assert exclusive(codes, scores, given_groups) == [encode_mask(m) for m in wanted]


def test_exclusive_by_hand_higher_score_keeps_and_ties_go_to_the_first():
    codes = [from_runs(np.array([s]), np.array([e]), 10, 1) for s, e in ((0, 6), (4, 9), (8, 10))]
    texts = [coco_to_kaggle(code) for code in exclusive(codes, [0.5, 0.9, 0.9])]
    assert texts == ["1 4", "5 5", "10 1"]


def test_exclusive_mask_that_overlaps_nothing_is_the_object_given():
    codes = [from_runs(np.array([s]), np.array([e]), 10, 1) for s, e in ((0, 4), (4, 6), (5, 9))]
    found = exclusive(codes, [0.5, 0.4, 0.3])
    assert found[0] is codes[0] and found[1] is codes[1]
    assert found[2] is not codes[2] and area_px(found[2]) == 3
    assert all(a is b for a, b in zip(exclusive(codes, [1, 1, 1], "abc"), codes, strict=True))


def test_exclusive_nothing_gives_nothing():
    assert exclusive([], []) == []


@settings(max_examples=60, deadline=None)
@given(masks_NHW(most=1))
def test_runs_and_back_is_the_code(masks):
    code = encode_mask(masks[0])
    assert from_runs(*runs(code), *masks.shape[1:]) == code


def test_from_runs_touching_and_empty_ones_are_joined():
    found = from_runs(np.array([1, 3, 5, 6]), np.array([3, 4, 5, 7]), 4, 2)
    assert coco_to_kaggle(found) == "2 3 7 1"


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b: union([a, b]),
        lambda a, b: intersection([a, b]),
        without,
        lambda a, b: exclusive([a, b], [0.1, 0.2]),
    ],
)
def test_masks_of_two_sizes_are_refused(operation):
    a, b = encode_mask(np.ones((2, 3), bool)), encode_mask(np.ones((3, 2), bool))
    with pytest.raises(MaskError, match="masks of one size .* expected, got"):
        operation(a, b)


@pytest.mark.parametrize(
    "call",
    [
        lambda code: union([]),
        lambda code: intersection([]),
        lambda code: exclusive([code], []),
        lambda code: exclusive([code], [1.0], ["a", "b"]),
        lambda code: resampled(code, 0, 4),
        lambda code: resampled(code, 2**16, 2**16),
        lambda code: resampled({"size": [2, 3], "counts": "9"}, 4, 4),
    ],
)
def test_arguments_that_mean_nothing_are_refused(call):
    with pytest.raises(MaskError, match="expected, got"):
        call(encode_mask(np.ones((2, 3), bool)))
