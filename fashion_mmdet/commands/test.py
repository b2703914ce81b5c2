"""``fashion test CONFIG CHECKPOINT``: what ``mim test mmdet CONFIG --checkpoint`` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.commands.configs import add_run_arguments, load_config
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.files import (
    refuse_overwrite,
    refuse_own_input,
    require_writable,
    write_json,
)
from fashion_mmdet.core.run_record import FILE_NAME


def main(argv: Sequence[str]) -> int:
    """Evaluate; the figures go to the log, and as JSON to ``--out``."""
    parser = argparse.ArgumentParser(
        prog="fashion test",
        description="Evaluate a checkpoint on the config's test set.",
        epilog="Example: fashion test configs/ccp/mask_rcnn_r50_ccp.py "
        "work_dirs/mask_rcnn_r50_ccp/epoch_12.pth --out result.json",
    )
    parser.add_argument("config", help="a file of configs/")
    parser.add_argument("checkpoint", help="a .pth file")
    add_run_arguments(parser)
    parser.add_argument("--out", help="write the figures to this JSON file")
    parser.add_argument("--force", action="store_true", help="overwrite --out")
    args = parser.parse_args(argv)
    if not Path(args.checkpoint).is_file():
        raise ConfigError(f"checkpoint: a .pth file expected, found no {args.checkpoint}.")
    if args.out:
        refuse_overwrite(args.out, args.force)
        refuse_own_input(args.out, args.config, args.checkpoint)
        require_writable(args.out)

    cfg = load_config(args)
    home = Path(args.checkpoint).parent
    if args.work_dir is None and (home / FILE_NAME).is_file():
        cfg.work_dir = str(home)  # figures and evidence belong to the run that trained it
    cfg.load_from, cfg.resume = args.checkpoint, False
    from fashion_mmdet.commands.train import build_runner

    runner = build_runner(cfg)
    figures = runner.test()
    if args.out and runner.rank == 0:
        write_json(args.out, figures, indent=1)
        print(f"{len(figures)} figures written to {args.out}.")
    if runner.rank == 0:
        print(f"record and evidence are in {runner.work_dir}; next: fashion analyze or compare.")
    return 0
