"""``fashion tune RUN``: which detections to keep, chosen on half of the validation photos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from terminaltables import AsciiTable

from fashion_mmdet.commands.report_options import named, require_place
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import refuse_own_input
from fashion_mmdet.core.operating_point import FILE_NAME

_METRICS = ("f1", "imat2019", "ap")


def main(argv: Sequence[str]) -> int:
    """Tune; a table goes to the terminal, the point to ``--out``."""
    arguments = parser()
    args = arguments.parse_args(argv)
    if args.work_dir is None and args.evidence is None:
        arguments.error("RUN or --evidence expected, got neither")

    from fashion_mmdet.core.evidence import read_evidence
    from fashion_mmdet.core.operating_point import write_operating_point
    from fashion_mmdet.reports.texts import printed
    from fashion_mmdet.tuning.measures import MEASURES
    from fashion_mmdet.tuning.source import read_source
    from fashion_mmdet.tuning.tune import tune

    home = Path(args.work_dir) if args.work_dir else Path(args.evidence).parent
    if args.work_dir and not home.is_dir():
        raise FashionError(f"{home}: the folder of a run expected, found none. Check the path.")
    out = Path(args.out) if args.out else home / FILE_NAME
    require_place([out], args.force)
    refuse_own_input(out, *(p for p in (args.evidence, args.report_on) if p))
    source = read_source(args.work_dir, args.evidence)
    other = None
    if args.report_on:
        other = (Path(args.report_on).name, read_evidence(args.report_on))
    tuned = tune(source, args.metric, args.seed, args.on_all, other)
    about = tuned.about(source)
    write_operating_point(out, tuned.point, about)

    weights = f" ({source.checkpoint})" if source.checkpoint else ""
    evidence = source.evidence
    print(printed(
        f"{source.run or source.path}{weights}: {len(evidence.found)} detections in "
        f"{int(evidence.predicted.sum())} photos of {evidence.annotations}."
    ))  # fmt: skip
    print(f"{MEASURES[args.metric].title}, with 95 % intervals over photos:")
    print(AsciiTable([[printed(cell) for cell in row] for row in tuned.table()]).table)
    print(printed(f"before: {tuned.reference.in_words()}"))
    print(printed(f"after: {tuned.point.in_words()}"))
    for remark in tuned.remarks:
        print(f"note: {printed(remark)}")
    print(printed(f"{out}"))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fashion tune",
        description="Choose score thresholds (for all classes and for some), suppression of "
        "overlaps, least area, largest count and mask threshold for a figure, on one half of the "
        "validation photos, and say with an interval what they bring on the other half. Reads "
        "evidence_val.npz of the work dir; no model is run. The file written is read by fashion "
        "test and fashion predict.",
        epilog="Example: fashion tune work_dirs/mask_rcnn_r50_ccp --metric f1 --report-on "
        "work_dirs/mask_rcnn_r50_ccp/evidence_test.npz",
    )
    parser.add_argument("work_dir", metavar="RUN", nargs="?", type=named, help="folder of a run")
    parser.add_argument("--evidence", metavar="FILE", type=named,
                        help="an evaluation's .npz, not the run's newest validation")  # fmt: skip
    parser.add_argument(
        "--metric",
        choices=_METRICS,
        default="f1",
        help="what to raise: F1 of all classes together at mask IoU 0.5 (f1), the competition's "
        "rule (imat2019), COCO's mask AP (ap); f1 by default",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the halves (0)")
    parser.add_argument("--on-all", action="store_true",
                        help="afterwards choose again on both halves, and write that")  # fmt: skip
    parser.add_argument("--report-on", metavar="FILE", type=named,
                        help="also measure the point on this evaluation's .npz, once")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=named,
                        help=f"write the point there ({FILE_NAME} of the run)")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite --out")
    return parser
