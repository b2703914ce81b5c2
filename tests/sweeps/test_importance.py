"""Importance tells what mattered from what did not, says how sure it is, and when it cannot."""

from __future__ import annotations

import dataclasses

import numpy as np
import optuna
import pytest
from made_sweeps import LR, MANY, make_sweep

from fashion_mmdet.sweeps.importance import LEAST_TRIALS, importance_of

KEY = "optim_wrapper.optimizer.lr"
#: Enough to tell, few enough for seconds.
DRAWS = 8


def dealt(record, seed=1):
    """Return the record with the metrics of its trials dealt out at random."""
    rng = np.random.default_rng(seed)
    metrics = rng.permutation([trial.metric for trial in record.trials])
    trials = [
        dataclasses.replace(trial, metric=float(metric))
        for trial, metric in zip(record.trials, metrics, strict=True)
    ]
    return dataclasses.replace(record, trials=tuple(trials))


def test_importance_finds_the_parameter_that_the_metric_hangs_on():
    found, why = importance_of(make_sweep("d" * 40, MANY, noise=0.0005), n_draws=DRAWS)
    assert why is None and found is not None
    assert next(iter(found.share)) == KEY and found.share[KEY] > 0.6
    assert found.is_more_than_chance(KEY)
    assert sum(map(found.is_more_than_chance, found.share)) <= 2
    assert found.together == pytest.approx(1 - sum(found.share.values()))
    low, high = found.interval[KEY]
    assert 0 < low <= high <= 1


def test_importance_of_metrics_dealt_at_random_is_no_more_than_chance():
    found, _ = importance_of(dealt(make_sweep("d" * 40, noise=0.0005)), n_draws=DRAWS)
    assert found is not None
    assert not found.is_more_than_chance(KEY)


def test_importance_is_the_same_each_time():
    record = make_sweep("d" * 12)
    assert importance_of(record, n_draws=3) == importance_of(record, n_draws=3)
    assert importance_of(record, n_draws=3) != importance_of(record, seed=1, n_draws=3)


def test_importance_of_a_learning_rate_is_that_over_its_logarithm():
    # The metric falls from the lowest decade to the next and is level from there on: over the
    # range as it is that decade is a hundredth, and Optuna's own figure is far lower.
    parameters = {KEY: LR, "train_dataloader.batch_size": {"min": 0.0, "max": 1.0}}
    record = make_sweep("d" * 40, parameters)
    rng = np.random.default_rng(0)
    trials = [
        dataclasses.replace(
            trial, metric=(0.05 if trial.raw[KEY] < 1e-4 else 0.02) + 0.004 * rng.normal()
        )
        for trial in record.trials
    ]
    record = dataclasses.replace(record, trials=tuple(trials))
    found, _ = importance_of(record, n_draws=3)
    assert found is not None and found.share[KEY] > 0.8

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    scales = {
        KEY: optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
        "train_dataloader.batch_size": optuna.distributions.FloatDistribution(0, 1),
    }
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(params=trial.raw, distributions=scales, value=trial.metric)
        )
    own = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    assert own[KEY] < found.share[KEY] - 0.1


@pytest.mark.parametrize("outcomes", ["d" * (LEAST_TRIALS - 1), "p" * 30, "fwr", ""])
def test_importance_of_few_trials_that_ran_to_the_end_is_none_with_a_reason(outcomes):
    found, why = importance_of(make_sweep(outcomes), n_draws=2)
    assert found is None and "too few" in why and str(outcomes.count("d")) in why


def test_importance_asks_for_three_trials_a_parameter():
    assert importance_of(make_sweep("d" * 23, MANY), n_draws=2)[0] is None
    assert importance_of(make_sweep("d" * 24, MANY), n_draws=2)[0] is not None


def test_importance_of_equal_metrics_is_none_with_a_reason():
    found, why = importance_of(make_sweep("d" * 20, constant=0.04), n_draws=2)
    assert found is None and "same value" in why


@pytest.mark.parametrize("raw", [1.0, "x", None, -1.0, float("nan")])
def test_importance_of_draws_that_are_not_of_the_file_is_none_with_a_reason(raw):
    record = make_sweep("d" * 12)
    changed = dataclasses.replace(record.trials[0], raw={**record.trials[0].raw, KEY: raw})
    found, why = importance_of(
        dataclasses.replace(record, trials=(changed, *record.trials[1:])), n_draws=2
    )
    assert found is None and "not of the parameters" in why


def test_importance_leaves_optuna_as_talkative_as_it_was(capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    importance_of(make_sweep("d" * 12), n_draws=2)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")
