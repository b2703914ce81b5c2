"""A COCO file to ``train.csv`` and ``label_descriptions.json`` of iMaterialist (Fashion) 2019.

The way back of :mod:`.sources.imaterialist`, which states the format: converting what this writes
gives the same file again, ids included, where annotations are numbered as the converter numbers
them (1, 2, ... in the order of the file). ``ClassId`` has the ids of our 49 categories, of which
the first 46 are those of the original; then the ``attribute_ids`` of the annotation (``6_1_2``),
whose table is the file's ``attributes``.

    fashion data export imaterialist all.json --out train.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.attributes import attribute_table
from datasets_tools.cached import read_originals
from datasets_tools.ontology_ids import ontology_ids
from datasets_tools.photos import has_suffix
from datasets_tools.report import BadRow, BadRows, add_max_bad_rows, counted, say, sweep
from datasets_tools.sources.imaterialist import COLUMNS
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import atomic_open_many, refuse_overwrite, refuse_own_input

DESCRIPTIONS = "label_descriptions.json"


@dataclass
class ExportReport:
    """What an export wrote: rows, images that have one, and what was left out."""

    n_rows: int
    n_images: int
    bad: BadRows
    counts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield the report as printed, a line at a time."""
        yield from self.bad.summary()
        for what, count in self.counts.items():
            if count:
                yield f"note: {what}: {count:,}"


def export_imaterialist(
    coco_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    max_bad_rows: int = 100,
    force: bool = False,
    progress: bool = False,
) -> ExportReport:
    """Write ``out_path`` and :data:`DESCRIPTIONS` beside it; both are whole, or neither is there.

    Regions of many instances (``iscrowd``) are left out and counted: the format has none.

    Args:
        coco_path: the COCO file, on our categories.
        out_path: the CSV.
        max_bad_rows: how many annotations without a usable mask are skipped; one more stops.
        force: overwrite both.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: for an ``out_path`` that is the other file, other categories, attributes of
            several sources, attribute ids that the file's table lacks, or a photo name that the
            format cannot hold.
    """
    descriptions_path = Path(out_path).parent / DESCRIPTIONS
    if os.path.realpath(out_path) == os.path.realpath(descriptions_path):
        raise FashionError(
            f"{out_path}: the name of a CSV expected, got that of {DESCRIPTIONS}, which is written "
            "beside it. Choose another --out."
        )
    for path in (out_path, descriptions_path):
        refuse_own_input(path, coco_path)
        refuse_overwrite(path, force)
    coco = read_originals(coco_path)
    where = str(coco_path)
    exporter = _Exporter(coco, where)
    report = ExportReport(0, 0, BadRows(max_bad_rows, where))
    image_ids = set()
    with atomic_open_many([descriptions_path, out_path]) as (descriptions, table):
        json.dump(exporter.descriptions(), descriptions, indent=2, ensure_ascii=False)
        descriptions.write("\n")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(COLUMNS)
        hidden = None if progress else True  # None: hidden unless stderr is a terminal
        for annotation in tqdm(coco["annotations"], unit="mask", disable=hidden):
            if annotation.get("iscrowd"):
                report.counts["regions of many instances (iscrowd) left out"] += 1
                continue
            try:
                writer.writerow(exporter.row(annotation))
            except BadRow as error:
                report.bad.add(error.kind, str(error))
                continue
            report.n_rows += 1
            image_ids.add(annotation["image_id"])
        if not report.n_rows:
            raise AnnotationError(
                f"{where}: at least one mask expected, got none "
                f"({report.bad.kinds() or 'there are no masks'}). Nothing was written."
            )
    report.n_images = len(image_ids)
    report.counts["polygons left out of masks that have others"] = exporter.n_polygons_left_out
    report.counts["images left out, without a row"] = len(coco["images"]) - len(image_ids)
    return report


class _Exporter:
    """Turns annotations of one file into rows."""

    def __init__(self, coco: dict[str, Any], where: str) -> None:
        self.n_polygons_left_out = 0
        self._where = where
        self._class_ids = ontology_ids(coco, where)
        self._images = {image["id"]: image for image in coco["images"]}
        self._image_ids = {image["id"]: _image_id(image, where) for image in coco["images"]}
        self._attributes = _attributes(coco, where)
        self._attribute_ids = {entry["id"] for entry in self._attributes}

    def descriptions(self) -> dict[str, Any]:
        return {"categories": ontology.coco_categories(), "attributes": self._attributes}

    def row(self, annotation: dict[str, Any]) -> list[Any]:
        image = self._images[annotation["image_id"]]
        where = f"{self._where}: annotation {annotation['id']}"
        height_px, width_px = image["height"], image["width"]
        segmentation, faults = rle.usable(
            annotation.get("segmentation"), height_px, width_px, where
        )
        if segmentation is None:
            raise BadRow("mask", faults[0])
        self.n_polygons_left_out += len(faults)
        text = rle.coco_to_kaggle(rle.to_rle(segmentation, height_px, width_px, where))
        if not text:
            raise BadRow(
                "empty mask", f"{where}: at least one pixel expected, got none. Remove it."
            )
        class_id = self._class_ids[annotation["category_id"]]
        numbers = [class_id, *self._ids_of(annotation, where)]
        return [
            self._image_ids[image["id"]], text, height_px, width_px, "_".join(map(str, numbers)),
        ]  # fmt: skip

    def _ids_of(self, annotation: dict[str, Any], where: str) -> list[int]:
        ids = annotation.get("attribute_ids", [])
        unknown = (
            ids
            if not isinstance(ids, list)
            else [i for i in ids if type(i) is not int or i not in self._attribute_ids]
        )
        if unknown or not isinstance(ids, list):
            raise AnnotationError(
                f"{where}: numbers of the file's table 'attributes' as attribute_ids expected, got "
                f"{unknown!r}. Of a merged file, export each source by itself."
            )
        return ids


def _image_id(image: dict[str, Any], where: str) -> str:
    """Return the ImageId that the converter turns into the image's file name again."""
    name = image["file_name"]
    if name != name.strip() or not name.isprintable():
        raise AnnotationError(
            f"{where}: image {image['id']}: a file name of one line without blanks around it "
            f"expected, got {name!r}. Rename the photo."
        )
    stem = name.removesuffix(".jpg")
    return name if not stem or has_suffix(stem) else stem


def _attributes(coco: dict[str, Any], where: str) -> list[dict[str, Any]]:
    table = coco.get("attributes", [])
    if not isinstance(table, list):
        raise AnnotationError(
            f"{where}: a list as 'attributes' expected, got {type(table).__name__}. Mend the file."
        )
    return attribute_table(table, where)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data export imaterialist``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file")
    parser.add_argument(
        "--out", required=True, metavar="CSV", help=f"train.csv; {DESCRIPTIONS} goes beside it"
    )
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="overwrite both files")


def run(args: argparse.Namespace) -> int:
    """Export as ``args`` say and print the summary; return the exit code."""
    sweep(args.out, Path(args.out).parent / DESCRIPTIONS)
    report = export_imaterialist(
        args.annotations,
        args.out,
        max_bad_rows=args.max_bad_rows,
        force=args.force,
        progress=True,
    )
    for line in report.lines():
        say(line)
    say(
        f"{args.out}: {counted(report.n_rows, 'row')} of {counted(report.n_images, 'image')}, "
        f"{DESCRIPTIONS} beside"
    )
    return 0
