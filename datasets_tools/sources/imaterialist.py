"""Convert ``train.csv`` of iMaterialist (Fashion) 2019 or 2020 to a COCO annotation file.

The CSV has one row per mask: ``ImageId, EncodedPixels, Height, Width, ClassId``. In 2019
``ClassId`` is the category's number in ``label_descriptions.json``, then attribute numbers behind
``_`` (``6_1_2``); in 2020 it is the category's number alone, and a column ``AttributesIds`` has
the attributes (``"1,2"``, or nothing). That column tells which of the two a file is. Categories
go by name, never by number, to the ontology; masks go from run lengths to run lengths without a
bitmap. The file is read line by line: a row is a line, and a field that holds a line break is a
bad row.

Source of the formats: https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6/data and
https://www.kaggle.com/c/imaterialist-fashion-2020-fgvc7/data
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_tools.attributes import attribute_table
from datasets_tools.category_map import MAPS, CategoryTable, add_map_arguments
from datasets_tools.csv_rows import CsvRows, short
from datasets_tools.photos import Photo, PhotoFinder, has_suffix
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    exit_code,
    say,
    sweep,
)
from fashion_mmdet.core.coco import CocoWriter, map_categories
from fashion_mmdet.core.errors import (
    AnnotationError,
    FashionError,
    MaskError,
)
from fashion_mmdet.core.files import inside, read_json, refuse_overwrite, refuse_own_input
from fashion_mmdet.core.ontology import CLASSES, coco_categories
from fashion_mmdet.core.rle import kaggle_to_instance

MAP_PATH = MAPS / "imaterialist.csv"
COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
#: The column that 2020 has and 2019 has not.
ATTRIBUTES = "AttributesIds"
_MOST_SIDE_PX = 65535  # of a JPEG, which all photos of the dataset are
_CLASS_ID_2019 = re.compile(r"[0-9]{1,9}(?:_[0-9]{1,9})*")
_CLASS_ID_2020 = re.compile(r"[0-9]{1,9}")
_ATTRIBUTES_IDS = re.compile(r"[0-9]{1,9}(?: *, *[0-9]{1,9})*")


def convert(
    csv_path: str | os.PathLike[str],
    descriptions_path: str | os.PathLike[str],
    images_dir: str | os.PathLike[str] | None,
    out_path: str | os.PathLike[str],
    *,
    map_path: str | os.PathLike[str] = MAP_PATH,
    max_bad_rows: int = 100,
    check_photos: bool = True,
    progress: bool = True,
) -> ConversionReport:
    """Convert a ``train.csv`` of either year to COCO; nothing is written unless all of it is.

    An annotation's ``id`` is the number of its row in the CSV, counted from 1 without the
    header, and an image's ``id`` the rank of its first row, whatever rows are skipped; so two
    conversions of one CSV can be compared. Beside COCO's keys an annotation has
    ``attribute_ids`` and ``source_line``, and the file the table ``attributes``.

    A photo is found by its ``ImageId``, with or without a suffix, and its header is read once:
    its size *as training loads it*, turned by the EXIF orientation, must be the row's Height x
    Width, for the mask would lie elsewhere otherwise. Pixels are not decoded.

    Memory holds one record per image and 8 + 16 bytes, and a dictionary entry to find
    duplicates, per mask; no mask is kept.

    Args:
        csv_path: the CSV.
        descriptions_path: its ``label_descriptions.json``.
        images_dir: the folder of the photos; may be None without ``check_photos``.
        out_path: the COCO file to write.
        map_path: the table of names and categories.
        max_bad_rows: how many bad rows are skipped; one more stops the conversion.
        check_photos: look for each photo and compare its size; otherwise ``file_name`` is the
            ``ImageId`` with ``.jpg``.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: for files that cannot be read, a missing column, an unknown category name
            or too many bad rows.
    """
    refuse_own_input(out_path, csv_path, descriptions_path, map_path)
    labels = _Labels.read(descriptions_path, CategoryTable.read(map_path))
    finder = PhotoFinder(images_dir) if check_photos else None
    bad = BadRows(max_bad_rows, str(csv_path))
    rows = CsvRows(csv_path, COLUMNS, optional=(ATTRIBUTES,), progress=progress)
    year = "2020 at FGVC7" if ATTRIBUTES in rows.columns else "2019 at FGVC6"
    info = {
        "description": f"iMaterialist (Fashion) {year}, converted by fashion-mmdet",
        "source": Path(csv_path).name,
        "photos_checked": check_photos,
    }
    with CocoWriter(out_path, coco_categories(), info, attributes=labels.attributes) as writer:
        converter = _Converter(labels, finder, writer)
        for number, (where, line, fields) in enumerate(rows, start=1):
            try:
                converter.add(number, where, line, rows.named(where, fields))
            except (BadRow, MaskError) as error:
                # Height and Width may each be possible, and no mask as large as both.
                bad.add(getattr(error, "kind", "size"), str(error))
        if not writer.n_annotations:
            raise AnnotationError(
                f"{csv_path}: at least one good row expected, got none "
                f"({bad.kinds() or 'the file has no rows'}). Nothing was written."
            )
    return ConversionReport(
        out_path=Path(out_path),
        n_images=writer.n_images,
        n_masks=writer.n_annotations,
        masks_per_class={name: converter.per_class[name] for name in labels.classes},
        bad=bad,
        notes=tuple(rows.notes + converter.notes()),
    )


@dataclass(frozen=True)
class _Labels:
    """What ``label_descriptions.json`` says."""

    #: The file's number of a category -> ours; None where the table has no counterpart.
    category_of_id: dict[int, str | None]
    attributes: list[dict[str, Any]]
    attribute_ids: frozenset[int]

    @property
    def classes(self) -> list[str]:
        """The category names, in the ontology's order."""
        return sorted({name for name in self.category_of_id.values() if name}, key=CLASSES.index)

    @classmethod
    def read(cls, path: str | os.PathLike[str], table: CategoryTable) -> _Labels:
        data = read_json(path)
        for key in ("categories", "attributes"):
            entries = data.get(key) if isinstance(data, dict) else None
            # A set without attributes is one whose list is empty; one without categories is none.
            if not isinstance(entries, list) or (key == "categories" and not entries):
                raise AnnotationError(
                    f"{path}: the lists 'categories' and 'attributes' expected, got no {key!r}. "
                    "Is this label_descriptions.json?"
                )
        mapped = map_categories(data["categories"], tuple(table.rows), str(path))
        table.require(mapped.unknown.values(), str(path))
        names = list(table.rows)
        category_of_id = {
            number: table.rows[names[position]].category
            for number, position in mapped.label_of_id.items()
        }
        attributes = attribute_table(data["attributes"], str(path))
        return cls(category_of_id, attributes, frozenset(entry["id"] for entry in attributes))

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


@dataclass
class _Image:
    """What is known of one image; ``size_hw`` is the photo's, else that of its first good row."""

    id: int
    file_name: str
    photo: Photo | None
    size_hw: tuple[int, int] | None = None
    written: bool = False


class _Converter:
    """Takes rows one by one and hands what is good to the writer."""

    def __init__(self, labels: _Labels, finder: PhotoFinder | None, writer: CocoWriter) -> None:
        self.per_class: Counter[str] = Counter()
        self._labels = labels
        self._finder = finder
        self._writer = writer
        self._category_id = {c["name"]: c["id"] for c in coco_categories()}
        self._images: dict[str, _Image] = {}  # by ImageId as written
        self._by_file: dict[str, _Image] = {}
        self._line_of_mask: dict[int, int] = {}
        self._n_unmapped = 0

    def add(self, number: int, where: str, line: int, row: dict[str, str]) -> None:
        """Convert row ``number`` of the CSV, on ``line``.

        Raises:
            BadRow: or MaskError; the row then has left no trace but its image's number.
        """
        image = self._image(row["ImageId"], where)
        name, attributes = self._labels.parse(row, where)
        if name is None:
            self._n_unmapped += 1
            return
        height_px, width_px = self._size(image, row, where)
        rle, area_px, box_xywh = kaggle_to_instance(
            row["EncodedPixels"], height_px, width_px, where
        )
        # A 64-bit hash in place of the mask: 330,000 masks meet by chance once in 10**8 files.
        mask = hash((image.id, name, rle["counts"]))
        first = self._line_of_mask.setdefault(mask, line)
        if first != line:
            raise BadRow(
                "duplicate mask",
                f"{where}: each mask once expected, got that of line {first} again, with the same "
                f"image and category ({name}). Remove one of the rows.",
            )
        image.size_hw = (height_px, width_px)
        if not image.written:
            self._writer.add_image(
                image_id=image.id, file_name=image.file_name, height=height_px, width=width_px
            )
            image.written = True
        self._writer.add_annotation(
            annotation_id=number,
            image_id=image.id,
            category_id=self._category_id[name],
            segmentation=rle,
            bbox=box_xywh,
            area=area_px,
            attribute_ids=attributes,
            source_line=line,
        )
        self.per_class[name] += 1

    def notes(self) -> list[str]:
        """Return what is to be said of the images at the end."""
        notes = []
        if self._n_unmapped:
            notes.append(f"{self._n_unmapped:,} masks left out: no category of ours by the table")
        empty = sum(not image.written for image in self._by_file.values())
        if empty:
            notes.append(f"{empty} images left out: they have no good row")
        flipped = [
            i for i in self._by_file.values() if i.photo and i.photo.is_flipped and i.written
        ]
        if flipped:
            notes.append(
                f"{len(flipped)} photos, e.g. {flipped[0].file_name}, have an EXIF orientation "
                "that turns them without changing their size; whether the masks lie on the photo "
                "as stored or as turned cannot be told. Look at them with the browse tool"
            )
        return notes

    def _image(self, image_id: str, where: str) -> _Image:
        image = self._images.get(image_id)
        if image is None:
            image = self._images[image_id] = self._new_image(image_id, where)
        if image.photo and image.photo.fault:
            kind, message = image.photo.fault
            raise BadRow(kind, f"{where}: {message}")
        return image

    def _new_image(self, image_id: str, where: str) -> _Image:
        try:
            inside("the image folder", image_id, where)
        except FashionError as error:
            raise BadRow("image name", str(error)) from None
        photo = self._finder.find(image_id) if self._finder else None
        file_name = image_id if has_suffix(image_id) else f"{image_id}.jpg"
        if photo and not photo.fault:
            file_name = photo.file_name
        # Some rows may write the suffix and some not: one file is one image.
        image = _Image(len(self._by_file) + 1, file_name, photo)
        return self._by_file.setdefault(file_name, image)

    def _size(self, image: _Image, row: dict[str, str], where: str) -> tuple[int, int]:
        texts = row["Height"], row["Width"]
        whole = all(t.isascii() and t.isdigit() and len(t) < 9 for t in texts)
        if not whole or not all(0 < int(t) <= _MOST_SIDE_PX for t in texts):
            raise BadRow(
                "size",
                f"{where}: Height and Width in whole pixels, 1 to {_MOST_SIDE_PX}, expected, "
                f"got {short(texts[0])} and {short(texts[1])}. Mend the row.",
            )
        size_hw = int(texts[0]), int(texts[1])
        if image.photo:
            fault = image.photo.disagrees(size_hw)
            if fault:
                raise BadRow(fault[0], f"{where}: {fault[1]}")
        elif image.size_hw and image.size_hw != size_hw:
            raise BadRow(
                "size differs within image",
                f"{where}: the size of the image's first row, {image.size_hw[0]} x "
                f"{image.size_hw[1]}, expected, got {size_hw[0]} x {size_hw[1]}. Mend the row.",
            )
        return size_hw


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert imaterialist2019`` and ``imaterialist2020``."""
    parser.add_argument("csv", metavar="CSV", help="train.csv")
    parser.add_argument(
        "--descriptions", required=True, metavar="JSON", help="label_descriptions.json"
    )
    parser.add_argument("--images", metavar="DIR", help="the folder of the training photos")
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    add_map_arguments(parser, "imaterialist")
    add_max_bad_rows(parser)
    parser.add_argument(
        "--no-check-photos",
        dest="check_photos",
        action="store_false",
        help="do not look for the photos nor compare their sizes",
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the summary and return the exit code."""
    if args.check_photos and not args.images:
        raise FashionError(
            "--images: the folder of the photos expected, got nothing. Name it, or leave the "
            "photos unchecked with --no-check-photos."
        )
    refuse_overwrite(args.out, args.force)
    sweep(args.out)
    report = convert(
        args.csv,
        args.descriptions,
        args.images,
        args.out,
        map_path=args.map,
        max_bad_rows=args.max_bad_rows,
        check_photos=args.check_photos,
    )
    say(report.summary())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run this converter by itself; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.sources.imaterialist",
        description="Convert train.csv of iMaterialist (Fashion) 2019 or 2020 to COCO.",
        epilog="Example: python -m datasets_tools.sources.imaterialist train.csv --descriptions "
        "label_descriptions.json --images train --out data/imaterialist/annotations/all.json",
    )
    add_arguments(parser)
    return exit_code(run, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
