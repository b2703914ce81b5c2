"""Turning a config into one of test-time augmentation or of an ensemble, and finding its runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.trained import find_trained

_WRAPPER = "MaskTTAModel"
_AUG = "TestTimeAug"


def with_tta(cfg: Config, tta: bool, members: Sequence[str] = ()) -> None:
    """Make ``cfg`` test with augmented views, further models, or both; as ``mim test --tta`` does.

    A config that was wrapped before, such as the one that a test with augmentation leaves in its
    work dir, is unwrapped first; so with neither it is the plain model's.

    Args:
        cfg: a whole config, changed in place. Without a ``tta_pipeline`` of its own the views are
            the test pipeline's, and that flipped, which is said.
        tta: whether to use the views of ``tta_pipeline``; without, each model sees the photo once.
        members: run folders or checkpoints in them that vote together with the config's model. If
            none are given, those of the config's ``tta_model`` are.

    Raises:
        ConfigError: for a config or a member that cannot be used so.
    """
    without_wrapper(cfg)
    if not tta and not members:
        return
    wrapper = copy.deepcopy(cfg.get("tta_model") or ConfigDict(type=_WRAPPER))
    if members:
        if wrapper.type != _WRAPPER:
            raise ConfigError(
                f"tta_model.type: {_WRAPPER} expected, which has ensembles, got {wrapper.type}."
            )
        found = [member_files(member, "--ensemble") for member in members]
        wrapper.members = [dict(config=config, checkpoint=path) for config, path in found]
    dataset = _test_set(cfg)
    if tta and "tta_pipeline" not in cfg:
        print_log(
            "tta_pipeline: not in the config; the views are those of the test pipeline, upright "
            "and flipped.",
            logger="current",
        )
    own = cfg.get("tta_pipeline") if tta else None
    dataset.pipeline = copy.deepcopy(own) if own else _views(dataset.pipeline, flipped=tta)
    cfg.model = ConfigDict(**wrapper, module=cfg.model)


def without_wrapper(cfg: Config) -> None:
    """Take what :func:`with_tta` or ``mim test --tta`` has put around model and pipeline away."""
    if "module" not in cfg.model:
        return
    cfg.model = cfg.model.module
    if "test_dataloader" in cfg and any(t.type == _AUG for t in _test_set(cfg).pipeline):
        val = cfg.get("val_dataloader")
        if not val:
            raise ConfigError(
                "test_dataloader.dataset.pipeline: the pipeline of a plain test expected, got one "
                f"with {_AUG}. Use the config of before the test with augmentation."
            )
        _test_set(cfg).pipeline = copy.deepcopy(_innermost(val.dataset).pipeline)


def member_files(member: str | Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return config and checkpoint of a trained run.

    Args:
        member: a run folder, which is taken with its best checkpoint, else with its last; a
            checkpoint in one; or a dict of ``config`` and ``checkpoint``.
        where: what named it, for errors.
    """
    if isinstance(member, Mapping):
        given = (member.get("config"), member.get("checkpoint"))
        if set(member) != {"config", "checkpoint"} or not all(isinstance(n, str) for n in given):
            raise ConfigError(
                f"{where}: paths of a config and a checkpoint expected, got "
                f"{', '.join(map(str, member)) or 'an empty dict'}. Write it as "
                "dict(config='x.py', checkpoint='x.pth')."
            )
        config, path = map(Path, given)  # type: ignore[arg-type]
    else:
        config, path = find_trained(member, where=where)
    for file, what in ((config, "config (.py)"), (path, "checkpoint (.pth)")):
        if not file.is_file():
            raise ConfigError(f"{where}: a {what} expected, found no {file}.")
    return str(config), str(path)


def _test_set(cfg: Config) -> Any:
    dataset = _innermost(cfg.test_dataloader.dataset)
    if "pipeline" not in dataset:
        raise ConfigError(
            "test_dataloader.dataset: a dataset with a pipeline expected, got "
            f"{dataset.get('type')} without. Views are made in a pipeline."
        )
    return dataset


def _innermost(dataset: Any) -> Any:
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset


def _views(pipeline: Sequence[Any], flipped: bool) -> list[Any]:
    """Return a test pipeline that gives its photo as one view, or as that and its mirror image."""
    *steps, pack = copy.deepcopy([t for t in pipeline if t["type"] != "LoadAnnotations"])
    if pack["type"] != "PackDetInputs":
        raise ConfigError(
            "test_dataloader.dataset.pipeline: PackDetInputs at its end expected, got "
            f"{pack['type']}. Write a tta_pipeline."
        )
    if "meta_keys" in pack:
        pack["meta_keys"] = tuple(dict.fromkeys((*pack["meta_keys"], "flip", "flip_direction")))
    flips = [dict(type="RandomFlip", prob=p) for p in ((0.0, 1.0) if flipped else (0.0,))]
    return [*steps, dict(type=_AUG, transforms=[flips, [pack]])]
