"""The points of a grid, in W&B's order: the last parameter changes fastest."""

from __future__ import annotations

import itertools
import math
from typing import Any

from fashion_mmdet.core.errors import ConfigError

from .sweep_file import Sweep

_MOST = 100_000


def grid_size(sweep: Sweep) -> int:
    """Return how many points the grid has.

    Raises:
        ConfigError: for more than anybody trains.
    """
    size = math.prod(len(one.grid() or ()) for one in sweep.parameters)
    if size > _MOST:
        raise ConfigError(
            f"{sweep.file}: a grid of at most {_MOST:,} trials expected, got {size:,}. Use the "
            "method random or bayes."
        )
    return size


def grid_points(sweep: Sweep, count: int) -> list[dict[str, Any]]:
    """Return the first ``count`` points: parameter -> what stands for its value in Optuna."""
    searched = sweep.searched()
    every = itertools.product(*((one.grid() or ()) for one in searched))
    return [
        {one.key: one.raw(value) for one, value in zip(searched, values, strict=True)}
        for values in itertools.islice(every, count)
    ]
