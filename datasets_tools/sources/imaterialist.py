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
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datasets_tools.category_map import MAPS, CategoryTable, add_map_arguments
from datasets_tools.csv_rows import CsvRows
from datasets_tools.folders import require_json
from datasets_tools.photos import Photo, PhotoFinder, has_suffix
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    counted,
    say,
    sweep,
)
from datasets_tools.sources.imaterialist_rows import (
    ATTRIBUTES,
    COLUMNS,
    Labels,
    Row,
    read_block,
    read_mask,
    read_size,
)
from datasets_tools.workers import n_cores, ordered_map
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import (
    AnnotationError,
    FashionError,
    MaskError,
)
from fashion_mmdet.core.files import inside, refuse_overwrite, refuse_own_input
from fashion_mmdet.core.ontology import coco_categories

MAP_PATH = MAPS / "imaterialist.csv"
# Processes take some time to start; below this size one is done as soon.
_WORTH_WORKERS_BYTES = 128 * 2**20


def convert(
    csv_path: str | os.PathLike[str],
    descriptions_path: str | os.PathLike[str],
    images_dir: str | os.PathLike[str] | None,
    out_path: str | os.PathLike[str],
    *,
    map_path: str | os.PathLike[str] = MAP_PATH,
    map_add: str | os.PathLike[str] | None = None,
    max_bad_rows: int = 100,
    check_photos: bool = True,
    workers: int = 1,
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
        map_add: rows to add to it, or to put in place of its own.
        max_bad_rows: how many bad rows are skipped; one more stops the conversion.
        check_photos: look for each photo and compare its size; otherwise ``file_name`` is the
            ``ImageId`` with ``.jpg``.
        workers: processes that convert run lengths where the CSV is large; with more than one,
            the caller's main module must be importable (``if __name__ == "__main__"``).
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: for files that cannot be read, a missing column, an unknown category name
            or too many bad rows.
    """
    refuse_own_input(out_path, csv_path, descriptions_path, map_path, map_add or map_path)
    require_json(out_path)
    labels = Labels.read(descriptions_path, CategoryTable.read(map_path, map_add))
    finder = PhotoFinder(images_dir) if check_photos else None
    bad = BadRows(max_bad_rows, str(csv_path))
    rows = CsvRows(csv_path, COLUMNS, optional=(ATTRIBUTES,))
    year = "2020 at FGVC7" if ATTRIBUTES in rows.columns else "2019 at FGVC6"
    info = {
        "description": f"iMaterialist (Fashion) {year}, converted by fashion-mmdet",
        "source": Path(csv_path).name,
        "photos_checked": check_photos,
    }
    with CocoWriter(out_path, coco_categories(), info, {"attributes": labels.attributes}) as writer:
        converter = _Converter(rows, labels, finder, writer)
        if rows.n_bytes < _WORTH_WORKERS_BYTES:
            workers = 1
        line, number = 1, 0
        for row in _read(rows, workers, progress):
            line += 1
            if isinstance(row, str) and rows.is_blank(row):
                converter.n_blank += 1
                continue
            number += 1
            try:
                converter.add(number, line, row)
            except (BadRow, MaskError) as error:
                # Height and Width may each be possible, and no mask as large as both.
                bad.add(getattr(error, "kind", "size"), str(error))
        rows.require_unchanged()
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


def _read(rows: CsvRows, workers: int, progress: bool) -> Iterator[Row | str]:
    """Yield the CSV's lines, in order, read by ``workers`` processes."""
    blocks = list(rows.blocks())
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    with tqdm(
        total=rows.n_bytes, unit="B", unit_scale=True, disable=hidden, desc=rows.path.name
    ) as bar:
        found = ordered_map(partial(read_block, rows), blocks, workers)
        for block, lines in zip(blocks, found, strict=True):
            yield from lines
            bar.update(block.n_bytes)


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

    def __init__(
        self, rows: CsvRows, labels: Labels, finder: PhotoFinder | None, writer: CocoWriter
    ) -> None:
        self.per_class: Counter[str] = Counter()
        self.n_blank = 0
        self._is_from_excel = True  # until a longer row than Excel's is met
        self._rows = rows
        self._labels = labels
        self._finder = finder
        self._writer = writer
        self._category_id = {c["name"]: c["id"] for c in coco_categories()}
        self._images: dict[str, _Image] = {}  # by ImageId as written
        self._by_file: dict[str, _Image] = {}
        self._line_of_mask: dict[int, int] = {}
        self._n_unmapped = 0

    def add(self, number: int, line: int, row: Row | str) -> None:
        """Convert row ``number`` of the CSV, on ``line``; a text is a line with a fault.

        Raises:
            BadRow: or MaskError; the row then has left no trace but its image's number.
        """
        where = f"{self._rows.path.name}:{line}"
        if isinstance(row, str):
            fields = self._rows.named(where, row, may_be_cut=self._is_from_excel)
        else:
            fields = row.fields
            self._is_from_excel &= not row.is_beyond_excel
        image = self._image(fields["ImageId"], where)
        name, attributes = self._labels.parse(fields, where)
        if name is None:
            self._n_unmapped += 1
            return
        size_hw = read_size(fields, where) if isinstance(row, str) else row.size_hw
        self._check_size(image, size_hw, where)
        mask = read_mask(fields, size_hw, where) if isinstance(row, str) else row.mask
        # A 64-bit hash in place of the mask: 330,000 masks meet by chance once in 10**8 files.
        key = hash((image.id, name, mask.code))
        first = self._line_of_mask.setdefault(key, line)
        if first != line:
            raise BadRow(
                "duplicate mask",
                f"{where}: each mask once expected, got that of line {first} again, with the "
                f"same image and category ({name}). Remove one of the rows.",
            )
        image.size_hw = size_hw
        if not image.written:
            self._writer.add_image(
                image_id=image.id, file_name=image.file_name, height=size_hw[0], width=size_hw[1]
            )
            image.written = True
        self._writer.add_annotation(
            annotation_id=number,
            image_id=image.id,
            category_id=self._category_id[name],
            segmentation=mask.code,
            bbox=mask.box_xywh,
            area=mask.area_px,
            extra={"attribute_ids": attributes, "source_line": line},
        )
        self.per_class[name] += 1

    def notes(self) -> list[str]:
        """Return what is to be said of the images at the end."""
        notes = []
        if self.n_blank:
            notes.append(f"{counted(self.n_blank, 'blank row')} passed by")
        notes += [f"{name!r} taken as {ours!r}" for name, ours in self._labels.respelt.values()]
        if self._n_unmapped:
            masks = counted(self._n_unmapped, "mask")
            notes.append(f"{masks} left out: no category of ours by the table")
        empty = sum(not image.written for image in self._by_file.values())
        if empty:
            notes.append(f"{counted(empty, 'image')} left out: no good row")
        flipped = [
            i for i in self._by_file.values() if i.photo and i.photo.is_flipped and i.written
        ]
        if flipped:
            notes.append(
                f"{counted(len(flipped), 'photo')} with an EXIF orientation that turns but does "
                f"not change the size, e.g. {flipped[0].file_name}: whether the masks lie on the "
                "photo as stored or as turned cannot be told. Look at them with the browse tool"
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
        image_id = posixpath.normpath(image_id) if image_id else image_id
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

    def _check_size(self, image: _Image, size_hw: tuple[int, int], where: str) -> None:
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
    parser.add_argument(
        "--workers",
        type=int,
        default=n_cores(),
        metavar="N",
        help="processes that convert run lengths of a large CSV (default: one a core)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the summary and return the exit code."""
    if args.check_photos and not args.images:
        raise FashionError(
            "--images: the folder of the photos expected, got nothing. Name it, or leave the "
            "photos unchecked with --no-check-photos."
        )
    if args.workers < 1:
        raise FashionError(f"--workers: at least 1 expected, got {args.workers}. Leave it out.")
    refuse_overwrite(args.out, args.force)
    sweep(args.out)
    report = convert(
        args.csv,
        args.descriptions,
        args.images,
        args.out,
        map_path=args.map,
        map_add=args.map_add,
        max_bad_rows=args.max_bad_rows,
        check_photos=args.check_photos,
        workers=args.workers,
    )
    say(report.summary())
    return 0
