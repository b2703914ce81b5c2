"""``fashion analyze WORK_DIR``: where a run's errors are, and what to mend first."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from terminaltables import AsciiTable

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import refuse_overwrite, require_writable


def main(argv: Sequence[str]) -> int:
    """Analyze; a summary goes to the terminal, the report to ``--out``."""
    parser = argparse.ArgumentParser(
        prog="fashion analyze",
        description="Say where a run's errors are (class, localisation, duplicates, background, "
        "missed; by class and size), what each kind costs in AP50, and which score threshold is "
        "best. Reads run.json and evidence_*.npz of the work dir; no model is run.",
        epilog="Example: fashion analyze work_dirs/mask_rcnn_r50_ccp --out errors",
    )
    parser.add_argument("work_dir", metavar="WORK_DIR", help="folder of a run")
    parser.add_argument("--out", metavar="DIR", required=True,
                        help="write report.html, report.md, errors.csv there")  # fmt: skip
    parser.add_argument("--split", choices=["test", "val"],
                        help="which evaluation (test where there is one)")  # fmt: skip
    parser.add_argument("--images", metavar="FOLDER", help="the photos, where they have moved")
    parser.add_argument(
        "--score",
        type=_score,
        default=0.5,
        help="least score of a detection in the confusion matrix (0.5)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a report in --out")
    args = parser.parse_args(argv)

    from fashion_mmdet.reports import analyze as reports
    from fashion_mmdet.reports.analyze_words import lead, mend_first
    from fashion_mmdet.reports.runs import read_runs

    out = Path(args.out)
    for name in reports.FILES:
        refuse_overwrite(out / name, args.force)
        require_writable(out / name)
    if args.images and not Path(args.images).is_dir():
        raise FashionError(f"--images: a folder of photos expected, found none at {args.images}.")
    (run,) = read_runs([args.work_dir], args.split)
    found = reports.analyze(run, args.score)
    paths, remarks = reports.write_report(out, found, _command(args), args.images)

    print(lead(found))
    head, rows = reports.cause_table(found)
    print(AsciiTable([head, *rows]).table)
    print("What to mend first:")
    for number, text in enumerate(mend_first(found), 1):
        print(f"{number}. {text}")
    for remark in remarks:
        print(f"note: {remark}")
    for path in paths:
        print(path)
    return 0


def _command(args: argparse.Namespace) -> str:
    """Return the command that makes the report again, as a shell takes it."""
    words = ["fashion", "analyze", args.work_dir, "--out", args.out]
    words += ["--split", args.split] if args.split else []
    words += ["--images", args.images] if args.images else []
    words += ["--score", f"{args.score:g}"] if args.score != 0.5 else []
    return shlex.join(words)


def _score(text: str) -> float:
    score = float(text)
    if not 0 <= score <= 1:
        raise argparse.ArgumentTypeError(f"0 to 1 expected, got {text}")
    return score
