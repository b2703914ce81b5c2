"""Intervals and paired comparisons of AP, by the bootstrap over images.

Images are drawn with replacement, as many as there are, and AP is computed again for each draw
(Efron, 1979; the middle 95 % of the draws are the interval). That is the spread that other test
photos of the same kind would give to the figures of *these* models. It is silent on the spread
between training runs; for that train several seeds.

A label that a draw has no instance of is left out of that draw's mean, as COCO leaves out a label
that a set has no instance of. How often such an interval holds the true value is measured by
``benchmarks/bootstrap_coverage.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .curves import average_precisions, mean_ap
from .errors import AnnotationError
from .matching import Matches

#: How many sets of images are drawn.
N_DRAWS = 1000
#: The share of draws that an interval holds.
LEVEL = 0.95
Verdict = Literal["better", "worse", "not distinguishable"]

#: What is measured of (B, labels, T) AP: one number for each of B samples.
Figure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A figure on the images as they are, and the ends of its interval; in 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """The second model's figure minus the first's, on the same images."""

    @property
    def verdict(self) -> Verdict:
        """What is to be said of the second model, with this data."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable"


@dataclass(frozen=True)
class Draws:
    """A figure on the images as they are, and on each draw of images; in 0..1.

    Attributes:
        value: on the images as they are.
        draws: (B,) float64; NaN for a draw that has nothing to measure.
    """

    value: float
    draws: np.ndarray

    @property
    def interval(self) -> Interval:
        """The value, and the ends of the middle draws."""
        return Interval(self.value, *_middle(self.draws))

    def minus(self, other: Draws) -> Difference:
        """Return the difference from another model's, measured on the same draws of images."""
        return Difference(self.value - other.value, *_middle(self.draws - other.draws))


def mean_draws(of_models: Sequence[Draws]) -> Draws:
    """Return the mean over models, e.g. the seeds of a recipe, on the same draws of images."""
    return Draws(
        float(np.mean([one.value for one in of_models])),
        np.mean([one.draws for one in of_models], axis=0),
    )


def draw_weights(n_images: int, n_draws: int = N_DRAWS, seed: int = 0) -> np.ndarray:
    """Return (n_draws, n_images) float64: how often each image is in each draw."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_draws).astype(float)


def ap_interval(
    matches: Matches,
    n_labels: int,
    figure: Figure = mean_ap,
    area: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Interval:
    """Return AP with its interval.

    Args:
        matches: of one model, from :func:`.matching.match`.
        n_labels: how many labels there are.
        figure: what is measured; the mean over labels and thresholds unless given.
        area: a size range of :data:`.matching.AREAS`.
        n_draws: draws of images.
        seed: of the draws.

    Raises:
        AnnotationError: for images without an instance to measure.
    """
    return ap_draws(matches, n_labels, figure, area, n_draws, seed).interval


def ap_draws(
    matches: Matches,
    n_labels: int,
    figure: Figure = mean_ap,
    area: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Draws:
    """Return AP on each draw; the same seed draws the same images, whatever the model.

    Arguments and errors as of :func:`ap_interval`.
    """
    return draws_of(matches, n_labels, {"": figure}, area, n_draws, seed)[""]


def draws_of(
    matches: Matches,
    n_labels: int,
    figures: Mapping[str, Figure],
    area: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Draws]:
    """Return several figures on the same draws, in the time of one; else as :func:`ap_draws`."""
    as_they_are = average_precisions(matches, n_labels, area)
    values = {name: float(figure(as_they_are)[0]) for name, figure in figures.items()}
    if np.isnan(list(values.values())).any():
        raise AnnotationError(
            f"interval: images with an instance to measure expected, got "
            f"{matches.image_ids.size} images without one (size: {area}). Take another figure."
        )
    weights_BI = draw_weights(matches.image_ids.size, n_draws, seed)
    drawn = average_precisions(matches, n_labels, area, weights_BI)
    return {name: Draws(values[name], figure(drawn)) for name, figure in figures.items()}


def ap_difference(
    first: Matches,
    second: Matches,
    n_labels: int,
    figure: Figure = mean_ap,
    area: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Difference:
    """Return the second model's AP minus the first's, with its interval.

    Both are measured on the same draws, so that photos which are hard for both cancel out: two
    models whose own intervals overlap may still be told apart.

    Raises:
        AnnotationError: for models that were not scored on the same images and instances.
    """
    require_same_truth(first, second)
    old = ap_draws(first, n_labels, figure, area, n_draws, seed)
    return ap_draws(second, n_labels, figure, area, n_draws, seed).minus(old)


def require_same_truth(first: Matches, second: Matches) -> None:
    """Refuse to compare models that were not scored on the same images and instances.

    Raises:
        AnnotationError: naming what differs.
    """
    for name, what in (
        ("image_ids", "images"),
        ("gt_image", "instances"),
        ("gt_label", "labels of the instances"),
        ("gt_void_GA", "sizes of the instances"),
    ):
        one, other = getattr(first, name), getattr(second, name)
        if not np.array_equal(one, other):
            raise AnnotationError(
                f"comparison: the same {what} on both sides expected, got {len(one)} and "
                f"{len(other)}{'' if len(one) != len(other) else ' that differ'}. Score both "
                "models on one annotation file."
            )


def _middle(draws: np.ndarray) -> tuple[float, float]:
    """Return the ends of the middle draws; those that have nothing to measure are left out."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
