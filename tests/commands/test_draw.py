"""What ``fashion show`` loads: a checkpoint of this model and of these classes, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the demo's config, and a function that saves its random model with changes."""
    import torch
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    cfg = Config.fromfile(str(request.config.rootpath / "configs/demo/mask_rcnn_r18_demo.py"))
    weights = MODELS.build(cfg.model).state_dict()

    def save(classes: tuple[str, ...], without: str = "-") -> str:
        path: Path = tmp_path_factory.mktemp("saved") / "epoch_1.pth"
        kept = {k: v for k, v in weights.items() if not k.startswith(without)}
        torch.save({"state_dict": kept, "meta": {"dataset_meta": {"classes": classes}}}, path)
        return str(path)

    return cfg, save


def test_checkpoint_of_these_classes_is_loaded(saved: Any) -> None:
    from fashion_mmdet.commands.draw import _load
    from fashion_mmdet.core.ontology import CLASSES

    cfg, save = saved
    assert not _load(cfg, save(CLASSES), CLASSES).training


def test_checkpoint_of_other_classes_is_refused(saved: Any) -> None:
    from fashion_mmdet.commands.draw import _load
    from fashion_mmdet.core.ontology import CLASSES

    cfg, save = saved
    with pytest.raises(CheckpointError, match="class 0 is 'sandals' there"):
        _load(cfg, save(CLASSES[::-1]), CLASSES)


def test_checkpoint_that_leaves_a_part_random_is_refused(saved: Any) -> None:
    from fashion_mmdet.commands.draw import _load
    from fashion_mmdet.core.ontology import CLASSES

    cfg, save = saved
    with pytest.raises(CheckpointError, match=r"random: not in the file: roi_head\.mask_head"):
        _load(cfg, save(CLASSES, without="roi_head.mask_head"), CLASSES)


def test_dataset_of_fewer_classes_than_the_heads_have_is_refused(saved: Any) -> None:
    from fashion_mmdet.commands.draw import _load

    cfg, save = saved
    with pytest.raises(ConfigError, match="num_classes: 2 expected"):
        _load(cfg, save(("a", "b")), ("a", "b"))
