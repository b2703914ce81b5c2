"""Find photos that are copies or near-duplicates of each other, within and between sets.

    fashion data dedupe all.json --images photos --out groups.txt
    fashion data split all.json --fractions 0.8 0.1 0.1 --groups groups.txt --out .
    fashion data dedupe train.json test.json --images photos --out groups.txt --table pairs.csv

A *copy* has the same bytes; a *near-duplicate* looks the same by its perceptual hash (see
``photo_hashes``): scaled, brightened, compressed again, or the next shot of a series. A photo
that was mirrored, or cropped by a tenth, is another photo to the hash.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets_tools.name_lists import connected, write_groups
from datasets_tools.photo_hashes import N_BITS, PhotoHash, hash_photos
from datasets_tools.report import BadRows, add_max_bad_rows, say, sweep
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import atomic_open, refuse_overwrite, refuse_own_input, shown

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


def leaks(
    parts: Mapping[str, tuple[Sequence[str], str | os.PathLike[str]]],
    bad: BadRows,
    *,
    hashes_path: str | os.PathLike[str] | None = None,
    max_distance: int = MAX_DISTANCE,
    progress: bool = False,
) -> list[Pair]:
    """Find the photos of one part of a split that are in another too, or look as if.

    Args:
        parts: part -> file names and the folder that they are in.
        bad: the ledger for photos that are missing or damaged.
        hashes_path: file in which hashes are kept.
        max_distance: in bits of 256.
        progress: show a progress bar.

    Returns:
        The pairs that cross; none if the parts are clean.
    """
    photos: dict[Photo, PhotoHash] = {}
    for part, (names, images_dir) in parts.items():
        hashes = hash_photos(images_dir, names, bad, hashes_path, progress)
        photos |= photos_of(part, images_dir, hashes)
    pairs = find_pairs(photos, max_distance, progress)
    return crossing(pairs, {photo: photo.set_name for photo in photos})


def pair_lines(pairs: Sequence[Pair], limit: int = _SHOWN) -> Iterator[str]:
    """Yield a line a pair, up to ``limit``, and how many more there are."""
    for pair in pairs[:limit]:
        bits = f", {pair.distance} bits" if pair.kind == "near-duplicate" else ""
        yield f"  {pair.first}  =  {pair.second}  ({pair.kind}{bits})"
    if len(pairs) > limit:
        yield f"  and {len(pairs) - limit:,} more"


def write_table(path: str | os.PathLike[str], pairs: Iterable[Pair]) -> None:
    """Write the pairs as CSV: sets, file names, kind, distance."""
    with atomic_open(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("set_1", "file_name_1", "set_2", "file_name_2", "kind", "distance"))
        for pair in pairs:
            one, other = pair.first, pair.second
            writer.writerow((one.set_name, one.file_name, other.set_name, other.file_name,
                             pair.kind, pair.distance))  # fmt: skip


def add_hash_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all commands take that compare photos."""
    parser.add_argument(
        "--hashes", metavar="JSON", help="keep the hashes in this file, for the next time"
    )
    parser.add_argument(
        "--max-distance",
        type=_bits,
        default=MAX_DISTANCE,
        metavar="N",
        help=f"bits of {N_BITS} in which near-duplicates may differ (default: {MAX_DISTANCE})",
    )
    add_max_bad_rows(parser)


def _bits(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= N_BITS // 3):
        # Half of the bits differ between unlike photos; from a third on, pairs are chance.
        raise argparse.ArgumentTypeError(f"0 to {N_BITS // 3} bits expected, got {text!r}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data dedupe`` to ``parser``."""
    parser.add_argument(
        "annotations", nargs="+", metavar="ANN.json", help="a COCO file, or several to compare"
    )
    parser.add_argument(
        "--images",
        action="append",
        required=True,
        metavar="DIR",
        help="the folder of the photos: once for all files, or once for each in their order",
    )
    parser.add_argument(
        "--out", required=True, metavar="TXT", help="the group file, for fashion data split"
    )
    parser.add_argument("--table", metavar="CSV", help="write every pair and its distance")
    add_hash_arguments(parser)
    parser.add_argument("--force", action="store_true", help="overwrite --out and --table")


def run(args: argparse.Namespace) -> int:
    """Find the pairs as ``args`` say, write groups and table; return the exit code."""
    outs = [path for path in (args.out, args.table) if path]
    kept = [path for path in (*outs, args.hashes) if path]
    if len({os.path.realpath(path) for path in kept}) < len(kept):
        raise FashionError(
            f"--out, --table, --hashes: a file for each expected, got {', '.join(kept)}. Name "
            "them apart."
        )
    for path in outs:
        sweep(path)
        refuse_own_input(path, *args.annotations, *([args.hashes] if args.hashes else []))
        refuse_overwrite(path, args.force)
    folders = args.images * len(args.annotations) if len(args.images) == 1 else args.images
    if len(folders) != len(args.annotations):
        raise FashionError(
            f"--images: one folder, or one for each of the {len(args.annotations)} annotation "
            f"files, expected, got {len(folders)}."
        )
    bad = BadRows(args.max_bad_rows, ", ".join(args.annotations))
    photos: dict[Photo, PhotoHash] = {}
    for set_name, path, folder in zip(
        _set_names(args.annotations), args.annotations, folders, strict=True
    ):
        names = [image["file_name"] for image in read_coco(path)["images"]]
        hashes = hash_photos(folder, names, bad, args.hashes, progress=True)
        photos |= photos_of(set_name, folder, hashes)
    pairs = find_pairs(photos, args.max_distance, progress=True)
    groups = connected((pair.first, pair.second) for pair in pairs)
    names_of = connected([photo.file_name for photo in group] for group in groups)
    named = [group for group in names_of if len(group) > 1]
    write_groups(args.out, named, f"fashion data dedupe --max-distance {args.max_distance}")
    if args.table:
        write_table(args.table, pairs)
    for line in _report(args, photos, pairs, groups, bad):
        say(line)
    return 0


def _set_names(paths: Sequence[str]) -> list[str]:
    """Return a short name for each file: none for one alone, stems where they differ."""
    if len(paths) == 1:
        return [""]
    stems = [shown(Path(path).stem) for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    if len(set(paths)) < len(paths):
        raise FashionError(
            f"annotation files: each once expected, got {', '.join(paths)}. Name each once."
        )
    return [shown(path) for path in paths]


def _report(
    args: argparse.Namespace,
    photos: Mapping[Photo, PhotoHash],
    pairs: Sequence[Pair],
    groups: Sequence[Sequence[Photo]],
    bad: BadRows,
) -> Iterator[str]:
    yield from pair_lines(pairs)
    yield from bad.summary()
    set_of_name: dict[str, set[str]] = {}
    for photo in photos:
        set_of_name.setdefault(photo.file_name, set()).add(photo.path)
    twice = [name for name, paths in set_of_name.items() if len(paths) > 1]
    if twice:
        yield (
            f"note: {len(twice):,} names mean another photo in another set ({twice[0]}, ...); the "
            "group file cannot tell them apart. The table can."
        )
    if len(args.annotations) > 1:
        part_of = {photo: photo.set_name for photo in photos}
        yield f"between sets: {len(crossing(pairs, part_of)):,} of {len(pairs):,} pairs"
    largest = max(map(len, groups), default=0)
    n_of = {kind: sum(pair.kind == kind for pair in pairs) for kind in
            ("same file", "copy", "near-duplicate")}  # fmt: skip
    yield (
        f"{args.out}: {len(photos):,} photos, {n_of['copy']:,} copies, "
        f"{n_of['near-duplicate']:,} near-duplicates"
        + (f", {n_of['same file']:,} files in two sets" if n_of["same file"] else "")
        + f", {len(groups):,} groups"
        + (f", the largest of {largest}" if groups else "")
    )
