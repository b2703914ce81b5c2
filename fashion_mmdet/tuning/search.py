"""The search: one rule after the other, and none that only flatters itself.

Coordinate descent over small grids, twice around. The best of many points on some photos is too
good for others, so a rule has to show that choosing it pays: in five folds, its value is chosen on
four and counted on the fifth. What gains no more than a hair there is left at "no rule".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fashion_mmdet.core.operating_point import OperatingPoint

from .halves import folds_of
from .measures import Measure, Outcome
from .photos import Photos

#: Least gain for which a rule is written.
HAIR = 0.001
#: Fewer instances than this give a class no score threshold of its own.
LEAST_INSTANCES = 10
N_FOLDS = 5
_ROUNDS = 2
#: rule -> the values that are tried; the first stands for "no rule".
GRIDS: dict[str, tuple[Any, ...]] = {
    "nms_iou": (None, 0.3, 0.4, 0.5, 0.6, 0.7),
    "nms_iou_any": (None, 0.5, 0.6, 0.7, 0.8, 0.9),
    "min_area": (0.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0),
    "max_count": (100, 3, 5, 8, 10, 15, 20, 30),
    "mask_threshold": (0.5, 0.3, 0.35, 0.4, 0.45, 0.55, 0.6),
}


@dataclass(frozen=True)
class Tried:
    """What became of a rule, the last time that it was looked at.

    Attributes:
        best: its best value on the photos; None where no rule is as good.
        gain: over no rule there, 0..1, which flatters.
        gain_in_folds: the same, chosen on other photos than counted on.
        is_taken: whether it is in the point.
    """

    best: Any
    gain: float
    gain_in_folds: float
    is_taken: bool


@dataclass(frozen=True)
class Chosen:
    """A point, and for each rule (a class's own score as ``score_of <class>``) what it promised."""

    point: OperatingPoint
    tried: dict[str, Tried]


def search(measure: Measure, photos: Photos, seed: int) -> Chosen:
    """Return the point that is best on ``photos``, without rules that do not pay.

    Args:
        measure: the figure to raise.
        photos: to choose on.
        seed: of the folds.
    """
    return _Search(measure, photos, seed).run()


@dataclass(frozen=True)
class _Pick:
    """One of several outcomes, and a score threshold of it."""

    outcome: int
    score: int
    value: float


class _Search:
    def __init__(self, measure: Measure, photos: Photos, seed: int) -> None:
        self._measure, self._photos = measure, photos
        self._fold_I = folds_of(photos, N_FOLDS, seed)
        self._tried: dict[str, Tried] = {}
        self._point = replace(measure.reference, mask_threshold=photos.own_threshold)

    def run(self) -> Chosen:
        at_first = self._measure.table(self._photos, self._point)
        pick = self._best([at_first], self._every)
        self._point = replace(self._point, score=self._score(pick))
        for _ in range(_ROUNDS):
            before = self._point
            for rule in self._measure.rules:
                if rule == "score_of":
                    self._choose_class_scores()
                elif rule != "mask_threshold" or self._photos.has_grids:
                    self._choose(rule)
            if self._point == before:
                break
        return Chosen(self._point, self._tried)

    @property
    def _every(self) -> np.ndarray:
        return np.ones(self._fold_I.size, dtype=bool)

    def _score(self, pick: _Pick) -> float:
        return float(self._measure.scores[pick.score])

    def _choose(self, rule: str) -> None:
        """Set ``rule``, and the global score with it, anew."""
        nothing = self._photos.own_threshold if rule == "mask_threshold" else GRIDS[rule][0]
        values = [nothing, *(v for v in GRIDS[rule] if v != nothing)]
        outcomes = [
            self._measure.table(self._photos, replace(self._point, **{rule: value}))
            for value in values
        ]
        plain = self._best(outcomes[:1], self._every)
        best = self._best(outcomes, self._every)
        in_folds = 0.0
        if best.outcome and best.value > plain.value + HAIR:
            in_folds = self._in_folds(outcomes) - self._in_folds(outcomes[:1])
        taken = best if in_folds > HAIR else plain
        self._tried[rule] = Tried(
            values[best.outcome] if best.outcome else None, best.value - plain.value, in_folds,
            taken is best and best.outcome > 0,
        )  # fmt: skip
        score = self._score(taken)
        self._point = replace(self._point, score=score, **{rule: values[taken.outcome]})

    def _choose_class_scores(self) -> None:
        """Give classes a score of their own, those of most instances first."""
        classes = self._photos.evidence.classes
        count_K = np.bincount(self._photos.instances(), minlength=len(classes))
        for label in np.argsort(-count_K, kind="stable").tolist():
            if count_K[label] < LEAST_INSTANCES:
                break
            name = classes[label]
            others = {n: s for n, s in self._point.score_of.items() if n != name}
            shared = replace(self._point, score_of=others)
            own = self._measure.table(self._photos, shared, label)
            at_I = np.full(self._fold_I.size, self._position(shared.score))
            plain = float(own.at(at_I).values(self._every)[0])
            best = self._best([own], self._every)
            in_folds = 0.0
            if best.value > plain + HAIR:
                in_folds = self._in_folds([own]) - plain
            is_taken = in_folds > HAIR
            self._tried[f"score_of {name}"] = Tried(
                self._score(best) if best.value > plain else None, best.value - plain, in_folds,
                is_taken,
            )  # fmt: skip
            score_of = {**others, name: self._score(best)} if is_taken else others
            self._point = replace(self._point, score_of=score_of)

    def _position(self, score: float) -> int:
        return int(np.abs(self._measure.scores - score).argmin())

    def _best(self, outcomes: Sequence[Outcome], which_I: np.ndarray) -> _Pick:
        """Return the best outcome and score, of equals the first and the score nearest to now."""
        picks = []
        for n, outcome in enumerate(outcomes):
            value_J = outcome.values(which_I)
            equal = np.flatnonzero(value_J >= value_J.max() - 1e-12)
            at = equal[np.abs(equal - self._position(self._point.score)).argmin()]
            picks.append(_Pick(n, int(at), float(value_J[at])))
        return max(picks, key=lambda pick: pick.value)

    def _in_folds(self, outcomes: Sequence[Outcome]) -> float:
        """Return the figure with each photo counted at what the other folds chose."""
        picks = [self._best(outcomes, self._fold_I != fold) for fold in range(N_FOLDS)]
        fixed = [
            outcomes[pick.outcome].at(np.full(self._fold_I.size, pick.score)) for pick in picks
        ]
        joined = fixed[0].joined(fixed, self._fold_I)
        return float(joined.values(self._every)[0])
