"""Drawing test images for ``fashion show``: loads a model, predicts, draws two panels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.fileio import get

from fashion_mmdet.core.errors import FashionError


def draw_test_images(
    cfg: Config, checkpoint: str, out: Path, *, count: int, score: float
) -> list[str]:
    """Draw ``count`` test images, evenly spread over the set; return the file names.

    Args:
        cfg: a training config; its test dataset and model are used.
        checkpoint: a .pth file of that model.
        out: folder for ``<image id>_<photo's name>.png``.
        count: how many; fewer where the test set is smaller.
        score: predictions below are not drawn.
    """
    from mmdet.registry import DATASETS
    from mmengine.registry import VISUALIZERS, init_default_scope

    init_default_scope(cfg.get("default_scope", "mmdet"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = _load(cfg, checkpoint, dataset.metainfo["classes"])
    if not len(dataset):
        raise FashionError(f"{cfg.test_dataloader.dataset.ann_file}: images expected, got none.")
    visualizer = VISUALIZERS.build({**cfg.visualizer, "vis_backends": None, "name": "show"})
    visualizer.dataset_meta = dataset.metainfo
    out.mkdir(parents=True, exist_ok=True)
    count = min(count, len(dataset))
    names: list[str] = []
    for i in range(count):
        item = dataset[i * len(dataset) // count]
        with torch.no_grad():
            sample: Any = model.test_step(pseudo_collate([item]))[0]
        image = mmcv.imfrombytes(get(sample.img_path), channel_order="rgb")
        name = f"{sample.img_id}_{Path(sample.img_path).stem}.png"
        visualizer.add_datasample(
            name, image, sample, pred_score_thr=score, out_file=str(out / name)
        )
        names.append(name)
    return names


def _load(cfg: Config, path: str, classes: tuple[str, ...]) -> torch.nn.Module:
    """Build the model and fill all of it from ``path``, trained on ``classes``."""
    from mmdet.registry import MODELS
    from mmengine.runner import load_checkpoint

    from fashion_mmdet import register

    model = MODELS.build(cfg.model)
    register.require_heads(model, classes, "test")
    checkpoint = load_checkpoint(model, path, map_location="cpu")
    register.require_same_classes(register.trained_classes(checkpoint) or classes, classes, path)
    register.require_whole(model, checkpoint.get("state_dict", checkpoint), path)
    return model.to("cuda:0" if torch.cuda.is_available() else "cpu").eval()
