"""``FashionMetric``: COCO box and mask AP over labels that are matched by name."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from terminaltables import AsciiTable

from fashion_mmdet.core.average_precision import (
    IOU_TYPES,
    SIDES,
    SUMMARY,
    AveragePrecision,
    average_precision,
    checked,
)
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.files import sha256_of
from fashion_mmdet.core.ground_truth import GroundTruth, read_ground_truth
from fashion_mmdet.core.image_scores import IMAT2019_LOCAL, imat2019_scores, matterport_scores
from fashion_mmdet.core.matching import Matches, match
from fashion_mmdet.core.operating_point import OperatingPoint, read_operating_point
from fashion_mmdet.core.paste import paste_mask
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.core.shapes import to_shapes
from fashion_mmdet.core.thresholds import threshold_curves
from fashion_mmdet.core.views import has_view_46, mean_46, shoes_as_one

_DEFAULT = ("bbox", "segm")
#: Figures of the 46-class view.
_IN_46 = ("mAP", "mAP_50")
#: What masks are made with where they do not say: mmdet's own value.
_MASK_THRESHOLD = 0.5
#: Detections below are none to the competition's rule, which knows no scores.
IMAT2019_SCORE = 0.5


@METRICS.register_module()
class FashionMetric(BaseMetric):
    """COCO AP and AR of boxes, masks and their boundaries: overall, per class, per super-category.

    mmdet's ``CocoMetric`` scores label *n* as the *n*-th category of the annotation file, so a
    file in another order is scored under the wrong names. Here the file meets the classes by
    name, when the evaluation loop is built and before any training.

    The figures, all plain floats in 0..1: ``coco/segm_mAP``, ``_50``, ``_75``, ``_s``, ``_m``,
    ``_l`` as mmdet calls them, ``coco/segm_AR_1``, ``_10``, ``_100``, ``_s``, ``_m``, ``_l``,
    ``coco/segm_AP/<class>`` for every class with ground truth and
    ``coco/segm_AP_super/<super-category>``, the mean over its classes,
    ``coco/segm_AP_side/garments`` and ``/parts`` likewise; where the classes have shoe types,
    ``coco/segm_46_classes_mAP`` and ``_mAP_50``, in which each counts as ``shoe`` (see
    :mod:`fashion_mmdet.core.views`); the same for ``bbox`` and ``boundary``. With masks also
    ``coco/notebook/mAP_50``, ``precision``, ``recall`` and ``F1`` at a score of 0.7, and
    ``coco/imat2019_local`` at one of 0.5, or of what ``point`` keeps (see
    :mod:`fashion_mmdet.core.image_scores`). With ``point`` also ``coco/segm_F1_50``,
    ``segm_precision_50`` and ``segm_recall_50`` of what it keeps, every instance weighing the same
    (see :mod:`fashion_mmdet.core.thresholds`), and the same for ``bbox``; ``segm_F1_50`` is what
    ``fashion tune`` chooses by. What has nothing to measure (no ground truth of that class or size)
    is left out. A model that predicts nothing gets 0.0, so that ``save_best`` has something to
    compare.

    Args:
        ann_file: the COCO file to score against; all of its images count.
        metric: one or more of ``"bbox"``, ``"segm"`` and ``"boundary"``; the last takes some
            milliseconds a mask and is off by default.
        collect_device: as for every mmengine metric.
        prefix: as for every mmengine metric; ``"coco"``.
        point: a file of ``fashion tune``: what it drops is not scored, nor in the evidence. AP
            wants all detections, so that most points lower it.
        keep_grids: keep what the masks were made of in the evidence, some 80 kB a photo, so that
            ``fashion tune`` can search the mask threshold; for ``EncodedMaskHead``.

    Raises:
        ConfigError: for another ``metric``; for a point that was tuned for other classes, or has
            another mask threshold than masks were made with that do not say of what.
        AnnotationError: for a file that cannot be scored against, see
            :func:`~fashion_mmdet.core.ground_truth.read_ground_truth`.
    """

    default_prefix = "coco"

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = _DEFAULT,
        collect_device: str = "cpu",
        prefix: str | None = None,
        point: str | None = None,
        keep_grids: bool = False,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file = ann_file
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        if not self.metrics or not set(self.metrics) <= set(IOU_TYPES):
            raise ConfigError(
                f"FashionMetric: one or more of {', '.join(map(repr, IOU_TYPES))} as metric "
                f"expected, got {metric!r}."
            )
        self._needs_masks = set(self.metrics) != {"bbox"}
        if keep_grids and "segm" not in self.metrics:
            raise ConfigError(
                f"FashionMetric: 'segm' among the metrics expected with keep_grids, got {metric!r}."
            )
        self.point_file, self.keep_grids = point, keep_grids
        self._point: OperatingPoint | None = None
        self._grids: list[dict[str, Any]] | None = None
        self._mask_threshold: float | None = None
        self._truth: GroundTruth | None = None
        self._found: dict[str, list[dict[str, Any]]] = {}
        self._matches: dict[str, Matches] = {}
        self._photos: str | None = None
        self._predicted: set[int] = set()

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict[str, Any]) -> None:
        """Take the class names, and read the point and the annotation file with them."""
        self._dataset_meta = dataset_meta
        if self.point_file is not None:
            self._point, _ = read_operating_point(self.point_file, dataset_meta["classes"])
        if is_main_process():
            self._truth = read_ground_truth(
                self.ann_file, dataset_meta["classes"], masks=self._needs_masks
            )
            _report_truth(self._truth)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep what is scored, masks as run-length codes: one dictionary per image."""
        for sample in data_samples:
            found = sample["pred_instances"]
            # float64, so that a width is the exact difference of the two edges.
            boxes_xyxy, scores = _float64(found["bboxes"]), _float64(found["scores"])
            # Mask Scoring R-CNN ranks masks by a score of their own.
            mask_scores = _float64(found["mask_scores"]) if "mask_scores" in found else scores
            finite = np.isfinite(boxes_xyxy).all(axis=1) & np.isfinite(scores + mask_scores)
            kept: dict[str, Any] = {
                "image_id": sample["img_id"],
                "img_path": sample.get("img_path"),
                "boxes_xyxy": boxes_xyxy[finite],
                "labels": found["labels"].cpu().numpy()[finite],
                "bbox": scores[finite],
                "segm": mask_scores[finite],
                "not_finite": int((~finite).sum()),
            }
            if self._needs_masks:
                if "masks" not in found:
                    raise ConfigError(
                        f"FashionMetric: predictions with masks expected for {self.metrics}, got "
                        f"{sorted(found)}. Use a model with a mask head, or metric='bbox'."
                    )
                masks = [found["masks"][i] for i in np.flatnonzero(finite)]
                kept["masks"] = [self._encoded(mask) for mask in masks]
                kept["mask_thresholds"] = {self._threshold(mask) for mask in masks}
                if self.keep_grids:
                    kept["grids"] = [_grid(mask) for mask in masks]
            self.results.append(kept if self._point is None else self._at_point(kept))

    def _threshold(self, mask: Any) -> float | None:
        """Return what the mask is scored with; None where that is not known."""
        made_with = getattr(mask, "threshold", None)
        return made_with if self._point is None else float(self._point.mask_threshold)

    def _encoded(self, mask: Any) -> dict[str, Any]:
        """Return the mask's code, made anew where the point asks for another threshold."""
        if self._point is None:
            return _encoded(mask)
        wanted, made_with = self._point.mask_threshold, getattr(mask, "threshold", None)
        if wanted == (_MASK_THRESHOLD if made_with is None else made_with):
            return _encoded(mask)
        if getattr(mask, "grid", None) is None:
            raise ConfigError(
                f"{self.point_file}: mask_threshold: {made_with or _MASK_THRESHOLD}, with which "
                f"the masks were made, expected, got {wanted}: only EncodedMaskHead's can be made "
                "anew. Tune on evidence without grids."
            )
        return paste_mask(mask.grid, mask.box_xyxy, *mask["size"], wanted)

    def _at_point(self, image: dict[str, Any]) -> dict[str, Any]:
        """Return the predictions of one image without those that the point drops."""
        assert self._point is not None
        masks = image.get("masks")
        keep = self._point.kept(
            self._dataset_meta["classes"],
            image["labels"],
            image["bbox" if masks is None else "segm"],
            masks,
            tuple(masks[0]["size"]) if masks else (1, 1),
        )
        out = {**image, "n_found": len(image["labels"])}
        for name in ("boxes_xyxy", "labels", "bbox", "segm"):
            out[name] = image[name][keep]
        for name in {"masks", "grids"} & set(image):
            out[name] = [image[name][n] for n in keep.tolist()]
        return out

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Score the collected predictions of all ranks and log one table."""
        truth = self._truth
        if truth is None:
            raise ConfigError("FashionMetric: dataset_meta expected before evaluation, got none.")
        _report_predictions(truth, results)
        if self._point is not None:
            n_kept = sum(len(image["labels"]) for image in results)
            n_found = sum(image["n_found"] for image in results)
            _log(
                f"{self.point_file}: {self._point.in_words()}: {n_kept} of {n_found} predictions "
                "kept. AP would want them all."
            )
        measured: dict[str, AveragePrecision] = {}
        out: dict[str, float] = {}
        self._found, self._matches, self._photos = {}, {}, _folder(truth, results)
        self._predicted = {image["image_id"] for image in results}
        thresholds = set().union(*(image.get("mask_thresholds", ()) for image in results))
        self._mask_threshold = thresholds.pop() if len(thresholds) == 1 else None
        grids = [grid for image in results for grid in image.get("grids", ())]
        self._grids = grids if self.keep_grids else None
        for kind in self.metrics:
            found = self._found[kind] = checked(truth, _detections(results, kind), kind)
            ap = measured[kind] = average_precision(truth, found, kind)
            out.update({f"{kind}_{name}": value for name, value in ap.summary.items()})
            out.update({f"{kind}_AP/{truth.classes[i]}": v for i, v in ap.of_label.items()})
            out.update({f"{kind}_AP_super/{name}": v for name, v in ap.of_group.items()})
            out.update({f"{kind}_AP_side/{name}": v for name, v in ap.of_side.items()})
            if has_view_46(truth.classes):
                out.update(_in_46(truth, found, kind, ap))
        if "segm" in self._found:
            out.update(_by_image(truth, self._found["segm"], self._point is not None))
        _log(_table(truth, measured, out))
        if self._point is not None:
            for kind in self._kinds():
                at_50 = _at_50(self._matched(kind), len(truth.classes))
                out.update({f"{kind}_{name}_50": value for name, value in at_50.items()})
                said = ", ".join(f"{name} {100 * value:.1f}" for name, value in at_50.items())
                _log(f"{self.point_file}: {kind} of what it keeps at IoU 0.5, %: {said or '-'}.")
        return out

    def _kinds(self) -> list[str]:
        """Return what was scored and can be kept: masks' outlines are not."""
        return [kind for kind in ("bbox", "segm") if kind in self._found]

    def _matched(self, kind: str) -> Matches:
        """Return how the detections of the last evaluation fared, found once."""
        assert self._truth is not None
        if kind not in self._matches:
            self._matches[kind] = match(
                self._truth.size_hw_of, self._truth.annotations, self._found[kind], kind
            )
        return self._matches[kind]

    def evidence(self) -> Evidence | None:
        """Return how each detection and instance of the last evaluation fared; None before one.

        On the main process alone; boundaries are left out, as masks' outlines are not kept.
        """
        truth, kinds = self._truth, self._kinds()
        if truth is None or not kinds:
            return None
        # Masks last: their codes, and their scores where those are others.
        found = self._found[kinds[-1]]
        if self._grids is not None:
            found = [{**d, **grid} for d, grid in zip(found, self._grids, strict=True)]
        image_ids = sorted(truth.size_hw_of)
        position = {image_id: n for n, image_id in enumerate(image_ids)}
        return Evidence(
            classes=truth.classes,
            annotations=os.path.basename(self.ann_file),
            sha256=sha256_of(self.ann_file),
            photos=self._photos,
            file_names=truth.file_names,
            image_ids=np.array(image_ids, dtype=np.int64),
            size_hw=np.array([truth.size_hw_of[i] for i in image_ids], dtype=np.int64),
            predicted=np.isin(image_ids, list(self._predicted)),
            truth=to_shapes(truth.annotations, position, "category_id"),
            found=to_shapes(found, position, "label"),
            matches={kind: self._matched(kind) for kind in kinds},
            mask_threshold=self._mask_threshold,
            made_with={} if self._point is None else {"point": dataclasses.asdict(self._point)},
        )


def _in_46(
    truth: GroundTruth, found: list[dict[str, Any]], kind: str, in_49: AveragePrecision
) -> dict[str, float]:
    """Return the figures of the 46-class view, see :mod:`.core.views`."""
    shoes = average_precision(*shoes_as_one(truth, found), kind)
    figures = zip(
        _IN_46,
        (
            mean_46(truth.classes, in_49.of_label, shoes.of_label),
            mean_46(truth.classes, in_49.of_label_50, shoes.of_label_50),
        ),
        strict=True,
    )
    return {f"{kind}_46_classes_{name}": value for name, value in figures if value is not None}


def _by_image(truth: GroundTruth, found: list[dict[str, Any]], is_chosen: bool) -> dict[str, float]:
    """Return the figures that score each image alone, see :mod:`.core.image_scores`.

    Args:
        truth: what to score against.
        found: the detections.
        is_chosen: whether a point has said which of them count; else a score does.
    """
    notebook = matterport_scores(truth, found)
    sure = [d for d in found if is_chosen or d["score"] >= IMAT2019_SCORE]
    return {
        "notebook/mAP_50": notebook.mean_ap,
        "notebook/precision": notebook.precision,
        "notebook/recall": notebook.recall,
        "notebook/F1": notebook.f1,
        IMAT2019_LOCAL: float(imat2019_scores(truth, sure).mean()),
    }


def _at_50(matches: Matches, n_labels: int) -> dict[str, float]:
    """Return F1, precision and recall of all detections at IoU 0.5, without what is of nothing."""
    curves = threshold_curves(matches, n_labels, np.zeros(1))
    values_K1 = {"F1": curves.f1_KT, "precision": curves.precision_KT, "recall": curves.recall_KT}
    found = {name: float(of_K1[-1, 0]) for name, of_K1 in values_K1.items()}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _encoded(mask: Any) -> dict[str, Any]:
    """Return a mask's code: what ``EncodedMaskHead`` gives, or made of another head's bitmap."""
    if isinstance(mask, Mapping):
        return {"size": mask["size"], "counts": mask["counts"]}
    # One at a time: a hundred bitmaps of a large photo are gigabytes.
    return encode_mask(mask.cpu().numpy())


def _grid(mask: Any) -> dict[str, Any]:
    """Return what a mask was made of, as the evidence keeps it."""
    if getattr(mask, "grid", None) is None:
        raise ConfigError(
            f"FashionMetric: masks of EncodedMaskHead, with their grids, expected for keep_grids, "
            f"got {type(mask).__name__} without. Leave keep_grids out."
        )
    # Nothing but nan makes an empty mask, as zeros do.
    grid = np.rint(255 * np.nan_to_num(mask.grid)).astype(np.uint8)
    return {"grid": grid, "grid_box_xyxy": np.asarray(mask.box_xyxy, dtype=np.float32)}


def _folder(truth: GroundTruth, results: list[dict[str, Any]]) -> str | None:
    """Return the folder that the photos were read from; None where that cannot be told."""
    for image in results:
        path, name = image.get("img_path"), truth.file_names.get(image["image_id"])
        if path and name and path.endswith(f"/{name}"):
            return path.removesuffix(f"/{name}")
    return None


def _float64(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _detections(results: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    for image in results:
        for i, (x0, y0, x1, y1) in enumerate(image["boxes_xyxy"].tolist()):
            detection = {
                "image_id": image["image_id"],
                "label": int(image["labels"][i]),
                "score": float(image["bbox" if kind == "bbox" else "segm"][i]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
            if kind != "bbox":
                detection["segmentation"] = image["masks"][i]
            yield detection


def _report_truth(truth: GroundTruth) -> None:
    for reason, count in sorted(truth.report.items()):
        level = logging.INFO if "derived" in reason else logging.WARNING
        _log(f"{truth.where}: {count} x {reason}.", level)
    if truth.faults:
        _log(f"the first of {len(truth.faults)} invalid masks: {truth.faults[0]}", logging.WARNING)


def _report_predictions(truth: GroundTruth, results: list[dict[str, Any]]) -> None:
    """Say what makes the figures lower than the model deserves, or the same for any model."""
    missing = len(set(truth.size_hw_of) - {r["image_id"] for r in results})
    if missing:
        _log(
            f"{truth.where}: {missing} of {len(truth.size_hw_of)} images were not predicted; "
            "their instances count as missed.",
            logging.WARNING,
        )
    if not any(len(r["labels"]) for r in results):
        _log("the model predicts nothing on any image: every AP is 0.0.", logging.WARNING)
    broken = sum(r["not_finite"] for r in results)
    if broken:
        _log(f"{broken} predictions that are not finite numbers left out.", logging.WARNING)
    foreign = Counter(
        int(label) for r in results for label in r["labels"] if label not in truth.count_of
    )
    if foreign:
        _log(
            f"{sum(foreign.values())} predictions of {len(foreign)} classes without ground truth "
            "cannot be scored."
        )


def _table(
    truth: GroundTruth, measured: dict[str, AveragePrecision], figures: dict[str, float]
) -> str:
    """Return the figures in percent: overall, super-categories, classes; '-' = not measurable."""

    def row(name: str, count: int | str, values: list[float | None]) -> list[str]:
        return [name, str(count), *("-" if v is None else f"{100 * v:.1f}" for v in values)]

    aps = list(measured.values())
    rows = [["AP, %", "instances", *measured]]
    total = sum(truth.count_of.values())
    for name in (*SUMMARY, "AR_100"):
        rows.append(row(f"all: {name}", total, [ap.summary.get(name) for ap in aps]))
    if has_view_46(truth.classes):
        for name in _IN_46:
            values = [figures.get(f"{kind}_46_classes_{name}") for kind in measured]
            rows.append(row(f"46 classes: {name}", total, values))
    for side in dict.fromkeys(side for ap in aps for side in ap.of_side):
        members = [i for i in truth.count_of if truth.groups[i] in SIDES[side]]
        count = sum(truth.count_of[i] for i in members)
        rows.append(row(side, count, [ap.of_side.get(side) for ap in aps]))
    for group in dict.fromkeys(g for ap in aps for g in ap.of_group):
        members = [i for i, g in enumerate(truth.groups) if g == group]
        count = sum(truth.count_of[i] for i in members)
        rows.append(row(f"super: {group}", count, [ap.of_group.get(group) for ap in aps]))
    for label in sorted(truth.count_of):
        values = [ap.of_label.get(label) for ap in aps]
        rows.append(row(truth.classes[label], truth.count_of[label], values))
    empty = len(truth.classes) - len(truth.count_of)
    note = f"\n{empty} of {len(truth.classes)} classes have no ground truth here." if empty else ""
    return f"{truth.where}\n{AsciiTable(rows).table}{note}"


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message, logger="current", level=level)
