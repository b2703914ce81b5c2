"""What the causes of errors mean, where they are, and what to mend first, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_mmdet.core.calibration import Reliability
from fashion_mmdet.core.confusion import Confusion
from fashion_mmdet.core.error_causes import ERRORS, SIZES, Cause, ErrorCauses
from fashion_mmdet.core.thresholds import ThresholdCurves

from .runs import Run
from .settings import partly_predicted

#: A cause that costs less AP50 is not worth a sentence.
_LEAST_COST = 0.002
_NAMED = 3

NAMES = {
    Cause.CLS: "class",
    Cause.LOC: "localisation",
    Cause.BOTH: "class and localisation",
    Cause.DUPE: "duplicate",
    Cause.BKG: "background",
    Cause.MISSED: "missed",
}
MEANING = {
    Cause.CLS: "right place, wrong class",
    Cause.LOC: "right class, badly placed",
    Cause.BOTH: "wrong class and badly placed",
    Cause.DUPE: "found a second time",
    Cause.BKG: "found where nothing is annotated",
    Cause.MISSED: "not found at all",
}
_HELP = {
    Cause.CLS: "See in the crops whether the annotators themselves keep these classes apart; if "
    "so, the model wants more photos of them.",
    Cause.LOC: "See in the crops whether parts are cut off, or two garments are taken for one.",
    Cause.BOTH: "These follow from poor places as well as from mixed-up classes; mend those first.",
    Cause.DUPE: "A lower model.test_cfg.rcnn.nms.iou_threshold keeps fewer second finds.",
    Cause.BKG: "See in the crops what is right and only not annotated: that is to be mended in the "
    "data, not in the model.",
    Cause.MISSED: "See in the tables whether it is small or rare ones: small ones want larger "
    "pictures, rare ones more photos.",
}


@dataclass(frozen=True)
class Analysis:
    """All that a report says of one run, measured.

    Attributes:
        run: its record and evidence.
        kind: what was overlapped, ``"segm"`` or ``"bbox"``.
        score: the least score of a detection in the confusion matrix.
        causes: each error's cause, over all detections.
        confusion: which class is taken for which.
        curves: precision, recall and F1 over score thresholds.
        reliability: whether scores mean what they say.
    """

    run: Run
    kind: str
    score: float
    causes: ErrorCauses
    confusion: Confusion
    curves: ThresholdCurves
    reliability: Reliability

    @property
    def what(self) -> str:
        """``"mask AP50"`` or ``"box AP50"``."""
        return "mask AP50" if self.kind == "segm" else "box AP50"


def set_said(found: Analysis) -> str:
    """Return what the run was scored on, in words."""
    evidence = found.run.evidence
    labels = evidence.truth.label[~evidence.truth.is_crowd]
    return (
        f"{len(evidence.image_ids):,} photos with {labels.size:,} instances of "
        f"{np.unique(labels).size} classes ({evidence.annotations}, {found.run.split})"
    )


def lead(found: Analysis) -> str:
    """Return the figure and what it was measured on."""
    return (
        f"{found.run.name} ({found.run.checkpoint}): {found.what} "
        f"{100 * found.causes.ap50:.1f} % on {set_said(found)}."
    )


def mend_first(found: Analysis, most: int = _NAMED) -> list[str]:
    """Return a sentence or two on each of the dearest causes, the dearest first.

    Where nothing is right, to mend one cause alone may gain nothing; then the commonest are named.
    """
    causes = found.causes
    if not len(found.run.evidence.found):
        return ["The model finds nothing at all. Train it longer, or see the learning rate."]
    ranked = sorted(ERRORS, key=lambda error: -causes.cost[error])
    dear = [error for error in ranked[:most] if causes.cost[error] >= _LEAST_COST]
    if not dear and causes.ap50 < 1 - _LEAST_COST and any(causes.counts.values()):
        common = sorted(ERRORS, key=lambda error: -causes.counts[error])[:most]
        return [
            f"{NAMES[error].capitalize()} ({MEANING[error]}): {causes.counts[error]:,} errors, "
            f"among the commonest; to mend one cause alone would gain nothing noticeable. "
            f"{where(found, error)} {_HELP[error]}"
            for error in common
            if causes.counts[error]
        ]
    if not dear:
        return ["No cause of errors costs AP50 noticeably."]
    return [
        f"{NAMES[error].capitalize()} ({MEANING[error]}): {causes.counts[error]:,} errors. Without "
        f"them {found.what} would be {100 * causes.cost[error]:.1f} points higher. "
        f"{where(found, error)} {_HELP[error]}"
        for error in dear
    ]


def where(found: Analysis, error: Cause) -> str:
    """Return in which classes, or pairs of classes, an error is most often."""
    classes = found.run.evidence.classes
    if error == Cause.CLS:
        pairs = class_pairs(found)[:_NAMED]
        return f"Most often: {'; '.join(f'{pair_said(classes, *p)} ({p[2]:,})' for p in pairs)}."
    of_class = found.causes.counts_KC[:, error]
    order = [int(k) for k in np.argsort(-of_class, kind="stable")[:_NAMED] if of_class[k]]
    named = "; ".join(f"{classes[k]} ({of_class[k]:,})" for k in order)
    of_size = dict(zip(SIZES, found.causes.counts_SC[:, error].tolist(), strict=True))
    sizes = ", ".join(f"{count:,} {size}" for size, count in of_size.items() if count)
    return f"Most often: {named}. By size: {sizes}."


def class_pairs(found: Analysis) -> list[tuple[int, int, int]]:
    """Return (true label, label found, count) of the class errors, the commonest first."""
    evidence, causes = found.run.evidence, found.causes
    wrong = np.flatnonzero(causes.cause_D == Cause.CLS)
    true = evidence.truth.label[causes.instance_D[wrong]].tolist()
    counts = Counter(zip(true, evidence.found.label[wrong].tolist(), strict=True))
    return [(t, p, n) for (t, p), n in sorted(counts.items(), key=lambda item: -item[1])]


def pair_said(classes: Sequence[str], true: int, taken: int, _: int = 0) -> str:
    """Return ``"coat taken for dress"``."""
    return f"{classes[true]} taken for {classes[taken]}"


def threshold_said(found: Analysis) -> str:
    """Return the score threshold with the best F1, and what that is worth."""
    best = found.curves.best()
    if best is None:
        return "No detection is right, so no score threshold is better than another."
    advice = "It is chosen on these photos, so on others F1 will be a little lower"
    advice += "; choose it by --split val." if found.run.split == "test" else "."
    return (
        f"Best F1 at a score of {best.threshold:.2f} and more: F1 {best.f1:.2f}, precision "
        f"{best.precision:.2f}, recall {best.recall:.2f}, at IoU 0.5. {advice}"
    )


def notes(found: Analysis) -> list[str]:
    """Return what to look out for in this report."""
    partial = partly_predicted(found.run)
    out = [partial] if partial else []
    if found.kind != found.run.kind:
        out.append("The masks were not kept, so errors are those of boxes (`--keep`).")
    out.append(threshold_said(found))
    void = int((found.causes.cause_D == Cause.VOID).sum())
    if void:
        out.append(
            f"{void:,} detections lie in crowds or are beyond the 100 best of a photo and class: "
            "neither right nor wrong, left out everywhere."
        )
    return out
