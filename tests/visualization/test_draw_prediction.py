"""Pictures of predictions: colours, order, sizes, and what they cost."""

from __future__ import annotations

import itertools
import time
import tracemalloc

import cv2
import numpy as np
import pytest

from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.ontology import CLASSES, PALETTE
from fashion_mmdet.core.prediction import Prediction

pytestmark = pytest.mark.mm

RED, BLUE = (255, 0, 0), (0, 0, 255)


def made(size_hw, boxes_xyxy, labels=None, scores=None, classes=("dress", "belt")):
    """Return a prediction whose masks fill their boxes."""
    rles = []
    for x0, y0, x1, y1 in boxes_xyxy:
        mask_HW = np.zeros(size_hw, np.uint8)
        mask_HW[y0:y1, x0:x1] = 1
        rles.append(rle.encode_mask(mask_HW))
    n = len(rles)
    labels = [0] * n if labels is None else labels
    scores = np.linspace(0.9, 0.1, n) if scores is None else scores
    return Prediction(classes, size_hw, labels, scores, boxes_xyxy, tuple(rles))


def drawn(size_hw, prediction, grey=100, palette=(RED, BLUE), **kwargs):
    from fashion_mmdet.visualization import draw_prediction

    image = np.full((*size_hw, 3), grey, np.uint8)
    picture = draw_prediction(image, prediction, palette=palette, **kwargs)
    assert (image == grey).all() and picture.dtype == np.uint8
    return picture


def test_drawing_blends_the_class_colour_by_alpha():
    picture = drawn((700, 700), made((700, 700), [[100, 100, 600, 600]]), alpha=0.45)
    # 100 + 0.45 (255 - 100) = 169.75; 100 - 0.45 * 100 = 55
    assert tuple(picture[400, 400]) == (170, 55, 55)
    assert tuple(picture[650, 650]) == (100, 100, 100)
    assert tuple(picture[400, 101]) == RED  # the rim, all inside
    assert tuple(picture[400, 98]) == (100, 100, 100)


def test_drawing_puts_small_masks_above_large_ones_unmixed():
    # The belt has the higher score, and comes first.
    prediction = made((700, 700), [[200, 300, 500, 360], [100, 100, 600, 600]], labels=[1, 0])
    picture = drawn((700, 700), prediction, alpha=0.45)
    assert tuple(picture[330, 450]) == (55, 55, 170)
    assert tuple(picture[500, 450]) == (170, 55, 55)
    # A hundred detections of one dress cover no more of it than one.
    many = made((700, 700), [[100, 100, 600, 600]] * 100)
    assert tuple(drawn((700, 700), many, alpha=0.45)[590, 590]) in {(170, 55, 55), RED}


def test_drawing_without_boxes_leaves_what_is_around_the_mask():
    mask_HW = np.zeros((700, 700), np.uint8)
    cv2.circle(mask_HW, (350, 350), 200, 1, -1)
    prediction = Prediction(
        ("dress",), (700, 700), [0], [0.9], [[150, 150, 551, 551]], (rle.encode_mask(mask_HW),)
    )
    for boxes in (True, False):
        picture = drawn((700, 700), prediction, boxes=boxes)
        assert (tuple(picture[540, 550]) != (100, 100, 100)) == boxes


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [((3000, 2000), (1600, 1067)), ((240, 320), (480, 640)), ((800, 1000), (800, 1000)),
     ((1, 1), (640, 640)), ((10, 2000), (8, 1600)), ((2000, 10), (1600, 8))],
)  # fmt: skip
def test_drawing_of_any_size_is_no_larger_and_no_smaller_than_is_looked_at(size_hw, expected):
    height, width = size_hw
    box = [0, 0, max(1, width // 2), height]
    picture = drawn(size_hw, made(size_hw, [box, box]), alpha=1.0)
    assert picture.shape == (*expected, 3)
    y, x = expected[0] // 2, expected[1] // 8
    assert tuple(picture[y, x]) == RED
    if width > 1:
        assert tuple(picture[y, -max(1, expected[1] // 8)]) == (100, 100, 100)


def test_drawing_of_nothing_is_the_photo():
    assert (drawn((700, 700), made((700, 700), [])) == 100).all()
    empty = {"size": [700, 700], "counts": [490000]}
    prediction = Prediction(("dress",), (700, 700), [0], [0.9], [[100, 100, 300, 300]], (empty,))
    assert (drawn((700, 700), prediction) != 100).any()  # its box and its name


def test_drawing_on_a_photo_of_another_size_is_refused():
    with pytest.raises(AnnotationError, match=r"\(700, 600, 3\).*expected, got \(600, 700, 3\)"):
        drawn((600, 700), made((700, 600), [[0, 0, 9, 9]]))


def test_drawing_reads_channels_in_reverse_order_of_memory():
    from fashion_mmdet.visualization import draw_prediction

    bgr = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    prediction = made((300, 200), [[20, 20, 150, 250]])
    pictures = [
        draw_prediction(image, prediction, palette=None)
        for image in (bgr[..., ::-1], bgr[..., ::-1].copy())
    ]
    np.testing.assert_array_equal(*pictures)


def test_drawing_of_boxes_at_the_ends_of_the_numbers_ends():
    size_hw = (700, 700)
    one = made(size_hw, [[100, 100, 600, 600]])
    far = Prediction(
        one.classes, size_hw, [0, 0], [0.9, 0.8],
        [[-1e300, 100, 1e300, 600], [np.nan, 0, np.inf, 9]], one.rles * 2,
    )  # fmt: skip
    assert drawn(size_hw, far).shape == (700, 700, 3)


def test_labels_of_a_prediction_of_thirty_lie_apart():
    from fashion_mmdet.visualization.crops import crop_of_code
    from fashion_mmdet.visualization.drawing import Instance, labels_of

    rng = np.random.default_rng(1)
    size_hw = (960, 640)
    corners = rng.integers(0, 400, (30, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 240, (30, 2))], axis=1)
    found = made(size_hw, boxes.tolist())
    instances = [
        Instance("dress", float(score), RED, box, crop_of_code(code))
        for score, box, code in zip(found.scores, found.boxes_xyxy, found.rles, strict=True)
    ]
    rectangles = [label.rectangle for label in labels_of(instances, size_hw)]
    assert len(rectangles) == 30
    for x0, y0, x1, y1 in rectangles:
        assert 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 960
    for a, b in itertools.combinations(rectangles, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_palette_of_a_class_set_is_that_of_the_dataset():
    from fashion_mmdet.datasets import FashionDataset
    from fashion_mmdet.visualization import palette_of

    assert palette_of(CLASSES) == [tuple(c) for c in PALETTE]
    own = ["blazer", "shoe", *(f"class {n}" for n in range(60))]
    assert palette_of(own) == FashionDataset._load_metainfo({"classes": own})["palette"]
    assert palette_of(own)[1] == PALETTE[CLASSES.index("shoe")]


def test_drawing_without_a_palette_has_the_colours_of_the_class_set():
    prediction = made((700, 700), [[100, 100, 600, 600]], classes=("shoe",))
    picture = drawn((700, 700), prediction, palette=None, alpha=1.0)
    assert tuple(picture[400, 400]) == PALETTE[CLASSES.index("shoe")]


def test_visualizer_and_prediction_are_drawn_by_the_same_hand(tmp_path):
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    from fashion_mmdet.visualization import FashionVisualizer

    size_hw = (900, 700)
    found = made(size_hw, [[100, 100, 600, 700], [200, 300, 500, 360]], labels=[0, 1])
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes_xyxy), labels=torch.from_numpy(found.labels),
        scores=torch.from_numpy(found.scores), masks=torch.from_numpy(found.masks_NHW),
    )  # fmt: skip
    visualizer = FashionVisualizer()
    visualizer.dataset_meta = {"classes": found.classes, "palette": [RED, BLUE]}
    path = tmp_path / "out.png"
    visualizer.add_datasample(
        "x", np.full((*size_hw, 3), 100, np.uint8), sample, out_file=str(path), pred_score_thr=0
    )
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], drawn(size_hw, found))


def test_drawing_of_a_hundred_masks_on_six_megapixels_is_quick_and_small():
    size_hw = (3000, 2000)
    mask_HW = np.zeros(size_hw, np.uint8)
    cv2.ellipse(mask_HW, (1000, 1500), (800, 1300), 10, 0, 360, 1, -1)
    code = rle.encode_mask(mask_HW)
    box = [150, 150, 1850, 2850]
    prediction = Prediction(("dress",), size_hw, [0] * 100, [0.5] * 100, [box] * 100, (code,) * 100)
    drawn(size_hw, prediction.take([0]))  # loads the font
    began = time.perf_counter()
    drawn(size_hw, prediction)
    assert time.perf_counter() - began < 10  # about 1 s; bitmaps and stock mmdet take a minute
    tracemalloc.start()
    drawn(size_hw, prediction)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # a hundred bitmaps are 600 MB
