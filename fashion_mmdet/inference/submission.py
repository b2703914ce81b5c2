"""The competition's file, of what ``fashion predict`` has found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets_tools.submission import SubmissionPhoto, SubmissionReport, write_submission

from .inputs import Source
from .ledger import Entry

FILE_NAME = "submission.csv"


def write_entries(
    out_dir: Path,
    entries: Iterable[Entry],
    ids: Sequence[str],
    *,
    force: bool,
    **options: Any,
) -> SubmissionReport:
    """Write ``submission.csv``; a photo is called as its list does, else by its file name.

    Args:
        out_dir: the folder.
        entries: what is known of each photo.
        ids: every photo that must have a row, in their order.
        force: overwrite the file.
        options: as for :func:`datasets_tools.submission.write_submission`.
    """
    photos = (
        SubmissionPhoto(id_of(entry), entry.prediction)
        for entry in entries
        if entry.prediction is not None
    )
    return write_submission(out_dir / FILE_NAME, photos, ids=ids, force=force, **options)


def id_of(photo: Entry | Source) -> str:
    """Return what the competition calls a photo."""
    return str(photo.image_id if photo.image_id is not None else os.path.basename(photo.file_name))
