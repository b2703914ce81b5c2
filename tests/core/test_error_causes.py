"""TIDE's causes: a case by hand for each, and the counts and costs of the authors' tidecv.

``TIDECV`` holds what tidecv 1.0.1 (numpy 2.4.6, pycocotools 2.0.11) gives for the instances and
detections of :func:`made`, run once outside this project. Crowds are left out there, and with them
the detections in crowds, since tidecv gives those a cause; see the module's docstring.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from fashion_mmdet.core.curves import average_precisions
from fashion_mmdet.core.error_causes import ERRORS, Cause, Fate, find_causes
from fashion_mmdet.core.errors import AnnotationError, ConfigError
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.core.shapes import to_shapes

SIDE_PX = 128
CLASSES = ("coat", "dress", "shoe", "bag")
_Y, _X = np.mgrid[:SIDE_PX, :SIDE_PX]

#: kind -> AP50, then in TIDE's order (cls, loc, both, dupe, bkg, missed) counts and costs, then
#: the costs of false positives and of false negatives; all AP in 0..1.
TIDECV: dict[str, tuple] = {}


def entry(box_xywh, image_id, ellipse=False, **more):
    """Return a thing that fills its box, or the ellipse in it."""
    x, y, w, h = box_xywh
    if ellipse:
        mask = ((_X + 0.5 - x - w / 2) / w) ** 2 + ((_Y + 0.5 - y - h / 2) / h) ** 2 <= 0.25
    else:
        mask = (_X >= x) & (_X < x + w) & (_Y >= y) & (_Y < y + h)
    return {"image_id": image_id, "bbox": [x, y, w, h], "area": int(mask.sum()),
            "segmentation": encode_mask(mask), **more}  # fmt: skip


def gt(box_xywh, label, image_id=1, crowd=0, **more):
    return entry(box_xywh, image_id, category_id=label, iscrowd=crowd, **more)


def det(box_xywh, label, score, image_id=1, **more):
    return entry(box_xywh, image_id, label=label, score=score, **more)


def evidence_of(truth, found, image_ids=(1,), classes=CLASSES):
    position = {image_id: n for n, image_id in enumerate(image_ids)}
    return Evidence(
        classes=classes, annotations="made.json", sha256="0" * 64, photos=None,
        file_names={i: f"{i}.jpg" for i in image_ids}, image_ids=np.array(image_ids),
        size_hw=np.full((len(image_ids), 2), SIDE_PX),
        truth=to_shapes(truth, position, "category_id"), found=to_shapes(found, position, "label"),
        matches={kind: match(image_ids, truth, found, kind) for kind in ("bbox", "segm")},
    )  # fmt: skip


def made(seed=0, n_images=200, crowds=True):
    """Return image ids, instances and detections with every kind of error.

    Drawn by the standard library, whose numbers are the same in every version.
    """
    rng = random.Random(seed)
    truth, found = [], []
    for image_id in range(1, n_images + 1):
        for _ in range(int(rng.random() * 6)):
            side = rng.choice([14, 40, 110])
            box = [int(rng.random() * (126 - side)), int(rng.random() * (126 - side)),
                   int(side * (0.5 + rng.random() / 2)), int(side * (0.5 + rng.random() / 2))]
            label = int(rng.random() ** 2 * len(CLASSES))
            crowd = int(rng.random() < 0.1)
            if crowds or not crowd:
                truth.append(gt(box, label, image_id, crowd, ellipse=True))
            for _ in range(int(rng.random() * 4)):
                share = rng.choice([0.05, 0.1, 0.5]) * side
                near = [max(int(v + (rng.random() * 2 - 1) * share), low)
                        for v, low in zip(box, [0, 0, 3, 3], strict=True)]
                shown = label if rng.random() < 0.75 else int(rng.random() * len(CLASSES))
                found.append(det(near, shown, rng.random(), image_id, ellipse=True))
        if rng.random() < 0.4:
            box = [int(rng.random() * 100), int(rng.random() * 100), 20, 20]
            found.append(det(box, int(rng.random() * len(CLASSES)), rng.random(), image_id,
                             ellipse=True))  # fmt: skip
    return range(1, n_images + 1), truth, found
