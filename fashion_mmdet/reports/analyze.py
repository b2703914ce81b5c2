"""``fashion analyze``: where a run's errors are, what each kind costs, and what to mend first."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fashion_mmdet.core.calibration import reliability
from fashion_mmdet.core.confusion import confusion_matrix
from fashion_mmdet.core.error_causes import ERRORS, SIZES, Cause, find_causes
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import atomic_open_many, shown
from fashion_mmdet.core.thresholds import threshold_curves

from .analyze_pictures import pictures_of
from .analyze_plots import cause_plot, class_cause_plot, threshold_plot
from .analyze_words import (
    MEANING,
    NAMES,
    Analysis,
    class_pairs,
    lead,
    mend_first,
    notes,
    pair_said,
)
from .page import Table, render
from .plots import calibration_plot, confusion_plot
from .runs import Run
from .texts import code, csv_cell, inline, markdown

FILES = ("report.html", "report.md", "errors.csv")
_HEAD_ERRORS = [NAMES[error] for error in ERRORS]
_OF_CLASS = (
    "Detections are those held right or wrong. A detection counts for the class that it claims, a "
    "missed instance for its own. The score is the threshold with the class's best F1 at IoU 0.5, "
    "chosen on these photos; with few instances it is loose."
)
_OF_SIZE = (
    "By the area in px of the photo of the instance concerned, for background of the detection: "
    "small is below 32 x 32, large from 96 x 96 on."
)
_MOST_PAIRS = 15


def analyze(run: Run, score: float = 0.5) -> Analysis:
    """Measure a run's errors, by masks where it has them.

    Args:
        run: from :func:`.runs.read_runs`.
        score: the least score of a detection in the confusion matrix, 0..1.

    Raises:
        FashionError: for an evaluation without an instance to be found.
    """
    evidence = run.evidence
    if evidence.truth.is_crowd.all():
        raise FashionError(
            f"{run.path}: an evaluation on instances to be found expected, got none in "
            f"{evidence.annotations}. Evaluate on an annotated set."
        )
    matches = evidence.matches[run.overlap_kind]
    return Analysis(
        run=run,
        kind=run.overlap_kind,
        score=score,
        causes=find_causes(evidence, run.overlap_kind),
        confusion=confusion_matrix(evidence, run.overlap_kind, score),
        curves=threshold_curves(matches, len(evidence.classes)),
        reliability=reliability(matches),
    )


def cause_table(found: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: what each cause is, how often, and what it costs."""
    head = ["cause", "what it is", "errors", f"{found.what}, points to gain"]
    causes = found.causes
    rows = [
        [NAMES[e], MEANING[e], f"{causes.counts[e]:,}", f"{100 * causes.cost[e]:.1f}"]
        for e in ERRORS
    ]
    wrong = sum(causes.counts[e] for e in ERRORS if e != Cause.MISSED)
    unfound = int((causes.fate_G > 0).sum())
    rows += [
        ["all false positives", "nothing wrong is found any more", f"{wrong:,}",
         f"{100 * causes.cost_false_positives:.1f}"],
        ["all false negatives", "nothing unfound is left to find", f"{unfound:,}",
         f"{100 * causes.cost_false_negatives:.1f}"],
    ]  # fmt: skip
    return head, rows


def class_table(found: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one a class with instances or detections, the commonest first."""
    head = ["class", "instances", "detections", *_HEAD_ERRORS, "AP50, %", "score of best F1", "F1"]
    rows = []
    counts_K = found.curves.n_truth_K[:-1]
    for label in np.argsort(-counts_K, kind="stable").tolist():
        line = _class_line(found, label)
        if not line["instances"] and not line["detections"]:
            continue
        numbers = [f"{line[key]:,}" for key in ("instances", "detections", *map(_key, ERRORS))]
        ap50, best, f1 = line["ap50"], line["best_f1_threshold"], line["best_f1"]
        rows.append([
            line["class"], *numbers, "–" if ap50 is None else f"{100 * ap50:.1f}",
            "–" if best is None else f"{best:.2f}", "–" if f1 is None else f"{f1:.2f}",
        ])  # fmt: skip
    return head, rows


def _class_line(found: Analysis, label: int) -> dict[str, Any]:
    """Return what ``errors.csv`` says of a class; None for what is not known."""
    of_class, ap50 = found.causes.counts_KC[label], float(found.causes.ap50_K[label])
    best = found.curves.best(label)
    return {
        "class": found.run.evidence.classes[label],
        "instances": int(found.curves.n_truth_K[label]),
        "detections": int(of_class[: Cause.MISSED].sum()),
        "right": int(of_class[Cause.RIGHT]),
        **{_key(error): int(of_class[error]) for error in ERRORS},
        "ap50": None if np.isnan(ap50) else ap50,
        "best_f1_threshold": None if best is None else best.threshold,
        "best_f1": None if best is None else best.f1,
    }


def _key(error: Cause) -> str:
    return error.name.lower()


def size_table(found: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one a size."""
    counts_SC = found.causes.counts_SC
    rows = [[size, *(f"{n:,}" for n in counts_SC[s].tolist())] for s, size in enumerate(SIZES)]
    return ["size", "right", *_HEAD_ERRORS], rows


def pair_table(found: Analysis) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one a pair of classes that class errors mix up."""
    classes = found.run.evidence.classes
    pairs = class_pairs(found)[:_MOST_PAIRS]
    return ["mix-up", "errors"], [[pair_said(classes, t, p), f"{n:,}"] for t, p, n in pairs]


def errors_csv(found: Analysis) -> str:
    """Return one row a class; AP50, threshold and F1 in 0..1, empty where not known."""
    lines = [_class_line(found, label) for label in range(len(found.run.evidence.classes))]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({
            key: f"{value:.6g}" if isinstance(value, float) else csv_cell(value)
            for key, value in line.items()
        })  # fmt: skip
    return stream.getvalue()


def report_markdown(found: Analysis, command: str, remarks: Sequence[str]) -> str:
    """Return ``report.md``.

    Args:
        found: the analysis.
        command: by which it is made again.
        remarks: what to look out for.
    """
    out = [f"# Errors of {inline(found.run.name)}\n", f"{inline(lead(found))}\n"]
    first = [f"{n}. {inline(text)}" for n, text in enumerate(mend_first(found), 1)]
    out += ["## What to mend first\n", *first]
    out += ["", *(f"* {inline(remark)}" for remark in remarks), ""]
    for title, text, (head, rows), left in (
        ("Causes", "", cause_table(found), 2),
        ("Classes", _OF_CLASS, class_table(found), 1),
        ("Sizes", _OF_SIZE, size_table(found), 1),
        ("Class errors", "", pair_table(found), 1),
    ):
        if rows:
            out += [f"## {title}\n", *([f"{text}\n"] if text else []), markdown(head, rows, left)]
    return "\n".join([*out, f"Made by {code(command)}.\n"])


def report_html(found: Analysis, command: str, photos: str | None) -> tuple[str, list[str]]:
    """Return ``report.html``, plots and crops in it, and what is to be looked out for.

    Args:
        found: the analysis.
        command: by which it is made again.
        photos: the folder of the photos; None takes the one that the run names.
    """
    run, causes = found.run, found.causes
    grids, missing = pictures_of(found, photos)
    remarks = [*notes(found), *missing]
    confusion = confusion_plot(
        found.confusion.counts_TP, run.evidence.classes,
        f"What is taken for what, at scores from {found.score:g} on",
    )  # fmt: skip
    bins = found.reliability
    sections: list[Any] = [
        cause_plot(causes, found.what),
        Table("Causes", "The last two rows mend all errors of that side.",
              *cause_table(found), left=2),
        class_cause_plot(causes, run.evidence.classes),
        Table("Classes", _OF_CLASS, *class_table(found)),
        Table("Sizes", _OF_SIZE, *size_table(found)),
        confusion,
        Table("Class errors", "Well placed, but under another name; at all scores.",
              *pair_table(found)),
        threshold_plot(found.curves, run.split),
        calibration_plot({run.name: (bins.mean_score_B, bins.precision_B, bins.count_B)},
                         {run.name: bins.ece}),
        *grids,
    ]  # fmt: skip
    best = found.curves.best()
    figures = {
        found.what: f"{100 * causes.ap50:.1f} %",
        "photos": f"{len(run.evidence.image_ids):,}",
        "instances": f"{found.curves.n_truth_K[-1]:,}",
        "errors": f"{sum(causes.counts.values()):,}",
        "score of best F1": "–" if best is None else f"{best.threshold:.2f}",
        "calibration error": f"{100 * bins.ece:.1f} %" if np.isfinite(bins.ece) else "–",
    }
    mend = [f"Mend first ({n}): {text}" for n, text in enumerate(mend_first(found), 1)]
    said = f"{lead(found)} Made by: {command}"
    page = render(f"Errors of {run.name}", said, figures, [*mend, *remarks], sections)
    return page, remarks


def write_report(
    out: Path, found: Analysis, command: str, photos: str | None = None
) -> tuple[list[Path], list[str]]:
    """Write the three files of a report into ``out``; all of them or none.

    Returns:
        Their paths, and what is to be looked out for.
    """
    page, remarks = report_html(found, command, photos)
    paths = [out / name for name in FILES]
    texts = (page, report_markdown(found, command, remarks), errors_csv(found))
    with atomic_open_many(paths) as streams:
        for stream, text in zip(streams, texts, strict=True):
            stream.write(shown(text))
    return paths, remarks
