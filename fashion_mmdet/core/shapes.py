"""Many instances or detections as arrays: small to keep, quick to read, without pickles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import AnnotationError


@dataclass(frozen=True)
class Shapes:
    """N instances or detections of some images.

    Attributes:
        image: (N,) int32, position in a list of image ids.
        label: (N,) int16.
        score: (N,) float64; 1 for an instance.
        box_xywh: (N, 4) float64, px.
        area_px: (N,) float64; of the mask, or of the box where there are no masks.
        is_crowd: (N,) bool.
        counts: the compressed run-length code of each mask, of its image's size; None where there
            are no masks.
    """

    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    box_xywh: np.ndarray
    area_px: np.ndarray
    is_crowd: np.ndarray
    counts: tuple[str, ...] | None

    def __len__(self) -> int:
        return int(self.image.size)

    def rle(self, n: int, size_hw: Sequence[int]) -> dict[str, Any]:
        """Return the mask of shape ``n`` as pycocotools takes it."""
        assert self.counts is not None
        return {"size": [int(v) for v in size_hw], "counts": self.counts[n]}


def to_shapes(
    entries: Iterable[Mapping[str, Any]], position: Mapping[int, int], label_key: str
) -> Shapes:
    """Gather COCO-style dictionaries.

    Args:
        entries: with ``image_id``, ``bbox`` (xywh, px), ``area`` and perhaps ``score``, ``iscrowd``
            and ``segmentation`` (a compressed code).
        position: image id -> position.
        label_key: where the label is.
    """
    given = list(entries)
    # The codes take a third of the room, sorted by image: neighbours are alike.
    given.sort(key=lambda e: position[e["image_id"]])
    masks = [e.get("segmentation") for e in given]
    return Shapes(
        image=np.array([position[e["image_id"]] for e in given], dtype=np.int32),
        label=np.array([e[label_key] for e in given], dtype=np.int16),
        score=np.array([e.get("score", 1.0) for e in given], dtype=np.float64),
        box_xywh=np.array([e["bbox"] for e in given], dtype=np.float64).reshape(-1, 4),
        area_px=np.array([e["area"] for e in given], dtype=np.float64),
        is_crowd=np.array([bool(e.get("iscrowd", 0)) for e in given], dtype=bool),
        counts=None if None in masks else tuple(_text(m["counts"]) for m in masks if m),
    )


def pack(shapes: Shapes) -> dict[str, np.ndarray]:
    """Return the arrays that hold ``shapes``, to be written."""
    arrays = {name: getattr(shapes, name) for name in _ARRAYS}
    if shapes.counts is not None:
        codes = [code.encode("ascii") for code in shapes.counts]
        arrays["codes"] = np.frombuffer(b"".join(codes), dtype=np.uint8)
        arrays["code_lengths"] = np.array([len(code) for code in codes], dtype=np.int64)
    return arrays


def unpack(
    arrays: Mapping[str, np.ndarray], n_images: int, n_labels: int, where: str
) -> Shapes:
    """Return what :func:`pack` gave, checked before anything is indexed by it.

    Raises:
        AnnotationError: naming the array that does not fit.
    """
    n = arrays["image"].shape[0]
    for name, (kind, shape) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype.kind not in kind or array.shape != (n, *shape):
            raise AnnotationError(
                f"{where}/{name}: shape {(n, *shape)} expected, got {array.shape} of "
                f"{array.dtype}. Evaluate again with `fashion test`."
            )
    for name, below in (("image", n_images), ("label", n_labels)):
        array = arrays[name]
        if array.size and (array.min() < 0 or array.max() >= below):
            raise AnnotationError(
                f"{where}/{name}: 0 to {below - 1} expected, got {array.min()} to {array.max()}. "
                "Evaluate again with `fashion test`."
            )
    counts = None
    if "codes" in arrays:
        text = arrays["codes"].astype(np.uint8).tobytes().decode("ascii")
        ends = np.cumsum(arrays["code_lengths"]).tolist()
        if len(ends) != n or (arrays["code_lengths"] < 0).any() or (ends or [0])[-1] != len(text):
            raise AnnotationError(
                f"{where}/codes: {n} run-length codes expected, got {len(ends)} in {len(text)} "
                "characters. Evaluate again with `fashion test`."
            )
        counts = tuple(text[a:b] for a, b in zip([0, *ends], ends, strict=False))
    return Shapes(**{name: arrays[name] for name in _ARRAYS}, counts=counts)


_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "image": ("iu", ()),
    "label": ("iu", ()),
    "score": ("f", ()),
    "box_xywh": ("f", (4,)),
    "area_px": ("f", ()),
    "is_crowd": ("b", ()),
}


def _text(counts: str | bytes) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
