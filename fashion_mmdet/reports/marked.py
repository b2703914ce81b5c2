"""A table between two markers of a document, rewritten by command and checked by CI."""

from __future__ import annotations

import os
import re
import stat

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import require_writable, unreadable, write_text

BEGIN = "<!-- fashion compare: begin -->"
END = "<!-- fashion compare: end -->"
# Markdown ends lines by any of the three.
_LINE = re.compile(r"[^\r\n]*(\r\n|\r|\n|\Z)")
# An indent of four is a code block.
_MARKER = re.compile(rf" {{0,3}}({re.escape(BEGIN)}|{re.escape(END)})[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")


def require_updatable(path: str | os.PathLike[str]) -> None:
    """Raise what :func:`update` would, before the text that is to be put there is made."""
    _parts(path, _read(path))
    require_writable(path)
    mode = os.stat(path).st_mode
    # The file is replaced, which its folder decides on, and root may anything: its own bits count.
    if not os.access(path, os.W_OK) or not mode & stat.S_IWUSR:
        raise FashionError(
            f"{path}: a file that may be written expected, got one of mode "
            f"{stat.S_IMODE(mode):04o}. Let it be written (chmod u+w) if it is to be changed."
        )


def update(path: str | os.PathLike[str], text: str) -> bool:
    """Put ``text`` between the markers of ``path``, with the line ends that it has there.

    Returns:
        Whether that changed the file.

    Raises:
        FashionError: for a file that may not be written, or without the two markers, once each and
            in order, each alone on its line and outside code.
    """
    require_updatable(path)
    whole = _read(path)
    new = _with(path, whole, text)
    if new == whole:
        return False
    write_text(path, new)
    return True


def is_stale(path: str | os.PathLike[str], text: str) -> bool:
    """Return whether :func:`update` would change the file; errors as it has, save of writing."""
    whole = _read(path)
    return _with(path, whole, text) != whole


def require_markers(path: str | os.PathLike[str]) -> None:
    """Raise :class:`FashionError` for a file that cannot be read or lacks the markers."""
    _parts(path, _read(path))


def _read(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as stream:  # line ends as they are
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a Markdown file in UTF-8") from None


def _with(path: str | os.PathLike[str], whole: str, text: str) -> str:
    before, after, line_end = _parts(path, whole)
    return before + line_end.join([*text.strip().split("\n"), ""]) + after


def _parts(path: str | os.PathLike[str], whole: str) -> tuple[str, str, str]:
    """Return what stands before the table and after it, and how its lines end."""
    found: list[tuple[str, re.Match[str]]] = []
    fence = ""
    for line in _LINE.finditer(whole):
        text = line.group().rstrip("\r\n")
        opened = _FENCE.match(text)
        if fence:
            # Closed by as many of the same mark, or more, and nothing else.
            if opened and opened[1].startswith(fence) and not text[opened.end() :].strip(" \t"):
                fence = ""
        elif opened:
            fence = opened[1]
        elif marker := _MARKER.fullmatch(text.removeprefix("\ufeff")):
            found.append((marker[1], line))
    if [name for name, _ in found] != [BEGIN, END]:
        counts = [sum(name == wanted for name, _ in found) for wanted in (BEGIN, END)]
        order = " in the other order" if counts == [1, 1] else ""
        raise FashionError(
            f"{path}: one '{BEGIN}' and one '{END}' after it expected, each alone on its line and "
            f"outside code, got {counts[0]} and {counts[1]}{order}. Write the two lines where the "
            "table is to stand."
        )
    begin, end = (line for _, line in found)
    return whole[: begin.end()], whole[end.start() :], begin[1]
