"""The tables of a comparison: as rows of cells, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fashion_mmdet.core.bootstrap import FIGURES, Interval

from .gather import Pair, Recipe
from .runs import Run
from .settings import are_same, said, short_keys
from .texts import csv_cell

_SHOWN = 4  # settings of a row; all of them are in a table of their own
KIND_NAMES = {"bbox": "box AP", "segm": "mask AP"}
REFERENCE = "the reference"


def percent(interval: Interval) -> str:
    """Return ``"14.3 [11.9, 17.0]"``: a figure and its interval, in percent."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def differences_said(recipes: Sequence[Recipe], settings: dict[str, list[Any]]) -> list[str]:
    """Return for each recipe what it sets otherwise than the first, in short.

    Args:
        recipes: the rows.
        settings: dotted key -> the value of each recipe.
    """
    keys = short_keys(list(settings))
    out = [REFERENCE] if len(recipes) > 1 else ["–"]
    for n in range(1, len(recipes)):
        differing = [key for key, values in settings.items() if not are_same(values[n], values[0])]
        differing.sort(key=_rank)  # which keeps the config's order among equals
        parts = [f"{keys[key]} {said(settings[key][n])}" for key in differing]
        more = len(parts) - _SHOWN
        shown = parts if more <= 1 else [*parts[:_SHOWN], f"and {more} more"]
        out.append("; ".join(shown))
    return out


def _rank(key: str) -> int:
    """Return how late a setting is named: first what people name their recipes by."""
    last = key.split(".")[-1]
    if last in _FIRST:
        return _FIRST.index(last)
    return len(_FIRST) + (last in _LAST)


_FIRST = ("depth", "max_epochs", "max_iters", "lr", "batch_size", "class_agnostic", "scale")
_LAST = ("mean", "std", "bgr_to_rgb", "in_channels", "style", "weights from", "evaluated", "end")


def main_table(
    recipes: Sequence[Recipe], kinds: Sequence[str], settings: dict[str, list[Any]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a recipe; numbers in percent where they are AP."""
    head = ["run", "what differs", "parameters, M", "GFLOPs", "training, img/s",
            "training memory, MiB", "inference, img/s"]  # fmt: skip
    head += [f"{KIND_NAMES[kind]} [95 %]" for kind in kinds]
    head += [f"{KIND_NAMES[kinds[-1]]}50", "seeds"]
    rows = []
    for recipe, differs in zip(recipes, differences_said(recipes, settings), strict=True):
        numbers = [
            _number(recipe.mean_of(lambda r: r.record.parameters.total / 1e6), "{:.1f}"),
            _number(recipe.mean_of(_gflops), "{:.1f}"),
            _number(recipe.mean_of(lambda r: r.record.images_per_s), "{:.2f}"),
            _number(recipe.mean_of(memory_mib), "{:,.0f}"),
            _number(recipe.mean_of(lambda r: r.images_per_s), "{:.2f}"),
        ]
        aps = [percent(recipe.interval(kind)) for kind in kinds]
        ap_50 = f"{100 * recipe.draws[kinds[-1], 'mAP_50'].value:.1f}"
        rows.append([recipe.title, differs, *numbers, *aps, ap_50, _seeds(recipe, kinds[-1])])
    return head, rows


def _gflops(run: Run) -> float | None:
    return run.record.compute.gflops if run.record.compute else None


def memory_mib(run: Run) -> float | None:
    """Return the most memory of training: of the GPU where there was one, else of the process."""
    record = run.record
    return record.peak_rss_mib if record.peak_cuda_mib is None else record.peak_cuda_mib


def _seeds(recipe: Recipe, kind: str) -> str:
    spread = recipe.spread(kind)
    return "1" if spread is None else f"{len(recipe.runs)}, ± {100 * spread:.1f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def pair_table(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the verdicts."""
    head = ["second", "against first", "figure", "difference, points [95 %]", "the second is",
            "and other seeds"]  # fmt: skip
    rows = []
    for pair in pairs:
        d = pair.difference
        within = {None: "not known", True: "might turn it", False: "would hardly turn it"}
        rows.append([
            pair.second,
            pair.first,
            KIND_NAMES[pair.kind],
            f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]",
            pair.verdict,
            "–" if pair.verdict == "not distinguishable" else within[pair.is_within_seeds],
        ])
    return head, rows


def settings_table(
    recipes: Sequence[Recipe], settings: dict[str, list[Any]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a setting in which the recipes differ."""
    head = ["setting", *(recipe.name for recipe in recipes)]
    return head, [[key, *map(said, values)] for key, values in settings.items()]


def runs_csv(
    recipes: Sequence[Recipe], kinds: Sequence[str], settings: dict[str, list[Any]]
) -> str:
    """Return one row a run: its settings that differ, its cost, AP in 0..1 with intervals."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = [f"{kind}_{name}{end}" for kind in kinds for name in FIGURES
               for end in ("", "_low", "_high")]  # fmt: skip
    head = [
        "run", "recipe", "seed", *settings, "parameters", "gflops", "train_images_per_s",
        "train_memory_mib", "images_per_s", "wall_s", "checkpoint", "split", *figures,
    ]  # fmt: skip
    writer.writerow(map(csv_cell, head))
    for n, recipe in enumerate(recipes):
        for run, draws in zip(recipe.runs, recipe.of_run, strict=True):
            intervals = [draws[kind, name].interval for kind in kinds
                         for name in FIGURES]  # fmt: skip
            record = run.record
            row = [
                run.name, recipe.name, record.seed,
                *(said(values[n]) for values in settings.values()),
                record.parameters.total, _gflops(run), record.images_per_s, memory_mib(run),
                run.images_per_s, record.wall_s, run.checkpoint, run.split,
                *(f"{v:.6f}" for i in intervals for v in (i.value, i.low, i.high)),
            ]  # fmt: skip
            writer.writerow(map(csv_cell, row))
    return stream.getvalue()


def pairs_csv(pairs: Sequence[Pair]) -> str:
    """Return one row a pair, differences in 0..1."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["first", "second", "kind", "difference", "low", "high", "verdict",
                     "seed_noise"])  # fmt: skip
    for pair in pairs:
        d = pair.difference
        noise = "" if pair.seed_noise is None else f"{pair.seed_noise:.6f}"
        row = [pair.first, pair.second, pair.kind, f"{d.value:.6f}", f"{d.low:.6f}",
               f"{d.high:.6f}", pair.verdict, noise]  # fmt: skip
        writer.writerow(map(csv_cell, row))
    return stream.getvalue()
