"""Parting a pair into left and right."""

from __future__ import annotations

import numpy as np
import pytest

from datasets_tools.pairs import split_pair


def test_split_pair_two_parts_come_left_first():
    mask_HW = np.zeros((20, 40), bool)
    mask_HW[2:12, 25:37] = True
    mask_HW[5:15, 3:13] = True
    left_HW, right_HW = split_pair(mask_HW)
    assert left_HW.sum() == 100 and right_HW.sum() == 120
    assert left_HW[:, :20].sum() == 100 and right_HW[:, 20:].sum() == 120


def test_split_pair_crumbs_join_the_nearer_part():
    mask_HW = np.zeros((20, 60), bool)
    mask_HW[:10, :10] = mask_HW[:10, 50:60] = True
    mask_HW[4, 20] = mask_HW[4, 45] = mask_HW[15, 52] = True
    left_HW, right_HW = split_pair(mask_HW)
    assert left_HW.sum() == 101 and left_HW[4, 20]
    assert right_HW.sum() == 102 and right_HW[4, 45] and right_HW[15, 52]


def test_split_pair_that_touches_at_a_corner_stays_one():
    mask_HW = np.zeros((20, 20), bool)
    mask_HW[:10, :10] = mask_HW[10:, 10:] = True
    assert len(split_pair(mask_HW)) == 1


@pytest.mark.parametrize(("height", "expected"), [(13, 1), (14, 2)])
def test_split_pair_second_part_must_have_its_share(height: int, expected: int):
    mask_HW = np.zeros((100, 60), bool)
    mask_HW[:, :20] = True
    mask_HW[:height, 30:50] = True
    assert len(split_pair(mask_HW)) == expected


@pytest.mark.parametrize(("width", "expected"), [(7, 1), (8, 2)])
def test_split_pair_second_part_must_have_the_least_area(width: int, expected: int):
    mask_HW = np.zeros((20, 40), bool)
    mask_HW[:10, :10] = True
    mask_HW[:8, 20 : 20 + width] = True
    assert len(split_pair(mask_HW)) == expected


def test_split_pair_of_many_parts_gives_two_that_add_up():
    mask_HW = np.random.default_rng(0).random((40, 60)) < 0.1
    mask_HW[:12, :12] = mask_HW[20:30, 40:52] = True
    left_HW, right_HW = split_pair(mask_HW)
    assert not (left_HW & right_HW).any()
    np.testing.assert_array_equal(left_HW | right_HW, mask_HW)
