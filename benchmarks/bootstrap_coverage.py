"""How often a 95 % interval of AP holds the true value, and how often a paired verdict is wrong.

    python benchmarks/bootstrap_coverage.py

A population of made images, each with instances of some labels, detections that hit them at some
thresholds, false ones, and a difficulty of its own that moves all of them together. The true AP is
that of the whole population. Test sets are drawn from it, and for each:

* does the interval of the first model hold the true AP? (95 % is due)
* is a model told from its equal? (a second model of the same make: 5 % is due at most)
* is a better model told? (its detections hit more; that is the power, and has no due)

Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np

from fashion_mmdet.core.bootstrap import ap_difference, ap_interval
from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.matching import AREAS, IOU_THRESHOLDS, Matches

N_LABELS = 8


def population(rng: np.random.Generator, n_images: int) -> dict[str, np.ndarray]:
    """Return instances: image, label (some labels ten times as rare) and difficulty."""
    share = np.geomspace(1.0, 0.1, N_LABELS)
    counts = rng.poisson(3 * share / share.sum(), size=(n_images, N_LABELS))
    image, label = (np.repeat(v, counts.ravel()) for v in np.indices(counts.shape).reshape(2, -1))
    hard = rng.normal(0, 0.7, n_images)[image] + rng.normal(0, 0.7, image.size)
    return {"image": image, "label": label, "hard": hard}


def model(
    rng: np.random.Generator, truth: dict[str, np.ndarray], n_images: int, skill: float
) -> Matches:
    """Return what a model of this skill makes of the population."""
    n = truth["image"].size
    margin = skill - truth["hard"] + rng.normal(0, 1, n)
    best = np.clip(np.floor(2 * margin + 5), 0, IOU_THRESHOLDS.size).astype(int)  # thresholds hit
    n_false = rng.poisson(1.5, n_images)
    false_image = np.repeat(np.arange(n_images), n_false)
    image = np.concatenate([truth["image"], false_image])
    label = np.concatenate([truth["label"], rng.integers(0, N_LABELS, false_image.size)])
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


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--images", type=int, nargs="+", default=[60, 150, 600])
    parser.add_argument("--population", type=int, default=20_000)
    parser.add_argument("--draws", type=int, default=400)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    truth = population(rng, args.population)
    first, equal, better = (model(rng, truth, args.population, s) for s in (0.0, 0.0, 0.25))
    true_ap = [float(mean_ap(average_precisions(m, N_LABELS))[0]) for m in (first, equal, better)]
    print(f"{platform.processor() or platform.machine()}, numpy {np.__version__}; "
          f"{args.repetitions} test sets each, {args.draws} draws an interval; true AP "
          f"{', '.join(f'{100 * ap:.1f}' for ap in true_ap)}\n")
    print("| images in a test set | instances of the rarest label | interval holds the true AP | "
          "mean width, points | equal told apart | better told |\n|---|---|---|---|---|---|")
    rarest = (truth["label"] == N_LABELS - 1).sum() / args.population
    for n_images in args.images:
        holds, width, wrong, told = [], [], [], []
        for repetition in range(args.repetitions):
            images = np.sort(rng.choice(args.population, n_images, replace=False))
            parts = [part(m, images) for m in (first, equal, better)]
            options = {"n_draws": args.draws, "seed": repetition}
            found = ap_interval(parts[0], N_LABELS, **options)
            holds.append(found.low <= true_ap[0] <= found.high)
            width.append(found.high - found.low)
            same = ap_difference(parts[0], parts[1], N_LABELS, **options)
            wrong.append(same.verdict != "not distinguishable")
            more = ap_difference(parts[0], parts[2], N_LABELS, **options)
            told.append(more.verdict == "better")
        print(f"| {n_images} | {rarest * n_images:.0f} | {100 * np.mean(holds):.1f} % | "
              f"{100 * np.mean(width):.1f} | {100 * np.mean(wrong):.1f} % | "
              f"{100 * np.mean(told):.1f} % |")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
