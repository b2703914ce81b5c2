"""Domain errors, and the one way this project words them.

Every message reads ``<where>: <what was expected>, got <value>. <what to do>``.
The command line prints such an error as one line and exits with 1; anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FashionError(ValueError):
    """A fault in what the user gave, worded so that the user can mend it."""


class OntologyError(FashionError):
    """A category that the 49-class ontology does not know, or knows twice."""


class AnnotationError(FashionError):
    """An annotation file or a row of it that cannot mean what it says."""


class MaskError(AnnotationError):
    """A run-length code or polygon that does not describe a mask."""


class ConfigError(FashionError):
    """A configuration, or an override of it, that cannot be run."""


class CheckpointError(FashionError):
    """A checkpoint that is truncated, foreign or unsafe to read."""


class DivergedError(FashionError):
    """A training whose loss has stopped being a number."""


def nearest(name: object, valid: Iterable[object], count: int = 3) -> list[str]:
    """Return up to ``count`` of ``valid`` that look most like ``name``, best first.

    Falls back to no suggestion (an empty list) when nothing is similar, because a far-fetched
    suggestion is worse than none.

    >>> nearest("snadals", ["sandals", "shoe", "sock"])
    ['sandals']
    """
    names = [str(v) for v in valid]
    by_lower: dict[str, str] = {}
    for candidate in names:
        by_lower.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[f] for f in found]


def did_you_mean(name: object, valid: Iterable[object], count: int = 3) -> str:
    """Return ``" Did you mean 'a' or 'b'?"``, or ``""`` when nothing is near.

    A sentence with the blank before it: the text before it ends in a full stop.

    >>> did_you_mean("snadals", ["sandals", "shoe", "sock"])
    " Did you mean 'sandals'?"
    """
    found = nearest(name, valid, count)
    return f" Did you mean {' or '.join(repr(f) for f in found)}?" if found else ""
