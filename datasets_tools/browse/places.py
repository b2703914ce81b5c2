"""Where the files of a page lie, and what must not lie there before they are written."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets_tools.browse.cards import Card, collect
from datasets_tools.browse.drawing import fault_of
from datasets_tools.photos import PhotoFinder
from datasets_tools.report import sweep
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import looked_up_from, refuse_overwrite, refuse_own_input

FILES, SHEET = "page_files", "sheet.jpg"
#: Folders of pictures below ``FILES``.
KINDS = ("thumb", "large")
_PICTURE = re.compile(r"[0-9]{6,}\.jpg")


def clear(files: Path) -> None:
    """Make the folders of pictures and remove those of an earlier page, and nothing else."""
    for kind in KINDS:
        (files / kind).mkdir(parents=True, exist_ok=True)
        for path in (files / kind).iterdir():
            if _PICTURE.fullmatch(path.name):
                path.unlink()


def picture(kind: str, card: Card) -> str:
    """Return a picture's path in the page's folder: never made of a name in a file."""
    return f"{FILES}/{kind}/{card.number:06d}.jpg"


def refuse_wrong_folder(cards: list[Card], images_dir: Path, size_px: int) -> None:
    """Refuse photos of which none can be drawn; the first that can ends the search."""
    faults = []
    for card in cards:
        fault = fault_of(card, images_dir, size_px)
        if fault is None:
            return
        faults.append(fault)
    if faults:
        stem = posixpath.splitext(cards[0].file_name)[0]
        below = PhotoFinder(images_dir).root_below(stem) if ".." not in stem else None
        hint = f"It lies below: give --images {below}." if below else "Is --images right?"
        raise FashionError(
            f"{images_dir}: photos of the file expected, got none that can be drawn of "
            f"{len(faults):,}: {faults[0].rstrip('.')}. {hint} Nothing was written."
        )


def refuse_folders(images_dir: Path, out_dir: Path, option: str) -> None:
    """Refuse a folder of photos that is not there, or that the page would be written over."""
    if not images_dir.is_dir():
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check the path."
            f"{looked_up_from(images_dir)}"
        )
    photos, files = images_dir.resolve(), out_dir / FILES
    if photos == out_dir.resolve():
        raise FashionError(
            f"{out_dir}: another folder than that of the photos expected, got the same. Choose "
            f"another {option}."
        )
    for own in (files, *(files / kind for kind in KINDS)):
        # Behind a link lie pictures that no page has made, and an earlier page's are removed.
        if own.is_symlink():
            raise FashionError(
                f"{own}: a folder of the page expected, got a link to another. Remove the link, "
                f"or choose another {option}."
            )
        if photos.is_relative_to(own.resolve()):
            raise FashionError(
                f"{images_dir}: a folder of photos outside {own} expected, got one that is "
                f"replaced with the page. Choose another {option}."
            )


def refuse_photos(images_dir: Path, out_dir: Path, coco: Mapping[str, Any], option: str) -> None:
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
                f"Choose another {option}."
            )


def refuse_outputs(
    out_dir: str | os.PathLike[str],
    images_dir: str | os.PathLike[str],
    force: bool,
    *inputs: str | os.PathLike[str],
    option: str = "--out",
) -> None:
    """Refuse, before the work, a folder that a page should not be written to.

    Raises:
        FashionError: where a file of the page is there without ``force``, is one of ``inputs``, or
            the folders of photos and of the page are in each other's way.
    """
    for path in outputs(out_dir):
        sweep(path)
        refuse_own_input(path, *inputs)
        refuse_overwrite(path, force)
    refuse_folders(Path(images_dir), Path(out_dir), option)


def outputs(out_dir: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of a page, but for the numbered pictures in their own folder."""
    return Path(out_dir) / "index.html", Path(out_dir) / SHEET
