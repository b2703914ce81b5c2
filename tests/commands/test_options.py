"""--cfg-options: a key that means nothing is refused, with the nearest that does."""

from __future__ import annotations

import pytest

from fashion_mmdet.core.errors import ConfigError

pytestmark = pytest.mark.mm


@pytest.fixture(scope="module")
def cfg(request: pytest.FixtureRequest):
    from mmengine.config import Config

    repo = request.config.rootpath
    return Config.fromfile(str(repo / "configs" / "fashion" / "mask_rcnn_r50.py"))


@pytest.mark.parametrize(
    "key",
    [
        "optim_wrapper.optimizer.lr",
        "train_cfg.max_epochs",
        "param_scheduler.1.milestones",
        "randomness.seed",
        "wandb.mode",
        # left at its default in the config, but a parameter of what stands there
        "train_dataloader.dataset.check_photos",
        "train_dataloader.dataset.indices",
        "model.backbone.with_cp",
        "optim_wrapper.clip_grad",
        "default_hooks.checkpoint.published_keys",
        "train_dataloader.multiprocessing_context",
        "randomness.deterministic",
        "load_from",
        "experiment_name",
    ],
)
def test_option_that_means_something_is_taken(cfg, key: str) -> None:
    from fashion_mmdet.commands.options import check_key, register

    register(cfg)
    check_key(cfg, key)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("optim_wraper.optimizer.lr", "optim_wrapper"),
        ("optim_wrapper.optimiser.lr", "optimizer"),
        ("train_cfg.max_epoch", "max_epochs"),
        ("train_dataloader.batchsize", "batch_size"),
        ("train_dataloader.dataset.data_rot", "data_root"),
        ("model.backbone.frozen_stage", "frozen_stages"),
        ("model.roi_head.bbox_head.num_class", "num_classes"),
        ("param_scheduler.1.gama", "gamma"),
        ("param_scheduler.7.gamma", "0 to 1"),
        ("randomness.seeds", "seed"),
        ("wandb.mod", "mode"),
        ("train_cfg.max_epochs.x", "max_epochs"),
    ],
)
def test_option_that_means_nothing_is_refused_with_the_nearest(cfg, key: str, hint: str) -> None:
    from fashion_mmdet.commands.options import merge_options

    with pytest.raises(ConfigError, match=hint) as error:
        merge_options(cfg, {key: 1})
    assert key in str(error.value)


def test_options_are_merged(cfg) -> None:
    from fashion_mmdet.commands.options import merge_options

    copy = cfg.copy()
    merge_options(copy, {"optim_wrapper.optimizer.lr": 0.5, "param_scheduler.1.gamma": 0.2})
    assert copy.optim_wrapper.optimizer.lr == 0.5 and copy.param_scheduler[1].gamma == 0.2
