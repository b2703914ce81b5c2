"""The thinned curve of a training's losses: its means are those of all iterations."""

from __future__ import annotations

import numpy as np
import pytest

from fashion_mmdet.core.loss_curve import MOST_POINTS, LossPoint, add_point


@pytest.mark.parametrize("n", [1, 2, MOST_POINTS, MOST_POINTS + 1, 1003, 5000])
def test_curve_of_many_iterations_keeps_their_mean_in_few_points(n: int) -> None:
    losses = np.random.default_rng(n).random(n)
    points: tuple[LossPoint, ...] = ()
    for i, loss in enumerate(losses, start=1):
        points = add_point(points, LossPoint(i, 1, {"loss": float(loss)}))
    assert len(points) <= MOST_POINTS and sum(p.count for p in points) == n
    assert len(points) >= min(n, MOST_POINTS // 2)
    start = 0
    for point in points:
        assert point.iter == start + point.count
        assert point.losses["loss"] == pytest.approx(losses[start : point.iter].mean())
        start = point.iter
    assert len({p.count for p in points[:-1]}) <= 1, "equal widths, the last perhaps unfinished"


def test_curve_leaves_out_a_loss_that_one_of_its_iterations_lacks() -> None:
    points = add_point([LossPoint(2, 2, {"loss": 1.0, "x": 1.0})], LossPoint(3, 1, {"loss": 5.0}))
    points = add_point(points, LossPoint(4, 1, {"loss": 7.0, "x": 2.0}))
    assert points == (LossPoint(2, 2, {"loss": 1.0, "x": 1.0}), LossPoint(4, 2, {"loss": 6.0}))
