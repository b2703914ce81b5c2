"""The first values that a sweep would try, without a study."""

from __future__ import annotations

from typing import Any

import optuna

from .database import quietly
from .grid import grid_points
from .sampling import JOB, sampler_of
from .sweep_file import Sweep


def first_values(sweep: Sweep, count: int, seed: int) -> list[dict[str, Any]]:
    """Return config key -> value of the first trials, as the study would draw them."""
    fixed = grid_points(sweep, count) if sweep.method == "grid" else [{}] * count
    out = []
    with quietly():
        study = optuna.create_study(sampler=sampler_of(sweep, seed))
        for number in range(count):
            study.enqueue_trial(fixed[number], user_attrs={JOB: {"number": number}})
            trial = study.ask({p.key: p.drawn() for p in sweep.searched()})
            out.append(
                {
                    p.key: p.values[0] if p.is_constant else p.value(trial.params[p.key])
                    for p in sweep.parameters
                }
            )
    return out
