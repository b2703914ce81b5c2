"""A table between two markers of a document, rewritten by command and checked by CI."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import unreadable, write_text

BEGIN = "<!-- fashion compare: begin -->"
END = "<!-- fashion compare: end -->"


def update(path: str | os.PathLike[str], text: str) -> bool:
    """Put ``text`` between the markers of ``path``.

    Returns:
        Whether that changed the file.

    Raises:
        FashionError: for a file without the two markers, once each and in order.
    """
    whole = _read(path)
    new = _with(path, whole, text)
    if new == whole:
        return False
    write_text(path, new)
    return True


def is_stale(path: str | os.PathLike[str], text: str) -> bool:
    """Return whether :func:`update` would change the file; errors as it has."""
    whole = _read(path)
    return _with(path, whole, text) != whole


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a Markdown file in UTF-8") from None


def _with(path: str | os.PathLike[str], whole: str, text: str) -> str:
    found = (whole.count(BEGIN), whole.count(END))
    match = re.search(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", whole, flags=re.DOTALL)
    if found != (1, 1) or match is None:
        raise FashionError(
            f"{path}: one '{BEGIN}' and one '{END}' after it expected, got {found[0]} and "
            f"{found[1]}. Write the two lines where the table is to stand."
        )
    # Not re.sub: a table may hold backslashes.
    return f"{whole[: match.start(1)]}\n{text.strip()}\n{whole[match.end(1) :]}"
