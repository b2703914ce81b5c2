"""Rows of a CSV with very long fields, one a line, fast and with the line for messages.

The csv module reads a field of 30 kB character by character; a line without quotes is split at
its commas instead. A row is a line: a field that holds a line break makes two bad rows.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from datasets_tools.report import BadRow
from fashion_mmdet.core.errors import AnnotationError, FashionError

_LONGEST_HEADER = 65536


class CsvRows:
    """The rows as ``(file:line, line, fields)``; blank lines are passed by.

    ``fields`` is None where the line is no row of the CSV.

    Args:
        path: the CSV; UTF-8, with or without byte order mark.
        required: columns that it must have, each once, in any order.
        optional: columns that it may have.
        progress: show a progress bar where stderr is a terminal.

    Attributes:
        columns: the required and optional columns that it has.
        notes: what is to be said at the end.

    Raises:
        FashionError: for a file that cannot be read or has other columns.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        required: Sequence[str],
        optional: Sequence[str] = (),
        progress: bool = False,
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self._progress = progress
        csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than one large mask
        try:
            with open(self.path, "rb") as stream:
                raw = stream.readline(_LONGEST_HEADER)
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
        unused = [name for name in header if name not in self.columns]
        if unused:
            self.notes.append(f"columns not used: {', '.join(unused)}")

    def __iter__(self) -> Iterator[tuple[str, int, list[str] | None]]:
        hidden = None if self._progress else True  # None: hidden unless stderr is a terminal
        raw = b""
        with open(self.path, "rb") as stream, tqdm(
            total=os.fstat(stream.fileno()).st_size, unit="B", unit_scale=True, disable=hidden,
            desc=self.path.name,
        ) as bar:  # fmt: skip
            for line, raw in enumerate(stream, start=1):
                bar.update(len(raw))
                text = raw.decode("utf-8", "replace").rstrip("\r\n")
                if line > 1 and text.strip():
                    yield f"{self.path.name}:{line}", line, split_row(text)
        if not raw.endswith(b"\n"):
            self.notes.append(
                f"{self.path.name} does not end in a line break; if it was cut short, rows are "
                "missing and the last may lack its end"
            )

    def named(self, where: str, fields: list[str] | None) -> dict[str, str]:
        """Return the fields by column name, without blanks around them."""
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
