"""Text on pictures: a font that has its characters, or the characters escaped.

Pillow draws what a font lacks as boxes, alike for every name; a browser looks for another font.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

_ELLIPSIS = "…"
# A font that has a box for every character of Unicode; matplotlib and macOS come with one.
_NO_FONT = "lastresort"


def printable(text: str, length: int = 40) -> str:
    """Return a text that fonts can draw: one short line of whole characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    line = "".join(c if c.isprintable() else " " for c in whole)
    return line if len(line) <= length else f"{line[: length - 1]}{_ELLIPSIS}"


def lettering(text: str, length: int, size_px: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return ``text`` as it is to be drawn, at most ``length`` characters, and its font.

    The font is an installed one where DejaVu Sans lacks a character. Where none has it, what
    DejaVu Sans lacks is written by number, as in ``\\u0e01``.
    """
    line = printable(text, length)
    path = _font_with(_beyond_our_font(line))
    if path is None:
        known = _characters_of(_our_font())
        line = printable("".join(c if ord(c) in known else _numbered(c) for c in line), length)
    return line, _loaded(path or _our_font(), size_px)


def is_escaped(text: str) -> bool:
    """Return whether :func:`lettering` writes characters of ``text`` by number."""
    return _font_with(_beyond_our_font(printable(text, len(text)))) is None


def label_font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib and knows more letters than Pillow's own."""
    return _loaded(_our_font(), size_px)


def _our_font() -> str:
    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def _numbered(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _beyond_our_font(line: str) -> frozenset[int]:
    known = _characters_of(_our_font())
    return frozenset(map(ord, line)) if any(ord(c) not in known for c in line) else frozenset()


@functools.lru_cache(maxsize=1024)
def _font_with(characters: frozenset[int]) -> str | None:
    """Return the first installed font that has all characters; ours for none at all."""
    if not characters:
        return _our_font()
    return next((p for p in _installed() if characters <= _characters_of(p)), None)


@functools.lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    found: Iterable[str] = font_manager.findSystemFonts()
    return tuple(sorted(p for p in found if _NO_FONT not in Path(p).name.lower()))


@functools.cache
def _characters_of(path: str) -> frozenset[int]:
    """Return the characters of a font; none of one that cannot be drawn with."""
    try:
        characters = frozenset(FT2Font(path).get_charmap())
        _loaded(path, 12)  # fonts of coloured pictures come in one size only
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return characters


@functools.lru_cache(maxsize=32)
def _loaded(path: str, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size_px)
