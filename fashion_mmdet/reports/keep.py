"""What of a run is small enough to be kept in a repository: its record, its evidence sans masks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import write_evidence
from fashion_mmdet.core.files import refuse_overwrite, refuse_own_input, require_writable
from fashion_mmdet.core.run_record import FILE_NAME, write_run

from .runs import Run


def require_new(out: str | os.PathLike[str], runs: Sequence[Run], force: bool) -> None:
    """Refuse to overwrite what is kept of a run already, unless ``force``; a run itself always."""
    for run in runs:
        folder = Path(out) / run.name
        refuse_own_input(folder, run.path)  # its masks would be lost
        if os.path.lexists(folder / FILE_NAME) and not force:
            raise FashionError(f"{folder}: a new folder expected, it holds a run. Use --force.")
        for path in targets(out, [run]):
            refuse_overwrite(path, force)
            require_writable(path)


def targets(out: str | os.PathLike[str], runs: Sequence[Run]) -> list[Path]:
    """Return the files that :func:`keep` writes."""
    return [
        Path(out) / run.name / name
        for run in runs
        for name in (f"evidence_{run.split}.npz", FILE_NAME)
    ]


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
        # Of its tests the one that the evidence is of. Last: without it the folder is no run.
        record = dataclasses.replace(run.record, tests=run.record.tests[-1:], evaluation=(name,))
        (folder / FILE_NAME).unlink(missing_ok=True)  # or its tests would be taken over
        write_run(folder, record)
        folders.append(folder)
    return folders
