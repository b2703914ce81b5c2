"""The tables of a comparison: as Markdown, as CSV, and as cells of a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fashion_mmdet.core.bootstrap import Interval

from .gather import Pair, Recipe
from .runs import Run
from .settings import said, short_keys

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
        parts = [f"{keys[k]} {said(v[n])}" for k, v in settings.items() if v[n] != v[0]]
        more = len(parts) - _SHOWN
        shown = parts if more <= 1 else [*parts[:_SHOWN], f"and {more} more"]
        out.append("; ".join(shown))
    return out


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
        rows.append([recipe.name, differs, *numbers, *aps, ap_50, _seeds(recipe, kinds[-1])])
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
            "" if pair.verdict == "not distinguishable" else within[pair.is_within_seeds],
        ])
    return head, rows


def settings_table(
    recipes: Sequence[Recipe], settings: dict[str, list[Any]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a setting in which the recipes differ."""
    head = ["setting", *(recipe.name for recipe in recipes)]
    return head, [[key, *map(said, values)] for key, values in settings.items()]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table; what would break a cell is escaped."""
    lines = ["| " + " | ".join(map(_cell, head)) + " |"]
    lines.append("|" + "|".join("---" if n < left else "---:" for n in range(len(head))) + "|")
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    for mark in ("\\", "|", "<", "*", "_", "`"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def runs_csv(
    recipes: Sequence[Recipe], kinds: Sequence[str], settings: dict[str, list[Any]]
) -> str:
    """Return one row a run: its settings that differ, its cost, AP in 0..1 with intervals."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = [f"{kind}_{name}{end}" for kind in kinds for name in ("mAP", "mAP_50", "mAP_75")
               for end in ("", "_low", "_high")]  # fmt: skip
    writer.writerow([
        "run", "recipe", "seed", *settings, "parameters", "gflops", "train_images_per_s",
        "train_memory_mib", "images_per_s", "wall_s", "checkpoint", "split", *figures,
    ])  # fmt: skip
    for n, recipe in enumerate(recipes):
        for run, draws in zip(recipe.runs, recipe.of_run, strict=True):
            intervals = [draws[kind, name].interval for kind in kinds
                         for name in ("mAP", "mAP_50", "mAP_75")]  # fmt: skip
            record = run.record
            writer.writerow([
                run.name, recipe.name, record.seed,
                *(said(values[n]) for values in settings.values()),
                record.parameters.total, _gflops(run), record.images_per_s, memory_mib(run),
                run.images_per_s, record.wall_s, run.checkpoint, run.split,
                *(f"{v:.6f}" for i in intervals for v in (i.value, i.low, i.high)),
            ])  # fmt: skip
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
        writer.writerow([pair.first, pair.second, pair.kind, f"{d.value:.6f}", f"{d.low:.6f}",
                         f"{d.high:.6f}", pair.verdict, noise])  # fmt: skip
    return stream.getvalue()
