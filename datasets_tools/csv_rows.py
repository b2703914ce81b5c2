"""Rows of a CSV with very long fields, one a line, fast and with the line for messages.

The csv module reads a field of 30 kB character by character; a line without quotes is split at
its commas instead. A row is a line: a field that holds a line break makes two bad rows. The file
is read in blocks of whole lines, which may be shared between processes.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets_tools.report import BadRow
from fashion_mmdet.core.errors import AnnotationError, FashionError

_LONGEST_HEADER = 65536
_BLOCK_BYTES = 2**20


class Block(NamedTuple):
    """Whole lines of a file: where they start, and their bytes."""

    start: int
    n_bytes: int


class CsvRows:
    """The header of a CSV, and its lines in blocks.

    Args:
        path: the CSV; UTF-8, with or without byte order mark.
        required: columns that it must have, each once, in any order.
        optional: columns that it may have.

    Attributes:
        columns: the required and optional columns that it has.
        n_bytes: the size of the file.
        notes: what is to be said at the end.

    Raises:
        FashionError: for a file that cannot be read or has other columns.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        required: Sequence[str],
        optional: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than one large mask
        try:
            with open(self.path, "rb") as stream:
                raw = stream.readline(_LONGEST_HEADER)
                self._first = stream.tell()
                self.n_bytes = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, self.n_bytes - 1))
                is_ended = stream.read(1) == b"\n"
        except OSError as error:
            raise FashionError(
                f"{self.path}: a readable CSV file expected, got {error.strerror}. Check the path."
            ) from None
        text = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
        header = [name.strip() for name in split_row(text) or []]
        once = [name for name in required if header.count(name) == 1]
        twice = [name for name in optional if header.count(name) > 1]
        if len(once) < len(required) or twice:
            raise AnnotationError(
                f"{self.path}:1: the columns {', '.join((*required, *twice))} expected, each once, "
                f"got {short(','.join(header))}. Is this train.csv, unzipped?"
            )
        self.columns = (*required, *(name for name in optional if name in header))
        self._position = {name: header.index(name) for name in self.columns}
        self._n_columns = len(header)
        if not is_ended:
            self.notes.append(
                f"{self.path.name} does not end in a line break; if it was cut short, rows are "
                "missing and the last may lack its end"
            )
        unused = [name for name in header if name not in self.columns]
        if unused:
            self.notes.append(f"columns not used: {', '.join(unused)}")

    def blocks(self) -> Iterator[Block]:
        """Yield the lines after the header in blocks of whole lines, of 1 MB or little more."""
        with open(self.path, "rb") as stream:
            start = self._first
            while start < self.n_bytes:
                stream.seek(min(start + _BLOCK_BYTES, self.n_bytes) - 1)
                stream.readline()
                end = stream.tell()
                yield Block(start, end - start)
                start = end

    def lines(self, block: Block) -> list[str]:
        """Return the lines of a block, without their ends; a blank line is a line too.

        Raises:
            FashionError: if the file has changed meanwhile.
        """
        with open(self.path, "rb") as stream:
            stream.seek(block.start)
            raw = stream.read(block.n_bytes)
        if len(raw) < block.n_bytes:
            raise FashionError(
                f"{self.path}: a file that nobody writes meanwhile expected, got one that has "
                "become shorter. Run again."
            )
        text = raw.decode("utf-8", "replace").removesuffix("\n")
        return [line.rstrip("\r") for line in text.split("\n")]

    def named(self, where: str, line: str) -> dict[str, str]:
        """Return the fields of a line by column name, without blanks around them.

        Raises:
            BadRow: for a line that is no row of this CSV.
        """
        fields = split_row(line)
        if fields is None or len(fields) != self._n_columns:
            got = "an open or misplaced quote" if fields is None else f"{len(fields)}"
            raise BadRow(
                "number of fields",
                f"{where}: {self._n_columns} fields on the line expected, got {got}. Is the row "
                "cut short, or broken over two lines?",
            )
        return {name: fields[at].strip() for name, at in self._position.items()}


def split_row(text: str) -> list[str] | None:
    """Return the fields of a line of CSV as the csv module does; None for a misplaced quote."""
    if '"' not in text:
        return text.split(",")
    # One quoted field at the end, as the attributes of iMaterialist 2020 are.
    head, _, tail = text.partition('"')
    if head.endswith(",") and tail.endswith('"') and tail.count('"') == 1:
        return [*head[:-1].split(","), tail[:-1]]
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return None


def short(text: str) -> str:
    """Return ``text`` in quotes, cut to 60 characters, for a message."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."
