"""Reading a config for ``fashion train`` and ``fashion test``: from disk, checked, named."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from fashion_mmdet.commands.options import merge_options
from fashion_mmdet.core.errors import ConfigError


class _Options(DictAction):
    """mmengine's ``KEY=VALUE`` reader; what it cannot read is wrong usage, not a traceback."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        try:
            super().__call__(parser, *args, **kwargs)
        except (ValueError, AssertionError) as error:
            parser.error(f"--cfg-options: KEY=VALUE expected, got {args[1]} ({error})")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_Options,
        metavar="KEY=VALUE",
        help="override config keys; an unknown key is refused",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``train`` and ``test`` share, under mmdet's names."""
    parser.add_argument("--work-dir", help="where logs and checkpoints go (work_dirs/<config>)")
    add_config_options(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how the processes were started; on CPUs torchrun + pytorch uses gloo",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply ``--cfg-options``, ``--launcher`` and ``--work-dir``.

    Raises:
        ConfigError: where the file is missing, no config, or an override means nothing.
    """
    path = Path(args.config)
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"{path}: a config file (.py) expected, found none. The recipes are in configs/."
        )
    os.environ.setdefault("LOCAL_RANK", str(getattr(args, "local_rank", 0)))
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:  # a config is a program: it can die of anything
        raise ConfigError(
            f"{path}: a readable config expected, got {type(error).__name__}: {error}."
        ) from error
    missing = [key for key in ("model", "train_dataloader", "test_dataloader") if key not in cfg]
    if missing:
        raise ConfigError(
            f"{path}: a whole recipe expected, got one without {', '.join(missing)}. The files "
            "in configs/_base_ are bricks; take one that is built of them."
        )
    merge_options(cfg, args.cfg_options)
    cfg.launcher = getattr(args, "launcher", "none")
    if getattr(args, "work_dir", None) is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / path.stem)
    return cfg
