"""Reads an entry to iMaterialist (Fashion) 2019 back and finds what the competition would refuse.

The rules are stated in :mod:`.submission`. Every row is looked at before the end. Memory holds the
masks of one image, and where the rows of each image lie; an image whose rows lie apart is read
again at the end, for its masks must not overlap either.

    fashion data check-submission submission.csv --sample sample_submission.csv
"""

from __future__ import annotations

import argparse
import codecs
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from tqdm import tqdm

from datasets_tools.csv_rows import EXCEL_CELL, split_row
from datasets_tools.report import counted, say, short
from datasets_tools.submission import (
    COLUMNS,
    EMPTY_RUNS,
    MOST_SIZE_PX,
    SIZE_PX,
    read_ids,
    require_plain_name,
)
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import unreadable
from fashion_mmdet.core.mask_arithmetic import intersection, union

#: The attributes of 2019 are numbered 0 to 91.
_N_ATTRIBUTES = 92
_N_CLASSES = len(ontology.CLASSES_46)
_CLASS_ID = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:_(?:0|[1-9][0-9]{0,3}))*")
_SEPARATORS = (",", ";", "\t")
_SHOWN_PER_KIND = 5
#: Masks compared with all before them at a time.
_CHUNK = 256

Severity = Literal["error", "warning"]


@dataclass
class Findings:
    """What was found, by kind: all of it is counted, the first few of a kind are kept to be shown.

    Attributes:
        shown: how many messages of a kind are kept; 0: all.
        counts: (severity, kind) -> how often.
        first: (severity, kind) -> messages, each with its place.
    """

    shown: int = _SHOWN_PER_KIND
    counts: Counter[tuple[Severity, str]] = field(default_factory=Counter)
    first: dict[tuple[Severity, str], list[str]] = field(default_factory=dict)

    def error(self, kind: str, message: str) -> None:
        """Enter what the competition would refuse or score as a miss."""
        self._add("error", kind, message)

    def warning(self, kind: str, message: str) -> None:
        """Enter what is suspicious."""
        self._add("warning", kind, message)

    def _add(self, severity: Severity, kind: str, message: str) -> None:
        self.counts[severity, kind] += 1
        kept = self.first.setdefault((severity, kind), [])
        if not self.shown or len(kept) < self.shown:
            kept.append(message)

    def n(self, severity: Severity) -> int:
        """Return how many there are of a severity."""
        return sum(count for (s, _), count in self.counts.items() if s == severity)

    def lines(self) -> Iterator[str]:
        """Yield the lines to print: errors first, the most frequent kinds first."""
        for (severity, kind), count in sorted(
            self.counts.items(), key=lambda item: (item[0][0], -item[1])
        ):
            yield f"{severity}: {kind} ({count:,}):"
            messages = self.first[severity, kind]
            yield from (f"    {message}" for message in messages)
            if count > len(messages):
                yield f"    and {count - len(messages):,} more"


@dataclass
class SubmissionCheck:
    """What a submission has, and what is wrong with it.

    Attributes:
        n_images: images that have a row.
        n_rows: rows, the faulty ones included.
        n_empty: images whose only row is that of an empty one.
        class_ids: categories that masks are of.
        findings: what is wrong.
    """

    n_images: int = 0
    n_rows: int = 0
    n_empty: int = 0
    class_ids: set[int] = field(default_factory=set)
    findings: Findings = field(default_factory=Findings)

    def summary(self) -> str:
        """Return the line to print last, without the file's name."""
        counts = (
            counted(self.n_images, "image"), counted(self.n_rows, "row"),
            counted(self.n_empty, "empty row"),
            counted(len(self.class_ids), "class", "classes"),
        )  # fmt: skip
        errors, warnings = self.findings.n("error"), self.findings.n("warning")
        return f"{', '.join(counts)}: {counted(errors, 'error')}, {counted(warnings, 'warning')}"


class _Mask(NamedTuple):
    """A good row: ``block`` is the number of the file's stretch of rows of one image."""

    line: int
    block: int
    class_id: int
    label: str  # the ClassId as written, attributes included
    code: dict[str, Any]


@dataclass
class _Image:
    """Where the rows of an image lie: (first line, offset of it, offset after the last)."""

    blocks: list[tuple[int, int, int]] = field(default_factory=list)
    n_rows: int = 0
    n_placeholders: int = 0


class _Line(NamedTuple):
    number: int
    offset: int
    raw: bytes
    is_whole: bool


def check_submission(
    path: str | os.PathLike[str],
    *,
    sample: str | os.PathLike[str] | None = None,
    size_px: int = SIZE_PX,
    shown: int = _SHOWN_PER_KIND,
    progress: bool = False,
) -> SubmissionCheck:
    """Look at every row of a submission.

    Args:
        path: the CSV.
        sample: ``sample_submission.csv``, whose images it must have, no fewer and no others.
        size_px: side of the grid of the masks.
        shown: messages that are kept of each kind of finding; 0: all.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: if one of the files cannot be read, or the sample is none.
    """
    if not 1 <= size_px <= MOST_SIZE_PX:
        raise FashionError(f"--size: 1 to {MOST_SIZE_PX} px expected, got {size_px}.")
    listed = None if sample is None else dict.fromkeys(read_ids(sample))
    try:
        with open(path, "rb") as stream:
            checker = _Checker(stream, Path(path), size_px, Findings(shown))
            checker.read(listed, progress)
            if listed is not None and checker.is_table:
                checker.compare(listed, os.fspath(sample or ""))
    except OSError as error:
        raise unreadable(path, error, "a CSV file in UTF-8") from None
    return checker.report


class _Checker:
    """Goes through one file and enters what it finds."""

    def __init__(self, stream: IO[bytes], path: Path, size_px: int, findings: Findings) -> None:
        self.report = SubmissionCheck(findings=findings)
        self.is_table = False
        self._stream = stream
        self._name = path.name
        self._path = path
        self._size_px = size_px
        self._found = findings
        # Each pixel a run of its own: no sound row is longer. A file of gigabytes without a line
        # break is read in pieces of this.
        self._longest = size_px**2 * (len(str(size_px**2)) + 3) + 65536
        self._separator = ","
        self._position = dict(zip(COLUMNS, range(3), strict=True))
        self._n_columns = len(COLUMNS)
        self._is_from_excel = True  # until a longer field than Excel's is met
        self._images: dict[str, _Image] = {}
        self._n_blocks = 0

    def read(self, listed: Mapping[str, None] | None, progress: bool) -> None:
        """Look at header, rows and overlaps; without ``listed`` at the suffixes of the ids too."""
        size = os.fstat(self._stream.fileno()).st_size
        lines = self._lines()
        header = next(lines, None)
        if header is None or not self._read_header(header):
            if header is None:
                self._found.error(
                    "header", f"{self._name}:1: {','.join(COLUMNS)} expected, got an empty file."
                )
            return
        self.is_table = True
        n_windows_ends = int(header.raw.endswith(b"\r\n"))
        last = header
        at, masks = "", list[_Mask]()
        with tqdm(total=size, unit="B", unit_scale=True, disable=None if progress else True) as bar:
            for line in lines:
                bar.update(line.offset - last.offset)
                n_windows_ends += line.raw.endswith(b"\r\n")
                last = line
                fields = self._fields(line)
                if fields is None:
                    continue
                self.report.n_rows += 1
                image_id = self._image_id(fields, line, listed)
                mask = self._mask(fields, line, self._found)
                if image_id is None:
                    continue
                if image_id != at:
                    self._compare_masks(masks)
                    at, masks = image_id, []
                    self._n_blocks += 1
                    self._images.setdefault(image_id, _Image()).blocks.append(
                        (line.number, line.offset, 0)
                    )
                image = self._images[image_id]
                first, offset, _ = image.blocks[-1]
                image.blocks[-1] = (first, offset, line.offset + len(line.raw))
                image.n_rows += 1
                image.n_placeholders += fields["EncodedPixels"].strip() == EMPTY_RUNS
                if mask is not None:
                    masks.append(mask)
                    self.report.class_ids.add(mask.class_id)
        self._compare_masks(masks)
        self._finish(last, n_windows_ends)

    def compare(self, listed: Mapping[str, None], sample: str) -> None:
        """Enter the images that the sample has and the submission has not."""
        for image_id in listed:
            if image_id not in self._images:
                self._found.error(
                    "image missing",
                    f"{self._name}: a row of {short(image_id)} of {sample} expected, got none. "
                    f"Give it the row '{EMPTY_RUNS}'.",
                )

    def _finish(self, last: _Line, n_windows_ends: int) -> None:
        """Enter what is known at the end of the file."""
        report, found = self.report, self._found
        if not report.n_rows:
            found.error("no rows", f"{self._name}: at least one row expected, got none.")
        if not last.raw.endswith(b"\n"):
            found.warning(
                "no line break at the end",
                f"{self._name}:{last.number}: a line break at the end expected, got none. Was the "
                "file cut short?",
            )
        if n_windows_ends:
            found.warning(
                "line ends of Windows",
                f"{self._name}: lines that end in LF expected, got CR LF on "
                f"{counted(n_windows_ends, 'line')}. Has Excel saved it?",
            )
        report.n_images = len(self._images)
        for image_id, image in self._images.items():
            report.n_empty += image.n_rows == image.n_placeholders == 1
            line = image.blocks[0][0]
            if 0 < image.n_placeholders < image.n_rows:
                found.warning(
                    "row of an empty image beside masks",
                    f"{self._name}:{line}: the row '{EMPTY_RUNS}' of an image alone expected, got "
                    f"it among {image.n_rows} rows of {short(image_id)}.",
                )
            if len(image.blocks) > 1:
                places = [str(first) for first, _, _ in image.blocks]
                found.warning(
                    "rows of an image apart",
                    f"{self._name}:{places[1]}: the rows of an image together expected, got those "
                    f"of {short(image_id)} from lines {', '.join(places[:5])} on"
                    f"{', and more' if len(places) > 5 else ''}. Sort the file by image.",
                )
                self._compare_masks(self._masks_of(image), across_blocks=True)

    def _masks_of(self, image: _Image) -> list[_Mask]:
        """Read the rows of an image again; what is wrong with a row has been entered before."""
        unheard = Findings()
        masks = []
        for number, (first, start, end) in enumerate(image.blocks):
            self._stream.seek(start)
            for line in self._lines(first, end):
                fields = self._fields(line, unheard)
                mask = None if fields is None else self._mask(fields, line, unheard)
                if mask is not None:
                    masks.append(mask._replace(block=number))
        return masks

    def _lines(self, number: int = 1, end: int | None = None) -> Iterator[_Line]:
        """Yield the lines from where the stream is, up to the offset ``end``."""
        while end is None or self._stream.tell() < end:
            offset = self._stream.tell()
            raw = self._stream.readline(self._longest)
            if not raw:
                return
            is_whole = raw.endswith(b"\n") or len(raw) < self._longest
            rest = raw
            while not rest.endswith(b"\n") and rest:
                rest = self._stream.readline(self._longest)
            yield _Line(number, offset, raw, is_whole)
            number += 1

    def _read_header(self, line: _Line) -> bool:
        """Look at the first line; return whether the rows can be read by it."""
        raw, where = line.raw, f"{self._name}:1"
        wanted = ",".join(COLUMNS)
        if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            self._found.error(
                "header", f"{where}: a CSV file in UTF-8 expected, got UTF-16, as Excel writes it."
            )
            return False
        if raw.startswith(codecs.BOM_UTF8):
            self._found.error(
                "byte order mark",
                f"{where}: '{COLUMNS[0]}' as the first bytes expected, got a byte order mark "
                "before it. Save as UTF-8 without one.",
            )
            raw = raw.removeprefix(codecs.BOM_UTF8)
        text = raw[:65536].decode("utf-8", "replace").rstrip("\r\n")
        if text == wanted:
            return True
        for separator in _SEPARATORS:
            names = [name.strip() for name in split_row(text, separator) or []]
            if all(names.count(name) == 1 for name in COLUMNS):
                self._separator, self._n_columns = separator, len(names)
                self._position = {name: names.index(name) for name in COLUMNS}
                self._found.error(
                    "header",
                    f"{where}: {wanted} expected, got {short(text)}. The rows are read by it "
                    "nevertheless.",
                )
                return True
        self._found.error(
            "header",
            f"{where}: {wanted} expected, got {short(text)}. Is this the submission? The rows "
            "were not read.",
        )
        return False

    def _fields(self, line: _Line, found: Findings | None = None) -> dict[str, str] | None:
        """Return a line's fields by column; None, and a finding, for what is no row."""
        found = found or self._found
        where = f"{self._name}:{line.number}"
        if not line.is_whole:
            found.error(
                "number of fields",
                f"{where}: a row of at most {self._longest:,} bytes expected, got a longer one. "
                "Are line breaks missing?",
            )
            return None
        if b"\0" in line.raw:
            found.error("NUL bytes", f"{where}: text expected, got NUL bytes. Was the disk full?")
            return None
        try:
            text = line.raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            found.error(
                "not UTF-8",
                f"{where}: text in UTF-8 expected, got the byte {error.object[error.start]:#x} at "
                f"{error.start + 1}. Save it as UTF-8.",
            )
            return None
        if not text.strip(f'{self._separator}" \t'):
            found.warning("blank row", f"{where}: a row expected, got a blank line. Remove it.")
            return None
        fields = split_row(text, self._separator)
        if fields is None or len(fields) != self._n_columns:
            got = "an open or misplaced quote" if fields is None else f"{len(fields)}"
            found.error(
                "number of fields",
                f"{where}: {self._n_columns} fields on the line expected, got {got}. Is the row "
                "cut short, or broken over two lines?",
            )
            return None
        longest = max(map(len, fields))
        self._is_from_excel &= longest <= EXCEL_CELL
        if self._is_from_excel and longest == EXCEL_CELL:
            found.error(
                "cut by Excel",
                f"{where}: a whole field expected, got one of exactly {EXCEL_CELL:,} characters, "
                "where Excel cuts off the rest. Hand in the file as written.",
            )
        return {name: fields[at] for name, at in self._position.items()}

    def _image_id(
        self, fields: Mapping[str, str], line: _Line, listed: Mapping[str, None] | None
    ) -> str | None:
        """Return the row's image; None, and a finding, for what is no name of one."""
        image_id, where = fields["ImageId"], f"{self._name}:{line.number}"
        try:
            require_plain_name(image_id, where)
        except AnnotationError as error:
            self._found.error("image name", str(error))
            return None
        if image_id in self._images:
            return image_id
        if listed is not None and image_id not in listed:
            self._found.error(
                "image not in the sample",
                f"{where}: an image of the sample submission expected, got {short(image_id)}. "
                "Names have their '.jpg'; remove rows of other photos.",
            )
        elif listed is None and not image_id.endswith(".jpg"):
            self._found.warning(
                "image name without .jpg",
                f"{where}: a name that ends in '.jpg' expected, got {short(image_id)}. Compare "
                "with sample_submission.csv (--sample).",
            )
        return image_id

    def _mask(self, fields: Mapping[str, str], line: _Line, found: Findings) -> _Mask | None:
        """Return the row's mask if its class and runs are sound; else a finding or two."""
        where = f"{self._name}:{line.number}"
        label = fields["ClassId"]
        class_id = _class_id(label, where, found)
        try:
            code = rle.kaggle_to_coco(fields["EncodedPixels"], self._size_px, self._size_px, where)
        except rle.RunLengthError as error:
            found.error(f"run lengths, {error.kind}", str(error))
            return None
        if code["counts"].startswith("0") and rle.measure(code)[0] == self._size_px**2:
            found.warning(
                "mask of the whole image",
                f"{where}: a part of the image expected, got all of it. Was a mask inverted?",
            )
        if class_id is None:
            return None
        return _Mask(line.number, self._n_blocks, class_id, label, code)

    def _compare_masks(self, masks: Iterable[_Mask], across_blocks: bool = False) -> None:
        """Enter the overlaps within each class of one image, and rows given twice.

        Args:
            masks: all of one image, in the order of the file.
            across_blocks: look only at those of different blocks.
        """
        of_class: dict[int, list[_Mask]] = {}
        first_of_row: dict[tuple[str, str], _Mask] = {}
        for mask in masks:
            first = first_of_row.setdefault((mask.label, mask.code["counts"]), mask)
            if first is mask:
                of_class.setdefault(mask.class_id, []).append(mask)
            elif not across_blocks or first.block != mask.block:
                self._found.error(
                    "duplicate row",
                    f"{self._name}:{mask.line}: each mask once expected, got that of line "
                    f"{first.line} again. Remove one.",
                )
        for group in of_class.values():
            for at in range(0, len(group) if len(group) > 1 else 0, _CHUNK):
                self._compare_chunk(group, at, across_blocks)

    def _compare_chunk(self, group: list[_Mask], at: int, across_blocks: bool) -> None:
        """Compare the masks of one class from position ``at`` on, a chunk, with those before."""
        chunk = group[at : at + _CHUNK]
        codes = [mask.code for mask in group[: at + len(chunk)]]
        # pycocotools compares the boxes first, and walks the runs of those that meet.
        iou_MN = np.tril(coco_mask.iou(codes[at:], codes, [0] * len(codes)), at - 1)
        for mask, row in zip(chunk, iou_MN, strict=True):
            others = [group[n] for n in np.flatnonzero(row).tolist()]
            if across_blocks:
                others = [other for other in others if other.block != mask.block]
            same = [other for other in others if other.label == mask.label]
            if same:
                self._found.error("overlap within a class", self._overlap(mask, same))
            elif others:
                self._found.warning(
                    "overlap within a class, of other attributes", self._overlap(mask, others)
                )

    def _overlap(self, mask: _Mask, others: list[_Mask]) -> str:
        shared_px = rle.measure(intersection([mask.code, union([other.code for other in others])]))[
            0
        ]
        lines = [str(other.line) for other in others]
        where = f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(lines[:5])}"
        more = ", ..." if len(lines) > 5 else ""
        return (
            f"{self._name}:{mask.line}: no pixel in two masks of class {mask.class_id} "
            f"({ontology.CLASSES_46[mask.class_id]}) expected, got {shared_px:,} px of "
            f"{where}{more}. `fashion data submission` removes them."
        )


def _class_id(label: str, where: str, found: Findings) -> int | None:
    """Return the category of a ClassId; None, and a finding, for one that there is not."""
    if not _CLASS_ID.fullmatch(label) or int(label.split("_")[0]) >= _N_CLASSES:
        found.error(
            "unknown class",
            f"{where}: a ClassId from '0' to '{_N_CLASSES - 1}', with or without attributes behind "
            f"'_', expected, got {short(label)}. Shoe types are handed in as {_SHOE!r}.",
        )
        return None
    class_id, *attributes = map(int, label.split("_"))
    if len(set(attributes)) < len(attributes) or any(a >= _N_ATTRIBUTES for a in attributes):
        found.error(
            "unknown attribute",
            f"{where}: attributes from 0 to {_N_ATTRIBUTES - 1}, each once, expected, got "
            f"{short(label)}. See label_descriptions.json of 2019.",
        )
    return class_id


_SHOE = str(ontology.CLASSES_46.index("shoe"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data check-submission``."""
    parser.add_argument("submission", metavar="CSV", help="the submission")
    parser.add_argument(
        "--sample",
        metavar="CSV",
        help="sample_submission.csv: the images that it must have, no fewer and no others",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=SIZE_PX,
        metavar="PX",
        help=f"side of the grid of the masks (default: {SIZE_PX})",
    )
    parser.add_argument(
        "--show",
        type=int,
        default=_SHOWN_PER_KIND,
        metavar="N",
        help=f"findings shown of each kind; 0: all (default: {_SHOWN_PER_KIND})",
    )


def run(args: argparse.Namespace) -> int:
    """Check as ``args`` say and print what was found; return 1 if there are errors."""
    if args.show < 0:
        raise FashionError(f"--show: at least 0 expected, got {args.show}.")
    report = check_submission(
        args.submission, sample=args.sample, size_px=args.size, shown=args.show, progress=True
    )
    for line in report.findings.lines():
        say(line)
    say(f"{args.submission}: {report.summary()}")
    return 1 if report.findings.n("error") else 0
