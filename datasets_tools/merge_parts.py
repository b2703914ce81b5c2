"""What is merged with what: the words of ``fashion data merge`` as parts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_tools.folders import absent_photos
from fashion_mmdet.core.errors import FashionError, did_you_mean
from fashion_mmdet.core.files import looked_up_from, shown

_NAME = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*")  # no path, not only dots


@dataclass(frozen=True)
class Part:
    """One file of a merge.

    Attributes:
        name: what its images and annotations will have as ``source``.
        path: the file.
        folder: what goes before its file names, ``""`` or a relative path.
        images_dir: the folder of the photos itself; None where it is not known.
    """

    name: str
    path: Path
    folder: str = ""
    images_dir: Path | None = None


def read_parts(
    files: Sequence[str], images: Sequence[str], root: str | None, prefix: bool
) -> list[Part]:
    """Return the parts that ``[NAME=]FILE`` and ``NAME=DIR`` say.

    Raises:
        FashionError: for a name given twice or to no file, or a folder outside ``root``.
    """
    if bool(images) != (root is not None):
        raise FashionError(
            "--images and --root: both or neither expected, got one. Names become relative to the "
            "root."
        )
    paths: dict[str, Path] = {}
    for text in files:
        name, path = _named(text, text)
        name = name or Path(path).stem
        if not _NAME.fullmatch(name):
            raise FashionError(
                f"{text}: letters, digits, '_', '-' and '.' as its name expected, got {name!r}. "
                f"Name it, as in mine={path}."
            )
        if name in paths:
            raise FashionError(
                f"{text}: another name for each file expected, got {name!r} twice. Name them, as "
                f"in mine={path}."
            )
        paths[name] = Path(path)
    folders: dict[str, tuple[str, Path]] = {}
    for text in images:
        name, folder = _named(text, text)
        if name not in paths:
            raise FashionError(
                f"--images {text}: NAME=DIR with a name of {', '.join(paths)} expected, got "
                f"{name!r}.{did_you_mean(name, paths)}"
            )
        folders[name] = _below(folder, root or "", text), Path(folder)
    missing = [name for name in paths if name not in folders]
    if images and missing:
        raise FashionError(
            f"--images: a folder for every file expected, got none for {', '.join(missing)}. Add "
            f"--images {missing[0]}=DIR."
        )
    unknown = {name: (name if prefix else "", None) for name in paths}
    return [Part(name, path, *(unknown | folders)[name]) for name, path in paths.items()]


def n_absent(part: Part, images: Sequence[Mapping[str, Any]], parts: Sequence[Part]) -> int:
    """Return how many photos of ``part`` are not in its folder, 0 where the folder is not known.

    Args:
        part: the file.
        images: its ``images`` list.
        parts: all files of the merge; one in whose folder the photos are is named.

    Raises:
        FashionError: if most of them are missing.
    """
    if part.images_dir is None or not images:
        return 0
    first = images[0]["file_name"]
    others = [p.name for p in parts if p.images_dir and (p.images_dir / first).is_file()]
    advice = (
        f"{first} is in the folder given for {others[0]}: were two swapped?"
        if others and part.name not in others
        else f"Give the folder that its file names start from: --images {part.name}=DIR."
    )
    names = [image["file_name"] for image in images]
    return len(absent_photos(part.images_dir, names, part.path, advice))


def _named(text: str, where: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    if not equals or "/" in name or os.sep in name:  # a path that holds a "="
        return "", text
    if not name or not rest:
        raise FashionError(f"{where}: NAME=PATH expected, got one of the two. Give both.")
    return name, rest


def _below(folder: str, root: str, where: str) -> str:
    """Return ``folder`` relative to ``root``, by name: links in the root may lead anywhere."""
    if not Path(folder).is_dir():
        raise FashionError(
            f"--images {where}: a folder of photos expected, found none. Check the path."
            f"{looked_up_from(folder)}"
        )
    relative = os.path.relpath(os.path.abspath(folder), os.path.abspath(root))
    if relative.split(os.sep)[0] == os.pardir:
        raise FashionError(
            f"--images {where}: a folder in the root {root} expected, got one outside. Link it "
            "into the root, or choose a --root that holds all of them."
        )
    if shown(relative) != relative:
        raise FashionError(
            f"--images {shown(where)}: a folder named in UTF-8 expected, got another, which JSON "
            "cannot hold. Rename it."
        )
    return "" if relative == os.curdir else relative.replace(os.sep, "/")
