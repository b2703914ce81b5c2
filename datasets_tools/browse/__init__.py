"""``fashion data browse``: masks drawn on photos, as a page to look through and a contact sheet."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets_tools.browse.page import write_page
from datasets_tools.browse.places import refuse_outputs
from datasets_tools.report import counted, say
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import read_json


def _whole_number(least: int):
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:9]) == int(text):
            raise argparse.ArgumentTypeError(
                f"a whole number of at least {least} expected, got {text!r}"
            )
        return int(text)

    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data browse`` to ``parser``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the photos")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the page")
    parser.add_argument(
        "--findings", metavar="JSON", help="show what `fashion data check --json` found"
    )
    parser.add_argument(
        "--limit", type=_whole_number(1), metavar="N",
        help="at most N photos, those with findings first (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=_whole_number(64), default=512, metavar="PX",
        help="long side of the thumbnails; a click shows a photo twice as large (default: 512)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite an earlier page")


def run(args: argparse.Namespace) -> int:
    """Draw as ``args`` say; return the exit code."""
    out = Path(args.out)
    inputs = [args.annotations, *([args.findings] if args.findings else [])]
    refuse_outputs(out, args.images, args.force, *inputs)
    # What the doctor found fault with is to be looked at, and not refused for these faults.
    coco = (_read_faulty if args.findings else read_coco)(args.annotations)
    findings, about = read_findings(args.findings) if args.findings else ([], {})
    page = write_page(
        coco,
        args.images,
        out,
        findings=findings,
        about=about,
        title=Path(args.annotations).name,
        limit=args.limit,
        size_px=args.size,
        progress=True,
        must_draw=True,
    )
    if page.faults:
        name, fault = page.faults[0]
        first = fault if fault.startswith(name) else f"{name}: {fault}"
        say(
            f"warning: {len(page.faults):,} of {counted(page.n_photos, 'photo')} could not be "
            f"drawn, e.g. {first}"
        )
    for note in page.notes:
        say(f"note: {note}")
    if page.sheet:
        say(page.sheet)
    say(f"{page.index}: {counted(page.n_photos, 'photo')}; open it in a browser")
    return 0


def _read_faulty(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a COCO file whose entries may be faulty in any way; the page counts what is not shown.

    Raises:
        FashionError: for a file that is no JSON, or has no list of images.
    """
    coco = read_json(path)
    if not isinstance(coco, dict) or not isinstance(coco.get("images"), list):
        raise FashionError(
            f"{path}: an object with a list 'images' expected, got something else. Is this a "
            "COCO instance file?"
        )
    return coco


def read_findings(
    path: str | os.PathLike[str],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    """Read the findings that ``fashion data check --json`` wrote, or a plain list of such.

    Returns:
        The findings; and of each kind its ``meaning`` and ``advice``, where the file has them.

    Raises:
        FashionError: for a file that holds no list of objects.
    """
    value = read_json(path)
    found = value.get("findings") if isinstance(value, dict) else value
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise FashionError(
            f"{path}: a list of findings, or an object with 'findings', expected, got something "
            "else. Write it with `fashion data check --json`."
        )
    kinds = value.get("kinds") if isinstance(value, dict) else None
    about = {
        kind: {"meaning": str(entry.get("meaning") or ""), "advice": _what_to_do(entry)}
        for kind, entry in (kinds.items() if isinstance(kinds, dict) else ())
        if isinstance(entry, dict)
    }
    return found, about


def _what_to_do(kind: Mapping[str, Any]) -> str:
    advice, fix = (str(kind.get(key) or "") for key in ("advice", "fix"))
    return advice + (f" --fix: {fix}." if fix else "")
