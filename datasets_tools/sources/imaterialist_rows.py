"""What ``train.csv`` and ``label_descriptions.json`` of iMaterialist (Fashion) say of a row."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from datasets_tools.attributes import attribute_table
from datasets_tools.category_map import CategoryTable
from datasets_tools.csv_rows import EXCEL_CELL, Block, CsvRows, short
from datasets_tools.report import BadRow
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.coco_writer import JsonText, rle_json
from fashion_mmdet.core.errors import AnnotationError, MaskError
from fashion_mmdet.core.files import read_json
from fashion_mmdet.core.ontology import CLASSES
from fashion_mmdet.core.rle import kaggle_to_instance

COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
#: The column that 2020 has and 2019 has not.
ATTRIBUTES = "AttributesIds"
_MOST_SIDE_PX = 65535  # of a JPEG, which all photos of the dataset are
_CLASS_ID_2019 = re.compile(r"[0-9]{1,9}(?:_[0-9]{1,9})*")
_CLASS_ID_2020 = re.compile(r"[0-9]{1,9}")
_ATTRIBUTES_IDS = re.compile(r"[0-9]{1,9}(?: *, *[0-9]{1,9})*")


class Mask(NamedTuple):
    """A row's mask: its COCO code, its area in px and its box xywh in px."""

    code: JsonText
    area_px: int
    box_xywh: list[float]


class Row(NamedTuple):
    """A good line of the CSV: its fields by column name, the runs aside, and what they say.

    ``is_beyond_excel``: its runs are longer than any cell of Excel.
    """

    fields: dict[str, str]
    size_hw: tuple[int, int]
    mask: Mask
    is_beyond_excel: bool


def read_block(rows: CsvRows, block: Block) -> list[Row | str]:
    """Return the rows of a block; a line that is none, or blank, comes back as it is.

    It is for the caller, who knows the number of the line, to find the fault again and name it.
    """
    found: list[Row | str] = []
    for line in rows.lines(block):
        try:
            fields = rows.named("", line)
            size_hw = read_size(fields, "")
            mask = read_mask(fields, size_hw, "")
        except (BadRow, MaskError):
            found.append(line)
        else:
            is_long = len(fields.pop("EncodedPixels")) > EXCEL_CELL
            found.append(Row(fields, size_hw, mask, is_long))
    return found


def read_size(fields: Mapping[str, str], where: str) -> tuple[int, int]:
    """Return a row's height and width in pixels.

    Raises:
        BadRow: for what is no size of a photo.
    """
    texts = fields["Height"], fields["Width"]
    whole = all(t.isascii() and t.isdigit() and len(t) < 9 for t in texts)
    if not whole or not all(0 < int(t) <= _MOST_SIDE_PX for t in texts):
        raise BadRow(
            "size",
            f"{where}: Height and Width in whole pixels, 1 to {_MOST_SIDE_PX}, expected, "
            f"got {short(texts[0])} and {short(texts[1])}. Mend the row.",
        )
    return int(texts[0]), int(texts[1])


def read_mask(fields: Mapping[str, str], size_hw: tuple[int, int], where: str) -> Mask:
    """Return a row's mask.

    Raises:
        MaskError: for run lengths that are none, or not of a mask of this size.
    """
    rle, area_px, box_xywh = kaggle_to_instance(fields["EncodedPixels"], *size_hw, where)
    return Mask(rle_json(rle), area_px, box_xywh)


@dataclass(frozen=True)
class Labels:
    """What ``label_descriptions.json`` says.

    Attributes:
        category_of_id: the file's number of a category -> ours; None where the table has no
            counterpart.
        attributes: the file's attributes, as :func:`.attribute_table` returns them.
        attribute_ids: their numbers.
        respelt: number of a category -> its name in the file and in the table, where they differ.
    """

    category_of_id: dict[int, str | None]
    attributes: list[dict[str, Any]]
    attribute_ids: frozenset[int]
    respelt: dict[int, tuple[str, str]]

    @property
    def classes(self) -> list[str]:
        """The category names, in the ontology's order."""
        return sorted({name for name in self.category_of_id.values() if name}, key=CLASSES.index)

    @classmethod
    def read(cls, path: str | os.PathLike[str], table: CategoryTable) -> Labels:
        """Read the file, and its category names by ``table``."""
        data = read_json(path)
        for key in ("categories", "attributes"):
            entries = data.get(key) if isinstance(data, dict) else None
            # A set without attributes is one whose list is empty; one without categories is none.
            if not isinstance(entries, list) or (key == "categories" and not entries):
                raise AnnotationError(
                    f"{path}: the lists 'categories' and 'attributes' expected, got no {key!r}. "
                    "Is this label_descriptions.json?"
                )
        # Without classes to map to, all names are unknown: ids and names, checked.
        name_of_id = map_categories(data["categories"], (), str(path)).unknown
        table.require(name_of_id.values(), str(path))
        row_of_id = {number: table.row(name, str(path)) for number, name in name_of_id.items()}
        attributes = attribute_table(data["attributes"], str(path))
        return cls(
            {number: row.category for number, row in row_of_id.items()},
            attributes,
            frozenset(entry["id"] for entry in attributes),
            {n: (name_of_id[n], r.name) for n, r in row_of_id.items() if r.name != name_of_id[n]},
        )

    def parse(self, row: Mapping[str, str], where: str) -> tuple[str | None, list[int]]:
        """Return our category, None where there is none, and the attribute ids of a row."""
        class_id, listed = row["ClassId"], row.get(ATTRIBUTES)
        pattern, example = _CLASS_ID_2020, "'6'"
        if listed is None:
            pattern, example = _CLASS_ID_2019, "'6' or '6_1_2'"
        if not pattern.fullmatch(class_id):
            raise BadRow(
                "unknown class",
                f"{where}: a ClassId such as {example} expected, got {short(class_id)}. "
                "Mend or remove the row.",
            )
        number, *attributes = map(int, class_id.split("_"))
        if listed:
            if not _ATTRIBUTES_IDS.fullmatch(listed):
                raise BadRow(
                    "unknown attribute",
                    f"{where}: {ATTRIBUTES} such as '1,2', or none, expected, got "
                    f"{short(listed)}. Mend or remove the row.",
                )
            attributes = [int(part) for part in listed.split(",")]
        if number not in self.category_of_id:
            raise BadRow(
                "unknown class",
                f"{where}: a category number of the descriptions ({min(self.category_of_id)} to "
                f"{max(self.category_of_id)}) expected, got {number}. Do the two files belong "
                "together?",
            )
        unknown = [a for a in attributes if a not in self.attribute_ids]
        if unknown:
            raise BadRow(
                "unknown attribute",
                f"{where}: attribute numbers of the descriptions expected, got {unknown[0]} in "
                f"{short(listed or class_id)}. Do the two files belong together?",
            )
        return self.category_of_id[number], attributes
