"""``fashion show CONFIG CHECKPOINT``: ground truth beside predictions, as pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.commands.configs import add_config_options, load_config
from fashion_mmdet.core.errors import ConfigError, FashionError


def main(argv: Sequence[str]) -> int:
    """Draw ``--count`` test images, evenly spread over the set."""
    parser = argparse.ArgumentParser(
        prog="fashion show",
        description="Draw ground truth (left) beside predictions (right) for test images.",
        epilog="Example: fashion show configs/demo/mask_rcnn_r18_demo.py "
        "work_dirs/demo/last.pth --out pictures",
    )
    parser.add_argument("config", help="a file of configs/")
    parser.add_argument("checkpoint", help="a .pth file")
    add_config_options(parser)
    parser.add_argument("--out", required=True, help="folder for the PNG files")
    parser.add_argument("--count", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--score", type=float, default=0.5, help="lowest score drawn (0.5)")
    parser.add_argument("--force", action="store_true", help="write into a folder that exists")
    args = parser.parse_args(argv)
    if not Path(args.checkpoint).is_file():
        raise ConfigError(f"checkpoint: a .pth file expected, found no {args.checkpoint}.")
    out = Path(args.out)
    if out.exists() and any(out.iterdir()) and not args.force:
        raise FashionError(f"{out}: an empty folder expected, it holds files. Use --force.")

    cfg = load_config(args)
    from fashion_mmdet.commands.draw import draw_test_images

    names = draw_test_images(cfg, args.checkpoint, out, count=args.count, score=args.score)
    print(f"{len(names)} pictures in {out}.")
    return 0
