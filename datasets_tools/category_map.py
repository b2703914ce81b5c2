"""Which category each name of a source becomes: one CSV a source in ``maps/``, or the user's own.

Columns: ``name`` (the source's), ``category`` (one of the 49; empty: it has no counterpart and is
left out, counted), and, where a source needs them, ``id`` (the source's number), ``split``
(``yes``: one mask is a pair, to be parted into left and right) and ``note`` (why).
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """

    path: Path
    rows: dict[str, MapRow]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CategoryTable:
        """Read a CSV.

        Raises:
            FashionError: for a file that cannot be read or has other columns.
            OntologyError: for a category that the ontology does not have, or a name given twice.
        """
        try:
            with open(path, encoding="utf-8-sig", newline="") as stream:
                reader = csv.DictReader(stream)
                header = [name.strip() for name in reader.fieldnames or []]
                reader.fieldnames = header
                lines = [(reader.line_num, row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FashionError(f"{path}: a readable CSV file expected, got: {error}.") from None
        known = set(header) <= set(_COLUMNS) and len(set(header)) == len(header)
        if not known or not set(_REQUIRED) <= set(header):
            raise FashionError(
                f"{path}:1: the columns {', '.join(_REQUIRED)}, and if need be id, split, note, "
                f"each once, expected, got {', '.join(header) or 'none'}. See --show-map."
            )
        rows: dict[str, MapRow] = {}
        ids: set[int] = set()
        for line, fields in lines:
            row = _row(f"{path}:{line}", fields)
            if rows.setdefault(row.name, row) is not row:
                raise OntologyError(
                    f"{path}:{line}: each name once expected, got {row.name!r} twice. Remove one."
                )
            if row.id in ids:
                raise OntologyError(
                    f"{path}:{line}: each id once expected, got {row.id} twice. Mend one."
                )
            if row.id is not None:
                ids.add(row.id)
        if not rows:
            raise FashionError(f"{path}: a row for each name of the source expected, got none.")
        return cls(Path(path), rows)

    def row(self, name: str, where: str) -> MapRow:
        """Return the row of ``name``; OntologyError, with the nearest names, if there is none."""
        self.require([name], where)
        return self.rows[name]

    def require(self, names: Iterable[str], where: str) -> None:
        """Raise OntologyError, naming all of ``names`` that the table lacks, if there are any."""
        missing = sorted(set(names) - set(self.rows))
        if missing:
            lines = [f"{name!r}.{did_you_mean(name, self.rows)}" for name in missing]
            raise OntologyError(
                f"{where}: names of {self.path} expected, got {' '.join(lines)} Give a table of "
                "your own with --map: save what --show-map prints, and add rows; an empty category "
                "leaves a name out."
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
    """Add ``--map CSV`` and ``--show-map`` for the source whose table is ``maps/<default>.csv``."""
    path = MAPS / f"{default}.csv"
    parser.add_argument(
        "--map", metavar="CSV", default=path, help="your own table of names and categories"
    )
    parser.add_argument(
        "--show-map",
        action=_ShowMap,
        default_map=path,
        help="print the table, or that of a --map before it, and stop",
    )


class _ShowMap(argparse.Action):
    """Prints and exits as ``--version`` does, so that no other argument is needed."""

    def __init__(self, option_strings: Sequence[str], dest: str, default_map: Path, help: str):
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, help=help)
        self.default_map = default_map

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        path = getattr(namespace, "map", None) or self.default_map
        try:
            for line in CategoryTable.read(path).text():
                say(line)
        except FashionError as error:
            parser.exit(1, f"error: {error}\n")
        parser.exit(0)
