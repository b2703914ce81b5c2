"""``MaskTTAModel``: one view is the plain model, several are averaged in the photo's pixels."""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from fashion_mmdet.core.errors import CheckpointError, ConfigError
from fashion_mmdet.core.rle import decode

pytestmark = pytest.mark.mm

N_CLASSES = 5


def made_config(repo_dir: Path, agnostic: bool = True, masks: bool = True, **model: Any) -> Any:
    """Return the demo's config with five classes, few detections, and all of them kept."""
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(str(repo_dir / "configs/demo/mask_rcnn_r18_demo.py"))
    heads = cfg.model.roi_head
    heads.bbox_head.update(num_classes=N_CLASSES, reg_class_agnostic=agnostic)
    heads.mask_head.update(num_classes=N_CLASSES, class_agnostic=agnostic)
    cfg.model.test_cfg.rcnn.update(score_thr=0.1, max_per_img=20)
    cfg.model.update(model)
    if not masks:
        cfg.model.type = "FasterRCNN"
        heads.mask_head = heads.mask_roi_extractor = None
    return cfg


def built(cfg: Any, seed: int = 0) -> Any:
    """Build a random model whose scores, boxes and masks differ from place to place.

    Not much more so: scores that all round to 1 are kept in an order of chance.
    """
    import torch
    from mmdet.registry import MODELS

    torch.manual_seed(seed)
    model = MODELS.build(copy.deepcopy(cfg.model)).eval()
    with torch.no_grad():
        for name, factor in (("rpn_cls", 10), ("fc_cls", 30), ("fc_reg", 10), ("conv_logits", 20)):
            for key, parameter in model.named_parameters():
                if f"{name}.weight" in key:
                    parameter.mul_(factor)
    return model


def photo(path: Path, size_hw: tuple[int, int], seed: int = 0, mirrored: bool = False) -> str:
    noise = np.random.default_rng(seed).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    image = cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image[:, ::-1] if mirrored else image)
    return str(path)


def batch_of(cfg: Any, *paths: str) -> Any:
    """Return what the config's test loader would give of these photos."""
    from mmengine.dataset import Compose, pseudo_collate

    steps = [t for t in cfg.test_dataloader.dataset.pipeline if t.type != "LoadAnnotations"]
    load = Compose(copy.deepcopy(steps))
    return pseudo_collate([load({"img_path": p, "img_id": n}) for n, p in enumerate(paths)])


def predicted(model: Any, batch: Any) -> list[Any]:
    import torch

    with torch.no_grad():
        return model.test_step(batch)


def with_pipeline(cfg: Any, tta: bool) -> Any:
    """Return the config with views in its test pipeline; one of them without ``tta``."""
    from fashion_mmdet.models.tta_config import _views

    cfg = copy.deepcopy(cfg)
    cfg.test_dataloader.dataset.pipeline = _views(cfg.test_dataloader.dataset.pipeline, tta)
    return cfg


def assert_same(one: Any, other: Any) -> None:
    assert one.labels.tolist() == other.labels.tolist() and 3 < len(one)
    assert one.scores.numpy() == pytest.approx(other.scores.numpy(), abs=1e-4)
    assert one.bboxes.numpy() == pytest.approx(other.bboxes.numpy(), abs=1e-2)
    if "masks" in one:
        assert shares(one.masks, other.masks) == pytest.approx(1, abs=0.02)


def shares(masks: Any, others: Any) -> np.ndarray:
    """Return the IoU of each mask with its counterpart, where either has a pixel; most do."""
    pairs = [(np.asarray(a) > 0, np.asarray(b) > 0) for a, b in zip(masks, others, strict=True)]
    found = [(a & b).sum() / (a | b).sum() for a, b in pairs if (a | b).any()]
    assert len(found) > 0.8 * len(pairs)
    return np.array(found)


@pytest.mark.parametrize(
    ("agnostic", "masks"), [(True, True), (False, True), (True, False), (False, False)]
)
def test_one_view_of_one_model_is_the_plain_model(
    repo_dir: Path, tmp_path: Path, agnostic: bool, masks: bool
) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir, agnostic, masks)
    model = built(cfg)
    paths = [photo(tmp_path / "1.png", (333, 251)), photo(tmp_path / "2.png", (120, 190), 1)]
    plain = [predicted(model, batch_of(cfg, path))[0] for path in paths]
    ours = predicted(MaskTTAModel(model), batch_of(with_pipeline(cfg, False), *paths))
    for one, other in zip(plain, ours, strict=True):
        assert_same(one.pred_instances, other.pred_instances)
        assert set(one.pred_instances.keys()) == set(other.pred_instances.keys())
        assert one.img_path == other.img_path and one.ori_shape == other.ori_shape
    # The two photos are no copies of each other.
    assert plain[0].pred_instances.bboxes.tolist() != plain[1].pred_instances.bboxes.tolist()


def test_stock_mask_head_gives_the_masks_of_ours(repo_dir: Path, tmp_path: Path) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir)
    stock = copy.deepcopy(cfg)
    stock.model.roi_head.mask_head.type = "FCNMaskHead"
    batch = batch_of(with_pipeline(cfg, True), photo(tmp_path / "1.png", (224, 160)))
    one, other = (
        predicted(MaskTTAModel(built(c)), copy.deepcopy(batch))[0].pred_instances
        for c in (cfg, stock)
    )
    assert (shares(one.masks, other.masks) == 1).all()


def test_mirrored_photo_has_mirrored_detections(repo_dir: Path, tmp_path: Path) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir)
    model = built(cfg)
    # At the pipeline's own size: rounding in the scaling of pixels is not the matter here.
    paths = [photo(tmp_path / f"{m}.png", (224, 160), mirrored=m) for m in (False, True)]

    def mirrored(found: Any) -> Any:
        found = copy.deepcopy(found)
        found.bboxes[:, [0, 2]] = 160 - found.bboxes[:, [2, 0]]
        found.masks = [np.asarray(mask)[:, ::-1] for mask in found.masks]
        return found

    views = with_pipeline(cfg, True)
    one, other = (
        predicted(MaskTTAModel(model), batch_of(views, path))[0].pred_instances for path in paths
    )
    assert_same(one, mirrored(other))
    alone, beside = (predicted(model, batch_of(cfg, path))[0].pred_instances for path in paths)
    assert alone.scores.tolist() != pytest.approx(beside.scores.tolist(), abs=1e-3)


class MadeView:
    """A view of one proposal with scores, a box and a mask that are given; of two classes."""

    def __init__(self, box: list[float], scores: list[float], mask: float) -> None:
        import torch

        self.box, self.score = torch.tensor([box]), torch.tensor([scores])
        self.mask = mask

    def proposals(self) -> Any:
        return self.box, self.score[:, 0]

    def boxes(self, proposals: Any) -> Any:
        return self.box[:, None].repeat(len(proposals), 1, 1), self.score.repeat(len(proposals), 1)

    def grids(self, boxes: Any, labels: Any) -> Any:
        return boxes.new_full((len(boxes), 28, 28), self.mask)


@pytest.mark.parametrize(("second", "area_px"), [(0.3, 100), (0.05, 0)])
def test_views_are_averaged_score_by_score_and_edge_by_edge(
    repo_dir: Path, second: float, area_px: int
) -> None:
    from fashion_mmdet.models import MaskTTAModel

    model = MaskTTAModel(built(made_config(repo_dir)))
    views = [
        MadeView([0.0, 10, 10, 20], [0.75, 0.25, 0, 0, 0, 0], 0.9),
        MadeView([2.0, 10, 12, 20], [0.25, 0.0, 0, 0, 0, 0.75], second),
    ]
    found = model._detections(views, {"ori_shape": (40, 50)})
    # (0.75 + 0.25) / 2 and 0.25 / 2; the two proposals overlap by 0.67 and give the same boxes.
    assert found.scores.tolist() == pytest.approx([0.5, 0.125])
    assert found.labels.tolist() == [0, 1]
    assert found.bboxes.tolist() == [[1, 10, 11, 20]] * 2
    # (0.9 + 0.3) / 2 is a mask, (0.9 + 0.05) / 2 is none.
    assert [int(np.asarray(mask).sum()) for mask in found.masks] == [area_px] * 2


def test_proposals_of_several_views_are_kept_once_and_in_falling_score(repo_dir: Path) -> None:
    from fashion_mmdet.models import MaskTTAModel

    model = MaskTTAModel(built(made_config(repo_dir)))
    boxes = [[0.0, 0, 100, 100], [0.0, 0, 100, 80], [0.0, 0, 100, 60], [200.0, 0, 260, 90]]
    # Against the best: 0.8 is over the limit of 0.7, 0.6 is not.
    views = [
        MadeView(box, [score], 0) for box, score in zip(boxes, (0.9, 0.8, 0.3, 0.5), strict=True)
    ]
    assert model._proposals(views).tolist() == [boxes[0], boxes[3], boxes[2]]
    model.module.rpn_head.test_cfg.max_per_img = 2
    assert model._proposals(views).tolist() == [boxes[0], boxes[3]]


@pytest.mark.parametrize(
    ("direction", "box"),
    [
        (None, [5, 10, 25, 30]),
        ("horizontal", [75, 10, 95, 30]),
        ("vertical", [5, 20, 25, 40]),
        ("diagonal", [75, 20, 95, 40]),
    ],
)
def test_view_at_half_the_size_and_flipped_maps_boxes_there_and_back(direction, box) -> None:
    import torch
    from mmdet.structures import DetDataSample

    from fashion_mmdet.models.views import View

    model = SimpleNamespace(data_preprocessor=lambda d, training: d, extract_feat=lambda x: x)
    meta = dict(img_shape=(50, 100), scale_factor=(0.5, 0.5), flip=direction is not None,
                flip_direction=direction)  # fmt: skip
    view = View(model, torch.zeros(3, 50, 100), DetDataSample(metainfo=meta))
    of_photo = torch.tensor([[10.0, 20, 50, 60]])
    assert view.from_photo(of_photo).tolist() == [box]
    assert view.to_photo(torch.tensor([box * 2]).float()).tolist() == [[10, 20, 50, 60] * 2]


def test_flipped_view_whose_sample_does_not_say_so_is_refused(
    repo_dir: Path, tmp_path: Path
) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = with_pipeline(made_config(repo_dir), True)
    cfg.test_dataloader.dataset.pipeline[-1].transforms[-1][0].meta_keys = (
        "img_id", "img_path", "ori_shape", "img_shape", "scale_factor",
    )  # fmt: skip
    batch = batch_of(cfg, photo(tmp_path / "1.png", (224, 160)))
    with pytest.raises(ConfigError, match="tta_pipeline: 'flip' and 'flip_direction' among"):
        predicted(MaskTTAModel(built(cfg)), batch)


def test_views_of_one_photo_are_gone_before_those_of_the_next(
    repo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_mmdet.models import MaskTTAModel, mask_tta

    alive: Any = weakref.WeakSet()
    most = []

    class Counted(mask_tta.View):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(mask_tta, "View", Counted)
    cfg = with_pipeline(made_config(repo_dir), True)
    paths = [photo(tmp_path / f"{n}.png", (224, 160), n) for n in range(3)]
    assert len(predicted(MaskTTAModel(built(cfg)), batch_of(cfg, *paths))) == 3
    assert len(most) == 6 and max(most) == 2


def saved_run(folder: Path, cfg: Any, model: Any, classes: Any = None, name: str = "best_x") -> str:
    """Leave a run folder: the config, a checkpoint, and a worse one."""
    import torch

    folder.mkdir()
    cfg.dump(str(folder / "config.py"))
    meta = {"dataset_meta": {"classes": classes}} if classes else {}
    weights = model.state_dict()
    torch.save({"state_dict": weights, "meta": meta}, folder / f"{name}.pth")
    torch.save({"state_dict": {}, "meta": meta}, folder / "epoch_1.pth")
    return str(folder)


def test_two_models_vote_alike_whichever_comes_first(repo_dir: Path, tmp_path: Path) -> None:
    import torch

    from fashion_mmdet.models import MaskTTAModel

    agnostic = made_config(repo_dir)
    own = made_config(repo_dir, agnostic=False)
    own.model.data_preprocessor.update(mean=[100, 110, 120], std=[1, 1, 1], bgr_to_rgb=False)
    own.model.roi_head.mask_roi_extractor.roi_layer.output_size = 14
    models = [built(agnostic), built(own, seed=1)]
    models[1].roi_head.bbox_head.fc_cls.weight.data.mul_(0.02)  # its input is larger
    folder = saved_run(tmp_path / "own", own, models[1], ("a",) * N_CLASSES)
    batch = batch_of(with_pipeline(agnostic, True), photo(tmp_path / "1.png", (300, 200)))

    loaded = MaskTTAModel(models[0], members=folder)
    theirs = models[1].state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in loaded.members[0].state_dict().items())
    assert loaded.member_checkpoints == [
        (f"{folder}/best_x.pth", {"meta": {"dataset_meta": {"classes": ("a",) * N_CLASSES}}})
    ]
    one = predicted(loaded.eval(), copy.deepcopy(batch))[0].pred_instances
    other = MaskTTAModel(models[1], members=[models[0]])
    assert_same(one, predicted(other, copy.deepcopy(batch))[0].pred_instances)
    for alone in models:
        found = predicted(MaskTTAModel(alone), copy.deepcopy(batch))[0].pred_instances
        assert found.scores.tolist() != one.scores.tolist()


def test_weights_of_the_checkpoint_land_in_the_wrapped_model(
    repo_dir: Path, tmp_path: Path
) -> None:
    import torch
    from mmengine.runner import load_checkpoint

    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir)
    trained, member = built(cfg, seed=3), built(cfg, seed=4)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "1.pth")
    model = MaskTTAModel(cfg.model, members=[member])
    load_checkpoint(model, str(tmp_path / "1.pth"))
    for wanted, got in ((trained, model.module), (built(cfg, seed=4), model.members[0])):
        for one, other in zip(wanted.parameters(), got.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("_base_/models/cascade-mask-rcnn_r50_fpn.py", "got CascadeRCNN with CascadeRoIHead"),
        ("_base_/models/retinanet_r50_fpn.py", "got RetinaNet"),
    ],
)
def test_model_of_another_kind_is_refused(repo_dir: Path, file: str, said: str) -> None:
    from mmengine.hub import get_config

    from fashion_mmdet.models import MaskTTAModel

    made_config(repo_dir)
    model = get_config(f"mmdet::{file}").model
    model.backbone.init_cfg = None
    with pytest.raises(ConfigError, match=rf"MaskRCNN, FasterRCNN.*expected, {said}\. Test it"):
        MaskTTAModel(model)


def test_member_that_cannot_vote_is_refused(repo_dir: Path, tmp_path: Path) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir)
    model = built(cfg)
    without = built(made_config(repo_dir, masks=False))
    with pytest.raises(ConfigError, match=r"members\[0\]: a model of 1 mask heads.*got one of 0"):
        MaskTTAModel(model, [without])
    other = copy.deepcopy(cfg)
    for head in (other.model.roi_head.bbox_head, other.model.roi_head.mask_head):
        head.num_classes = 4
    folder = saved_run(tmp_path / "four", other, built(other))
    with pytest.raises(ConfigError, match=r"\[1\] \(.*best_x\.pth\): a model of 5 classes.*of 4"):
        MaskTTAModel(model, [model, folder])
    with pytest.raises(CheckpointError, match=r"epoch_1\.pth: .* random \(backbone\.conv1"):
        MaskTTAModel(model, [f"{folder}/epoch_1.pth"])
    files = dict(config=f"{folder}/config.py", checkpoint="none.pth")
    with pytest.raises(ConfigError, match=r"members\[0\]: a checkpoint.*found no none\.pth"):
        MaskTTAModel(model, files)


def six_views(cfg: Any) -> Any:
    """Return the config with the views of its ``tta_pipeline``: three sizes, each also flipped."""
    cfg = copy.deepcopy(cfg)
    cfg.test_dataloader.dataset.pipeline = copy.deepcopy(cfg.tta_pipeline)
    return cfg


@pytest.mark.parametrize(
    ("agnostic", "masks"), [(True, True), (False, True), (True, False), (False, False)]
)
@pytest.mark.parametrize("views", [1, 6])
def test_photo_without_proposals_has_no_detections(
    repo_dir: Path, tmp_path: Path, views: int, agnostic: bool, masks: bool
) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir, agnostic, masks)
    cfg.model.test_cfg.rpn.min_bbox_size = 30
    cfg = with_pipeline(cfg, False) if views == 1 else six_views(cfg)
    # Less than 30 px high in every view, so that no proposal is large enough.
    paths = [photo(tmp_path / "1.png", (20, 330)), photo(tmp_path / "2.png", (224, 160), 1)]
    model = MaskTTAModel(built(cfg))
    batch = batch_of(cfg, *paths)
    assert len(batch["inputs"]) == views
    none, some = (found.pred_instances for found in predicted(model, batch))
    assert len(none) == 0 and none.bboxes.shape == (0, 4) and len(some) > 3
    assert none.scores.shape == none.labels.shape == (0,)
    assert set(none.keys()) == set(some.keys()) and ("masks" in none) == masks
    if masks:
        assert none.masks.shape == (0, 20, 330) and len(some.masks) == len(some)
    (alone,) = predicted(model, batch_of(cfg, paths[0]))
    assert len(alone.pred_instances) == 0


def test_photo_without_proposals_among_members_has_no_detections(
    repo_dir: Path, tmp_path: Path
) -> None:
    from fashion_mmdet.models import MaskTTAModel

    one, other = made_config(repo_dir), made_config(repo_dir, agnostic=False)
    for cfg in (one, other):
        cfg.model.test_cfg.rpn.min_bbox_size = 100_000
    model = MaskTTAModel(built(one), members=[built(other, 1)])
    batch = batch_of(six_views(one), photo(tmp_path / "1.png", (224, 160)))
    assert len(predicted(model, batch)[0].pred_instances) == 0


def test_masks_of_several_views_carry_their_grids_into_the_evidence(
    repo_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from fashion_mmdet.core.operating_point import OperatingPoint, write_operating_point
    from fashion_mmdet.core.paste import paste_mask
    from fashion_mmdet.evaluation import fashion_metric as module
    from fashion_mmdet.models import MaskTTAModel

    cfg = six_views(made_config(repo_dir))
    cfg.model.test_cfg.rcnn.mask_thr_binary = 0.3
    height_px, width_px = 224, 160
    paths = [photo(tmp_path / f"{n}.png", (height_px, width_px), n) for n in range(2)]
    found = predicted(MaskTTAModel(built(cfg)), batch_of(cfg, *paths))
    assert all(mask.threshold == 0.3 for one in found for mask in one.pred_instances.masks)

    classes = [f"c{n}" for n in range(N_CLASSES)]
    truth = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": height_px, "width": width_px}
                   for n in range(2)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes)],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 0, "iscrowd": 0, "area": 400,
                         "bbox": [0, 0, 20, 20],
                         "segmentation": [[0, 0, 20, 0, 20, 20, 0, 20]]}],
    }  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    def evidence(**options: Any) -> Any:
        metric = module.FashionMetric(str(tmp_path / "truth.json"), **options)
        metric.dataset_meta = {"classes": classes}
        metric.process({}, [sample.to_dict() for sample in found])
        metric.evaluate(2)
        return metric.evidence()

    kept = evidence(keep_grids=True)
    n = sum(len(one.pred_instances) for one in found)
    assert kept.found.grids_NHW.shape == (n, 28, 28) and kept.mask_threshold == 0.3 and n > 6
    boxes = np.concatenate([one.pred_instances.bboxes.numpy() for one in found])
    assert kept.found.grid_box_xyxy == pytest.approx(boxes)  # the photo's pixels
    of_grid = [
        paste_mask(grid.astype(np.float32) / np.float32(255), box, height_px, width_px, 0.3)
        for grid, box in zip(kept.found.grids_NHW, kept.found.grid_box_xyxy, strict=True)
    ]
    sizes = {"size": [height_px, width_px]}
    masks = [decode({**sizes, "counts": counts}) for counts in kept.found.counts]
    # But for a rounding to 1 / 255.
    assert shares([decode(code) for code in of_grid], masks) == pytest.approx(1, abs=0.05)

    # The model has cut at 0.3; a point of 0.5 cuts anew, one of 0.3 has nothing to do.
    asked = []

    def counted(*args: Any) -> Any:
        asked.append(args[-1])
        return paste_mask(*args)

    monkeypatch.setattr(module, "paste_mask", counted)
    for threshold, times in ((0.5, n), (0.3, 0)):
        asked.clear()
        point = OperatingPoint(0.0, mask_threshold=threshold)
        write_operating_point(tmp_path / "p.json", point, {})
        cut = evidence(point=str(tmp_path / "p.json"))
        assert asked == [threshold] * times and cut.mask_threshold == threshold
        assert (cut.found.counts == kept.found.counts) == (threshold == 0.3)


def test_members_are_named_by_folder_and_file(repo_dir: Path, tmp_path: Path) -> None:
    from fashion_mmdet.models import MaskTTAModel

    cfg = made_config(repo_dir)
    model = built(cfg)
    folder = saved_run(tmp_path / "b run", cfg, model)
    assert MaskTTAModel(model, members=[folder]).member_names == ["b run/best_x.pth"]
    assert MaskTTAModel(model, members=[built(cfg, 1)]).member_names == ["MaskRCNN"]
    assert MaskTTAModel(model).member_names == []
