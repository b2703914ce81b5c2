"""The one way from a source's reader to a COCO file.

A reader knows its format and nothing else: it yields a :class:`SourceImage` for each photo, names
as the source has them, and a ``BadRow`` in the place of what it cannot read. :func:`write_coco`
does the rest, alike for all sources: photos found and their sizes compared, names mapped to the
49 categories by a table, masks checked, boxes and areas derived from them, pairs parted, what is
left out counted and said.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.category_map import CategoryTable, MapRow, add_map_arguments
from datasets_tools.pairs import split_pair
from datasets_tools.photos import PhotoFinder, has_suffix
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    say,
    sweep,
)
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import inside, refuse_overwrite, refuse_own_input


@dataclass(frozen=True)
class SourceMask:
    """One mask as the source has it.

    Attributes:
        name: the source's name of its category.
        segmentation: polygons ``[[x0, y0, ...], ...]`` or a run-length code, in pixels of the
            photo as training loads it (turned by its EXIF orientation).
        where: file and row, for messages.
        extra: further keys of the annotation (attributes, the source's own id, ...).
        iscrowd: 1 for a region of many instances.
    """

    name: str
    segmentation: Any
    where: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    iscrowd: int = 0


@dataclass(frozen=True)
class SourceImage:
    """One photo and its masks.

    Attributes:
        file_name: relative to the folder of photos, with or without its suffix.
        masks: its masks; a ``BadRow`` in the place of one that cannot be read.
        where: file and row, for messages.
        size_hw: height and width that the source states; None: those of the photo.
        extra: further keys of the image.
    """

    file_name: str
    masks: list[SourceMask | BadRow]
    where: str
    size_hw: tuple[int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_coco(
    images: Iterable[SourceImage | BadRow],
    table: CategoryTable,
    out_path: str | os.PathLike[str],
    *,
    images_dir: str | os.PathLike[str] | None,
    info: dict[str, Any],
    where: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    max_bad_rows: int = 100,
    check_photos: bool = True,
    force: bool = False,
    progress: bool = False,
    **extra: Any,
) -> ConversionReport:
    """Write what a reader yields; nothing is written unless the whole of it is.

    Images are numbered from 1 in the order in which they come, annotations likewise. A photo of
    which no mask is left has no place in the file, and is counted. Two masks of one image that
    have the same category and the same pixels are one, and the second a bad row.

    Args:
        images: from the source's reader.
        table: the source's names and what they become.
        out_path: the COCO file to write; all 49 categories are listed in it.
        images_dir: folder of the photos; may be None without ``check_photos``.
        info: the ``info`` object of the file.
        where: what the rows come from, for messages.
        inputs: files that ``out_path`` must not be.
        max_bad_rows: how many rows (masks, or photos) are skipped; one more stops.
        check_photos: find each photo and compare its size with what the source states.
        force: overwrite ``out_path``.
        progress: show a progress bar where stderr is a terminal.
        **extra: further top-level entries of the file, e.g. ``attributes``.

    Raises:
        FashionError: for too many bad rows, no good one, a name that the table lacks, or an
            ``out_path`` that exists or is an input.
    """
    refuse_own_input(out_path, *inputs)
    refuse_overwrite(out_path, force)
    finder = PhotoFinder(images_dir) if check_photos else None
    bad = BadRows(max_bad_rows, where)
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    with CocoWriter(out_path, ontology.coco_categories(), info, **extra) as writer:
        converter = _Converter(writer, table, finder, bad)
        for image in tqdm(images, unit="photo", disable=hidden):
            if isinstance(image, BadRow):
                bad.add(image.kind, str(image))
                continue
            try:
                converter.add(image)
            except BadRow as error:
                bad.add(error.kind, str(error))
        if not writer.n_annotations:
            raise AnnotationError(
                f"{where}: at least one mask of our categories expected, got none "
                f"({bad.kinds() or 'there are no masks'}). Nothing was written."
            )
    return ConversionReport(
        out_path=Path(out_path),
        n_images=writer.n_images,
        n_masks=writer.n_annotations,
        masks_per_class={name: converter.per_class[name] for name in ontology.CLASSES},
        bad=bad,
        notes=tuple(converter.notes()),
    )


class _Converter:
    """Takes photos one by one and hands what is good to the writer."""

    def __init__(
        self,
        writer: CocoWriter,
        table: CategoryTable,
        finder: PhotoFinder | None,
        bad: BadRows,
    ) -> None:
        self.per_class: Counter[str] = Counter()
        self._writer, self._table, self._finder, self._bad = writer, table, finder, bad
        self._where_of_file: dict[str, str] = {}
        self._unmapped: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, image: SourceImage) -> None:
        """Convert one photo; a BadRow is raised for the whole, and counted for single masks."""
        file_name, size_hw = self._photo(image)
        image_id = self._writer.n_images + 1
        seen: set[tuple[str, Any]] = set()
        written = False
        for mask in image.masks:
            try:
                if isinstance(mask, BadRow):
                    raise mask
                written |= self._add_mask(mask, image_id, size_hw, seen)
            except BadRow as error:
                self._bad.add(error.kind, str(error))
        if written:
            self._writer.add_image(
                image_id=image_id,
                file_name=file_name,
                height=size_hw[0],
                width=size_hw[1],
                **image.extra,
            )
        else:
            self._counts["photos left out: no mask of our categories"] += 1

    def notes(self) -> Iterator[str]:
        """Yield what is to be said at the end."""
        for name, count in self._unmapped.most_common():
            yield f"{name!r} has no category of ours: {count:,} masks left out"
        for what, count in sorted(self._counts.items()):
            yield f"{count:,} {what}"

    def _photo(self, image: SourceImage) -> tuple[str, tuple[int, int]]:
        try:
            inside("the folder of photos", image.file_name, image.where)
        except FashionError as error:
            raise BadRow("image name", str(error)) from None
        name, size_hw = image.file_name, image.size_hw
        if self._finder is not None:
            photo = self._finder.find(name)
            fault = photo.fault or (photo.disagrees(size_hw) if size_hw else None)
            if fault:
                raise BadRow(fault[0], f"{image.where}: {fault[1]}")
            name, size_hw = photo.file_name, photo.size_hw
        elif size_hw is None:
            raise FashionError(
                f"{image.where}: the size of the photo expected, the source does not say it. "
                "Give the folder of the photos with --images."
            )
        elif not has_suffix(name):
            name = f"{name}.jpg"
        first = self._where_of_file.setdefault(name, image.where)
        if first != image.where:
            raise BadRow(
                "photo twice",
                f"{image.where}: each photo once expected, got {name}, which {first} has. "
                "Merge the two.",
            )
        return name, size_hw

    def _add_mask(
        self, mask: SourceMask, image_id: int, size_hw: tuple[int, int], seen: set[Any]
    ) -> bool:
        row = self._table.row(mask.name, mask.where)
        if row.category is None:
            self._unmapped[mask.name] += 1
            return False
        segmentation, faults = rle.usable(mask.segmentation, *size_hw, mask.where)
        if segmentation is None:
            message = faults[0] if faults else f"{mask.where}: a mask expected, got none."
            raise BadRow("mask", message)
        self._counts["polygons left out of masks that have others"] += len(faults)
        code = rle.to_rle(segmentation, *size_hw, mask.where)
        key = (row.category, code["counts"])
        if key in seen:
            raise BadRow(
                "duplicate mask",
                f"{mask.where}: each mask once expected, got one of {row.category!r} again with "
                "the same pixels. Remove one.",
            )
        seen.add(key)
        for part, one_code in self._parts(row, segmentation, code, mask.iscrowd):
            area, box = rle.measure(one_code)
            self._writer.add_annotation(
                annotation_id=self._writer.n_annotations + 1,
                image_id=image_id,
                category_id=ontology.category(row.category).id,
                segmentation=part,
                bbox=box,
                area=area,
                source_name=mask.name,
                **({"iscrowd": 1} if mask.iscrowd else {}),
                **mask.extra,
            )
            self.per_class[row.category] += 1
        return True

    def _parts(
        self, row: MapRow, segmentation: Any, code: dict[str, Any], iscrowd: int
    ) -> list[tuple[Any, dict[str, Any]]]:
        """Return (segmentation, code) of the instances that one mask is: two for a parted pair."""
        if not row.is_pair or iscrowd:
            return [(segmentation, code)]
        halves = split_pair(rle.decode(code).astype(bool))
        self._counts[f"pairs {'parted into left and right' if len(halves) == 2 else 'left as one'}"
                     ] += 1
        if len(halves) == 1:
            return [(segmentation, code)]
        codes = [rle.encode_mask(half) for half in halves]
        return [(half, half) for half in codes]


def add_source_arguments(parser: argparse.ArgumentParser, table: str) -> None:
    """Add what all converters take: photos, output, table, limits."""
    parser.add_argument("--images", metavar="DIR", help="the folder of the photos")
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    add_map_arguments(parser, table)
    add_max_bad_rows(parser)
    parser.add_argument(
        "--no-check-photos",
        dest="check_photos",
        action="store_false",
        help="do not look for the photos nor compare their sizes",
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run_source(
    args: argparse.Namespace,
    images: Iterable[SourceImage | BadRow],
    *,
    info: dict[str, Any],
    where: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    **extra: Any,
) -> int:
    """Convert as the common arguments say, print the report, return the exit code."""
    if args.check_photos and not args.images:
        raise FashionError(
            "--images: the folder of the photos expected, got nothing. Name it, or leave the "
            "photos unchecked with --no-check-photos."
        )
    sweep(args.out)
    report = write_coco(
        images,
        CategoryTable.read(args.map),
        args.out,
        images_dir=args.images,
        info=info,
        where=where,
        inputs=(*inputs, args.map),
        max_bad_rows=args.max_bad_rows,
        check_photos=args.check_photos,
        force=args.force,
        progress=True,
        **extra,
    )
    say(report.summary())
    return 0
