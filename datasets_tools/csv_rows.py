"""Rows of a CSV with very long fields, one a line, fast and with the line for messages.

Excel saves lists as CSV with semicolons or tabs too, so these are taken where the header has them;
and it cuts what is longer than 32,767 characters, which is told by a field of exactly that length.
Blank rows are passed by and counted.

The csv module reads a field of 30 kB character by character; a line without quotes is split at
its commas instead. A row is a line: a field that holds a line break makes two bad rows. The file
is read in blocks of whole lines, which may be shared between processes.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from datasets_tools.report import BadRow
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import unreadable

#: Characters of the longest cell of Excel, which cuts off the rest
#: (https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3).
EXCEL_CELL = 32_767
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_LONGEST_HEADER = 65536
_BLOCK_BYTES = 2**20


class Block(NamedTuple):
    """Whole lines of a file: where they start, and their bytes."""

    start: int
    n_bytes: int


class Table(NamedTuple):
    """A short CSV: its columns, its rows with their line numbers, and the blank rows left out."""

    header: list[str]
    rows: list[tuple[int, dict[Any, Any]]]
    n_blank: int


def read_table(path: str | os.PathLike[str], required: Sequence[str]) -> Table:
    """Read a short CSV as the csv module's ``DictReader`` does, texts without blanks around them.

    Args:
        path: the CSV; UTF-8, with or without byte order mark.
        required: columns by which it is told what parts the fields; whether they are there is
            for the caller to check.

    Raises:
        FashionError: for a file that cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            separator = _separator(stream.readline(), required)
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=separator)
            header = reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            lines = [(reader.line_num, _stripped(row)) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a CSV file in UTF-8") from None
    except csv.Error as error:
        raise FashionError(
            f"{path}: a CSV file expected, got another ({error}). Is this the right file?"
        ) from None
    rows = [(line, row) for line, row in lines if any(row.values())]
    return Table(header, rows, len(lines) - len(rows))


def _stripped(row: dict[Any, Any]) -> dict[Any, Any]:
    return {key: text.strip() if isinstance(text, str) else text for key, text in row.items()}


def _separator(header: str, required: Sequence[str]) -> str:
    """Return what parts the fields of a header; the comma where that cannot be told."""

    def n_found(separator: str) -> int:
        names = [name.strip() for name in split_row(header.strip("\r\n"), separator) or []]
        return sum(name in names for name in required)

    return max(_SEPARATORS, key=n_found)  # the first of equals


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
                self._stamp = _stamp(stream)
                raw = stream.readline(_LONGEST_HEADER)
                self._first = stream.tell()
                self.n_bytes = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, self.n_bytes - 1))
                is_ended = stream.read(1) == b"\n"
        except OSError as error:
            raise unreadable(self.path, error, "a CSV file") from None
        if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise AnnotationError(
                f"{self.path}: a CSV file in UTF-8 expected, got UTF-16, as Excel writes it. Take "
                "the file as downloaded: Excel cuts long masks off."
            )
        text = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
        self._separator = _separator(text, required)
        header = [name.strip() for name in split_row(text, self._separator) or []]
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
        if self._separator != ",":
            self.notes.append(
                f"{self.path.name}: its fields are parted by {_SEPARATORS[self._separator]}, not "
                "commas, as Excel does"
            )
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

    def require_unchanged(self) -> None:
        """Refuse a file that was written while it was read.

        Raises:
            FashionError: if its size or time is no longer that of the header's reading.
        """
        with open(self.path, "rb") as stream:
            if _stamp(stream) != self._stamp:
                raise FashionError(
                    f"{self.path}: a file that nobody writes meanwhile expected, got one that has "
                    "changed. Run again."
                )

    def is_blank(self, line: str) -> bool:
        """Return whether a line has nothing in its fields; Excel ends a table with such."""
        return not line.strip(f'{self._separator}" \t')

    def named(self, where: str, line: str, *, may_be_cut: bool = True) -> dict[str, str]:
        """Return the fields of a line by column name, without blanks around them.

        Args:
            where: file and line, for messages.
            line: from :meth:`lines`.
            may_be_cut: the file may come from Excel: so unless it has a longer field than Excel's.

        Raises:
            BadRow: for a line that is no row of this CSV, or has a field that Excel cut.
        """
        fields = split_row(line, self._separator)
        if fields is None or len(fields) != self._n_columns:
            got = "an open or misplaced quote" if fields is None else f"{len(fields)}"
            raise BadRow(
                "number of fields",
                f"{where}: {self._n_columns} fields on the line expected, got {got}. Is the row "
                "cut short, or broken over two lines?",
            )
        if may_be_cut and len(line) > EXCEL_CELL and EXCEL_CELL in map(len, fields):
            raise BadRow(
                "cut by Excel",
                f"{where}: a whole field expected, got one of exactly {EXCEL_CELL:,} characters, "
                "where Excel cuts off the rest. Take the file as downloaded, never saved by Excel.",
            )
        return {name: fields[at].strip() for name, at in self._position.items()}


def split_row(text: str, separator: str = ",") -> list[str] | None:
    """Return the fields of a line of CSV as the csv module does; None for a misplaced quote."""
    if '"' not in text:
        return text.split(separator)
    # One quoted field at the end, as the attributes of iMaterialist 2020 are.
    head, _, tail = text.partition('"')
    if head.endswith(separator) and tail.endswith('"') and tail.count('"') == 1:
        return [*head[:-1].split(separator), tail[:-1]]
    try:
        return next(csv.reader([text], strict=True, delimiter=separator))
    except csv.Error:
        return None


def short(text: str) -> str:
    """Return ``text`` in quotes, cut to 60 characters, for a message."""
    return repr(text) if len(text) <= 60 else f"{text[:57]!r}..."


def _stamp(stream: IO[bytes]) -> tuple[int, int]:
    stat = os.fstat(stream.fileno())
    return stat.st_size, stat.st_mtime_ns
