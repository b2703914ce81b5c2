"""How a trained model is loaded: whole, and checked against its classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from fashion_mmdet import register
from fashion_mmdet.core.errors import ConfigError


def metainfo_of(cfg: Config) -> dict[str, Any]:
    """Return classes and palette of the test set, whose files need not be there."""
    from mmdet.registry import DATASETS

    dataset = inner_dataset(cfg)
    kind = DATASETS.get(dataset.type) if isinstance(dataset.type, str) else dataset.type
    if kind is None:
        raise ConfigError(f"{cfg.filename}: a known dataset expected, got {dataset.type!r}.")
    info = kind._load_metainfo(dict(dataset.get("metainfo", {})))
    if not info.get("classes"):
        raise ConfigError(
            f"{cfg.filename}: metainfo.classes of the test set expected, got none. Set them."
        )
    return dict(info)


def inner_dataset(cfg: Config) -> Any:
    """Return the config of the test set, without the wrappers around it."""
    dataset = cfg.test_dataloader.dataset
    while "pipeline" not in dataset and ("dataset" in dataset or "datasets" in dataset):
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][0]
    return dataset


def load_model(
    cfg: Config, checkpoint: str | Path, classes: Sequence[str], device: str
) -> torch.nn.Module:
    """Build the model of ``cfg`` and fill all of it from ``checkpoint``.

    Raises:
        CheckpointError: for a file that cannot be read, leaves a part of the model random, or was
            trained on other classes.
        ConfigError: for heads of another number of classes.
    """
    from mmdet.registry import MODELS
    from mmengine.model import BaseTTAModel
    from mmengine.runner import load_checkpoint

    model = MODELS.build(cfg.model)
    bare = model.module if isinstance(model, BaseTTAModel) else model
    register.require_heads(bare, classes, "test")
    source = str(checkpoint)
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # what is loaded from where; warnings are let through
    try:
        loaded = load_checkpoint(bare, source, map_location="cpu", logger="silent")
    finally:
        logging.disable(before)
    theirs = register.trained_classes(loaded) or tuple(classes)
    register.require_same_classes(theirs, tuple(classes), source)
    register.require_whole(bare, loaded.get("state_dict", loaded), source)
    for member, told in getattr(model, "member_checkpoints", []):
        theirs = register.trained_classes(told) or tuple(classes)
        register.require_same_classes(theirs, tuple(classes), member)
    return model.to(device).eval()


def best_device() -> str:
    """Return ``"cuda:0"`` where there is a GPU, else ``"cpu"``."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def checked_device(device: str | None) -> str:
    """Return ``device``, or the best one there is for None.

    Raises:
        ConfigError: for a device that this machine does not have.
    """
    if device is None:
        return best_device()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        said = (str(error).splitlines() or [""])[0][:100]
        raise ConfigError(
            f"--device: a device of this machine expected, got {device!r} ({said}). Take cpu, or "
            "see `fashion env`."
        ) from None
    return device
