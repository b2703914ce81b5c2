"""The finals of a sweep: its best trials and the config as it was, trained anew over seeds."""

from __future__ import annotations

from collections.abc import Sequence

from . import SEED
from .record import BASELINE, SweepRecord, trial_name
from .study import Job
from .sweep_file import Sweep


def finalists_of(record: SweepRecord, n_finalists: int) -> list[str]:
    """Return the baseline and the best trials that ran to their end, best first."""
    return [BASELINE, *(trial_name(t.number) for t in record.ranked()[:n_finalists])]


def final_jobs(
    sweep: Sweep, record: SweepRecord, finalists: Sequence[str], seeds: Sequence[int],
    there: Sequence[Job] = (),
) -> list[Job]:  # fmt: skip
    """Return the runs of every finalist with every seed that are not there yet.

    Seed by seed, so that an early stop leaves all finalists with equally many. The baseline has
    what was the same in all trials (a shorter schedule, fewer photos), and nothing that was
    searched.
    """
    values = {trial_name(t.number): t.values for t in record.trials}
    values[BASELINE] = {one.key: one.values[0] for one in sweep.parameters if one.is_constant}
    pairs = [(seed, finalist) for seed in seeds for finalist in finalists]
    known = {(job.seed, job.finalist) for job in there}
    new = [pair for pair in pairs if pair not in known]
    # Numbers of their own whoever plans them: workers may ask for different finalists at once.
    place = {BASELINE: 0, **{trial_name(t.number): t.number + 1 for t in record.trials}}
    return [
        Job(
            number=seed * 1_000_000 + place[finalist],
            attempt=1,
            lost=0,
            label=f"{finalist}_seed{seed}",
            values={**values[finalist], SEED: seed},
            finalist=finalist,
            seed=seed,
        )  # fmt: skip
        for seed, finalist in new
    ]


def seeds_of(record: SweepRecord) -> list[int | None]:
    """Return the seeds that the trials were given."""
    return [trial.values.get(SEED) for trial in record.trials]


def seeds_after(had: Sequence[int | None], count: int) -> list[int]:
    """Return seeds that no trial had.

    Args:
        had: those that trials had, None for one that set none.
        count: how many.
    """
    first = max((seed for seed in had if seed is not None), default=0) + 1
    return list(range(first, first + count))
