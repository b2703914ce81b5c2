"""What ``fashion data check`` can find: the catalogue of kinds, and the list of what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .catalogue import CATALOGUE

Severity = Literal["error", "warning", "note"]
#: Most severe first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One fault at one place.

    Attributes:
        kind: a key of :data:`.catalogue.CATALOGUE`.
        message: what was expected and what is there.
        where: the place, e.g. ``train.json: annotations[7] (id 8)``.
        image_id: the image's id; None where there is none or it is not a whole number.
        annotation_id: likewise.
        file_name: the photo's.
        entry: list of the file and position in it, for the repair; None for the whole file.
        found_name: the name under which a photo was found, for the repair.
    """

    kind: str
    message: str
    where: str
    image_id: int | None = None
    annotation_id: int | None = None
    file_name: str | None = None
    entry: tuple[str, int] | None = None
    found_name: str | None = None

    @property
    def severity(self) -> str:
        """``error``, ``warning`` or ``note``: that of its kind."""
        return CATALOGUE[self.kind].severity

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON and the page take it."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "image_id": self.image_id,
            "annotation_id": self.annotation_id,
            "file_name": self.file_name,
            "where": self.where,
        }


class Findings:
    """All that was found, in the order in which it was met."""

    def __init__(self) -> None:
        self._found: list[Finding] = []

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def add(self, kind: str, message: str, where: str, **place: Any) -> None:
        """Enter one finding; ``place`` as the attributes of :class:`Finding`."""
        if kind not in CATALOGUE:
            raise KeyError(f"{kind!r} is not in the catalogue of findings")
        self._found.append(Finding(kind, message, where, **place))

    def of_severity(self, severity: str) -> int:
        """Return how many findings have this severity."""
        return sum(finding.severity == severity for finding in self._found)

    def ranked(self) -> list[tuple[str, list[Finding]]]:
        """Return (kind, its findings): most severe first, then most frequent."""
        of_kind: dict[str, list[Finding]] = {}
        for finding in self._found:
            of_kind.setdefault(finding.kind, []).append(finding)
        return sorted(
            of_kind.items(),
            key=lambda item: (SEVERITIES.index(CATALOGUE[item[0]].severity), -len(item[1])),
        )

    def counts(self) -> Counter[str]:
        """Return kind -> how often."""
        return Counter(finding.kind for finding in self._found)
