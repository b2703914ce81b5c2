"""Writing the page of ``fashion data browse``: ``index.html``, ``sheet.jpg`` and the pictures.

``index.html`` is one file (style, script and data) beside ``page_files/``, which has two JPEGs a
photo. The page needs no network and runs from the disk. What an annotation file says is data to
it: it is embedded as JSON that cannot end its element, and is shown as text only.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.browse.cards import Card, Cards, collect, describe
from datasets_tools.browse.contact import contact_sheet
from datasets_tools.browse.drawing import Drawn, draw
from datasets_tools.cache.folder import locked
from datasets_tools.report import sweep
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    atomic_open,
    looked_up_from,
    refuse_overwrite,
    refuse_own_input,
    write_text,
)

_SKELETON = Path(__file__).with_name("page.html")
_FILES = "page_files"
_KINDS = ("thumb", "large")
_PICTURE = re.compile(r"[0-9]{6,}\.jpg")
_PARTS = ("{{csp}}", "{{data}}", "{{paths}}")


@dataclass(frozen=True)
class Page:
    """What was written.

    Attributes:
        index: the page's path, ``out_dir/index.html``.
        n_photos: photos on it.
        faults: file name and reason of each that could not be drawn.
    """

    index: Path
    n_photos: int
    faults: list[tuple[str, str]]


def write_page(
    coco: Mapping[str, Any],
    images_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    findings: Iterable[Mapping[str, Any]] = (),
    notes: Iterable[str] = (),
    title: str = "",
    limit: int | None = None,
    size_px: int = 512,
    progress: bool = False,
) -> Page:
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
        notes: sentences to be shown above all.
        title: plain text.
        limit: at most so many photos, those with findings first; None: all.
        size_px: long side of the thumbnails; a click shows a photo twice as large.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: if there is no ``images_dir``, or a photo lies where the page or its pictures
            go, or a folder of pictures is a link, or another run is at work in ``out_dir``.
    """
    out_dir = Path(out_dir)
    _refuse_folders(Path(images_dir), out_dir)
    cards = collect(coco, findings, limit)
    cards.notes.extend(notes)
    _refuse_photos(Path(images_dir), out_dir, coco)
    with locked(out_dir):
        # The page comes last, so one that is there belongs to pictures that are there.
        (out_dir / "index.html").unlink(missing_ok=True)
        _clear(out_dir / _FILES)
        return _draw(cards, images_dir, out_dir, title, size_px, progress)


def _draw(
    cards: Cards,
    images_dir: str | os.PathLike[str],
    out_dir: Path,
    title: str,
    size_px: int,
    progress: bool,
) -> Page:
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
    index = out_dir / "index.html"
    write_text(index, _render(cards, drawn, title))
    faults = [
        (card.file_name, one.fault)
        for card, one in zip(cards.cards, drawn, strict=True)
        if one.fault
    ]
    return Page(index, len(cards.cards), faults)


def _refuse_folders(images_dir: Path, out_dir: Path) -> None:
    if not images_dir.is_dir():
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check the path."
            f"{looked_up_from(images_dir)}"
        )
    photos, files = images_dir.resolve(), out_dir / _FILES
    if photos == out_dir.resolve():
        raise FashionError(
            f"{out_dir}: another folder than that of the photos expected, got the same. Choose "
            "another --out."
        )
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


def _refuse_photos(images_dir: Path, out_dir: Path, coco: Mapping[str, Any]) -> None:
    """Refuse a folder of the page, below that of the photos, whose files would replace photos."""
    photos, out = images_dir.resolve(), out_dir.resolve()
    if not out.is_relative_to(photos):
        return
    below = f"{out.relative_to(photos).as_posix()}/"
    for card in collect({"images": coco.get("images")}, (), None).cards:
        name = posixpath.normpath(card.file_name)
        if name.startswith(below):
            raise FashionError(
                f"{out_dir}: a folder without photos of the set expected, got that of {name!r}. "
                "Choose another --out."
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
    _refuse_folders(Path(images_dir), Path(out_dir))


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
