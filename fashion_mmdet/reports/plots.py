"""The plots that compare runs; each takes plain values and returns a section of the page.

Those with a row for each class are in :mod:`.class_plots`, the curves of a training in
:mod:`.learning`, speed in :mod:`.speed`; all are to be had from here. What cannot be drawn is left
out, and a plot without anything says so in its axes: one run, one epoch or a run without masks is
no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from datasets_tools.stats.style import Theme, figure, name_rows
from fashion_mmdet.core.curves import RECALL_STEPS, precision_curves
from fashion_mmdet.core.matching import IOU_THRESHOLDS
from fashion_mmdet.reports.class_plots import ap_by_class, ap_by_group, confusion_plot
from fashion_mmdet.reports.learning import learning_curves
from fashion_mmdet.reports.looks import (
    apart,
    finite,
    legend,
    looks_of,
    percent_axis,
    quiet_y,
    render_both,
    run_name,
    say,
)
from fashion_mmdet.reports.page import Plot
from fashion_mmdet.reports.runs import Run
from fashion_mmdet.reports.speed import speed_against_ap

__all__ = [
    "ap_by_class", "ap_by_group", "calibration_plot", "confusion_plot", "intervals_plot",
    "learning_curves", "pr_curves", "render_both", "size_bins", "speed_against_ap",
]  # fmt: skip

_SIZES = {"small": "small\nunder 32² px", "medium": "medium\n32² to 96² px",
          "large": "large\nover 96² px"}  # fmt: skip


def pr_curves(runs: Sequence[Run]) -> Plot:
    """Return precision over recall at IoU 0.5 and 0.75, mean over the classes as COCO averages."""
    text = (
        "How many of the detections are right (precision) when so many of the instances are found "
        "(recall), mean over the classes. The area below a curve is AP at that IoU; higher and "
        "farther right is better."
    )
    names = [run.name for run in runs]
    curves = [precision_curves(run.evidence.matches[run.kind], len(run.evidence.classes))
              for run in runs]  # fmt: skip
    if len({run.kind for run in runs}) > 1:
        text += " Runs with masks are scored by masks, the others by boxes."

    def draw(theme: Theme) -> Figure:
        made, axes_of = figure(9.4, 4.4, 2, sharey=True)
        apart(made)
        marks = looks_of(names, names, theme)
        for axes, threshold in zip(axes_of, (0.5, 0.75), strict=True):
            t = int(np.argmin(abs(IOU_THRESHOLDS - threshold)))
            n_drawn = 0
            for precision_KTR, mark in zip(curves, marks, strict=True):
                of_class = precision_KTR[:, t]
                of_class = of_class[~np.isnan(of_class).any(axis=1)]
                if len(of_class):
                    axes.plot(RECALL_STEPS, of_class.mean(axis=0), color=mark.colour,
                              linestyle=mark.dashes, linewidth=1.9)  # fmt: skip
                    n_drawn += 1
            axes.set_title(f"IoU {threshold:g}")
            if not n_drawn:
                say(axes, "No instances.", theme)
                continue
            percent_axis(axes, "x", 0.0, 1.0)
            percent_axis(axes, "y", 0.0, 1.0)
            axes.set_xlabel("recall (%)")
            quiet_y(axes, theme)
        axes_of[0].set_ylabel("precision (%)")
        legend(made, names, [replace(mark, marker="") for mark in marks])
        return made

    return Plot("Precision and recall", text, *render_both(draw))


def size_bins(
    names: Sequence[str],
    values: Mapping[str, Mapping[str, float | None]],
    title: str = "AP by size",
) -> Plot:
    """Return bars of AP for small, medium and large instances.

    Args:
        names: the runs, in the order of their colours.
        values: run -> ``"small"``, ``"medium"``, ``"large"`` -> AP in 0..1; None where no instance
            has that size.
        title: of the section.
    """
    text = (
        "AP of instances of one size only, by their area in pixels of the photo as it is, not of "
        "the smaller picture that the network sees. No bar: no instance of that size."
    )
    ap_NS = np.array([[finite(values.get(name, {}).get(size)) for size in _SIZES]
                      for name in names]).reshape(len(names), len(_SIZES))  # fmt: skip

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 3.7)
        if not np.isfinite(ap_NS).any():
            say(axes, "No AP of any size.", theme)
            return made
        marks = looks_of(names, names, theme)
        step = 0.82 / len(names)
        # Bars have no dashes: from the eighth run on they are pale.
        marks = [replace(m, marker="s", colour=m.colour if m.dashes == "-" else m.colour + "80")
                 for m in marks]  # fmt: skip
        for n, mark in enumerate(marks):
            places = np.arange(len(_SIZES)) + (n - (len(names) - 1) / 2) * step
            axes.bar(places, ap_NS[n], width=min(step * 0.9, 0.3), color=mark.colour)
            for place, value in zip(places, ap_NS[n], strict=True):
                if np.isfinite(value) and len(names) <= 8:
                    axes.annotate(f"{100 * value:.1f}", (place, value), (0, 2), ha="center",
                                  textcoords="offset points", fontsize=8,
                                  color=theme.faint)  # fmt: skip
        axes.set_xticks(range(len(_SIZES)), list(_SIZES.values()), color=theme.ink)
        axes.set_xlim(-0.5, len(_SIZES) - 0.5)
        percent_axis(axes, "y", 0.0, float(np.nanmax(ap_NS)))
        axes.set_ylabel("AP (%)")
        quiet_y(axes, theme)
        legend(made, names, marks, linewidth=0)
        return made

    return Plot(title, text, *render_both(draw))


def calibration_plot(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    ece: Mapping[str, float],
    names: Sequence[str] = (),
) -> Plot:
    """Return precision over score, and how many detections have such a score.

    Args:
        curves: run -> mean score, precision and count of detections, (B,) each, by bin of score.
        ece: run -> expected calibration error in 0..1.
        names: all runs of the report, in the order of their colours.
    """
    text = (
        "Left: of the detections with a score, how many are right. On the dashed line a score of "
        "70 % is right 7 times of 10; below it the model is too sure of itself, above it too "
        "careful. ECE, in the legend, is the mean distance from the line. Right: how many "
        "detections have such a score."
    )

    def draw(theme: Theme) -> Figure:
        made, (left, right) = figure(9.4, 4.4, 2)
        apart(made)
        marks = looks_of(list(curves), names, theme)
        n_drawn = 0
        for (score, precision, count), mark in zip(curves.values(), marks, strict=True):
            score, precision, count = (
                np.asarray(v, dtype=float).ravel() for v in (score, precision, count)
            )
            there = (count > 0) & np.isfinite(score) & np.isfinite(precision)
            if there.any():
                score, precision, count = score[there], precision[there], count[there]
                style = {"color": mark.colour, "linestyle": mark.dashes, "marker": mark.marker,
                         "markersize": 4.5, "linewidth": 1.8}  # fmt: skip
                left.plot(score, precision, **style)
                right.plot(score, count, **style)
                n_drawn += 1
        if not n_drawn:
            say(left, "No detections.", theme)
            say(right, "No detections.", theme)
            return made
        left.plot([0, 1], [0, 1], color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
        percent_axis(left, "x", 0.0, 1.0)
        percent_axis(left, "y", 0.0, 1.0)
        percent_axis(right, "x", 0.0, 1.0)
        right.set_yscale("log")
        right.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
        low, high = right.get_ylim()
        right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
        right.yaxis.set_minor_locator(NullLocator())
        for axes, title in ((left, "precision (%)"), (right, "detections (log scale)")):
            axes.set_title(title)
            axes.set_xlabel("score (%)")
            quiet_y(axes, theme)
        left.set_aspect("equal")
        ends = [f"  ECE {100 * finite(ece.get(name)):.1f} %" for name in curves]
        legend(made, list(curves), marks, ends)
        return made

    return Plot("Calibration", text, *render_both(draw))


def intervals_plot(
    rows: Sequence[tuple[str, float, float, float]],
    names: Sequence[str] = (),
    title: str = "AP with 95 % intervals",
) -> Plot:
    """Return one row a run: AP and its interval.

    Args:
        rows: (run, AP, low and high end), in 0..1.
        names: all runs of the report, in the order of their colours.
        title: of the section.
    """
    text = (
        "A dot is AP, the line the spread that other test photos of the same kind would give "
        "(bootstrap over images). It does not hold the spread between trainings; and lines that "
        "overlap do not say that two runs are equal: the paired differences tell."
    )

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 0.9 + 0.36 * max(len(rows), 2))
        numbers = np.array([[finite(v) for v in row[1:4]] for row in rows]).reshape(len(rows), 3)
        if not np.isfinite(numbers[:, 0]).any():
            say(axes, "No AP.", theme)
            return made
        for place, (mark, (value, low, high)) in enumerate(
            zip(looks_of([row[0] for row in rows], names, theme), numbers, strict=True)
        ):
            axes.hlines(place, low, high, color=mark.colour, linewidth=5, alpha=0.35)
            axes.scatter(value, place, s=46, color=mark.colour, marker=mark.marker, zorder=3)
            said = "–" if np.isnan(value) else f"{100 * value:.1f}"
            if np.isfinite([low, high]).all():
                said += f"  [{100 * low:.1f}, {100 * high:.1f}]"
            axes.annotate(said, (1, place), (10, 0), xycoords=("axes fraction", "data"),
                          textcoords="offset points", va="center", color=theme.ink)  # fmt: skip
        name_rows(axes, [str(n) for n in range(len(rows))])
        axes.set_yticks(range(len(rows)), [run_name(row[0]) for row in rows])
        percent_axis(axes, "x", float(np.nanmin(numbers)), float(np.nanmax(numbers)))
        axes.set_xlabel("AP (%)")
        return made

    return Plot(title, text, *render_both(draw))
