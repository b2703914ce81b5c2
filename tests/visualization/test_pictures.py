"""``FashionVisualizer`` and ``FashionVisualizationHook``: what is in the pictures, and when."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.mm

RED, BLUE = (255, 0, 0), (0, 0, 255)


def made_sample(height=120, width=200, score=0.9):
    """A dress with a belt on it, in ground truth and, 20 px to the right, in the predictions."""
    import torch
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    masks = np.zeros((2, height, width), dtype=np.uint8)
    masks[0, 60:70, 40:100] = 1  # the belt, listed before the dress that it is on
    masks[1, 30:110, 40:100] = 1
    boxes = torch.tensor([[40.0, 60, 100, 70], [40, 30, 100, 110]])
    labels = torch.tensor([1, 0])
    sample = DetDataSample(metainfo=dict(img_id=7, img_path="7.png"))
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=labels, masks=BitmapMasks(masks, height, width)
    )
    sample.pred_instances = InstanceData(
        bboxes=boxes + torch.tensor([20.0, 0, 20, 0]), labels=labels,
        scores=torch.full((2,), score), masks=torch.from_numpy(np.roll(masks, 20, axis=2)).bool(),
    )
    return sample


def visualizer(min_side_px=1, **kwargs):
    from fashion_mmdet.visualization import FashionVisualizer

    made = FashionVisualizer(alpha=1.0, min_side_px=min_side_px, **kwargs)
    made.dataset_meta = {"classes": ("dress", "belt"), "palette": [RED, BLUE]}
    return made


def drawn(made, image, sample, tmp_path, **kwargs):
    path = tmp_path / "out.png"
    made.add_datasample("x", image, sample, out_file=str(path), **kwargs)
    return cv2.imread(str(path))[..., ::-1]


def test_visualizer_draws_parts_over_garments_in_the_colours_of_the_palette(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    picture = drawn(visualizer(), image, made_sample(), tmp_path)
    assert picture.shape == (120, 400, 3)
    left, right = picture[:, :200], picture[:, 200:]
    for panel, x in ((left, 90), (right, 110)):
        assert tuple(panel[100, x]) == RED
        assert tuple(panel[66, x]) == BLUE
    assert tuple(left[100, 115]) == tuple(right[100, 45]) == (128, 128, 128)


def test_visualizer_leaves_low_scores_out(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    picture = drawn(visualizer(), image, made_sample(score=0.2), tmp_path)
    assert (picture[:, 200:] == 128).all() and (picture[:, :200] != 128).any()


def test_visualizer_shrinks_large_photos_with_their_masks(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    picture = drawn(visualizer(max_side_px=100), image, made_sample(), tmp_path)
    assert picture.shape == (60, 200, 3)
    assert tuple(picture[50, 45]) == RED and tuple(picture[50, 155]) == RED


def test_visualizer_draws_boxes_where_there_are_no_masks(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    sample = made_sample()
    del sample.gt_instances.masks, sample.pred_instances.masks
    picture = drawn(visualizer(), image, sample, tmp_path)
    assert tuple(picture[100, 40]) == RED and tuple(picture[100, 90]) == (128, 128, 128)


def test_visualizer_without_instances_shows_the_photo(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    sample = made_sample()
    sample.gt_instances, sample.pred_instances = sample.gt_instances[:0], sample.pred_instances[:0]
    assert (drawn(visualizer(), image, sample, tmp_path) == 128).all()
    assert (drawn(visualizer(), image, None, tmp_path) == 128).all()


def test_visualizer_leaves_random_numbers_to_the_training(tmp_path):
    np.random.seed(3)
    expected = np.random.rand(4)
    np.random.seed(3)
    drawn(visualizer(), np.zeros((120, 200, 3), np.uint8), made_sample(), tmp_path)
    assert (np.random.rand(4) == expected).all()


def test_visualizer_names_of_instances_at_one_place_do_not_hide_each_other():
    from fashion_mmdet.visualization.visualizer import draw_instances

    image = np.zeros((200, 200, 3), np.uint8)
    masks = np.zeros((2, 200, 200), dtype=bool)
    boxes = np.array([[10, 10, 90, 90]] * 2)
    picture = draw_instances(image, boxes, masks, ["dress", "coat"], [RED, BLUE], 0.5)
    reds = np.flatnonzero((picture == RED).all(axis=2).any(axis=1))
    blues = np.flatnonzero((picture == BLUE).all(axis=2).any(axis=1))
    assert reds.size > 5 and blues.size > 5 and reds.max() < blues.min()


class FakeRunner:
    """As much of a Runner as the hook asks for."""

    def __init__(self, batches, fail=False):
        self.val_dataloader = [None] * batches
        self.iter = 12
        self.calls, self.warnings = [], []
        self.fail = fail
        self.visualizer = self
        self.logger = SimpleNamespace(warning=self.warnings.append)

    def add_datasample(self, name, image, data_sample, pred_score_thr, step):
        if self.fail:
            raise RuntimeError("no font")
        self.calls.append((name, image.shape, step))


def run_hook(tmp_path, runner, **kwargs):
    from fashion_mmdet.visualization import FashionVisualizationHook

    cv2.imwrite(str(tmp_path / "7.png"), np.zeros((120, 200, 3), np.uint8))
    hook = FashionVisualizationHook(**kwargs)
    drawn_at = []
    for batch_idx in range(len(runner.val_dataloader)):
        sample = made_sample()
        sample.set_metainfo(dict(img_path=str(tmp_path / "7.png")))
        before = len(runner.calls)
        hook.after_val_iter(runner, batch_idx, None, [sample])
        if len(runner.calls) > before:
            drawn_at.append(batch_idx)
    return drawn_at


@pytest.mark.parametrize(
    ("batches", "count", "expected"),
    [(12, 4, [0, 3, 6, 9]), (3, 8, [0, 1, 2]), (5, 0, []), (7, 2, [0, 3])],
)
def test_pictures_hook_draws_the_same_photos_spread_over_the_set(
    tmp_path, batches, count, expected
):
    runner = FakeRunner(batches)
    assert run_hook(tmp_path, runner, count=count) == expected
    runner.iter = 99
    assert run_hook(tmp_path, runner, count=count) == expected
    assert [c[2] for c in runner.calls] == [12] * len(expected) + [99] * len(expected)
    assert {c[:2] for c in runner.calls} <= {("val_7", (120, 200, 3))}


def test_pictures_hook_failure_is_said_once_and_stops_nothing(tmp_path):
    runner = FakeRunner(6, fail=True)
    assert run_hook(tmp_path, runner, count=6) == []
    (message,) = runner.warnings
    assert "no font" in message and "7.png" in message


def test_visualizer_enlarges_a_small_photo_with_what_is_on_it(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    picture = drawn(visualizer(min_side_px=400), image, made_sample(), tmp_path)
    assert picture.shape == (240, 800, 3)
    assert tuple(picture[200, 180]) == RED and tuple(picture[132, 180]) == BLUE
