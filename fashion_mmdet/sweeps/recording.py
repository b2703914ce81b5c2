"""Makes ``sweep.json`` of what the database of a sweep holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fashion_mmdet.core import provenance
from fashion_mmdet.core.run_record import utc_now

from . import SEED
from .record import SCHEMA, Final, SweepRecord, Trial
from .study import Seen
from .sweep_file import Sweep


def record_of(
    sweep: Sweep, name: str, seed: int, began: str, trials: Sequence[Seen],
    finals: Sequence[Seen],
) -> SweepRecord:  # fmt: skip
    """Return the record of a sweep as it is now."""
    return SweepRecord(
        schema=SCHEMA,
        name=name,
        file=sweep.file,
        definition=sweep.definition,
        program=sweep.program,
        seed=seed,
        planned=len(trials),
        started_utc=began,
        updated_utc=utc_now(),
        code=provenance.code(),
        versions=provenance.versions(),
        hardware=provenance.hardware(),
        trials=tuple(_trial(seen) for seen in trials),
        finals=tuple(_final(seen) for seen in finals),
    )


def _trial(seen: Seen) -> Trial:
    return Trial(
        number=seen.job.number,
        raw=seen.raw,
        course=seen.course,
        started_utc=seen.started_utc,
        ended_utc=seen.ended_utc,
        work_dir=f"trials/{seen.job.label}",
        **_shared(seen),
    )


def _final(seen: Seen) -> Final:
    assert seen.job.seed is not None and seen.job.finalist is not None
    values = {k: v for k, v in seen.values.items() if k != SEED}
    return Final(
        finalist=seen.job.finalist,
        seed=seen.job.seed,
        work_dir=f"finals/{seen.job.label}",
        **{**_shared(seen), "values": values},
    )


def _shared(seen: Seen) -> dict[str, Any]:
    return {
        "outcome": seen.outcome,
        "values": seen.values,
        "metric": seen.metric,
        "reason": seen.reason,
        "last_lines": seen.last_lines,
        "attempts": seen.job.attempt,
        "wall_s": seen.wall_s,
    }
