"""``fashion test CONFIG CHECKPOINT``: what ``mim test mmdet CONFIG --checkpoint`` does."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_mmdet.commands.configs import add_run_arguments, load_config
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.files import (
    refuse_overwrite,
    refuse_own_input,
    require_writable,
    write_json,
)
from fashion_mmdet.core.operating_point import read_operating_point
from fashion_mmdet.core.run_record import FILE_NAME, read_run, write_run


def main(argv: Sequence[str]) -> int:
    """Evaluate; the figures go to the log, and as JSON to ``--out``."""
    args = parser().parse_args(argv)
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
    _augment(cfg, args)
    from fashion_mmdet.commands.train import build_runner

    runner = build_runner(cfg)
    figures = runner.test()
    if args.out and runner.rank == 0:
        write_json(args.out, figures, indent=1)
        print(f"{len(figures)} figures written to {args.out}.")
    if runner.rank == 0:
        following = "fashion analyze or compare"
        if args.split == "val" and args.point is None:
            evidence = Path(runner.work_dir) / "evidence_val.npz"
            run = Path(args.checkpoint).parent
            following = shlex.join(["fashion", "tune", str(run), "--evidence", str(evidence)])
        print(f"record and evidence are in {runner.work_dir}; next: {following}.")
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fashion test",
        description="Evaluate a checkpoint on the config's test set.",
        epilog="Example: fashion test configs/ccp/mask_rcnn_r50_ccp.py "
        "work_dirs/mask_rcnn_r50_ccp/epoch_12.pth --out result.json",
    )
    parser.add_argument("config", help="a file of configs/")
    parser.add_argument("checkpoint", help="a .pth file")
    add_run_arguments(parser)
    parser.add_argument(
        "--tta",
        action="store_true",
        help="average over the views of the config's tta_pipeline: sizes, upright and flipped",
    )
    parser.add_argument(
        "--ensemble",
        nargs="+",
        default=[],
        metavar="RUN",
        help="further runs that vote with CHECKPOINT: their folders, or checkpoints in them",
    )
    parser.add_argument(
        "--split",
        choices=["test", "val"],
        default="test",
        help="which set is scored; fashion tune wants val's evidence (test)",
    )
    parser.add_argument(
        "--keep-grids",
        action="store_true",
        help="keep the masks' probabilities in the evidence, to tune their threshold",
    )
    parser.add_argument(
        "--point", metavar="FILE", help="score what an operating point of fashion tune keeps"
    )
    parser.add_argument("--out", help="write the figures to this JSON file")
    parser.add_argument("--force", action="store_true", help="overwrite --out")
    return parser


def _augment(cfg: Any, args: argparse.Namespace) -> None:
    """Follow the options of what is tested and how; some of them in a folder of their own.

    A test leaves its evidence and its config in the work dir: those of the plain model and the test
    set stay. The record there begins with how the run was trained, so that the two can be compared.
    """
    if not args.tta and not args.ensemble:
        for key in args.cfg_options or ():
            if key.startswith("tta_"):
                raise ConfigError(
                    f"--cfg-options {key}: --tta or --ensemble with it expected, got neither. "
                    "Without them nothing reads it."
                )
    if args.split == "val":
        _score_val(cfg)
    if args.keep_grids:
        for metric in _metrics(cfg, "--keep-grids"):
            metric.keep_grids = True
    if args.point is not None:
        _take_point(cfg, args.point)
    from fashion_mmdet import register

    register.with_tta(cfg, args.tta, args.ensemble)
    suffix = "".join(
        text
        for text, is_given in (
            ("_val", args.split == "val"), ("_ensemble", args.ensemble), ("_tta", args.tta),
            ("_point", args.point is not None),
        )
        if is_given
    )  # fmt: skip
    if args.work_dir is not None or not suffix:
        return
    cfg.work_dir = str(cfg.work_dir) + suffix
    home, folder = Path(args.checkpoint).parent, Path(cfg.work_dir)
    if (home / FILE_NAME).is_file() and not (folder / FILE_NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_run(folder, dataclasses.replace(read_run(home), tests=(), evaluation=()))


def _score_val(cfg: Any) -> None:
    missing = [key for key in ("val_dataloader", "val_evaluator") if not cfg.get(key)]
    if missing:
        raise ConfigError(f"--split val: a config with {missing[0]} expected, got one without.")
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    cfg.test_evaluator = copy.deepcopy(cfg.val_evaluator)


def _take_point(cfg: Any, point: str) -> None:
    """Let the metric keep what the point keeps, and cut masks where it says."""
    from fashion_mmdet.inference.models import metainfo_of

    classes = metainfo_of(cfg)["classes"]
    chosen, _ = read_operating_point(point, classes)
    for metric in _metrics(cfg, "--point"):
        metric.point = point
    rcnn = cfg.model.get("test_cfg", {}).get("rcnn")
    if rcnn is not None and chosen.mask_threshold != rcnn.get("mask_thr_binary", 0.5):
        rcnn.mask_thr_binary = chosen.mask_threshold


def _metrics(cfg: Any, option: str) -> list[Any]:
    """Return the configs of FashionMetric among the test's evaluators."""
    given = cfg.test_evaluator
    found = [
        one for one in (given if isinstance(given, (list, tuple)) else [given])
        if one.get("type") == "FashionMetric"
    ]  # fmt: skip
    if not found:
        raise ConfigError(f"{option}: a test_evaluator of type FashionMetric expected, got none.")
    return found
