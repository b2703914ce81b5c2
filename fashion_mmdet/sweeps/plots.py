"""The plots of a sweep; each takes the record and returns a section of the page.

Trials that ran to their end are filled dots; those that were pruned are hollow, at the value that
they had by then, and those that failed are crosses at the foot. What cannot be drawn is left out,
and a plot without anything says so in its axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from datasets_tools.stats.style import Theme, figure, name_rows
from fashion_mmdet.reports.looks import apart, looks, render_both, run_name, say
from fashion_mmdet.reports.page import Plot

from .axes import goodness_of, metric_axis, shades, tick_places, value_axis
from .figures import Measure, last_value, measure_of, names_of, searched
from .importance import Importance
from .parallel import parallel_plot
from .record import SweepRecord, trial_name

_MOST_PANELS = 12
_COLUMNS = 3
_DONE, _FAILED = 0, 1  # of the looks: blue, orange


def plots_of(
    record: SweepRecord, importance: Importance | None, why_none: str | None
) -> list[Plot]:
    """Return the plots of a report; without a value in the record the first alone.

    Args:
        record: of the sweep.
        importance: of its parameters; None where there is none.
        why_none: then the reason.
    """
    first = [history_plot(record)]
    if all(last_value(trial) is None for trial in record.trials):
        return first
    return [
        *first,
        parallel_plot(record),
        slices_plot(record),
        importance_plot(importance, why_none),
        courses_plot(record),
    ]


def history_plot(record: SweepRecord) -> Plot:
    """Return the metric of each trial in the order they were made, and the best so far."""
    measure = measure_of(record)
    text = (
        f"{measure.sentence} of each trial at its last validation, in the order in which "
        "they were made; the line is the best so far of those that ran to their end. A line that "
        "has long been level says that more trials of this search would bring little."
    )
    done = [(t.number, float(t.metric)) for t in record.trials
            if t.outcome == "done" and t.metric is not None]  # fmt: skip
    pruned = [(t.number, v) for t in record.trials
              if t.outcome == "pruned" and (v := last_value(t)) is not None]  # fmt: skip
    failed = [t.number for t in record.trials if t.outcome == "failed"]

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 3.9)
        if not (done or pruned or failed):
            say(axes, "No trial has come to an end.", theme)
            return made
        _marks(axes, done, pruned, theme)
        if done:
            best = _best_so_far([v for _, v in done], measure)
            numbers = [n for n, _ in done]
            last = max(t.number for t in record.trials if t.outcome not in ("waiting", "running"))
            axes.step([*numbers, max(last, numbers[-1]) + 0.5], [*best, best[-1]], where="post",
                      color=theme.faint, linewidth=1.4, zorder=1.5)  # fmt: skip
        _axis_or_none(axes, [v for _, v in done + pruned], measure, theme)
        _crosses(axes, failed, theme)
        axes.set_xlabel("trial")
        axes.set_xlim(-0.7, len(record.trials) - 0.3)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
        axes.set_ylabel(measure.heading)
        words = ["done"] * bool(done) + ["pruned"] * bool(pruned) + ["failed"] * bool(failed)
        _legend(made, words, theme, line="best so far" if done else None)
        return made

    return Plot("Trial by trial", text, *render_both(draw))


def courses_plot(record: SweepRecord) -> Plot:
    """Return the metric of each trial over its validations."""
    measure = measure_of(record)
    text = (
        f"{measure.sentence} by validation. The stronger a line's colour the better its "
        "trial ended; the best is named. Dashed lines that end in a ring were pruned, those that "
        "end in a cross failed, and those that just end are still running. Lines that cross late "
        "say that pruning early may lose the best."
    )
    drawn = [(t, [(p.step, p.value) for p in t.course if p.value is not None])
             for t in record.trials]  # fmt: skip
    drawn = [(trial, points) for trial, points in drawn if points]
    best = record.best()
    done = [t for t in record.ranked() if any(t is one for one, _ in drawn)]
    goodness = dict(zip((t.number for t in done),
                        goodness_of([t.metric or 0.0 for t in done], measure.is_maximized),
                        strict=True))  # fmt: skip

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 4.1)
        if not drawn:
            say(axes, "No validations in this record.", theme)
            return made
        alert = looks(2, theme)[_FAILED].colour
        # The best last, over the others.
        order = sorted(drawn, key=lambda one: goodness.get(one[0].number, -1.0))
        for trial, points in order:
            steps, values = zip(*points, strict=True)
            is_done = trial.number in goodness
            colour = shades([goodness[trial.number]], theme)[0] if is_done else theme.faint
            is_best = best is not None and trial.number == best.number
            axes.plot(steps, values, color=colour, linewidth=2.6 if is_best else 1.4,
                      linestyle="-" if is_done else (0, (4, 2)),
                      alpha=1.0 if is_done else 0.6)  # fmt: skip
            if len(points) == 1 and is_done:
                axes.scatter(steps, values, s=26, color=[colour], zorder=3)
            if trial.outcome == "pruned":
                axes.scatter(steps[-1], values[-1], s=30, facecolors=theme.ground,
                             edgecolors=theme.faint, linewidths=1.3, zorder=3)  # fmt: skip
            elif trial.outcome == "failed":
                axes.scatter(steps[-1], values[-1], s=30, color=alert, marker="x", zorder=3)
            if is_best:
                axes.annotate(trial_name(trial.number), (steps[-1], values[-1]), (7, 0),
                              textcoords="offset points", va="center", fontsize=8.5,
                              color=theme.ink, annotation_clip=False)  # fmt: skip
        metric_axis(axes, [v for _, points in drawn for _, v in points], measure, theme)
        last = max(step for _, points in drawn for step, _ in points)
        axes.set_xlim(
            0.5 if last == 1 else 1 - 0.02 * last, last * 1.02 + (0.5 if last == 1 else 0)
        )
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        axes.set_xlabel("validation")
        axes.set_ylabel(measure.heading)
        return made

    return Plot("Trials as they learned", text, *render_both(draw))


def slices_plot(record: SweepRecord) -> Plot:
    """Return the metric over the values of each parameter, a panel each."""
    measure, parameters = measure_of(record), searched(record)
    text = (
        f"{measure.sentence} over one parameter at a time, whatever the others were, so "
        "that dots one above another differ by the others and by chance. Hollow dots were pruned "
        "and stand at their value by then, before they had come to their best; the ringed dot is "
        "the best trial."
    )
    if len(parameters) > _MOST_PANELS:
        text += f" The first {_MOST_PANELS} of {len(parameters)} parameters are shown."
    names = names_of([one.key for one in parameters])
    shown = parameters[:_MOST_PANELS]
    trials = [t for t in record.trials if t.outcome in ("done", "pruned")]
    values = [(t, v) for t in trials if (v := last_value(t)) is not None]
    best = record.best()

    def draw(theme: Theme) -> Figure:
        columns = min(_COLUMNS, len(shown))
        rows = math.ceil(len(shown) / columns)
        made = Figure(figsize=(9.4, 0.5 + 2.9 * rows), layout="constrained")
        apart(made)
        grid = made.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for n, (one, axes) in enumerate(zip(shown, grid.flat, strict=False)):
            axis = value_axis(one, names[one.key], record.trials)
            axes.set_title(run_name(axis.name, 34))
            points = [(axis.place(t.values[one.key]), v, t) for t, v in values
                      if one.key in t.values]  # fmt: skip
            if not points:
                say(axes, "No trial has a value.", theme)
                continue
            of = {outcome: [(x, v) for x, v, t in points if t.outcome == outcome]
                  for outcome in ("done", "pruned")}  # fmt: skip
            _marks(axes, of["done"], of["pruned"], theme)
            for x, v, trial in points:
                if best is not None and trial.number == best.number:
                    axes.scatter(x, v, s=110, facecolors="none", edgecolors=theme.ink,
                                 linewidths=1.3, zorder=4, clip_on=False)  # fmt: skip
            letters = 9 if len(axis.choices) > 4 else 13
            ticks = axis.ticks(most=4, letters=letters)
            tick_places(axes.xaxis, ticks)
            if axis.choices and sum(len(label) for _, label in ticks) > 30:
                axes.tick_params(axis="x", labelrotation=28)
                for label in axes.get_xticklabels():
                    label.set_ha("right")
            reach = 0.3 if axis.choices else 0.1
            axes.set_xlim(-reach, 1 + reach)
            metric_axis(axes, [v for _, v in values], measure, theme)
            axes.grid(axis="x")
            if n % columns == 0:
                axes.set_ylabel(measure.heading)
        words = {t.outcome for t, _ in values}
        _legend(made, [word for word in ("done", "pruned") if word in words], theme)
        return made

    return Plot("One parameter at a time", text, *render_both(draw))


def importance_plot(found: Importance | None, why_none: str | None) -> Plot:
    """Return a bar for each parameter: its share of the variance, how sure, and what chance gives.

    Args:
        found: importance; None where there is none.
        why_none: then the reason.
    """
    text = (
        "The share of the differences between trials that a parameter makes alone, by fANOVA "
        "(Hutter et al. 2014). "
    )
    if found is not None:
        text += (
            f"From the {found.n_trials} trials that ran to their end; pruned ones have no final "
            f"value. The line is where 80 % of {found.n_draws} draws of the trials lie. The grey "
            "part is what chance gives: the same with the metrics dealt out to the trials at "
            "random stays below its end 19 times of 20. A parameter whose bar ends in the grey "
            f"may matter or not. {100 * found.together:.0f} % are made by parameters together, or "
            "by chance."
        )

    def draw(theme: Theme) -> Figure:
        shares = list(found.share.items()) if found is not None else []
        made, (axes,) = figure(9.4, 0.9 + 0.36 * max(len(shares), 2))
        if found is None:
            say(axes, why_none or "", theme)
            return made
        names = names_of([key for key, _ in shares])
        colour = looks(1, theme)[0].colour
        for row, (key, share) in enumerate(shares):
            is_sure = found.is_more_than_chance(key)
            axes.barh(row, found.chance[key], height=0.78, color=theme.line, zorder=1)
            axes.barh(row, share, height=0.44, color=colour, zorder=2,
                      alpha=1.0 if is_sure else 0.45)  # fmt: skip
            axes.hlines(row, *found.interval[key], color=theme.ink, linewidth=1.3, zorder=3)
            axes.annotate(f"{100 * share:.0f} %", (1, row), (10, 0), va="center",
                          xycoords=("axes fraction", "data"), textcoords="offset points",
                          color=theme.ink)  # fmt: skip
        name_rows(axes, [str(n) for n in range(len(shares))])
        axes.set_yticks(range(len(shares)), [run_name(names[key]) for key, _ in shares])
        ends = [*(e for pair in found.interval.values() for e in pair), *found.chance.values()]
        axes.set_xlim(0, min(1.0, 1.06 * max(ends)))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.6g}")
        axes.set_xlabel("share of the variance between trials (%)")
        return made

    return Plot("Which parameters matter", text, *render_both(draw))


def _marks(
    axes: Axes,
    done: Sequence[tuple[float, float]],
    pruned: Sequence[tuple[float, float]],
    theme: Theme,
) -> None:
    colour = looks(1, theme)[_DONE].colour
    if pruned:
        x, y = zip(*pruned, strict=True)
        axes.scatter(x, y, s=34, facecolors=theme.ground, edgecolors=colour,
                     linewidths=1.2, alpha=0.7, zorder=2, clip_on=False)  # fmt: skip
    if done:
        x, y = zip(*done, strict=True)
        axes.scatter(x, y, s=40, color=colour, edgecolors=theme.ground,
                     linewidths=0.7, zorder=3, clip_on=False)  # fmt: skip


def _crosses(axes: Axes, failed: Sequence[int], theme: Theme) -> None:
    """Mark trials without a value at the foot of the axes."""
    if failed:
        axes.scatter(failed, [0.025] * len(failed), s=34, marker="x", linewidths=1.7,
                     color=looks(2, theme)[_FAILED].colour, clip_on=False,
                     transform=axes.get_xaxis_transform(), zorder=3)  # fmt: skip


def _axis_or_none(axes: Axes, values: Sequence[float], measure: Measure, theme: Theme) -> None:
    if values:
        metric_axis(axes, values, measure, theme)
    else:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.text(0.5, 0.5, "No trial has a value.", transform=axes.transAxes, ha="center",
                  va="center", color=theme.faint)  # fmt: skip


def _legend(made: Figure, words: Sequence[str], theme: Theme, line: str | None = None) -> None:
    """Say above a figure what its marks mean."""
    colours = looks(2, theme)
    said = {"pruned": "pruned, at the value by then"}
    style: dict[str, dict[str, Any]] = {
        "done": {"marker": "o", "color": colours[_DONE].colour},
        "pruned": {"marker": "o", "markerfacecolor": theme.ground,
                   "markeredgecolor": colours[_DONE].colour},
        "failed": {"marker": "x", "color": colours[_FAILED].colour},
    }  # fmt: skip
    handles = [Line2D([], [], linewidth=0, markersize=6, **style[word]) for word in words]
    labels = [said.get(word, word) for word in words]
    if line is not None:
        handles.append(Line2D([], [], color=theme.faint, linewidth=1.4))
        labels.append(line)
    if handles:
        made.legend(handles, labels, loc="outside upper left", ncols=len(handles),
                    handlelength=1.4, columnspacing=1.8, borderaxespad=0.2)  # fmt: skip


def _best_so_far(values: Sequence[float], measure: Measure) -> list[float]:
    best = np.maximum.accumulate if measure.is_maximized else np.minimum.accumulate
    return [float(v) for v in best(values)]
