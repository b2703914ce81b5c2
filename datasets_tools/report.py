"""What every converter says at its end, and the ledger of the rows that it had to leave out."""

from __future__ import annotations

import argparse
import os
import reprlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.files import remove_stale_parts

_KEPT_PER_KIND = 3
_MOST_PRINTED = 1000
_SHOWN_ABSENT = 3


class BadRow(AnnotationError):
    """A row that cannot be used; ``kind`` is a short name of the fault, for counting."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class BadRows:
    """The ledger: each bad row is printed to stderr as it is met, and counted by kind.

    Attributes:
        limit: how many bad rows are skipped; the next one stops the work.
        where: the file that the rows come from, for the error beyond the limit.
        counts: kind -> number of rows.
        first: kind -> the first few messages.
    """

    limit: int
    where: str
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many bad rows there were, of all kinds."""
        return sum(self.counts.values())

    def add(self, kind: str, message: str) -> None:
        """Enter one bad row; ``message`` begins with ``file:line:``.

        Raises:
            AnnotationError: when this row is one more than ``limit``.
        """
        self.counts[kind] += 1
        kept = self.first.setdefault(kind, [])
        if len(kept) < _KEPT_PER_KIND:
            kept.append(message)
        if self.total <= _MOST_PRINTED:
            tqdm.write(f"skipped ({kind}): {message}", file=sys.stderr)
        elif self.total == _MOST_PRINTED + 1:
            tqdm.write("skipped: more of them, which are counted alone", file=sys.stderr)
        if self.total > self.limit:
            raise AnnotationError(
                f"{self.where}: at most {counted(self.limit, 'bad row')} expected, got "
                f"{self.total} ({self.kinds()}). Nothing was written. Mend the file, or allow "
                "more with --max-bad-rows."
            )

    def kinds(self) -> str:
        """Return ``"3 overlap, 1 unknown class"``, most frequent first."""
        return ", ".join(f"{count} {kind}" for kind, count in self.counts.most_common())

    def summary(self) -> list[str]:
        """Return the line to print at the end, as a list; an empty one if no row was bad."""
        if not self.counts:
            return []
        kinds = (
            f"{count:,} {kind} (first: {_place_of(self.first[kind][0])})"
            for kind, count in self.counts.most_common()
        )
        return [f"skipped {counted(self.total, 'bad row')}: {', '.join(kinds)}"]


def _place_of(message: str) -> str:
    """Return what a message begins with: the file and the row, as far as it names them."""
    before = message.partition(" expected")[0]
    return before.rpartition(": ")[0] or before


@dataclass(frozen=True)
class ConversionReport:
    """What a converter wrote.

    Attributes:
        out_path: the annotation file.
        n_images: images written; only such as have a mask.
        n_masks: masks written.
        masks_per_class: class name -> masks, for the classes of the file.
        bad: the rows that were left out.
        notes: what else was dropped, ignored or could not be told, a sentence each.
    """

    out_path: Path
    n_images: int
    n_masks: int
    masks_per_class: Mapping[str, int]
    bad: BadRows
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return the text to print: classes, bad rows, notes and one line last."""
        lines = []
        shown = {name: count for name, count in self.masks_per_class.items() if count}
        if shown:
            width = max(map(len, shown))
            lines += ["masks per class:"]
            lines += [f"  {name:<{width}}  {count:>8,}" for name, count in shown.items()]
        absent = [name for name, count in self.masks_per_class.items() if not count]
        if absent:
            some = "; ".join(absent[:_SHOWN_ABSENT])
            more = "; ..." if len(absent) > _SHOWN_ABSENT else ""
            lines.append(f"classes without a mask: {len(absent)} ({some}{more})")
        lines += self.bad.summary()
        lines += [f"note: {note}" for note in self.notes]
        lines.append(
            f"{self.out_path}: {counted(self.n_images, 'image')}, "
            f"{counted(self.n_masks, 'mask')}, "
            f"{len(shown)} of {len(self.masks_per_class)} classes, "
            f"{counted(self.bad.total, 'bad row')} skipped"
        )
        return "\n".join(lines)


def first_of(names: Sequence[str], count: int = 5) -> str:
    """Return how many names there are, and the first of them."""
    return f"{len(names)} ({', '.join(names[:count])}{', ...' if len(names) > count else ''})"


def add_max_bad_rows(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-bad-rows N`` to a converter's options."""
    parser.add_argument(
        "--max-bad-rows",
        type=_whole_number,
        default=100,
        metavar="N",
        help="skip and report up to N bad rows; one more stops the work (default: 100)",
    )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a whole number of at least 0 expected, got {text!r}")
    return int(text)


def say(text: str) -> None:
    """Print ``text``; characters that the output cannot encode are escaped instead of fatal."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "photo"), counted(1200, "photo"), counted(0, "copy", "copies")
    ('1 photo', '1,200 photos', '0 copies')
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def short(value: object) -> str:
    """Return ``value`` as a message shows it: at most 60 characters, whatever its size."""
    text = reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def sweep(*targets: str | os.PathLike[str], folder_of: frozenset[str] | None = None) -> None:
    """Remove what killed runs left beside ``targets``, and say so; see ``remove_stale_parts``."""
    for target in targets:
        for path in remove_stale_parts(target, folder_of):
            print(f"removed {path}, the leftover of a killed run", file=sys.stderr)
