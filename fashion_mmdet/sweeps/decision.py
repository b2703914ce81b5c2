"""What a sweep comes to: which trial to take, if any, and what to mind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fashion_mmdet.reports.compare import Comparison
from fashion_mmdet.reports.gather import Pair

from .figures import (
    Measure,
    alike_said,
    counts_of,
    counts_said,
    is_over,
    lost_attempts,
    measure_of,
    names_of,
    searched,
    settings_said,
    value_said,
)
from .finalists import AS_IT_IS, Finalist, few, finalists_of, flattery, named_pairs, recipe_names
from .parameters import Parameter
from .record import BASELINE, SweepRecord, Trial, trial_name

_EDGE = 0.02  # of a range: what is nearer to its end is at it
_LEAST_ORDERED = 3  # choices of numbers, of which the first and last are edges


def decision(record: SweepRecord, comparison: Comparison | None) -> str:
    """Return in a sentence or two what to take, and how sure that is.

    Args:
        record: of the sweep.
        comparison: of its finals, from :func:`.finalists.compare_finals`; None where there is none.
    """
    measure, finalists = measure_of(record), finalists_of(record)
    if not any(one.metrics for one in finalists):
        said = _of_trials(record, measure)
        if finalists:
            said += " The finals have not come to a figure."
        return said
    if comparison is not None and measure.kind in comparison.kinds:
        return _of_pairs(record, finalists, comparison, measure)
    return _of_means(record, finalists, measure)


def chosen(record: SweepRecord, comparison: Comparison | None) -> Trial | None:
    """Return the trial that the decision is for; None where it is to keep the config as it is.

    Without finals that is the best trial, for what it is worth.
    """
    measure, finalists = measure_of(record), finalists_of(record)
    if not any(one.metrics for one in finalists):
        return record.best()
    if comparison is not None and measure.kind in comparison.kinds:
        better = _better(finalists, named_pairs(record, comparison, measure), measure)
        return better[0].trial if better else None
    first = _by_mean(finalists, measure)
    return first[0].trial if first else None


def _of_trials(record: SweepRecord, measure: Measure) -> str:
    ranked, parameters = record.ranked(), searched(record)
    so_far = "" if is_over(record) else "So far: "
    if not ranked:
        yet = "" if is_over(record) else " yet"
        return f"Nothing to decide{yet}: no trial ran to its end{yet} ({counts_said(record)})."
    best = ranked[0]
    name, value = trial_name(best.number), measure.said(best.metric)
    settings = settings_said(best.values, parameters)
    if len(ranked) == 1:
        return (
            f"{so_far}{name} ({settings}) has {measure.name} {value} and is the only trial that "
            "ran to its end: there is nothing to compare it with."
        )
    if measure.scale == 100 and measure.is_maximized and best.metric == 0:
        return f"{so_far}No trial finds anything: every {measure.name} is 0. Train longer."
    if all(trial.metric == best.metric for trial in ranked):
        return (
            f"{so_far}All {len(ranked)} trials that ran to their end have {measure.name} {value}: "
            "there is nothing to choose between them."
        )
    second = ranked[1]
    gap = measure.better_by(best.metric or 0.0, second.metric or 0.0)
    return (
        f"{so_far}{name} ({settings}) was best with {measure.name} {value}; one run each, so the "
        f"difference to the next ({trial_name(second.number)}, {measure.said(second.metric)}: "
        f"{measure.apart(gap).lstrip('+')}) may be noise. `fashion sweep --finals` trains the best "
        "anew over seeds."
    )


def _of_pairs(
    record: SweepRecord, finalists: Sequence[Finalist], found: Comparison, measure: Measure
) -> str:
    pairs = named_pairs(record, found, measure)
    against = [pair for pair in pairs if BASELINE in (pair.first, pair.second)]
    if not against:
        same = len(set(recipe_names(record, found).values())) == 1 and any(
            one.is_baseline and one.metrics for one in finalists
        )
        if same:
            return f"Keep {AS_IT_IS}: the finalists set nothing else than it does."
        return _of_means(record, finalists, measure)
    if measure.scale == 100 and measure.is_maximized and not any(one.mean for one in finalists):
        return f"No finalist finds anything: every {measure.name} is 0. Train longer."
    better = _better(finalists, pairs, measure)
    if better:
        best = better[0]
        pair = _with_baseline(pairs, best.name)
        assert pair is not None
        known = (
            "" if pair.is_within_seeds is False else " What other seeds would give is not known."
        )
        others = [one.name for one in better[1:] if _is_equal(pairs, best.name, one.name)]
        equal = (
            f" It cannot be told from {', '.join(others)}, which is better too." if others else ""
        )
        if len(others) > 1:
            equal = equal.replace("which is", "which are")
        settings = settings_said(best.values, searched(record))
        return (
            f"Take {best.name} ({settings}): better than {AS_IT_IS}{_alike(record)} by "
            f"{_points(pair, measure)} on the validation set, {_seeds(finalists, best)}."
            f"{equal}{known}"
        )
    # The nearest to being taken: the highest of those that are not worse.
    top = next(
        (
            one
            for one in _by_mean(finalists, measure)
            if (pair := _with_baseline(pairs, one.name)) is not None and pair.verdict != "worse"
        ),
        None,
    )
    if top is None:
        return f"Keep {AS_IT_IS}: with these photos it is better than every finalist."
    pair = _with_baseline(pairs, top.name)
    assert pair is not None
    if pair.verdict == "better":
        return (
            f"Keep {AS_IT_IS} for now: {top.name} was better by {_points(pair, measure)} on these "
            f"photos, {_seeds(finalists, top)}, but other seeds might turn that. More seeds tell."
        )
    if pair.difference.high - pair.difference.low >= 2:  # all that is possible, see the bootstrap
        return (
            f"Keep {AS_IT_IS}: the validation photos are too few to tell anything from it. More of "
            "them tell."
        )
    return (
        f"Keep {AS_IT_IS}: none of the finalists can be told from it with these photos and seeds "
        f"(highest: {top.name}, {_points(pair, measure)}, {_seeds(finalists, top)})."
    )


def _alike(record: SweepRecord) -> str:
    alike = alike_said(record)
    return f", both with {alike}," if alike else ""


def _better(
    finalists: Sequence[Finalist], pairs: Sequence[Pair], measure: Measure
) -> list[Finalist]:
    """Return the finalists that are better than the baseline, seeds considered, highest first."""
    out = []
    for one in _by_mean(finalists, measure):
        pair = _with_baseline(pairs, one.name)
        if pair is not None and pair.verdict == "better" and pair.is_within_seeds is not True:
            out.append(one)
    return out


def _by_mean(finalists: Sequence[Finalist], measure: Measure) -> list[Finalist]:
    """Return the finalists that are trials and have a mean, best first."""
    known = [one for one in finalists if one.metrics and not one.is_baseline]
    sign = -1.0 if measure.is_maximized else 1.0
    return sorted(known, key=lambda one: sign * (one.mean or 0.0))


def _with_baseline(pairs: Sequence[Pair], name: str) -> Pair | None:
    """Return the pair of the baseline, first, and ``name``.

    The baseline's runs are read first, and a comparison keeps that order.
    """
    return next((p for p in pairs if (p.first, p.second) == (BASELINE, name)), None)


def _is_equal(pairs: Sequence[Pair], one: str, other: str) -> bool:
    return any(
        {p.first, p.second} == {one, other} and p.verdict == "not distinguishable" for p in pairs
    )


def _points(pair: Pair, measure: Measure) -> str:
    d = pair.difference
    return f"{100 * d.value:+.1f} [{100 * d.low:.1f}, {100 * d.high:.1f}] points of {measure.name}"


def _seeds(finalists: Sequence[Finalist], best: Finalist) -> str:
    base = next((len(one.metrics) for one in finalists if one.is_baseline), 0)
    own = len(best.metrics)
    if base == own:
        return f"{own} seed{'' if own == 1 else 's'} each"
    return f"{own} seed{'' if own == 1 else 's'} against {base}"


def _of_means(record: SweepRecord, finalists: Sequence[Finalist], measure: Measure) -> str:
    ranked = _by_mean(finalists, measure)
    base = next((one for one in finalists if one.is_baseline and one.metrics), None)
    if not ranked:
        assert base is not None
        return (
            f"Nothing to decide: of the finals only {AS_IT_IS} came to a figure, {measure.name} "
            f"{base.mean_said(measure)}."
        )
    best = ranked[0]
    settings = settings_said(best.values, searched(record))
    n = len(best.metrics)
    lead = (
        f"{best.name} ({settings}) has the best mean of the finalists: {measure.name} "
        f"{best.mean_said(measure)} over {n} seed{'' if n == 1 else 's'}"
    )
    if base is None:
        return f"{lead}; there is no figure of {AS_IT_IS} to hold against it."
    gap = measure.better_by(best.mean or 0.0, base.mean or 0.0)
    n_base = len(base.metrics)
    held = (
        f"{AS_IT_IS} has {base.mean_said(measure)} over {n_base} seed{'' if n_base == 1 else 's'}"
    )
    if gap <= 0:
        return f"Keep {AS_IT_IS}: {lead}; {held}."
    return f"{lead}; {held}. Whether that is more than photos and seeds make is not said here."


def notes_of(record: SweepRecord, comparison: Comparison | None) -> list[str]:
    """Return what to mind, a sentence or two each, what could mislead most first."""
    measure, ranked = measure_of(record), record.ranked()
    out = flattery(record, measure)
    if comparison is not None:
        out += [*comparison.cautions, *_others_said(record, comparison)]
        few = comparison.runs[0].evidence.image_ids
        out.append(
            f"Trials were chosen and finalists compared on the same {len(few)} validation photos, "
            "so that the chosen one suits them a little better than others. The test set is "
            "untouched: run `fashion test` on the chosen one, once."
        )
    else:
        out.append(
            "All figures are of the validation set, by which trials are chosen; on other photos "
            "the chosen one will be a little worse. The test set is untouched: run `fashion test` "
            "on the chosen one, once."
        )
    if alike := alike_said(record):
        out.append(
            f"All trials had {alike}. What is decided holds for that; with other photos, epochs or "
            "sizes another choice may be better."
        )
    if ranked and not record.finals:
        out.append("Each trial was trained with one seed; what seeds differ by is not known.")
    out.append(f"{measure.sentence} is that of a trial's last validation, and not of its best one.")
    lengths = {len(trial.course) for trial in ranked}
    if len(lengths) > 1:
        out.append(
            f"Trials that ran to their end have {min(lengths)} to {max(lengths)} validations: they "
            "were not trained for equally long."
        )
    trial = chosen(record, comparison) or record.best()
    out += edges_said(record, trial) if trial else []
    counts = counts_of(record)
    if counts.get("pruned"):
        out.append(
            f"{counts['pruned']} trial(s) were stopped early because others were better by then; "
            "one of them might have overtaken those."
        )
    out += _lost_said(record)
    return out


def _others_said(record: SweepRecord, found: Comparison) -> list[str]:
    """Return in what else the finalists differ than what was searched."""
    keys = [one.key for one in searched(record)]
    others = [
        key
        for key in found.settings
        if key != "evaluated"
        and not any(f"{key}.".startswith(f"{k}.") or k.startswith(f"{key}.") for k in keys)
    ]
    if not others:
        return []
    return [
        f"The finalists differ in more than was searched, so that their figures tell of that as "
        f"well: {few(others)}."
    ]


def _lost_said(record: SweepRecord) -> list[str]:
    out = []
    if count := counts_of(record).get("failed"):
        out.append(f"{count} trial(s) failed and say nothing of their settings.")
    gone = [f for f in record.finals if f.outcome == "failed"]
    if gone:
        names = ", ".join(f"{final.finalist} seed {final.seed}" for final in gone[:4])
        more = f" and {len(gone) - 4} more" if len(gone) > 4 else ""
        out.append(f"{len(gone)} run(s) of the finals failed: {names}{more}.")
    if lost := lost_attempts(record):
        out.append(f"{lost} process(es) were lost or interrupted, and their trials continued.")
    return out


def edges_said(record: SweepRecord, trial: Trial) -> list[str]:
    """Return for which parameters a trial lies at the edge of what was searched."""
    parameters = searched(record)
    names = names_of([one.key for one in parameters])
    out: list[str] = []
    if not trial.metric and measure_of(record).scale == 100:
        return out  # it is the first of equals that find nothing
    for one in parameters:
        found = _edge(one, trial) if one.key in trial.values else None
        if found is not None:
            side, low, high = found
            out.append(
                f"{names[one.key]} of {trial_name(trial.number)}, "
                f"{value_said(trial.values[one.key])}, is at the {side} end of what was searched "
                f"({value_said(low)} to {value_said(high)}): better ones may lie beyond, so widen "
                "it."
            )
    return out


def _edge(parameter: Parameter, trial: Trial) -> tuple[str, float, float] | None:
    """Return which end of what range the trial's value is at."""
    value = trial.values[parameter.key]
    if not _is_number(value):
        return None
    if parameter.values:
        if len(parameter.values) < _LEAST_ORDERED or not all(map(_is_number, parameter.values)):
            return None
        low, high = min(parameter.values), max(parameter.values)
        side = "lower" if value == low else "upper" if value == high else None
        return (side, low, high) if side else None
    if "min" not in parameter.numbers:  # without ends
        return None
    low, high = parameter.examples()
    place = _place(value, low, high, parameter.is_log)
    if place <= _EDGE:
        return "lower", low, high
    return ("upper", low, high) if place >= 1 - _EDGE else None


def _place(value: float, low: float, high: float, is_log: bool) -> float:
    """Return where ``value`` lies between the ends, 0..1."""
    if high <= low:
        return 0.5
    if is_log and min(value, low) > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
