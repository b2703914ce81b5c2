"""The three figures that an operating point can be chosen for, photo by photo.

* ``f1``: instances of all classes pooled, masks that overlap by an IoU of 0.5: 2 TP / (2 TP + FP +
  FN), over all photos. At one score threshold it is that of :mod:`fashion_mmdet.core.thresholds`.
* ``imat2019``: the mean over photos of iMaterialist 2019's rule, see
  :func:`fashion_mmdet.core.image_scores.imat2019_scores`.
* ``ap``: COCO's mask AP, the mean over classes and IoU thresholds, see
  :mod:`fashion_mmdet.core.curves`.

The first two are ratios of sums over photos, so that any choice of photos, and a thousand draws of
them, can be read off one table. AP is not; it is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fashion_mmdet.core.bootstrap import N_DRAWS, Draws, draw_weights, draws_of
from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.image_scores import IMAT2019_IOUS
from fashion_mmdet.core.matching import AREAS, IOU_THRESHOLDS, MAX_DETECTIONS, Matches
from fashion_mmdet.core.operating_point import OperatingPoint

from .photos import Matching, Photo, Photos

#: The score thresholds that are tried. Divided, so that a score of 0.3 is at least 0.3.
SCORES = np.arange(5, 96) / 100
#: Where "score 0 and all that there is" is meant.
_NO_LIMIT = 100_000


class Outcome(Protocol):
    """What became of I photos at each of J score thresholds."""

    def values(self, which_I: np.ndarray) -> np.ndarray:
        """Return the figure, (J,) float64 in 0..1, of the photos that (I,) bool says."""

    def at(self, index_I: np.ndarray) -> Outcome:
        """Return that of each photo at a threshold of its own, by (I,) positions, as J = 1."""

    def joined(self, others: Sequence[Any], from_I: np.ndarray) -> Outcome:
        """Return photos each from one of ``others``, by (I,) positions among them, all J = 1."""

    def draws(self, n_draws: int = N_DRAWS, seed: int = 0) -> Draws:
        """Return the figure on draws of the photos, for J = 1; the same draws for the same seed."""


class Measure(Protocol):
    """One of the figures.

    Attributes:
        name: as on the command line.
        title: in words.
        scores: (J,) the score thresholds that are tried.
        reference: the point to beat.
        rules: the names of what is searched besides the score.
    """

    name: str
    title: str
    scores: np.ndarray
    reference: OperatingPoint
    rules: tuple[str, ...]

    def table(self, photos: Photos, point: OperatingPoint, label: int | None = None) -> Outcome:
        """Return what becomes of the photos at each of :attr:`scores`.

        Args:
            photos: I of them.
            point: the other rules.
            label: the class whose own threshold is varied; None varies that of all without one.
        """

    def of(self, photos: Photos, point: OperatingPoint) -> Outcome:
        """Return what becomes of the photos at ``point``, J = 1."""


@dataclass(frozen=True)
class Ratio:
    """A figure that is a ratio of sums over photos.

    Attributes:
        over_IJ: (I, J) float64.
        under_IJ: (I, J) float64.
        shows_I: (I,) bool, whether the photo has an instance.
    """

    over_IJ: np.ndarray
    under_IJ: np.ndarray
    shows_I: np.ndarray

    def values(self, which_I: np.ndarray) -> np.ndarray:
        return _ratio(self.over_IJ[which_I].sum(axis=0), self.under_IJ[which_I].sum(axis=0))

    def at(self, index_I: np.ndarray) -> Ratio:
        index_I1 = index_I[:, None]
        return Ratio(
            np.take_along_axis(self.over_IJ, index_I1, axis=1),
            np.take_along_axis(self.under_IJ, index_I1, axis=1),
            self.shows_I,
        )

    def joined(self, others: Sequence[Ratio], from_I: np.ndarray) -> Ratio:
        n = np.arange(from_I.size)
        over_I1 = np.stack([other.over_IJ for other in others])[from_I, n]
        under_I1 = np.stack([other.under_IJ for other in others])[from_I, n]
        return Ratio(over_I1, under_I1, self.shows_I)

    def draws(self, n_draws: int = N_DRAWS, seed: int = 0) -> Draws:
        weights_BI = draw_weights(len(self.over_IJ), n_draws, seed)
        drawn_B = _ratio(weights_BI @ self.over_IJ[:, 0], weights_BI @ self.under_IJ[:, 0])
        n_images = int(self.shows_I.sum())
        every = np.ones(len(self.over_IJ), dtype=bool)
        return Draws(self.values(every)[:1], drawn_B[:, None], np.array([n_images]), n_images)


class _Counted:
    """What the two ratios share: hits and misses of each photo at every score threshold."""

    scores = SCORES
    reference = OperatingPoint()
    rules: tuple[str, ...] = (
        "nms_iou", "nms_iou_any", "min_area", "max_count", "mask_threshold", "score_of"
    )  # fmt: skip
    matching: Matching

    def table(self, photos: Photos, point: OperatingPoint, label: int | None = None) -> Ratio:
        classes = photos.evidence.classes
        own_K = np.array([name in point.score_of for name in classes])
        varied_K = ~own_K if label is None else np.arange(len(classes)) == label
        shots = photos.at(point.mask_threshold)
        return self._ratios(shots, [
            self._counts(shot, point, varied_K[shot.label_D], shot.high_enough(point, classes))
            for shot in shots
        ])  # fmt: skip

    def of(self, photos: Photos, point: OperatingPoint) -> Ratio:
        shots = photos.at(point.mask_threshold)
        counts = []
        for shot in shots:
            order = shot.kept(point, shot.high_enough(point, photos.evidence.classes))
            counts.append(self._sums(shot, order))
        return self._ratios(shots, counts)

    def _counts(
        self, photo: Photo, point: OperatingPoint, varied_D: np.ndarray, high_D: np.ndarray
    ) -> np.ndarray:
        """Return (2, T, J) int64: hits and false ones with the thresholds of some varied.

        Args:
            photo: D detections.
            point: the rules.
            varied_D: (D,) bool, those whose threshold is varied.
            high_D: (D,) bool, whether the score is high enough as the point is.
        """
        # How many of the thresholds a detection reaches; the others have theirs all the time.
        level_D = np.where(
            varied_D, np.searchsorted(self.scores, photo.score_D, side="right"),
            np.where(high_D, self.scores.size, 0),
        )  # fmt: skip
        order = photo.kept(point, level_D > 0, limit=False)
        # Otherwise a low score of one class may be dropped for one of another that has gone.
        apart = point.nms_iou_any is None and order.size <= point.max_count
        if varied_D.all() or apart:
            order = order[: point.max_count]
            return self._at_levels(photo, order, level_D[order], self.scores.size)
        out = np.zeros((2, self.matching.least_T.size, self.scores.size), dtype=np.int64)
        edges = np.unique(np.r_[0, level_D[varied_D], self.scores.size])
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            order = photo.kept(point, level_D > low)
            out[..., low:high] = self._sums(photo, order)
        return out

    def _bits(self, photo: Photo, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (T, N) bool twice: right; neither right nor wrong."""
        bits_2N = np.stack(photo.met(order, self.matching))
        hit_TN, void_TN = bits_2N[:, None] >> np.arange(self.matching.least_T.size)[:, None] & 1
        return hit_TN.astype(bool), void_TN.astype(bool)

    def _sums(self, photo: Photo, order: np.ndarray) -> np.ndarray:
        """Return (2, T, 1) int64: hits and false ones among those at ``order``."""
        hit_TN, void_TN = self._bits(photo, order)
        n_hits, n_void = (np.count_nonzero(bits, axis=1) for bits in (hit_TN, void_TN))
        return np.stack([n_hits, order.size - n_hits - n_void])[..., None]

    def _at_levels(
        self, photo: Photo, order: np.ndarray, level_N: np.ndarray, n_levels: int
    ) -> np.ndarray:
        """Return (2, T, J) int64: hits and false ones among those of at least each level."""
        hit_TN, void_TN = self._bits(photo, order)
        by_level = np.argsort(-level_N, kind="stable")
        right_false = np.stack([hit_TN, ~hit_TN & ~void_TN])[..., by_level]
        sums = np.zeros((*right_false.shape[:2], order.size + 1), dtype=np.int64)
        np.cumsum(right_false, axis=2, out=sums[..., 1:])
        n_J = order.size - np.searchsorted(np.sort(level_N), np.arange(n_levels), side="right")
        return sums[..., n_J]

    def _ratios(self, photos: list[Photo], counts: list[np.ndarray]) -> Ratio:
        n_there_I = np.array([photo.gt_label_G.size for photo in photos])
        hits_ITJ, false_ITJ = np.stack(counts, axis=1)
        over_IJ, under_IJ = self.parts(hits_ITJ, false_ITJ, n_there_I[:, None, None])
        return Ratio(over_IJ, under_IJ, n_there_I > 0)

    def parts(
        self, hits_ITJ: np.ndarray, false_ITJ: np.ndarray, there_I11: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


class F1(_Counted):
    """Micro F1 at a mask IoU of 0.5."""

    name, title = "f1", "F1 of all classes together at mask IoU 0.5"
    matching = Matching("f1", np.array([0.5]), np.array([0.5]))

    def parts(
        self, hits_ITJ: np.ndarray, false_ITJ: np.ndarray, there_I11: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return 2.0 * hits_ITJ[:, 0], (hits_ITJ + false_ITJ + there_I11)[:, 0].astype(float)


class Imat2019(_Counted):
    """The competition's rule, as far as it is known."""

    name, title = "imat2019", "iMaterialist 2019's rule, mean over photos"
    # Its overlap lies above the threshold: at least the next number.
    matching = Matching("imat2019", np.nextafter(IMAT2019_IOUS, 1), np.full(10, 0.5))

    def parts(
        self, hits_ITJ: np.ndarray, false_ITJ: np.ndarray, there_I11: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        given_ITJ = (false_ITJ + there_I11).astype(float)
        share_ITJ = np.divide(hits_ITJ, given_ITJ, out=np.ones(hits_ITJ.shape), where=given_ITJ > 0)
        score_IJ = share_ITJ.mean(axis=1)
        return score_IJ, np.ones(score_IJ.shape)


class AveragePrecision:
    """COCO's mask AP; no score threshold can raise it, for a tail of low scores costs nothing."""

    name, title = "ap", "COCO mask AP 0.50:0.95, mean over classes"
    scores = np.zeros(1)
    reference = OperatingPoint(score=0.0, max_count=_NO_LIMIT)
    rules: tuple[str, ...] = ("nms_iou", "nms_iou_any", "min_area", "mask_threshold")
    matching = Matching("ap", IOU_THRESHOLDS, IOU_THRESHOLDS)

    def table(self, photos: Photos, point: OperatingPoint, label: int | None = None) -> Found:
        return self.of(photos, point)

    def of(self, photos: Photos, point: OperatingPoint) -> Found:
        classes = photos.evidence.classes
        found = []
        for photo in photos.at(point.mask_threshold):
            order = photo.kept(point, photo.high_enough(point, classes))
            hit_N, void_N = photo.met(order, self.matching)
            label_N = photo.label_D[order]
            by_label = np.argsort(label_N, kind="stable")
            starts = np.searchsorted(label_N[by_label], label_N[by_label])
            by_label = by_label[np.arange(order.size) - starts < MAX_DETECTIONS]
            found.append(
                _Detections(
                    label_N[by_label], photo.score_D[order][by_label], hit_N[by_label],
                    void_N[by_label],
                )
            )  # fmt: skip
        gt_labels = [np.sort(photo.gt_label_G) for photo in photos.at(point.mask_threshold)]
        image_ids = photos.evidence.image_ids[photos.images]
        return Found(image_ids, tuple(found), tuple(gt_labels), len(classes))


@dataclass(frozen=True)
class _Detections:
    """Of a photo, by label, then falling score; hit and void as of :meth:`.Photo.met`."""

    label_N: np.ndarray
    score_N: np.ndarray
    hit_N: np.ndarray
    void_N: np.ndarray


@dataclass(frozen=True)
class Found:
    """What AP is computed from: detections and labels of the instances, by photo."""

    image_ids: np.ndarray
    detections: tuple[_Detections, ...]
    gt_labels: tuple[np.ndarray, ...]
    n_labels: int

    def values(self, which_I: np.ndarray) -> np.ndarray:
        weights_BI = which_I.astype(float)[None]
        found_BKT = average_precisions(self.matches(), self.n_labels, weights_BI=weights_BI)
        return np.nan_to_num(mean_ap(found_BKT))

    def at(self, index_I: np.ndarray) -> Found:
        return self

    def joined(self, others: Sequence[Found], from_I: np.ndarray) -> Found:
        found = tuple(others[o].detections[i] for i, o in enumerate(from_I.tolist()))
        return Found(self.image_ids, found, self.gt_labels, self.n_labels)

    def draws(self, n_draws: int = N_DRAWS, seed: int = 0) -> Draws:
        return draws_of(self.matches(), self.n_labels, n_draws=n_draws, seed=seed)["mAP"]

    def matches(self) -> Matches:
        """Return them as :func:`fashion_mmdet.core.matching.match` would, for all sizes alone.

        Of a size range nothing counts.
        """
        sizes_D = [one.label_N.size for one in self.detections]
        hit_D, void_D = (
            np.concatenate([getattr(one, name) for one in self.detections])
            for name in ("hit_N", "void_N")
        )
        n, n_other = hit_D.size, len(AREAS) - 1
        everything = np.full((n, n_other), np.iinfo(np.uint16).max, dtype=np.uint16)
        det_label = np.concatenate([one.label_N for one in self.detections])
        det_image = np.repeat(np.arange(len(sizes_D)), sizes_D)
        group = det_image * self.n_labels + det_label
        gt_label = np.concatenate(self.gt_labels)
        gt_image = np.repeat(np.arange(len(sizes_D)), [g.size for g in self.gt_labels])
        return Matches(
            image_ids=self.image_ids,
            det_image=det_image.astype(np.int32),
            det_label=det_label.astype(np.int16),
            det_rank=(np.arange(n) - np.searchsorted(group, group)).astype(np.int16),
            det_score=np.concatenate([one.score_N for one in self.detections]),
            hit_DA=np.c_[hit_D | void_D, np.zeros((n, n_other), dtype=np.uint16)],
            void_DA=np.c_[void_D, everything],
            gt_image=gt_image.astype(np.int32),
            gt_label=gt_label.astype(np.int16),
            gt_void_GA=np.c_[
                np.zeros(gt_label.size, bool), np.ones((gt_label.size, n_other), bool)
            ],
        )


#: name -> measure
MEASURES: dict[str, Measure] = {m.name: m for m in (F1(), Imat2019(), AveragePrecision())}


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Return ``over / under``, 0 of nothing."""
    return np.divide(over, under, out=np.zeros(np.shape(over)), where=np.asarray(under) > 0)
