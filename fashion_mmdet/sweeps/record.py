"""``sweep.json``: what a sweep was and what came of it, from which its report is made.

:mod:`.study` holds the same in a database while the sweep runs; this is the plain copy that can
be read, kept and compared without it. The classes below are the format: each is a JSON object
with the class's attributes as keys, and a tuple is a list.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import read_json, write_json
from fashion_mmdet.core.provenance import Code, Hardware
from fashion_mmdet.core.typed_json import from_json

#: Name of the file in the folder of a sweep.
FILE_NAME = "sweep.json"
#: Version of the format; it changes where a file of before can no longer be read.
SCHEMA = 1
#: The finalist that is the swept config, nothing changed.
BASELINE = "baseline"

Outcome = Literal["waiting", "running", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Point:
    """A validation of a trial.

    Attributes:
        step: which validation of the run it is, from 1 on.
        epoch: epochs done; 0 in a run by iteration.
        value: the sweep's metric; None where it was not finite.
    """

    step: int
    epoch: int
    value: float | None


@dataclass(frozen=True)
class Trial:
    """A trial, which may have taken more than one process.

    Attributes:
        number: from 0 on; its work dir is named after it.
        outcome: ``"pruned"``: stopped early, because others were better by then.
        values: config key -> value that was set; empty while it waits to be drawn.
        raw: config key -> what the sampler drew: the value itself, or the quantile for a
            distribution that the sampler does not know.
        metric: the sweep's metric at the last validation; None without one.
        course: its validations.
        reason: why it was pruned or failed, one line.
        last_lines: of the log of a failed one.
        attempts: how many processes were started for it; more than 1 where one was lost.
        work_dir: relative to the sweep's folder.
        started_utc, ended_utc: as ``2026-11-28T04:44:00Z``.
        wall_s: seconds of all its processes.
    """

    number: int
    outcome: Outcome
    values: dict[str, Any]
    raw: dict[str, Any]
    metric: float | None
    course: tuple[Point, ...]
    reason: str | None
    last_lines: tuple[str, ...]
    attempts: int
    work_dir: str
    started_utc: str | None
    ended_utc: str | None
    wall_s: float


@dataclass(frozen=True)
class Final:
    """A run of the finals: one finalist, trained anew with one seed.

    Attributes:
        finalist: :data:`BASELINE`, or the name of the trial, as ``"trial_003"``.
        seed: ``randomness.seed``; no trial had it.
        values: config key -> value that was set.
        others: as of :class:`Trial`.
    """

    finalist: str
    seed: int
    outcome: Outcome
    values: dict[str, Any]
    metric: float | None
    reason: str | None
    last_lines: tuple[str, ...]
    attempts: int
    work_dir: str
    wall_s: float


@dataclass(frozen=True)
class SweepRecord:
    """A sweep.

    Attributes:
        schema: :data:`SCHEMA`.
        name: of the study.
        file: the sweep file, as it was named.
        definition: its content.
        program: the config, as the file names it.
        seed: of the draws.
        planned: how many trials are to be made; the trials below are so many.
        code: the checkout of this package; None where it is not in one, or there is no git.
        versions: package -> version; None for one that is not installed.
        hardware: of the machine that wrote this.
        trials: in order of their numbers.
        finals: of the finalists, with the baseline first; empty where none were asked for.
    """

    schema: int
    name: str
    file: str
    definition: dict[str, Any]
    program: str
    seed: int
    planned: int
    started_utc: str
    updated_utc: str
    code: Code | None
    versions: dict[str, str | None]
    hardware: Hardware
    trials: tuple[Trial, ...]
    finals: tuple[Final, ...]

    @property
    def metric(self) -> str:
        """Name of the metric that is searched on."""
        return str(self.definition["metric"]["name"])

    @property
    def is_maximized(self) -> bool:
        """Whether more of it is better."""
        return bool(self.definition["metric"]["goal"] == "maximize")

    def best(self) -> Trial | None:
        """Return the best of the trials that ran to their end; the earlier of equals."""
        done = self.ranked()
        return done[0] if done else None

    def ranked(self) -> list[Trial]:
        """Return the trials that ran to their end, best first."""
        done = [t for t in self.trials if t.outcome == "done" and t.metric is not None]
        sign = -1.0 if self.is_maximized else 1.0
        return sorted(done, key=lambda t: (sign * (t.metric or 0.0), t.number))


def trial_name(number: int) -> str:
    """Return how a trial and its folder are called.

    >>> trial_name(3)
    'trial_003'
    """
    return f"trial_{number:03d}"


def read_record(folder: str | os.PathLike[str]) -> SweepRecord:
    """Read the record of the sweep in ``folder``.

    Raises:
        FashionError: where there is none, or it is damaged, or of another version of the format.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise FashionError(
            f"{folder}: the folder of a sweep expected, found no {FILE_NAME}. `fashion sweep` "
            "writes one."
        )
    value = read_json(path)
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise FashionError(
            f"{path}: a record of a sweep in format {SCHEMA} expected, got {schema!r:.60}. Was it "
            "written by another version of fashion-mmdet?"
        )
    return from_json(SweepRecord, value, os.fspath(path))


def write_record(folder: str | os.PathLike[str], record: SweepRecord) -> None:
    """Write ``record`` into ``folder``, whole or not at all."""
    write_json(Path(folder) / FILE_NAME, dataclasses.asdict(record), indent=1)
