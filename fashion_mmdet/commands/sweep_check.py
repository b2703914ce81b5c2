"""Holds a sweep file against the config that it searches, before anything runs."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config

from fashion_mmdet.commands.configs import flattened, load_config, read_options
from fashion_mmdet.commands.options import check_key, check_value, register
from fashion_mmdet.core.errors import ConfigError, did_you_mean
from fashion_mmdet.core.files import looked_up_from
from fashion_mmdet.sweeps import STORAGE
from fashion_mmdet.sweeps.parameters import Parameter
from fashion_mmdet.sweeps.sweep_file import Sweep

# Where things lie, on one of several machines that share a study.
_OF_MACHINES = ("FASHION_DATA", "FASHION_CACHE", "FASHION_WANDB", STORAGE)
# Set for each trial, whatever the file says.
_OURS = ("work_dir", "resume", "launcher", "wandb")


def checked_config(sweep: Sweep) -> Config:
    """Load the swept config and hold every parameter, value and the metric against it."""
    if not Path(sweep.program).is_file():
        raise ConfigError(
            f"{sweep.file}: program: a config file expected, found no {sweep.program}."
            f"{looked_up_from(sweep.program)}"
        )
    cfg = load_config(argparse.Namespace(config=sweep.program, cfg_options=None))
    register(cfg)
    source = f"{sweep.file}: parameters"
    for one in sweep.parameters:
        if one.key.split(".")[0] in _OURS:
            raise ConfigError(
                f"{source} {one.key}: a key of the recipe expected, got one that the sweep itself "
                f"sets for each trial ({', '.join(_OURS)}). Take it out."
            )
        held = check_key(cfg, one.key, source)
        for value in one.examples():
            for leaf, part in flattened(one.key, value):
                check_value(leaf, check_key(cfg, leaf, source) if leaf != one.key else held, part,
                            source)  # fmt: skip
            _require_plain_way(one.key, value, source)
        if one.distribution not in ("categorical", "constant") and type(held) is int:
            _require_whole(one, source)
    _check_metric(sweep, cfg)
    return cfg


def _require_plain_way(key: str, value: Any, source: str) -> None:
    """Refuse a value that a command line, which knows texts only, would make another of."""
    got = read_options([f"{key}={value}"])
    if json.dumps(got, sort_keys=True) != json.dumps(dict(flattened(key, value)), sort_keys=True):
        raise ConfigError(
            f"{source} {key}: a value that a command line can carry expected, got {value!r}, which "
            f"arrives as {next(iter(got.values()), None)!r}. Put it into a dict: give the key "
            "above it a dict as value."
        )


def _require_whole(one: Parameter, source: str) -> None:
    if any(isinstance(value, float) and not value.is_integer() for value in one.examples()) or (
        one.distribution not in ("int_uniform",) and "q" not in one.numbers
    ):
        raise ConfigError(
            f"{source} {one.key}: whole numbers expected (the config has one), got "
            f"{one.distribution}. Give min and max as whole numbers, or a distribution with q: 1; "
            "where others are meant, list them as values."
        )


def _check_metric(sweep: Sweep, cfg: Config) -> None:
    evaluator = cfg.get("val_evaluator")
    if not cfg.get("val_cfg") or not evaluator:
        raise ConfigError(
            f"{sweep.file}: a config with a validation expected, got {sweep.program} without one: "
            "a sweep is decided by it."
        )
    if not isinstance(evaluator, dict) or evaluator.get("type") != "FashionMetric":
        return  # what it will give is known when it has run
    prefix = evaluator.get("prefix") or "coco"
    kinds = evaluator.get("metric", ("bbox", "segm"))
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    ends = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
    valid = [f"{prefix}/{kind}_{end}" for kind in kinds for end in ends]
    others = tuple(f"{prefix}/{kind}_{word}" for kind in kinds for word in ("AP", "46_classes"))
    if sweep.metric not in valid and not sweep.metric.startswith((*others, f"{prefix}/notebook/")):
        raise ConfigError(
            f"{sweep.file}: metric.name: a figure of the validation expected, got "
            f"{sweep.metric!r}.{did_you_mean(sweep.metric, valid) or ' As: ' + ', '.join(valid)}"
        )


def fingerprint(cfg: Config) -> str:
    """Return what tells one config from another, wherever its data lie."""
    # Machines that share a study may keep their data in different places.
    own = {name: os.environ.pop(name) for name in _OF_MACHINES if name in os.environ}
    try:
        text = Config.fromfile(cfg.filename).pretty_text
    finally:
        os.environ.update(own)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
