"""``fashion data check-submission``: the checker, its findings printed."""

from __future__ import annotations

import argparse

from datasets_tools.report import say
from fashion_mmdet.core.errors import FashionError

from .checking import check_submission
from .findings import SHOWN_PER_KIND
from .rules import add_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data check-submission``."""
    parser.add_argument("submission", metavar="CSV", help="the submission")
    parser.add_argument(
        "--sample",
        metavar="CSV",
        help="sample_submission.csv: the images that it must have, no fewer and no others",
    )
    add_size(parser)
    parser.add_argument(
        "--show",
        type=int,
        default=SHOWN_PER_KIND,
        metavar="N",
        help=f"findings shown of each kind; 0: all (default: {SHOWN_PER_KIND})",
    )


def run(args: argparse.Namespace) -> int:
    """Check as ``args`` say and print what was found; return 1 if there are errors."""
    if args.show < 0:
        raise FashionError(f"--show: at least 0 expected, got {args.show}.")
    report = check_submission(
        args.submission, sample=args.sample, size_px=args.size, shown=args.show, progress=True
    )
    for line in report.findings.lines():
        say(line)
    say(f"{args.submission}: {report.summary()}")
    return 1 if report.findings.n("error") else 0
