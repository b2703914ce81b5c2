"""Predictions become the competition's CSV, a photo at a time."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets_tools.report import counted, first_of
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import AnnotationError, FashionError, MaskError
from fashion_mmdet.core.files import atomic_open, refuse_overwrite
from fashion_mmdet.core.mask_arithmetic import exclusive, resampled
from fashion_mmdet.core.prediction import Prediction

from .ids import as_handed_in, require_ids
from .rules import (
    CLASS_IDS,
    COLUMNS,
    EMPTY_CLASS,
    EMPTY_RUNS,
    MIN_AREA_PX,
    MOST_SIZE_PX,
    SIZE_PX,
)


@dataclass(frozen=True)
class SubmissionPhoto:
    """What was found on one photo; ``image_id`` is its name, as in the sample submission."""

    image_id: str
    prediction: Prediction


@dataclass
class SubmissionReport:
    """What a submission has, and what was left out of it.

    Attributes:
        out_path: the CSV.
        n_images: photos that have a row.
        n_masks: rows that are masks.
        n_empty: photos without a mask, whose row is one pixel.
        counts: what else there is to say -> how often.
        unknown_classes: name of a class that the competition lacks -> masks left out.
        unpredicted: ids of the list that no prediction came for.
        unlisted: ids predicted that the list lacks.
    """

    out_path: Path
    n_images: int = 0
    n_masks: int = 0
    n_empty: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    unknown_classes: Counter[str] = field(default_factory=Counter)
    unpredicted: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the notes as printed, a line at a time."""
        for what, count in self.counts.items():
            if count:
                yield f"note: {what}: {count:,}"
        if self.unknown_classes:
            names = ", ".join(f"{n!r} {count:,}" for n, count in self.unknown_classes.most_common())
            yield f"note: masks left out, of classes that the competition lacks: {names}"
        if self.unpredicted:
            yield (
                "note: images of the list that were not predicted, given the row of an empty one: "
                f"{first_of(self.unpredicted)}"
            )
        if self.unlisted:
            yield f"note: photos left out, not in the list: {first_of(self.unlisted)}"

    def summary(self) -> str:
        """Return the line to print last."""
        return (
            f"{self.out_path}: {counted(self.n_masks, 'mask')} of "
            f"{counted(self.n_images, 'image')}, {self.n_empty:,} of them without one"
        )


def write_submission(
    path: str | os.PathLike[str],
    photos: Iterable[SubmissionPhoto],
    *,
    size_px: int = SIZE_PX,
    min_area_px: int = MIN_AREA_PX,
    empty_class: int = EMPTY_CLASS,
    ids: Sequence[str] | None = None,
    force: bool = False,
) -> SubmissionReport:
    """Write a submission; one photo is held at a time.

    Classes go by name to the competition's 46, shoe types to ``shoe``. Masks are resampled, those
    below ``min_area_px`` left out, and each pixel is given to the best mask of its class; what
    that leaves below ``min_area_px`` is left out too. A photo's rows are in falling score.

    Args:
        path: the CSV to write, whole or not at all.
        photos: predictions, each photo once, in any order.
        size_px: side of the grid of the masks.
        min_area_px: least area of a mask on that grid, in px; an empty mask is left out at 0 too.
        empty_class: ClassId, 0 to 45, of the row that a photo without a mask gets.
        ids: every image that must have a row, in the order of the rows; None: those of ``photos``
            as they come. Rows wait in an unnamed file beside ``path`` then, not in memory. An
            image that was not predicted gets the row of an empty one; a photo that is not in the
            list is left out. Either is told in the report.
        force: overwrite ``path``.

    Raises:
        FashionError: for numbers out of range, a photo or an id given twice, an id that is no
            plain name, masks that are not of the photo's size, or no photo (of the list) at all.
    """
    refuse_overwrite(path, force)
    n_classes = len(ontology.CLASSES_46)
    if not (1 <= size_px <= MOST_SIZE_PX and min_area_px >= 0 and 0 <= empty_class < n_classes):
        raise FashionError(
            f"{path}: a size from 1 to {MOST_SIZE_PX} px, an area of at least 0 and a class from 0 "
            f"to {n_classes - 1} expected, got {size_px}, {min_area_px} and {empty_class}. Mend "
            "the options."
        )
    listed = None
    if ids is not None:
        require_ids(ids, "ids of the submission")
        listed = dict.fromkeys(ids)
    report = SubmissionReport(Path(path))
    rows_of = _Rows(report, size_px, min_area_px, empty_class)
    place_of: dict[str, tuple[int, int]] = {}  # id -> where its rows are: offset, bytes
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(atomic_open(path, "wb"))
        out.write(_csv([COLUMNS]))
        rows = out
        if listed is not None:
            folder = os.path.dirname(os.path.realpath(path))
            rows = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        for photo in photos:
            image_id = as_handed_in(photo.image_id, listed)
            if image_id is None:
                report.unlisted.append(photo.image_id)
                continue
            if image_id in place_of:
                raise AnnotationError(
                    f"{path}: each photo once expected, got {image_id!r} twice. Photos of one name "
                    "in two folders cannot be told apart by the competition."
                )
            text = _csv(rows_of.photo(image_id, photo.prediction))
            place_of[image_id] = (rows.tell(), len(text))
            rows.write(text)
        if not place_of:
            raise AnnotationError(
                f"{path}: predictions of at least one photo{'' if ids is None else ' of the list'} "
                f"expected, got {first_of(report.unlisted) if report.unlisted else 'none'}. "
                "Nothing was written."
            )
        for image_id in listed or ():
            if image_id in place_of:
                offset, n_bytes = place_of[image_id]
                rows.seek(offset)
                out.write(rows.read(n_bytes))
            else:
                out.write(_csv([rows_of.empty(image_id)]))
                report.unpredicted.append(image_id)
                report.n_empty += 1
    report.n_images = len(place_of) + len(report.unpredicted)
    return report


class _Rows:
    """Turns predictions into rows and enters in the report what is left out of them."""

    def __init__(
        self, report: SubmissionReport, size_px: int, min_area_px: int, empty_class: int
    ) -> None:
        self._report = report
        self._size_px = size_px
        self._min_area_px = max(min_area_px, 1)
        self._empty_class = empty_class
        grid, limit = f"{size_px} x {size_px}", counted(self._min_area_px, "px", "px")
        name = ontology.CLASSES_46[empty_class]
        # Entered now, so that the lines come in this order.
        self._empty = f"images without a mask, given the row '{EMPTY_RUNS}' of {name!r}"
        self._shoes = "masks of shoe types, handed in as 'shoe'"
        self._vanished = f"masks left out, without a pixel at {grid}"
        self._small = f"masks left out, below {limit} at {grid}"
        self._cut = "masks that lost pixels to a better one of their class"
        self._lost = f"masks left out, below {limit} after that"
        for what in (
            self._empty, self._shoes, self._vanished, self._small, self._cut, self._lost
        ):  # fmt: skip
            report.counts[what] = 0

    def photo(self, image_id: str, prediction: Prediction) -> list[tuple[str, str, int]]:
        """Return the rows of one photo: at least one."""
        counts = self._report.counts
        names, masks, class_ids = [], [], []
        for n in (-prediction.scores).argsort(kind="stable").tolist():
            name = prediction.classes[int(prediction.labels[n])]
            class_id = CLASS_IDS.get(name)
            if class_id is None:
                self._report.unknown_classes[name] += 1
                continue
            mask = self._resampled(prediction, n, image_id)
            area_px = rle.measure(mask)[0]
            if area_px < self._min_area_px:
                counts[self._small if area_px else self._vanished] += 1
                continue
            names.append(name)
            masks.append(mask)
            class_ids.append(class_id)
        rows = []
        # They are in falling score, so the ranks do for scores.
        apart = exclusive(masks, range(len(masks), 0, -1), class_ids)
        for name, class_id, before, mask in zip(names, class_ids, masks, apart, strict=True):
            counts[self._cut] += mask is not before
            if rle.measure(mask)[0] < self._min_area_px:
                counts[self._lost] += 1
                continue
            counts[self._shoes] += name in ontology.SHOE_TYPES
            rows.append((image_id, rle.coco_to_kaggle(mask), class_id))
        self._report.n_masks += len(rows)
        if not rows:
            counts[self._empty] += 1
            self._report.n_empty += 1
        return rows or [self.empty(image_id)]

    def empty(self, image_id: str) -> tuple[str, str, int]:
        """Return the row of an image without a mask."""
        return image_id, EMPTY_RUNS, self._empty_class

    def _resampled(self, prediction: Prediction, n: int, image_id: str) -> dict[str, Any]:
        mask = dict(prediction.rles[n])
        if tuple(mask["size"]) != tuple(prediction.size_hw):
            raise MaskError(
                f"{image_id}: masks of the photo's size {tuple(prediction.size_hw)} expected, got "
                f"{tuple(mask['size'])}. Predict the photo again."
            )
        return resampled(mask, self._size_px, self._size_px)


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
