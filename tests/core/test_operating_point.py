"""An operating point: which detections it keeps, by hand, and which files it is not read from."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.errors import ConfigError, FashionError
from fashion_mmdet.core.operating_point import (
    OperatingPoint,
    checked_point,
    read_operating_point,
    suppressed,
    write_operating_point,
)
from fashion_mmdet.core.rle import encode_mask

CLASSES = ("dress", "shoe")
SIZE_HW = (64, 128)


def box(x, y, w, h):
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[y : y + h, x : x + w] = True
    return encode_mask(mask)


# The first two share 15 x 10 of 25 x 10 px: an IoU of 0.6. The third lies in the second.
LABELS = np.array([0, 0, 1, 1])
SCORES = np.array([0.6, 0.9, 0.7, 0.3])
RLES = [box(0, 0, 20, 10), box(5, 0, 20, 10), box(20, 0, 5, 4), box(100, 50, 8, 8)]


def kept(**rules):
    return OperatingPoint(**rules).kept(CLASSES, LABELS, SCORES, RLES, SIZE_HW).tolist()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, [1, 2, 0]),  # falling score, the last is below 0.5
        ({"score": 0.3}, [1, 2, 0, 3]),  # exactly the threshold is enough
        ({"score": 0.65, "score_of": {"dress": 0.6}}, [1, 2, 0]),
        ({"score": 0.2, "score_of": {"shoe": 0.71}}, [1, 0]),
        ({"nms_iou": 0.6}, [1, 2, 0]),  # no more than allowed
        ({"nms_iou": 0.59}, [1, 2]),
        # The third is 20 of the 200 px of the second: an IoU of 0.1, of another class.
        ({"nms_iou": 0.05}, [1, 2]),
        ({"nms_iou_any": 0.09}, [1]),
        ({"nms_iou_any": 0.11}, [1, 2]),
        ({"nms_iou_any": 0.7, "nms_iou": 0.59}, [1, 2]),  # the stricter one of a class
        # A pixel here is 32 of 512 x 512: the third has 640, the last 2,048.
        ({"score": 0, "min_area": 640}, [1, 2, 0, 3]),
        ({"score": 0, "min_area": 641}, [1, 0, 3]),
        ({"score": 0, "max_count": 2}, [1, 2]),
        # The area is asked before the count, so that a speck takes no place.
        ({"score": 0, "min_area": 641, "max_count": 2}, [1, 0]),
        ({"score": 1}, []),
    ],
)
def test_operating_point_keeps_what_its_rules_say(rules, expected):
    assert kept(**rules) == expected


def test_operating_point_of_boxes_or_of_nothing_asks_for_no_masks():
    point = OperatingPoint(0.65, nms_iou=0.1, min_area=1e6)
    assert point.kept(CLASSES, LABELS, SCORES, None, SIZE_HW).tolist() == [1, 2]
    assert point.kept(CLASSES, [], [], [], SIZE_HW).size == 0


def test_operating_point_of_equal_scores_the_first_stays_first():
    point = OperatingPoint(max_count=2)
    assert point.kept(CLASSES, [0, 1, 0], [0.5, 0.5, 0.5], None, SIZE_HW).tolist() == [0, 1]


def test_suppressed_by_one_that_has_gone_itself_stays():
    too_close = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool)
    assert suppressed(too_close).tolist() == [True, False, True]


def test_operating_point_in_words_names_what_it_does():
    assert OperatingPoint().in_words() == "score 0.5"
    point = OperatingPoint(0.4, {"bag, wallet": 0.6, "shoe": 0.3}, None, 0.7, 50, 8, 0.45)
    assert point.in_words() == (
        "score 0.4 (bag, wallet 0.6; shoe 0.3), nms_iou_any 0.7, min_area 50, max_count 8, "
        "mask_threshold 0.45"
    )


def test_operating_point_written_is_read_back_with_what_is_said_of_it(tmp_path):
    point = OperatingPoint(0.41, {"shoe": 0.3}, 0.5, None, 20.0, 8, 0.45)
    path = tmp_path / "new" / "point.json"
    write_operating_point(path, point, {"metric": "f1", "classes": list(CLASSES)})
    assert read_operating_point(path, CLASSES) == (
        point, {"metric": "f1", "classes": list(CLASSES)}
    )  # fmt: skip
    read_operating_point(path, CLASSES[::-1])  # it goes by names


def test_operating_point_tuned_for_other_classes_is_refused(tmp_path):
    path = tmp_path / "point.json"
    write_operating_point(path, OperatingPoint(), {"classes": ["dress", "hat"]})
    with pytest.raises(ConfigError, match=r"2 classes expected, got .* \(hat, shoe\)"):
        read_operating_point(path, CLASSES)
    write_operating_point(path, OperatingPoint(score_of={"hat": 0.3}), {})
    with pytest.raises(ConfigError, match="got 'hat'. Was it tuned for another model"):
        read_operating_point(path, CLASSES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scores": 0.5}, "got 'scores'"),
        ({"score": 1.01}, "score: a number from 0 to 1 expected, got 1.01"),
        ({"score": "0.5"}, "score: a number"),
        ({"score": float("nan")}, "score: a number"),
        ({"score": True}, "score: a number"),
        ({"nms_iou": -0.1}, "nms_iou: a number"),
        ({"nms_iou_any": []}, "nms_iou_any: a number"),
        ({"score_of": [0.5]}, "score_of: class names"),
        ({"score_of": {"shoe": None}}, "score_of 'shoe': a number"),
        ({"min_area": -1}, "min_area: an area"),
        ({"min_area": float("inf")}, "min_area: an area"),
        ({"max_count": 0}, "max_count: a whole number"),
        ({"max_count": 2.0}, "max_count: a whole number"),
        ({"mask_threshold": 0}, "mask_threshold: more than 0"),
        ({"mask_threshold": None}, "mask_threshold: a number"),
    ],
)
def test_operating_point_with_a_value_that_is_none_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        checked_point(given, CLASSES, "p.json")


@pytest.mark.parametrize("text", ["[]", '{"version": 2}', '{"version": 1, "point": []}', "{"])
def test_operating_point_from_another_file_is_refused(tmp_path, text):
    path = tmp_path / "point.json"
    path.write_text(text)
    with pytest.raises(FashionError, match="expected, got|JSON"):
        read_operating_point(path, CLASSES)
