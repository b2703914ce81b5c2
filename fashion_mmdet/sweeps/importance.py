"""Which parameters the metric hung on: fANOVA, with how unsure it is of itself.

fANOVA (Hutter et al. 2014, https://proceedings.mlr.press/v32/hutter14.html) fits a forest to the
trials and says which share of its variance each parameter makes alone, over all values of the
others; what is left over, parameters make together. Optuna's other evaluator, PED-ANOVA, asks what
sets the best tenth apart and wants five trials in it at least: fifty trials, which a sweep of
trainings rarely has. Three things are added here:

* Optuna's fANOVA averages over a range as it is, of which the upper decade of a learning rate
  is nine tenths. Values are given to it on the scale that they are drawn on.
* A forest of few trials splits on noise and calls it importance. The same is measured with the
  metrics dealt out to the trials at random: what chance gives.
* Other trials would give other figures: draws of the trials with replacement show the spread.

A pruned trial has no final value and does not count, so what was pruned early is seen too little;
and a sampler that learns crowds its trials where it is good already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator

from .database import quietly
from .figures import searched
from .parameters import Parameter
from .record import SweepRecord

#: Fewer trials that ran to their end than this, or than three a parameter, say nothing.
LEAST_TRIALS = 10
_LEAST_PER_PARAMETER = 3
_N_TREES, _N_DRAWS = 64, 24
_N_TREES_OF_DRAW = 16  # a share is a mean over trees: fewer make it unsteady, and not other
_ENDS = (0.1, 0.9)  # of the draws of trials that an interval holds
_CHANCE = 0.95  # of the deals at random lie below what chance gives


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of the metric between trials, 0..1.

    Attributes:
        share: config key -> what the parameter makes alone, the largest first.
        interval: config key -> low and high end of 80 % of the draws of trials.
        chance: config key -> what 95 % of deals of the metrics at random stay below.
        together: what no parameter makes alone.
        n_trials: that ran to their end.
        n_draws: of trials, and as many deals at random.
    """

    share: dict[str, float]
    interval: dict[str, tuple[float, float]]
    chance: dict[str, float]
    together: float
    n_trials: int
    n_draws: int

    def is_more_than_chance(self, key: str) -> bool:
        """Whether the parameter makes more than chance would give it."""
        return self.share[key] > self.chance[key]


def importance_of(
    record: SweepRecord, seed: int = 0, n_draws: int = _N_DRAWS
) -> tuple[Importance | None, str | None]:
    """Return the importance of each searched parameter, else None and why there is none.

    Args:
        record: of the sweep; trials that ran to their end are taken.
        seed: of the forests, draws and deals: the same sweep has the same importances.
        n_draws: draws of the trials, and deals of the metrics at random.
    """
    parameters = searched(record)
    keys = [one.key for one in parameters]
    done = [t for t in record.ranked() if all(key in t.raw for key in keys)]
    done.sort(key=lambda trial: trial.number)
    least = max(LEAST_TRIALS, _LEAST_PER_PARAMETER * len(keys))
    if len(done) < least:
        return None, (
            f"{len(done)} trial{'' if len(done) == 1 else 's'} ran to the end, too few to say "
            f"which parameter matters: {least} are asked for with {len(keys)} of them."
        )
    metric_N = np.array([trial.metric for trial in done], dtype=float)
    if np.ptp(metric_N) == 0:
        return None, "All trials came to the same value, so no parameter made a difference."
    try:
        made = [_scaled(trial.raw, parameters) for trial in done]
        with quietly():
            return _measured(parameters, made, metric_N, seed, n_draws), None
    except (ValueError, KeyError, TypeError) as error:
        # A record that was edited, or the file's ranges were, by another version of the reader.
        return None, f"The draws in the record are not of the parameters in it ({error})."


def _measured(
    parameters: Sequence[Parameter],
    made: Sequence[dict[str, Any]],
    metric_N: np.ndarray,
    seed: int,
    n_draws: int,
) -> Importance:
    rng = np.random.default_rng(seed)
    n = len(made)
    keys = [one.key for one in parameters]
    share = _shares(parameters, made, metric_N, seed, _N_TREES)
    drawn, dealt = [], []
    for turn in range(n_draws):
        taken = rng.integers(0, n, n)
        if np.ptp(metric_N[taken]) > 0:
            of_draw = [made[i] for i in taken]
            drawn.append(_shares(parameters, of_draw, metric_N[taken], turn, _N_TREES_OF_DRAW))
        dealt.append(_shares(parameters, made, rng.permutation(metric_N), turn, _N_TREES_OF_DRAW))
    ends = {}
    for key in keys:
        low, high = np.quantile([one[key] for one in drawn or [share]], _ENDS)
        ends[key] = (float(low), float(high))
    return Importance(
        share=dict(sorted(share.items(), key=lambda item: -item[1])),
        interval=ends,
        chance={key: float(np.quantile([one[key] for one in dealt], _CHANCE)) for key in keys},
        together=max(0.0, 1.0 - sum(share.values())),
        n_trials=n,
        n_draws=n_draws,
    )


def _shares(
    parameters: Sequence[Parameter],
    made: Sequence[dict[str, Any]],
    metric_N: np.ndarray,
    seed: int,
    n_trees: int,
) -> dict[str, float]:
    """Return key -> share of the variance that the parameter makes alone."""
    distributions = {one.key: _distribution(one) for one in parameters}
    study = optuna.create_study()
    for values, metric in zip(made, metric_N, strict=True):
        study.add_trial(
            optuna.trial.create_trial(
                params=values, distributions=distributions, value=float(metric)
            )
        )
    evaluator = FanovaImportanceEvaluator(n_trees=n_trees, seed=seed)
    return {key: float(value) for key, value in evaluator.evaluate(study).items()}


def _distribution(parameter: Parameter) -> BaseDistribution:
    """Return what Optuna draws, with a logarithmic scale straightened."""
    drawn = parameter.drawn()
    if isinstance(drawn, FloatDistribution) and drawn.log:
        return FloatDistribution(math.log(drawn.low), math.log(drawn.high))
    return drawn


def _scaled(raw: dict[str, Any], parameters: Sequence[Parameter]) -> dict[str, Any]:
    out = {}
    for one in parameters:
        value, scale = raw[one.key], _distribution(one)
        drawn = one.drawn()
        if isinstance(scale, FloatDistribution) and isinstance(drawn, FloatDistribution):
            value = math.log(value) if drawn.log else float(value)
            if not scale.low - 1e-9 <= value <= scale.high + 1e-9:
                raise ValueError(f"{one.key}: {raw[one.key]} is not in its range")
            value = min(max(value, scale.low), scale.high)
        out[one.key] = value
    return out
