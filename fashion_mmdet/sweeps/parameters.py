"""The parameters of a sweep file: W&B's distributions, drawn by Optuna.

W&B's definitions are at https://docs.wandb.ai/guides/sweeps/sweep-config-keys. Optuna knows
ranges, on a plain or a logarithmic scale, and choices. A distribution that it does not know
(normal, beta, choices with probabilities) is drawn as a quantile between 0 and 1, so that its
samplers work on a uniform scale and the distribution is what the file says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy import stats

from fashion_mmdet.core.errors import ConfigError, did_you_mean

#: distribution -> keys it must have, keys it may have
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "constant": (("value",), ()),
    "categorical": (("values",), ()),
    "categorical_w_probabilities": (("values", "probabilities"), ()),
    "int_uniform": (("min", "max"), ()),
    "uniform": (("min", "max"), ()),
    "q_uniform": (("min", "max"), ("q",)),
    "log_uniform": (("min", "max"), ()),
    "q_log_uniform": (("min", "max"), ("q",)),
    "inv_log_uniform": (("min", "max"), ()),
    "log_uniform_values": (("min", "max"), ()),
    "q_log_uniform_values": (("min", "max"), ("q",)),
    "inv_log_uniform_values": (("min", "max"), ()),
    "normal": ((), ("mu", "sigma")),
    "q_normal": ((), ("mu", "sigma", "q")),
    "log_normal": ((), ("mu", "sigma")),
    "q_log_normal": ((), ("mu", "sigma", "q")),
    "beta": ((), ("a", "b")),
    "q_beta": ((), ("a", "b", "q")),
}
#: every key that describes a parameter
DESCRIBING = {"distribution", "value", "values", "probabilities", "min", "max", "q", "mu",
              "sigma", "a", "b"}  # fmt: skip
_DEFAULTS = {"mu": 0.0, "sigma": 1.0, "q": 1.0, "a": 1.0, "b": 1.0}
# Quantiles of 0 and 1 would be infinite; this leaves out what is drawn once in a million.
_EDGE = 1e-6
_MOST_CHOICES = 1000
_MOST = 1e100  # of a number in the file
_MOST_STEPS = 100_000  # of a range in a grid


@dataclass(frozen=True)
class Parameter:
    """What is tried for one config key.

    Attributes:
        key: dotted config key.
        distribution: W&B's name of it.
        numbers: ``min``, ``max``, ``q``, ``mu``, ``sigma``, ``a``, ``b``, those it has.
        values: what there is to choose from; empty for a distribution of numbers.
        probabilities: of ``values``; empty where all are equally likely.
    """

    key: str
    distribution: str
    numbers: dict[str, float] = field(default_factory=dict)
    values: tuple[Any, ...] = ()
    probabilities: tuple[float, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to search."""
        return len(self.values) == 1

    @property
    def is_log(self) -> bool:
        """Whether values are drawn, and best shown, on a logarithmic scale."""
        return "log" in self.distribution

    def drawn(self) -> BaseDistribution:
        """Return what Optuna draws for this parameter; :meth:`value` makes the value of it."""
        if self._is_quantile:
            return FloatDistribution(_EDGE, 1 - _EDGE)
        if self.values:
            return CategoricalDistribution(_choices(self.values))
        low, high = self._range()
        if self.distribution == "int_uniform":
            return IntDistribution(int(low), int(high))
        return FloatDistribution(low, high, log=self.is_log)

    def value(self, raw: Any) -> Any:
        """Return the config's value for what Optuna drew."""
        if self.values and not self._is_quantile:
            return self.values[_choices(self.values).index(raw)]
        if self.values:
            place = int(np.searchsorted(np.cumsum(self.probabilities), raw, side="right"))
            return self.values[min(place, len(self.values) - 1)]
        if self._is_quantile:
            raw = self._of_quantile(float(raw))
        if "q" in self.numbers:
            raw = _rounded(float(raw), self.numbers["q"])
        return raw

    def raw(self, value: Any) -> Any:
        """Return what stands for one of :meth:`grid` in Optuna."""
        if self.values:
            return _choices(self.values)[_place(value, self.values)]
        return value

    def grid(self) -> tuple[Any, ...] | None:
        """Return all values there are; None where there is a continuum of them."""
        if self.values:
            return () if self.probabilities and not self.is_constant else self.values
        low, high = (self.numbers.get("min", 0.0), self.numbers.get("max", 0.0))
        if self.distribution in ("int_uniform", "q_uniform"):
            n_steps = (high - low) / self.numbers.get("q", 1)
            if n_steps > _MOST_STEPS:
                raise ConfigError(
                    f"parameters.{self.key}: at most {_MOST_STEPS:,} steps expected for the method "
                    f"grid, got {n_steps:,.0f}. Use the method random or bayes."
                )
        if self.distribution == "int_uniform":
            return tuple(range(int(low), int(high) + 1))
        if self.distribution == "q_uniform":
            q = self.numbers["q"]
            steps = range(math.ceil(low / q - 1e-9), math.floor(high / q + 1e-9) + 1)
            return tuple(_rounded(n * q, q) for n in steps)
        return None

    def examples(self) -> list[Any]:
        """Return values of every kind and size that may be drawn, to be checked."""
        if self.values:
            return list(self.values)
        distribution = self.drawn()
        low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
        return [self.value(low), self.value(high)]

    @property
    def _is_quantile(self) -> bool:
        return (
            bool(self.probabilities)
            or "normal" in self.distribution
            or ("beta" in self.distribution)
        )

    def _range(self) -> tuple[float, float]:
        low, high = self.numbers["min"], self.numbers["max"]
        if self.distribution in ("log_uniform", "q_log_uniform"):
            return math.exp(low), math.exp(high)
        if self.distribution == "inv_log_uniform":  # of 1 / value, whose logarithm is minus its
            return math.exp(-high), math.exp(-low)
        return low, high

    def _of_quantile(self, quantile: float) -> float:
        if "beta" in self.distribution:
            return float(stats.beta.ppf(quantile, self.numbers["a"], self.numbers["b"]))
        value = float(stats.norm.ppf(quantile, self.numbers["mu"], self.numbers["sigma"]))
        return math.exp(value) if self.is_log else value


def read_parameters(given: Mapping[str, Any], where: str) -> tuple[Parameter, ...]:
    """Read ``parameters`` of a sweep file; nested ones get dotted keys.

    Raises:
        ConfigError: naming the parameter and what is wrong with it.
    """
    found: list[Parameter] = []
    for key, value in _flat(given, "", where):
        if any(one.key == key for one in found):
            raise ConfigError(
                f"{where}.{key}: a parameter given once expected, got it dotted and nested. "
                "Take one out."
            )
        found.append(_read(key, value, f"{where}.{key}"))
    for one in found:
        inner = next((o.key for o in found if o.key.startswith(f"{one.key}.")), None)
        if inner is not None:
            raise ConfigError(
                f"{where}.{one.key}: one value for one key expected, got also {inner!r}, a part "
                "of it. Take one of them out."
            )
    return tuple(found)


def _flat(given: Any, prefix: str, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f"{where}{'.' + prefix[:-1] if prefix else ''}: config keys and what to try for them "
            f"expected, got {given!r:.80}. For example: optim_wrapper.optimizer.lr: {{values: "
            "[0.01, 0.02]}}"
        )
    out = []
    for name, value in given.items():
        key = f"{prefix}{name}"
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{where}: a config key expected, got {name!r}.")
        if isinstance(value, Mapping) and set(value) == {"parameters"}:
            out += _flat(value["parameters"], f"{key}.", where)
        else:
            out.append((key, value))
    return out


def _read(key: str, given: Any, where: str) -> Parameter:
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where}: what to try expected, as {{values: [...]}} or {{min: ..., max: ...}}, got "
            f"{given!r:.80}. For one fixed value write {{value: {given!r:.40}}}."
        )
    unknown = [name for name in given if name not in DESCRIBING]
    valid = sorted({"parameters", *DESCRIBING})
    if unknown:
        raise ConfigError(
            f"{where}: keys of a parameter expected, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], valid) or ' Valid: ' + ', '.join(valid) + '.'}"
        )
    kind = _kind(given, where)
    needed, allowed = _KEYS[kind]
    missing = [name for name in needed if name not in given]
    extra = [name for name in given if name not in (*needed, *allowed, "distribution")]
    if missing or extra:
        word = f"no {missing[0]!r}" if missing else repr(extra[0])
        raise ConfigError(
            f"{where}: {' and '.join(map(repr, needed + allowed))} expected for {kind}, got {word}."
        )
    if "values" in needed or kind == "constant":
        return _read_choices(key, kind, given, where)
    numbers = {name: _number(given.get(name, _DEFAULTS.get(name)), f"{where}.{name}")
               for name in needed + allowed}  # fmt: skip
    _check_numbers(kind, numbers, where)
    one = Parameter(key, kind, numbers)
    try:
        ends = one.examples()
    except (OverflowError, ValueError):
        ends = [math.inf]
    if not all(math.isfinite(end) for end in ends):
        raise ConfigError(
            f"{where}: finite values expected, got {dict(numbers)}, which has others."
        )
    return one


def _kind(given: Mapping[str, Any], where: str) -> str:
    """Return the distribution; where none is named, W&B's rule by the keys that are there."""
    kind = given.get("distribution")
    if kind is not None:
        if not isinstance(kind, str) or kind not in _KEYS:
            raise ConfigError(
                f"{where}.distribution: one of W&B's expected, got {kind!r}."
                f"{did_you_mean(kind, _KEYS) or ' Valid: ' + ', '.join(_KEYS) + '.'}"
            )
        if kind == "categorical" and "probabilities" in given:
            return "categorical_w_probabilities"
        return str(kind)
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical_w_probabilities" if "probabilities" in given else "categorical"
    if "min" in given and "max" in given:
        whole = all(type(given[end]) is int for end in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    raise ConfigError(
        f"{where}: value, values, min and max, or a distribution expected, got "
        f"{', '.join(map(str, given)) or 'nothing'}."
    )


def _read_choices(key: str, kind: str, given: Mapping[str, Any], where: str) -> Parameter:
    values = [given["value"]] if kind == "constant" else given["values"]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where}.values: a list of values expected, got {values!r:.80}.")
    if len(values) > _MOST_CHOICES:
        raise ConfigError(
            f"{where}.values: at most {_MOST_CHOICES} values expected, got {len(values)}. "
            "Use min and max."
        )
    for value in values:
        _check_plain(value, where)
    codes = [json.dumps(value, sort_keys=True) for value in values]
    if len(set(codes)) < len(codes):
        twice = next(code for code in codes if codes.count(code) > 1)
        raise ConfigError(f"{where}.values: different values expected, got {twice} twice.")
    if kind != "categorical_w_probabilities":
        return Parameter(key, kind, values=tuple(values))
    shares = given["probabilities"]
    if not isinstance(shares, list) or len(shares) != len(values):
        raise ConfigError(
            f"{where}.probabilities: one number for each of {len(values)} values expected, got "
            f"{shares!r:.80}."
        )
    numbers = [_number(share, f"{where}.probabilities") for share in shares]
    if min(numbers) < 0 or abs(sum(numbers) - 1) > 1e-6:
        raise ConfigError(
            f"{where}.probabilities: numbers from 0 on that add up to 1 expected, got {shares!r}."
        )
    return Parameter(key, kind, values=tuple(values), probabilities=tuple(numbers))


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, str) and _is_number_text(value):
        raise ConfigError(
            f"{where}: a number expected, got the text {value!r}, as YAML reads it. Write it "
            f"without quotes{_with_point(value)}."
        )
    if isinstance(value, str):
        has_surrogate = any("\ud800" <= letter <= "\udfff" for letter in value)
        if len(value) > _MOST_LETTERS or "\0" in value or has_surrogate:
            raise ConfigError(
                f"{where}: a text that a command line can carry expected, got {value!r:.60}."
            )
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: a finite number expected, got {value}.")
    if isinstance(value, list):
        for one in value:
            _check_plain(one, where)
    elif isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str):
                raise ConfigError(f"{where}: texts as keys expected, got {name!r}.")
            _check_plain(one, where)
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise ConfigError(
            f"{where}: plain values expected, got {value!r} (a {type(value).__name__})."
        )


def _number(value: Any, where: str) -> float:
    if isinstance(value, str) and _is_number_text(value):
        _check_plain(value, where)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= _MOST:
        raise ConfigError(f"{where}: a finite number up to {_MOST:g} expected, got {value!r:.60}.")
    return value


_MOST_LETTERS = 10_000


def _is_number_text(text: str) -> bool:
    """Return whether it is a number as ``1e-4``, which YAML 1.1 takes for a text."""
    try:
        float(text)
    except ValueError:
        return False
    return "e" in text.lower() and text.strip()[:1].isdigit() or text.strip()[:1] in "+-."


def _with_point(text: str) -> str:
    """Return how YAML takes a number with an exponent for one; nothing for other numbers."""
    mantissa, has_exponent, exponent = text.strip().lower().partition("e")
    if not has_exponent:
        return ""
    sign = "" if exponent[:1] in ("+", "-") else "+"
    whole = mantissa if "." in mantissa else f"{mantissa}.0"
    return f" and with a point: {whole}e{sign}{exponent}"


def _check_numbers(kind: str, numbers: Mapping[str, float], where: str) -> None:
    def wanted(name: str, what: str, is_so: bool) -> None:
        if not is_so:
            raise ConfigError(f"{where}.{name}: {what} expected, got {numbers[name]}.")

    if "min" in numbers:
        if numbers["min"] >= numbers["max"]:
            raise ConfigError(
                f"{where}: min below max expected, got {numbers['min']} and {numbers['max']}."
            )
        if kind == "int_uniform":
            for name in ("min", "max"):
                wanted(name, "a whole number", float(numbers[name]).is_integer())
        if kind.endswith("log_uniform_values"):
            wanted("min", "a number above 0, for a logarithmic scale,", numbers["min"] > 0)
        elif "log_uniform" in kind:
            for name in ("min", "max"):
                wanted(name, "a natural logarithm between -300 and 300 (log_uniform_values takes "
                       "the value itself)", abs(numbers[name]) <= 300)  # fmt: skip
    for name in ("q", "sigma", "a", "b"):
        if name in numbers:
            wanted(name, "a number above 0", numbers[name] > 0)


def _rounded(value: float, q: float) -> float | int:
    """Return the multiple of ``q`` nearest to ``value``; whole where ``q`` is."""
    n = round(value / q)
    # 3 * 0.1 is 0.30000000000000004; its digits are those of q.
    return n * int(q) if float(q).is_integer() else float(f"{n * q:.12g}")


def _choices(values: Sequence[Any]) -> list[Any]:
    """Return what stands for ``values`` in Optuna, which takes numbers, texts, and no lists."""
    simple = all(isinstance(v, str) for v in values) or all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in values
    )
    if simple and len(set(values)) == len(values):
        return list(values)
    return [json.dumps(v, sort_keys=True) for v in values]


def _place(value: Any, values: Sequence[Any]) -> int:
    codes = [json.dumps(v, sort_keys=True) for v in values]
    return codes.index(json.dumps(value, sort_keys=True))
