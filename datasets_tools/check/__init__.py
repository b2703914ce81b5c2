"""``fashion data check``, the doctor: everything that is wrong with a COCO file and its photos.

The file need not be one that ``core.coco.read_coco`` takes: every finding is collected before
the end. What each kind means is in :mod:`.catalogue`.

With ``--config``, the loader of that config is run on the file too; mmdet does that, so the
command line hands the function over (``replayer``) and nothing here imports it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets_tools.report import counted, say, sweep
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    atomic_open_many,
    json_text,
    refuse_overwrite,
    refuse_own_input,
    require_writable,
    write_json,
)

from .annotations import Survey, survey_file
from .catalogue import CATALOGUE
from .fix import fix, is_mended, pieces_of_json, refuse_wrong_folder
from .masks import check_masks
from .photos import Speed, check_photos
from .text import as_json, findings_text, summary

#: ``replayer(config, annotation file, folder of photos, n images)`` returns the replay's result:
#: ``{"lines": [text to print], "findings": [(kind, message, place of the finding)], ...}``; what
#: else is in it goes to the JSON.
Replayer = Callable[[str, str, str, int], dict[str, Any]]
#: Photos on the page: those with findings, the gravest first; more would choke a browser.
_MOST_SHOWN = 1000
#: Of a photo that was not decoded; it has one of these at most.
_UNDECODED = ("photo missing", "photo unreadable", "photo truncated")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the check's arguments to ``parser``."""
    parser.add_argument("annotations", metavar="JSON", help="the COCO file")
    parser.add_argument("--images", metavar="DIR", help="decode the photos of this folder too")
    parser.add_argument("--config", help="replay what this config's loader does with the file")
    parser.add_argument(
        "--replay",
        type=_whole_number,
        default=50,
        metavar="N",
        help="images of the replay, evenly spread; 0: all (default: 50)",
    )
    parser.add_argument(
        "--scale",
        type=_whole_number,
        nargs=2,
        default=(1333, 800),
        metavar=("LONG", "SHORT"),
        help="working size in px, at which masks may be tiny (default: 1333 800)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all findings as JSON")
    parser.add_argument("--html", metavar="DIR", help="write a page with the photos and findings")
    parser.add_argument(
        "--fix",
        metavar="FILE",
        help="write a repaired copy, and every change to FILE.changes.json",
    )
    parser.add_argument(
        "--workers",
        type=_whole_number,
        default=os.cpu_count() or 1,
        metavar="N",
        help="photos decoded at a time (default: one a core)",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite what --json, --html and --fix name"
    )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a whole number expected, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Check as ``args`` say and print what was found; return 1 if there are errors.

    Raises:
        FashionError: for arguments that do not go together, or files that are not there.
    """
    _refuse(args)
    survey, speed = check(
        args.annotations,
        images_dir=args.images,
        scale=(args.scale[0], args.scale[1]),
        workers=args.workers,
        progress=True,
    )
    replay = None
    if args.config and survey.is_readable:
        replay = args.replayer(args.config, args.annotations, args.images, args.replay)
        for kind, message, place in replay.pop("findings"):
            survey.findings.add(kind, message, **place)
    for line in findings_text(survey.findings):
        say(line)
    for line in replay["lines"] if replay else ():
        say(line)
    if speed:
        say(speed.text())
    if args.json:
        write_json(args.json, as_json(survey, speed, replay), indent=1)
        say(f"{args.json}: {counted(len(survey.findings), 'finding')}, all of them")
    if args.fix:
        _write_fixed(args, survey)
    if args.html:
        _write_page(args, survey)
    say(f"{args.annotations}: {summary(survey)}")
    return 1 if survey.findings.of_severity("error") else 0


def check(
    path: str | os.PathLike[str],
    *,
    images_dir: str | os.PathLike[str] | None = None,
    scale: tuple[int, int] = (1333, 800),
    workers: int = 1,
    progress: bool = False,
) -> tuple[Survey, Speed | None]:
    """Look at a COCO file and, with ``images_dir``, at its photos.

    Args:
        path: the COCO file.
        images_dir: folder of the photos; None: they are not looked at.
        scale: working size (long side, short side) in px.
        workers: how many photos are decoded at a time.
        progress: show progress bars where stderr is a terminal.

    Returns:
        The survey, whose ``findings`` are all that was found, and how fast photos were decoded.

    Raises:
        FashionError: if there is no such file or folder.
    """
    survey = survey_file(path)
    speed = None
    if survey.is_readable:
        check_masks(survey, scale, progress)
    if survey.is_readable and images_dir is not None:
        speed = check_photos(survey, images_dir, workers, progress)
        counts = survey.findings.counts()
        n_undecoded = sum(counts[kind] for kind in _UNDECODED)
        speed = replace(speed, n_photos=speed.n_photos - n_undecoded)
    return survey, speed


def _refuse(args: argparse.Namespace) -> None:
    """Refuse, before the work, what cannot end well."""
    if args.workers < 1 or min(args.scale) < 1:
        raise FashionError("--workers, --scale: numbers of at least 1 expected, got 0.")
    for option in ("config", "html"):
        if getattr(args, option) and not args.images:
            raise FashionError(f"--{option}: the folder of the photos expected too. Add --images.")
    if args.config and getattr(args, "replayer", None) is None:
        raise FashionError("--config: the loader is at hand in `fashion data check` alone. Use it.")
    for out in _outputs(args):
        refuse_own_input(out, args.annotations)
        refuse_overwrite(out, args.force)
        require_writable(out)
        sweep(out)
    pages: tuple[Path, ...] = ()
    if args.html:
        from datasets_tools.browse.places import outputs, refuse_outputs

        pages = outputs(args.html)
        refuse_outputs(args.html, args.images, args.force, args.annotations, option="--html")
    _refuse_same([*_outputs(args), *pages])


def _refuse_same(outputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse outputs that would overwrite each other, by whatever name or link."""
    seen: set[str] = set()
    for out in outputs:
        target = os.path.realpath(out)
        if target in seen:
            raise FashionError(
                f"{out}: a file of its own for each output expected, got one for two. Choose "
                "other names for --json, --fix and --html."
            )
        seen.add(target)


def _outputs(args: argparse.Namespace) -> list[str]:
    fixed = [args.fix, _changes_path(args.fix)] if args.fix else []
    return fixed + ([args.json] if args.json else [])


def _changes_path(fixed: str) -> str:
    return f"{fixed}.changes.json"


def _write_fixed(args: argparse.Namespace, survey: Survey) -> None:
    if not survey.is_readable:
        say("--fix: nothing was written: there is nothing to repair in what is no COCO file")
        return
    refuse_wrong_folder(survey)
    fixed = fix(survey.data, survey.findings, survey.name, (args.scale[0], args.scale[1]))
    with atomic_open_many([args.fix, _changes_path(args.fix)]) as (copy, log):
        copy.writelines(pieces_of_json(fixed.data, args.fix))
        log.write(json_text(fixed.changes, _changes_path(args.fix), indent=1) + "\n")
    unmended = sum(not is_mended(f) and f.severity != "note" for f in survey.findings)
    say(
        f"{args.fix}: {counted(len(fixed.changes), 'change')}, each in "
        f"{_changes_path(args.fix)}; errors and warnings that a person must look at: {unmended:,}"
    )


def _write_page(args: argparse.Namespace, survey: Survey) -> None:
    if not survey.is_readable:
        say("--html: nothing was written: there is nothing to draw in what is no COCO file")
        return
    from datasets_tools.browse.page import write_page

    found = [finding.as_dict() for finding in survey.findings]
    n_photos = len({entry["file_name"] for entry in found if entry["file_name"]})
    # A page of an earlier check must not stay where nothing is left to be found.
    page = write_page(
        survey.data,
        args.images,
        args.html,
        findings=found,
        about={
            kind: {"meaning": about.meaning, "advice": about.what_to_do}
            for kind, about in CATALOGUE.items()
        },
        notes=() if found else [f"Nothing was found: {summary(survey)}."],
        title=f"{survey.name}: findings",
        limit=min(n_photos, _MOST_SHOWN),
        progress=True,
        option="--html",
    )
    if page.sheet:
        say(page.sheet)
    shown = f"{page.n_photos:,} of {counted(n_photos, 'photo')} with findings"
    if not n_photos:
        shown = f"{counted(len(found), 'finding')}, of no photo" if found else "nothing was found"
    say(f"{page.index}: {shown}; open it in a browser")
