"""What the competition calls the photos: which names it can hold, and the list of its sample."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from datasets_tools.csv_rows import CsvRows
from datasets_tools.photos import has_suffix
from datasets_tools.report import first_of, short
from fashion_mmdet.core.errors import AnnotationError

from .rules import COLUMNS


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


def require_ids(ids: Sequence[str], where: str) -> None:
    """Refuse ids that no submission can hold; to be asked before the photos are predicted.

    Args:
        ids: what the photos are called, with or without ``.jpg``.
        where: what they are of, for messages.

    Raises:
        AnnotationError: for an id given twice, and for one that is no plain name.
    """
    for image_id in ids:
        require_plain_name(image_id, where)
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise AnnotationError(
            f"{where}: each once expected, got {first_of(twice)} more than once. Keep one of each: "
            "photos of one name in two folders cannot be told apart by the competition."
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


def as_handed_in(image_id: str, listed: Mapping[str, None] | None) -> str | None:
    """Return the id as the list has it, with or without ``.jpg``; None if it has not."""
    if listed is None:
        require_plain_name(image_id, "photos of the submission")
        return image_id if has_suffix(image_id) else f"{image_id}.jpg"
    spellings = (image_id, f"{image_id}.jpg", image_id.removesuffix(".jpg"))
    return next((name for name in spellings if name in listed), None)
