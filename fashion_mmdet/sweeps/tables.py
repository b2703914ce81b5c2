"""The tables of a sweep: as rows of cells, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from fashion_mmdet.reports.texts import csv_cell, one_line

from .figures import OUTCOMES, last_value, measure_of, names_of, searched, value_said
from .finalists import finalists_of
from .importance import Importance
from .record import SweepRecord, Trial, trial_name

#: Columns of :func:`main_table` before the parameters, and behind the metric.
BEFORE, BEHIND = ("rank", "trial", "outcome"), ("validations", "minutes", "why")
_MOST_LAST_LINES = 8


def ordered(record: SweepRecord) -> list[Trial]:
    """Return all trials: those that ran to their end by rank, then the others by outcome."""
    ranked = record.ranked()
    others = [trial for trial in record.trials if trial not in ranked]
    return [*ranked, *sorted(others, key=lambda t: (OUTCOMES.index(t.outcome), t.number))]


def main_table(record: SweepRecord) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a trial, the best first.

    All cells are one line without what would steer a terminal; parameters have short names. The
    metric is AP in percent, or what it is; of a trial that was pruned or failed it is that of its
    last validation, as many as the column beside it says.
    """
    measure, parameters = measure_of(record), searched(record)
    names = names_of([one.key for one in parameters])
    head = [*BEFORE, *names.values(), measure.heading, *BEHIND]
    n_ranked = len(record.ranked())
    rows = []
    for place, trial in enumerate(ordered(record), 1):
        values = [value_said(trial.values[key]) if key in trial.values else "–" for key in names]
        rows.append([
            str(place) if place <= n_ranked else "–",
            trial_name(trial.number),
            trial.outcome,
            *values,
            measure.said(last_value(trial)),
            str(len(trial.course)),
            f"{trial.wall_s / 60:.1f}" if trial.wall_s else "–",
            why(trial),
        ])  # fmt: skip
    return head, rows


def why(trial: Trial) -> str:
    """Return in a line why a trial ended early, with the last line of the log of a failed one."""
    parts = [trial.reason] if trial.reason else []
    if trial.outcome == "failed":
        last = next((line for line in reversed(trial.last_lines) if line.strip()), None)
        if last is not None and last.strip() not in (trial.reason or ""):
            parts.append(last)
    if trial.attempts > 1:
        parts.append(f"started {trial.attempts} times")
    return "; ".join(map(one_line, parts))


def ended_early(record: SweepRecord) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the trials that there is something to be said of."""
    rows = [
        [
            trial_name(trial.number),
            trial.outcome,
            why(trial),
            " / ".join(map(one_line, trial.last_lines[-_MOST_LAST_LINES:])) or "–",
        ]
        for trial in ordered(record)
        if why(trial)
    ]
    return ["trial", "outcome", "why", "end of its log"], rows


def finals_table(record: SweepRecord) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a finalist: mean, spread, each seed, and what it sets."""
    measure, parameters, finalists = measure_of(record), searched(record), finalists_of(record)
    names = names_of([one.key for one in parameters])
    seeds = sorted({final.seed for final in record.finals})
    head = ["finalist", "when chosen", f"mean {measure.heading}", "±", "seeds",
            *(f"seed {seed}" for seed in seeds), *names.values()]  # fmt: skip
    rows = []
    for one in finalists:
        values = ["as it is" if one.is_baseline else "–" for _ in names]
        values = [
            value_said(one.values[key]) if key in one.values else value
            for key, value in zip(names, values, strict=True)
        ]
        rows.append([
            one_line(one.name),
            measure.said(one.trial.metric if one.trial else None),
            measure.said(one.mean), measure.said(one.spread), str(len(one.metrics)),
            *(one.lacking.get(seed) or measure.said(one.metrics.get(seed)) for seed in seeds),
            *values,
        ])  # fmt: skip
    return head, rows


def importance_table(found: Importance) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a parameter, in percent of the variance."""
    names = names_of(list(found.share))
    head = ["parameter", "alone, %", "80 % of draws of trials, %", "chance gives up to, %",
            "more than chance"]  # fmt: skip
    rows = []
    for key, name in names.items():
        low, high = found.interval[key]
        rows.append([
            name,
            f"{100 * found.share[key]:.0f}",
            f"{100 * low:.0f} to {100 * high:.0f}",
            f"{100 * found.chance[key]:.0f}",
            "yes" if found.is_more_than_chance(key) else "no",
        ])  # fmt: skip
    return head, rows


def trials_csv(record: SweepRecord) -> str:
    """Return all that is known of each trial, by number: full keys, and the metric as it is.

    Values of parameters are JSON, but for texts, which are what they are.
    """
    keys = dict.fromkeys(one.key for one in searched(record))
    keys.update(dict.fromkeys(key for trial in record.trials for key in trial.values))
    rank = {trial.number: place for place, trial in enumerate(record.ranked(), 1)}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["trial", "outcome", "rank", *keys, record.metric, "validations", "course", "wall_s",
            "attempts", "started_utc", "ended_utc", "work_dir", "reason", "last_lines"]  # fmt: skip
    writer.writerow(csv_cell(one_line(name)) for name in head)
    for trial in record.trials:
        row = [
            trial.number, trial.outcome, rank.get(trial.number, ""),
            *(_plain(trial.values[key]) if key in trial.values else "" for key in keys),
            "" if trial.metric is None else trial.metric, len(trial.course),
            "; ".join(f"{p.step}: {'' if p.value is None else p.value}" for p in trial.course),
            round(trial.wall_s, 1), trial.attempts, trial.started_utc or "", trial.ended_utc or "",
            trial.work_dir, trial.reason or "", " / ".join(trial.last_lines),
        ]  # fmt: skip
        writer.writerow(csv_cell(one_line(v) if isinstance(v, str) else v) for v in row)
    return stream.getvalue()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def reordered(head: Sequence[str], rows: Sequence[Sequence[str]], order: Sequence[int]) -> Any:
    """Return head and rows with their columns in another order."""
    return [head[n] for n in order], [[row[n] for n in order] for row in rows]
