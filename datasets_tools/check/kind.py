"""What the catalogue says of one kind of finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One kind of finding; ``fix`` says what ``--fix`` does about it, empty for nothing."""

    severity: Literal["error", "warning", "note"]
    meaning: str
    advice: str
    fix: str = ""


#: What ``--fix`` does about many kinds.
DROP_ANNOTATION = "the annotation is removed"
DROP_IMAGE = "the image and its annotations are removed"
