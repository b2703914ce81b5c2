"""``fashion predict RUN INPUT...``: what a model finds on photos, as pictures and tables."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets_tools.report import counted, say
from fashion_mmdet.commands.argument_types import positive, share
from fashion_mmdet.core.errors import ConfigError, FashionError
from fashion_mmdet.core.files import refuse_overwrite, sha256_of
from fashion_mmdet.core.operating_point import OperatingPoint, checked_point
from fashion_mmdet.inference.inputs import OUTPUT_FOLDERS, Sources, find_sources
from fashion_mmdet.inference.ledger import FILE_NAME, Entry, Ledger, names_in, point_in
from fashion_mmdet.inference.names import named_apart

_MOST_CLASSES = 8


def main(argv: Sequence[str]) -> int:
    """Predict, write what the flags ask for, and say what came of it."""
    arguments = parser()
    args = arguments.parse_args(argv)
    _check_arguments(arguments, args)
    out_dir = Path(args.out)
    renewed = _renew(args, out_dir)
    sources = find_sources(args.inputs, args.images, out_dir=args.out)
    _check_inputs(args, sources, out_dir)

    # Imports torch: after all that can be told without.
    from mmengine.logging import MMLogger

    from fashion_mmdet.inference import job, outputs
    from fashion_mmdet.inference.predictor import Predictor

    # What mmengine says of loading goes to the logger made last; warnings are let through.
    MMLogger.get_instance("predict", log_level="WARNING")
    predictor = Predictor(
        args.run, config=args.config, point=_point(args, out_dir), score=args.score, tta=args.tta,
        ensemble=args.ensemble, device=args.device,
    )  # fmt: skip
    ids = outputs.read_ids(args.image_ids, predictor.classes) if args.image_ids else None
    wanted = job.Wanted(args.pictures, args.cutouts)
    force = args.force or args.resume
    stale = names_in(out_dir / FILE_NAME) if args.force else []
    settings = _settings(predictor, args)
    with Ledger(
        out_dir / FILE_NAME, settings, predictor.classes,
        resume=args.resume, force=args.force,
    ) as ledger:  # fmt: skip
        outputs.remove_outputs(out_dir, stale)
        sources.all = named_apart(sources.all, ledger.names)
        try:
            tally = job.run(
                predictor, sources.all, ledger, out_dir, wanted,
                every=args.every, batch_size=args.batch_size,
            )  # fmt: skip
        except (KeyboardInterrupt, SystemExit, OSError):
            print(f"{out_dir}: what is done is kept; go on with --resume.", file=sys.stderr)
            raise

        def entries() -> Iterator[Entry]:
            return job.entries_of(sources.all, ledger, args.every)

        written = [FILE_NAME, *job.folders(out_dir, wanted)]
        if args.pictures:
            written += job.write_videos(sources.all, ledger, out_dir, args.every, predictor.palette)
        notes = _of_other_weights(predictor, settings["checkpoint"])
        notes += _of_other_votes(predictor, args)
        if predictor.n_not_finite:
            notes.append(
                f"left out: {predictor.n_not_finite} detections that are no finite numbers"
            )
        if args.coco:
            left_out = outputs.write_results(out_dir, entries(), predictor.classes, ids)
            notes += [f"results.json: left out {count} {what}" for what, count in left_out.items()]
            written += [outputs.RESULTS, outputs.IMAGES]
        if args.csv:
            outputs.write_instances(out_dir, entries())
            written.append(outputs.INSTANCES)
        if args.submission:
            from fashion_mmdet.inference import submission

            report = submission.write_entries(
                out_dir, entries(), _submission_ids(args, sources), force=force,
                size_px=args.submission_size, min_area_px=args.submission_min_area,
            )  # fmt: skip
            notes += report.lines()
            written.append(submission.FILE_NAME)
    if renewed:
        notes.append(f"brought up to date as well: {', '.join(renewed)}")
    return _say(args, predictor, sources, tally, notes, written)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="fashion predict",
        description="Find garments on photos with a trained model. Without a flag of what to "
        "write: --pictures --csv.",
        epilog="Example: fashion predict work_dirs/mask_rcnn_r50 photos/ --out found --pictures "
        "--submission",
    )
    parser.add_argument("run", metavar="RUN", help="a work dir, or a .pth file with its config by")
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="photos, folders, patterns in quotes, videos, or a CSV list with a column ImageId",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for all that is made")
    what = parser.add_argument_group("what to write")
    what.add_argument("--pictures", action="store_true", help="masks, boxes, names: pictures/")
    what.add_argument("--csv", action="store_true", help="a row for each instance: instances.csv")
    what.add_argument("--coco", action="store_true", help="COCO results: results.json, images.json")
    what.add_argument("--cutouts", action="store_true", help="each garment alone, PNG: cutouts/")
    what.add_argument(
        "--submission", action="store_true", help="iMaterialist 2019's CSV: submission.csv"
    )
    which = parser.add_argument_group("which model and detections")
    which.add_argument("--config", metavar="FILE", help="where it does not lie beside the weights")
    which.add_argument("--point", metavar="FILE", help="from fashion tune (the run's own), or none")
    which.add_argument("--score", type=share, help="lowest score, instead of the point's (0.5)")
    which.add_argument("--tta", action="store_true", help="average over flip and scales; slower")
    which.add_argument(
        "--ensemble", nargs="+", default=[], metavar="RUN", help="more runs, which vote"
    )
    which.add_argument("--device", help="cuda:0, cpu (default: a GPU where there is one)")
    how = parser.add_argument_group("how")
    how.add_argument("--images", metavar="DIR", help="where the photos of a list are (beside it)")
    how.add_argument("--image-ids", metavar="ANN.json", help="COCO file whose ids --coco speaks of")
    how.add_argument("--sample", metavar="CSV", help="sample_submission.csv: which rows, in order")
    how.add_argument("--submission-size", type=positive, default=512, metavar="PX", help="(512)")
    how.add_argument(
        "--submission-min-area", type=positive, default=20, metavar="PX",
        help="smaller masks are left out of the submission (20)",
    )  # fmt: skip
    how.add_argument(
        "--every", type=positive, default=1, metavar="N", help="each Nth frame of videos"
    )
    how.add_argument(
        "--batch-size", type=positive, default=1, metavar="N", help="photos at once (1)"
    )
    how.add_argument("--resume", action="store_true", help="go on with what is in --out")
    how.add_argument("--force", action="store_true", help="begin anew over what is in --out")
    return parser


def _check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if not any((args.pictures, args.csv, args.coco, args.cutouts, args.submission)):
        args.pictures = args.csv = True
    for option, needs in (("sample", "submission"), ("image_ids", "coco")):
        if getattr(args, option) and not getattr(args, needs):
            parser.error(f"--{option.replace('_', '-')}: --{needs} expected with it")
    if args.resume and args.force:
        parser.error("--resume: expected without --force: go on, or begin anew")


def _renew(args: argparse.Namespace, out_dir: Path) -> list[str]:
    """With ``--resume``, ask for what an earlier run has begun as well, and return what that is."""
    begun = {
        "pictures": "pictures", "cutouts": "cutouts", "csv": "instances.csv", "coco": "results.json"
    }  # fmt: skip
    also = [
        option for option, name in begun.items()
        if args.resume and (out_dir / name).exists() and not getattr(args, option)
    ]  # fmt: skip
    for option in also:
        setattr(args, option, True)
    return [begun[option] for option in also]


def _point(args: argparse.Namespace, out_dir: Path) -> Any:
    """Return the point to take: the given one, that of the work that is resumed, or the run's."""
    if args.point == "none":
        return OperatingPoint()
    if args.point is not None or args.score is not None or not args.resume:
        return args.point
    begun = point_in(out_dir / FILE_NAME)
    if begun is None:
        return None
    return checked_point(begun, tuple(begun.get("score_of", {})), str(out_dir / FILE_NAME))


def _check_inputs(args: argparse.Namespace, sources: Sources, out_dir: Path) -> None:
    """Refuse, before the model is loaded, what cannot end well."""
    if out_dir.exists() and not out_dir.is_dir():
        raise FashionError(f"{out_dir}: a folder expected, found a file. Choose another --out.")
    _refuse_foreign_pictures(args, sources, out_dir)
    videos = [source.path for source in sources.all if source.is_video]
    if videos and args.submission:
        raise FashionError(f"{videos[0]}: photos expected for --submission, got a video.")
    if videos and args.cutouts:
        raise FashionError(f"{videos[0]}: photos expected for --cutouts, got a video.")
    if args.submission:
        _require_submission(args, sources)
    if not (out_dir / FILE_NAME).is_file():  # with a ledger it is told what --resume can do
        for name in ("instances.csv", "results.json", "images.json", "submission.csv"):
            refuse_overwrite(out_dir / name, args.force)


def _require_submission(args: argparse.Namespace, sources: Sources) -> None:
    """Refuse what the submission could not hold at the end."""
    from datasets_tools.submission import require_ids
    from datasets_tools.submission.rules import MOST_SIZE_PX
    from fashion_mmdet.inference.submission import id_of

    if args.submission_size > MOST_SIZE_PX:
        raise ConfigError(
            f"--submission-size: at most {MOST_SIZE_PX} px expected, got {args.submission_size}."
        )
    listed = set(_submission_ids(args, sources))
    ids = [i for i in map(id_of, sources.all) if not args.sample or i in listed]
    require_ids(ids, "photos of the submission")


def _refuse_foreign_pictures(args: argparse.Namespace, sources: Sources, out_dir: Path) -> None:
    """Refuse to write where pictures lie that are not of an earlier run."""
    for name in OUTPUT_FOLDERS:
        folder = out_dir / name
        if folder.is_symlink():
            raise FashionError(
                f"{folder}: a folder of the outputs expected, got a link to another. Remove the "
                "link, or choose another --out."
            )
        inside = os.path.realpath(folder) + os.sep
        photo = next((s for s in sources.all if os.path.realpath(s.path).startswith(inside)), None)
        if photo is not None:
            raise FashionError(
                f"{photo.path}: a photo outside {folder}, where pictures are written, expected. "
                "Choose another --out."
            )
        if not (out_dir / FILE_NAME).is_file() and folder.is_dir() and any(folder.iterdir()):
            raise FashionError(
                f"{folder}: an empty folder expected, it holds files of something else. Choose "
                "another --out."
            )


def _settings(predictor: Any, args: argparse.Namespace) -> dict[str, Any]:
    from fashion_mmdet.core.trained import find_trained

    return {
        "checkpoint": sha256_of(predictor.checkpoint),
        "config": predictor.cfg_sha256,
        "operating point": dataclasses.asdict(predictor.point),
        "--tta": args.tta,
        "--ensemble": [
            [sha256_of(path) for path in find_trained(member, where="--ensemble")]
            for member in args.ensemble
        ],
        "--batch-size": args.batch_size,
    }


def _of_other_weights(predictor: Any, sha256: str) -> list[str]:
    """Say where the operating point was chosen with other weights than those that predict."""
    about = predictor.point_about
    theirs, name = about.get("checkpoint_sha256"), str(about.get("checkpoint"))
    epoch = re.fullmatch(r"epoch (\d+)", name)
    ours = re.search(r"epoch_(\d+)", predictor.checkpoint.name)
    differs = theirs != sha256 if theirs else bool(epoch and ours and epoch[1] != ours[1])
    if not differs:
        return []
    return [
        f"note: {predictor.point_source} was tuned with other weights ({name}) than "
        f"{predictor.checkpoint.name}"
    ]


def _of_other_votes(predictor: Any, args: argparse.Namespace) -> list[str]:
    """Say where the point was chosen with other views or members than those that vote here."""
    if not predictor.point_about:
        return []
    made_with = predictor.point_about.get("made_with", {})
    theirs = (made_with.get("views", 1) > 1, bool(made_with.get("members")))
    if theirs == (args.tta, bool(args.ensemble)):
        return []
    words = [w for w, on in zip(("--tta", "--ensemble"), theirs, strict=True) if on]
    return [
        f"note: {predictor.point_source} was tuned for {' '.join(words) or 'the plain model'}; "
        "scores of other votes differ"
    ]


def _submission_ids(args: argparse.Namespace, sources: Sources) -> list[str]:
    from fashion_mmdet.inference.submission import id_of

    if args.sample:
        from datasets_tools.submission import read_ids

        return list(read_ids(args.sample))
    listed = sources.ids or []
    known = set(listed)
    rest = [i for i in map(id_of, sources.all) if i not in known]
    return [*listed, *dict.fromkeys(rest)]


def _say(
    args: argparse.Namespace,
    predictor: Any,
    sources: Sources,
    tally: Any,
    notes: Sequence[str],
    written: Sequence[str],
) -> int:
    for reason, count in sources.counts.items():
        say(f"passed by: {count} {reason}")
    for _, message in sources.missing[:5]:
        say(f"missing: {message}")
    if len(sources.missing) > 5:
        say(f"missing: {len(sources.missing)} photos of the list in all")
    for note, count in tally.notes.items():
        say(f"note: {counted(count, 'photo')}: {note}")
    for note in notes:
        say(note)
    say(f"kept: {predictor.point.in_words()} ({_point_from(args, predictor)})")
    lowest = min([predictor.point.score, *predictor.point.score_of.values()])
    if predictor.floor is not None and lowest < predictor.floor:
        say(f"note: the config itself drops scores below {predictor.floor:g}")
    n_photos = tally.n_new + tally.n_known
    n_found = sum(tally.of_class.values())
    if n_found:
        common = tally.of_class.most_common(_MOST_CLASSES)
        shown = ", ".join(f"{count} {name}" for name, count in common)
        more = len(tally.of_class) - len(common)
        say(f"found: {shown}{f', and {more} more classes' if more > 0 else ''}")
    if tally.without:
        some = ", ".join(tally.without[:3])
        more = ", ..." if len(tally.without) > 3 else ""
        say(f"without a finding: {counted(len(tally.without), 'photo')} ({some}{more})")
    known = f" ({tally.n_known:,} of them known before)" if tally.n_known else ""
    failed = len(tally.failed) + len(sources.missing)
    bad = f", {counted(failed, 'photo')} left out" if failed else ""
    say(
        f"{args.out}: {counted(n_found, 'instance')} on {counted(n_photos, 'photo')}{known}{bad}; "
        f"{', '.join(written)}"
    )
    return 0 if n_photos else 1


def _point_from(args: argparse.Namespace, predictor: Any) -> str:
    source = predictor.point_source
    if args.score is not None:
        return f"--score; the rest from {source}" if source else "--score"
    if source is not None:
        return f"from {source}"
    if predictor.point != OperatingPoint():
        return "as it was begun"
    return "the default; `fashion tune` chooses better"
