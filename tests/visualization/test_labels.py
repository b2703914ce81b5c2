"""Where names are written: on no other name, within the picture, and at what they name."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytestmark = pytest.mark.mm

RED = (255, 0, 0)


def seen_with(boxes_xyxy, size_hw):
    seen_HW = np.full(size_hw, -1, np.int16)
    for n, (x0, y0, x1, y1) in enumerate(boxes_xyxy):
        seen_HW[y0:y1, x0:x1] = n
    return seen_HW


def placed(boxes_xyxy, size_hw, names=None, scores=None):
    from fashion_mmdet.visualization.labels import Label, place_labels

    n = len(boxes_xyxy)
    names = names or ["dress"] * n
    scores = scores or [0.87] * n
    labels = [Label(names[k], scores[k], RED, tuple(boxes_xyxy[k]), k) for k in range(n)]
    return place_labels(labels, seen_with(boxes_xyxy, size_hw))


def apart(rectangles):
    return not any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
        for a, b in itertools.combinations(rectangles, 2)
    )


def within(rectangles, size_hw):
    return all(
        0 <= x0 < x1 <= size_hw[1] and 0 <= y0 < y1 <= size_hw[0] for x0, y0, x1, y1 in rectangles
    )


def made_boxes(count, size_hw, seed):
    rng = np.random.default_rng(seed)
    height, width = size_hw
    for _ in range(count):
        w, h = int(rng.integers(5, width)), int(rng.integers(5, height))
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        yield (x, y, x + w, y + h)


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_thirty_instances_lie_apart_within_the_picture(seed):
    size_hw = (960, 640)
    names = ["top, t-shirt, sweatshirt", "shoe", "bag, wallet"] * 10
    labels = placed(list(made_boxes(30, size_hw, seed)), size_hw, names)
    rectangles = [label.rectangle for label in labels]
    assert [label.text for label in labels] == [f"{name} 0.87" for name in names]
    assert apart(rectangles) and within(rectangles, size_hw)


def test_labels_of_thirty_instances_at_one_place_lie_apart_and_lines_lead_back():
    size_hw, box = (960, 640), (300, 400, 340, 440)
    labels = placed([box] * 30, size_hw)
    rectangles = [label.rectangle for label in labels]
    assert len(labels) == 30 and apart(rectangles) and within(rectangles, size_hw)
    led = [label for label in labels if label.target is not None]
    assert len(led) >= 20  # about six fit around the box
    assert all(300 <= x < 340 and 400 <= y < 440 for x, y in (label.target for label in led))


def test_label_alone_is_in_the_upper_left_of_its_box_without_a_line():
    (label,) = placed([(100, 200, 500, 800)], (960, 640))
    assert label.rectangle[:2] == (100, 200) and label.target is None
    assert label.text == "dress 0.87"


def test_label_of_a_small_instance_is_beside_it():
    (label,) = placed([(300, 400, 320, 410)], (960, 640))
    x0, y0, x1, y1 = label.rectangle
    assert y1 == 400 and x0 == 300 and label.target is None  # right above


def test_label_does_not_hide_a_small_garment_that_lies_in_its_corner():
    (dress, button) = placed([(100, 200, 500, 800), (105, 203, 125, 215)], (960, 640))
    x0, y0, x1, y1 = dress.rectangle
    assert not (x0 < 125 and 105 < x1 and y0 < 215 and 203 < y1)
    assert dress.target is None and button.target is None


def test_labels_without_room_leave_the_lowest_scores_out_and_say_how_many():
    size_hw = (140, 220)
    scores = [round(0.99 - 0.005 * n, 3) for n in range(100)]
    labels = placed(list(made_boxes(100, size_hw, 0)), size_hw, scores=scores)
    *kept, note = labels
    assert 4 <= len(kept) < 40
    assert note.text == f"+{100 - len(kept)} more"
    assert [label.text for label in kept] == [f"dress {s:.2f}" for s in scores[: len(kept)]]
    rectangles = [label.rectangle for label in labels]
    assert apart(rectangles) and within(rectangles, size_hw)
    x0, y0, x1, y1 = note.rectangle
    assert (x0 == 0 or x1 == 220) and (y0 == 0 or y1 == 140)


@pytest.mark.parametrize("size_hw", [(8, 1600), (1600, 8), (1, 1)])
def test_labels_on_a_picture_too_narrow_for_any_are_left_out(size_hw):
    assert placed([(0, 0, size_hw[1], size_hw[0])] * 3, size_hw) == []


def test_labels_of_none_are_none():
    assert placed([], (20, 20)) == []


def test_label_of_a_long_name_is_cut_and_keeps_its_score():
    (wide,) = placed([(0, 0, 600, 600)], (600, 600), ["a" * 80])
    assert wide.text == "a" * 29 + "… 0.87"
    (narrow,) = placed([(0, 0, 100, 600)], (600, 100), ["top, t-shirt, sweatshirt"])
    assert narrow.text.startswith("top") and narrow.text.endswith("… 0.87")
    assert narrow.rectangle[2] <= 100


def test_label_of_letters_that_the_font_lacks_is_written_by_number():
    (label,) = placed([(0, 0, 600, 600)], (600, 600), ["\u0e01\nrobe"])
    assert label.text == "\\u0e01 robe 0.87"


def test_labels_are_legible_on_light_and_dark_colours():
    from fashion_mmdet.visualization.labels import Placed, write_labels

    grey = np.full((60, 200, 3), 128, np.uint8)
    for colour, ink in (((250, 240, 90), 0), ((60, 10, 120), 255)):
        rectangle = (10, 20, 150, 44)
        out = write_labels(grey, [Placed("dress 0.87", colour, rectangle)], 16)
        inside = out[20:44, 10:150]
        assert (inside == colour).all(axis=2).sum() > 1500
        assert (inside == ink).all(axis=2).sum() > 20
        assert not (inside == 255 - ink).all(axis=2).any()
        outside = out.copy()
        outside[20:44, 10:150] = 128
        assert (outside == 128).all()
    assert (grey == 128).all()
