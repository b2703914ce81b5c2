"""How runs learned: validation AP and training loss, by epoch where all runs count them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from datasets_tools.stats.style import Theme, figure
from fashion_mmdet.core.run_record import RunRecord
from fashion_mmdet.reports.looks import (
    apart,
    finite,
    legend,
    looks_of,
    percent_axis,
    quiet_y,
    render_both,
    say,
)
from fashion_mmdet.reports.page import Plot
from fashion_mmdet.reports.runs import Run

_SMOOTH = 0.06  # of the points of a loss curve that its bold line is the mean of
_MARKED = 40  # more validations than these have no dots


def learning_curves(runs: Sequence[Run]) -> Plot:
    """Return validation AP and training loss of every run, side by side."""
    rates = [_iterations_an_epoch(run.record) for run in runs]
    by_epoch = all(rates)
    unit = "epoch" if by_epoch else "iteration"
    text = (
        "Left: AP on the validation photos, of masks where there are masks; a ring is the best of "
        "a run. Right: training loss, bold its running mean; losses of different models may weigh "
        "different things. Where the loss falls on and AP does not, longer training does not help."
    )
    names = [run.name for run in runs]
    scale = [rate if by_epoch and rate else 1.0 for rate in rates]
    figures = [_validations(run) / [s, 1.0] for run, s in zip(runs, scale, strict=True)]
    losses = [_losses(run.record) / [s, 1.0] for run, s in zip(runs, scale, strict=True)]

    def draw(theme: Theme) -> Figure:
        made, (left, right) = figure(9.4, 4.1, 2)
        apart(made)
        marks = looks_of(names, names, theme)
        left.set_title("validation AP (%)")
        right.set_title("training loss")
        for points, mark in zip(figures, marks, strict=True):
            if len(points):
                dots = mark.marker if len(points) <= _MARKED else ""
                left.plot(*points.T, color=mark.colour, linestyle=mark.dashes, marker=dots,
                          markersize=4, linewidth=1.8)  # fmt: skip
                left.scatter(*points[points[:, 1].argmax()], s=72, facecolors="none",
                             edgecolors=mark.colour, linewidths=1.5, zorder=3)  # fmt: skip
        for points, mark in zip(losses, marks, strict=True):
            if len(points):
                right.plot(*points.T, color=mark.colour, linewidth=0.8, alpha=0.28)
                right.plot(points[:, 0], _smoothed(points[:, 1]), color=mark.colour,
                           linestyle=mark.dashes, linewidth=1.8)  # fmt: skip
        for axes, curves, lack in (
            (left, figures, "No validations in these records."),
            (right, losses, "No training losses in these records."),
        ):
            if not any(map(len, curves)):
                say(axes, lack, theme)
                continue
            axes.set_xlabel(unit)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
            quiet_y(axes, theme)
        if any(map(len, figures)):
            ap = np.concatenate(figures)[:, 1]
            percent_axis(left, "y", 0.0, float(ap.max()))
        if any(map(len, losses)):
            # The first steps of a head that knows nothing would flatten the rest.
            shown = np.concatenate([_smoothed(points[:, 1]) for points in losses if len(points)])
            right.set_ylim(0, float(np.quantile(shown, 0.96)) * 1.12 or 1.0)
        legend(made, names, marks)
        return made

    return Plot("How the runs learned", text, *render_both(draw))


def _iterations_an_epoch(record: RunRecord) -> float | None:
    """Return how many iterations an epoch has; None for a run that does not count epochs."""
    done = [(v.epoch, v.iter) for v in record.validations]
    done += [(s.to_epoch, s.to_iter) for s in record.sessions]
    return next((i / e for e, i in reversed(done) if e and i), None)


def _validations(run: Run) -> np.ndarray:
    """Return (N, 2): iterations done, AP in 0..1."""
    points = [
        (v.iter, finite(v.metrics.get(f"coco/{run.kind}_mAP"))) for v in run.record.validations
    ]
    return _finite_points(points)


def _losses(record: RunRecord) -> np.ndarray:
    """Return (N, 2): iterations done, training loss."""
    points = []
    for point in record.losses:
        parts = [v for name, v in point.losses.items() if "loss" in name and name != "loss"]
        total = point.losses.get("loss", sum(parts) if parts else None)
        points.append((point.iter, finite(total)))
    return _finite_points(points)


def _finite_points(points: Sequence[tuple[float, float]]) -> np.ndarray:
    array = np.array(points, dtype=float).reshape(-1, 2)
    return array[np.isfinite(array[:, 1])]


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the running mean; at the ends over what there is."""
    half = max(1, round(_SMOOTH * len(values) / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    starts = np.maximum(np.arange(len(values)) - half, 0)
    ends = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)
