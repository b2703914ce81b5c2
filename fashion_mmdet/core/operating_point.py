"""Which detections are shown, counted or handed in: an operating point of a trained model.

A model gives up to a hundred detections a photo, most of them with low scores. AP wants them all;
a picture, an F1 or a competition entry wants the ones that are more right than wrong. Where to cut
is chosen once, by ``fashion tune``, on photos that the result is not reported on, and kept in a
small JSON file that ``fashion predict`` and ``fashion test`` read.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import ConfigError
from .files import read_json, write_json

#: The name under which a run's own point lies in its folder.
FILE_NAME = "operating_point.json"
#: Areas are counted as on a photo squeezed to this many pixels a side, whatever its size: the
#: competition's masks have that size, and 20 px of a thumbnail are not 20 of a 6-megapixel photo.
AREA_SIDE_PX = 512
_VERSION = 1


@dataclass(frozen=True)
class OperatingPoint:
    """The rules by which detections are kept, in the order in which they are applied.

    Attributes:
        score: lowest score kept, 0..1.
        score_of: class name -> another lowest score for that class.
        nms_iou: of two masks of one class that overlap by more (IoU), the lower score goes.
        nms_iou_any: likewise of two masks of any two classes: one garment, one name.
        min_area: least area of a mask, in px of the photo squeezed to 512 x 512.
        max_count: most detections of a photo.
        mask_threshold: probability from which on a pixel is of the mask. It is applied where masks
            are made, before all of the above.
    """

    score: float = 0.5
    score_of: Mapping[str, float] = field(default_factory=dict)
    nms_iou: float | None = None
    nms_iou_any: float | None = None
    min_area: float = 0.0
    max_count: int = 100
    mask_threshold: float = 0.5

    def kept(
        self,
        classes: Sequence[str],
        labels: np.ndarray,
        scores: np.ndarray,
        rles: Sequence[Mapping[str, Any]] | None,
        size_hw: tuple[int, int],
    ) -> np.ndarray:
        """Return the positions of the detections of one photo to keep, in falling score.

        Args:
            classes: class names in label order.
            labels: (N,) whole numbers.
            scores: (N,) in 0..1.
            rles: the N masks as compressed COCO codes of ``size_hw``; None without masks, for
                which no overlap and no area is asked.
            size_hw: of the photo, px.
        """
        labels, scores = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
        least_K = np.array([self.score_of.get(name, self.score) for name in classes])
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= least_K[labels[order]]]
        if rles is not None and order.size:
            if self.needs_overlaps:
                codes = [dict(rles[n]) for n in order.tolist()]
                iou_NN = coco_mask.iou(codes, codes, [0] * len(codes))
                order = order[suppressed(self.too_close(labels[order], iou_NN))]
            if self.min_area > 0:
                area_px = coco_mask.area([dict(rles[n]) for n in order.tolist()])
                scale = AREA_SIDE_PX**2 / (size_hw[0] * size_hw[1])
                order = order[np.asarray(area_px) * scale >= self.min_area]
        return order[: self.max_count]

    @property
    def needs_overlaps(self) -> bool:
        """Whether a rule looks at how masks overlap."""
        return self.nms_iou is not None or self.nms_iou_any is not None

    def too_close(self, labels: np.ndarray, iou_NN: np.ndarray) -> np.ndarray:
        """Return (N, N) bool: whether two detections overlap by more than is allowed.

        Args:
            labels: (N,).
            iou_NN: their overlaps.
        """
        most_NN = np.full(iou_NN.shape, 2.0 if self.nms_iou_any is None else self.nms_iou_any)
        if self.nms_iou is not None:
            same_NN = labels[:, None] == labels[None, :]
            most_NN[same_NN] = np.minimum(most_NN[same_NN], self.nms_iou)
        return iou_NN > most_NN

    def in_words(self) -> str:
        """Return the rules that do something, as a line of text.

        >>> OperatingPoint(0.4, {"shoe": 0.3, "bag, wallet": 0.6}, nms_iou=0.5).in_words()
        'score 0.4 (shoe 0.3; bag, wallet 0.6), nms_iou 0.5'
        """
        own = "; ".join(f"{name} {score:g}" for name, score in self.score_of.items())
        words = [f"score {self.score:g}" + (f" ({own})" if own else "")]
        plain = OperatingPoint()
        for name in ("nms_iou", "nms_iou_any", "min_area", "max_count", "mask_threshold"):
            value = getattr(self, name)
            if value != getattr(plain, name):
                words.append(f"{name} {value:g}")
        return ", ".join(words)


def suppressed(too_close_NN: np.ndarray) -> np.ndarray:
    """Return (N,) bool: whether each, served in order, is too close to none kept before it."""
    before_NN = np.tril(too_close_NN, -1)
    keep = np.ones(len(before_NN), dtype=bool)
    for n in np.flatnonzero(before_NN.any(axis=1)).tolist():
        keep[n] = not (before_NN[n] & keep).any()
    return keep


def write_operating_point(
    path: str | os.PathLike[str], point: OperatingPoint, about: Mapping[str, Any]
) -> None:
    """Write ``point``, atomically.

    Args:
        path: the file.
        point: what to write.
        about: on what it was chosen and what it brought; ``classes``, the names of the model's
            classes, lets it be refused for a model with others.
    """
    write_json(
        path, {"version": _VERSION, "point": dataclasses.asdict(point), "about": dict(about)}, 1
    )


def read_operating_point(
    path: str | os.PathLike[str], classes: Sequence[str]
) -> tuple[OperatingPoint, dict[str, Any]]:
    """Read what :func:`write_operating_point` wrote: the point, and what is said about it.

    Raises:
        FashionError: for a file that is missing or no JSON.
        ConfigError: for one that is no operating point, or is one for other ``classes``: as far as
            the file tells, by name and in any order, for a point goes by names. That it fits
            another model of the same classes nobody can tell.
    """
    told = read_json(path)
    if not isinstance(told, dict) or told.get("version") != _VERSION:
        version = told.get("version") if isinstance(told, dict) else None
        raise ConfigError(
            f"{path}: an operating point of version {_VERSION} expected, got {version!r:.40}. "
            "Make it with `fashion tune`."
        )
    given, about = told.get("point"), told.get("about", {})
    if not isinstance(given, dict) or not isinstance(about, dict):
        raise ConfigError(
            f"{path}: 'point' and 'about' as objects expected, got others. Make it with "
            "`fashion tune`."
        )
    tuned_for = about.get("classes")
    if isinstance(tuned_for, list) and set(map(str, tuned_for)) != set(classes):
        apart = sorted(set(map(str, tuned_for)) ^ set(classes))
        raise ConfigError(
            f"{path}: a point tuned for the model's {len(classes)} classes expected, got one for "
            f"{len(tuned_for)} that differ ({', '.join(apart)[:80]}). Make one with `fashion tune`."
        )
    return checked_point(given, classes, str(path)), about


def checked_point(given: Mapping[str, Any], classes: Sequence[str], where: str) -> OperatingPoint:
    """Return the point that ``given`` spells, after looking at every value.

    Raises:
        ConfigError: naming the value that is none.
    """
    known = [f.name for f in dataclasses.fields(OperatingPoint)]
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{where}: one of {', '.join(known)} expected, got {name!r:.40}. Remove it."
            )
    for name in ("score", "mask_threshold"):
        if name in given:
            _require_share(given[name], f"{where}: {name}")
    for name in ("nms_iou", "nms_iou_any"):
        if given.get(name) is not None:
            _require_share(given[name], f"{where}: {name}")
    score_of = given.get("score_of", {})
    if not isinstance(score_of, Mapping):
        raise ConfigError(
            f"{where}: score_of: class names with scores expected, got {score_of!r:.40}."
        )
    for name, score in score_of.items():
        if name not in classes:
            raise ConfigError(
                f"{where}: score_of: names of the model's {len(classes)} classes expected, got "
                f"{name!r:.60}. Was it tuned for another model?"
            )
        _require_share(score, f"{where}: score_of {name!r}")
    area, count = given.get("min_area", 0.0), given.get("max_count", 100)
    if not _is_number(area) or not 0 <= area < math.inf:
        raise ConfigError(
            f"{where}: min_area: an area in px of at least 0 expected, got {area!r:.40}."
        )
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigError(
            f"{where}: max_count: a whole number of at least 1 expected, got {count!r:.40}."
        )
    if given.get("mask_threshold", 0.5) == 0:
        raise ConfigError(f"{where}: mask_threshold: more than 0 expected, got 0.")
    return OperatingPoint(**{**given, "score_of": dict(score_of)})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require_share(value: Any, where: str) -> None:
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{where}: a number from 0 to 1 expected, got {value!r:.40}.")
