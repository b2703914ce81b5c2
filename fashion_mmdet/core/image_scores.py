"""Figures that score each image alone: the notebook's own, and iMaterialist 2019's rule.

Both match masks within one image and class: detections in falling score (of equals the first),
each with the free instance that it overlaps best (of equals the last), one match each.
Every figure is kept by image, so that a bootstrap can draw images; what is shown is a mean or a
sum over them.

Crowds are left out of the ground truth. A detection that matches nothing, and at least half of
which lies in one crowd of its class, is neither right nor wrong. Both are counted. The sources
know no crowds: Matterport's would take one for an instance, and iMaterialist has none.

Neither figure is COCO's AP (:mod:`.average_precision`), which is the one to decide by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import AnnotationError, ConfigError
from .ground_truth import GroundTruth

#: The name under which the mean of :func:`imat2019_scores` is shown.
IMAT2019_LOCAL = "imat2019_local"
#: An overlap of this much is a match, by Matterport's code.
MATTERPORT_IOU = 0.5
#: An overlap above one of these is a match there, by Kaggle's rule. Divided, not added up, so that
#: an overlap of exactly 0.6 equals the third to the last bit.
IMAT2019_IOUS = np.arange(10, 20) / 20
# Of a detection's pixels; COCO asks for as much at an IoU threshold of 0.5.
_CROWD_SHARE = 0.5


@dataclass(frozen=True)
class ImageScores:
    """The notebook's figures, image by image and over all, at IoU 0.5 and a score threshold.

    Ratios of nothing (a precision without detections, a recall without instances) are nan by
    image, are left out of the means, and are 0 where nothing at all is left.

    Attributes:
        threshold: detections below this score were dropped.
        image_ids: (I,) int64, rising.
        ap: (I,) float64 in 0..1; nan for an image without instances.
        hits: (I,) int64, detections that met an instance.
        detections: (I,) int64, those that were held right or wrong.
        instances: (I,) int64, those to be found; no crowds.
        crowds: (I,) int64, annotations left out as crowds.
        in_crowd: (I,) int64, detections in a crowd, held neither right nor wrong.
    """

    threshold: float
    image_ids: np.ndarray
    ap: np.ndarray
    hits: np.ndarray
    detections: np.ndarray
    instances: np.ndarray
    crowds: np.ndarray
    in_crowd: np.ndarray

    @property
    def precision_by_image(self) -> np.ndarray:
        """(I,) float64: hits by detections, nan for an image without detections."""
        return _ratio(self.hits, self.detections)

    @property
    def recall_by_image(self) -> np.ndarray:
        """(I,) float64: hits by instances, nan for an image without instances."""
        return _ratio(self.hits, self.instances)

    @property
    def f1_by_image(self) -> np.ndarray:
        """(I,) float64: 2 TP / (2 TP + FP + FN), nan for an image with neither side."""
        return _ratio(2 * self.hits, self.detections + self.instances)

    @property
    def mean_ap(self) -> float:
        """Mean of :attr:`ap` over the images with instances: the notebook's mAP."""
        return _mean(self.ap)

    @property
    def mean_precision(self) -> float:
        """Mean over the images with detections."""
        return _mean(self.precision_by_image)

    @property
    def mean_recall(self) -> float:
        """Mean over the images with instances."""
        return _mean(self.recall_by_image)

    @property
    def mean_f1(self) -> float:
        """Mean over the images with detections or instances."""
        return _mean(self.f1_by_image)

    @property
    def precision(self) -> float:
        """All hits by all detections: every detection weighs the same."""
        return _mean(_ratio(self.hits.sum(), self.detections.sum()))

    @property
    def recall(self) -> float:
        """All hits by all instances: every instance weighs the same."""
        return _mean(_ratio(self.hits.sum(), self.instances.sum()))

    @property
    def f1(self) -> float:
        """Harmonic mean of :attr:`precision` and :attr:`recall`."""
        return _mean(_ratio(2 * self.hits.sum(), self.detections.sum() + self.instances.sum()))

    @property
    def without_instances(self) -> int:
        """How many images :attr:`mean_ap` leaves out because they have nothing to find."""
        return int((self.instances == 0).sum())


def matterport_scores(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]], threshold: float = 0.7
) -> ImageScores:
    """Score masks as the notebook did, with Matterport's ``compute_ap`` at IoU 0.5.

    For comparison with the notebook, not to decide by. How its AP differs from COCO's at IoU 0.5:

    * One curve per *image*, over all its classes together, then the mean over images. COCO draws
      one curve per *class* over all images, then takes the mean over classes. So here a rare
      class hardly weighs, an image with one instance weighs as one with seventy, and scores are
      compared within an image only: badly calibrated ones cost less.
    * The model's detections below ``threshold`` are gone before the curve is drawn, so its tail
      is missing. COCO takes all, up to 100 per image and class. Give 0 to drop none.
    * The area is exact, precision raised to the best at any higher recall. COCO reads it off at
      101 recalls.
    * An image without instances: Matterport divides by zero, so detections there make its AP,
      and every mean with it, nan; without detections its AP is 0, as for a complete failure.
      Here it is nan in both cases, left out of the mean and counted. COCO holds the detections
      there wrong, and so do ``precision`` and ``f1`` here.

    Two more differences to the notebook: it squashed masks to 512 x 512, here they keep the
    photo's size; and its printed precision (the curve's last point, always 0), recall and F1 do
    not follow from one another. Those here have the usual definitions, so only ``mean_ap`` can
    be held against its figure.

    Source: ``compute_matches`` and ``compute_ap`` in
    https://github.com/matterport/Mask_RCNN/blob/master/mrcnn/utils.py.

    Args:
        truth: from :func:`.read_ground_truth`, with masks.
        detections: dictionaries with ``image_id``, ``label``, ``score`` in 0..1 and
            ``segmentation`` (a compressed code of the image's size).
        threshold: the least score of a detection that counts, 0..1.

    Raises:
        AnnotationError: for a detection of an unknown image, or a mask of another size.
        ConfigError: for a threshold outside 0..1.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(
            f"matterport_scores: a score threshold in 0..1 expected, got {threshold!r}. "
            "Scores are fractions, not percent."
        )
    kept = (d for d in detections if d["score"] >= threshold)
    rows = []
    for image_id, instances, found in _by_image(truth, kept):
        hit_TD, void_TD, n_crowds = _match(instances, found, np.array([MATTERPORT_IOU]))
        hit_D, n_instances = hit_TD[0, ~void_TD[0]], len(instances) - n_crowds
        ap = _area_under_curve(hit_D, n_instances)
        counts = (hit_D.sum(), hit_D.size, n_instances, n_crowds, void_TD.sum())
        rows.append((image_id, ap, *counts))
    ids, ap_I, *counts_I = (np.array(column) for column in zip(*rows, strict=True))
    return ImageScores(threshold, ids.astype(np.int64), ap_I, *(c.astype(int) for c in counts_I))


def imat2019_scores(
    truth: GroundTruth,
    detections: Iterable[Mapping[str, Any]],
    report: Counter[str] | None = None,
) -> np.ndarray:
    """Score masks by the rule of iMaterialist (Fashion) 2019; shown as ``imat2019_local``.

    For each image the mean over IoU thresholds 0.50:0.05:0.95 of TP / (TP + FP + FN), where a
    match has an IoU *above* the threshold. An image with neither instances nor detections has 1,
    one with only one of them 0. The competition's figure is the mean over images.

    Not the official score, whose code is not public:

    * Masks keep the photo's size; the competition's are 512 x 512.
    * The label must agree; the competition wants the whole ClassId, attributes included.
    * The competition allows no pixel in two masks of one class; here nothing is cut.
    * All given detections count, so the caller drops low scores. Each false one costs here,
      whereas AP never loses by one with a low score.

    Source: https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6/overview/evaluation.

    Args:
        truth: from :func:`.read_ground_truth`, with masks.
        detections: as for :func:`matterport_scores`.
        report: where given, crowds and the detections in them are counted here; such a detection
            counts once, if it is held neither right nor wrong at one threshold or more.

    Returns:
        (I,) float64 in 0..1, in the order of rising image ids.

    Raises:
        AnnotationError: for a detection of an unknown image, or a mask of another size.
    """
    # "Above" as "at least the next number": the matching knows the one kind.
    least_T = np.nextafter(IMAT2019_IOUS, 1)
    scores = []
    left_out: Counter[str] = Counter()
    for _, instances, found in _by_image(truth, detections):
        hit_TD, void_TD, n_crowds = _match(instances, found, least_T)
        hits_T = hit_TD.sum(axis=1)
        false_T, n_instances = (~hit_TD & ~void_TD).sum(axis=1), len(instances) - n_crowds
        # TP + FN are the instances.
        share_T = _ratio(hits_T, false_T + n_instances)
        scores.append(np.where(np.isnan(share_T), 1.0, share_T).mean())
        left_out["crowd left out"] += n_crowds
        left_out["detection in a crowd, neither right nor wrong"] += int(void_TD.any(axis=0).sum())
    if report is not None:
        report.update(+left_out)  # the plus drops what was counted zero times
    return np.array(scores, dtype=np.float64)


def _by_image(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[int, list[Mapping[str, Any]], list[Mapping[str, Any]]]]:
    """Yield image id, its annotations, and its detections in falling score."""
    instances_of: dict[int, list[Mapping[str, Any]]] = {i: [] for i in truth.size_hw_of}
    found_of: dict[int, list[Mapping[str, Any]]] = {i: [] for i in truth.size_hw_of}
    for annotation in truth.annotations:
        instances_of[annotation["image_id"]].append(annotation)
    for detection in detections:
        image_id = detection["image_id"]
        if image_id not in found_of:
            raise AnnotationError(
                f"{truth.where}: detections on its own images expected, got one on image id "
                f"{image_id!r}. Give the annotations that the detections were made for."
            )
        size_hw, found_hw = truth.size_hw_of[image_id], tuple(detection["segmentation"]["size"])
        if found_hw != size_hw:
            raise AnnotationError(
                f"{truth.where}: image {image_id}: a predicted mask of the annotated size (height, "
                f"width) = {size_hw} expected, got {found_hw}. Was the photo resized or turned "
                "(EXIF) after it was annotated?"
            )
        found_of[image_id].append(detection)
    for image_id in sorted(found_of):
        # Sorting is stable: of equal scores the first stays first.
        found = sorted(found_of[image_id], key=lambda d: -d["score"])
        yield image_id, instances_of[image_id], found


def _match(
    instances: list[Mapping[str, Any]], found: list[Mapping[str, Any]], least_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Match the detections of one image, in falling score, at all overlaps asked for.

    Args:
        instances: the image's annotations, crowds among them.
        found: D detections.
        least_T: (T,) float64, rising: an IoU of at least this is a match.

    Returns:
        (T, D) bool twice: met an instance; met none but lies in a crowd. And the crowds.
    """
    hit_TD = np.zeros((least_T.size, len(found)), dtype=bool)
    void_TD = np.zeros_like(hit_TD)
    label_D = np.array([d["label"] for d in found])
    for label in {d["label"] for d in found} & {i["category_id"] for i in instances}:
        of_label = np.flatnonzero(label_D == label)
        annotated = [i for i in instances if i["category_id"] == label]
        crowd_G = np.array([bool(i["iscrowd"]) for i in annotated])
        # With a crowd this is the share of the detection that lies in it.
        iou_DG = coco_mask.iou(
            [found[d]["segmentation"] for d in of_label],
            [i["segmentation"] for i in annotated],
            crowd_G.astype(np.uint8).tolist(),
        )
        hit = _greedy(iou_DG[:, ~crowd_G], least_T)
        hit_TD[:, of_label] = hit
        void_TD[:, of_label] = ~hit & (iou_DG[:, crowd_G] >= _CROWD_SHARE).any(axis=1)
    return hit_TD, void_TD, sum(bool(i["iscrowd"]) for i in instances)


def _greedy(iou_DG: np.ndarray, least_T: np.ndarray) -> np.ndarray:
    """Return (T, D) bool: which detections, served in order, met a free instance."""
    hit_TD = np.zeros((least_T.size, len(iou_DG)), dtype=bool)
    free_TG = np.ones((least_T.size, iou_DG.shape[1]), dtype=bool)
    last = iou_DG.shape[1] - 1
    for d in np.flatnonzero((iou_DG >= least_T[0]).any(axis=1)):
        overlap_TG = np.where(free_TG & (iou_DG[d] >= least_T[:, None]), iou_DG[d], 0.0)
        t = np.flatnonzero(overlap_TG.any(axis=1))
        hit_TD[t, d] = True
        free_TG[t, last - overlap_TG[t, ::-1].argmax(axis=1)] = False
    return hit_TD


def _area_under_curve(hit_D: np.ndarray, n_instances: int) -> float:
    """Return the area under the precision envelope over recall; nan without instances."""
    if not n_instances:
        return float("nan")
    precision_D = np.cumsum(hit_D) / np.arange(1, hit_D.size + 1)
    envelope_D = np.maximum.accumulate(precision_D[::-1])[::-1]
    # Recall rises at the hits alone, each time by one instance.
    return float(envelope_D[hit_D].sum() / n_instances)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``, nan where ``whole`` is 0."""
    undefined = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else 0.0
