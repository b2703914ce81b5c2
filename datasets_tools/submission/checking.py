"""Reads a submission back and finds what the competition would refuse or score as a miss.

Every row is looked at before the end. Memory holds the masks of one image, and where the rows of
each image lie; an image whose rows lie apart is read again at the end, for its masks must not
overlap either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from datasets_tools.report import counted, short
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import unreadable

from .findings import SHOWN_PER_KIND, Findings, SubmissionCheck
from .ids import read_ids, require_plain_name
from .overlaps import Mask, compare_masks
from .reading import Line, SubmissionLines
from .rules import COLUMNS, EMPTY_RUNS, MOST_SIZE_PX, N_ATTRIBUTES, SHOE, SIZE_PX

_N_CLASSES = len(ontology.CLASSES_46)
_CLASS_ID = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:_(?:0|[1-9][0-9]{0,3}))*")


@dataclass
class _Image:
    """Where the rows of an image lie: (first line, offset of it, offset after the last)."""

    blocks: list[tuple[int, int, int]] = field(default_factory=list)
    n_rows: int = 0
    n_placeholders: int = 0


def check_submission(
    path: str | os.PathLike[str],
    *,
    sample: str | os.PathLike[str] | None = None,
    size_px: int = SIZE_PX,
    shown: int = SHOWN_PER_KIND,
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
        self._size_px = size_px
        self._found = findings
        self._lines = SubmissionLines(stream, path.name, size_px)
        self._images: dict[str, _Image] = {}
        self._n_blocks = 0

    def read(self, listed: Mapping[str, None] | None, progress: bool) -> None:
        """Look at header, rows and overlaps; without ``listed`` at the suffixes of the ids too."""
        size = os.fstat(self._stream.fileno()).st_size
        lines = self._lines.lines()
        header = next(lines, None)
        if header is None or not self._lines.read_header(header, self._found):
            if header is None:
                self._found.error(
                    "header", f"{self._name}:1: {','.join(COLUMNS)} expected, got an empty file."
                )
            return
        self.is_table = True
        n_windows_ends = int(header.raw.endswith(b"\r\n"))
        last = header
        at, masks = "", list[Mask]()
        with tqdm(total=size, unit="B", unit_scale=True, disable=None if progress else True) as bar:
            for line in lines:
                bar.update(line.offset - last.offset)
                n_windows_ends += line.raw.endswith(b"\r\n")
                last = line
                fields = self._lines.fields(line, self._found)
                if fields is None:
                    continue
                self.report.n_rows += 1
                image_id = self._image_id(fields, line, listed)
                mask = self._mask(fields, line, self._found)
                if image_id is None:
                    continue
                if image_id != at:
                    compare_masks(masks, self._name, self._found)
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
        compare_masks(masks, self._name, self._found)
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

    def _finish(self, last: Line, n_windows_ends: int) -> None:
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
            is_empty = image.n_placeholders == image.n_rows
            report.n_empty += is_empty
            line = image.blocks[0][0]
            if is_empty and image.n_rows > 1:
                found.warning(
                    "rows of an empty image",
                    f"{self._name}:{line}: the row '{EMPTY_RUNS}' of an image without a mask once "
                    f"expected, got {image.n_rows} of {short(image_id)}. Keep one.",
                )
            elif image.n_placeholders and not is_empty:
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
                compare_masks(self._masks_of(image), self._name, found, across_blocks=True)

    def _masks_of(self, image: _Image) -> list[Mask]:
        """Read the rows of an image again; what is wrong with a row has been entered before."""
        unheard = Findings()
        masks = []
        for number, (first, start, end) in enumerate(image.blocks):
            self._stream.seek(start)
            for line in self._lines.lines(first, end):
                fields = self._lines.fields(line, unheard)
                mask = None if fields is None else self._mask(fields, line, unheard)
                if mask is not None:
                    masks.append(mask._replace(block=number))
        return masks

    def _image_id(
        self, fields: Mapping[str, str], line: Line, listed: Mapping[str, None] | None
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

    def _mask(self, fields: Mapping[str, str], line: Line, found: Findings) -> Mask | None:
        """Return the row's mask if its class and runs are sound; else a finding or two."""
        where = f"{self._name}:{line.number}"
        numbers = _class_and_attributes(fields["ClassId"], where, found)
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
        if numbers is None:
            return None
        class_id, *attributes = numbers
        return Mask(line.number, self._n_blocks, class_id, tuple(sorted(attributes)), code)


def _class_and_attributes(label: str, where: str, found: Findings) -> list[int] | None:
    """Return the numbers of a ClassId; None, and a finding, for a class that there is not."""
    if not _CLASS_ID.fullmatch(label) or int(label.split("_")[0]) >= _N_CLASSES:
        found.error(
            "unknown class",
            f"{where}: a ClassId from '0' to '{_N_CLASSES - 1}', with or without attributes behind "
            f"'_', expected, got {short(label)}. Shoe types are handed in as '{SHOE}'.",
        )
        return None
    class_id, *attributes = map(int, label.split("_"))
    if len(set(attributes)) < len(attributes) or any(a >= N_ATTRIBUTES for a in attributes):
        found.error(
            "unknown attribute",
            f"{where}: attributes from 0 to {N_ATTRIBUTES - 1}, each once, expected, got "
            f"{short(label)}. See label_descriptions.json of 2019.",
        )
    return [class_id, *attributes]
