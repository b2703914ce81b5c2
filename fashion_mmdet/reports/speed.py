"""Speed against AP: which runs no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from datasets_tools.stats.style import Theme, figure
from fashion_mmdet.reports.looks import (
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

_MOST_NAMED = 6  # of more points those on the front alone have their name beside them
_LABEL_PT, _LETTER_PT, _STEP_PT = 8.5, 5.3, 11.0  # of type, of a letter of it, of a line


def speed_against_ap(
    points: Sequence[tuple[str, float | None, float, float, float]],
    device: str,
    names: Sequence[str] = (),
) -> Plot:
    """Return AP over speed, with the runs that no other beats in both.

    Args:
        points: (run, images per second, AP, low and high end of its interval), AP in 0..1.
        device: what the speeds were measured on.
        names: all runs of the report, in the order of their colours.
    """
    there = [p for p in points if finite(p[1]) > 0 and np.isfinite(finite(p[2]))]
    front = _front(there)
    text = (
        f"Images a second on {device}, loading and encoding of masks included, against AP with "
        "its 95 % interval. To the right and up is better; the line (Pareto front) joins the runs "
        "that no other run beats in both"
    )
    text += f": {', '.join(run_name(name) for name in front)}." if front else "."
    if gone := [run_name(p[0]) for p in points if p not in there]:
        text += f" Without a measured speed, and so not drawn: {', '.join(gone)}."

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 4.4)
        if not there:
            say(axes, "No run has a measured speed.", theme)
            return made
        speeds, ap, low, high = (
            np.array([finite(p[i]) for p in there]) for i in (1, 2, 3, 4)
        )
        low, high = np.where(np.isnan(low), ap, low), np.where(np.isnan(high), ap, high)
        best = [i for i, p in enumerate(there) if p[0] in front]
        best.sort(key=lambda i: speeds[i])
        axes.plot(speeds[best], ap[best], color=theme.faint, linewidth=1.2,
                  linestyle=(0, (4, 3)))  # fmt: skip
        marks = looks_of([p[0] for p in there], names, theme)
        for i, mark in enumerate(marks):
            axes.vlines(speeds[i], low[i], high[i], color=mark.colour, linewidth=1.8, alpha=0.5)
            axes.scatter(speeds[i], ap[i], s=58, color=mark.colour, marker=mark.marker,
                         linewidths=1, edgecolors=theme.ground, zorder=3)  # fmt: skip
        _speed_axis(axes, speeds)
        percent_axis(axes, "y", float(low.min()), float(high.max()))
        axes.set_ylabel("AP (%)")
        quiet_y(axes, theme)
        shown = [run_name(p[0]) for p in there]
        if len(there) > _MOST_NAMED:
            legend(made, [p[0] for p in there], marks, linewidth=0)
            shown = [name if i in best else "" for i, name in enumerate(shown)]
        _name_points(axes, speeds, ap, shown, theme)
        return made

    return Plot("Speed against AP", text, *render_both(draw))


def _front(points: Sequence[tuple[str, float | None, float, float, float]]) -> list[str]:
    """Return the runs that no other one equals in speed and AP and beats in one, fastest last."""
    best = [
        (speed, name)
        for name, speed, ap, *_ in points
        if not any(
            q[1] >= speed and q[2] >= ap and (q[1] > speed or q[2] > ap)  # type: ignore[operator]
            for q in points
        )
    ]
    return [name for _, name in sorted(best)]  # type: ignore[type-var]


def _speed_axis(axes: Axes, speeds: np.ndarray) -> None:
    axes.set_xlabel("images a second")
    low, high = speeds.min(), speeds.max()
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.6, high * 2.2)
        ticks = [m * 10.0**e for e in range(-4, 6) for m in (1, 2, 5)]
        axes.xaxis.set_major_locator(FixedLocator([v for v in ticks if low / 1.6 < v < high * 2.2]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        span = max(high - low, 0.2 * high)
        axes.set_xlim(max(0.0, low - 0.12 * span), high + 0.3 * span)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.6g}"))


def _name_points(
    axes: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], theme: Theme
) -> None:
    """Write each name beside its point, where it covers no other name and no other point.

    An empty name is not written.
    """
    axes.figure.canvas.draw()  # lays the axes out: only now is it known where points lie
    spots = axes.transData.transform(np.column_stack([x, y])) * 72 / axes.figure.dpi
    frame = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted())
    left, right = frame.x0 * 72, frame.x1 * 72
    taken: list[tuple[float, ...]] = [(px - 5, py - 5, px + 5, py + 5) for px, py in spots]
    halo = withStroke(linewidth=3, foreground=theme.ground)
    for n in np.argsort(-y):
        if not names[n]:
            continue
        (px, py), width = spots[n], _LETTER_PT * len(names[n])
        others = taken[:n] + taken[n + 1 :]

        def box(dx: float, dy: float, px=px, py=py, width=width) -> tuple[float, ...]:
            return px + dx, py + dy - 2.5, px + dx + width, py + dy + _LABEL_PT

        rises = [-3.0 + _STEP_PT * k for k in (0.6, 0, -0.6, 1.6, -1.6, 2.6, -2.6, 3.6, -3.6)]
        tries = [(8.0, dy) for dy in rises] + [(-8.0 - width, dy) for dy in rises]
        fits = (
            t for t in tries
            if left <= box(*t)[0] and box(*t)[2] <= right
            and not any(_meet(box(*t), other) for other in others)
        )  # fmt: skip
        chosen = next(fits, tries[0])
        taken.append(box(*chosen))
        axes.annotate(names[n], (x[n], y[n]), chosen, textcoords="offset points",
                      fontsize=_LABEL_PT, color=theme.ink, zorder=4,
                      path_effects=[halo])  # fmt: skip


def _meet(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
