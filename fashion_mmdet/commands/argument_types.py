"""Kinds of values that arguments of several commands have, refused with what is expected."""

from __future__ import annotations

import argparse

from fashion_mmdet.core.files import shown

_MOST = 1_000_000


def share(text: str) -> float:
    """Return a number from 0 to 1, e.g. a score."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"0 to 1 expected, got {shown(text)!r}")
    return number


def whole(text: str) -> int:
    """Return a whole number of at least 0."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not least <= number <= _MOST:
        raise argparse.ArgumentTypeError(
            f"a whole number from {least} on expected, got {shown(text)!r}"
        )
    return number
