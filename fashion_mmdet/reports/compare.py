"""``fashion compare``: which run is better, by how much, and whether that can be said at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_mmdet.core.bootstrap import LEAST_IMAGES, N_DRAWS
from fashion_mmdet.core.files import atomic_open_many, shown

from . import compare_table as tables
from .compare_figures import plots_of
from .compare_pictures import pictures_of
from .gather import Pair, Recipe, best_of, gather, kinds_of, pairs_of, seed_pairs
from .page import Table, render
from .runs import Run
from .settings import cautions, differing, remarks, require_comparable
from .texts import code, inline, markdown

FILES = ("report.html", "report.md", "runs.csv", "pairs.csv")
_HOW = (
    "AP is COCO's, in percent, over the classes that the set has instances of. In brackets its "
    "95 % interval, from {draws:,} draws of the photos with replacement: what other photos of this "
    "kind would give. Classes on few photos make it wide."
)
_PAIRED = (
    "Both runs of a pair are measured on the same draws, so photos that are hard for both cancel "
    "out. 'Better' and 'worse' are said where the interval does not hold 0: about one equal pair "
    "in twenty is told apart by chance. The last column takes what the seeds of a recipe differ by."
)
_OF_SEEDS = (
    "Runs of one recipe, compared like pairs. Where two of them are told apart, a seed matters as "
    "much as that on these photos."
)


@dataclass(frozen=True)
class Comparison:
    """All that a report says, measured."""

    runs: tuple[Run, ...]
    recipes: tuple[Recipe, ...]
    kinds: tuple[str, ...]
    settings: dict[str, list[Any]]
    pairs: tuple[Pair, ...]
    of_seeds: tuple[Pair, ...]
    cautions: tuple[str, ...]
    notes: tuple[str, ...]
    n_draws: int

    @property
    def kind(self) -> str:
        """What is decided by: masks where all runs have them."""
        return self.kinds[-1]


def compare(
    runs: Sequence[Run], *, other_train_data: bool = False, n_draws: int = N_DRAWS, seed: int = 0
) -> Comparison:
    """Measure runs against each other.

    Args:
        runs: from :func:`.runs.read_runs`.
        other_train_data: they may have been trained on different data.
        n_draws: draws of images.
        seed: of the draws.

    Raises:
        FashionError: for runs that cannot be compared, saying why.
    """
    require_comparable(runs, other_train_data)
    recipes = gather(runs, n_draws, seed)
    kinds = kinds_of(runs)
    columns = differing(runs)
    first = [runs.index(recipe.runs[0]) for recipe in recipes]
    settings = {key: [values[n] for n in first] for key, values in columns.items()}
    return Comparison(
        runs=tuple(runs),
        recipes=tuple(recipes),
        kinds=kinds,
        settings=settings,
        pairs=tuple(pair for kind in reversed(kinds) for pair in pairs_of(recipes, kind)),
        of_seeds=tuple(pair for kind in reversed(kinds) for pair in seed_pairs(recipes, kind)),
        cautions=(*cautions(runs), *_few_said(recipes, kinds)),
        notes=(*remarks(runs), *_repeats_said(recipes)),
        n_draws=n_draws,
    )


def set_said(found: Comparison) -> str:
    """Return what the runs were scored on, in words."""
    evidence = found.runs[0].evidence
    instances = int((~evidence.truth.is_crowd).sum())
    return (
        f"{len(evidence.image_ids)} photos with {instances:,} instances of "
        f"{len(set(evidence.truth.label.tolist()))} classes ({found.runs[0].split} set, "
        f"{evidence.annotations}, sha256 {evidence.sha256[:12]})"
    )


def decision(found: Comparison) -> str:
    """Return in a sentence or two which recipe is best, and how sure that is."""
    kind, name = found.kind, tables.KIND_NAMES[found.kind]
    if len(found.recipes) == 1:
        (only,) = found.recipes
        return f"{only.name}: {name} {tables.percent(only.interval(kind))}."
    best = best_of(found.recipes, kind)
    of_best = [p for p in found.pairs if p.kind == kind and best.name in (p.first, p.second)]
    equal = [
        p.second if p.first == best.name else p.first
        for p in of_best
        if p.verdict == "not distinguishable"
    ]
    if best.draws[kind, "mAP"].value == 0:
        return f"No run finds anything: every {name} is 0. Train longer, or see the learning rate."
    lead = f"Highest {name}: {best.name}, {tables.percent(best.interval(kind))}. "
    if equal:
        return f"{lead}With these photos it cannot be told from {', '.join(equal)}."
    within = {p.is_within_seeds for p in of_best}
    seeds = (
        "; other seeds might turn that" if True in within
        else "; what other seeds would give is not known" if None in within
        else ""
    )  # fmt: skip
    return f"{lead}With these photos it is better than each of the others{seeds}."


def _repeats_said(recipes: Sequence[Recipe]) -> list[str]:
    return [
        f"{', '.join(run.name for run in recipe.runs)} are of one recipe and not of different "
        "seeds, so they say nothing of what seeds do."
        for recipe in recipes
        if len(recipe.runs) > 1 and not recipe.seeds
    ]


def _few_said(recipes: Sequence[Recipe], kinds: Sequence[str]) -> list[str]:
    draws = recipes[0].draws[kinds[-1], "mAP"]
    if draws.has_interval:
        return []
    return [
        f"{draws.n_images} photos with instances are too few for an interval, which {LEAST_IMAGES} "
        "are asked for: all that is possible is shown, and nothing is told apart."
    ]


def results(found: Comparison, command: str) -> str:
    """Return what goes between the markers of a README: the table, and the verdicts on it.

    Args:
        found: the comparison.
        command: by which it is made again.
    """
    head, rows = tables.main_table(found.recipes, found.kinds, found.settings)
    parts = [markdown(head, rows, left=2)]
    pairs = [pair for pair in found.pairs if pair.kind == found.kind]
    if pairs:
        head, rows = tables.pair_table(pairs)
        parts.append(markdown(head, rows, left=3))
    if seeds := [pair for pair in found.of_seeds if pair.kind == found.kind]:
        parts.append(_seeds_said(seeds))
    said = " ".join([decision(found), f"Scored on {set_said(found)}.", *found.cautions])
    parts.append(f"{inline(said)} {code(command)}\n")
    return "\n".join(parts)


def _seeds_said(pairs: Sequence[Pair]) -> str:
    told = [pair for pair in pairs if pair.verdict != "not distinguishable"]
    if not told:
        return f"Seeds of one recipe, {len(pairs)} pair(s): not distinguishable.\n"
    named = inline("; ".join(f"{p.second} is {p.verdict} than {p.first}" for p in told))
    return (
        f"Seeds of one recipe: {len(told)} of {len(pairs)} pair(s) told apart ({named}): on these "
        "photos a seed matters as much as that.\n"
    )


def _pair_sections(found: Comparison) -> list[tuple[str, str, tuple[Pair, ...]]]:
    """Return title, text and pairs of the sections that have some."""
    sections = [
        ("Pairs", _PAIRED, found.pairs),
        ("Seeds of one recipe", _OF_SEEDS, found.of_seeds),
    ]
    return [section for section in sections if section[2]]


def report_markdown(found: Comparison, command: str) -> str:
    """Return ``report.md``."""
    said = inline(decision(found))
    out = ["# Comparison of runs\n", f"{said}\n", f"Scored on {inline(set_said(found))}.\n"]
    notes = [*found.cautions, *found.notes]
    out += [f"* {inline(note)}" for note in notes]
    if len(found.runs) > 1 and not notes:
        out.append("No other differences between the runs were found.")
    out.append("")
    head, rows = tables.main_table(found.recipes, found.kinds, found.settings)
    out += ["## Runs\n", _HOW.format(draws=found.n_draws) + "\n", markdown(head, rows, 2)]
    if found.settings:
        head, rows = tables.settings_table(found.recipes, found.settings)
        out += ["## Settings in which they differ\n", markdown(head, rows, len(head))]
    for title, text, pairs in _pair_sections(found):
        head, rows = tables.pair_table(pairs)
        out += [f"## {title}\n", f"{text}\n", markdown(head, rows, 3)]
    return "\n".join([*out, f"Made by {code(command)}.\n"])


def report_html(found: Comparison, command: str, photos: str | None) -> str:
    """Return ``report.html``, which shows all of it, plots and photos in it.

    Args:
        found: the comparison.
        command: by which it is made again.
        photos: the folder of the photos; None takes the one that the first run names.
    """
    sections: list[Any] = []
    head, rows = tables.main_table(found.recipes, found.kinds, found.settings)
    sections.append(Table("Runs", _HOW.format(draws=found.n_draws), head, rows, left=2))
    for title, text, pairs in _pair_sections(found):
        head, rows = tables.pair_table(pairs)
        sections.append(Table(title, text, head, rows, left=3))
    if found.settings:
        head, rows = tables.settings_table(found.recipes, found.settings)
        sections.append(Table("Settings in which they differ", "", head, rows, left=len(head)))
    sections += plots_of(found.recipes, found.kinds)
    pages, notes = pictures_of(found.recipes, found.kind, photos)
    sections += pages
    figures = {
        "runs": str(len(found.runs)),
        "recipes": str(len(found.recipes)),
        "photos": f"{len(found.runs[0].evidence.image_ids):,}",
        "split": found.runs[0].split,
    }
    lead = f"{decision(found)} Scored on {set_said(found)}. Made by: {command}"
    notes = [*found.cautions, *found.notes, *notes]
    return render("Comparison of runs", lead, figures, notes, sections)


def write_report(
    out: Path, found: Comparison, command: str, photos: str | None = None
) -> list[Path]:
    """Write the four files of a report into ``out``; all of them or none.

    Returns:
        Their paths.
    """
    paths = [out / name for name in FILES]
    texts = (
        report_html(found, command, photos),
        report_markdown(found, command),
        tables.runs_csv(found.recipes, found.kinds, found.settings),
        tables.pairs_csv(found.pairs + found.of_seeds),
    )
    with atomic_open_many(paths) as streams:
        for stream, text in zip(streams, texts, strict=True):
            stream.write(shown(text))
    return paths


