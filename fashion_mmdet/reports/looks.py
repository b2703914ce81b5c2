"""How the plots of a report look: drawn for light and dark pages, one colour for one run."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from datasets_tools.browse.lettering import printable
from datasets_tools.stats.style import DARK, LIGHT, Theme, use

_DPI = 150
_MOST_PX = 4000  # a longer side is drawn in less detail
_LETTER_IN, _MARK_IN = 0.087, 0.66  # of a legend: a letter, and what is before and after a name
_RUN_NAME_LENGTH = 36

# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), told apart with any colour vision;
# lighter for a dark ground. Their yellow cannot be seen on white; the text's own colour stands in.
_ON_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc6699", "#e69f00", "#56b4e9", "#1f2328")
_ON_DARK = ("#4495e0", "#f0743a", "#22c08f", "#e59ac6", "#f2b53c", "#9bd8ff", "#e6e8eb")
_MARKERS = ("o", "D", "s", "^", "v", "P")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


@dataclass(frozen=True)
class Look:
    """How a run is drawn in all plots of a report."""

    colour: str
    marker: str
    dashes: Any


def looks(n_runs: int, theme: Theme) -> list[Look]:
    """Return the looks of runs by their order; from the eighth on colours come back, dashed."""
    colours = _ON_DARK if theme.is_dark else _ON_LIGHT
    out = []
    for n in range(n_runs):
        turn, place = divmod(n, len(colours))
        look = Look(colours[place], _MARKERS[turn % len(_MARKERS)], _DASHES[turn % len(_DASHES)])
        out.append(look)
    return out


def looks_of(names: Sequence[str], all_names: Sequence[str], theme: Theme) -> list[Look]:
    """Return the look of each of ``names`` by its place in ``all_names``, else in ``names``."""
    order = list(dict.fromkeys((*all_names, *names)))
    of_place = looks(len(order), theme)
    return [of_place[order.index(name)] for name in names]


def render_both(draw: Callable[[Theme], Figure]) -> tuple[bytes, bytes]:
    """Return what ``draw`` makes as PNG, for light pages and for dark ones.

    They have 150 dots per inch, and 4,000 at most on a side.
    """
    light, dark = (_png(draw, theme) for theme in (LIGHT, DARK))
    return light, dark


def _png(draw: Callable[[Theme], Figure], theme: Theme) -> bytes:
    stream = io.BytesIO()
    with use(theme):
        figure = draw(theme)
        dpi = min(_DPI, _MOST_PX / max(figure.get_size_inches()))
        # Without the version of matplotlib equal plots are equal files.
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def run_name(name: str, length: int = _RUN_NAME_LENGTH) -> str:
    """Return a run's name, cut in the middle: runs differ at the start or at the end.

    >>> run_name("mask_rcnn_r50_fashion_seed_1", 16)
    'mask_rcn…_seed_1'
    """
    name = printable(name, len(name))
    if len(name) <= length:
        return name
    kept = length - 1
    return f"{name[: kept - kept // 2]}…{name[len(name) - kept // 2 :]}"


def legend(
    figure: Figure,
    names: Sequence[str],
    marks: Sequence[Look],
    ends: Sequence[str] = (),
    **line: Any,
) -> None:
    """Name runs above a figure, in as many columns as there is room for.

    Args:
        figure: with constrained layout.
        names: the runs.
        marks: the look of each.
        ends: what to write after each name.
        **line: as for matplotlib's ``Line2D``.
    """
    if not names:
        return
    labels = [run_name(name) + end for name, end in zip(names, ends or [""] * len(names),
                                                        strict=True)]  # fmt: skip
    handles = [
        Line2D([], [], color=m.colour, linestyle=m.dashes, marker=m.marker, markersize=5, **line)
        for m in marks
    ]
    figure.legend(
        handles, labels, loc="outside upper left", ncols=_columns(labels, figure.get_figwidth()),
        handlelength=2.2, columnspacing=1.8, borderaxespad=0.2,
    )  # fmt: skip


def _columns(labels: Sequence[str], width_in: float) -> int:
    """Return in how many columns names fit, filled one after another as matplotlib does."""
    lengths = [len(label) for label in labels]
    for columns in range(len(labels), 1, -1):
        parts = np.array_split(lengths, columns)
        if sum(_LETTER_IN * part.max() + _MARK_IN for part in parts) <= width_in:
            return columns
    return 1


def apart(figure: Figure) -> None:
    """Keep the numbers of two axes side by side from touching."""
    engine: Any = figure.get_layout_engine()
    engine.set(wspace=0.06)


def say(axes: Axes, text: str, theme: Theme) -> None:
    """Write ``text`` where a plot would be that there is no data for."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center",
              color=theme.faint, wrap=True)  # fmt: skip


def percent_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Show values of 0..1 as AP is spoken of, in percent, without the sign."""
    span = max(high - low, 0.02)
    ends = (max(0.0, low - 0.08 * span), min(1.02, high + 0.08 * span))
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(*ends)
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.6g}"))


def quiet_y(axes: Axes, theme: Theme) -> None:
    """Draw a y axis of numbers: lines across, no spine, faint numbers."""
    axes.grid(axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", labelcolor=theme.faint)


def finite(value: Any) -> float:
    """Return a number, NaN for None and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return float("nan")
    return float(value) if np.isfinite(value) else float("nan")
