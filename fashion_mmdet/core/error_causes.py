"""Why detections are wrong and instances are missed: TIDE's causes, and what each costs in AP50.

TIDE (Bolya, Foley, Hays and Hoffman, ECCV 2020, https://arxiv.org/abs/2008.08115) gives each
wrong detection one cause, from how well it overlaps (``same``: the best instance of its class,
``other``: the best of another class, taken or not; f and b are the foreground and background IoU):

====== =============================================================================
loc    right class, badly placed: b <= same <= f
cls    well placed on another class: other >= f
dupe   right class, well placed, but a better scored detection has that instance
bkg    on nothing: no instance of any class overlaps by more than b
both   all else: wrong class and badly placed
====== =============================================================================

The first that holds is the cause, in this order. An instance without a detection is *missed*,
unless a loc or cls error lies on it, which *covers* it: mending that error would find it.

What a cause costs is AP50 with this one cause mended, minus AP50. Mended means: of the loc and
cls errors that cover an instance the best scored becomes right and the others go; all other
errors go; missed instances are taken from what is to be found. The costs do not add up to
1 - AP50, since mending one cause changes what another is worth.

Counts and costs equal those of the authors' ``tidecv`` 1.0.1 but for what follows COCO here:

* A detection in a crowd of its class is neither right nor wrong; tidecv leaves it out of AP and
  yet gives it a cause. It lies in it from an overlap of f on; in tidecv above f.
* 100 detections count per image *and class*; in tidecv 100 per image.
* Of two instances overlapped alike the last is matched; in tidecv the first.
* A class without instances is no part of AP; in tidecv its AP is 0 where it has detections. (A
  class whose instances are all mended away as missed has 0 as there, or is left out where it has
  no detections either.)
* Where every class is left out so, nothing that is to be found is unfound: AP50 with the missed
  mended is 1, and their cost 1 - AP50. There tidecv divides by zero.
* The 101 recall steps are those of pycocotools, which differ from tidecv's in the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .curves import RECALL_STEPS
from .errors import ConfigError
from .evidence import Evidence
from .matching import AREAS
from .overlaps import ImageOverlaps, best_last, least, overlaps


class Cause(IntEnum):
    """What became of a detection (all but MISSED), or an error to be mended (CLS to MISSED)."""

    VOID = -1
    RIGHT = 0
    CLS = 1
    LOC = 2
    BOTH = 3
    DUPE = 4
    BKG = 5
    MISSED = 6


class Fate(IntEnum):
    """What became of an instance; a crowd is not to be found."""

    CROWD = -1
    FOUND = 0
    COVERED = 1
    MISSED = 2


#: The errors, in TIDE's order.
ERRORS = (Cause.CLS, Cause.LOC, Cause.BOTH, Cause.DUPE, Cause.BKG, Cause.MISSED)
#: Sizes by area, each with the least area in px. COCO's 32 and 96 px squared count twice there.
SIZES = {name: AREAS[name][0] for name in ("small", "medium", "large")}


@dataclass(frozen=True)
class ErrorCauses:
    """D detections and G instances, in the order of ``evidence.found`` and ``evidence.truth``.

    Attributes:
        kind: what was overlapped, ``"segm"`` or ``"bbox"``.
        foreground_iou: from this IoU on an instance is found.
        background_iou: up to this IoU a detection lies on nothing.
        cause_D: (D,) int8, a :class:`Cause`; VOID for those neither right nor wrong.
        instance_D: (D,) int64, the instance concerned: the one found, mistaken for another class,
            badly placed on, found before, or overlapped best (both); -1 for bkg and void.
        iou_same_D: (D,) float64, best IoU with an instance of its class; crowds never count.
        iou_other_D: (D,) float64, best IoU with an instance of another class.
        fate_G: (G,) int8, a :class:`Fate`.
        detection_G: (G,) int64, the detection that found it, or the best scored that covers it;
            -1 for none.
        ap50: AP in 0..1 at the foreground IoU, the mean over the classes that have instances; NaN
            where none has.
        ap50_K: (K,) float64, by class, NaN without instances.
        counts: error -> how many.
        cost: error -> what AP50 would gain, 0..1, if all of them were mended; below 0 is 0. NaN
            where AP50 is.
        cost_false_positives: what it would gain if all wrong detections went.
        cost_false_negatives: what it would gain if nothing unfound were to be found.
        counts_KC: (K, 7) int64, right ones and errors by class, column ``Cause``. A detection
            counts for the class that it claims, a missed instance for its own.
        counts_SC: (3, 7) int64, the same by size (:data:`SIZES`): of the instance concerned; of
            the detection for bkg.
    """

    kind: str
    foreground_iou: float
    background_iou: float
    cause_D: np.ndarray
    instance_D: np.ndarray
    iou_same_D: np.ndarray
    iou_other_D: np.ndarray
    fate_G: np.ndarray
    detection_G: np.ndarray
    ap50: float
    ap50_K: np.ndarray
    counts: Mapping[Cause, int]
    cost: Mapping[Cause, float]
    cost_false_positives: float
    cost_false_negatives: float
    counts_KC: np.ndarray
    counts_SC: np.ndarray

    @property
    def iou_any_D(self) -> np.ndarray:
        """(D,) float64, best IoU with any instance."""
        return np.maximum(self.iou_same_D, self.iou_other_D)


def find_causes(
    evidence: Evidence, kind: str, foreground_iou: float = 0.5, background_iou: float = 0.1
) -> ErrorCauses:
    """Give each error its cause, and each cause its cost.

    Args:
        evidence: of one evaluation.
        kind: ``"segm"`` or ``"bbox"``: what is overlapped.
        foreground_iou: from this IoU on an instance is found.
        background_iou: up to this IoU a detection lies on nothing.

    Raises:
        AnnotationError: for masks where the evidence has none.
        ConfigError: for thresholds that are not 0 < background < foreground <= 1.
    """
    if not 0 < background_iou < foreground_iou <= 1:
        raise ConfigError(
            "error causes: 0 < background IoU < foreground IoU <= 1 expected, got "
            f"{background_iou!r} and {foreground_iou!r}. TIDE takes 0.1 and 0.5."
        )
    n_found = len(evidence.found)
    cause_D = np.full(n_found, Cause.VOID, dtype=np.int8)
    instance_D = np.full(n_found, -1, dtype=np.int64)
    iou_same_D, iou_other_D = np.zeros(n_found), np.zeros(n_found)
    fate_G = np.where(evidence.truth.is_crowd, Fate.CROWD, Fate.MISSED).astype(np.int8)
    detection_G = np.full(len(evidence.truth), -1, dtype=np.int64)
    for image in overlaps(evidence, kind):
        counted = ImageOverlaps(
            image.image, image.found_D, image.truth_G[~image.crowd_G],
            image.iou_DG[:, ~image.crowd_G], image.same_DG[:, ~image.crowd_G],
            image.crowd_G[~image.crowd_G],
        )  # fmt: skip
        iou_same_D[image.found_D] = (counted.iou_DG * counted.same_DG).max(axis=1, initial=0.0)
        iou_other_D[image.found_D] = (counted.iou_DG * ~counted.same_DG).max(axis=1, initial=0.0)
        taken_D = _greedy(counted, foreground_iou)
        cause, concerned = _causes(counted, taken_D, foreground_iou, background_iou)
        cause[(taken_D < 0) & image.in_crowd(foreground_iou)] = Cause.VOID
        cause_D[image.found_D] = cause
        has = (cause != Cause.VOID) & (concerned >= 0)
        instance_D[image.found_D[has]] = counted.truth_G[concerned[has]]
        _note_fates(image.found_D, cause_D, instance_D, fate_G, detection_G)
    sums = _Sums(evidence, cause_D, instance_D, fate_G, detection_G)
    ap50_K = sums.precisions(sums.right_D, sums.label_D, sums.kept_D, sums.n_K)
    counts_KC, counts_SC = _tables(evidence, cause_D, instance_D, fate_G)
    return ErrorCauses(
        kind, foreground_iou, background_iou, cause_D, instance_D, iou_same_D, iou_other_D, fate_G,
        detection_G, sums.ap50, ap50_K,
        counts={error: int(counts_KC[:, error].sum()) for error in ERRORS},
        cost={error: sums.cost_of(error) for error in ERRORS},
        cost_false_positives=sums.gain(sums.right_D, sums.label_D, sums.right_D, sums.n_K),
        cost_false_negatives=sums.gain(
            sums.right_D, sums.label_D, sums.kept_D, sums.without(fate_G != Fate.FOUND)
        ),
        counts_KC=counts_KC, counts_SC=counts_SC,
    )  # fmt: skip


def _greedy(image: ImageOverlaps, iou: float) -> np.ndarray:
    """Return (D,) int64: which instance each detection finds, as COCO matches; -1 for none."""
    taken_D = np.full(image.found_D.size, -1, dtype=np.int64)
    fits_DG = image.same_DG & (image.iou_DG >= least(iou))
    free_G = np.ones(image.truth_G.size, dtype=bool)
    for d in np.flatnonzero(fits_DG.any(axis=1)):
        fits_G = fits_DG[d] & free_G
        if fits_G.any():
            taken_D[d] = best_last(np.where(fits_G, image.iou_DG[d], -1.0))
            free_G[taken_D[d]] = False
    return taken_D


def _causes(
    image: ImageOverlaps, taken_D: np.ndarray, foreground: float, background: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (D,) int8 causes and (D,) int64 positions of the instances concerned, -1 for none."""
    n_found = image.found_D.size
    if not image.truth_G.size:
        return np.full(n_found, Cause.BKG, np.int8), np.full(n_found, -1, np.int64)
    same_DG = image.iou_DG * image.same_DG
    other_DG = image.iou_DG * ~image.same_DG
    same_D, other_D, any_D = (iou.max(axis=1) for iou in (same_DG, other_DG, image.iou_DG))
    rules = [
        (taken_D >= 0, Cause.RIGHT, taken_D),
        ((background <= same_D) & (same_D <= foreground), Cause.LOC, same_DG.argmax(axis=1)),
        (other_D >= foreground, Cause.CLS, other_DG.argmax(axis=1)),
        # What a detection overlaps so well and did not find, a better scored one had found.
        (same_D >= least(foreground), Cause.DUPE, same_DG.argmax(axis=1)),
        (any_D <= background, Cause.BKG, np.full(n_found, -1)),
        (np.ones(n_found, bool), Cause.BOTH, image.iou_DG.argmax(axis=1)),
    ]
    conditions = [rule[0] for rule in rules]
    cause = np.select(conditions, [np.full(n_found, rule[1]) for rule in rules])
    return cause.astype(np.int8), np.select(conditions, [rule[2] for rule in rules])


def _note_fates(
    found_D: np.ndarray,
    cause_D: np.ndarray,
    instance_D: np.ndarray,
    fate_G: np.ndarray,
    detection_G: np.ndarray,
) -> None:
    """Write down, for one image's detections in falling score, what they do for instances."""
    for wanted, fate in (((Cause.RIGHT,), Fate.FOUND), ((Cause.CLS, Cause.LOC), Fate.COVERED)):
        for d in found_D[np.isin(cause_D[found_D], wanted)].tolist():
            g = instance_D[d]
            if fate_G[g] == Fate.MISSED:  # of those that cover it, the best scored comes first
                fate_G[g], detection_G[g] = fate, d


class _Sums:
    """AP of the detections that count, as they are and with errors mended."""

    def __init__(
        self,
        evidence: Evidence,
        cause_D: np.ndarray,
        instance_D: np.ndarray,
        fate_G: np.ndarray,
        detection_G: np.ndarray,
    ) -> None:
        found, truth = evidence.found, evidence.truth
        # Of equal scores the first image comes first, as in COCO.
        self._order = np.lexsort((np.arange(len(found)), found.image, -found.score))
        self._cause_D, self._fate_G, self._gt_label = cause_D, fate_G, truth.label
        self._n_labels = len(evidence.classes)
        self.label_D = found.label.astype(np.int64)
        self.kept_D, self.right_D = cause_D != Cause.VOID, cause_D == Cause.RIGHT
        self.n_K = self.without(np.zeros(len(truth), dtype=bool))
        self.ap50 = self.mean(self.right_D, self.label_D, self.kept_D, self.n_K)
        # An instance has one error that can be mended into its being found.
        covered = fate_G == Fate.COVERED
        self._mendable_D = np.zeros(len(found), dtype=bool)
        self._mendable_D[detection_G[covered]] = True
        self._true_label_D = self.label_D.copy()
        self._true_label_D[detection_G[covered]] = truth.label[covered]

    def without(self, gone_G: np.ndarray) -> np.ndarray:
        """Return (K,) int64: how many instances are to be found, some gone, crowds never."""
        left_G = ~gone_G & (self._fate_G != Fate.CROWD)
        return np.bincount(self._gt_label[left_G], minlength=self._n_labels)

    def cost_of(self, error: Cause) -> float:
        """Return what AP50 gains, at least 0, where all errors of this cause are mended."""
        if error == Cause.MISSED:
            n_K = self.without(self._fate_G == Fate.MISSED)
            gain = self.gain(self.right_D, self.label_D, self.kept_D, n_K)
        else:
            of_cause_D = self._cause_D == error
            made_right_D = of_cause_D & self._mendable_D
            gain = self.gain(
                self.right_D | made_right_D,
                np.where(made_right_D, self._true_label_D, self.label_D),
                self.kept_D & (~of_cause_D | made_right_D),
                self.n_K,
            )
        # Steps of recall can make a mended set look worse by a trifle. NaN stays NaN.
        return float(np.maximum(gain, 0.0))

    def gain(
        self, right_D: np.ndarray, label_D: np.ndarray, kept_D: np.ndarray, n_K: np.ndarray
    ) -> float:
        """Return mended AP50 minus AP50; NaN only where there was nothing to find before."""
        mended = self.mean(right_D, label_D, kept_D, n_K)
        if np.isnan(mended) and not np.isnan(self.ap50):
            mended = 1.0  # all that was to be found is mended away: nothing is unfound
        return mended - self.ap50

    def mean(
        self, right_D: np.ndarray, label_D: np.ndarray, kept_D: np.ndarray, n_K: np.ndarray
    ) -> float:
        """Return the mean AP over the classes of which instances or detections are left."""
        ap_K = self.precisions(right_D, label_D, kept_D, n_K)
        left_K = np.bincount(label_D[kept_D], minlength=self._n_labels)
        ap_K = np.where(np.isnan(ap_K) & (left_K > 0), 0.0, ap_K)[self.n_K > 0]
        ap_K = ap_K[~np.isnan(ap_K)]
        return float(ap_K.mean()) if ap_K.size else float("nan")

    def precisions(
        self, right_D: np.ndarray, label_D: np.ndarray, kept_D: np.ndarray, n_K: np.ndarray
    ) -> np.ndarray:
        """Return COCO's AP by class, (K,) float64 in 0..1; NaN without instances."""
        ap_K = np.full(self._n_labels, np.nan)
        order = self._order[kept_D[self._order]]
        for label in np.flatnonzero(n_K > 0):
            hit_D = right_D[order[label_D[order] == label]]
            hits_D = np.cumsum(hit_D)
            precision_D = hits_D / (np.arange(1, hit_D.size + 1) + np.spacing(1))
            precision_D = np.maximum.accumulate(precision_D[::-1])[::-1]
            at = np.searchsorted(hits_D / n_K[label], RECALL_STEPS, side="left")
            ap_K[label] = precision_D[at[at < hit_D.size]].sum() / RECALL_STEPS.size
        return ap_K


def size_of(area_px: np.ndarray) -> np.ndarray:
    """Return the position in :data:`SIZES` of each area."""
    return np.searchsorted(list(SIZES.values())[1:], area_px, side="right")


def _tables(
    evidence: Evidence, cause_D: np.ndarray, instance_D: np.ndarray, fate_G: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    counts_KC = np.zeros((len(evidence.classes), len(ERRORS) + 1), dtype=np.int64)
    counts_SC = np.zeros((len(SIZES), len(ERRORS) + 1), dtype=np.int64)
    area_D = evidence.found.area_px.copy()
    area_D[instance_D >= 0] = evidence.truth.area_px[instance_D[instance_D >= 0]]
    kept, missed = cause_D != Cause.VOID, fate_G == Fate.MISSED
    for counts, of_found_D, of_truth_G in (
        (counts_KC, evidence.found.label, evidence.truth.label),
        (counts_SC, size_of(area_D), size_of(evidence.truth.area_px)),
    ):
        np.add.at(counts, (of_found_D[kept], cause_D[kept]), 1)
        counts[:, Cause.MISSED] = np.bincount(of_truth_G[missed], minlength=len(counts))
    return counts_KC, counts_SC
