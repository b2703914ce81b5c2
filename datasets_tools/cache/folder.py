"""The folder of a cache: what it holds, which one is refused, and who may write into it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from datasets_tools.cache.ledger import LEDGER, Ledger
from datasets_tools.cache.scale import Settings
from fashion_mmdet.core.errors import FashionError

#: What a cache holds, by the names that the configs know; ``photos/`` stands in ``file_name``.
ANNOTATIONS, PHOTOS = "train.json", "photos"
#: What the configs score, by the names that they know.
SCORED = ("val.json", "test.json")
#: How ``atomic_open`` names what is unfinished.
PART = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part")


def refuse_own_inputs(folder: Path, source: Path, images_dir: Path) -> None:
    """Refuse to make a cache of what lies in it: that is removed before it would be read."""
    for given, places in ((source, (source, source.parent)), (images_dir, (images_dir,))):
        if any(place.resolve().is_relative_to(folder.resolve()) for place in places):
            raise FashionError(
                f"{folder}: a folder without the input expected, got one with {given}. Make the "
                "cache from the originals, or choose another --out."
            )


def refuse_scored(source: Path) -> None:
    """Refuse the files that the recipes score; what is made of them would pass as the training set.

    The recipes take the annotations of a cache, whatever they were made of, for those of training.
    """
    if source.name in SCORED:
        raise FashionError(
            f"{source}: the annotations of training expected, got {source.name}, which the recipes "
            "score, at the photos' own size; training would take its cache for the training set. "
            "Give train.json, or to train on these photos a copy of another name."
        )


def refuse_other(
    folder: Path, ledger: Ledger, settings: Settings, annotations: str, force: bool
) -> None:
    """Refuse a folder of other things; unless ``force``, a cache of other settings or another file.

    Args:
        folder: of the cache.
        ledger: of that folder.
        settings: that are wanted.
        annotations: the file that is to be cached, as the ledger would name it.
        force: make the cache anew.
    """
    if ledger.settings is None:
        found = sorted(name for name in os.listdir(folder) if not PART.fullmatch(name))
        if found:
            raise FashionError(
                f"{folder}: a new folder or a cache expected, found {', '.join(found[:3])} and no "
                f"{LEDGER}. Choose another --out."
            )
    elif ledger.settings != settings.as_json() and not force:
        raise FashionError(
            f"{folder}: a cache of {settings} expected, found one of {ledger.settings}. Choose "
            "another --out, or make this one anew with --force."
        )
    elif ledger.annotations not in (None, annotations) and not force:
        raise FashionError(
            f"{folder}: a cache of {annotations} expected, found one of {ledger.annotations} (both "
            "as seen from it), whose photos would go. Choose another --out, or make this one anew "
            "with --force."
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make ``folder`` and keep other runs out of it; the system frees the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FashionError(
                f"{folder}: a folder at rest expected, another run is at work in it. Wait for it."
            ) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def named_when_full(folder: Path) -> Iterator[None]:
    """Turn a full disk and its like into a sentence; nothing of it is a fault of the program."""
    try:
        yield
    except OSError as error:
        raise FashionError(
            f"{error.filename or folder}: files to be read and written expected, got "
            f"'{error.strerror or error}'. The cache is not whole and is not used; mend the cause "
            "and run again: what is done stays."
        ) from None
