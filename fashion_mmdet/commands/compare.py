"""``fashion compare WORK_DIR...``: which run is better, and whether that can be said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from terminaltables import AsciiTable

from fashion_mmdet.core.bootstrap import N_DRAWS
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import require_writable


def main(argv: Sequence[str]) -> int:
    """Compare; the table goes to the terminal, the report to ``--out``."""
    parser = argparse.ArgumentParser(
        prog="fashion compare",
        description="Compare runs that were scored on one set: AP with 95 %% intervals over "
        "photos, and for each pair better, worse, or not distinguishable. Reads run.json and "
        "evidence_*.npz of the work dirs; no model is run.",
        epilog="Example: fashion compare work_dirs/mask_rcnn_r50_ccp_cpu "
        "work_dirs/mask_rcnn_r18_ccp_cpu --out comparison",
    )
    parser.add_argument("work_dirs", nargs="+", metavar="WORK_DIR",
                        help="folders of runs; the first is the reference")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="write report.html, report.md, runs.csv, "
                        "pairs.csv there")  # fmt: skip
    parser.add_argument("--split", choices=["test", "val"],
                        help="which evaluation (test where all have one)")  # fmt: skip
    parser.add_argument("--images", metavar="FOLDER", help="the photos, where they have moved")
    parser.add_argument("--train-data-may-differ", action="store_true",
                        help="the training data is what you compare")  # fmt: skip
    parser.add_argument("--draws", type=_draws, default=N_DRAWS,
                        help=f"draws of photos for the intervals ({N_DRAWS})")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--update", metavar="FILE.md",
                        help="put the table between the markers of this file")  # fmt: skip
    parser.add_argument("--check", action="store_true",
                        help="write nothing, fail where the table of --update is stale")
    parser.add_argument("--keep", metavar="DIR",
                        help="write each run's record, small enough for a repository, to DIR/RUN")
    parser.add_argument("--force", action="store_true", help="overwrite in --out and --keep")
    args = parser.parse_args(argv)
    if args.check and not args.update:
        parser.error("--check needs --update FILE.md, the file whose table is checked")
    out = Path(args.out) if args.out else None
    if out is not None:
        _require_place(out, args.force)
    if args.images and not Path(args.images).is_dir():
        raise FashionError(f"--images: a folder of photos expected, found none at {args.images}.")

    from fashion_mmdet.reports import compare as reports
    from fashion_mmdet.reports import keep, marked
    from fashion_mmdet.reports.runs import read_runs

    runs = read_runs(args.work_dirs, args.split)
    if args.keep:
        keep.require_new(args.keep, runs, args.force)
    found = reports.compare(
        runs, other_train_data=args.train_data_may_differ, n_draws=args.draws, seed=args.seed
    )
    command = reports.command_of(args.work_dirs)
    if not args.check:
        _print(found)
    if out is not None and not args.check:
        for path in reports.write_report(out, found, command, args.images):
            print(path)
    if args.keep and not args.check:
        for path in keep.keep(args.keep, runs):
            print(path)
    if args.update:
        text = reports.results(found, command)
        if not args.check:
            changed = marked.update(args.update, text)
            print(f"{args.update}: {'the table was renewed' if changed else 'nothing to renew'}.")
        elif marked.is_stale(args.update, text):
            print(f"{args.update}: the table of these runs expected, found another. Run "
                  f"`{command} --update {args.update}`.", file=sys.stderr)  # fmt: skip
            return 1
    return 0


def _draws(text: str) -> int:
    number = int(text)
    if not 100 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"100 to 100000 expected, got {number}")
    return number


def _require_place(out: Path, force: bool) -> None:
    from fashion_mmdet.reports.compare import FILES

    if out.exists() and not out.is_dir():
        raise FashionError(f"{out}: a folder expected, found a file. Choose another name.")
    there = [name for name in FILES if (out / name).exists()]
    if there and not force:
        raise FashionError(f"{out}: no report in it expected, found {there[0]}. Use --force.")
    require_writable(out / FILES[0])


def _print(found: object) -> None:
    from fashion_mmdet.reports import compare as reports
    from fashion_mmdet.reports import compare_table as tables

    assert isinstance(found, reports.Comparison)
    head, rows = tables.main_table(found.recipes, found.kinds, found.settings)
    # What costs how much is in the report; a terminal is narrow.
    keep = [0, 1, *range(7, len(head))]
    print(AsciiTable([[row[n] for n in keep] for row in [head, *rows]]).table)
    pairs = [pair for pair in found.pairs + found.of_seeds if pair.kind == found.kind]
    if pairs:
        head, rows = tables.pair_table(pairs)
        print(AsciiTable([head, *rows]).table)
    for note in found.notes:
        print(f"note: {note}")
    print(reports.decision(found))
