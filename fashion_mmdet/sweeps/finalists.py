"""What came of the finals: each finalist over fresh seeds, and against the config as it is."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside
from fashion_mmdet.reports.compare import Comparison, compare
from fashion_mmdet.reports.gather import Pair
from fashion_mmdet.reports.runs import read_runs

from .figures import Measure
from .record import BASELINE, Final, SweepRecord, Trial, trial_name

#: How the baseline is called in sentences.
AS_IT_IS = "the config as it is"


@dataclass(frozen=True)
class Finalist:
    """A finalist over its seeds.

    Attributes:
        name: :data:`.record.BASELINE`, or the name of its trial.
        values: config key -> value that was set.
        metrics: seed -> the sweep's metric, of the runs that came to an end with one.
        lacking: seed -> outcome, of the others.
        trial: what it was chosen for; None for the baseline.
    """

    name: str
    values: dict[str, Any]
    metrics: dict[int, float]
    lacking: dict[int, str]
    trial: Trial | None

    @property
    def is_baseline(self) -> bool:
        """Whether it is the swept config, nothing changed."""
        return self.name == BASELINE

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without any."""
        return float(np.mean(list(self.metrics.values()))) if self.metrics else None

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds; None without two."""
        values = list(self.metrics.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def mean_said(self, measure: Measure) -> str:
        """Return ``"4.6 ± 0.3"``."""
        spread = "" if self.spread is None else f" ± {measure.said(self.spread)}"
        return f"{measure.said(self.mean)}{spread}"


def finalists_of(record: SweepRecord) -> list[Finalist]:
    """Return the finalists, the baseline first, then as they are in the record."""
    of_name: dict[str, list[Final]] = {}
    for final in record.finals:
        of_name.setdefault(final.finalist, []).append(final)
    trials = {trial_name(trial.number): trial for trial in record.trials}
    out = []
    for name in sorted(of_name, key=lambda name: name != BASELINE):
        runs = of_name[name]
        out.append(
            Finalist(
                name=name,
                values=runs[0].values,
                metrics={f.seed: f.metric for f in runs if has_figure(f) and f.metric is not None},
                lacking={f.seed: f.outcome for f in runs if not has_figure(f)},
                trial=trials.get(name),
            )
        )
    return out


def has_figure(final: Final) -> bool:
    """Return whether a run of the finals came to its end with a metric."""
    return final.outcome == "done" and final.metric is not None


def compare_finals(
    folder: str | os.PathLike[str], record: SweepRecord
) -> tuple[Comparison | None, str | None]:
    """Compare the runs of the finals on the validation set, as ``fashion compare`` does.

    Args:
        folder: of the sweep, in which the runs' folders lie.
        record: of the sweep.

    Returns:
        The comparison, else None and why there is none: a record may have been copied without the
        runs' folders.
    """
    done = [final for final in record.finals if has_figure(final)]
    if not done:
        return None, None
    # The baseline first: a comparison's pairs have the earlier one as their first.
    done.sort(key=lambda final: final.finalist != BASELINE)
    try:
        paths = [inside(folder, final.work_dir, "work_dir of the finals") for final in done]
        gone = [path.name for path in paths if not (path / "evidence_val.npz").is_file()]
        if gone:
            return None, (
                f"The finals are not compared photo by photo: of {len(gone)} of {len(done)} runs "
                f"({few(gone)}) the evidence is not in this folder. Means over seeds are all that "
                "is said."
            )
        return compare(read_runs(paths, "val")), None
    except FashionError as error:
        return None, f"The finals are not compared photo by photo: {error}"


def named_pairs(record: SweepRecord, found: Comparison, measure: Measure) -> list[Pair]:
    """Return the verdicts, with the finalists' names in place of the runs'.

    By what the sweep searched on; by masks, where they have them, for a metric that is no AP.
    """
    kind = measure.kind if measure.kind in found.kinds else found.kind
    names = recipe_names(record, found)
    return [
        dataclasses.replace(pair, first=names[pair.first], second=names[pair.second])
        for pair in found.pairs
        if pair.kind == kind
    ]


def recipe_names(record: SweepRecord, found: Comparison) -> dict[str, str]:
    """Return a recipe's name, which is that of its first run, -> the finalist."""
    of_folder = {PurePosixPath(f.work_dir).name: f.finalist for f in record.finals}
    return {
        recipe.name: of_folder.get(Path(recipe.runs[0].path).name, recipe.name)
        for recipe in found.recipes
    }


def flattery(record: SweepRecord, measure: Measure) -> list[str]:
    """Return how the finalists' trials, by which they were chosen, compare with fresh seeds."""
    known = [
        (one, one.trial.metric, one.mean)
        for one in finalists_of(record)
        if one.trial is not None and one.trial.metric is not None and one.mean is not None
    ]
    if not known:
        return []
    lost = float(np.mean([measure.better_by(chosen, mean) for _, chosen, mean in known]))
    parts = [
        f"{one.name} had {measure.said(chosen)} when chosen, {one.mean_said(measure)} over "
        f"{len(one.metrics)} fresh seed{'' if len(one.metrics) == 1 else 's'}"
        for one, chosen, _ in known
    ]
    n_done = len(record.ranked())
    unit = " points" if measure.scale == 100 else ""
    if measure.apart(lost).strip("+-0.") and lost > 0:
        word = "lower" if measure.is_maximized else "higher"
        lead = (
            f"The best of {n_done} noisy trials flatters itself: over fresh seeds the finalists "
            f"are {measure.apart(lost).lstrip('+')}{unit} {word}, on the mean, than the values "
            "that chose them"
        )
    else:
        lead = "The finalists are no worse over fresh seeds than the trials that chose them"
    return [f"{lead}: {'; '.join(parts)}."]


def few(names: Sequence[str], count: int = 3) -> str:
    """Return the first names, and how many there are more."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
