"""``fashion demo``: from drawn pictures in Kaggle's format to a trained, evaluated model.

Every step is a command that a user would type, is printed before it runs, and can be run again
by hand.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import read_json, write_text

CONFIG = Path("configs/demo/mask_rcnn_r18_demo.py")
#: glibc hands every large block back to the system and asks for it again a moment later, which
#: costs a CPU step about a tenth; other allocators ignore these.
_KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}


def main(argv: Sequence[str]) -> int:
    """Run all steps; leaves ``report.md`` and pictures in the work dir."""
    parser = argparse.ArgumentParser(
        prog="fashion demo",
        description="Make data, convert, train on this machine, evaluate, draw. Minutes on a CPU.",
        epilog="Example: fashion demo --seed 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="of drawing, split and training")
    parser.add_argument("--images", type=int, default=400, help="pictures drawn (default 400)")
    parser.add_argument("--epochs", type=int, help="instead of the config's number")
    parser.add_argument(
        "--work-dir", default="work_dirs/demo", help="results (default work_dirs/demo)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an earlier demo")
    args = parser.parse_args(argv)
    if not CONFIG.is_file():
        raise FashionError(
            f"fashion demo: the repository's root as working directory expected (there is no "
            f"{CONFIG} here). cd to your clone first."
        )
    work_dir = Path(args.work_dir)
    data = _data_root()
    for made in (work_dir / "report.md", data / "raw"):
        if made.exists() and not args.force:
            raise FashionError(f"{made}: no earlier demo expected, found one. Use --force.")
    start = time.perf_counter()
    took: list[tuple[str, float]] = []
    checkpoint = work_dir / "last.pth"
    for name, words in _steps(args, work_dir, checkpoint):
        took.append((name, _step(words)))
        if name == "train":
            _link_last(work_dir, checkpoint)
    report = _report(read_json(work_dir / "test.json"), took, time.perf_counter() - start, args)
    write_text(work_dir / "report.md", report)
    print("\n" + report)
    print(f"The table is {work_dir / 'report.md'}, the pictures are in {work_dir / 'pictures'}.")
    return 0


def _data_root() -> Path:
    return Path(os.environ.get("FASHION_DATA", "data")) / "demo"


def _steps(
    args: argparse.Namespace, work_dir: Path, checkpoint: Path
) -> list[tuple[str, list[str]]]:
    raw, annotations = _data_root() / "raw", _data_root() / "annotations"
    train = ["train", str(CONFIG), "--work-dir", str(work_dir), "--cfg-options",
             f"randomness.seed={args.seed}"]
    if args.epochs:
        train += [f"train_cfg.max_epochs={args.epochs}", f"param_scheduler.1.end={args.epochs}"]
    seed = ["--seed", str(args.seed)]
    convert = ["data", "convert", "imaterialist2019", str(raw / "train.csv"), "--descriptions",
               str(raw / "label_descriptions.json"), "--images", str(raw / "train"), "--out",
               str(annotations / "shoe.json"), "--force"]
    return [
        ("draw", ["data", "make-demo", "--out", str(raw), "--images", str(args.images), *seed,
                  "--force"]),
        ("convert", convert),
        ("shoe types", ["data", "shoe-types", str(annotations / "shoe.json"),
                        str(raw / "shoe_types.csv"), "--out", str(annotations / "all.json"),
                        "--force"]),
        ("split", ["data", "split", str(annotations / "all.json"), "--fractions", "0.8", "0.05",
                   "0.15", *seed, "--out", str(annotations), "--force"]),
        ("train", train),
        ("test", ["test", str(CONFIG), str(checkpoint), "--work-dir", str(work_dir / "test"),
                  "--out", str(work_dir / "test.json"), "--force"]),
        ("pictures", ["show", str(CONFIG), str(checkpoint), "--out",
                      str(work_dir / "pictures"), "--count", "8", "--force"]),
    ]


def _step(words: list[str]) -> float:
    """Run ``fashion WORDS`` in a process of its own; return its seconds."""
    print(f"\n$ fashion {shlex.join(words)}", flush=True)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fashion_mmdet", *words], check=False, env={**_KEEP, **os.environ}
    )
    if done.returncode:
        raise FashionError(
            f"fashion {words[0]}: exit code 0 expected, got {done.returncode}. The lines above "
            "say why; the command can be run again by itself."
        )
    return time.perf_counter() - start


def _link_last(work_dir: Path, checkpoint: Path) -> None:
    """Point ``last.pth`` at the newest checkpoint; the last one, not the best on the val set."""
    last = Path((work_dir / "last_checkpoint").read_text(encoding="utf-8").strip())
    checkpoint.unlink(missing_ok=True)
    checkpoint.symlink_to(last.name)


def _report(
    figures: dict[str, float],
    took: list[tuple[str, float]],
    seconds: float,
    args: argparse.Namespace,
) -> str:
    lines = [
        f"# Demo, seed {args.seed}: {args.images} drawn pictures, held-out test set",
        "",
        "| | AP | AP50 | AP75 |",
        "|---|---|---|---|",
    ]
    for kind, title in (("bbox", "box"), ("segm", "mask")):
        cells = [figures[f"coco/{kind}_mAP{end}"] for end in ("", "_50", "_75")]
        lines.append(f"| {title} | " + " | ".join(f"{100 * c:.1f}" for c in cells) + " |")
    lines += ["", f"{seconds / 60:.1f} minutes on {os.cpu_count()} cores: "]
    lines[-1] += ", ".join(f"{name} {s:.0f} s" for name, s in took) + "."
    return "\n".join(lines) + "\n"
