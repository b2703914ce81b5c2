"""Evidence of evaluations that never were, of rectangles on small photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.core.shapes import to_shapes

SIDE = 64
CLASSES = ("dress", "shoe", "hat")


def rectangle(box_xywh: Sequence[int]) -> np.ndarray:
    x, y, w, h = box_xywh
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


def made(photos: Sequence[tuple[Sequence, Sequence]], classes=CLASSES) -> Evidence:
    """Return evidence of photos, each of instances ``(label, box)`` or, for a crowd, ``(label, box,
    True)``, and detections ``(label, box, score)``; boxes are xywh and whole, in px."""
    truth, found = [], []
    for image_id, (instances, detections) in enumerate(photos, start=1):
        for label, box, *crowd in instances:
            entry = {**_shape(image_id, box), "category_id": label, "iscrowd": int(any(crowd))}
            truth.append(entry)
        for label, box, score in detections:
            found.append({**_shape(image_id, box), "label": label, "score": score})
    ids = np.arange(1, len(photos) + 1)
    position = {int(i): int(i) - 1 for i in ids}
    return Evidence(
        classes=tuple(classes), annotations="val.json", sha256="a" * 64, photos=None,
        file_names={int(i): f"{i:04d}.jpg" for i in ids}, image_ids=ids,
        size_hw=np.full((len(ids), 2), SIDE), predicted=np.ones(len(ids), bool),
        truth=to_shapes(truth, position, "category_id"), found=to_shapes(found, position, "label"),
        matches={"segm": match(ids.tolist(), truth, found, "segm")},
    )  # fmt: skip


def _shape(image_id: int, box: Sequence[int]) -> dict:
    return {"image_id": image_id, "bbox": list(box), "area": box[2] * box[3],
            "segmentation": encode_mask(rectangle(box))}  # fmt: skip


def middling(n_photos: int = 40, seed: int = 0) -> Evidence:
    """Return what a middling model finds: shifted, twice, of another class, or not there."""
    rng = np.random.default_rng(seed)

    def box():
        w, h = rng.integers(4, 30, 2)
        return [int(v) for v in (rng.integers(0, SIDE - w), rng.integers(0, SIDE - h), w, h)]

    photos = []
    for _ in range(n_photos):
        instances, found = [], []
        for _ in range(rng.integers(0, 5)):
            label, (x, y, w, h) = int(rng.integers(3)), box()
            instances.append((label, (x, y, w, h), bool(rng.random() < 0.15)))
            for _ in range(rng.integers(0, 4)):
                dx, dy = (int(v) for v in rng.integers(-3, 4, 2))
                moved = (min(max(x + dx, 0), SIDE - w), min(max(y + dy, 0), SIDE - h), w, h)
                named = label if rng.random() < 0.7 else int(rng.integers(3))
                # Equal scores among them, and such as are tried.
                found.append((named, moved, float(np.round(rng.beta(3, 2), 2))))
        for _ in range(rng.integers(0, 4)):
            found.append((int(rng.integers(3)), box(), float(np.round(rng.beta(2, 4), 2))))
        photos.append((instances, found))
    return made(photos)


def indifferent(n_photos: int, seed: int) -> Evidence:
    """Return evidence on which no rule can gain but by chance.

    Of four instances of a photo two are found for sure; so F1 is 2 / 3, and a detection that is
    right one time in three, half of that, moves it neither way. Each photo has two such, whose
    scores are dealt out at random.
    """
    rng = np.random.default_rng(seed)
    photos = []
    for _ in range(n_photos):
        places = [(x, y, 10, 10) for x in (0, 16, 32, 48) for y in (0, 16, 32, 48)]
        places = [places[n] for n in rng.permutation(len(places))]
        labels = [int(label) for label in rng.integers(0, 3, 4)]
        instances = list(zip(labels, places[:4], strict=True))
        found = [(label, place, 0.97) for label, place in instances[:2]]
        for n, (label, place) in enumerate(instances[2:]):
            right = rng.random() < 1 / 3
            found.append((label, place if right else places[4 + n], float(rng.uniform(0.1, 0.9))))
        photos.append((instances, found))
    return made(photos)
