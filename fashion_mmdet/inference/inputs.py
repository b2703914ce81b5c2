"""Which photos ``fashion predict`` is to look at: files, folders, patterns, lists and videos."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets_tools.csv_rows import read_table
from datasets_tools.photos import PhotoFinder
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import inside, looked_up_from

from .photos import FORMAT_OF

#: Suffixes, lower case, of what is read frame by frame.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")
#: Folders within that of the outputs, in which no photo is looked for.
OUTPUT_FOLDERS = ("pictures", "cutouts")
#: Photos that are not read are named one by one, not passed by.
_SUFFIXES = (*FORMAT_OF, *VIDEO_SUFFIXES, ".heic", ".heif", ".avif")
#: Columns of a list that may name the photos, the first that is there counts.
_NAME_COLUMNS = ("ImageId", "image", "file_name", "photo", "path")


@dataclass(frozen=True)
class Source:
    """A photo or a video to be read.

    Attributes:
        path: the file.
        file_name: its place below the folder that was given, with ``/`` between folders; of a
            photo that was given by itself its name.
        name: what its outputs are called; set by :func:`.names.named_apart`.
        image_id: what a list calls it; None where it comes from none.
    """

    path: str
    file_name: str
    name: str = ""
    image_id: str | None = None

    @property
    def is_video(self) -> bool:
        """Whether it is read frame by frame."""
        return self.path.lower().endswith(VIDEO_SUFFIXES)


@dataclass
class Sources:
    """What the inputs name.

    Attributes:
        all: the sources, in the order given, none twice.
        ids: the photos of the lists, in their order, as the lists call them; None without a list.
        missing: what a list names and the folder lacks, a message each.
        counts: what was passed by, by reason.
    """

    all: list[Source] = field(default_factory=list)
    ids: list[str] | None = None
    missing: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def find_sources(
    inputs: Sequence[str], images_dir: str | None = None, *, out_dir: str | None = None
) -> Sources:
    """Return what ``inputs`` name.

    Args:
        inputs: photos, videos, folders (looked through to the bottom), patterns such as
            ``"photos/*.jpg"`` or ``"**/*.png"``, or CSV lists with a column ``ImageId``.
        images_dir: where the photos of lists are; None for the folder of each list.
        out_dir: the folder of the outputs, whose pictures are not looked at.

    Raises:
        FashionError: for an input that is not there, or inputs that name no photo.
    """
    found = Sources()
    own = _Own(out_dir)
    for given in inputs:
        if os.path.isdir(given):
            _add(found, _in_folder(given, found.counts, own))
        elif given.lower().endswith(".csv") and os.path.isfile(given):
            _add(found, _in_list(given, images_dir, found))
        elif os.path.exists(given):
            _add(found, [Source(given, os.path.basename(given))])
        elif glob.has_magic(given):
            _add(found, _by_pattern(given, found.counts, own))
        else:
            raise FashionError(
                f"{given}: a photo, a video, a folder, a pattern or a CSV list expected, found "
                f"none. Check the path.{looked_up_from(given)}"
            )
    if not found.all and not found.missing:
        passed = ", ".join(f"{count} {reason}" for reason, count in found.counts.items())
        raise FashionError(
            f"{' '.join(inputs)[:200]}: at least one photo expected, found none"
            f"{f' ({passed})' if passed else ''}. Photos end in {', '.join(FORMAT_OF)}."
        )
    found.all = _told_apart(found.all)
    return found


class _Own:
    """Tells which folders are those of the outputs."""

    def __init__(self, out_dir: str | None) -> None:
        self._real = (
            () if out_dir is None
            else tuple(os.path.realpath(os.path.join(out_dir, name)) for name in OUTPUT_FOLDERS)
        )  # fmt: skip

    def holds(self, path: str) -> bool:
        """Return whether ``path`` is one of them, or lies in one."""
        real = os.path.realpath(path)
        return any(real == own or real.startswith(own + os.sep) for own in self._real)


def _add(found: Sources, sources: Iterable[Source]) -> None:
    # A list may call one photo by two names; each of them is to have its row.
    seen = {(os.path.realpath(source.path), source.image_id) for source in found.all}
    for source in sources:
        key = os.path.realpath(source.path), source.image_id
        if key in seen:
            found.counts["named twice"] += 1
            continue
        seen.add(key)
        found.all.append(source)


def _in_folder(folder: str, counts: Counter[str], own: _Own) -> list[Source]:
    out = []

    def unread(error: OSError) -> None:
        counts["folders that may not be read"] += 1

    for place, folders, files in os.walk(folder, onerror=unread):
        linked = [
            name for name in folders
            if not name.startswith(".") and os.path.islink(os.path.join(place, name))
        ]  # fmt: skip
        counts["links to folders, which are not followed"] += len(linked)
        kept = [name for name in folders if not name.startswith(".") and name not in linked]
        counts["hidden folders"] += len(folders) - len(kept) - len(linked)
        folders[:] = sorted(name for name in kept if not own.holds(os.path.join(place, name)))
        for name in sorted(files):
            path = os.path.join(place, name)
            if name.startswith("."):  # also what macOS leaves beside each photo, ._name.jpg
                counts["hidden files"] += 1
            elif not name.lower().endswith(_SUFFIXES):
                counts["files that are no photos by their suffix"] += 1
            else:
                out.append(Source(path, Path(os.path.relpath(path, folder)).as_posix()))
    for reason in [reason for reason, count in counts.items() if not count]:
        del counts[reason]
    return out


def _by_pattern(pattern: str, counts: Counter[str], own: _Own) -> list[Source]:
    paths = sorted(glob.glob(pattern, recursive=True))
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = os.path.join(*fixed) if fixed else "."
    out = []
    for path in paths:
        if not os.path.isfile(path) or own.holds(path):
            continue
        if not path.lower().endswith(_SUFFIXES):
            counts["files that are no photos by their suffix"] += 1
            continue
        out.append(Source(path, Path(os.path.relpath(path, root)).as_posix()))
    if not out:
        raise FashionError(
            f"{pattern}: photos that fit the pattern expected, found none among {len(paths)} "
            f"files. Check it.{looked_up_from(pattern)}"
        )
    return out


def _in_list(path: str, images_dir: str | None, found: Sources) -> list[Source]:
    table = read_table(path, _NAME_COLUMNS)
    column = next((name for name in _NAME_COLUMNS if name in table.header), None)
    if column is None:
        raise AnnotationError(
            f"{path}:1: a column {' or '.join(_NAME_COLUMNS)} expected, got "
            f"{','.join(table.header)[:80]!r}. Name the photos in one of them."
        )
    folder = images_dir or os.path.dirname(path) or "."
    finder = PhotoFinder(folder)
    if found.ids is None:
        found.ids = []
    known = set(found.ids)
    out = []
    for line, row in table.rows:
        name = row.get(column) or ""
        if name in known:  # one row for each mask, as in train.csv
            continue
        inside(folder, name, f"{path}:{line}")
        known.add(name)
        found.ids.append(name)
        photo = finder.find(name)
        if photo.fault is not None:
            found.missing.append((name, f"{path}:{line}: {photo.fault[1]}"))
            continue
        out.append(Source(os.path.join(folder, photo.file_name), photo.file_name, image_id=name))
    return out


def _told_apart(sources: list[Source]) -> list[Source]:
    """Return the sources; where two of several folders have one file name, with folders before."""
    paths_of: dict[str, set[str]] = {}
    for source in sources:
        paths_of.setdefault(source.file_name, set()).add(os.path.realpath(source.path))
    alike = {name for name, paths in paths_of.items() if len(paths) > 1}
    if not alike:
        return sources
    parts = {s.path: Path(os.path.abspath(s.path)).parts for s in sources}
    among = [parts[s.path] for s in sources if s.file_name in alike]
    depth = 1
    while len({p[-depth:] for p in among}) < len(set(among)):
        depth += 1
    return [
        replace(s, file_name="/".join(parts[s.path][-depth:])) if s.file_name in alike else s
        for s in sources
    ]
