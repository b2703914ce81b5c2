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
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.browse.cards import Card, Cards, collect, describe
from datasets_tools.browse.contact import contact_sheet, extent
from datasets_tools.browse.drawing import Drawn, draw
from datasets_tools.browse.lettering import is_escaped
from datasets_tools.browse.places import (
    FILES,
    KINDS,
    SHEET,
    clear,
    outputs,
    picture,
    refuse_folders,
    refuse_photos,
    refuse_wrong_folder,
)
from datasets_tools.cache.folder import locked
from fashion_mmdet.core.files import (
    atomic_open,
    write_text,
)

_SKELETON = Path(__file__).with_name("page.html")
_PARTS = ("{{csp}}", "{{data}}", "{{paths}}")


@dataclass(frozen=True)
class Page:
    """What was written.

    Attributes:
        index: the page's path, ``out_dir/index.html``.
        n_photos: photos on it.
        faults: file name and reason of each that could not be drawn.
        notes: what of the set is not there as it should be, a sentence each.
        sheet: ``"out_dir/sheet.jpg: 48 of 150 photos, evenly spread"``; empty where the contact
            sheet has all photos, or there is none.
    """

    index: Path
    n_photos: int
    faults: list[tuple[str, str]]
    notes: tuple[str, ...] = ()
    sheet: str = ""


def write_page(
    coco: Mapping[str, Any],
    images_dir: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    findings: Iterable[Mapping[str, Any]] = (),
    about: Mapping[str, Mapping[str, str]] | None = None,
    notes: Iterable[str] = (),
    title: str = "",
    limit: int | None = None,
    size_px: int = 512,
    progress: bool = False,
    must_draw: bool = False,
    option: str = "--out",
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
        about: kind of finding -> ``meaning`` and ``advice``, which are shown with it.
        notes: sentences to be shown above all.
        title: plain text.
        limit: at most so many photos, those with findings first; None: all.
        size_px: long side of the thumbnails; a click shows a photo twice as large.
        progress: show a progress bar where stderr is a terminal.
        must_draw: refuse, before anything is written, a set of which no photo can be drawn.
        option: what names ``out_dir`` on the command line, for messages.

    Raises:
        FashionError: if there is no ``images_dir``, or a photo lies where the page or its pictures
            go, or a folder of pictures is a link, or another run is at work in ``out_dir``, or as
            ``must_draw`` says.
    """
    out_dir = Path(out_dir)
    refuse_folders(Path(images_dir), out_dir, option)
    cards = collect(coco, findings, limit)
    refuse_photos(Path(images_dir), out_dir, coco, option)
    if must_draw:
        refuse_wrong_folder(cards.cards, Path(images_dir), size_px)
    with locked(out_dir):
        # The page comes last, so one that is there belongs to pictures that are there.
        for path in outputs(out_dir):
            path.unlink(missing_ok=True)
        clear(out_dir / FILES)
        drawn = _draw(cards, images_dir, out_dir, size_px, progress)
        sheet = _write_sheet(cards.cards, drawn, out_dir)
        own_notes = (*cards.notes, *_note_of_fonts(cards))
        cards.notes[:] = [*own_notes, *notes]
        index = out_dir / "index.html"
        write_text(index, _render(cards, drawn, title, about or {}, sheet))
    faults = [
        (card.file_name, one.fault)
        for card, one in zip(cards.cards, drawn, strict=True)
        if one.fault
    ]
    told = f"{out_dir / SHEET}: {sheet}" if sheet else ""
    return Page(index, len(cards.cards), faults, own_notes, told)


def _draw(
    cards: Cards,
    images_dir: str | os.PathLike[str],
    out_dir: Path,
    size_px: int,
    progress: bool,
) -> list[Drawn]:
    def draw_one(card: Card) -> Drawn:
        thumb, large = (out_dir / picture(kind, card) for kind in KINDS)
        return draw(card, cards.classes, images_dir, thumb, large, size_px)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(
            tqdm(
                pool.map(draw_one, cards.cards), total=len(cards.cards), unit="photo",
                disable=None if progress else True,
            )
        )  # fmt: skip


def _write_sheet(cards: list[Card], drawn: list[Drawn], out_dir: Path) -> str | None:
    """Write the contact sheet and return its extent; None without a sheet: nothing was drawn."""
    pictures = [
        (card.file_name, None if one.fault else out_dir / picture("thumb", card))
        for card, one in zip(cards, drawn, strict=True)
    ]
    if all(path is None for _, path in pictures):
        return None
    buffer = io.BytesIO()
    contact_sheet(pictures).save(buffer, "JPEG", quality=88)
    with atomic_open(out_dir / SHEET, "wb") as stream:
        stream.write(buffer.getvalue())
    return extent(len(pictures))


def _note_of_fonts(cards: Cards) -> Iterator[str]:
    names = {card.file_name for card in cards.cards} | {name for name, _ in cards.classes}
    escaped = sorted(name for name in names if is_escaped(name))
    if escaped:
        what = "name has" if len(escaped) == 1 else "names have"
        yield (
            f"On the pictures and the contact sheet, {len(escaped):,} {what} characters of no "
            f"installed font, e.g. {escaped[0]!r}; they are written by number, as \\u0e01. Install "
            "a font that has them and run this again."
        )


def _render(
    cards: Cards,
    drawn: list[Drawn],
    title: str,
    about: Mapping[str, Mapping[str, str]],
    sheet: str | None,
) -> str:
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
        "files": FILES,
        "classes": describe(cards.classes),
        "photos": photos,
        "findings": cards.findings,
        "loose": cards.loose,
        "about": {
            kind: {key: about[kind].get(key, "") for key in ("meaning", "advice")}
            for kind in sorted({finding["kind"] for finding in cards.findings})
            if kind in about
        },
        "sheet": sheet,
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
