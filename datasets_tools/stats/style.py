"""How the plots look: two themes, and the few marks that all of them share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fashion_mmdet.core import ontology

_NAME_LENGTH = 30


@dataclass(frozen=True)
class Theme:
    """Colours of one look; ``map_name`` is matplotlib's colour map for heat maps."""

    ground: str
    ink: str
    faint: str
    line: str
    map_name: str
    is_dark: bool


LIGHT = Theme("#ffffff", "#1f2328", "#6b7280", "#e5e7eb", "Blues", False)
DARK = Theme("#16191f", "#e6e8eb", "#9aa3af", "#2c323b", "cividis", True)


def palette_colour(name: str) -> tuple[float, float, float]:
    """Return the colour of a category of the ontology as matplotlib takes it, 0 to 1."""
    red, green, blue = ontology.PALETTE[ontology.category(name).id]
    return red / 255, green / 255, blue / 255


#: What is not about one class: a blue for plain marks, an orange for what to look out for.
PLAIN, ALERT = palette_colour("coat"), palette_colour("shirt, blouse")


@contextlib.contextmanager
def use(theme: Theme) -> Iterator[None]:
    """Draw with ``theme``; texts are taken as they are, a ``$`` in a name is no formula."""
    settings: Any = {
        "text.parse_math": False,
        "font.size": 9.5,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.titlecolor": theme.ink,
        "axes.labelcolor": theme.faint,
        "axes.facecolor": theme.ground,
        "axes.edgecolor": theme.line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.facecolor": theme.ground,
        "grid.color": theme.line,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "text.color": theme.ink,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.faint,
        "ytick.labelcolor": theme.ink,
        "xtick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "savefig.dpi": 150,
    }
    with matplotlib.rc_context(settings):
        yield


def figure(width_in: float, height_in: float, columns: int = 1, **options) -> tuple[Figure, list]:
    """Return a figure that no pyplot state knows (so it is freed), and its axes."""
    made = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = made.subplots(1, columns, squeeze=False, **options)[0]
    return made, list(axes)


def short(name: str) -> str:
    """Return a class name that fits beside an axis."""
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1].rstrip(' ,')}…"


def name_rows(axes: Axes, names: list[str]) -> None:
    """Label horizontal rows, the first on top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
