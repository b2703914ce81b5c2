"""What a source's reader yields, and how it becomes images and annotations of a COCO file.

A reader knows its format and nothing else: it yields a :class:`SourceImage` for each photo, names
as the source has them, and a ``BadRow`` in the place of what it cannot read. :class:`Converter`
does the rest, alike for all sources: photos found and their sizes compared, names mapped to the
49 categories by a table, masks checked, boxes and areas derived from them, pairs parted, what is
left out counted and said. :mod:`.convert` writes the file.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets_tools.category_map import CategoryTable, taken_as
from datasets_tools.pairs import split_pair
from datasets_tools.photos import MOST_PIXELS, PhotoFinder
from datasets_tools.report import BadRow, BadRows, counted, short
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside, shown


@dataclass(frozen=True)
class SourceMask:
    """One mask as the source has it.

    Attributes:
        name: the source's name of its category.
        segmentation: polygons ``[[x0, y0, ...], ...]`` or a run-length code, in pixels of the
            photo as training loads it (turned by its EXIF orientation).
        where: file and row, for messages.
        extra: further keys of the annotation (attributes, the source's own id, ...), such as
            JSON can hold.
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
        size_hw: height and width that the source states, compared with the photo; None: those
            of the photo, as training loads it.
        extra: further keys of the image.
    """

    file_name: str
    masks: list[SourceMask | BadRow]
    where: str
    size_hw: tuple[int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


_SINGULAR = {"boxes": "box", "entries": "entry"}


def count_lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield what is to be said of counts, ``{"landmarks ignored": 12}``, but for those of 0.

    The first word of what is counted is a plural, and stands for itself where there is one.

    >>> list(count_lines({"boxes left out": 1, "masks left out": 2}))
    ['1 box left out', '2 masks left out']
    """
    for what, count in sorted(counts.items()):
        noun, _, rest = what.partition(" ")
        if count:
            yield f"{counted(count, _SINGULAR.get(noun, noun.removesuffix('s')), noun)} {rest}"


_NO_MASK = "photos left out: no mask of our categories"


class Converter:
    """Takes photos one by one and hands what is good to the writer.

    Attributes:
        per_class: name of ours -> masks written.
    """

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
        self._turned: list[str] = []
        self._unmapped: Counter[str] = Counter()
        self._respelt: Counter[tuple[str, str]] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, image: SourceImage) -> None:
        """Convert one photo; a BadRow is raised for the whole, and counted for single masks."""
        if not image.masks:
            self._counts[_NO_MASK] += 1
            return
        try:
            file_name, size_hw = self._photo(image)
        except BadRow:
            self._counts["masks of photos that cannot be used, left out"] += len(image.masks)
            raise
        image_id = self._writer.n_images + 1
        seen: set[tuple[str, Any, bool]] = set()
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
                extra=image.extra,
            )
        else:
            self._counts[_NO_MASK] += 1

    def notes(self) -> Iterator[str]:
        """Yield what is to be said at the end."""
        for name, count in self._unmapped.most_common():
            yield f"{name!r} has no category of ours: {counted(count, 'mask')} left out"
        yield from taken_as(self._respelt)
        yield from count_lines(self._counts)
        if self._turned:
            yield (
                f"{counted(len(self._turned), 'photo')} with an EXIF orientation, e.g. "
                f"{self._turned[0]}: no size tells whether the masks lie on the photo as stored "
                "or as turned. Look at them with the browse tool"
            )

    def _photo(self, image: SourceImage) -> tuple[str, tuple[int, int]]:
        try:
            inside("the folder of photos", image.file_name, image.where)
        except FashionError as error:
            raise BadRow("image name", str(error)) from None
        # One photo, one name: "./0.jpg" is 0.jpg.
        name, size_hw = posixpath.normpath(image.file_name), image.size_hw
        if self._finder is not None:
            photo = self._finder.find(name)
            fault = photo.fault or (photo.disagrees(size_hw) if size_hw else None)
            if fault:
                raise BadRow(fault[0], f"{image.where}: {fault[1]}")
            if photo.is_flipped or (size_hw is None and photo.orientation != 1):
                self._turned.append(photo.file_name)
            name, size_hw = photo.file_name, photo.size_hw
        elif size_hw is None:
            raise FashionError(
                f"{image.where}: the size of the photo expected, the source does not say it. "
                "Give the folder of the photos with --images."
            )
        elif not os.path.splitext(name)[1]:
            name = f"{name}.jpg"
        if size_hw[0] * size_hw[1] > MOST_PIXELS:
            raise BadRow(
                "size",
                f"{image.where}: a photo of at most {MOST_PIXELS:,} pixels expected, got height x "
                f"width {short(size_hw[0])} x {short(size_hw[1])}. Scale photo and masks down.",
            )
        if shown(name) != name:
            raise BadRow(
                "image name",
                f"{image.where}: a file name in UTF-8 expected, got {shown(name)}, which JSON "
                "cannot hold. Rename the photo.",
            )
        if name in self._where_of_file:
            raise BadRow(
                "photo twice",
                f"{image.where}: each photo once expected, got {name}, which "
                f"{self._where_of_file[name]} has. Merge the two.",
            )
        self._where_of_file[name] = image.where
        return name, size_hw

    def _add_mask(
        self, mask: SourceMask, image_id: int, size_hw: tuple[int, int], seen: set[Any]
    ) -> bool:
        row = self._table.row(mask.name, mask.where)
        self._respelt[mask.name, row.name] += row.name != mask.name
        if row.category is None:
            self._unmapped[mask.name] += 1
            return False
        segmentation, faults = rle.usable(mask.segmentation, *size_hw, mask.where)
        if segmentation is None:
            message = faults[0] if faults else f"{mask.where}: a mask expected, got none."
            raise BadRow("mask", message)
        self._counts["polygons left out of masks that have others"] += len(faults)
        code = (
            segmentation
            if isinstance(segmentation, dict)
            else rle.to_rle(segmentation, *size_hw, mask.where)
        )
        area_px, box_xywh = rle.measure(code)
        if not area_px:
            raise BadRow(
                "empty mask",
                f"{mask.where}: a mask of at least one pixel expected, got none (too thin, or "
                "outside the photo). Remove it.",
            )
        key = (row.category, code["counts"], bool(mask.iscrowd))
        if key in seen:
            raise BadRow(
                "duplicate mask",
                f"{mask.where}: each mask once expected, got one of {row.category!r} again with "
                "the same pixels. Remove one.",
            )
        seen.add(key)
        parts: list[tuple[Any, int, list[float]]] = [(segmentation, area_px, box_xywh)]
        if row.is_pair and not mask.iscrowd:
            parts = [(half, *rle.measure(half)) for half in self._halves(code)] or parts
        for part, area_px, box_xywh in parts:
            self._writer.add_annotation(
                annotation_id=self._writer.n_annotations + 1,
                image_id=image_id,
                category_id=ontology.category(row.category).id,
                segmentation=part,
                bbox=box_xywh,
                area=area_px,
                iscrowd=1 if mask.iscrowd else 0,
                extra={"source_name": mask.name, **mask.extra},
            )
            self.per_class[row.category] += 1
        return True

    def _halves(self, code: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the codes of the left and the right one of a pair; none if it stays one mask."""
        halves = split_pair(rle.decode(code).astype(bool))
        if len(halves) == 1:
            self._counts["pairs left as one"] += 1
            return []
        self._counts["pairs parted into left and right"] += 1
        return [rle.encode_mask(half_HW) for half_HW in halves]
