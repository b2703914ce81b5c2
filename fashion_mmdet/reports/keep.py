"""What of a run is small enough to be kept in a repository: its record, its evidence sans masks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import write_evidence
from fashion_mmdet.core.run_record import FILE_NAME, write_run

from .runs import Run


def require_new(out: str | os.PathLike[str], runs: Sequence[Run], force: bool) -> None:
    """Refuse to overwrite what is kept of a run already, unless ``force``."""
    there = [run.name for run in runs if (Path(out) / run.name / FILE_NAME).exists()]
    if there and not force:
        raise FashionError(
            f"{Path(out) / there[0]}: a new folder expected, it holds a run. Use --force."
        )


def keep(out: str | os.PathLike[str], runs: Sequence[Run]) -> list[Path]:
    """Write what tables, intervals, verdicts and plots are made from into ``out/<run>``.

    Every figure of ``fashion compare`` comes out the same; photos are drawn with boxes, and the
    causes of errors are those of boxes.

    Returns:
        The folders.
    """
    folders = []
    for run in runs:
        folder = Path(out) / run.name
        evidence = dataclasses.replace(
            run.evidence,
            truth=dataclasses.replace(run.evidence.truth, counts=None),
            found=dataclasses.replace(run.evidence.found, counts=None),
        )
        name = f"evidence_{run.split}.npz"
        folder.mkdir(parents=True, exist_ok=True)
        write_evidence(folder / name, evidence)
        # The record last: without it the folder is no run.
        (folder / FILE_NAME).unlink(missing_ok=True)
        write_run(folder, dataclasses.replace(run.record, evaluation=(name,)))
        folders.append(folder)
    return folders
