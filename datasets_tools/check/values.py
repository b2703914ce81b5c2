"""What a value of a COCO file is, of whatever type, and how a message shows it."""

from __future__ import annotations

import math
from typing import TypeGuard


def is_id(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is a whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def is_number(value: object) -> bool:
    """Return whether ``value`` is a finite number that a double can hold."""
    return is_id(value) or (isinstance(value, float) and math.isfinite(value))


def not_finite(value: object) -> bool:
    """Return whether ``value``, or a number in the list that it is, is NaN or infinite."""
    # A stack of its own: a file may nest lists deeper than Python calls.
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, float) and not math.isfinite(value):
            return True
    return False


def holds_not_finite(value: object) -> bool:
    """Return whether a NaN or infinite number is anywhere in ``value``, objects too."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, float) and not math.isfinite(value):
            return True
    return False


def decodable(text: str) -> str:
    """Return a path's text as UTF-8 can hold it: bytes of a name that are none become U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def short(value: object) -> str:
    """Return ``value`` as a message shows it: 60 characters at most."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested too deep to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
