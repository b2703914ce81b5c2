"""``fashion analyze WORK_DIR``: where a run's errors are, and what to mend first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from terminaltables import AsciiTable

from datasets_tools.report import sweep
from fashion_mmdet.commands.argument_types import share
from fashion_mmdet.commands.report_options import (
    add_report_options,
    named,
    require_images,
    require_place,
)

_SCORE = 0.5


def main(argv: Sequence[str]) -> int:
    """Analyze; a summary goes to the terminal, the report to ``--out``."""
    parser = argparse.ArgumentParser(
        prog="fashion analyze",
        description="Say where a run's errors are (class, localisation, duplicates, background, "
        "missed; by class and size), what each kind costs in AP50, and which score threshold is "
        "best. Reads run.json and evidence_*.npz of the work dir; no model is run.",
        epilog="Example: fashion analyze work_dirs/mask_rcnn_r50_ccp --out errors",
    )
    parser.add_argument("work_dir", metavar="WORK_DIR", type=named, help="folder of a run")
    parser.add_argument("--out", metavar="DIR", required=True, type=named,
                        help="write report.html, report.md, errors.csv there")  # fmt: skip
    add_report_options(parser)
    parser.add_argument(
        "--score",
        type=share,
        default=_SCORE,
        help="least score of a detection in the confusion matrix (0.5)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a report in --out")
    args = parser.parse_args(argv)

    from fashion_mmdet.reports import analyze as reports
    from fashion_mmdet.reports.analyze_words import lead, mend_first
    from fashion_mmdet.reports.runs import read_runs
    from fashion_mmdet.reports.texts import printed

    out = Path(args.out)
    targets = [out / name for name in reports.FILES]
    require_place(targets, args.force)
    require_images(args.images)
    (run,) = read_runs([args.work_dir], args.split)
    sweep(*targets)
    found = reports.analyze(run, args.score)
    paths, remarks = reports.write_report(out, found, _command(args), args.images)

    print(printed(lead(found)))
    head, rows = reports.cause_table(found)
    print(AsciiTable([head, *rows]).table)
    print("What to mend first:")
    for number, text in enumerate(mend_first(found), 1):
        print(f"{number}. {printed(text)}")
    for remark in remarks:
        print(f"note: {printed(remark)}")
    for path in paths:
        print(printed(str(path)))
    return 0


def _command(args: argparse.Namespace) -> str:
    """Return the command that makes the report again, as a shell takes it."""
    from fashion_mmdet.reports.texts import shell_command

    score = None if args.score == _SCORE else repr(args.score)
    options = {"--out": args.out, "--split": args.split, "--images": args.images, "--score": score}
    return shell_command("analyze", [args.work_dir], options)
