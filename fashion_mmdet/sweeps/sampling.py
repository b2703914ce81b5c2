"""How a sweep chooses values and stops trials: Optuna's samplers and pruner, by the sweep file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from .database import quietly
from .sweep_file import Pruning, Sweep

#: user attribute of a trial: what it is; see :class:`.study.Job`
JOB = "job"
# TPE draws at random until it has so many trials to learn from.
_STARTUP = 5


def sampler_of(sweep: Sweep, seed: int) -> BaseSampler:
    """Return the sampler of ``method``: TPE for bayes, else random.

    A grid needs none: all of its trials are planned with their values.
    """
    if sweep.method != "bayes":
        return SeededSampler(lambda s: RandomSampler(seed=s), seed)

    def tpe(trial_seed: int) -> BaseSampler:
        with quietly():
            # constant_liar: trials that run at once are kept apart.
            return TPESampler(n_startup_trials=_STARTUP, multivariate=True, constant_liar=True,
                              seed=trial_seed, warn_independent_sampling=False)  # fmt: skip

    return SeededSampler(tpe, seed)


class SeededSampler(BaseSampler):
    """Draws for each trial with generators seeded by the sweep's seed and the trial's number.

    Optuna's own start anew in every process: workers that share a seed, or a sweep that is
    resumed, would draw the same values again. With this one a random search is the same whoever
    runs which trial when; TPE is the same as long as trials end in the same order.

    Args:
        make: seed -> sampler.
        seed: of the sweep.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._made: tuple[int, BaseSampler] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        number = trial.user_attrs.get(JOB, {}).get("number", trial.number)
        if self._made is None or self._made[0] != number:
            state = np.random.SeedSequence([self._seed, number]).generate_state(1)
            self._made = (number, self._make(int(state[0])))
        return self._made[1]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._made = None
        self._of(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def pruner_of(pruning: Pruning | None) -> BasePruner:
    """Return the pruner of ``early_terminate``: asynchronous successive halving, or none."""
    if pruning is None:
        return NopPruner()
    return LatestPruner(
        SuccessiveHalvingPruner(min_resource=pruning.first, reduction_factor=pruning.eta)
    )


class LatestPruner(BasePruner):
    """Lets ``pruner`` see each trial once: without the attempts that others have replaced."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self._pruner.prune(_Latest(study), trial)  # type: ignore[arg-type]


class _Latest:
    """A study whose trials are the newest attempts."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: tuple[TrialState, ...] | None = None
    ) -> list[FrozenTrial]:
        every = newest(self._study.get_trials(deepcopy=deepcopy))
        return [t for t in every.values() if states is None or t.state in states]


def newest(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Return the newest attempt of each trial number; of two that two workers planned, the first.

    Args:
        trials: in the order of their rows.
    """
    out: dict[int, FrozenTrial] = {}
    for trial in trials:
        job = trial.user_attrs.get(JOB)
        if job is None:
            continue  # of another program
        there = out.get(job["number"])
        if there is None or job["attempt"] > there.user_attrs[JOB]["attempt"]:
            out[job["number"]] = trial
    return out
