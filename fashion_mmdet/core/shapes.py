"""Many instances or detections as arrays: small to keep, quick to read, without pickles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import AnnotationError
from .rle import to_rle


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
        grids_NHW: (N, H, W) uint8, the probabilities over the box that each mask was made of, in
            255ths (:mod:`.paste`): what another mask threshold needs. None where none were kept.
        grid_box_xyxy: (N, 4) float32, px, the boxes that the grids are stretched into; likewise.
    """

    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    box_xywh: np.ndarray
    area_px: np.ndarray
    is_crowd: np.ndarray
    counts: tuple[str, ...] | None
    grids_NHW: np.ndarray | None = None
    grid_box_xyxy: np.ndarray | None = None

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
            and ``segmentation`` (a compressed code); all or none with ``grid`` (H, W) uint8 and
            ``grid_box_xyxy`` (4,) float32.
        position: image id -> position.
        label_key: where the label is.
    """
    given = list(entries)
    # The codes take a third of the room, sorted by image: neighbours are alike.
    given.sort(key=lambda e: position[e["image_id"]])
    masks = [e.get("segmentation") for e in given]
    has_grids = bool(given) and all("grid" in e for e in given)
    return Shapes(
        image=np.array([position[e["image_id"]] for e in given], dtype=np.int32),
        label=np.array([e[label_key] for e in given], dtype=np.int16),
        score=np.array([e.get("score", 1.0) for e in given], dtype=np.float64),
        box_xywh=np.array([e["bbox"] for e in given], dtype=np.float64).reshape(-1, 4),
        area_px=np.array([e["area"] for e in given], dtype=np.float64),
        is_crowd=np.array([bool(e.get("iscrowd", 0)) for e in given], dtype=bool),
        counts=None if None in masks else tuple(_text(m["counts"]) for m in masks if m),
        grids_NHW=np.stack([e["grid"] for e in given]) if has_grids else None,
        grid_box_xyxy=(
            np.array([e["grid_box_xyxy"] for e in given], dtype=np.float32) if has_grids else None
        ),
    )


def pack(shapes: Shapes) -> dict[str, np.ndarray]:
    """Return the arrays that hold ``shapes``, to be written."""
    arrays = {name: getattr(shapes, name) for name in _ARRAYS}
    if shapes.counts is not None:
        codes = [code.encode("ascii") for code in shapes.counts]
        arrays["codes"] = np.frombuffer(b"".join(codes), dtype=np.uint8)
        arrays["code_lengths"] = np.array([len(code) for code in codes], dtype=np.int64)
        # Where the masks are left out, to save room, their grids are no use.
        if shapes.grids_NHW is not None and shapes.grid_box_xyxy is not None:
            arrays["grids"], arrays["grid_box_xyxy"] = shapes.grids_NHW, shapes.grid_box_xyxy
    return arrays


def unpack(
    arrays: Mapping[str, np.ndarray], size_hw: np.ndarray, n_labels: int, where: str
) -> Shapes:
    """Return what :func:`pack` gave, checked before anything is indexed or drawn by it.

    Args:
        arrays: by name.
        size_hw: (I, 2) whole numbers, height and width of each image in px.
        n_labels: how many labels there are.
        where: what to name in an error.

    Raises:
        AnnotationError: naming the array that does not fit, or the code that is no mask of its
            image's size.
    """
    n = arrays["image"].shape[0]
    for name, (kind, shape) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype.kind not in kind or array.shape != (n, *shape):
            raise AnnotationError(
                f"{where}/{name}: shape {(n, *shape)} expected, got {array.shape} of "
                f"{array.dtype}. Evaluate again with `fashion test`."
            )
    for name, below in (("image", len(size_hw)), ("label", n_labels)):
        array = arrays[name]
        if array.size and (array.min() < 0 or array.max() >= below):
            raise AnnotationError(
                f"{where}/{name}: 0 to {below - 1} expected, got {array.min()} to {array.max()}. "
                "Evaluate again with `fashion test`."
            )
    require_within(arrays["score"], 0, 1, f"{where}/score")
    require_within(arrays["area_px"], 0, np.inf, f"{where}/area_px")
    require_within(arrays["box_xywh"], -_FAR_PX, _FAR_PX, f"{where}/box_xywh")
    counts = None
    if "codes" in arrays:
        # pycocotools trusts a code: one that is no mask makes it run for ever.
        sizes = size_hw[arrays["image"]].tolist()
        given = enumerate(zip(_split(arrays, n, where), sizes, strict=True))
        counts = tuple(
            to_rle({"size": [h, w], "counts": code}, h, w, f"{where}/codes[{i}]")["counts"]
            for i, (code, (h, w)) in given
        )
    has_grids = any(name in arrays for name in GRID_NAMES)
    if has_grids:
        _check_grids(arrays, n, where)
    return Shapes(
        **{name: arrays[name] for name in _ARRAYS},
        counts=counts,
        grids_NHW=arrays["grids"] if has_grids else None,
        grid_box_xyxy=arrays["grid_box_xyxy"] if has_grids else None,
    )


def require_within(array: np.ndarray, least: float, most: float, where: str) -> None:
    """Refuse numbers that are not finite, or not from ``least`` to ``most``.

    Raises:
        AnnotationError: naming the first such number.
    """
    good = np.isfinite(array) & (array >= least) & (array <= most)
    if not good.all():
        ends = f"at least {least:g}" + ("" if most == np.inf else f" and at most {most:g}")
        raise AnnotationError(
            f"{where}: finite numbers of {ends} expected, got {array[~good][0]}. "
            "Evaluate again with `fashion test`."
        )


def _check_grids(arrays: Mapping[str, np.ndarray], n: int, where: str) -> None:
    """Refuse grids that are not one for each of ``n`` masks, or boxes that nothing fits into."""
    lacking = [name for name in (*GRID_NAMES, "codes") if name not in arrays]
    if lacking:
        raise AnnotationError(
            f"{where}: masks, grids and their boxes together expected, got none of "
            f"{', '.join(lacking)}. Evaluate again with `fashion test`."
        )
    grids, boxes = arrays["grids"], arrays["grid_box_xyxy"]
    fits = grids.dtype == np.uint8 and grids.ndim == 3 and len(grids) == n
    if not fits or not all(1 <= side <= _MOST_CELLS for side in grids.shape[1:]):
        raise AnnotationError(
            f"{where}/grids: {n} grids of 1 to {_MOST_CELLS} cells a side as uint8 expected, got "
            f"{grids.shape} of {grids.dtype}. Evaluate again with `fashion test`."
        )
    if boxes.dtype != np.float32 or boxes.shape != (n, 4):
        raise AnnotationError(
            f"{where}/grid_box_xyxy: shape {(n, 4)} of float32 expected, got {boxes.shape} of "
            f"{boxes.dtype}. Evaluate again with `fashion test`."
        )
    require_within(boxes, -_FAR_PX, _FAR_PX, f"{where}/grid_box_xyxy")


def _split(arrays: Mapping[str, np.ndarray], n: int, where: str) -> list[str]:
    """Return the ``n`` codes that were joined."""
    codes, lengths = arrays["codes"], arrays["code_lengths"]
    fits = codes.dtype == np.uint8 and codes.ndim == 1
    fits &= lengths.dtype.kind in "iu" and lengths.shape == (n,)
    # Each alone first, so that the sum cannot wrap round to what is expected.
    fits = fits and not ((lengths < 0) | (lengths > codes.size)).any()
    if not fits or int(lengths.sum()) != codes.size:
        raise AnnotationError(
            f"{where}/codes: {n} run-length codes expected, got {lengths.size} in {codes.size} "
            "characters. Evaluate again with `fashion test`."
        )
    text, ends = codes.tobytes().decode("ascii"), np.cumsum(lengths).tolist()
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


#: No photo has so many pixels a side, and sums of such numbers do not overflow.
_FAR_PX = 2.0**31
#: Mask heads have 28 cells a side, some 112.
_MOST_CELLS = 256
_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "image": ("iu", ()),
    "label": ("iu", ()),
    "score": ("f", ()),
    "box_xywh": ("f", (4,)),
    "area_px": ("f", ()),
    "is_crowd": ("b", ()),
}
#: Names of all that :func:`pack` may give of instances, and of what it may give of detections too.
ARRAY_NAMES = (*_ARRAYS, "codes", "code_lengths")
GRID_NAMES = ("grids", "grid_box_xyxy")


def _text(counts: str | bytes) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
