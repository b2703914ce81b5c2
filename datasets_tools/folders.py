"""Files and folders by their names: sources with a file a photo, and what ``--out`` may be."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from datasets_tools.photos import has_suffix
from datasets_tools.report import first_of
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside, looked_up_from


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
    counts[f"files in {folder} without {suffix}: not read"] += others
    return sorted(found)


def require_json(path: str | os.PathLike[str], option: str = "--out") -> None:
    """Refuse a name without ``.json`` for a COCO file that is to be written.

    A file ``annotations`` would be in the way of the folder that the next command wants to make.

    Args:
        path: what the user gave.
        option: the option's name, for the message.

    Raises:
        FashionError: for a name that does not end in ``.json``, in any case.
    """
    name = Path(path).name
    if not name.lower().endswith(".json"):
        raise FashionError(
            f"{option}: the name of a .json file expected, got {path}. Write e.g. "
            + (f"{os.path.join(path, 'all.json')}." if os.path.isdir(path) else f"{path}.json.")
        )


def refuse_json_folder(path: str | os.PathLike[str], option: str = "--out") -> None:
    """Refuse a name in ``.json`` for a folder that is to be made, unless the folder is there.

    Args:
        path: what the user gave.
        option: the option's name, for the message.

    Raises:
        FashionError: for a name that ends in ``.json``, in any case, and is no folder yet.
    """
    if Path(path).name.lower().endswith(".json") and not os.path.isdir(path):
        raise FashionError(
            f"{option}: a folder expected, got {path}, the name of a file. Give the folder that "
            "the files are to lie in."
        )


def absent_photos(
    images_dir: str | os.PathLike[str],
    names: Collection[str],
    where: str | os.PathLike[str],
    advice: str = "Give the folder that its file names start from.",
) -> list[str]:
    """Return the photos of ``names`` that are not in ``images_dir``; refuse a folder without most.

    Where most are missing the folder is the wrong one, and all that is said of the rest misleads.

    Args:
        images_dir: the folder.
        names: file names relative to it.
        where: the annotation file that has the names, for messages.
        advice: what to do where most are missing.

    Raises:
        FashionError: if there is no such folder, a name leaves it, or more than half are missing.
    """
    if not os.path.isdir(images_dir):
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check the path."
            f"{looked_up_from(images_dir)}"
        )
    absent = [name for name in names if not inside(images_dir, name, str(where)).is_file()]
    if 2 * len(absent) > len(names):
        raise FashionError(
            f"{images_dir}: the photos of {where} expected, found {len(names) - len(absent):,} of "
            f"{len(names):,}, without {first_of(absent, 3)}. {advice}"
        )
    return absent


def holds_photos(folder: str | os.PathLike[str]) -> bool:
    """Return whether a photo lies in ``folder`` itself; a folder that is not there has none."""
    try:
        with os.scandir(folder) as entries:
            return any(has_suffix(entry.name) for entry in entries)
    except OSError:
        return False


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
