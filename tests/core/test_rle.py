"""Run-length codes against pycocotools and against a slow decoder written from the format."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from fashion_mmdet.core.coco_writer import rle_json
from fashion_mmdet.core.errors import MaskError
from fashion_mmdet.core.rle import (
    RunLengthError,
    area_px,
    box_xywh,
    coco_to_kaggle,
    decode,
    encode_mask,
    kaggle_to_coco,
    measure,
    to_rle,
)

masks_HW = hnp.arrays(
    np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans()
)


def reference(mask_HW):
    code = coco_mask.encode(np.asfortranarray(mask_HW, dtype=np.uint8))
    return {"size": list(mask_HW.shape), "counts": code["counts"].decode()}


def slow_kaggle_text(mask_HW):
    """Walk the columns from top to bottom, pixel by pixel, counting from one."""
    height_px, width_px = mask_HW.shape
    runs, position, inside_run = [], 0, False
    for x in range(width_px):
        for y in range(height_px):
            position += 1
            if mask_HW[y, x] and inside_run:
                runs[-1][1] += 1
            elif mask_HW[y, x]:
                runs.append([position, 1])
            inside_run = bool(mask_HW[y, x])
    return " ".join(f"{start} {length}" for start, length in runs)


@settings(max_examples=60, deadline=None)
@given(masks_HW)
def test_encode_mask_any_mask_gives_the_bytes_of_pycocotools(mask_HW):
    assert encode_mask(mask_HW) == reference(mask_HW)
    assert encode_mask(mask_HW.astype(np.uint8) * 255) == reference(mask_HW)
    assert encode_mask(np.asfortranarray(mask_HW)) == reference(mask_HW)


@settings(max_examples=60, deadline=None)
@given(masks_HW)
def test_kaggle_to_coco_any_mask_agrees_with_pycocotools_both_ways(mask_HW):
    text = slow_kaggle_text(mask_HW)
    code = reference(mask_HW)
    assert coco_to_kaggle(code) == text
    if text:
        assert kaggle_to_coco(text, *mask_HW.shape, "test") == code


@settings(max_examples=60, deadline=None)
@given(masks_HW)
def test_measures_any_mask_agree_with_the_bitmap_and_pycocotools(mask_HW):
    code = reference(mask_HW)
    assert area_px(code) == mask_HW.sum()
    assert box_xywh(code) == coco_mask.toBbox(code).tolist()
    assert measure(code) == (area_px(code), box_xywh(code))
    assert json.loads(rle_json(code)) == code
    decoded = decode(code)
    assert decoded.dtype == np.uint8 and (decoded == mask_HW).all()


@settings(max_examples=60, deadline=None)
@given(masks_HW, st.sampled_from(["str", "bytes", "list"]))
def test_to_rle_every_form_of_counts_gives_one_code(mask_HW, form):
    code = reference(mask_HW)
    flat = mask_HW.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat)))).tolist()
    counts = {
        "str": code["counts"],
        "bytes": code["counts"].encode(),
        "list": np.diff([0, *edges, flat.size]).tolist(),
    }[form]
    found = to_rle({"size": list(mask_HW.shape), "counts": counts}, *mask_HW.shape, "test")
    assert found == code and isinstance(found["counts"], str)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), min_size=1, max_size=12))
def test_to_rle_any_compressed_text_is_refused_or_a_mask_of_the_size(text):
    try:
        code = to_rle({"size": [5, 7], "counts": text}, 5, 7, "test")
    except MaskError:
        return
    assert decode(code).shape == (5, 7)
    assert code == reference(decode(code))


def test_kaggle_to_coco_first_pixel_is_number_one_and_columns_run_down():
    # Pixels 1 and 2 are the first column of a mask two pixels high; 5 heads the third.
    assert decode(kaggle_to_coco("1 2 5 1", 2, 3, "test")).tolist() == [[1, 0, 1], [1, 0, 0]]


def test_kaggle_to_coco_touching_runs_are_merged():
    assert kaggle_to_coco("2 2 4 1 5 2", 3, 3, "test") == kaggle_to_coco("2 5", 3, 3, "test")


def test_kaggle_to_coco_whole_image_and_large_numbers_are_exact():
    assert area_px(kaggle_to_coco("1 12", 3, 4, "test")) == 12
    # More than 2**24 pixels: beyond what float32 counts exactly.
    code = kaggle_to_coco("17000001 1 17000003 2", 5000, 4000, "test")
    assert coco_to_kaggle(code) == "17000001 1 17000003 2"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", "no mask", "got no mask"),
        ("   ", "no mask", "got no mask"),
        ("1 2 3", "odd count", "3 numbers"),
        ("0 2", "start below 1", "'0 2' as pair 1"),
        ("1 0", "empty run", "'1 0' as pair 1"),
        ("1 3 3 2", "overlap", "'3 2' as pair 2"),
        ("5 2 1 2", "overlap", "'1 2' as pair 2"),
        ("11 3", "out of range", "3 x 4 = 12 pixels"),
        ("13 1", "out of range", "'13 1'"),
        ("1 2 9223372036854775807 1", "out of range", "as pair 2"),
        ("2 9223372036854775807", "out of range", "as pair 1"),
        ("1 2 99999999999999999999999 1", "out of range", "as pair 2"),
        # Both sums wrap round to what looks like a mask.
        ("9223372036854775807 9223372036854775807", "out of range", "as pair 1"),
        ("1 2 x 4", "junk numbers", "'x'"),
        ("1 -2", "junk numbers", "'-2'"),
        ("1 2.0", "junk numbers", "'2.0'"),
        ("1,2", "junk numbers", "'1,2'"),
        ("1 2\n3 1", "junk numbers", "\\n"),
        ("1  2 nan 1", "junk numbers", "'nan'"),
        ("1 \u0662", "junk numbers", "\u0662"),
    ],
)
def test_kaggle_to_coco_bad_text_is_refused_with_its_kind(text, kind, said):
    with pytest.raises(RunLengthError) as caught:
        kaggle_to_coco(text, 3, 4, "train.csv:17")
    assert caught.value.kind == kind
    assert str(caught.value).startswith("train.csv:17: ") and said in str(caught.value)


@pytest.mark.parametrize("size", [(0, 4), (3, -1), (3.0, 4), (True, 4), (2**20, 2**20)])
def test_kaggle_to_coco_impossible_size_is_refused(size):
    with pytest.raises(MaskError, match="height and a width"):
        kaggle_to_coco("1 1", *size, "test")


def test_coco_to_kaggle_empty_and_touching_runs_come_out_canonical():
    code = {"size": [2, 3], "counts": [0, 1, 0, 1, 2, 0, 1, 1]}
    assert coco_to_kaggle(code) == "1 2 6 1"
    assert area_px(code) == 3
    assert box_xywh(code) == coco_mask.toBbox(reference(decode(code))).tolist()


def test_encode_mask_crop_in_a_corner_of_a_large_mask_is_exact():
    mask_HW = np.zeros((301, 203), dtype=bool)
    mask_HW[290:301, 199:203] = True
    mask_HW[295, 200] = False
    assert encode_mask(mask_HW) == reference(mask_HW)


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 3, 1), bool), np.zeros((2, 3)), np.zeros((0, 3), bool)]
)
def test_encode_mask_not_a_bitmap_is_refused(mask):
    with pytest.raises(MaskError):
        encode_mask(mask)


def test_to_rle_polygons_are_merged_into_one_mask():
    squares = [[1, 1, 4, 1, 4, 4, 1, 4], [6, 6, 9, 6, 9, 9, 6, 9]]
    code = to_rle(squares, 10, 12, "test")
    assert decode(code).sum() == 18 and decode(code)[2, 2] and decode(code)[7, 7]
    expected = coco_mask.merge(coco_mask.frPyObjects(squares, 10, 12))
    assert code["counts"].encode() == expected["counts"] and code["size"] == [10, 12]


@pytest.mark.parametrize(
    "polygons",
    [
        [],
        [[]],
        [[1, 1, 4, 4]],  # pycocotools would take four numbers for a box
        [[1, 1, 4, 1, 4, 4, 1]],
        [[1, 1, 4, 1, 4, float("nan")]],
        [[1, 1, 1e9, 1, 4, 4]],  # pycocotools would walk a thousand million pixels
        [[1, 1, "a", 1, 4, 4]],
        [["1", "1", "4", "1", "4", "4"]],
        [[1, 1, 3e9, 1, 4, 4]],
        [[1, 1, 1e300, 1, 4, 4]],
        [[1, 1, 10**400, 1, 4, 4]],
        [[1, 1, [4], 1, 4, 4]],
        [None],
        [1, 1, 4, 1, 4, 4],
    ],
)
def test_to_rle_bad_polygon_is_refused(polygons):
    with pytest.raises(MaskError, match=r"^a\.json: annotations\[3\]: .*polygon"):
        to_rle(polygons, 10, 10, "a.json: annotations[3]")


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ({"size": [4, 3], "counts": [12]}, "swapped"),
        ({"size": [3, 4], "counts": [11]}, "sum 11"),
        ({"size": [3, 4], "counts": [13]}, "sum 13"),
        ({"size": [3, 4], "counts": [10, -1, 3]}, "least -1"),
        ({"size": [3, 4], "counts": [2**63, 2**63 + 12]}, "least -9"),
        ({"size": [3, 4], "counts": [[6], [3, 3]]}, "whole numbers"),
        ({"size": [3, 4], "counts": [2**70, 1]}, "whole numbers"),
        ({"size": [3, 4], "counts": [6.0, 6.0]}, "whole numbers"),
        ({"size": [3, 4], "counts": []}, "whole numbers"),
        ({"size": [3, 4]}, "whole numbers"),
        ({"size": [3, 4], "counts": ""}, "complete"),
        ({"size": [3, 4], "counts": "\ud83d"}, "complete"),
        ({"size": [3, 4], "counts": "Z"}, "complete"),  # a character says that more follow
        ({"size": [3, 4], "counts": "oooooooo0"}, "at most 7"),
        ({"size": [3, 4], "counts": "<1"}, "sum 13"),
        ({"size": "34", "counts": "<"}, "size"),
        ({"counts": "<"}, "size"),
        (None, "polygons or a run-length code"),
        ("<", "polygons or a run-length code"),
    ],
)
def test_to_rle_bad_code_is_refused(segmentation, said):
    with pytest.raises(MaskError, match="^here: ") as caught:
        to_rle(segmentation, 3, 4, "here")
    assert said in str(caught.value)


@given(
    polygons=st.lists(
        st.lists(
            st.tuples(st.floats(-3, 44, width=32), st.floats(-3, 34, width=32)),
            min_size=3, max_size=8,
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_polygons_measured_from_their_code_are_measured_from_their_pixels(polygons):
    flat = [[float(v) for point in polygon for v in point] for polygon in polygons]
    try:
        code = to_rle(flat, 32, 40, "here")
    except MaskError:  # out of the frame altogether, or without an area
        return
    mask_HW = decode(code).astype(bool)
    area, box = measure(code)
    assert encode_mask(mask_HW) == code and area == mask_HW.sum() == area_px(code)
    rows, columns = np.nonzero(mask_HW.any(axis=1))[0], np.nonzero(mask_HW.any(axis=0))[0]
    # pycocotools gives a run that goes on into the next column the whole height.
    assert box[0] == (columns[0] if area else 0)
    assert box[2] == (np.ptp(columns) + 1 if area else 0)
    if area and (box[1], box[3]) != (0, 32):
        assert (box[1], box[3]) == (rows[0], np.ptp(rows) + 1)
