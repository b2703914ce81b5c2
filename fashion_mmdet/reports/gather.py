"""Runs of one recipe gathered, measured on the same draws of photos, and compared in pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from fashion_mmdet.core.bootstrap import (
    N_DRAWS,
    Difference,
    Draws,
    Interval,
    draws_of,
    mean_draws,
    require_same_truth,
)
from fashion_mmdet.core.errors import FashionError

from .runs import Run
from .settings import are_same, differing


@dataclass(frozen=True)
class Recipe:
    """Runs that differ in their seed alone, or a single run.

    Attributes:
        name: of its first run.
        runs: in the order given.
        draws: ``(kind, figure)`` -> the mean over the runs, on the images and on each draw.
        of_run: the same of each run.
    """

    name: str
    runs: tuple[Run, ...]
    draws: Mapping[tuple[str, str], Draws]
    of_run: tuple[Mapping[tuple[str, str], Draws], ...]

    def interval(self, kind: str, figure: str = "mAP") -> Interval:
        """Return a figure with its interval over images."""
        return self.draws[kind, figure].interval

    @property
    def title(self) -> str:
        """The names of its runs."""
        return ", ".join(run.name for run in self.runs)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, each another; () where one is not known or stands twice."""
        seeds = [run.record.seed for run in self.runs]
        known = {seed for seed in seeds if seed is not None}
        return tuple(sorted(known)) if len(known) == len(seeds) else ()

    def spread(self, kind: str, figure: str = "mAP") -> float | None:
        """Return the standard deviation between seeds; None without two seeds or more."""
        values = [one[kind, figure].value for one in self.of_run]
        return float(np.std(values, ddof=1)) if len(self.seeds) > 1 else None

    def mean_of(self, of_run: Callable[[Run], float | None]) -> float | None:
        """Return the mean over runs of what is known of them; None where nothing is."""
        values = [value for run in self.runs if (value := of_run(run)) is not None]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Pair:
    """Two recipes, or two seeds of one.

    Attributes:
        first, second: their names.
        kind: ``"bbox"`` or ``"segm"``.
        difference: the second's AP minus the first's, with its paired interval.
        seed_noise: standard deviation of the difference from seeds alone, as far as the recipes of
            the report tell; None where none of them has two.
        freedom: on how many seeds, less one a recipe, that rests.
    """

    first: str
    second: str
    kind: str
    difference: Difference
    seed_noise: float | None
    freedom: int = 0

    @property
    def verdict(self) -> str:
        """What is to be said of the second, with this data."""
        return self.difference.verdict

    @property
    def is_within_seeds(self) -> bool | None:
        """Whether other seeds might turn it: it lies in the 95 % of a t test. None: not known.

        Two seeds tell little: with one degree of freedom that is 12.7 deviations.
        """
        if self.seed_noise is None:
            return None
        reach = float(stdtrit(self.freedom, 0.975)) * self.seed_noise
        return bool(abs(self.difference.value) < reach)


def gather(runs: Sequence[Run], n_draws: int = N_DRAWS, seed: int = 0) -> list[Recipe]:
    """Gather the seeds of one recipe, and measure every run on the same draws of images.

    Args:
        runs: comparable ones.
        n_draws: of images.
        seed: of the draws.

    Raises:
        FashionError: for one checkpoint given twice.
    """
    kinds = kinds_of(runs)
    for run in runs[1:]:
        for kind in kinds:
            require_same_truth(runs[0].evidence.matches[kind], run.evidence.matches[kind])
    columns = list(differing(runs).values())
    members: list[list[int]] = []
    for n in range(len(runs)):
        same = (m for m in members if all(are_same(c[m[0]], c[n]) for c in columns))
        of_recipe = next(same, None)
        if of_recipe is None:
            members.append([n])
        else:
            of_recipe.append(n)
    return [_recipe(tuple(runs[n] for n in of_one), kinds, n_draws, seed) for of_one in members]


def _refuse_repeats(runs: Sequence[Run]) -> None:
    """Refuse one set of weights under two names, which would pass for two seeds."""
    seen: dict[str, Run] = {}
    for run in runs:
        weights = run.record.tests[-1].checkpoint_sha256 if run.split == "test" else None
        if weights is not None and (same := seen.setdefault(weights, run)) is not run:
            raise FashionError(
                f"{run.path}: other weights than those of {same.path} expected, got the same "
                f"checkpoint (sha256 {weights[:12]}) under the same settings. Leave one out."
            )


def best_of(recipes: Sequence[Recipe], kind: str) -> Recipe:
    """Return the recipe with the highest AP, of equals the first."""
    return max(recipes, key=lambda recipe: recipe.draws[kind, "mAP"].value)


def kinds_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return what all of the runs were scored by, boxes first."""
    return tuple(k for k in ("bbox", "segm") if all(k in run.evidence.matches for run in runs))


def _recipe(runs: tuple[Run, ...], kinds: Sequence[str], n_draws: int, seed: int) -> Recipe:
    _refuse_repeats(runs)
    of_run: list[dict[tuple[str, str], Draws]] = []
    for run in runs:
        measured: dict[tuple[str, str], Draws] = {}
        for kind in kinds:
            n_labels = len(run.evidence.classes)
            found = draws_of(run.evidence.matches[kind], n_labels, n_draws=n_draws, seed=seed)
            measured.update({(kind, name): draws for name, draws in found.items()})
        of_run.append(measured)
    draws = {key: mean_draws([one[key] for one in of_run]) for key in of_run[0]}
    return Recipe(runs[0].name, runs, draws, tuple(of_run))


def pairs_of(recipes: Sequence[Recipe], kind: str) -> list[Pair]:
    """Compare each recipe with each later one."""
    noise = _seed_variance(recipes, kind)
    out = []
    for first, second in itertools.combinations(recipes, 2):
        difference = second.draws[kind, "mAP"].minus(first.draws[kind, "mAP"])
        sd = None
        if noise is not None:
            sd = float(np.sqrt(noise[0] * (1 / len(first.runs) + 1 / len(second.runs))))
        freedom = 0 if noise is None else noise[1]
        out.append(Pair(first.name, second.name, kind, difference, sd, freedom))
    return out


def seed_pairs(recipes: Sequence[Recipe], kind: str) -> list[Pair]:
    """Compare the seeds of each recipe with each other."""
    out = []
    for recipe in recipes:
        of_run = zip(recipe.runs, recipe.of_run, strict=True)
        for (first, one), (second, other) in itertools.combinations(of_run, 2):
            difference = other[kind, "mAP"].minus(one[kind, "mAP"])
            out.append(Pair(first.name, second.name, kind, difference, None))
    return out


def _seed_variance(recipes: Sequence[Recipe], kind: str) -> tuple[float, int] | None:
    """Return the variance between seeds, pooled over the recipes with several, and its freedom."""
    squares, freedom = 0.0, 0
    for recipe in recipes:
        if recipe.seeds:
            values = np.array([one[kind, "mAP"].value for one in recipe.of_run])
            squares += float(np.sum((values - values.mean()) ** 2))
            freedom += len(values) - 1
    return (squares / freedom, freedom) if freedom else None


def group_values(of_label: Mapping[str, float], groups: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean AP of the classes of each super-category."""
    members: dict[str, list[float]] = {}
    for name, value in of_label.items():
        if groups.get(name) is not None:
            members.setdefault(groups[name], []).append(value)
    return {group: float(np.mean(values)) for group, values in members.items()}
