"""Lists and groups of photos as text files, and the units that a draw may not part.

A list holds one file name or stem a line, blanks and ``#`` within it included; a group file holds
one group a line, names parted by tabs, as we write it, or, in a line without any, by spaces. A
line that begins with ``#`` is a comment in both; before a name that does, write ``\\``.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fashion_mmdet.core.errors import AnnotationError, FashionError, did_you_mean
from fashion_mmdet.core.files import write_text

Node = TypeVar("Node", bound=Hashable)

#: The splits, in the order of ``--fractions``, of tables and of files.
SPLITS = ("train", "val", "test")


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Read one name a line, without comments and blank lines."""
    return _lines(path)


def read_groups(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read one group a line: names parted by spaces, or by tabs where the line has one.

    Raises:
        FashionError: for a table with commas, such as the pairs that ``dedupe --table`` writes.
    """
    lines = _lines(path)
    if Path(path).suffix.lower() == ".csv" or (lines and "file_name_1," in lines[0]):
        raise FashionError(
            f"{path}: a group file, names parted by tabs or spaces, expected, got a table with "
            "commas. Give the file that fashion data dedupe writes as --out."
        )
    return [
        [name for name in line.split("\t") if name] if "\t" in line else line.split()
        for line in lines
    ]


def read_lists(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read ``train.txt``, ``val.txt`` and ``test.txt`` of ``folder``, those that are there."""
    paths = {split: Path(folder) / f"{split}.txt" for split in SPLITS}
    lists = {split: read_list(path) for split, path in paths.items() if path.is_file()}
    if not lists:
        raise FashionError(
            f"{folder}: a folder with {', '.join(p.name for p in paths.values())} expected, "
            "found none of them. Check the path."
        )
    return lists


def list_text(title: str, names: Iterable[str], origin: str) -> str:
    """Return the text of a list: a first line that says what it is, then a sorted name a line."""
    lines = sorted(line_of(name) for name in names)
    return f"# {title}: {len(lines)} images. {origin}\n" + "".join(f"{line}\n" for line in lines)


def line_of(name: str) -> str:
    """Return the line of a list that :func:`read_list` reads as ``name``."""
    if "\n" in name or "\r" in name:
        raise AnnotationError(
            f"images: file names of one line expected, got {name!r}. Rename the photo."
        )
    return f"\\{name}" if name.startswith(("#", "\\")) or not name.strip() else name


def write_groups(
    path: str | os.PathLike[str], groups: Iterable[Sequence[str]], origin: str
) -> None:
    """Write a group file that :func:`read_groups` reads as ``groups``."""
    lines = [f"# {origin}"]
    for group in groups:
        if any("\t" in name for name in group):
            raise AnnotationError(
                f"groups: file names without tabs expected, got {list(group)!r}. Rename the photo."
            )
        lines.append(line_of("\t".join(group)))
    write_text(path, "\n".join(lines) + "\n")


class NameIndex:
    """Finds a file name by itself or by its stem (``a/0002.jpg`` by ``a/0002``).

    ``./a//0002.jpg`` is another spelling of ``a/0002.jpg``, not another photo.

    Raises:
        AnnotationError: for a file name given twice, in whatever spelling.
    """

    def __init__(self, file_names: Iterable[str]) -> None:
        self.file_names = list(file_names)
        spellings: dict[str, list[str]] = {}
        for name in self.file_names:
            spellings.setdefault(posixpath.normpath(name), []).append(name)
        for name, names in spellings.items():
            if len(names) > 1:
                others = [repr(other) for other in dict.fromkeys(names) if other != name]
                also = f" (also as {', '.join(others)})" if others else ""
                raise AnnotationError(
                    f"images: each file name once expected, got {name!r} {len(names)} times{also}. "
                    "Merge the entries."
                )
        self._of_name = {plain: names[0] for plain, names in spellings.items()}
        self._of_stem: dict[str, list[str]] = {}
        for plain, name in self._of_name.items():
            self._of_stem.setdefault(os.path.splitext(plain)[0], []).append(name)
        self._of_tail: dict[str, str] | None = None

    def find(self, name: str) -> str | None:
        """Return the file name that ``name`` means, or None."""
        plain = posixpath.normpath(name)
        if plain in self._of_name:
            return self._of_name[plain]
        found = self._of_stem.get(plain, [])
        if not found and name != name.strip():
            # Blanks around a name are part of it only where an image is really called so.
            return self.find(name.strip())
        if len(found) > 1:
            raise AnnotationError(
                f"lists: a name of one image expected, got {name!r}, which fits "
                f"{' and '.join(found)}. Write the file name with its ending."
            )
        return found[0] if found else None

    def elsewhere(self, name: str) -> str | None:
        """Return the file name that is ``name`` but for folders before it, or None.

        To be asked of a name that :meth:`find` does not find: ``a/0002.jpg`` is ``0002.jpg`` of a
        set that was merged since, or ``0002.jpg`` is ``a/0002.jpg`` of one that was not.
        """
        if self._of_tail is None:
            self._of_tail = {
                tail: names[0] for stem, names in self._of_stem.items() for tail in _tails(stem)
            }
        plain = posixpath.normpath(name)
        for stem in (plain, os.path.splitext(plain)[0]):
            if stem in self._of_tail:
                return self._of_tail[stem]
            for tail in _tails(stem):
                if tail in self._of_stem:
                    return self._of_stem[tail][0]
        return None


def _tails(name: str) -> list[str]:
    """Return ``name`` without its first folder, without its first two, ...: the longest first."""
    parts = name.split("/")
    return ["/".join(parts[k:]) for k in range(1, len(parts))]


def units_of(index: NameIndex, groups: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return groups and single images, each sorted, every image once."""
    unit_of: dict[str, list[str]] = {name: [name] for name in index.file_names}
    for group in groups:
        members = sorted({found for name in group if (found := index.find(name)) is not None})
        for name in members:
            if len(unit_of[name]) > 1:
                raise AnnotationError(
                    f"groups: every image in one group expected, got {name!r} in two. "
                    "Write the two groups on one line."
                )
            unit_of[name] = members
    return [unit for name, unit in unit_of.items() if unit[0] == name]


def connected(links: Iterable[Sequence[Node]]) -> list[list[Node]]:
    """Join groups that share a member; each is sorted, and so are the groups.

    >>> connected([("a", "c"), ("d", "e"), ("c", "b")])
    [['a', 'b', 'c'], ['d', 'e']]
    """
    group_of: dict[Node, list[Node]] = {}
    for link in links:
        for node in link:
            first = group_of.setdefault(link[0], [link[0]])
            other = group_of.setdefault(node, [node])
            if first is other:
                continue
            if len(first) < len(other):
                first, other = other, first
            first += other
            group_of.update(dict.fromkeys(other, first))
    whole = {id(group): sorted(group) for group in group_of.values()}  # type: ignore[type-var]
    return sorted(whole.values())


def groups_by_key(
    images: Sequence[Mapping[str, Any]], key: str, where: str
) -> tuple[list[list[str]], int]:
    """Return the groups of images that have the same value of ``key``, and how many lack the key.

    Args:
        images: the ``images`` list of a COCO file.
        key: of the image entries, e.g. ``pair_id``; null is as good as absent.
        where: the file, for messages.

    Raises:
        FashionError: for a key that no image has.
        AnnotationError: for a value that is neither text nor number.
    """
    groups: dict[Any, list[str]] = {}
    absent = 0
    for index, image in enumerate(images):
        value = image.get(key)
        if value is None:
            absent += 1
        elif isinstance(value, (str, int, float)):
            groups.setdefault(value, []).append(image["file_name"])
        else:
            raise AnnotationError(
                f"{where}: images[{index}]: a text or a number as {key!r} expected, got "
                f"{repr(value)[:60]}. Choose another --group-by."
            )
    if not groups:
        keys = {name for image in images for name in image}
        raise FashionError(
            f"{where}: a key of the images expected as --group-by, got {key!r}, which none has."
            f"{did_you_mean(key, keys)} They have: {', '.join(sorted(keys)) or 'none'}."
        )
    return list(groups.values()), absent


def _lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines that are no comments; of a line, only its end is taken away."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FashionError(
            f"{path}: a text file with a name a line expected, got {error}. Check the path."
        ) from None
    # Not splitlines(), which also parts at characters that a name may hold.
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith("#"))
    return [line[1:] if line.startswith("\\") else line for line in lines]
