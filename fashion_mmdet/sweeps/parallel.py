"""Parallel coordinates: every trial a line through the values that it had."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from datasets_tools.stats.style import Theme, figure
from fashion_mmdet.reports.looks import render_both, run_name, say
from fashion_mmdet.reports.page import Plot

from .axes import ValueAxis, goodness_of, shades, value_axis
from .figures import last_value, measure_of, names_of, searched
from .record import SweepRecord, Trial, trial_name

_MOST_AXES = 12
_WIDTH_IN, _AXIS_IN, _RIGHT_IN = 9.4, 1.2, 1.25
_LETTERS = 0.078  # of type on the axes, a letter in inches
_SMOOTH = np.linspace(0, 1, 24)  # where between two axes a line is drawn


def parallel_plot(record: SweepRecord) -> Plot:
    """Return one line a trial, through its value on the axis of each parameter, to its metric."""
    measure, parameters = measure_of(record), searched(record)
    text = (
        "Each line is a trial; the axes are what was searched, as wide as it was searched, and the "
        "last one is what came of it. The stronger a line's colour the better its trial; the best "
        "is thick. Dashed grey lines were pruned and end at their value by then."
    )
    if len(parameters) > _MOST_AXES:
        text += f" The first {_MOST_AXES} of {len(parameters)} parameters are shown."
    names = names_of([one.key for one in parameters])
    axes_of = [value_axis(one, names[one.key], record.trials) for one in parameters[:_MOST_AXES]]
    trials = [t for t in record.trials if t.outcome in ("done", "pruned")]
    trials = [t for t in trials if last_value(t) is not None]
    ranked = record.ranked()
    goodness = dict(zip((t.number for t in ranked),
                        goodness_of([t.metric or 0.0 for t in ranked], measure.is_maximized),
                        strict=True))  # fmt: skip
    of_metric = [last_value(t) or 0.0 for t in trials]
    low, high = min(of_metric, default=0.0), max(of_metric, default=1.0)
    metric = ValueAxis("", measure.heading, (), low * measure.scale, high * measure.scale)

    def draw(theme: Theme) -> Figure:
        n_axes = len(axes_of) + 1
        width_in = max(_WIDTH_IN, _AXIS_IN * n_axes)
        made, (axes,) = figure(width_in, 4.3)
        if not trials:
            say(axes, "No trial has a value.", theme)
            return made
        # Faint ones first, the best last and on top.
        for trial in sorted(trials, key=lambda t: goodness.get(t.number, -1.0)):
            places = [axis.place(trial.values.get(axis.key)) for axis in axes_of]
            places.append(metric.place((last_value(trial) or 0.0) * measure.scale))
            _line(axes, places, trial, goodness.get(trial.number), ranked[:1], theme)
        # In inches, that two axes and nine have the same room for words at the right.
        room = (width_in - _RIGHT_IN) / max(n_axes - 1, 1)
        for x, axis in enumerate([*axes_of, metric]):
            _axis(axes, x, axis, room, theme)
        axes.set_xlim(-0.1 / room, n_axes - 1 + _RIGHT_IN / room)
        axes.set_ylim(-0.07, 1.19)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if ranked:
            place = metric.place((ranked[0].metric or 0.0) * measure.scale)
            axes.annotate(trial_name(ranked[0].number), (n_axes - 1, place), (30, 0),
                          textcoords="offset points", va="center", fontsize=8.5,
                          color=theme.ink, annotation_clip=False,
                          path_effects=[withStroke(linewidth=3, foreground=theme.ground)],
                          )  # fmt: skip
        return made

    return Plot("All parameters at once", text, *render_both(draw))


def _line(
    axes: Axes,
    places: list[float],
    trial: Trial,
    goodness: float | None,
    best: list[Trial],
    theme: Theme,
) -> None:
    """Draw a trial; a value without a place interrupts its line."""
    is_best = any(trial is one for one in best)
    xs, ys = [], []
    for n, (one, other) in enumerate(zip(places, places[1:], strict=False)):
        # Level at the axes, so that lines which share a value can be followed through it.
        ease = _SMOOTH * _SMOOTH * (3 - 2 * _SMOOTH)
        xs.append(n + _SMOOTH)
        ys.append(one + (other - one) * ease if math.isfinite(one + other) else ease * math.nan)
    style = (
        {"color": theme.faint, "alpha": 0.45, "linewidth": 1.0, "linestyle": (0, (4, 2))}
        if goodness is None
        else {
            "color": shades([goodness], theme)[0],
            "alpha": 0.95,
            "linewidth": 3.0 if is_best else 1.4,
        }  # fmt: skip
    )
    axes.plot(np.concatenate(xs), np.concatenate(ys), zorder=2 + (goodness or 0.0), **style)


def _axis(axes: Axes, x: int, axis: ValueAxis, room_in: float, theme: Theme) -> None:
    """Draw an axis, its name above it, the values beside it."""
    axes.vlines(x, 0, 1, color=theme.faint, linewidth=1.1, zorder=4)
    letters = max(4, int((min(room_in, _AXIS_IN * 2.5) - 0.15) / _LETTERS))
    halo = [withStroke(linewidth=2.6, foreground=theme.ground)]
    for place, label in axis.ticks(most=5, letters=min(letters, 18)):
        axes.plot([x, x + 0.02], [place, place], color=theme.faint, linewidth=1.1, zorder=4)
        axes.annotate(label, (x, place), (4, 0), textcoords="offset points", va="center",
                      fontsize=8.5, color=theme.ink, zorder=5, path_effects=halo)  # fmt: skip
    name = run_name(axis.name, 3 * letters)
    lines = [name[n : n + letters] for n in range(0, len(name), letters)]
    axes.annotate("\n".join(lines), (x, 1.05), (-2, 0), textcoords="offset points", va="bottom",
                  fontsize=8.5, color=theme.ink)  # fmt: skip
