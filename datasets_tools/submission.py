"""The CSV that iMaterialist (Fashion) 2019 takes as an entry, written from predictions.

Its columns are ``ImageId,EncodedPixels,ClassId``, one row per instance. ``ImageId`` is the photo's
name, ``.jpg`` included; ``EncodedPixels`` are Kaggle's run lengths (from one, down the columns) on
a grid of 512 x 512 pixels, whatever the photo's size; ``ClassId`` is the category's number, 0 to
45. No pixel may lie in two masks of one class of a photo, and every photo of
``sample_submission.csv`` must have a row.

A known loss: where a class has attributes, the competition wants them behind ``_`` (``6_1_2``) and
counts a mask without them as a miss. Our models predict none, so the number stands alone.

    fashion data submission results.json images.json --sample sample_submission.csv \
        --out submission.csv

``fashion data check-submission`` (:mod:`.check_submission`) reads such a file back.

Source: https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6/overview/evaluation
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import posixpath
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.cached import read_originals
from datasets_tools.csv_rows import CsvRows
from datasets_tools.photos import has_suffix
from datasets_tools.report import (
    BadRow,
    BadRows,
    add_max_bad_rows,
    counted,
    first_of,
    say,
    short,
    sweep,
)
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import AnnotationError, FashionError, MaskError
from fashion_mmdet.core.files import atomic_open, read_json, refuse_overwrite, refuse_own_input
from fashion_mmdet.core.mask_arithmetic import exclusive, resampled
from fashion_mmdet.core.prediction import Prediction

COLUMNS = ("ImageId", "EncodedPixels", "ClassId")
#: Pixels a side of the competition's masks.
SIZE_PX = 512
#: No competition has had a larger grid, and a photo of fewer pixels takes memory for each of it.
MOST_SIZE_PX = 4096
#: Smaller masks are left out. A wrong one costs as much as a large one, and few are right: the
#: winner of 2019 gained .001 by leaving out those below 20 px.
MIN_AREA_PX = 20
#: One pixel, in the corner: what a photo without a finding hands in, for it must have a row.
EMPTY_RUNS = "1 1"
_SHOE = ontology.CLASSES_46.index("shoe")
#: The class that the row of such a photo names.
EMPTY_CLASS = _SHOE


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
    listed = None if ids is None else _checked_ids(ids)
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
            image_id = _as_handed_in(photo.image_id, listed)
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
            class_id = _CLASS_IDS.get(name)
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


#: Class name -> ClassId.
_CLASS_IDS: Mapping[str, int] = {
    **{name: number for number, name in enumerate(ontology.CLASSES_46)},
    **dict.fromkeys(ontology.SHOE_TYPES, _SHOE),
}


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _checked_ids(ids: Sequence[str]) -> dict[str, None]:
    listed = dict.fromkeys(ids)
    if len(listed) < len(ids):
        twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
        raise AnnotationError(
            f"ids of the submission: each once expected, got {first_of(twice)} more than once. "
            "Remove the others."
        )
    for image_id in listed:
        require_plain_name(image_id, "ids of the submission")
    return listed


def _as_handed_in(image_id: str, listed: Mapping[str, None] | None) -> str | None:
    """Return the id as the list has it, with or without ``.jpg``; None if it has not."""
    if listed is None:
        require_plain_name(image_id, "photos of the submission")
        return image_id if has_suffix(image_id) else f"{image_id}.jpg"
    spellings = (image_id, f"{image_id}.jpg", image_id.removesuffix(".jpg"))
    return next((name for name in spellings if name in listed), None)


def require_plain_name(image_id: str, where: str) -> None:
    """Refuse an id that is not the bare name of a photo.

    Raises:
        AnnotationError: for one that is empty, has folders, blanks around it or line breaks.
    """
    is_plain = image_id.isprintable() and image_id == image_id.strip() and image_id
    # The last is what bytes that are not UTF-8 are read as.
    if not is_plain or any(sign in image_id for sign in "/\\\ufffd"):
        raise AnnotationError(
            f"{where}: the name of a photo, without folders or blanks around it, expected, got "
            f"{short(image_id)}. The competition calls photos as sample_submission.csv does."
        )


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Return the ids of ``sample_submission.csv``, or of any CSV with a column ImageId, each once.

    Raises:
        FashionError: for a file that cannot be read, has no such column or no row.
    """
    table = CsvRows(path, COLUMNS[:1])
    ids: dict[str, None] = {}
    line_number = 1
    for block in table.blocks():
        for line in table.lines(block):
            line_number += 1
            if not table.is_blank(line):
                where = f"{path}:{line_number}"
                image_id = table.named(where, line, may_be_cut=False)["ImageId"]
                require_plain_name(image_id, where)
                ids[image_id] = None
    if not ids:
        raise AnnotationError(f"{path}: at least one row expected, got none. Is it complete?")
    return list(ids)


def photos_of_results(
    results: Any,
    coco: Mapping[str, Any],
    where: str,
    *,
    least_score: float,
    bad: BadRows,
    below: Counter[str] | None = None,
) -> Iterator[SubmissionPhoto]:
    """Yield every image of a COCO file with its part of COCO results, in the file's order.

    Args:
        results: objects with ``image_id``, ``category_id``, ``score`` and ``segmentation``.
        coco: the file that the ids are of, as :func:`.core.coco.read_coco` returns it.
        where: the file of the results, for messages.
        least_score: lower ones are left out.
        bad: takes the results that cannot be used.
        below: counts what is left out for its score.
    """
    if not isinstance(results, list):
        raise AnnotationError(
            f"{where}: a list of results expected, got {type(results).__name__}. See 'results "
            "format' of COCO; `fashion predict --coco` writes it."
        )
    name_of_id = map_categories(coco["categories"], (), where).unknown
    classes = tuple(name_of_id.values())
    label_of_id = {category_id: label for label, category_id in enumerate(name_of_id)}
    found_of: dict[int, list[int]] = {image["id"]: [] for image in coco["images"]}
    for index, result in enumerate(results):
        place = f"{where}: [{index}]"
        try:
            _require_result(result, found_of, label_of_id, place)
        except BadRow as error:
            bad.add(error.kind, str(error))
            continue
        if result["score"] >= least_score:
            found_of[result["image_id"]].append(index)
        elif below is not None:
            below[f"results left out, of a score below {least_score:g}"] += 1
    for image in coco["images"]:
        size_hw = image["height"], image["width"]
        labels, scores, boxes_xyxy, masks = [], [], [], []
        for index in found_of[image["id"]]:
            result = results[index]
            try:
                mask = rle.to_rle(result.get("segmentation"), *size_hw, f"{where}: [{index}]")
            except MaskError as error:
                bad.add("mask", str(error))
                continue
            x, y, width, height = rle.measure(mask)[1]
            labels.append(label_of_id[result["category_id"]])
            scores.append(result["score"])
            boxes_xyxy.append([x, y, x + width, y + height])
            masks.append(mask)
        found = Prediction(classes, size_hw, labels, scores, boxes_xyxy, masks)  # type: ignore[arg-type]
        yield SubmissionPhoto(posixpath.basename(image["file_name"].replace("\\", "/")), found)


def _require_result(
    result: Any, image_ids: Mapping[int, Any], category_ids: Mapping[int, Any], where: str
) -> None:
    """Raise BadRow for what is no result of these images and categories."""
    if not isinstance(result, dict):
        raise BadRow("no object", f"{where}: an object expected, got {short(result)}. Remove it.")
    for key, known in (("image_id", image_ids), ("category_id", category_ids)):
        number = result.get(key)
        if type(number) is not int or number not in known:
            raise BadRow(
                f"unknown {key}",
                f"{where}: the {key} of an entry of the annotations expected, got "
                f"{short(number)}. Do the two files belong together?",
            )
    score: Any = result.get("score")
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise BadRow(
            "score", f"{where}: a score from 0 to 1 expected, got {short(score)}. Mend it."
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data submission``."""
    parser.add_argument("results", metavar="RESULTS.json", help="COCO results with masks")
    parser.add_argument(
        "annotations",
        metavar="ANN.json",
        help="the COCO file of their images and categories; annotations may be an empty list",
    )
    parser.add_argument("--out", required=True, metavar="CSV", help="the submission to write")
    parser.add_argument(
        "--sample",
        metavar="CSV",
        help="sample_submission.csv: every image that must have a row, in the order of the rows",
    )
    parser.add_argument(
        "--score", type=float, default=0.5, metavar="S", help="least score (default: 0.5)"
    )
    parser.add_argument(
        "--min-area",
        type=int,
        default=MIN_AREA_PX,
        metavar="PX",
        help=f"least area of a mask, in px of the grid (default: {MIN_AREA_PX})",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=SIZE_PX,
        metavar="PX",
        help=f"side of the grid of the masks (default: {SIZE_PX})",
    )
    parser.add_argument(
        "--empty-class",
        type=int,
        default=EMPTY_CLASS,
        metavar="ID",
        help=f"ClassId of the row '{EMPTY_RUNS}' of an image without a mask (default: "
        f"{EMPTY_CLASS}, shoe)",
    )
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Write the submission as ``args`` say and print the summary; return the exit code."""
    if not 0 <= args.score <= 1:
        raise FashionError(f"--score: a number from 0 to 1 expected, got {args.score:g}.")
    inputs = [args.results, args.annotations, *([args.sample] if args.sample else [])]
    refuse_own_input(args.out, *inputs)
    refuse_overwrite(args.out, args.force)
    sweep(args.out)
    ids = read_ids(args.sample) if args.sample else None
    coco = read_originals(args.annotations)
    bad = BadRows(args.max_bad_rows, args.results)
    below: Counter[str] = Counter()
    photos = photos_of_results(
        read_json(args.results), coco, args.results,
        least_score=args.score, bad=bad, below=below,
    )  # fmt: skip
    report = write_submission(
        args.out,
        # None: hidden unless stderr is a terminal
        tqdm(photos, total=len(coco["images"]), unit="image", disable=None),
        size_px=args.size,
        min_area_px=args.min_area,
        empty_class=args.empty_class,
        ids=ids,
        force=args.force,
    )
    report.counts.update(below)
    for line in (*bad.summary(), *report.lines()):
        say(line)
    say(report.summary())
    return 0
