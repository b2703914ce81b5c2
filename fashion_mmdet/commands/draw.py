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
from fashion_mmdet.inference.models import best_device, load_model


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
    model = load_model(cfg, checkpoint, dataset.metainfo["classes"], best_device())
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
