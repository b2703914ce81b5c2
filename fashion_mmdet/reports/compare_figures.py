"""The plots of a comparison: each recipe's figures, brought into the form that a plot takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fashion_mmdet.core.calibration import reliability
from fashion_mmdet.core.confusion import confusion_matrix
from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.ontology import CLASSES, supercategory

from .class_plots import ap_by_class, ap_by_group, confusion_plot
from .compare_table import KIND_NAMES
from .gather import Recipe, best_of, group_values
from .learning import learning_curves
from .page import Plot
from .plots import calibration_plot, intervals_plot, pr_curves, size_bins, speed_against_ap
from .runs import Run

_SIZES = ("small", "medium", "large")


def plots_of(recipes: Sequence[Recipe], kinds: Sequence[str]) -> list[Plot]:
    """Return the plots of a report, the one to decide by first.

    Args:
        recipes: gathered runs.
        kinds: ``"bbox"``, ``"segm"`` or both; classes, sizes and curves are shown of the last.
    """
    kind = kinds[-1]
    name = KIND_NAMES[kind]
    names = [recipe.name for recipe in recipes]
    firsts = [recipe.runs[0] for recipe in recipes]
    # Other seeds last, so that a recipe has one colour in all plots.
    seeds = [run for recipe in recipes for run in recipe.runs[1:]]
    by_class = {recipe.name: _by_class(recipe, kind) for recipe in recipes}
    counts = _counts(firsts[0])
    best = best_of(recipes, kind).runs[0]
    bins = {run.name: reliability(run.evidence.matches[kind]) for run in firsts}
    return [
        _intervals(recipes, kind),
        learning_curves([*firsts, *seeds]),
        ap_by_class(names, by_class, counts, f"{name} by class"),
        *_of_groups(names, by_class, counts, f"{name} by super-category"),
        pr_curves(firsts),
        size_bins(names, {r.name: _by_size(r, kind) for r in recipes}, f"{name} by size"),
        _speed(recipes, kind),
        calibration_plot(
            {n: (b.mean_score_B, b.precision_B, b.count_B) for n, b in bins.items()},
            {n: b.ece for n, b in bins.items()},
            names,
        ),
        confusion_plot(
            confusion_matrix(best.evidence, best.overlap_kind).counts_TP,
            best.evidence.classes,
            f"What {best.name} takes for what",
        ),
    ]


def _of_groups(
    names: Sequence[str],
    by_class: Mapping[str, Mapping[str, float]],
    counts: Mapping[str, int],
    title: str,
) -> list[Plot]:
    """Return the plot of super-categories; none where the classes are not of the ontology."""
    groups = {n: supercategory(n) if n in CLASSES else None for n in counts}
    by_group = {name: group_values(values, groups) for name, values in by_class.items()}
    if not any(by_group.values()):
        return []
    of_group: dict[str, int] = {}
    for name, count in counts.items():
        if (group := groups[name]) is not None:
            of_group[group] = of_group.get(group, 0) + count
    return [ap_by_group(names, by_group, of_group, title)]


def _intervals(recipes: Sequence[Recipe], kind: str) -> Plot:
    rows = []
    for recipe in recipes:
        interval = recipe.interval(kind)
        rows.append((recipe.name, interval.value, interval.low, interval.high))
    return intervals_plot(rows, title=f"{KIND_NAMES[kind]} with 95 % intervals")


def _by_class(recipe: Recipe, kind: str) -> dict[str, float]:
    """Return the AP of each class that has instances, the mean over the recipe's runs."""
    values = []
    for run in recipe.runs:
        ap_BKT = average_precisions(run.evidence.matches[kind], len(run.evidence.classes))
        values.append(ap_BKT[0].mean(axis=1))
    mean_K = np.mean(values, axis=0)
    classes = recipe.runs[0].evidence.classes
    return {n: float(v) for n, v in zip(classes, mean_K, strict=True) if not np.isnan(v)}


def _counts(run: Run) -> dict[str, int]:
    """Return how many instances that count each class has; classes without any are left out."""
    truth, classes = run.evidence.truth, run.evidence.classes
    counts = np.bincount(truth.label[~truth.is_crowd], minlength=len(classes))
    return {name: int(n) for name, n in zip(classes, counts, strict=True) if n}


def _by_size(recipe: Recipe, kind: str) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for size in _SIZES:
        values = [
            mean_ap(average_precisions(r.evidence.matches[kind], len(r.evidence.classes), size))[0]
            for r in recipe.runs
        ]
        out[size] = None if np.isnan(values).any() else float(np.mean(values))
    return out


def _speed(recipes: Sequence[Recipe], kind: str) -> Plot:
    points = []
    for recipe in recipes:
        interval = recipe.interval(kind)
        rate = recipe.mean_of(lambda run: run.images_per_s)
        points.append((recipe.name, rate, interval.value, interval.low, interval.high))
    return speed_against_ap(points, devices([r for o in recipes for r in o.runs]))


def devices(runs: Sequence[Run]) -> str:
    """Return the machines that the runs were evaluated on, in words."""
    names: dict[str, None] = {}
    for run in runs:
        record = run.record
        is_test = run.split == "test" and record.tests
        hardware = (record.tests[-1] if is_test else record).setting.hardware
        gpus = ", ".join(gpu.name for gpu in hardware.gpus)
        names[gpus or f"{hardware.cpu}, {hardware.cores} cores"] = None
    return "; ".join(names)
