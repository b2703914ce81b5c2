"""Masks resized, joined and taken from each other as run-length codes, without their bitmaps.

A bitmap of a 6-megapixel photo has six million values, the code of a garment on it some thousand
runs. All functions take compressed COCO codes that :mod:`.rle` has returned or checked, for
pycocotools trusts them, and return such codes, byte for byte what encoding the bitmap gives.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import MaskError
from .rle import encode_columns, from_runs, runs

# pycocotools counts pixels in 32 bits.
_MOST_PIXELS = 2**31 - 1


def resampled(rle: dict[str, Any], height_px: int, width_px: int) -> dict[str, Any]:
    """Resize a mask to ``height_px`` x ``width_px``: nearest neighbour, at the pixels' centres.

    Row i of the result is row ``floor((i + 0.5) * H / height_px)`` of the H source rows, and
    columns likewise.

    Args:
        rle: the mask, of any size.
        height_px: height of the result; at least 1.
        width_px: width of the result; at least 1.

    >>> resampled({"size": [2, 3], "counts": "022OO"}, 1, 3)  # rows 1 0 1, 1 0 0: the second
    {'size': [1, 3], 'counts': '012'}
    """
    if min(height_px, width_px) < 1 or height_px * width_px > _MOST_PIXELS:
        raise MaskError(
            f"resampled: a height and a width of at least 1 pixel (at most {_MOST_PIXELS} in all) "
            f"expected, got {height_px} x {width_px}. Choose another size."
        )
    source_h, source_w = rle["size"]
    starts, ends = runs(rle)
    if (source_h, source_w) == (height_px, width_px):
        return from_runs(starts, ends, height_px, width_px)
    rows = _sampled(source_h, height_px)
    columns = _sampled(source_w, width_px)
    if width_px <= source_w:
        # No column is taken twice, so the samples follow each other in the source as in the
        # result: a run of the result goes from the number of samples before one edge of a run of
        # the source to the number before the other.
        n_rows_before = np.searchsorted(rows, np.arange(source_h))
        n_columns_before = np.searchsorted(columns, np.arange(source_w + 1))

        def n_samples_before(edges: np.ndarray) -> np.ndarray:
            # numpy divides by one number with vector instructions, but not with remainders.
            column = edges // source_h
            n_columns = n_columns_before[column]
            is_sampled = n_columns_before[np.minimum(column + 1, source_w)] > n_columns
            n_rows = n_rows_before[edges - column * source_h]
            return n_columns * height_px + np.where(is_sampled, n_rows, 0)

        return from_runs(n_samples_before(starts), n_samples_before(ends), height_px, width_px)
    if not starts.size:
        return from_runs(starts, ends, height_px, width_px)
    # A wider result is one of a small photo: look up each sample, in the columns of the mask.
    x0, x1 = np.searchsorted(columns, (starts[0] // source_h, (ends[-1] - 1) // source_h + 1))
    edges = np.stack((starts, ends), axis=1).ravel()
    samples_WH = columns[x0:x1, None] * source_h + rows
    columns_WH = np.zeros((x1 - x0, height_px + 1), dtype=bool)
    columns_WH[:, :-1] = np.searchsorted(edges, samples_WH, side="right") & 1
    return encode_columns(columns_WH, int(x0), 0, height_px, width_px)


def _sampled(source_px: int, target_px: int) -> np.ndarray:
    """Return (target_px,) int64: which of ``source_px`` rows or columns each one shows."""
    return (2 * np.arange(target_px, dtype=np.int64) + 1) * source_px // (2 * target_px)


def union(rles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the pixels that are in any of ``rles``, one or more masks of one size.

    >>> union([{"size": [2, 3], "counts": "022OO"}, {"size": [2, 3], "counts": "222"}])
    {'size': [2, 3], 'counts': '051'}
    """
    if not rles:
        raise MaskError("union: at least one mask expected, got none.")
    return _merged(rles, intersect=False)


def intersection(rles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the pixels that are in all of ``rles``, one or more masks of one size."""
    if not rles:
        raise MaskError("intersection: at least one mask expected, got none.")
    return _merged(rles, intersect=True)


def without(rle: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the pixels of ``rle`` that are not in ``other``, a mask of the same size.

    >>> without({"size": [2, 3], "counts": "022OO"}, {"size": [2, 3], "counts": "123"})
    {'size': [2, 3], 'counts': '0130N'}
    """
    return _merged([rle, complement(other)], intersect=True)


def complement(rle: dict[str, Any]) -> dict[str, Any]:
    """Return the pixels that are not in ``rle``."""
    starts, ends = runs(rle)
    height_px, width_px = rle["size"]
    edges = np.concatenate(([0], np.stack((starts, ends), axis=1).ravel(), [height_px * width_px]))
    return from_runs(edges[0::2], edges[1::2], height_px, width_px)


def exclusive(
    rles: Sequence[dict[str, Any]],
    scores: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable] | None = None,
) -> list[dict[str, Any]]:
    """Give each pixel to one mask of a group at most: to that with the higher score.

    Args:
        rles: N masks of one size.
        scores: N numbers; of equal ones the first keeps the pixel.
        groups: what each mask belongs to, e.g. its class; None: all to one. Masks of two groups
            may overlap.

    Returns:
        The N masks in the order given, some of them now smaller or empty. One that overlaps no
        better one of its group is the very object given.

    >>> a, b = {"size": [2, 3], "counts": "022OO"}, {"size": [2, 3], "counts": "123"}
    >>> exclusive([a, b], [0.4, 0.5])[0], exclusive([a, b], [0.4, 0.5], ["shoe", "bag"])[0] is a
    ({'size': [2, 3], 'counts': '0130N'}, True)
    """
    n = len(rles)
    if len(scores) != n or (groups is not None and len(groups) != n):
        raise MaskError(
            f"exclusive: as many scores and groups as the {n} masks expected, got {len(scores)} "
            f"and {n if groups is None else len(groups)}."
        )
    members: dict[Hashable, list[int]] = {}
    for at in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").tolist():
        members.setdefault(None if groups is None else groups[at], []).append(at)
    out = list(rles)
    for ranked in members.values():
        _require_one_size([rles[at] for at in ranked])
        for place, better in enumerate(_overlapped(rles, ranked)):
            if better:
                at = ranked[place]
                out[at] = without(rles[at], union([rles[other] for other in better]))
    return out


def _overlapped(rles: Sequence[dict[str, Any]], ranked: list[int]) -> list[list[int]]:
    """Return for each of ``ranked`` the better ones of them that it overlaps.

    What the better ones have lost has gone to still better ones, so the pixels that are gone are
    those of the masks as given, and no mask has to wait for another.
    """
    if len(ranked) < 2:
        return [[]]
    masks = [rles[at] for at in ranked]
    # pycocotools compares the boxes first, and walks the runs of those that meet.
    iou_NN = np.tril(coco_mask.iou(masks, masks, [0] * len(masks)), -1)
    return [[ranked[other] for other in np.flatnonzero(row).tolist()] for row in iou_NN]


def _merged(rles: Sequence[dict[str, Any]], intersect: bool) -> dict[str, Any]:
    _require_one_size(rles)
    code = coco_mask.merge(list(rles), intersect=intersect)
    return {"size": list(rles[0]["size"]), "counts": code["counts"].decode("ascii")}


def _require_one_size(rles: Sequence[dict[str, Any]]) -> None:
    """Refuse masks of different sizes: of those pycocotools makes a mask of 0 x 0."""
    sizes = {tuple(rle["size"]) for rle in rles}
    if len(sizes) > 1:
        raise MaskError(
            f"mask arithmetic: masks of one size [height, width] expected, got {sorted(sizes)}. "
            "Resample them first."
        )
