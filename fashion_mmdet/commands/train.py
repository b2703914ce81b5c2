"""``fashion train CONFIG``: what ``mim train mmdet CONFIG`` does, mistakes caught early."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_mmdet.commands.configs import add_run_arguments, load_config
from fashion_mmdet.core.errors import ConfigError


def main(argv: Sequence[str]) -> int:
    """Train, or with ``--dry-run`` build all, run one batch and say what would be trained."""
    parser = argparse.ArgumentParser(
        prog="fashion train",
        description="Train a config.",
        epilog="Example: fashion train configs/ccp/mask_rcnn_r50_ccp.py --resume "
        "--cfg-options train_dataloader.batch_size=8",
    )
    parser.add_argument("config", help="a file of configs/")
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from CHECKPOINT, or from the newest readable one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (bf16 on a CPU)")
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, run one batch, write nothing"
    )
    args = parser.parse_args(argv)

    cfg = load_config(args)
    if args.amp:
        cfg.optim_wrapper.type = "AutocastOptimWrapper"
    if args.resume == "auto":
        cfg.resume, cfg.load_from = True, None
    elif args.resume is not None:
        if not Path(args.resume).is_file():
            raise ConfigError(f"--resume: a checkpoint file expected, found no {args.resume}.")
        cfg.resume, cfg.load_from = True, args.resume

    if args.dry_run:
        from fashion_mmdet.commands.dry_run import dry_run

        return dry_run(cfg)
    runner = build_runner(cfg)
    runner.train()
    if runner.rank == 0:
        print(f"trained {runner.epoch} epochs; logs and checkpoints are in {runner.work_dir}.")
    return 0


def build_runner(cfg: Any) -> Any:
    """Build the config's runner (``FashionRunner`` unless it names another)."""
    from mmdet.utils import setup_cache_size_limit_of_dynamo
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    setup_cache_size_limit_of_dynamo()
    return RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
