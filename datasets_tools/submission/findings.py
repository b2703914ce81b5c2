"""What the checker found: findings by kind, and the counts of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from datasets_tools.report import counted

Severity = Literal["error", "warning"]
#: Messages that are kept of each kind.
SHOWN_PER_KIND = 5


@dataclass
class Findings:
    """What was found, by kind: all of it is counted, the first few of a kind are kept to be shown.

    Attributes:
        shown: how many messages of a kind are kept; 0: all.
        counts: (severity, kind) -> how often.
        first: (severity, kind) -> messages, each with its place.
    """

    shown: int = SHOWN_PER_KIND
    counts: Counter[tuple[Severity, str]] = field(default_factory=Counter)
    first: dict[tuple[Severity, str], list[str]] = field(default_factory=dict)

    def error(self, kind: str, message: str) -> None:
        """Enter what the competition would refuse or score as a miss."""
        self._add("error", kind, message)

    def warning(self, kind: str, message: str) -> None:
        """Enter what is suspicious."""
        self._add("warning", kind, message)

    def _add(self, severity: Severity, kind: str, message: str) -> None:
        self.counts[severity, kind] += 1
        kept = self.first.setdefault((severity, kind), [])
        if not self.shown or len(kept) < self.shown:
            kept.append(message)

    def n(self, severity: Severity) -> int:
        """Return how many there are of a severity."""
        return sum(count for (s, _), count in self.counts.items() if s == severity)

    def lines(self) -> Iterator[str]:
        """Yield the lines to print: errors first, the most frequent kinds first."""
        for (severity, kind), count in sorted(
            self.counts.items(), key=lambda item: (item[0][0], -item[1])
        ):
            yield f"{severity}: {kind} ({count:,}):"
            messages = self.first[severity, kind]
            yield from (f"    {message}" for message in messages)
            if count > len(messages):
                yield f"    and {count - len(messages):,} more"


@dataclass
class SubmissionCheck:
    """What a submission has, and what is wrong with it.

    Attributes:
        n_images: images that have a row.
        n_rows: rows, the faulty ones included.
        n_empty: images without a mask, all of whose rows are that of an empty one.
        class_ids: categories that masks are of.
        findings: what is wrong.
    """

    n_images: int = 0
    n_rows: int = 0
    n_empty: int = 0
    class_ids: set[int] = field(default_factory=set)
    findings: Findings = field(default_factory=Findings)

    def summary(self) -> str:
        """Return the line to print last, without the file's name."""
        counts = (
            counted(self.n_images, "image"), f"{self.n_empty:,} of them empty",
            counted(self.n_rows, "row"), counted(len(self.class_ids), "class", "classes"),
        )  # fmt: skip
        errors, warnings = self.findings.n("error"), self.findings.n("warning")
        return f"{', '.join(counts)}: {counted(errors, 'error')}, {counted(warnings, 'warning')}"
