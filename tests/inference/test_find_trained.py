"""What is loaded: one config from disk, a checkpoint of this model and of these classes, whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from trained import make_run

from fashion_mmdet.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def run(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("work dirs") / "run", repo_dir)


def saved(run: Path, tmp_path: Path, classes: tuple[str, ...], without: str = "-") -> Path:
    import torch

    weights = torch.load(run / "epoch_1.pth", weights_only=True)["state_dict"]
    kept = {k: v for k, v in weights.items() if not k.startswith(without)}
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": kept, "meta": {"dataset_meta": {"classes": classes}}}, path)
    return path


def loaded(run: Path, checkpoint: Path) -> Any:
    from fashion_mmdet.core.ontology import CLASSES
    from fashion_mmdet.inference.configs import read_config
    from fashion_mmdet.inference.models import load_model

    return load_model(read_config(run / "mask_rcnn_r18_demo.py"), checkpoint, CLASSES, "cpu")


def test_checkpoint_of_these_classes_is_loaded(run: Path) -> None:
    assert not loaded(run, run / "epoch_1.pth").training


def test_checkpoint_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    from fashion_mmdet.core.ontology import CLASSES

    with pytest.raises(CheckpointError, match="class 0 is 'sandals' there"):
        loaded(run, saved(run, tmp_path, CLASSES[::-1]))


def test_checkpoint_that_leaves_a_part_random_is_refused(run: Path, tmp_path: Path) -> None:
    from fashion_mmdet.core.ontology import CLASSES

    with pytest.raises(CheckpointError, match=r"random: not in the file: roi_head\.mask_head"):
        loaded(run, saved(run, tmp_path, CLASSES, without="roi_head.mask_head"))


def test_run_gives_its_best_checkpoint_else_its_last(run: Path, tmp_path: Path) -> None:
    from fashion_mmdet.core.trained import find_trained

    folder = Path(shutil.copytree(run, tmp_path / "copy"))
    assert find_trained(folder).checkpoint.name == "epoch_1.pth"
    shutil.copy(folder / "epoch_1.pth", folder / "best_coco_segm_mAP_epoch_1.pth")
    assert find_trained(folder).checkpoint.name == "best_coco_segm_mAP_epoch_1.pth"
    assert find_trained(folder / "epoch_1.pth").checkpoint.name == "epoch_1.pth"


def test_config_must_be_the_one_beside_the_weights_or_named(run: Path, tmp_path: Path) -> None:
    from fashion_mmdet.core.trained import find_trained

    alone = tmp_path / "alone.pth"
    shutil.copy(run / "epoch_1.pth", alone)
    with pytest.raises(ConfigError, match=r"one config \(.py\) beside the checkpoint .* got none"):
        find_trained(alone)
    config = run / "mask_rcnn_r18_demo.py"
    assert find_trained(alone, config).config == config
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"got a\.py, b\.py"):
        find_trained(alone)
    with pytest.raises(CheckpointError, match="found none"):
        find_trained(tmp_path / "gone")
