"""The plots of ``fashion data stats``; each takes tables and returns a figure.

A bar is always labelled through the id of its own row, see :mod:`datasets_tools.stats.tables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from datasets_tools.colours import rgb_of_id
from datasets_tools.stats import tables
from datasets_tools.stats.style import ALERT, PLAIN, Theme, figure, name_rows, palette_colour, short

_ROW_IN = 0.235  # height of a row of a class
_SPLIT_MARKS = (("o", PLAIN), ("D", ALERT), ("s", palette_colour("leg warmer")), ("^", "#8b5cf6"))


def _class_colours(table: pd.DataFrame, theme: Theme) -> list[tuple[float, float, float]]:
    """Return the palette's colours by the ids of the rows, a little lighter on a dark ground."""
    rgb = rgb_of_id([{"id": i, "name": name} for i, name in table.name.items()])
    lift = 0.22 if theme.is_dark else 0.0
    scaled = (np.array(rgb[i]) / 255 for i in table.index)
    return [tuple(colour + lift * (1 - colour)) for colour in scaled]


def _plain_numbers(value: float, _: object = None) -> str:
    return f"{value:,.10g}"


def _few_log_ticks(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(values), [_plain_numbers(v) for v in values])
    axes.xaxis.set_minor_locator(NullLocator())


def _log_shares(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.6g} %"))
    axes.xaxis.set_minor_locator(NullLocator())


def classes(table: pd.DataFrame, theme: Theme) -> Figure:
    """Instances and photos of every class that has any, in the order of the file."""
    table = table[table.instances > 0]
    made, (left, right) = figure(9.4, 1 + _ROW_IN * len(table), 2, sharey=True)
    colours = _class_colours(table, theme)
    for axes, column, title in ((left, "instances", "instances"), (right, "images", "photos")):
        values = table[column].to_numpy()
        axes.barh(range(len(table)), values, color=colours, height=0.68)
        for row, value in enumerate(values):
            axes.annotate(
                f"{value:,}", (value, row), (3, 0), textcoords="offset points", va="center",
                fontsize=7.5, color=theme.faint,
            )  # fmt: skip
        axes.set_title(title)
        axes.set_xlim(0, values.max() * 1.14)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_plain_numbers))
        name_rows(axes, list(table.name))
    return made


def long_tail(table: pd.DataFrame, theme: Theme) -> Figure:
    """Sorted counts on a log scale; the classes that hold 80 % of all instances stand out."""
    tail, n_head = tables.long_tail(table)
    made, (axes,) = figure(max(5.5, 2 + 0.21 * len(tail)), 4.4)
    colours = [(*c, 1.0 if i < n_head else 0.4) for i, c in enumerate(_class_colours(tail, theme))]
    axes.bar(range(len(tail)), tail.instances, color=colours, width=0.72)
    axes.set_yscale("log")
    axes.set_ylim(0.7, tail.instances.max() * 2.2)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain_numbers))
    axes.tick_params(axis="y", labelcolor=theme.faint)
    axes.set_ylabel("instances")
    axes.set_xticks(
        range(len(tail)), [short(n) for n in tail.name], rotation=55, ha="right",
        rotation_mode="anchor", color=theme.ink,
    )  # fmt: skip
    axes.set_xlim(-0.7, len(tail) - 0.3)
    axes.grid(axis="y")
    axes.axvline(n_head - 0.5, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"80 % of instances in {n_head} of {len(tail)} classes", (n_head - 0.5, 1),
        (6, -4), xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
        color=theme.faint,
    )  # fmt: skip
    return made


def areas(measured: tables.Measured, table: pd.DataFrame, theme: Theme) -> Figure:
    """Share of the photo that a mask covers: the middle half and the middle 80 % per class."""
    present = table[table.instances > 0].sort_values("photo_share", ascending=False)
    made, (axes,) = figure(9.4, 1 + _ROW_IN * len(present))
    of = tables.with_photo_share(measured).groupby("category_id").photo_share
    low, first, middle, third, high = (
        of.quantile(q).reindex(present.index) for q in (0.1, 0.25, 0.5, 0.75, 0.9)
    )
    rows, colours = np.arange(len(present)), _class_colours(present, theme)
    axes.hlines(rows, low, high, color=colours, linewidth=1.4, alpha=0.6)
    axes.hlines(rows, first, third, color=colours, linewidth=7, alpha=0.6)
    axes.scatter(middle, rows, s=20, color=theme.ground, edgecolors=colours, linewidths=2, zorder=3)
    _log_shares(axes)
    axes.set_xlabel("of the photo's area (log scale)")
    name_rows(axes, list(present.name))
    return made


def boxes(fit: pd.DataFrame, anchors_px: Sequence[float], theme: Theme) -> Figure:
    """Box sizes at training size beside the anchors, and how well the best anchor fits."""
    made, (left, right) = figure(9.4, 3.5, 2)
    low, high = min(fit.side_px.min(), min(anchors_px)), max(fit.side_px.max(), max(anchors_px))
    bins = np.geomspace(max(low, 1) * 0.95, high * 1.05, 49)
    poor = fit.iou < tables.POOR_IOU
    left.hist(
        [fit.side_px[~poor], fit.side_px[poor]], bins=bins, stacked=True, color=[PLAIN, ALERT],
        label=["best anchor fits", f"IoU under {tables.POOR_IOU:g}"],
    )  # fmt: skip
    for side_px in anchors_px:
        left.axvline(side_px, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
    _few_log_ticks(left, sorted(anchors_px))
    left.set_title("box side, square root of its area (px); dashed: anchors")
    left.legend(loc="upper left", labelcolor=theme.ink, frameon=True,
                facecolor=theme.ground, edgecolor="none", framealpha=1)  # fmt: skip
    edges = np.linspace(0, 1, 41)
    counts, _ = np.histogram(fit.iou, edges)
    colours = [ALERT if edge < tables.POOR_IOU - 1e-9 else PLAIN for edge in edges[:-1]]
    right.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colours)
    right.set_title("IoU of the best anchor with a box")
    right.set_xlim(0, 1)
    for axes in (left, right):
        _counts_up(axes, theme)
    return made


def anchors_by_class(table: pd.DataFrame, theme: Theme) -> Figure:
    """Share of each class's boxes that no anchor overlaps by half."""
    present = table[table.instances > 0].sort_values("poor_anchors", ascending=False)
    made, (axes,) = figure(9.4, 1 + _ROW_IN * len(present))
    colours = _class_colours(present, theme)
    axes.barh(range(len(present)), present.poor_anchors, color=colours, height=0.68)
    for row, (share, count) in enumerate(zip(present.poor_anchors, present.instances, strict=True)):
        axes.annotate(
            f"{round(share * count):,} of {count:,}", (share, row), (3, 0),
            textcoords="offset points", va="center", fontsize=7.5, color=theme.faint,
        )  # fmt: skip
    axes.set_xlim(0, max(present.poor_anchors.max() * 1.15, 0.05))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    name_rows(axes, list(present.name))
    return made


def shapes(measured: tables.Measured, theme: Theme) -> Figure:
    """Aspect ratios of boxes beside those of the anchors, and instances per photo."""
    made, (left, right) = figure(9.4, 3.3, 2)
    ratio = measured.instances.h_px / measured.instances.w_px
    ticks = [0.125, 0.25, 0.5, 1, 2, 4, 8]
    left.hist(ratio.clip(1 / 16, 16), bins=np.geomspace(1 / 16, 16, 49), color=PLAIN)
    for anchor in tables.ANCHOR_RATIOS:
        left.axvline(anchor, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
    _few_log_ticks(left, ticks)
    left.set_title("height to width of a box; dashed: anchors")
    counts = tables.per_image(measured)
    step = max(1, int(np.ceil(counts.max() / 40)))
    right.hist(counts, bins=np.arange(counts.min(), counts.max() + step + 1, step) - 0.5,
               color=PLAIN, rwidth=0.9)  # fmt: skip
    right.axvline(counts.median(), color=ALERT, linewidth=1.4)
    right.annotate(
        f"median {counts.median():g}", (counts.median(), 1), (5, -3), va="top", color=ALERT,
        xycoords=("data", "axes fraction"), textcoords="offset points",
    )  # fmt: skip
    right.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    right.set_title("instances per photo")
    for axes in (left, right):
        _counts_up(axes, theme)
    return made


def _counts_up(axes: Axes, theme: Theme) -> None:
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain_numbers))
    axes.tick_params(axis="y", labelcolor=theme.faint)
    axes.spines["left"].set_visible(False)


def cooccurrence(pairs: pd.DataFrame, names: pd.Series, theme: Theme) -> Figure:
    """Of the photos with the class of a row, how many show that of a column."""
    images = pd.Series(np.diag(pairs), index=pairs.index)
    order = images[images > 0].sort_values(ascending=False, kind="stable").index
    share = pairs.loc[order, order].to_numpy() / images[order].to_numpy()[:, None]
    np.fill_diagonal(share, np.nan)
    side_in = max(5.0, 2.6 + 0.235 * len(order))
    made, (axes,) = figure(side_in + 0.6, side_in)
    drawn = axes.imshow(share, cmap=theme.map_name, vmin=0, vmax=1)
    labels = [short(names[i]) for i in order]
    axes.set_yticks(range(len(order)), labels)
    axes.set_xticks(range(len(order)), labels, rotation=55, ha="left", rotation_mode="anchor",
                    color=theme.ink)  # fmt: skip
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    for edge in np.arange(len(order) + 1) - 0.5:
        axes.axhline(edge, color=theme.ground, linewidth=0.8)
        axes.axvline(edge, color=theme.ground, linewidth=0.8)
    bar = made.colorbar(drawn, ax=axes, shrink=0.5, aspect=28, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return made


def splits(
    images: pd.DataFrame, n_images: Mapping[str, int], names: pd.Series, theme: Theme
) -> Figure:
    """Share of each split's photos that show a class; a hollow mark at the left: none does."""
    shown = images[images.sum(axis=1) > 0]
    shown = shown.loc[shown.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    share = shown / pd.Series({split: max(n, 1) for split, n in n_images.items()})
    least = share.where(share > 0).min().min()
    rows = np.arange(len(share))
    made, (axes,) = figure(9.4, 1.3 + _ROW_IN * len(share))
    filled = share.where(share > 0, least * 0.6)
    axes.hlines(rows, filled.min(axis=1), filled.max(axis=1), color=theme.line, linewidth=3)
    for index, split in enumerate(share):
        mark, colour = _SPLIT_MARKS[index % len(_SPLIT_MARKS)]
        there = (share[split] > 0).to_numpy()
        axes.scatter(filled[split][there], rows[there], s=24, marker=mark, color=colour, zorder=3,
                     label=f"{split} ({n_images[split]:,} photos)")  # fmt: skip
        axes.scatter(filled[split][~there], rows[~there], s=24, marker=mark, zorder=3,
                     facecolors=theme.ground, edgecolors=colour)  # fmt: skip
    _log_shares(axes)
    axes.set_xlabel("of a split's photos (log scale)")
    name_rows(axes, [names[i] for i in share.index])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(n_images), labelcolor=theme.ink)
    return made
