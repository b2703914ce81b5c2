"""How often a 95 % interval of AP holds the true value, and how often a paired verdict is wrong.

    python benchmarks/bootstrap_coverage.py

A population of made images, each with instances of some labels, detections that hit them at some
thresholds, false ones, and a difficulty of its own that moves all of them together. Two such: one
of 8 labels, the rarest a tenth as common as the first, and one as fashion sets are, of 26 labels
down to a 250th, rarer ones harder. Test sets are drawn from it, and for each:

* does the interval of the first model hold the true figure, the mean over all test sets of that
  size? (95 % is due; beside it the plain bootstrap's middle 95 % of the draws)
* is a model told from its equal? (a second model of the same make: 5 % is due at most)
* does the interval of the difference from a better model hold the true difference? (95 %)
* is the better model told? (that is the power, and has no due)

Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_mmdet.core.bootstrap import Draws, draws_of
from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.matching import AREAS, IOU_THRESHOLDS, Matches


@dataclass(frozen=True)
class Kind:
    """A kind of population.

    Attributes:
        name: in the table.
        n_labels: how many labels.
        rarest: how common the last label is, the first being 1.
        per_image: instances of an image, on average.
        harder: by how much each label is harder than the one before.
    """

    name: str
    n_labels: int
    rarest: float
    per_image: float
    harder: float


KINDS = (
    Kind("8 labels, 10 : 1", 8, 0.1, 3.0, 0.0),
    Kind("26 labels, 250 : 1", 26, 0.004, 5.5, 0.1),
)


def population(rng: np.random.Generator, n_images: int, kind: Kind) -> dict[str, np.ndarray]:
    """Return instances: image, label and difficulty."""
    share = np.geomspace(1.0, kind.rarest, kind.n_labels)
    counts = rng.poisson(kind.per_image * share / share.sum(), size=(n_images, kind.n_labels))
    image, label = (np.repeat(v, counts.ravel()) for v in np.indices(counts.shape).reshape(2, -1))
    hard = rng.normal(0, 0.7, n_images)[image] + rng.normal(0, 0.7, image.size)
    return {"image": image, "label": label, "hard": hard + kind.harder * label}


def model(
    rng: np.random.Generator,
    truth: dict[str, np.ndarray],
    n_images: int,
    skill: float,
    n_labels: int,
) -> Matches:
    """Return what a model of this skill makes of the population."""
    n = truth["image"].size
    margin = skill - truth["hard"] + rng.normal(0, 1, n)
    best = np.clip(np.floor(2 * margin + 5), 0, IOU_THRESHOLDS.size).astype(int)  # thresholds hit
    n_false = rng.poisson(1.5, n_images)
    false_image = np.repeat(np.arange(n_images), n_false)
    image = np.concatenate([truth["image"], false_image])
    label = np.concatenate([truth["label"], rng.integers(0, n_labels, false_image.size)])
    score = np.concatenate([margin, rng.normal(skill - 1.5, 1, false_image.size)])
    bits = np.concatenate([(1 << best) - 1, np.zeros(false_image.size, int)]).astype(np.uint16)
    order = np.lexsort((-score, label, image))
    truth_order = np.lexsort((truth["label"], truth["image"]))
    areas = len(AREAS)
    return Matches(
        image_ids=np.arange(n_images),
        det_image=image[order].astype(np.int32),
        det_label=label[order].astype(np.int16),
        det_rank=np.zeros(order.size, np.int16),
        det_score=score[order],
        hit_DA=np.repeat(bits[order, None], areas, axis=1),
        void_DA=np.zeros((order.size, areas), np.uint16),
        gt_image=truth["image"][truth_order].astype(np.int32),
        gt_label=truth["label"][truth_order].astype(np.int16),
        gt_void_GA=np.zeros((n, areas), bool),
    )


def part(whole: Matches, images: np.ndarray) -> Matches:
    """Return the matches of some of the images."""
    place = np.full(whole.image_ids.size, -1)
    place[images] = np.arange(images.size)
    found, there = place[whole.det_image] >= 0, place[whole.gt_image] >= 0
    return Matches(
        image_ids=images,
        det_image=place[whole.det_image[found]],
        det_label=whole.det_label[found],
        det_rank=whole.det_rank[found],
        det_score=whole.det_score[found],
        hit_DA=whole.hit_DA[found],
        void_DA=whole.void_DA[found],
        gt_image=place[whole.gt_image[there]],
        gt_label=whole.gt_label[there],
        gt_void_GA=whole.gt_void_GA[there],
    )


def plain(of: Draws) -> tuple[float, float]:
    """Return the middle 95 % of the draws' means: the bootstrap as it is in books."""
    low, high = np.nanquantile(np.nanmean(of.draws_BK, axis=1), [0.025, 0.975])
    return float(low), float(high)


def measure(
    rng: np.random.Generator, models: Sequence[Matches], kind: Kind, n_images: int, args: Any
) -> list[float]:
    """Return the shares, in percent, and the mean width, in points, of one row."""
    size = models[0].image_ids.size

    def test_set() -> list[Matches]:
        images = np.sort(rng.choice(size, n_images, replace=False))
        return [part(m, images) for m in models]

    figures = [
        [float(mean_ap(average_precisions(m, kind.n_labels))[0]) for m in test_set()]
        for _ in range(2 * args.repetitions)
    ]
    true_ap = np.mean(figures, axis=0)
    rows = []
    for repetition in range(args.repetitions):
        options = {"n_draws": args.draws, "seed": repetition}
        first, equal, better = (
            draws_of(m, kind.n_labels, **options)["mAP"] for m in test_set()
        )  # fmt: skip
        own, (low, high) = first.interval, plain(first)
        same, more = equal.minus(first), better.minus(first)
        rows.append([
            low <= true_ap[0] <= high,
            own.low <= true_ap[0] <= own.high,
            own.high - own.low,
            same.verdict != "not distinguishable",
            more.low <= true_ap[2] - true_ap[0] <= more.high,
            more.verdict == "better",
        ])
    return [100 * float(value) for value in np.mean(rows, axis=0)]


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 150, 400])
    parser.add_argument("--population", type=int, default=12_000)
    parser.add_argument("--draws", type=int, default=300)
    args = parser.parse_args()
    start = time.perf_counter()
    print(f"{platform.processor() or platform.machine()}, numpy {np.__version__}; "
          f"{args.repetitions} test sets a row, {args.draws} draws an interval\n")
    print("| population | images in a test set | of the rarest label | plain bootstrap holds the "
          "true AP | interval holds it | mean width, points | equal told apart | interval of a "
          "difference holds it | better told |\n|---|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        rng = np.random.default_rng(0)
        truth = population(rng, args.population, kind)
        skills = (0.3, 0.3, 0.7) if kind.harder else (0.0, 0.0, 0.25)
        models = [model(rng, truth, args.population, s, kind.n_labels) for s in skills]
        rarest = (truth["label"] == kind.n_labels - 1).sum() / args.population
        for n_images in args.images:
            held, holds, width, wrong, apart, told = measure(rng, models, kind, n_images, args)
            print(f"| {kind.name} | {n_images} | {rarest * n_images:.1f} | {held:.1f} % | "
                  f"{holds:.1f} % | {width:.1f} | {wrong:.1f} % | {apart:.1f} % | {told:.1f} % |",
                  flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
