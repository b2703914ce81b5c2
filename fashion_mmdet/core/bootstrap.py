"""Intervals and paired comparisons of AP, by the bootstrap over images.

Images are drawn with replacement, as many as there are, and AP is computed again for each draw
(Efron, 1979). The spread of the draws is the spread that other test photos of the same kind would
give to the figures of *these* models. It is silent on the spread between training runs; for that
train several seeds.

The plain interval, the middle 95 % of the draws, is wrong for sets with rare labels, which is what
fashion sets are: on made sets of 150 images with 26 labels, down to one instance, it held the
true AP 84 times in 100 (``benchmarks/bootstrap_coverage.py``). Two things are mended:

* A draw that misses a label's only image has that label left out of its mean, as COCO leaves it
  out; rare labels have low AP, so draws lie above the figure. They are moved back to it.
* A label that one image shows is the same in every draw, which looks like certainty. Labels of
  few images take their variance from the common ones: that of a mean over n images is c / n, and
  c is measured where there are images enough.

Sets of a few images have no interval at all: it is all that is possible, and nothing is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .curves import average_precisions
from .errors import AnnotationError
from .matching import AREAS, Matches

#: How many sets of images are drawn.
N_DRAWS = 1000
#: The share of draws that an interval holds.
LEVEL = 0.95
#: Fewer images with an instance than this have no interval.
LEAST_IMAGES = 20
#: A label of fewer images takes its variance from the labels of more.
FEW_IMAGES = 5
_LEAST_COMMON = 3  # labels that the variance of others is taken from, however few images they have
_NORMAL = 1.959964  # half the width of the middle 95 % of a normal distribution of deviation 1
Verdict = Literal["better", "worse", "not distinguishable"]

#: Figure -> the IoU thresholds of :data:`.matching.IOU_THRESHOLDS` that it is the mean over.
FIGURES: dict[str, slice] = {"mAP": slice(None), "mAP_50": slice(0, 1), "mAP_75": slice(5, 6)}


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
    """A figure by label, on the images as they are and on each draw of images; in 0..1.

    Attributes:
        value_K: (K,) float64; NaN for a label that the images have no instance of.
        draws_BK: (B, K) float64; NaN for a label that a draw has no instance of.
        images_K: (K,) int64, how many images show the label.
        n_images: how many images show any label.
    """

    value_K: np.ndarray
    draws_BK: np.ndarray
    images_K: np.ndarray
    n_images: int

    @property
    def value(self) -> float:
        """The mean over labels, on the images as they are."""
        return float(np.nanmean(self.value_K))

    @property
    def interval(self) -> Interval:
        """The value with its interval, which stays within 0..1."""
        low, high = _ends(self)
        return Interval(self.value, max(low, 0.0), min(high, 1.0))

    @property
    def has_interval(self) -> bool:
        """Whether there are images enough for one; if not it is all that is possible."""
        return self.n_images >= LEAST_IMAGES

    def minus(self, other: Draws) -> Difference:
        """Return the difference from another model's, measured on the same draws of images."""
        apart = replace(
            self,
            value_K=self.value_K - other.value_K,
            draws_BK=self.draws_BK - other.draws_BK,
        )
        low, high = _ends(apart)
        return Difference(apart.value, max(low, -1.0), min(high, 1.0))


def mean_draws(of_models: Sequence[Draws]) -> Draws:
    """Return the mean over models, e.g. the seeds of a recipe, on the same draws of images."""
    return replace(
        of_models[0],
        value_K=np.mean([one.value_K for one in of_models], axis=0),
        draws_BK=np.mean([one.draws_BK for one in of_models], axis=0),
    )


def draw_weights(n_images: int, n_draws: int = N_DRAWS, seed: int = 0) -> np.ndarray:
    """Return (n_draws, n_images) float64: how often each image is in each draw."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_draws).astype(float)


def draws_of(
    matches: Matches,
    n_labels: int,
    area: str = "all",
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Draws]:
    """Return every figure of :data:`FIGURES` on each draw of images.

    The same seed draws the same images, whatever the model.

    Args:
        matches: of one model, from :func:`.matching.match`.
        n_labels: how many labels there are.
        area: a size range of :data:`.matching.AREAS`.
        n_draws: draws of images.
        seed: of the draws.

    Raises:
        AnnotationError: for images without an instance to measure.
    """
    counts = ~matches.gt_void_GA[:, list(AREAS).index(area)]
    # (label, image) of each image that shows the label
    shown = np.unique(np.stack([matches.gt_label[counts], matches.gt_image[counts]]), axis=1)
    if not shown.size:
        raise AnnotationError(
            f"interval: images with an instance to measure expected, got "
            f"{matches.image_ids.size} images without one (size: {area}). Take another figure."
        )
    images_K = np.bincount(shown[0], minlength=n_labels)
    n_images = int(np.unique(shown[1]).size)
    as_they_are_KT = average_precisions(matches, n_labels, area)[0]
    weights_BI = draw_weights(matches.image_ids.size, n_draws, seed)
    drawn_BKT = average_precisions(matches, n_labels, area, weights_BI)
    return {
        name: Draws(
            as_they_are_KT[:, of].mean(axis=1), drawn_BKT[:, :, of].mean(axis=2), images_K, n_images
        )
        for name, of in FIGURES.items()
    }


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


def _ends(of: Draws) -> tuple[float, float]:
    """Return the ends of the interval; the rule is in the module's docstring."""
    if not of.has_interval:
        return -np.inf, np.inf
    there = of.images_K > 0
    draws_BK, images_K = of.draws_BK[:, there], of.images_K[there]
    mean_B = np.nanmean(draws_BK, axis=1)
    # Two passes, so that equal numbers have no variance at all.
    known_BK = ~np.isnan(draws_BK)
    center_K = np.nansum(draws_BK, axis=0) / np.maximum(known_BK.sum(axis=0), 1)
    apart_BK = np.where(known_BK, draws_BK - center_K, 0.0)
    variance_K = (apart_BK**2).sum(axis=0) / np.maximum(known_BK.sum(axis=0), 1)
    enough = np.sort(images_K)[::-1][:_LEAST_COMMON][-1]
    common = images_K >= min(FEW_IMAGES, enough)
    of_one_image = float(np.mean(images_K[common] * variance_K[common]))
    lacking_K = np.where(common, 0.0, np.maximum(0.0, of_one_image / images_K - variance_K))
    added = float(lacking_K.sum()) / len(images_K) ** 2
    spread_B = mean_B - mean_B.mean()
    measured = float(np.mean(spread_B**2))
    if measured == 0:
        reach = _NORMAL * np.sqrt(added)
        return of.value - reach, of.value + reach
    low, high = np.quantile(spread_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wider = np.sqrt(1 + added / measured)
    return float(of.value + wider * low), float(of.value + wider * high)

