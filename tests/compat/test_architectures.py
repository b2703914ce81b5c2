"""Stock mmdet models on the operators of this package: one training step and one prediction each.

The models are mmdet's own configs, made small: 3 classes, no pretrained weights, R18 where the
architecture allows, few channels, images of 128 px. What is asserted is that everything that a
run needs happened: the expected losses, all finite; gradients; changed weights; usable
predictions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.mm, pytest.mark.slow]

SIZE_HW = (128, 128)
CLASSES = 3

RPN_LOSSES = {"loss_rpn_cls", "loss_rpn_bbox"}
RCNN_LOSSES = RPN_LOSSES | {"loss_cls", "loss_bbox", "loss_mask"}
CASCADE_LOSSES = RPN_LOSSES | {
    f"s{stage}.loss_{part}" for stage in range(3) for part in ("cls", "bbox", "mask")
}
MASK2FORMER_LOSSES = {
    f"{layer}loss_{part}" for layer in ("", "d0.", "d1.") for part in ("cls", "mask", "dice")
}

# A quarter of the channels. Residual branches that begin at zero would hide their own gradients.
SLIM = {"backbone.base_channels": 16, "backbone.zero_init_residual": False}
R18 = SLIM | {"backbone.depth": 18, "neck.in_channels": [16, 32, 64, 128]}
R50 = SLIM | {"neck.in_channels": [64, 128, 256, 512]}
FEWER_REGIONS = {
    "train_cfg.rpn_proposal.max_per_img": 100,
    "test_cfg.rpn.max_per_img": 50,
    "test_cfg.rcnn.max_per_img": 10,
    "test_cfg.rcnn.score_thr": 0.0,
}
FEWER_SAMPLES = {"train_cfg.rcnn.sampler.num": 32}
FEWER_STAGE_SAMPLES = {f"train_cfg.rcnn.{stage}.sampler.num": 32 for stage in range(3)}
SOFT_NMS = {"test_cfg.rcnn.nms": {"type": "soft_nms", "iou_threshold": 0.5, "min_score": 0.05}}

ARCHITECTURES = {
    "mask_rcnn_r18": (
        "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
        R18 | FEWER_REGIONS | FEWER_SAMPLES,
        RCNN_LOSSES,
    ),
    "mask_rcnn_r18_soft_nms": (
        "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
        R18 | FEWER_REGIONS | FEWER_SAMPLES | SOFT_NMS,
        RCNN_LOSSES,
    ),
    "cascade_mask_rcnn_r18": (
        "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
        R18 | FEWER_REGIONS | FEWER_STAGE_SAMPLES,
        CASCADE_LOSSES,
    ),
    "htc_r18": (
        "htc/htc-without-semantic_r50_fpn_1x_coco.py",
        R18 | FEWER_REGIONS | FEWER_STAGE_SAMPLES,
        CASCADE_LOSSES,
    ),
    "mask_rcnn_dconv_r50": (
        "dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
        R50 | FEWER_REGIONS | FEWER_SAMPLES,
        RCNN_LOSSES,
    ),
    "mask_rcnn_mdconv_r50": (
        "dcnv2/mask-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py",
        R50 | FEWER_REGIONS | FEWER_SAMPLES,
        RCNN_LOSSES,
    ),
    "point_rend_r18": (
        "point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py",
        R18 | FEWER_REGIONS | FEWER_SAMPLES | {"data_preprocessor.std": [58.0, 57.0, 57.0]},
        RCNN_LOSSES | {"loss_point"},
    ),
    "rtmdet_ins_tiny": (
        "rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py",
        {"backbone.norm_cfg.type": "BN", "neck.norm_cfg.type": "BN"}
        | {"bbox_head.norm_cfg.type": "BN", "test_cfg.score_thr": 0.0, "test_cfg.max_per_img": 10},
        {"loss_cls", "loss_bbox", "loss_mask"},
    ),
    "mask2former_r50": (
        "mask2former/mask2former_r50_8xb2-lsj-50e_coco.py",
        SLIM
        | {
            "data_preprocessor.batch_augments": None,
            "panoptic_head.in_channels": [64, 128, 256, 512],
            "panoptic_head.num_queries": 20,
            "panoptic_head.pixel_decoder.encoder.num_layers": 2,
            "panoptic_head.transformer_decoder.num_layers": 2,
            "train_cfg.num_points": 784,
            "test_cfg.max_per_image": 10,
        },
        MASK2FORMER_LOSSES,
    ),
}


def _set_everywhere(node: Any, key: str, value: Any) -> None:
    """Set ``key`` wherever it occurs in nested dicts and lists."""
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, (dict, list, tuple)):
            _set_everywhere(child, key, value)
    if isinstance(node, dict) and key in node:
        node[key] = value


def _build(config_path: str, changes: dict[str, Any]) -> Any:
    import torch
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.hub import get_config

    register_all_modules(init_default_scope=True)
    config = Config({"model": get_config(f"mmdet::{config_path}").model})
    model = config.model
    model.backbone.init_cfg = None
    _set_everywhere(model, "num_classes", CLASSES)
    _set_everywhere(model, "fc_out_channels", 64)
    _set_everywhere(model, "num_convs", 1)
    if "panoptic_head" in model:
        _set_everywhere(model, "num_things_classes", CLASSES)
        model.panoptic_head.loss_cls.class_weight = [1.0] * CLASSES + [0.1]
    config.merge_from_dict({f"model.{key}": value for key, value in changes.items()})
    torch.manual_seed(0)
    detector = MODELS.build(config.model)
    detector.init_weights()
    return detector


def _batch() -> dict[str, list]:
    """Two images of noise with two instances each, as a dataloader of mmdet would give them."""
    import torch
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    rng = np.random.default_rng(0)
    height, width = SIZE_HW
    inputs, samples = [], []
    for _ in range(2):
        box_xyxy = np.array([[10, 12, 70, 90], [40, 30, 120, 110]], dtype=np.float32)
        box_xyxy += rng.integers(-5, 6, box_xyxy.shape)
        masks = np.zeros((2, height, width), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, box_xyxy.astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        instances = InstanceData(
            bboxes=torch.from_numpy(box_xyxy),
            labels=torch.from_numpy(rng.integers(0, CLASSES, 2)),
            masks=BitmapMasks(masks, height, width),
        )
        meta = {"img_shape": SIZE_HW, "ori_shape": SIZE_HW, "batch_input_shape": SIZE_HW}
        sample = DetDataSample(metainfo=meta | {"scale_factor": (1.0, 1.0), "pad_shape": SIZE_HW})
        sample.gt_instances = instances
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        inputs.append(torch.from_numpy(rng.integers(0, 256, (3, *SIZE_HW), dtype=np.uint8)))
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


def _losses(detector: Any) -> dict[str, Any]:
    """Return each loss as one tensor, lists (one loss per level) added up."""
    import torch

    torch.manual_seed(1)
    data = detector.data_preprocessor(_batch(), training=True)
    losses = detector(**data, mode="loss")
    return {
        name: sum(value) if isinstance(value, (list, tuple)) else value
        for name, value in losses.items()
        if "loss" in name
    }


def _train_step(detector: Any, autocast: bool = False) -> dict[str, Any]:
    """Run one optimizer step; assert finite losses and gradients, and that the weights moved.

    The step moves every weight alike (Adam, tiny): these untrained networks have gradients of all
    sizes, and a plain step could leave a model that predicts nothing.
    """
    import torch

    named = {name: p for name, p in detector.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in named.items()}
    optimizer = torch.optim.AdamW(named.values(), lr=1e-5, weight_decay=0)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = _losses(detector)
    assert all(torch.isfinite(value).all() for value in losses.values()), losses
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in named.items() if p.grad is not None}
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    # Deformable operators: the offsets themselves are learnt.
    assert all(gradient.any() for name, gradient in gradients.items() if "offset" in name)
    optimizer.step()
    moved = [name for name, p in named.items() if not torch.equal(p, before[name])]
    assert len(moved) > 0.75 * len(named)
    return losses


def _assert_usable_predictions(detector: Any) -> None:
    import torch

    detector.eval()
    with torch.no_grad():
        data = detector.data_preprocessor(_batch(), training=False)
        predictions = [sample.pred_instances for sample in detector(**data, mode="predict")]
    assert len(predictions) == 2
    for found in predictions:
        count = len(found)
        assert 0 < count <= 10
        assert found.bboxes.shape == (count, 4)
        assert torch.isfinite(found.bboxes).all()
        assert found.masks.shape == (count, *SIZE_HW)
        assert found.masks.dtype == torch.bool
        assert set(found.labels.tolist()) <= set(range(CLASSES))
        assert ((found.scores >= 0) & (found.scores <= 1)).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_one_step_trains_and_predicts(name: str) -> None:
    config_path, changes, expected_losses = ARCHITECTURES[name]
    detector = _build(config_path, changes)
    assert set(_train_step(detector)) == expected_losses
    _assert_usable_predictions(detector)


def test_mask_rcnn_under_bf16_autocast_trains_close_to_float32() -> None:
    import torch

    config_path, changes, expected_losses = ARCHITECTURES["mask_rcnn_r18"]
    plain = _losses(_build(config_path, changes))
    detector = _build(config_path, changes)
    mixed = _train_step(detector, autocast=True)
    with torch.autocast("cpu", torch.bfloat16):
        _assert_usable_predictions(detector)
    assert set(mixed) == expected_losses
    for name in expected_losses:
        assert float(mixed[name]) == pytest.approx(float(plain[name]), rel=0.05), name
