"""``fashion compare WORK_DIR...``: which run is better, and whether that can be said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from terminaltables import AsciiTable

from datasets_tools.report import sweep
from fashion_mmdet.commands.report_options import (
    add_report_options,
    named,
    require_images,
    require_place,
)
from fashion_mmdet.core.bootstrap import N_DRAWS
from fashion_mmdet.core.files import shown


def main(argv: Sequence[str]) -> int:
    """Compare; the table goes to the terminal, the report to ``--out``."""
    parser = argparse.ArgumentParser(
        prog="fashion compare",
        description="Compare runs that were scored on one set: AP with 95 % intervals over "
        "photos, and for each pair better, worse, or not distinguishable. Reads run.json and "
        "evidence_*.npz of the work dirs; no model is run.",
        epilog="Example: fashion compare work_dirs/mask_rcnn_r50_ccp_cpu "
        "work_dirs/mask_rcnn_r18_ccp_cpu --out comparison",
    )
    # argparse of Python 3.11 takes folders on both sides of options, or behind a --, but not both.
    words = list(argv)
    at = words.index("--") if "--" in words else len(words)
    words, behind = words[:at], words[at + 1 :]
    parser.add_argument("work_dirs", nargs="*" if behind else "+", metavar="WORK_DIR", type=named,
                        help="folders of runs; the first is the reference")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=named,
                        help="write report.html, report.md, runs.csv, pairs.csv there")  # fmt: skip
    add_report_options(parser)
    parser.add_argument("--train-data-may-differ", action="store_true",
                        help="the training data is what you compare")  # fmt: skip
    parser.add_argument("--draws", type=_draws, default=N_DRAWS,
                        help=f"draws of photos for the intervals ({N_DRAWS})")  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=0, help="of the draws (0)")
    parser.add_argument("--update", metavar="FILE.md", type=named,
                        help="put the table between the markers of this file")  # fmt: skip
    parser.add_argument("--check", action="store_true",
                        help="write nothing, fail where the table of --update is stale")
    parser.add_argument("--keep", metavar="DIR", type=named,
                        help="write each run's record, small enough for a repository, to DIR/RUN")
    parser.add_argument("--force", action="store_true", help="overwrite in --out and --keep")
    args = parser.parse_intermixed_args(words)
    args.work_dirs = [*args.work_dirs, *behind]
    if not all(args.work_dirs):
        parser.error("argument WORK_DIR: a name expected, got none")
    if args.check and not args.update:
        parser.error("--check needs --update FILE.md, the file whose table is checked")
    if args.check and (args.out or args.keep):
        parser.error("--check writes nothing: leave out --out and --keep")
    out = Path(args.out) if args.out else None
    require_images(args.images)

    from fashion_mmdet.reports import compare as reports
    from fashion_mmdet.reports import keep, marked
    from fashion_mmdet.reports.runs import read_runs

    targets = [out / name for name in reports.FILES] if out is not None else []
    require_place(targets, args.force)
    if args.update:
        (marked.require_markers if args.check else marked.require_updatable)(args.update)
    runs = read_runs(args.work_dirs, args.split)
    untested = [run.name for run in runs if not run.record.tests]
    if args.split is None and runs[0].split == "val" and len(untested) < len(runs):
        _say(f"note: validations are compared, because {untested[0]} was not tested yet "
             "(`fashion test`).")  # fmt: skip
    if args.keep:
        keep.require_new(args.keep, runs, args.force)
    if not args.check:
        sweep(*targets)
        sweep(*(keep.targets(args.keep, runs) if args.keep else ()))
        sweep(*([args.update] if args.update else ()))
    found = reports.compare(
        runs, other_train_data=args.train_data_may_differ, n_draws=args.draws, seed=args.seed
    )
    if not args.check:
        _print(found)
    if out is not None and not args.check:
        command = _command(args, {"--out": args.out, "--images": args.images})
        for path in reports.write_report(out, found, command, args.images):
            _say(path)
    if args.keep and not args.check:
        for path in keep.keep(args.keep, runs):
            _say(path)
    if args.update:
        # What the table is made from, and not where else something is written.
        text = shown(reports.results(found, _command(args, {})))
        if not args.check:
            changed = marked.update(args.update, text)
            _say(f"{args.update}: {'the table was renewed' if changed else 'nothing to renew'}.")
        elif marked.is_stale(args.update, text):
            renew = _command(args, {"--update": args.update})
            _say(f"{args.update}: the table of these runs expected, found another. Run `{renew}`.",
                 sys.stderr)  # fmt: skip
            return 1
        else:
            _say(f"{args.update}: the table is up to date.")
    return 0


def _command(args: argparse.Namespace, options: Mapping[str, str | None]) -> str:
    """Return the command that measures the same, with ``options`` for what it is to write."""
    from fashion_mmdet.reports.texts import shell_command

    measured = {
        "--split": args.split,
        "--train-data-may-differ": args.train_data_may_differ,
        "--draws": None if args.draws == N_DRAWS else str(args.draws),
        "--seed": None if args.seed == 0 else str(args.seed),
    }
    return shell_command("compare", args.work_dirs, {**measured, **options})


def _draws(text: str) -> int:
    number = _whole(text)
    if number is None or not 100 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"100 to 100000 expected, got {shown(text)!r}")
    return number


def _seed(text: str) -> int:
    number = _whole(text)
    if number is None or number < 0:
        raise argparse.ArgumentTypeError(f"a whole number from 0 on expected, got {shown(text)!r}")
    return number


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _say(text: object, stream: TextIO | None = None) -> None:
    """Print a line; what would steer the terminal in a folder's name does not reach it."""
    from fashion_mmdet.reports.texts import printed

    print(printed(str(text)), file=stream)


def _print(found: object) -> None:
    from fashion_mmdet.reports import compare as reports
    from fashion_mmdet.reports import compare_table as tables
    from fashion_mmdet.reports.texts import printed

    assert isinstance(found, reports.Comparison)
    head, rows = tables.main_table(found.recipes, found.kinds, found.settings)
    # What costs how much is in the report; a terminal is narrow.
    keep = [0, 1, *range(7, len(head))]
    table = [[printed(row[n]) for n in keep] for row in [head, *rows]]
    print(AsciiTable(table).table)
    pairs = [pair for pair in found.pairs + found.of_seeds if pair.kind == found.kind]
    if pairs:
        head, rows = tables.pair_table(pairs)
        print(AsciiTable([[printed(cell) for cell in row] for row in [head, *rows]]).table)
    for note in (*found.cautions, *found.notes):
        _say(f"note: {note}")
    _say(f"{reports.decision(found)} Scored on {reports.set_said(found)}.")
