"""The plots of an analysis: what each cause costs, where its errors are, and score thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from datasets_tools.stats.style import PLAIN, Theme, figure, name_rows, short
from fashion_mmdet.core.error_causes import ERRORS, ErrorCauses
from fashion_mmdet.core.thresholds import ThresholdCurves

from .analyze_words import NAMES
from .looks import Look, legend, looks, percent_axis, quiet_y, render_both, say
from .page import Plot

_ROW_IN = 0.255
_MOST_CLASSES = 60


def cause_plot(causes: ErrorCauses, what: str) -> Plot:
    """Return two rows of bars: what each cause costs, and how many errors it has.

    Args:
        causes: of one run.
        what: name of the figure, ``"mask AP50"``.
    """
    text = (
        f"Left: by how much {what} would rise if this one cause were mended everywhere. Right: "
        "how many errors it has. Many errors may cost little: those with low scores hardly weigh. "
        "The gains do not add up, since mending one changes what the others are worth. These are "
        "TIDE's causes (Bolya et al., ECCV 2020)."
    )
    points = [100 * causes.cost[error] for error in ERRORS]
    counts = [causes.counts[error] for error in ERRORS]

    def draw(theme: Theme) -> Figure:
        made, (left, right) = figure(9.4, 2.7, 2)
        for axes, values, form, title in (
            (left, points, "{:.1f}", f"{what}, points to gain"), (right, counts, "{:,}", "errors"),
        ):  # fmt: skip
            axes.barh(range(len(ERRORS)), values, color=PLAIN, height=0.7)
            name_rows(axes, [NAMES[error] for error in ERRORS])
            axes.set_title(title)
            axes.set_xlim(0, max([*values, 1e-9]) * 1.16)
            for row, value in enumerate(values):
                axes.annotate(form.format(value), (value, row), (4, 0), va="center", fontsize=8.5,
                              textcoords="offset points", color=theme.faint)  # fmt: skip
        return made

    return Plot("What the errors cost", text, *render_both(draw))


def class_cause_plot(causes: ErrorCauses, classes: Sequence[str]) -> Plot:
    """Return a bar for each class, parted by cause.

    Args:
        causes: of one run.
        classes: names in label order; those without errors are left out.
    """
    text = (
        "A bar is a class, its parts the causes, their lengths the number of errors. A detection "
        "counts for the class that it claims to be, a missed instance for its own."
    )
    counts_KE = causes.counts_KC[:, [int(error) for error in ERRORS]]
    sums_K = counts_KE.sum(axis=1)
    order = [int(k) for k in np.argsort(-sums_K, kind="stable") if sums_K[k]][:_MOST_CLASSES]
    if len(order) < (sums_K > 0).sum():
        text += f" The {_MOST_CLASSES} classes with the most errors are shown."

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 1.1 + _ROW_IN * max(len(order), 3))
        if not order:
            say(axes, "No errors.", theme)
            return made
        colours = [look.colour for look in looks(len(ERRORS), theme)]
        left = np.zeros(len(order))
        for column, colour in enumerate(colours):
            part = counts_KE[order, column]
            axes.barh(range(len(order)), part, left=left, color=colour, height=0.72)
            left += part
        name_rows(axes, [short(classes[k]) for k in order])
        axes.set_xlabel("errors")
        marks = [Look(colour, "s", "-") for colour in colours]
        legend(made, [NAMES[error] for error in ERRORS], marks, linewidth=0)
        return made

    return Plot("Errors by class", text, *render_both(draw))


def threshold_plot(curves: ThresholdCurves, split: str) -> Plot:
    """Return precision, recall and F1 over the score threshold, over all classes.

    Args:
        curves: of one run.
        split: the set that they were measured on.
    """
    text = (
        "All classes together, at IoU 0.5: how many of the detections of at least a score are "
        "right (precision), how many of the instances they find (recall), and F1, which is high "
        "where both are. The dotted line is the best F1. It was chosen on the photos that it is "
        f"measured on ({split}), which flatters it. The best threshold of each class is in the "
        "table of classes; a class of a few instances has a loose one."
    )
    best = curves.best()
    rows = {"precision": curves.precision_KT, "recall": curves.recall_KT, "F1": curves.f1_KT}

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 3.9)
        if best is None:
            say(axes, "No detection is right.", theme)
            return made
        marks = [Look(look.colour, "", "-") for look in looks(len(rows), theme)]
        for values, mark in zip(rows.values(), marks, strict=True):
            axes.plot(curves.thresholds, values[-1], color=mark.colour, linewidth=1.9)
        axes.axvline(best.threshold, color=theme.faint, linewidth=1, linestyle=":")
        axes.annotate(f"{best.threshold:.2f}", (best.threshold, 1), (4, -10), fontsize=8.5,
                      xycoords=("data", "axes fraction"), textcoords="offset points",
                      color=theme.faint)  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_xlabel("least score")
        percent_axis(axes, "y", 0.0, 1.0)
        axes.set_ylabel("%")
        quiet_y(axes, theme)
        legend(made, list(rows), marks)
        return made

    return Plot("Score thresholds", text, *render_both(draw))
