"""Plots with a row for each class: AP of runs, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from datasets_tools.stats.style import Theme, figure, name_rows, short
from fashion_mmdet.reports.looks import (
    finite,
    legend,
    looks_of,
    percent_axis,
    render_both,
    say,
)
from fashion_mmdet.reports.page import Plot

_ROW_IN = 0.255
_CELL_IN = 0.265
_LEAST_SHARE = 0.1  # counts of smaller shares would be noise to the eye
_LIGHT_MAP = ("#f4f6f9", "#a9cbea", "#3a86c8", "#0b3f78")
_DARK_MAP = ("#1d2129", "#21507f", "#4495e0", "#d6ebff")
BACKGROUND, MISSED = "background", "missed"


def ap_by_class(
    names: Sequence[str],
    values: Mapping[str, Mapping[str, float | None]],
    counts: Mapping[str, int],
    title: str = "AP by class",
) -> Plot:
    """Return a row of dots for each class, one dot a run.

    Args:
        names: the runs, in the order of their colours.
        values: run -> class -> AP in 0..1; None or NaN where there is none.
        counts: class -> instances; a class without any is left out.
        title: of the section.
    """
    text = (
        "A row is a class, a dot a run; the more instances, the higher the row. A long grey line "
        "between the dots: the runs differ there. Rows far down rest on few instances and are "
        "loose."
    )
    return _dots(title, text, names, values, counts)


def ap_by_group(
    names: Sequence[str],
    values: Mapping[str, Mapping[str, float | None]],
    counts: Mapping[str, int],
    title: str = "AP by super-category",
) -> Plot:
    """Return what :func:`ap_by_class` does, for super-categories."""
    text = (
        "A row is a super-category, the mean over its classes; a dot is a run. The more instances "
        "a super-category has, the higher its row."
    )
    return _dots(title, text, names, values, counts)


def _dots(
    title: str,
    text: str,
    names: Sequence[str],
    values: Mapping[str, Mapping[str, float | None]],
    counts: Mapping[str, int],
) -> Plot:
    rows = sorted((row for row in counts if counts[row] > 0), key=lambda row: -counts[row])
    ap_RN = np.array(
        [[finite(values.get(name, {}).get(row)) for name in names] for row in rows]
    ).reshape(len(rows), len(names))

    def draw(theme: Theme) -> Figure:
        made, (axes,) = figure(9.4, 1.25 + _ROW_IN * max(len(rows), 3))
        if not np.isfinite(ap_RN).any():
            say(axes, "No AP of any class.", theme)
            return made
        marks = looks_of(names, names, theme)
        places = np.arange(len(rows))
        low, high = np.fmin.reduce(ap_RN, axis=1), np.fmax.reduce(ap_RN, axis=1)
        axes.hlines(places, low, high, color=theme.line, linewidth=3)
        for n, mark in enumerate(marks):
            axes.scatter(ap_RN[:, n], places, s=34, marker=mark.marker, color=mark.colour,
                         alpha=0.9, linewidths=0.7, edgecolors=theme.ground, zorder=3,
                         clip_on=False)  # fmt: skip
        name_rows(axes, rows)
        percent_axis(axes, "x", 0.0, float(np.nanmax(ap_RN)))
        axes.set_xlabel("AP (%)")
        _counts_beside(axes, [counts[row] for row in rows], "instances", theme)
        legend(made, names, marks, linewidth=0)
        return made

    return Plot(title, text, *render_both(draw))


def _counts_beside(axes: Axes, counts: Sequence[int], head: str, theme: Theme) -> None:
    for row, count in enumerate(counts):
        axes.annotate(f"{count:,}", (1, row), (44, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", va="center", fontsize=8.5,
                      color=theme.faint)  # fmt: skip
    axes.annotate(head, (1, 1), (44, 4), xycoords="axes fraction", textcoords="offset points",
                  ha="right", va="bottom", fontsize=8.5, color=theme.faint)  # fmt: skip


def confusion_plot(
    matrix: np.ndarray, names: Sequence[str], title: str = "What is taken for what"
) -> Plot:
    """Return a heat map of shares of rows.

    Args:
        matrix: (K+1, K+1) counts: true class by found class; the last row is of detections where
            there is nothing, the last column of instances that nothing was found for.
        names: the K classes.
        title: of the section.
    """
    n = len(names)
    counts = np.nan_to_num(np.asarray(matrix, dtype=float))
    sums = counts.sum(axis=1)
    shown = [i for i in range(n) if sums[i] > 0]
    # Shares are of the whole row, of columns too that are not shown.
    share = counts / np.maximum(sums, 1)[:, None]
    order = np.array([*shown, n])
    share, cells, of_rows = share[np.ix_(order, order)], counts[np.ix_(order, order)], sums[order]
    text = (
        "Rows are the true classes, with their instances; columns are what was found. A cell is "
        "the share of its row: the diagonal is right, 'missed' was not found at all, and the row "
        "'background' is what was found where nothing is. Shares of a tenth and more have their "
        "count written."
    )
    if len(shown) < n:
        text += f" Classes without instances ({n - len(shown)}) are not shown."

    def draw(theme: Theme) -> Figure:
        if not shown:
            made, (axes,) = figure(9.4, 2.2)
            say(axes, "No instances.", theme)
            return made
        side_in = max(4.0, 2.4 + _CELL_IN * len(order))
        made, (axes,) = figure(side_in + 1.0, side_in)
        # From the colour of the page: cells without anything are to recede.
        colours = LinearSegmentedColormap.from_list("shares", _DARK_MAP if theme.is_dark
                                                    else _LIGHT_MAP)  # fmt: skip
        drawn = axes.imshow(share, cmap=colours, vmin=0, vmax=1)
        labels = [short(names[i]) for i in shown]
        of_row = [f"{name}  {count:,.0f}" for name, count in
                  zip([*labels, BACKGROUND], of_rows, strict=True)]  # fmt: skip
        axes.set_yticks(range(len(order)), of_row)
        axes.set_xticks(range(len(order)), [*labels, MISSED], rotation=55, ha="left",
                        rotation_mode="anchor", color=theme.ink)  # fmt: skip
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
        for edge in np.arange(len(order) + 1) - 0.5:
            width = 2.5 if edge == len(shown) - 0.5 else 0.8
            axes.axhline(edge, color=theme.ground, linewidth=width)
            axes.axvline(edge, color=theme.ground, linewidth=width)
        _write_counts(axes, share, cells, theme)
        bar = made.colorbar(drawn, ax=axes, shrink=0.4, aspect=28, pad=0.02, anchor=(0, 1))
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        bar.ax.tick_params(labelcolor=theme.faint)
        return made

    return Plot(title, text, *render_both(draw))


def _write_counts(axes: Axes, share: np.ndarray, cells: np.ndarray, theme: Theme) -> None:
    for row, column in zip(*np.nonzero(share >= _LEAST_SHARE), strict=True):
        count = cells[row, column]
        dark_ink = share[row, column] > 0.6 if theme.is_dark else share[row, column] < 0.5
        text = f"{count:.0f}" if count < 10_000 else f"{count / 1000:.0f}k"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.6,
                  color="#16191f" if dark_ink else "#ffffff")  # fmt: skip
