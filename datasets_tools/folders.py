"""Listing the files of sources that have one a photo."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from datasets_tools.photos import has_suffix
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import looked_up_from


def files_in(
    folder: str | os.PathLike[str], suffix: str, counts: Counter[str], *, deep: bool = False
) -> list[Path]:
    """Return the files in ``folder`` that end in ``suffix``, in any case, sorted by name.

    Args:
        folder: where to look.
        suffix: ``".json"`` or the like.
        counts: files of other kinds are entered here.
        deep: look in its folders as well.

    Raises:
        FashionError: if ``folder`` is no folder, or holds no such file.
    """
    root = Path(folder)
    entries = (root.rglob("*") if deep else root.iterdir()) if root.is_dir() else ()
    found, others = [], 0
    for path in entries:
        if path.name.lower().endswith(suffix):
            found.append(path)
        else:
            others += path.is_file()
    if not found:
        got = f"{others} others" if root.is_dir() else "no folder"
        raise FashionError(
            f"{folder}: a folder with {suffix} files expected, found {got}. Check the path."
            f"{'' if root.is_dir() else looked_up_from(folder)}"
        )
    counts[f"files in {folder} that are no {suffix}: not read"] += others
    return sorted(found)


def n_unlabelled(images_dir: str | os.PathLike[str], labelled: Iterable[str]) -> int:
    """Return how many photos below ``images_dir`` have none of the names ``labelled``.

    Args:
        images_dir: where to look, its folders too; one that is not there has no photos.
        labelled: names relative to ``images_dir``, with or without any suffix.
    """
    stems = {os.path.splitext(posixpath.normpath(name))[0] for name in labelled}
    n_photos = 0
    for place, _, names in os.walk(images_dir):
        folder = os.path.relpath(place, images_dir)
        n_photos += sum(
            has_suffix(name)
            and posixpath.normpath(posixpath.join(folder, os.path.splitext(name)[0])) not in stems
            for name in names
        )
    return n_photos
