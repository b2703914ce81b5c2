"""``fashion data browse``: masks drawn on photos, as a page to look through and a contact sheet.

:func:`write_page` writes ``index.html`` (one file: style, script and data), ``sheet.jpg`` and
``page_files/`` with two JPEGs a photo. The page needs no network and runs from the disk. What an
annotation file says is data to it: it is embedded as JSON that cannot end its element, and is
shown as text only.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.browse.cards import Card, Cards, collect, describe
from datasets_tools.browse.contact import contact_sheet
from datasets_tools.browse.drawing import Drawn, draw
from datasets_tools.report import say, sweep
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    atomic_open,
    looked_up_from,
    read_json,
    refuse_overwrite,
    refuse_own_input,
    write_text,
)

_SKELETON = Path(__file__).with_name("page.html")
_FILES = "page_files"
_KINDS = ("thumb", "large")
_PICTURE = re.compile(r"[0-9]{6,}\.jpg")
_PARTS = ("{{csp}}", "{{data}}", "{{paths}}")


def write_page(
    coco: Mapping[str, Any],
    images_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    findings: Iterable[Mapping[str, Any]] = (),
    title: str = "",
    limit: int | None = None,
    size_px: int = 512,
    progress: bool = False,
) -> Path:
    """Draw the photos of a COCO dictionary and write a page to look through them.

    An earlier page in ``out_dir`` is replaced. The dictionary may be faulty in any way: what
    cannot be drawn is shown with the reason.

    Args:
        coco: ``images``, ``annotations``, ``categories``.
        images_dir: folder of the photos.
        out_dir: folder of the page; made if need be.
        findings: with the keys ``kind``, ``severity`` (``error``, ``warning``, ``note``),
            ``message``, ``image_id``, ``annotation_id``, ``file_name``, ``where``; each is shown
            at its photo, or above all where it has none.
        title: plain text.
        limit: at most so many photos, those with findings first; None: all.
        size_px: long side of the thumbnails; a click shows a photo twice as large.
        progress: show a progress bar where stderr is a terminal.

    Returns:
        The page's path, ``out_dir/index.html``.

    Raises:
        FashionError: if there is no ``images_dir``, or it lies where the page's pictures go, or
            a folder of pictures is a link.
    """
    out_dir = Path(out_dir)
    _refuse_folders(Path(images_dir), out_dir / _FILES)
    cards = collect(coco, findings, limit)
    index = out_dir / "index.html"
    # The page comes last, so one that is there belongs to pictures that are there.
    index.unlink(missing_ok=True)
    _clear(out_dir / _FILES)

    def draw_one(card: Card) -> Drawn:
        thumb, large = (out_dir / _picture(kind, card) for kind in _KINDS)
        return draw(card, cards.classes, images_dir, thumb, large, size_px)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = list(
            tqdm(
                pool.map(draw_one, cards.cards), total=len(cards.cards), unit="photo",
                disable=None if progress else True,
            )
        )  # fmt: skip
    pictures = [
        (card.file_name, None if one.fault else out_dir / _picture("thumb", card))
        for card, one in zip(cards.cards, drawn, strict=True)
    ]
    buffer = io.BytesIO()
    contact_sheet(pictures).save(buffer, "JPEG", quality=88)
    with atomic_open(out_dir / "sheet.jpg", "wb") as stream:
        stream.write(buffer.getvalue())
    write_text(index, _render(cards, drawn, title))
    return index


def _refuse_folders(images_dir: Path, files: Path) -> None:
    if not images_dir.is_dir():
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check the path."
            f"{looked_up_from(images_dir)}"
        )
    photos = images_dir.resolve()
    for own in (files, *(files / kind for kind in _KINDS)):
        # Behind a link lie pictures that no page has made, and an earlier page's are removed.
        if own.is_symlink():
            raise FashionError(
                f"{own}: a folder of the page expected, got a link to another. Remove the link, "
                "or choose another --out."
            )
        if photos.is_relative_to(own.resolve()):
            raise FashionError(
                f"{images_dir}: a folder of photos outside {own} expected, got one that is "
                "replaced with the page. Choose another --out."
            )


def refuse_outputs(
    out_dir: str | os.PathLike[str],
    images_dir: str | os.PathLike[str],
    force: bool,
    *inputs: str | os.PathLike[str],
) -> None:
    """Refuse, before the work, a folder that :func:`write_page` should not write to.

    Raises:
        FashionError: where a file of the page is there without ``force``, is one of ``inputs``, or
            the folders of photos and of the page are in each other's way.
    """
    for path in outputs(out_dir):
        sweep(path)
        refuse_own_input(path, *inputs)
        refuse_overwrite(path, force)
    _refuse_folders(Path(images_dir), Path(out_dir) / _FILES)


def outputs(out_dir: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of a page, but for the numbered pictures in their own folder."""
    return Path(out_dir) / "index.html", Path(out_dir) / "sheet.jpg"


def _clear(files: Path) -> None:
    """Make the folders of pictures and remove those of an earlier page, and nothing else."""
    for kind in _KINDS:
        (files / kind).mkdir(parents=True, exist_ok=True)
        for path in (files / kind).iterdir():
            if _PICTURE.fullmatch(path.name):
                path.unlink()


def _picture(kind: str, card: Card) -> str:
    """Return a picture's path in the page's folder: never made of a name in a file."""
    return f"{_FILES}/{kind}/{card.number:06d}.jpg"


def _render(cards: Cards, drawn: list[Drawn], title: str) -> str:
    photos = []
    for card, one in zip(cards.cards, drawn, strict=True):
        shapes = [
            {"id": shape.id, "label": shape.label, "crowd": shape.is_crowd, **facts}
            for shape, facts in zip(card.shapes, one.shapes, strict=True)
        ]
        photos.append(
            {
                "number": card.number,
                "id": card.image_id,
                "file": card.file_name,
                "stated": card.size_hw,
                "sources": card.sources,
                "fault": one.fault,
                "warning": one.warning,
                "size": one.size_wh,
                "shapes": shapes,
                "findings": card.findings,
            }
        )
    data = {
        "title": title or "Photos and masks",
        "files": _FILES,
        "classes": describe(cards.classes),
        "photos": photos,
        "findings": cards.findings,
        "loose": cards.loose,
        "notes": cards.notes,
    }
    text = _SKELETON.read_text(encoding="utf-8")
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    fills = (_policy(digest), embed(data), embed([one.paths for one in drawn]))
    out = []
    for part, fill in zip(_PARTS, fills, strict=True):
        before, _, text = text.partition(part)
        out += [before, fill]
    return "".join([*out, text])


def _policy(script_digest: str) -> str:
    """Return what a browser may load: this one script, and pictures; nothing from elsewhere."""
    return (
        "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{script_digest}'"
    )


def embed(value: Any) -> str:
    """Return JSON that may stand inside a ``<script>`` element of any page.

    Everything but ASCII is escaped, half characters (lone surrogates) too, and so are the signs
    that HTML knows: no text in it can end the element or open a comment.

    >>> embed("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


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
    coco = read_coco(args.annotations)
    findings = read_findings(args.findings) if args.findings else []
    index = write_page(
        coco,
        args.images,
        out,
        findings=findings,
        title=Path(args.annotations).name,
        limit=args.limit,
        size_px=args.size,
        progress=True,
    )
    n_photos = min(len(coco["images"]), args.limit or len(coco["images"]))
    say(f"{index}: {n_photos:,} photos; open it in a browser")
    return 0


def read_findings(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the findings that ``fashion data check --json`` wrote, or a plain list of such.

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
    return found
