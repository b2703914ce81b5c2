"""W&B's distributions are drawn as its documentation defines them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from scipy import stats

from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.sweeps.database import quietly
from fashion_mmdet.sweeps.parameters import Parameter, read_parameters


def one(**given: Any) -> Parameter:
    return read_parameters({"a.b": given}, "x.yaml: parameters")[0]


def drawn(parameter: Parameter, count: int = 2000) -> list[Any]:
    with quietly():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trials = [study.ask({"p": parameter.drawn()}) for _ in range(count)]
    return [parameter.value(trial.params["p"]) for trial in trials]


@pytest.mark.parametrize(
    ("given", "law"),
    [
        ({"min": 0.2, "max": 0.6}, stats.uniform(0.2, 0.4)),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
         stats.loguniform(1e-4, 1e-1)),
        ({"distribution": "log_uniform", "min": -9.0, "max": -2.0},
         stats.loguniform(math.exp(-9), math.exp(-2))),
        ({"distribution": "inv_log_uniform", "min": 2.0, "max": 9.0},
         stats.loguniform(math.exp(-9), math.exp(-2))),
        ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1e-1},
         stats.loguniform(1e-4, 1e-1)),
        ({"distribution": "normal", "mu": 3.0, "sigma": 0.5}, stats.norm(3.0, 0.5)),
        ({"distribution": "log_normal", "mu": -5.0, "sigma": 1.0},
         stats.lognorm(1.0, scale=math.exp(-5.0))),
        ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
    ],
    ids=lambda v: v.get("distribution", "uniform") if isinstance(v, dict) else "",
)  # fmt: skip
def test_distribution_of_numbers_is_the_one_that_wandb_defines(given: Any, law: Any) -> None:
    assert stats.kstest(drawn(one(**given)), law.cdf).pvalue > 0.01
    # and the test can fail
    assert (
        stats.kstest(drawn(one(**given)), stats.norm(law.mean() + law.std(), 1).cdf).pvalue < 0.01
    )


def test_whole_numbers_both_ends_are_drawn() -> None:
    parameter = one(min=2, max=4)
    assert parameter.distribution == "int_uniform"
    assert set(drawn(parameter, 200)) == {2, 3, 4}


def test_q_uniform_multiples_without_noise_in_their_digits() -> None:
    found = drawn(one(distribution="q_uniform", min=0.1, max=0.5, q=0.1), 300)
    assert {str(v) for v in found} <= {"0.1", "0.2", "0.3", "0.4", "0.5"}
    whole = drawn(one(distribution="q_log_uniform_values", min=1, max=100, q=5), 300)
    assert all(type(v) is int and v % 5 == 0 for v in whole)


def test_probabilities_are_kept() -> None:
    found = drawn(one(values=["a", [1, 2], None], probabilities=[0.7, 0.3, 0.0]), 2000)
    assert found.count("a") / 2000 == pytest.approx(0.7, abs=0.04)
    assert found.count(None) == 0
    assert found.count([1, 2]) == 2000 - found.count("a")


@pytest.mark.parametrize(
    "values",
    [[2, 4, 8], [1e-4, 1], ["SGD", "AdamW"], [True, False], [None, 5], [[8, 11], [10]],
     [{"type": "A", "x": 1}, {"type": "B"}], [1, True, 1.0, "1"], ["a,b", "[1]"]],
)  # fmt: skip
def test_choices_of_any_kind_come_back_as_they_were(values: list[Any]) -> None:
    parameter = one(values=values)
    found = drawn(parameter, 200)
    assert {repr(v) for v in found} == {repr(v) for v in values}
    for value in values:
        assert repr(parameter.value(parameter.raw(value))) == repr(value)


def test_nested_parameters_get_dotted_keys() -> None:
    found = read_parameters(
        {"optim_wrapper": {"parameters": {"optimizer": {"parameters": {"lr": {"value": 0.1}}}}},
         "seed": {"values": [1, 2]}},
        "x",
    )  # fmt: skip
    assert [p.key for p in found] == ["optim_wrapper.optimizer.lr", "seed"]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"values": []}, "list of values"),
        ({"values": 3}, "list of values"),
        ({"values": [1, 1]}, "different values"),
        ({"value": "1e-4"}, "1.0e-4"),
        ({"values": [0.1, "5E3"]}, "5.0e+3"),
        ({"value": float("nan")}, "finite"),
        ({"value": "-5"}, "without quotes."),
        ({"value": "a\0b"}, "command line can carry"),
        ({"value": "\ud800"}, "command line can carry"),
        ({"value": "x" * 20_000}, "command line can carry"),
        ({"distribution": ["uniform"], "min": 1, "max": 2}, "one of W&B's"),
        ({"min": 0, "max": 10**400}, "finite number"),
        ({"distribution": "log_normal", "mu": 1000.0}, "finite values"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 1e-320}, "finite values"),
        ({"min": 1}, "min and max"),
        ({"min": 2, "max": 1}, "min below max"),
        ({"min": 1, "max": 1}, "min below max"),
        ({"min": "a", "max": 2}, "finite number"),
        ({"min": True, "max": 2}, "finite number"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "above 0"),
        ({"distribution": "log_uniform", "min": 1e-4, "max": 1e4}, "natural logarithm"),
        ({"distribution": "log_unifrom", "min": 1, "max": 2}, "log_uniform"),
        ({"distribution": "int_uniform", "min": 1.5, "max": 3}, "whole number"),
        ({"distribution": "normal", "sigma": 0}, "above 0"),
        ({"distribution": "uniform", "values": [1]}, "'min' and 'max'"),
        ({"values": [1, 2], "min": 1}, "got 'min'"),
        ({"values": [1, 2], "probabilities": [0.5]}, "one number for each"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "add up to 1"),
        ({"vales": [1, 2]}, "'values'"),
        ({}, "got nothing"),
        (0.1, "{value: 0.1}"),
        ([1, 2], "values"),
    ],
)  # fmt: skip
def test_definition_that_means_nothing_is_refused_by_name(given: Any, word: str) -> None:
    with pytest.raises(ConfigError, match="x.yaml: parameters.a.b") as error:
        read_parameters({"a.b": given}, "x.yaml: parameters")
    assert word in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        {"a": {"value": {"b": 1}}, "a.b": {"value": 2}},
        {"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}},
        {},
        {"a": {"parameters": {}}},
        {3: {"value": 1}},
    ],
)
def test_parameters_that_contradict_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError):
        read_parameters(given, "x.yaml: parameters")


def test_grid_holds_every_value_once() -> None:
    assert one(values=["a", None]).grid() == ("a", None)
    assert one(min=1, max=3).grid() == (1, 2, 3)
    assert one(distribution="q_uniform", min=0.1, max=0.35, q=0.1).grid() == (0.1, 0.2, 0.3)
    assert one(min=0.1, max=0.2).grid() is None
    assert one(values=[7], probabilities=[1.0]).grid() == (7,)
    with pytest.raises(ConfigError, match="steps"):
        one(min=0, max=10**9).grid()
    for value in (0.1, 0.2, 0.3):
        p = one(distribution="q_uniform", min=0.1, max=0.35, q=0.1)
        assert p.value(p.raw(value)) == value
        assert p.drawn()._contains(p.raw(value))


def test_examples_hold_the_ends() -> None:
    assert one(min=1, max=3).examples() == [1, 3]
    low, high = one(distribution="normal", mu=0.0, sigma=1.0).examples()
    assert low < -4 and high > 4 and np.isfinite([low, high]).all()
