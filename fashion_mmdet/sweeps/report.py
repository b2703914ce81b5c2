"""The report of a sweep: what was searched, what came of it, and what to take."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_mmdet.core.files import atomic_open_many, shown
from fashion_mmdet.reports.compare import Comparison
from fashion_mmdet.reports.compare_table import pair_table
from fashion_mmdet.reports.page import Plot, Table, render
from fashion_mmdet.reports.plots import intervals_plot
from fashion_mmdet.reports.texts import code, inline, markdown, one_line, shell_command

from .decision import decision, notes_of
from .figures import (
    all_parameters,
    counts_said,
    head_figures,
    is_over,
    measure_of,
    names_of,
    searched,
)
from .finalists import compare_finals, named_pairs, recipe_names
from .importance import Importance, importance_of
from .plots import plots_of
from .record import SweepRecord
from .tables import (
    BEHIND,
    ended_early,
    finals_table,
    importance_table,
    main_table,
    reordered,
    trials_csv,
)

FILES = ("report.html", "report.md", "trials.csv")
_IN_README = 10  # trials
_FINALS = (
    "Finalists trained anew, from the start, with seeds that no trial had; the mean over seeds and "
    "what seeds differ by (standard deviation). Baseline is the swept config, with what was "
    "the same in all trials and nothing that was searched."
)
_INTERVALS = (
    "A dot is AP on the validation photos, the mean over seeds, the line the spread that other "
    "photos of the same kind would give (bootstrap over images). Lines that overlap do not say "
    "that two are equal: the paired differences tell."
)
_PAIRS = (
    "On the photos of the validation set, the mean over seeds, as `fashion compare` measures it. "
    "In brackets the 95 % interval of what other photos of this kind would give. 'Better' and "
    "'worse' are said where it does not hold 0; the last column takes what seeds differ by."
)


def write_report(
    folder: str | os.PathLike[str],
    record: SweepRecord,
    leaf_file: str | os.PathLike[str] | None = None,
    compared: tuple[Comparison | None, str | None] | None = None,
) -> list[Path]:
    """Write ``report.html``, ``report.md`` and ``trials.csv`` into ``folder``; all or none.

    Args:
        folder: of the sweep; where runs of the finals lie in it, they are compared.
        record: of the sweep.
        leaf_file: a config that was written of the trial to take, to be named.
        compared: what :func:`.finalists.compare_finals` said of them, where that is known.

    Returns:
        Their paths.
    """
    comparison, why_none = compared or compare_finals(folder, record)
    found = _Found(record, comparison, why_none, *importance_of(record), leaf_file)
    paths = [Path(folder) / name for name in FILES]
    texts = (_html(found), _markdown(found), trials_csv(record))
    with atomic_open_many(paths) as streams:
        for stream, text in zip(streams, texts, strict=True):
            stream.write(shown(text))
    return paths


def results_markdown(
    record: SweepRecord, comparison: Comparison | None = None, most: int = _IN_README
) -> str:
    """Return the best trials, the finals and the decision, short enough for a README.

    Args:
        record: of the sweep.
        comparison: of its finals, from :func:`.finalists.compare_finals`.
        most: trials of the table.
    """
    head, rows = main_table(record)
    behind = len(head) - len(BEHIND)
    # What was not decided by, and what is long, is in the report.
    kept = [0, 1, 2, *range(3, behind + 1)]
    head, rows = reordered(head, rows, kept)
    parts = [markdown(head, rows[:most], left=len(head))]
    if len(rows) > most:
        parts.append(f"The best {most} of {len(rows)} trials.\n")
    if record.finals:
        head, rows = finals_table(record)
        parts.append(markdown(head, rows, left=len(head)))
    parts.append(f"{inline(_lead(record))} {inline(decision(record, comparison))}\n")
    return "\n".join(parts)


@dataclasses.dataclass(frozen=True)
class _Found:
    """All that a report says, measured."""

    record: SweepRecord
    comparison: Comparison | None
    why_no_comparison: str | None
    importance: Importance | None
    why_no_importance: str | None
    leaf_file: str | os.PathLike[str] | None

    def decided(self) -> str:
        said = decision(self.record, self.comparison)
        if self.leaf_file is not None:
            said += f" It is written as a config: {os.fspath(self.leaf_file)}."
        return one_line(said)

    def notes(self) -> list[str]:
        reasons = [self.why_no_comparison] if self.why_no_comparison else []
        return [one_line(note) for note in (*reasons, *notes_of(self.record, self.comparison))]


def _lead(record: SweepRecord) -> str:
    """Return what was searched, in two sentences."""
    measure = measure_of(record)
    names = ", ".join(names_of([one.key for one in searched(record)]).values())
    goal = "as high as it can be" if measure.is_maximized else "as low as it can be"
    method = one_line(str(record.definition.get("method", "?")))
    left = "" if is_over(record) else " The sweep is not over."
    return one_line(
        f"Searched in {record.program} for {measure.name} {goal} on the validation set, by "
        f"{method}: {names}. {counts_said(record)}.{left}"
    )


def _html(found: _Found) -> str:
    record = found.record
    sections: list[Any] = []
    if record.finals:
        head, rows = finals_table(record)
        sections.append(Table("Finals", _FINALS, head, rows, left=1))
        sections += _comparison_sections(found)
    head, rows = main_table(record)
    # What came of it is not to be looked for behind ten parameters; why it ended early has a table.
    behind = len(head) - len(BEHIND)
    order = [1, 2, 0, behind - 1, behind, behind + 1, *range(3, behind - 1)]
    head, rows = reordered(head, rows, order)
    text = (
        "By rank; trials that did not run to their end stand below, with the value of their last "
        "validation. All keys in full, each validation and each reason are in trials.csv."
    )
    sections.append(Table("Trials", text, head, rows, left=2))
    sections += plots_of(record, found.importance, found.why_no_importance)
    head, rows = ended_early(record)
    if rows:
        sections.append(Table("Why trials ended early", "", head, rows, left=len(head)))
    sections.append(_settings(record))
    lead = f"{found.decided()} {_lead(record)}"
    title = f"Sweep {one_line(record.name)}"
    return render(title, lead, head_figures(record), found.notes(), sections)


def _comparison_sections(found: _Found) -> list[Plot | Table]:
    comparison, record = found.comparison, found.record
    if comparison is None:
        return []
    measure = measure_of(record)
    kind = measure.kind if measure.kind in comparison.kinds else comparison.kind
    names = recipe_names(record, comparison)
    rows = []
    for recipe in comparison.recipes:
        interval = recipe.interval(kind)
        rows.append((names[recipe.name], interval.value, interval.low, interval.high))
    plot = intervals_plot(rows, title="Finalists with 95 % intervals")
    out: list[Plot | Table] = [dataclasses.replace(plot, text=_INTERVALS)]
    pairs = named_pairs(record, comparison, measure)
    if pairs:
        head, cells = pair_table(pairs)
        out.insert(0, Table("Finalists against each other", _PAIRS, head, cells, left=3))
    return out


def _settings(record: SweepRecord) -> Table:
    """Return what was searched, and where it ran."""
    rows = [["method", str(record.definition.get("method", "?"))],
            ["seed of the draws", str(record.seed)]]  # fmt: skip
    for one in all_parameters(record):
        given = ", ".join(f"{k} {v:g}" for k, v in one.numbers.items()) or ", ".join(
            map(repr, one.values)
        )
        rows.append([one.key, f"{one.distribution}: {given}"])
    machine = record.hardware
    gpus = ", ".join(gpu.name for gpu in machine.gpus)
    rows += [
        ["sweep file", record.file],
        ["config", record.program],
        ["machine", f"{machine.cores} cores of {machine.cpu}" + (f", {gpus}" if gpus else "")],
        ["code", _code_said(record)],
        ["began", record.started_utc],
        ["last written", record.updated_utc],
    ]
    cells = [[one_line(cell) for cell in row] for row in rows]
    return Table("What was searched", "", ["setting", "value"], cells, left=2)


def _code_said(record: SweepRecord) -> str:
    if record.code is None:
        return "of no commit"
    return record.code.revision[:10] + ("" if record.code.clean else ", changed since")


def _markdown(found: _Found) -> str:
    record = found.record
    out = [f"# Sweep {inline(record.name)}\n", f"{inline(found.decided())}\n"]
    out += [f"{inline(_lead(record))}\n"]
    out += [f"* {inline(name)}: {inline(value)}" for name, value in head_figures(record).items()]
    out += ["", *(f"* {inline(note)}" for note in found.notes()), ""]
    tables: list[tuple[str, str, Any]] = []
    if record.finals:
        tables.append(("Finals", _FINALS, finals_table(record)))
        if found.comparison is not None:
            pairs = named_pairs(record, found.comparison, measure_of(record))
            if pairs:
                tables.append(("Finalists against each other", _PAIRS, pair_table(pairs)))
    tables.append(("Trials", "", main_table(record)))
    if found.importance is not None:
        tables.append(("Which parameters matter", _importance_text(found.importance),
                       importance_table(found.importance)))  # fmt: skip
    for title, text, (head, rows) in tables:
        out += [f"## {title}\n", *([f"{text}\n"] if text else []), _table(head, rows)]
    if found.why_no_importance:
        out += ["## Which parameters matter\n", f"{inline(found.why_no_importance)}\n"]
    settings = _settings(record)
    out += [f"## {settings.title}\n", _table(settings.head, settings.rows)]
    made = shell_command("sweep", [record.file], {})
    return "\n".join([*out, f"Made by {code(made)}.\n"])


def _importance_text(found: Importance) -> str:
    return (
        f"Share of the variance between {found.n_trials} trials that each makes alone (fANOVA); "
        f"{100 * found.together:.0f} % are made by parameters together, or by chance."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # Any cell may hold a text from elsewhere.
    return markdown(head, rows, left=len(head))
