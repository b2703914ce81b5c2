"""Photos that are copies or near-duplicates of each other: all pairs of hashes, compared.

A *copy* has the same bytes; a *near-duplicate* looks the same by its perceptual hash (see
``photo_hashes``): scaled, brightened, compressed again, or the next shot of a series. A photo
that was mirrored, or cropped by a tenth, is another photo to the hash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from datasets_tools.photo_hashes import PhotoHash

#: Hashes that differ in at most this many of their 256 bits look the same. Of the 366,796 pairs of
#: 857 photos of Clothing Co-Parsing six are at 20 to 42 bits, all true near-duplicates, and the
#: next is at 76, two people in one pose: 56 lies amid the gap. A frame 5 % smaller moves a hash
#: by 36 bits (50 at most), a brighter or smaller copy by 22 at most. The distances of unlike
#: photos are spread around 126 by 10: of the 1e9 pairs of 45,625 such photos, none is expected.
MAX_DISTANCE = 56

_BLOCK = 2048  # 2048 x 2048 products of float32 are 16 MB
_SHOWN = 20


@dataclass(frozen=True, order=True)
class Photo:
    """A photo of a set; ``path`` tells whether two sets mean the same file."""

    set_name: str
    file_name: str
    path: str

    def __str__(self) -> str:
        return f"{self.set_name}: {self.file_name}" if self.set_name else self.file_name


@dataclass(frozen=True)
class Pair:
    """Two photos that are the same in some way.

    Attributes:
        first, second: the photos.
        kind: ``"same file"``, ``"copy"`` (the same bytes) or ``"near-duplicate"``.
        distance: bits in which the hashes differ, of 256; 0 for files and copies.
    """

    first: Photo
    second: Photo
    kind: str
    distance: int


def near_rows(
    bits_NB: np.ndarray, max_distance: int = MAX_DISTANCE, progress: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs of rows that differ in at most ``max_distance`` bits.

    All pairs are compared, block by block: n(n - 1) / 2 products of rows of +1 and -1, which are
    B - 2 distance. Memory: 4 B bytes a row, three blocks of 16 MB, and what is found.

    Args:
        bits_NB: bool, (N, B).
        max_distance: in bits.
        progress: show a progress bar where stderr is a terminal.

    Returns:
        Index of the first row, of the second (first < second), and distance: three int arrays.
    """
    n_rows, n_bits = bits_NB.shape
    signs_NB = np.where(bits_NB, np.float32(1), np.float32(-1))
    least = n_bits - 2 * max_distance
    found = [np.empty((3, 0), dtype=np.int64)]
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    for i in tqdm(range(0, n_rows, _BLOCK), desc="compare", unit="block", disable=hidden):
        for j in range(i, n_rows, _BLOCK):
            products = signs_NB[i : i + _BLOCK] @ signs_NB[j : j + _BLOCK].T
            rows, columns = np.nonzero(products >= least)
            distances = (n_bits - products[rows, columns].astype(np.int64)) // 2
            block = np.stack((rows + i, columns + j, distances))
            found.append(block[:, block[0] < block[1]])
    first, second, distance = np.concatenate(found, axis=1)
    return first, second, distance


def find_pairs(
    photos: Mapping[Photo, PhotoHash], max_distance: int = MAX_DISTANCE, progress: bool = False
) -> list[Pair]:
    """Find files, copies and near-duplicates that are in ``photos`` more than once.

    Of photos with one and the same look, or the same bytes, each is paired with the first alone,
    so that a thousand blank photos make a thousand pairs and not half a million.

    Returns:
        Pairs, files first, then copies, then by distance; names decide ties.
    """
    pairs: list[Pair] = []
    first_of: dict[tuple[str, str], Photo] = {}
    for photo in sorted(photos):
        hashes = photos[photo]
        keys = (("same file", photo.path), ("copy", hashes.sha256),
                ("near-duplicate", hashes.phash))  # fmt: skip
        seen = next((key for key in keys if key in first_of), None)
        if seen:
            pairs.append(Pair(first_of[seen], photo, seen[0], 0))
        for key in keys:
            first_of.setdefault(key, photo)
    looks = sorted({hashes.phash for hashes in photos.values()})
    if looks:
        packed = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8)
        bits_NB = np.unpackbits(packed.reshape(len(looks), -1), axis=1).astype(bool)
        for i, j, distance in zip(*near_rows(bits_NB, max_distance, progress), strict=True):
            one, other = sorted(first_of["near-duplicate", looks[k]] for k in (i, j))
            pairs.append(Pair(one, other, "near-duplicate", int(distance)))
    rank = {"same file": 0, "copy": 1, "near-duplicate": 2}
    return sorted(pairs, key=lambda p: (rank[p.kind], p.distance, p.first, p.second))


def crossing(pairs: Iterable[Pair], part_of: Mapping[Photo, str]) -> list[Pair]:
    """Return the pairs whose photos are in two parts; a photo in no part crosses nothing."""
    return [
        pair
        for pair in pairs
        if pair.first in part_of
        and pair.second in part_of
        and part_of[pair.first] != part_of[pair.second]
    ]


def photos_of(
    set_name: str, images_dir: str | os.PathLike[str], hashes: Mapping[str, PhotoHash]
) -> dict[Photo, PhotoHash]:
    """Return the photos of one set, as :func:`find_pairs` takes them."""
    folder = os.path.realpath(images_dir)
    return {
        Photo(set_name, name, os.path.realpath(os.path.join(folder, name))): one
        for name, one in hashes.items()
    }


def pair_lines(pairs: Sequence[Pair], limit: int = _SHOWN) -> Iterator[str]:
    """Yield a line a pair, up to ``limit``, and how many more there are."""
    for pair in pairs[:limit]:
        bits = f", {pair.distance} bits" if pair.kind == "near-duplicate" else ""
        yield f"  {pair.first}  =  {pair.second}  ({pair.kind}{bits})"
    if len(pairs) > limit:
        yield f"  and {len(pairs) - limit:,} more"
