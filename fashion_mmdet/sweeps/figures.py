"""The figures of a sweep in words: its metric, its parameters' names and values, its counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fashion_mmdet.reports.settings import said, short_keys
from fashion_mmdet.reports.texts import one_line

from .parameters import Parameter, read_parameters
from .record import Outcome, SweepRecord, Trial

OUTCOMES: tuple[Outcome, ...] = ("done", "pruned", "failed", "running", "waiting")
_KINDS = {"bbox": "box AP", "segm": "mask AP"}
_AP = re.compile(r"(?:coco/)?(bbox|segm)_mAP(?:_(50|75))?")
_NUMBER = re.compile(r"\s*[+-]?[\d.]+(e[+-]?\d+)?\s*")
_WORDS = {"", "none", "None", "True", "False"}
_MOST_SETTINGS, _MOST_IN_SENTENCE = 5, 24  # settings of a sentence, and letters of a value there
_MOST_LETTERS = 40  # of a value in a table


@dataclass(frozen=True)
class Measure:
    """How the metric of a sweep is spoken of.

    Attributes:
        name: ``"mask AP"`` for ``coco/segm_mAP``; of other metrics their own name.
        kind: ``"bbox"`` or ``"segm"`` where it is AP as ``fashion compare`` decides by; else None.
        scale: what values are multiplied by: AP of 0..1 is shown in percent.
        is_maximized: whether more of it is better.
    """

    name: str
    kind: str | None
    scale: int
    is_maximized: bool

    def said(self, value: float | None) -> str:
        """Return a value as it is shown; a dash where there is none."""
        if value is None:
            return "–"
        return f"{100 * value:.1f}" if self.scale == 100 else f"{value:.4g}"

    def apart(self, difference: float) -> str:
        """Return a difference with its sign; in points where values are in percent."""
        return f"{100 * difference:+.1f}" if self.scale == 100 else f"{difference:+.3g}"

    def better_by(self, value: float, other: float) -> float:
        """Return by how much ``value`` is better than ``other``; below 0 where it is worse."""
        return value - other if self.is_maximized else other - value

    @property
    def sentence(self) -> str:
        """The name as a sentence begins with it; one with a folder in it stays as it is."""
        return self.name if "/" in self.name else f"{self.name[:1].upper()}{self.name[1:]}"

    @property
    def heading(self) -> str:
        """The name with its unit, for a column or an axis."""
        return f"{self.name} (%)" if self.scale == 100 else self.name


def measure_of(record: SweepRecord) -> Measure:
    """Return how the sweep's metric is spoken of."""
    found = _AP.fullmatch(record.metric)
    if found is None:
        return Measure(one_line(record.metric), None, 1, record.is_maximized)
    name = _KINDS[found[1]] + (found[2] or "")
    is_decided_by = found[2] is None and record.is_maximized
    return Measure(name, found[1] if is_decided_by else None, 100, record.is_maximized)


def all_parameters(record: SweepRecord) -> tuple[Parameter, ...]:
    """Return the parameters in the order of the file, with those that all trials had alike."""
    return read_parameters(record.definition["parameters"], f"{record.file}: parameters")


def searched(record: SweepRecord) -> list[Parameter]:
    """Return the parameters that were searched, in the order of the file."""
    return [one for one in all_parameters(record) if not one.is_constant]


def alike_said(record: SweepRecord) -> str:
    """Return what all trials and the baseline had alike: ``"indices 200"``; nothing without."""
    alike = [one for one in all_parameters(record) if one.is_constant]
    return settings_said({one.key: one.values[0] for one in alike}, alike) if alike else ""


def names_of(keys: Sequence[str]) -> dict[str, str]:
    """Return key -> its short name, one line; different keys have different names."""
    return {key: one_line(name) for key, name in short_keys(keys).items()}


def value_said(value: Any, most: int = _MOST_LETTERS) -> str:
    """Return a value of the config in a few letters.

    >>> value_said(0.0005), value_said([1, None]), value_said("x" * 50, 5)
    ('0.0005', '[1, none]', 'xxxx…')
    """
    text = f"{value:.4g}" if isinstance(value, float) else said(value)
    if isinstance(value, str) and (_NUMBER.fullmatch(value) or value in _WORDS):
        text = repr(value)  # the text "1" is another choice than the number
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def settings_said(values: Mapping[str, Any], parameters: Sequence[Parameter]) -> str:
    """Return what a trial sets, in words: ``"lr 0.0005, batch_size 4"``."""
    names = names_of([one.key for one in parameters])
    parts = [
        f"{name} {value_said(values[key], _MOST_IN_SENTENCE)}"
        for key, name in names.items()
        if key in values
    ]
    more = len(parts) - _MOST_SETTINGS
    if more > 1:
        parts = [*parts[:_MOST_SETTINGS], f"and {more} more"]
    return ", ".join(parts)


def counts_of(record: SweepRecord) -> dict[str, int]:
    """Return outcome -> how many trials had it, those that none had left out."""
    counts = {o: sum(t.outcome == o for t in record.trials) for o in OUTCOMES}
    return {outcome: count for outcome, count in counts.items() if count}


def counts_said(record: SweepRecord) -> str:
    """Return ``"12 trials: 8 done, 3 pruned, 1 failed"``."""
    counts = counts_of(record)
    n_trials = len(record.trials)
    parts = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return f"{n_trials} trial{'' if n_trials == 1 else 's'}" + (f": {parts}" if parts else "")


def is_over(record: SweepRecord) -> bool:
    """Return whether no trial waits or runs."""
    return not {"waiting", "running"} & {trial.outcome for trial in record.trials}


def last_value(trial: Trial) -> float | None:
    """Return the metric that a trial came to, as long as it ran."""
    if trial.metric is not None:
        return trial.metric
    return next((p.value for p in reversed(trial.course) if p.value is not None), None)


def saved_validations(record: SweepRecord) -> tuple[int, int] | None:
    """Return validations that were run, and how many it had been without pruning.

    Of the trials that ran to their end or were pruned. None where that cannot be said: nothing was
    pruned, or trials that ran to their end had different numbers of validations.
    """
    of_done = {len(t.course) for t in record.trials if t.outcome == "done"}
    pruned = [len(t.course) for t in record.trials if t.outcome == "pruned"]
    if len(of_done) != 1 or not pruned:
        return None
    (whole,) = of_done
    n_done = sum(t.outcome == "done" for t in record.trials)
    if whole == 0 or max(pruned) > whole:
        return None
    return n_done * whole + sum(pruned), (n_done + len(pruned)) * whole


def head_figures(record: SweepRecord) -> dict[str, str]:
    """Return the figures at the top of the report."""
    measure, best, counts = measure_of(record), record.best(), counts_of(record)
    so_far = "" if is_over(record) else " so far"
    out = {
        f"best {measure.heading}{so_far}": measure.said(best.metric if best else None),
        f"trials {' + '.join(counts)}".strip(): " + ".join(map(str, counts.values())) or "none",
        "hours of all trials": f"{sum(t.wall_s for t in record.trials) / 3600:.2f}",
    }
    if record.finals:
        out["hours of the finals"] = f"{sum(f.wall_s for f in record.finals) / 3600:.2f}"
    saved = saved_validations(record)
    if saved is not None:
        run, whole = saved
        out["validations saved by pruning"] = f"{100 * (whole - run) / whole:.0f} %"
    lost = lost_attempts(record)
    if lost:
        out["attempts interrupted"] = str(lost)
    return out


def lost_attempts(record: SweepRecord) -> int:
    """Return how many processes of trials and finals were lost or interrupted and continued."""
    attempts = [t.attempts for t in record.trials] + [f.attempts for f in record.finals]
    return sum(max(count - 1, 0) for count in attempts)
