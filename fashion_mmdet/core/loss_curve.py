"""A training's losses, thinned while it runs: some hundred points, however long it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Most points of a curve; then neighbours are joined and each point is of twice as many iterations.
MOST_POINTS = 200


@dataclass(frozen=True)
class LossPoint:
    """Losses over some iterations.

    Attributes:
        iter: iterations done at its end.
        count: iterations that it is the mean of.
        losses: name -> mean; a loss that was not finite in one of them is left out.
    """

    iter: int
    count: int
    losses: dict[str, float]


def add_point(points: Iterable[LossPoint], point: LossPoint) -> tuple[LossPoint, ...]:
    """Return ``points`` and ``point``, in :data:`MOST_POINTS` at most.

    The newest points are of ``width`` iterations each, the width of the first; an unfinished last
    one is filled up first.

    >>> one = LossPoint(1, 1, {"loss": 4.0})
    >>> add_point([one], LossPoint(2, 1, {"loss": 2.0}))[-1].losses
    {'loss': 2.0}
    """
    kept = [*points]
    width = kept[0].count if kept else point.count
    if kept and kept[-1].count + point.count <= width:
        kept[-1] = _joined(kept[-1], point)
    else:
        kept.append(point)
    if len(kept) > MOST_POINTS:
        last = [kept[-1]] if len(kept) % 2 else []
        pairs = zip(kept[0::2], kept[1::2], strict=False)
        kept = [*(_joined(one, other) for one, other in pairs), *last]
    return tuple(kept)


def _joined(one: LossPoint, other: LossPoint) -> LossPoint:
    count = one.count + other.count
    losses: Mapping[str, float] = {
        name: (one.losses[name] * one.count + other.losses[name] * other.count) / count
        for name in one.losses
        if name in other.losses
    }
    return LossPoint(other.iter, count, dict(losses))
