"""Give masks of ``shoe`` one of the three shoe types, from a table of labels.

The table has the columns ``image`` (file name, with or without its suffix, or image id),
``mask`` (annotation id) and ``shoe_type`` (canvasshoes, high-heels or sandals); as CSV, or as
JSON: a list of objects with these keys. The fields of a CSV may be parted by semicolons or tabs,
as Excel does. What is not in the table stays ``shoe``.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_tools.cached import read_originals
from datasets_tools.csv_rows import read_table
from datasets_tools.folders import require_json
from datasets_tools.report import BadRow, BadRows, add_max_bad_rows, counted, say, sweep
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import AnnotationError, FashionError, did_you_mean
from fashion_mmdet.core.files import read_json, refuse_overwrite, refuse_own_input, write_json
from fashion_mmdet.core.ontology import SHOE_TYPES, coco_categories

COLUMNS = ("image", "mask", "shoe_type")
_PARENT = "shoe"
_MORE = "(more fields)"


@dataclass(frozen=True)
class ShoeReport:
    """What was relabelled.

    Attributes:
        out_path: the file written.
        relabelled: shoe type -> masks that are now of it.
        n_shoes: masks that stay ``shoe``.
        bad: the rows of the table that were left out.
        n_blank: rows with nothing in them, passed by.
    """

    out_path: Path
    relabelled: Mapping[str, int]
    n_shoes: int
    bad: BadRows
    n_blank: int = 0

    def summary(self) -> str:
        """Return the text to print, one line last."""
        types = ", ".join(f"{count} {name}" for name, count in self.relabelled.items())
        last = (
            f"{self.out_path}: {counted(sum(self.relabelled.values()), 'shoe')} relabelled "
            f"({types}), {self.n_shoes} stay 'shoe', {counted(self.bad.total, 'bad row')} skipped"
        )
        blank = [f"note: {counted(self.n_blank, 'blank row')} passed by"] if self.n_blank else []
        return "\n".join([*self.bad.summary(), *blank, last])


def relabel_shoes(
    ann_path: str | os.PathLike[str],
    labels_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    max_bad_rows: int = 100,
) -> ShoeReport:
    """Write a copy of a COCO file in which the shoes named in a table have their type.

    A relabelled annotation gets ``"shoe_type_from": "shoe"`` and is otherwise as it was. A mask
    that the table gives two types keeps ``shoe``. Types that the file lacks are added to its
    categories.

    Args:
        ann_path: the COCO file; it stays as it is.
        labels_path: the table, ``.csv`` or ``.json``.
        out_path: the COCO file to write.
        max_bad_rows: how many bad rows are skipped; one more stops the work.

    Raises:
        FashionError: for files that cannot be read, an ``out_path`` that is one of them, too many
            bad rows, or not one shoe that gets a type; nothing is written then.
    """
    refuse_own_input(out_path, ann_path, labels_path)
    require_json(out_path)
    data = read_originals(ann_path)
    category_ids = _with_shoe_types(data["categories"], str(ann_path))
    bad = BadRows(max_bad_rows, str(labels_path))
    table = _Table(data, category_ids[_PARENT])
    rows, n_blank = _rows(labels_path)
    for where, row in rows:
        try:
            table.add(where, row)
        except BadRow as error:
            bad.add(error.kind, str(error))
    relabelled = Counter(dict.fromkeys(SHOE_TYPES, 0))
    n_shoes = 0
    for annotation in data["annotations"]:
        shoe_type = table.type_of(annotation["id"])
        if shoe_type:
            annotation["category_id"] = category_ids[shoe_type]
            annotation["shoe_type_from"] = _PARENT
            relabelled[shoe_type] += 1
        n_shoes += annotation["category_id"] == category_ids[_PARENT]
    if not relabelled.total():
        raise AnnotationError(
            f"{labels_path}: a type for at least one shoe expected, got none "
            f"({bad.kinds() or 'the table has no rows'}). Nothing was written. Does the table "
            f"belong to {ann_path}?"
        )
    write_json(out_path, data)
    return ShoeReport(Path(out_path), dict(relabelled), n_shoes, bad, n_blank)


def _with_shoe_types(categories: list[dict[str, Any]], where: str) -> dict[str, int]:
    """Add the shoe types that are absent to ``categories``; return name -> id of all four."""
    names = (_PARENT, *SHOE_TYPES)
    mapped = map_categories(categories, names, where)
    if _PARENT in mapped.absent:
        raise AnnotationError(
            f"{where}: the category {_PARENT!r} expected, got none of that name. Only shoes can "
            "be given a shoe type."
        )
    ids = {names[label]: number for number, label in mapped.label_of_id.items()}
    taken = set(ids.values()) | set(mapped.unknown)
    for entry in coco_categories(mapped.absent):
        if entry["id"] in taken:
            entry["id"] = max(taken) + 1
        taken.add(entry["id"])
        ids[entry["name"]] = entry["id"]
        categories.append(entry)
    return ids


class _Table:
    """The rows taken so far, checked against the annotations."""

    def __init__(self, data: dict[str, Any], shoe_id: int) -> None:
        self._shoe_id = shoe_id
        self._name_of_category = {c["id"]: c["name"] for c in data["categories"]}
        self._annotations = {a["id"]: a for a in data["annotations"]}
        self._image_id: dict[str, int] = {}
        # A file name goes before an id, and a full name before one without its suffix.
        for name_of in (
            lambda image: image["file_name"],
            lambda image: os.path.splitext(image["file_name"])[0],
            lambda image: str(image["id"]),
        ):
            for image in data["images"]:
                self._image_id.setdefault(name_of(image), image["id"])
        self._rows: dict[int, tuple[str, str]] = {}
        self._disputed: set[int] = set()

    def type_of(self, annotation_id: int) -> str | None:
        """Return the type that the table gives to an annotation, if it gives exactly one."""
        if annotation_id in self._disputed or annotation_id not in self._rows:
            return None
        return self._rows[annotation_id][0]

    def add(self, where: str, row: dict[str, str]) -> None:
        """Take one row, or raise :class:`BadRow`."""
        if _MORE in row:
            raise BadRow(
                "number of fields",
                f"{where}: as many fields as the first line names expected, got also "
                f"{row[_MORE]!r}. Is a comma missing its quotes, or a line break lost?",
            )
        image_id = self._image_id.get(row["image"])
        if image_id is None:
            raise BadRow(
                "unknown image",
                f"{where}: a file name or id of the annotation file's images expected, got "
                f"{row['image']!r}. Check the name.",
            )
        annotation = self._annotations.get(_whole_number(row["mask"]))
        if annotation is None or annotation["image_id"] != image_id:
            found = "none of that id" if annotation is None else "a mask of another image"
            raise BadRow(
                "not a mask of the image",
                f"{where}: the annotation id of a mask of image {row['image']!r} expected, got "
                f"{row['mask']!r}, {found}. Check the id.",
            )
        if annotation["category_id"] != self._shoe_id:
            name = self._name_of_category[annotation["category_id"]]
            raise BadRow(
                "not a shoe",
                f"{where}: a mask of category {_PARENT!r} expected, got {row['mask']}, which is "
                f"{name!r}. Check the id.",
            )
        shoe_type = row["shoe_type"]
        if shoe_type not in SHOE_TYPES:
            hint = did_you_mean(shoe_type, SHOE_TYPES) or " Correct the row."
            raise BadRow(
                "unknown shoe type",
                f"{where}: one of {', '.join(SHOE_TYPES)} expected, got {shoe_type!r}.{hint}",
            )
        first_type, first_where = self._rows.setdefault(annotation["id"], (shoe_type, where))
        if first_type != shoe_type:
            self._disputed.add(annotation["id"])
            raise BadRow(
                "two types for one mask",
                f"{where}: {first_type!r} for mask {row['mask']}, as in {first_where}, expected, "
                f"got {shoe_type!r}. It stays {_PARENT!r}; remove one of the rows.",
            )


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


_Rows = Iterable[tuple[str, dict[str, str]]]


def _rows(path: str | os.PathLike[str]) -> tuple[_Rows, int]:
    """Return ``where`` and the row of a table, as texts by column; and how many were blank."""
    if Path(path).suffix.lower() == ".json":
        return _json_rows(Path(path)), 0
    if Path(path).suffix.lower() == ".csv":
        return _csv_rows(Path(path))
    raise FashionError(f"{path}: a table named .csv or .json expected, got another name.")


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise AnnotationError(
            f"{path}: a list of objects with {', '.join(COLUMNS)} expected, got "
            f"{type(entries).__name__}. See `--help`."
        )
    for index, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        # A missing key becomes an empty text, which no later check lets pass.
        yield f"{path.name}[{index}]", {name: str(entry.get(name, "")) for name in COLUMNS}


def _csv_rows(path: Path) -> tuple[_Rows, int]:
    table = read_table(path, COLUMNS)
    if any(table.header.count(name) != 1 for name in COLUMNS):
        raise AnnotationError(
            f"{path}:1: the columns {', '.join(COLUMNS)} expected, each once, got "
            f"{','.join(table.header)[:60]!r}. Name them in the first line."
        )
    rows = []
    for line, found in table.rows:
        fields = {name: found[name] or "" for name in COLUMNS}
        if None in found:  # where DictReader puts what has no column
            fields[_MORE] = ",".join(found[None])[:60]
        rows.append((f"{path.name}:{line}", fields))
    return rows, table.n_blank


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data shoe-types``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file to start from")
    parser.add_argument(
        "labels",
        metavar="LABELS.{csv,json}",
        help="the table: image (file name or id), mask (annotation id), shoe_type",
    )
    parser.add_argument("--out", required=True, metavar="OUT.json", help="the file to write")
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Relabel as the options say, print the summary and return the exit code."""
    refuse_overwrite(args.out, args.force)
    sweep(args.out)
    report = relabel_shoes(args.annotations, args.labels, args.out, max_bad_rows=args.max_bad_rows)
    say(report.summary())
    return 0
