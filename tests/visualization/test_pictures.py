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
    image = np.full((1200, 2000, 3), 128, np.uint8)
    sample = made_sample(1200, 2000)
    picture = drawn(visualizer(max_side_px=1000), image, sample, tmp_path)
    assert picture.shape == (600, 2000, 3)
    # Of the dress, from (40, 30) to (100, 110) in the photo.
    assert tuple(picture[50, 45]) == RED and tuple(picture[50, 1055]) == RED


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


@pytest.mark.parametrize("palette", ["random", None])
def test_visualizer_without_colours_of_its_own_takes_some(tmp_path, palette):
    image = np.full((120, 200, 3), 128, np.uint8)
    made = visualizer()
    made.dataset_meta = {"classes": ("dress", "belt"), "palette": palette}
    picture = drawn(made, image, made_sample(), tmp_path)
    dress, belt = tuple(picture[100, 90]), tuple(picture[66, 90])
    assert dress != belt and (128, 128, 128) not in (dress, belt)
    assert tuple(picture[100, 310]) == dress  # in the right panel, too


def test_visualizer_without_classes_names_labels(tmp_path):
    image = np.full((120, 200, 3), 128, np.uint8)
    made = visualizer()
    made.dataset_meta = {}
    assert (drawn(made, image, made_sample(), tmp_path)[100, 90] != 128).any()


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


class TestRunner:
    """As much of a Runner as a test's pictures ask for; the visualizer is a real one."""

    __test__ = False

    def __init__(self, root, work_dir):
        self.visualizer = visualizer()
        self.work_dir, self.timestamp = str(work_dir), "20260101_000000"
        self.test_dataloader = SimpleNamespace(
            dataset=SimpleNamespace(dataset=SimpleNamespace(data_prefix={"img": str(root)}))
        )
        self.warnings = []
        self.logger = SimpleNamespace(warning=self.warnings.append)


def samples_of(root, names):
    """Write a photo of another grey under each name, and return predictions for them."""
    out = []
    for n, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((120, 200, 3), 20 + 40 * n, np.uint8))
        sample = made_sample()
        del sample.gt_instances
        sample.set_metainfo(dict(img_path=str(path), img_id=n))
        out.append(sample)
    return out


def built_as_mim_test_does(show=False, show_dir=None):
    from mmdet.engine.hooks.utils import trigger_visualization_hook
    from mmengine.config import Config
    from mmengine.registry import HOOKS

    cfg = Config(dict(default_hooks=dict(visualization=dict(type="FashionVisualizationHook"))))
    args = SimpleNamespace(show=show, show_dir=show_dir, wait_time=0.25)
    return HOOKS.build(trigger_visualization_hook(cfg, args).default_hooks.visualization)


def run_test(hook, runner, samples):
    hook.before_test_epoch(runner)
    for n in range(0, len(samples), 2):
        hook.after_test_iter(runner, n // 2, None, samples[n : n + 2])


def test_pictures_hook_of_a_test_draws_none_unless_told(tmp_path):
    from fashion_mmdet.visualization import FashionVisualizationHook

    runner = TestRunner(tmp_path / "photos", tmp_path / "work")
    run_test(FashionVisualizationHook(), runner, samples_of(tmp_path / "photos", ["a.png"]))
    assert not (tmp_path / "work").exists() and not runner.warnings


def test_pictures_hook_writes_every_photo_of_a_test_in_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a relative work_dir, as is usual
    names = ["a/1.png", "b/1.png", "b/c/1.png", "1.png", "2.png"]
    runner = TestRunner("photos", "work")
    samples = samples_of(tmp_path / "photos", names)
    for sample in samples:
        sample.set_metainfo(dict(img_path=f"photos/{names[sample.img_id]}"))
    run_test(built_as_mim_test_does(show_dir="shown"), runner, samples)
    folder = tmp_path / "work" / "20260101_000000" / "shown"
    written = sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "work").rglob("*.*"))
    assert written == sorted(f"work/20260101_000000/shown/{name}" for name in names)
    for n, name in enumerate(names):
        picture = cv2.imread(str(folder / name))[..., ::-1]
        assert picture.shape == (120, 200, 3)
        assert tuple(picture[2, 2]) == (20 + 40 * n,) * 3 and tuple(picture[100, 110]) == RED
    assert not runner.warnings


def test_pictures_hook_tells_photos_of_one_name_from_elsewhere_apart(tmp_path):
    runner = TestRunner(tmp_path / "photos", tmp_path / "work")
    samples = samples_of(tmp_path / "other", ["a/1.png", "b/1.png", "c/1.png"])
    run_test(built_as_mim_test_does(show_dir="shown"), runner, samples)
    written = {p.name: cv2.imread(str(p))[2, 2, 0] for p in (tmp_path / "work").rglob("*.png")}
    assert written == {"1.png": 20, "1_1.png": 60, "1_2.png": 100}


def test_pictures_hook_opens_windows_where_there_is_a_display(tmp_path, monkeypatch):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "get_backend", lambda: "TkAgg")
    runner = TestRunner(tmp_path / "photos", tmp_path / "work")
    windows, backends = [], []
    monkeypatch.setattr(
        runner.visualizer, "show",
        lambda picture, win_name, wait_time: windows.append((win_name, wait_time, picture.shape)),
    )  # fmt: skip
    monkeypatch.setattr(runner.visualizer, "add_image", lambda *args: backends.append(args))
    samples = samples_of(tmp_path / "photos", ["a/1.png", "b/2.png"])
    run_test(built_as_mim_test_does(show=True), runner, samples)
    assert windows == [("1.png", 0.25, (120, 200, 3)), ("2.png", 0.25, (120, 200, 3))]
    assert not backends and not (tmp_path / "work").exists()
    run_test(built_as_mim_test_does(show=True, show_dir="shown"), runner, samples)
    assert len(windows) == 4 and len(list((tmp_path / "work").rglob("*.png"))) == 2


@pytest.mark.parametrize("show_dir", [None, "shown"])
def test_pictures_hook_without_a_display_says_so_once_and_waits_for_nobody(
    tmp_path, monkeypatch, show_dir
):
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "get_backend", lambda: "agg")
    runner = TestRunner(tmp_path / "photos", tmp_path / "work")
    monkeypatch.setattr(runner.visualizer, "show", lambda *a, **k: pytest.fail("a window"))
    samples = samples_of(tmp_path / "photos", ["1.png", "2.png"])
    run_test(built_as_mim_test_does(show=True, show_dir=show_dir), runner, samples)
    (message,) = runner.warnings
    assert "--show-dir" in message
    assert len(list((tmp_path / "work").rglob("*.png"))) == (2 if show_dir else 0)


def test_pictures_hook_that_fails_on_a_photo_of_a_test_draws_the_others(tmp_path):
    runner = TestRunner(tmp_path / "photos", tmp_path / "work")
    samples = samples_of(tmp_path / "photos", ["1.png", "2.png", "3.png", "4.png"])
    for name in ("1.png", "3.png"):
        (tmp_path / "photos" / name).unlink()
    run_test(built_as_mim_test_does(show_dir="shown"), runner, samples)
    assert sorted(p.name for p in (tmp_path / "work").rglob("*.png")) == ["2.png", "4.png"]
    (message,) = runner.warnings
    assert "1.png" in message and "The test goes on" in message
