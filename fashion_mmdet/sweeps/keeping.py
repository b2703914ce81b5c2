"""What of a sweep is small enough to be kept in a repository, and makes its tables again."""

from __future__ import annotations

import os
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import write_text
from fashion_mmdet.reports import keep
from fashion_mmdet.reports.runs import read_runs

from .finalists import compare_finals
from .record import FILE_NAME, SweepRecord, read_record, write_record
from .report import results_markdown

#: the tables and the decision, for a document
RESULTS = "results.md"


def require_own(out: str | os.PathLike[str], name: str) -> None:
    """Raise :class:`FashionError` where ``out`` holds something else than this sweep's record."""
    folder = Path(out)
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / FILE_NAME).is_file()):
        raise FashionError(f"--keep: a new folder, or one of a sweep, expected, got {out}.")
    if (folder / FILE_NAME).is_file() and read_record(folder).name != name:
        raise FashionError(
            f"--keep: a new folder, or the one of sweep {name!r}, expected, got that of "
            f"{read_record(folder).name!r}, {out}."
        )


def keep_sweep(
    folder: str | os.PathLike[str], record: SweepRecord, out: str | os.PathLike[str]
) -> list[Path]:
    """Write the record, what compares its finals (without masks), and their tables into ``out``.

    Args:
        folder: of the sweep.
        record: of it.
        out: made where it is not there.

    Returns:
        What was written.
    """
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    done = [Path(folder) / one.work_dir for one in record.finals if one.outcome == "done"]
    written = []
    if done:
        written = keep.keep(target / "finals", read_runs(done, "val"))
    write_record(target, record)
    comparison, _ = compare_finals(target, record)
    write_text(target / RESULTS, results_markdown(record, comparison))
    return [*written, target / FILE_NAME, target / RESULTS]
