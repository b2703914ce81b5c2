"""A config from the disk, whole, or a message; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from fashion_mmdet.core.errors import ConfigError


def read_config(
    path: Path,
    needs: Sequence[str] = ("model", "test_dataloader"),
    remedy: str = "Give the config that the model was trained with: --config FILE.",
) -> Config:
    """Read a config.

    Args:
        path: the file.
        needs: keys that it must have.
        remedy: what to do where one is missing.

    Raises:
        ConfigError: for a file that is no config, or lacks one of ``needs``.
    """
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:  # a config is a program: it can die of anything
        raise ConfigError(
            f"{path}: a readable config expected, got {type(error).__name__}: {error}."
        ) from error
    missing = [key for key in needs if key not in cfg]
    if missing:
        raise ConfigError(
            f"{path}: a whole recipe expected, got one without {', '.join(missing)}. {remedy}"
        )
    return cfg
