"""What the catalogue says of one kind of finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        severity: see :mod:`.catalogue`.
        meaning: what is the matter.
        advice: what to do.
        fix: what ``--fix`` does about it, empty for nothing.
        is_usual: every real set has it: the terminal gives it one line.
    """

    severity: Literal["error", "warning", "note"]
    meaning: str
    advice: str
    fix: str = ""
    is_usual: bool = False

    @property
    def what_to_do(self) -> str:
        """The advice, and what ``--fix`` does."""
        return self.advice + (f" --fix: {self.fix}." if self.fix else "")


#: What ``--fix`` does about many kinds.
DROP_ANNOTATION = "the annotation is removed"
DROP_IMAGE = "the image and its annotations are removed"
