"""Reading a config for ``fashion train`` and ``fashion test``: from disk, checked, named."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction

from fashion_mmdet.commands.options import merge_options
from fashion_mmdet.core.errors import ConfigError


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``train`` and ``test`` share, under mmdet's names."""
    parser.add_argument("--work-dir", help="where logs and checkpoints go (work_dirs/<config>)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config keys; an unknown key is refused",
    )
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
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    try:
        cfg = Config.fromfile(str(path))
    except (SyntaxError, KeyError, FileNotFoundError, ImportError) as error:
        raise ConfigError(
            f"{path}: a readable config expected, got {type(error).__name__}: {error}."
        ) from error
    merge_options(cfg, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / path.stem)
    return cfg
