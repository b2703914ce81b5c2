"""A run's folder with a model that finds dresses everywhere, made without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONFIG = "configs/demo/mask_rcnn_r18_demo.py"
LABEL = 10  # dress


def make_run(folder: Path, repo: Path, seed: int = 0, **changes: Any) -> Path:
    """Write config and checkpoint of the demo's recipe with random weights; return the folder.

    The classifier's bias makes every box a dress with a score of more than a half.
    """
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from fashion_mmdet.core.ontology import CLASSES

    cfg = Config.fromfile(str(repo / CONFIG))
    cfg.merge_from_dict(changes)
    init_default_scope("mmdet")
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    weights = model.state_dict()
    weights["roi_head.bbox_head.fc_cls.bias"][LABEL] = 6.0
    folder.mkdir(parents=True)
    cfg.dump(str(folder / Path(CONFIG).name))
    meta = {"dataset_meta": {"classes": CLASSES}}
    torch.save({"state_dict": weights, "meta": meta}, folder / "epoch_1.pth")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_1.pth"))
    return folder
