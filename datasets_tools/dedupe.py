"""Find photos that are copies or near-duplicates of each other, within and between sets.

    fashion data dedupe all.json --images photos --out groups.txt
    fashion data split all.json --fractions 0.8 0.1 0.1 --groups groups.txt --out .
    fashion data dedupe train.json test.json --images photos --out groups.txt --table pairs.csv

What a copy and a near-duplicate are, see ``near_photos``. The group file has names alone: where one
means another photo in another set, all are ``SET/file_name``, as ``fashion data merge --prefix``
names photos.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from datasets_tools.folders import absent_photos
from datasets_tools.name_lists import connected, write_groups
from datasets_tools.near_photos import (
    MAX_DISTANCE,
    Pair,
    Photo,
    crossing,
    find_pairs,
    pair_lines,
    photos_of,
)
from datasets_tools.photo_hashes import N_BITS, PhotoHash, hash_photos
from datasets_tools.report import BadRows, add_max_bad_rows, counted, say, sweep
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import atomic_open, refuse_overwrite, refuse_own_input, shown

#: What to do where a set's photos are not in its folder.
_ADVICE = (
    "Give the folder that its file names start from; where the sets have folders of their own, "
    "give --images once for each file, in their order."
)


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
        absent_photos(folder, names, path, _ADVICE)
        hashes = hash_photos(folder, names, bad, args.hashes, progress=True)
        photos |= photos_of(set_name, folder, hashes)
    pairs = find_pairs(photos, args.max_distance, progress=True)
    clashing = _clashing(photos)
    groups = _named_groups(pairs, with_set=bool(clashing))
    write_groups(args.out, groups, f"fashion data dedupe --max-distance {args.max_distance}")
    if args.table:
        write_table(args.table, pairs)
    for line in _report(args, photos, pairs, groups, clashing, bad):
        say(line)
    return 0


def _clashing(photos: Iterable[Photo]) -> list[str]:
    """Return the file names that mean one photo in one set and another in the next."""
    paths_of: dict[str, set[str]] = {}
    for photo in photos:
        paths_of.setdefault(photo.file_name, set()).add(photo.path)
    return sorted(name for name, paths in paths_of.items() if len(paths) > 1)


def _named_groups(pairs: Iterable[Pair], with_set: bool) -> list[list[str]]:
    """Return the groups by name; a file that two sets share has one name, but for ``with_set``."""
    groups = connected(
        [
            f"{p.set_name}/{p.file_name}" if with_set else p.file_name
            for p in (one.first, one.second)
        ]
        for one in pairs
    )
    return [group for group in groups if len(group) > 1]


def _set_names(paths: Sequence[str]) -> list[str]:
    """Return a short name for each file: none for one alone, stems where they differ."""
    if len(paths) == 1:
        return [""]
    stems = [shown(Path(path).stem) for path in paths]
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise FashionError(
            f"annotation files: each once expected, got {', '.join(paths)}. Name each once."
        )
    return stems if len(set(stems)) == len(stems) else [shown(path) for path in paths]


def _report(
    args: argparse.Namespace,
    photos: Mapping[Photo, PhotoHash],
    pairs: Sequence[Pair],
    groups: Sequence[Sequence[str]],
    clashing: Sequence[str],
    bad: BadRows,
) -> Iterator[str]:
    yield from pair_lines(pairs)
    yield from bad.summary()
    if clashing:
        set_name, file_name = next((p.set_name, p.file_name) for p in sorted(photos))
        yield (
            f"note: names that mean another photo in another set: {len(clashing):,} "
            f"({clashing[0]}, ...). All in {args.out} are SET/file_name, e.g. "
            f"{set_name}/{file_name}, as `fashion data merge --prefix` names photos"
        )
    if len(args.annotations) > 1:
        part_of = {photo: photo.set_name for photo in photos}
        yield f"between sets: {len(crossing(pairs, part_of)):,} of {counted(len(pairs), 'pair')}"
    n_of = {kind: sum(pair.kind == kind for pair in pairs) for kind in
            ("same file", "copy", "near-duplicate")}  # fmt: skip
    yield (
        f"{args.out}: {counted(len({photo.path for photo in photos}), 'photo')}, "
        f"{counted(n_of['copy'], 'copy', 'copies')}, "
        f"{counted(n_of['near-duplicate'], 'near-duplicate')}"
        + (f", {counted(n_of['same file'], 'file')} in two sets" if n_of["same file"] else "")
        + f", {counted(len(groups), 'group')}"
        + (f", the largest of {max(map(len, groups)):,}" if groups else "")
    )
