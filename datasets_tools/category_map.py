"""Which category each name of a source becomes: one CSV a source in ``maps/``, or the user's own.

Columns: ``name`` (the source's), ``category`` (one of the 49; empty: it has no counterpart and is
left out, counted), and, where a source needs them, ``id`` (the source's number), ``split``
(``yes``: one mask is a pair, to be parted into left and right) and ``note`` (why).

A label is looked up as it is written, then without regard to case and to blanks, hyphens and
underscores: people type ``T-Shirt`` and ``high_heels``.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets_tools.csv_rows import read_table
from datasets_tools.report import say
from fashion_mmdet.core import ontology
from fashion_mmdet.core.errors import FashionError, OntologyError, did_you_mean

MAPS = Path(__file__).with_name("maps")
_COLUMNS = ("name", "category", "id", "split", "note")
_REQUIRED = ("name", "category")


@dataclass(frozen=True)
class MapRow:
    """One name of a source: ``category`` is None where the 49 have no counterpart."""

    name: str
    category: str | None
    id: int | None = None
    is_pair: bool = False
    note: str = ""


@dataclass(frozen=True)
class CategoryTable:
    """A source's names and what they become, in the order of the file.

    Attributes:
        path: the CSV that it was read from.
        rows: name -> row.
        added: the CSV whose rows were added to it, if any.
    """

    path: Path
    rows: dict[str, MapRow]
    added: Path | None = None

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], add: str | os.PathLike[str] | None = None
    ) -> CategoryTable:
        """Read a CSV.

        Args:
            path: the table.
            add: a further one, whose rows are added; a row of the same name takes the place of
                the table's, and its id where it has none of its own.

        Raises:
            FashionError: for a file that cannot be read or has other columns.
            OntologyError: for a category that the ontology does not have, or a name given twice.
        """
        rows = _read_rows(path)
        if add is None:
            return cls(Path(path), rows)
        for name, row in _read_rows(add).items():
            older = rows.get(name)
            rows[name] = replace(row, id=older.id) if older and row.id is None else row
        _refuse_id_twice(rows, str(add))
        return cls(Path(path), rows, Path(add))

    def find(self, name: str) -> MapRow | None:
        """Return the row of ``name``, else the only one that reads the same but for its spelling.

        Case, and whether words are parted by blanks, hyphens or underscores, are the spelling.
        """
        return self.rows.get(name) or self._by_spelling.get(plain_name(name))

    @cached_property
    def _by_spelling(self) -> dict[str, MapRow | None]:
        found: dict[str, MapRow | None] = {}
        for name, row in self.rows.items():
            plain = plain_name(name)
            found[plain] = None if plain in found else row  # two: neither can be told
        return found

    def row(self, name: str, where: str) -> MapRow:
        """Return the row that :meth:`find` finds.

        Raises:
            OntologyError: if there is none; names the nearest.
        """
        row = self.find(name)
        if row is None:
            raise self._missing([name], where)
        return row

    def require(self, names: Iterable[str], where: str) -> None:
        """Raise OntologyError, naming all of ``names`` that the table lacks, if there are any."""
        missing = sorted(name for name in set(names) if self.find(name) is None)
        if missing:
            raise self._missing(missing, where)

    def _missing(self, names: Iterable[str], where: str) -> OntologyError:
        lines = [f"{name!r}.{did_you_mean(name, self.rows)}" for name in names]
        tables = f"{self.path} and {self.added}" if self.added else f"{self.path}"
        return OntologyError(
            f"{where}: names of {tables} expected, got {' '.join(lines)} Give rows for them in a "
            "CSV with --map-add (columns name, category; an empty category leaves a name out), or "
            "a whole table of your own with --map; --show-map prints the present one."
        )

    def name_of_id(self) -> dict[int, str]:
        """Return id -> name, for sources that write numbers."""
        return {row.id: row.name for row in self.rows.values() if row.id is not None}

    def text(self) -> Iterator[str]:
        """Yield the table as ``--show-map`` prints it, a line at a time: CSV, to be edited."""
        yield ",".join(_COLUMNS)
        for row in self.rows.values():
            fields = (row.name, row.category or "", row.id, "yes" if row.is_pair else "", row.note)
            yield ",".join(_quoted("" if field is None else str(field)) for field in fields)


def plain_name(name: str) -> str:
    """Return ``name`` as names are compared: case, and what parts its words, play no part.

    >>> plain_name("High_Heels") == plain_name("high-heels")
    True
    """
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def taken_as(names: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Yield what is to be said of names found by another spelling: (the source's, ours) -> times.

    >>> list(taken_as({("Jacket", "jacket"): 12}))
    ["'Jacket' taken as 'jacket' (12)"]
    """
    for (name, ours), count in sorted(names.items()):
        if count:
            yield f"{name!r} taken as {ours!r} ({count:,})"


def _read_rows(path: str | os.PathLike[str]) -> dict[str, MapRow]:
    table = read_table(path, _REQUIRED)
    header = table.header
    known = set(header) <= set(_COLUMNS) and len(set(header)) == len(header)
    if not known or not set(_REQUIRED) <= set(header):
        raise FashionError(
            f"{path}:1: the columns {', '.join(_REQUIRED)}, and if need be id, split, note, "
            f"each once, expected, got {', '.join(header) or 'none'}. See --show-map."
        )
    rows: dict[str, MapRow] = {}
    for line, fields in table.rows:
        row = _row(f"{path}:{line}", fields)
        if rows.setdefault(row.name, row) is not row:
            raise OntologyError(
                f"{path}:{line}: each name once expected, got {row.name!r} twice. Remove one."
            )
        _refuse_id_twice(rows, f"{path}:{line}")
    if not rows:
        raise FashionError(f"{path}: a row for each name of the source expected, got none.")
    return rows


def _refuse_id_twice(rows: Mapping[str, MapRow], where: str) -> None:
    ids = Counter(row.id for row in rows.values() if row.id is not None)
    for number, times in ids.items():
        if times > 1:
            raise OntologyError(f"{where}: each id once expected, got {number} twice. Mend one.")


def _row(where: str, fields: dict[Any, Any]) -> MapRow:
    texts = {name: (fields.get(name) or "").strip() for name in _COLUMNS}
    if None in fields or fields["category"] is None or not texts["name"]:
        got = ",".join(str(value) for value in fields.values() if value is not None)
        raise FashionError(
            f"{where}: a name and its category, which may be empty, expected, got {got!r}. "
            "Are commas missing, or in a name without quotes?"
        )
    if texts["category"]:
        ontology.category(texts["category"], where=f"{where}: {texts['name']!r}")
    number = texts["id"]
    if number and not (number.isascii() and number.isdigit()):
        raise FashionError(f"{where}: a whole number as id expected, got {number!r}. Mend it.")
    if texts["split"] not in ("", "yes", "no"):
        raise FashionError(
            f"{where}: 'yes', 'no' or nothing as split expected, got {texts['split']!r}. Mend it."
        )
    return MapRow(
        name=texts["name"],
        category=texts["category"] or None,
        id=int(number) if number else None,
        is_pair=texts["split"] == "yes",
        note=texts["note"],
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text


def add_map_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--map``, ``--map-add`` and ``--show-map``; the table is ``maps/<default>.csv``."""
    path = MAPS / f"{default}.csv"
    parser.add_argument(
        "--map", metavar="CSV", default=path, help="your own table of names and categories"
    )
    parser.add_argument(
        "--map-add", metavar="CSV", help="rows to add to the table, or to put in place of its own"
    )
    parser.add_argument(
        "--show-map",
        action=_ShowMap,
        default_map=path,
        help="print the table, with a --map and --map-add before it, and stop",
    )


def table_of(args: argparse.Namespace) -> CategoryTable:
    """Return the table that the options of :func:`add_map_arguments` name."""
    return CategoryTable.read(args.map, args.map_add)


class _ShowMap(argparse.Action):
    """Prints and exits as ``--version`` does, so that no other argument is needed."""

    def __init__(self, option_strings: Sequence[str], dest: str, default_map: Path, help: str):
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)
        self.default_map = default_map

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        path = getattr(namespace, "map", None) or self.default_map
        try:
            for line in CategoryTable.read(path, getattr(namespace, "map_add", None)).text():
                say(line)
        except FashionError as error:
            parser.exit(1, f"error: {error}\n")
        parser.exit(0)
