"""The lines of a submission, its header and fields; what is none of these is a finding."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import IO, NamedTuple

from datasets_tools.csv_rows import EXCEL_CELL, split_row
from datasets_tools.report import short

from .findings import Findings
from .rules import COLUMNS

_SEPARATORS = (",", ";", "\t")


class Line(NamedTuple):
    """A line of the file: where it begins, and its bytes, the line end included."""

    number: int
    offset: int
    raw: bytes
    is_whole: bool


class SubmissionLines:
    """Reads an open file line by line, whatever is in it.

    Args:
        stream: the file, open for bytes.
        name: what messages call it.
        size_px: side of the grid of the masks.
    """

    def __init__(self, stream: IO[bytes], name: str, size_px: int) -> None:
        self._stream = stream
        self._name = name
        # Each pixel a run of its own: no sound row is longer. A file of gigabytes without a line
        # break is read in pieces of this.
        self._longest = size_px**2 * (len(str(size_px**2)) + 3) + 65536
        # The csv module, which splits rows with quotes, takes no field of 128 KiB by itself.
        csv.field_size_limit(2**31 - 1)
        self._separator = ","
        self._position = dict(zip(COLUMNS, range(3), strict=True))
        self._n_columns = len(COLUMNS)
        self._is_from_excel = True  # until a longer field than Excel's is met

    def lines(self, number: int = 1, end: int | None = None) -> Iterator[Line]:
        """Yield the lines from where the stream is, up to the offset ``end``."""
        while end is None or self._stream.tell() < end:
            offset = self._stream.tell()
            raw = self._stream.readline(self._longest)
            if not raw:
                return
            is_whole = raw.endswith(b"\n") or len(raw) < self._longest
            rest = raw
            while not rest.endswith(b"\n") and rest:
                rest = self._stream.readline(self._longest)
            yield Line(number, offset, raw, is_whole)
            number += 1

    def read_header(self, line: Line, found: Findings) -> bool:
        """Look at the first line; return whether the rows can be read by it."""
        raw, where = line.raw, f"{self._name}:1"
        wanted = ",".join(COLUMNS)
        if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            found.error(
                "header", f"{where}: a CSV file in UTF-8 expected, got UTF-16, as Excel writes it."
            )
            return False
        if raw.startswith(codecs.BOM_UTF8):
            found.error(
                "byte order mark",
                f"{where}: '{COLUMNS[0]}' as the first bytes expected, got a byte order mark "
                "before it. Save as UTF-8 without one.",
            )
            raw = raw.removeprefix(codecs.BOM_UTF8)
        text = raw[:65536].decode("utf-8", "replace").rstrip("\r\n")
        if split_row(text) == [*COLUMNS]:
            return True
        for separator in _SEPARATORS:
            names = [name.strip() for name in split_row(text, separator) or []]
            if all(names.count(name) == 1 for name in COLUMNS):
                self._separator, self._n_columns = separator, len(names)
                self._position = {name: names.index(name) for name in COLUMNS}
                found.error(
                    "header",
                    f"{where}: {wanted} expected, got {short(text)}. The rows are read by it "
                    "nevertheless.",
                )
                return True
        found.error(
            "header",
            f"{where}: {wanted} expected, got {short(text)}. Is this the submission? The rows "
            "were not read.",
        )
        return False

    def fields(self, line: Line, found: Findings) -> dict[str, str] | None:
        """Return a line's fields by column; None, and a finding, for what is no row."""
        where = f"{self._name}:{line.number}"
        if not line.is_whole:
            found.error(
                "number of fields",
                f"{where}: a row of at most {self._longest:,} bytes expected, got a longer one. "
                "Are line breaks missing?",
            )
            return None
        if b"\0" in line.raw:
            found.error("NUL bytes", f"{where}: text expected, got NUL bytes. Was the disk full?")
            return None
        try:
            text = line.raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            found.error(
                "not UTF-8",
                f"{where}: text in UTF-8 expected, got the byte {error.object[error.start]:#x} at "
                f"{error.start + 1}. Save it as UTF-8.",
            )
            return None
        if not text.strip(f'{self._separator}" \t'):
            found.warning("blank row", f"{where}: a row expected, got a blank line. Remove it.")
            return None
        fields = split_row(text, self._separator)
        if fields is None or len(fields) != self._n_columns:
            got = "an open or misplaced quote" if fields is None else f"{len(fields)}"
            found.error(
                "number of fields",
                f"{where}: {self._n_columns} fields on the line expected, got {got}. Is the row "
                "cut short, or broken over two lines?",
            )
            return None
        longest = max(map(len, fields))
        self._is_from_excel &= longest <= EXCEL_CELL
        if self._is_from_excel and longest == EXCEL_CELL:
            found.error(
                "cut by Excel",
                f"{where}: a whole field expected, got one of exactly {EXCEL_CELL:,} characters, "
                "where Excel cuts off the rest. Hand in the file as written.",
            )
        return {name: fields[at] for name, at in self._position.items()}
