"""A searched parameter as an axis: where its values lie, and how the axis is labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from datasets_tools.stats.style import Theme
from fashion_mmdet.reports.looks import percent_axis, quiet_y

from .figures import Measure, value_said
from .parameters import Parameter
from .record import Trial

_MOST_CHOICES = 10  # of more choices not every one is named


@dataclass(frozen=True)
class ValueAxis:
    """Where the values of a parameter lie.

    Attributes:
        key: config key.
        name: its short name.
        choices: what there is to choose from, evenly spaced; empty for numbers.
        low, high: ends of the numbers.
        is_log: whether they lie on a logarithmic scale.
        is_whole: whether there are none between whole ones.
    """

    key: str
    name: str
    choices: tuple[Any, ...]
    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    def place(self, value: Any) -> float:
        """Return where a value lies: 0..1, NaN for one that has no place."""
        if self.choices:
            codes = [_code(choice) for choice in self.choices]
            if _code(value) not in codes:
                return math.nan
            return codes.index(_code(value)) / (len(codes) - 1) if len(codes) > 1 else 0.5
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return math.nan
        low, high = self.low, self.high
        if self.is_log:
            if value <= 0:
                return math.nan
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self, most: int = 5, letters: int = 14) -> list[tuple[float, str]]:
        """Return places, 0..1, and what stands there.

        Args:
            most: of numbers.
            letters: of a choice.
        """
        if self.choices:
            step = math.ceil(len(self.choices) / _MOST_CHOICES)
            shown = self.choices[::step]
            return [(self.place(one), value_said(one, letters)) for one in shown]
        if self.high <= self.low:
            return [(0.5, _number_said(self.low))]
        if self.is_log:
            values = _log_ticks(self.low, self.high)
        else:
            steps = [1, 2, 5, 10] if self.is_whole else [1, 2, 2.5, 5, 10]
            ticks = MaxNLocator(most, steps=steps, integer=self.is_whole)
            edge = 1e-9 * (self.high - self.low)
            values = [
                v
                for v in ticks.tick_values(self.low, self.high)
                if self.low - edge <= v <= self.high + edge
            ]
        return [(self.place(v), _number_said(v)) for v in values]


def value_axis(parameter: Parameter, name: str, trials: Sequence[Trial]) -> ValueAxis:
    """Return the axis of a parameter, as wide as what was searched.

    Args:
        parameter: of the sweep.
        name: its short name.
        trials: whose values show how wide a range without ends is.
    """
    if parameter.values:
        return ValueAxis(parameter.key, name, parameter.values, 0.0, 1.0)
    drawn = [t.values[parameter.key] for t in trials if parameter.key in t.values]
    numbers = [float(v) for v in drawn if isinstance(v, (int, float)) and math.isfinite(v)]
    if "min" in parameter.numbers:
        numbers += [float(v) for v in parameter.examples()]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    is_log = parameter.is_log and low > 0 and high > low
    is_whole = bool(numbers) and all(v.is_integer() for v in numbers)
    return ValueAxis(parameter.key, name, (), low, high, is_log, is_whole)


def _code(value: Any) -> str:
    return repr(value)  # 1, 1.0, True and "1" are different choices


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each decade where there are few of them, else some of the decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    n_decades = math.log10(high / low)
    if n_decades <= 1.7:
        values = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    else:
        step = math.ceil(n_decades / 6)
        values = [10.0**e for e in range(first, last + 1, step)]
    return [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)] or [low, high]


def _number_said(value: float) -> str:
    # 1e-05 is read faster than 0.00001, and 0.001 faster than 1e-03.
    text = f"{value:.4g}"
    return text.replace("e-0", "e-").replace("e+0", "e")


def tick_places(axis: Axis, ticks: Sequence[tuple[float, str]]) -> None:
    """Label an axis of 0..1 at ``ticks``."""
    axis.set_major_locator(FixedLocator([place for place, _ in ticks]))
    axis.set_minor_locator(NullLocator())
    labels = dict(ticks)
    axis.set_major_formatter(
        FuncFormatter(lambda v, _: labels[min(labels, key=lambda place: abs(place - v))])
    )


def metric_axis(axes: Axes, values: Sequence[float], measure: Measure, theme: Theme) -> None:
    """Show the metric upwards: as wide as ``values``, AP in percent."""
    low, high = float(np.min(values)), float(np.max(values))
    if measure.scale == 100:
        span = high - low
        if span < 0.02:
            # percent_axis is never narrower than two points; trials differ by less.
            reach = max(span, 0.002)
            middle = (low + high) / 2
            axes.set_ylim(max(0.0, middle - 0.65 * reach), middle + 0.65 * reach)
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.6g}"))
        else:
            percent_axis(axes, "y", low, high)
    else:
        reach = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - reach, high + reach)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.6g}"))
    quiet_y(axes, theme)


def shades(goodness: Sequence[float], theme: Theme) -> list[Any]:
    """Return a colour for each of ``goodness``, 0 (worst) to 1 (best): the best stands out most."""
    shade = colormaps["Blues"]
    # Grey is for trials that were pruned, so that no map that goes through grey will do.
    ends = (0.8, 0.06) if theme.is_dark else (0.35, 1.0)
    return [shade(ends[0] + (ends[1] - ends[0]) * float(v)) for v in goodness]


def goodness_of(values: Sequence[float], is_maximized: bool) -> list[float]:
    """Return where each value lies between the worst, 0, and the best, 1; 1 where all are equal."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high == low:
        return [1.0 for _ in values]
    return [(v - low if is_maximized else high - v) / (high - low) for v in values]
