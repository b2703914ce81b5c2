"""Split a COCO file into train, val and test, or into folds, groups of photos kept together.

A split is made once, kept as lists of file names, and used from the lists ever after: so the
test photos stay the test photos when annotations change. Photos of one *group* (near-duplicates,
one person in one place, one source) go to one split, or the test score rewards memory.

    fashion data split data/ccp/annotations/all.json --lists datasets_tools/splits/ccp \\
        --out data/ccp/annotations
    fashion data split all.json --fractions 0.8 0.1 0.1 --stratify --images photos --out .
    fashion data split all.json --folds 5 --stratify --groups groups.txt --out folds

The draw without ``--stratify`` depends on the names of the photos, the fractions, the seed and
the groups alone, and never changes: lists that were drawn so can be drawn again, whatever became
of the annotations. The stratified draw depends on the classes of each photo too, so that a mended
annotation may move photos; keep its lists.

For the files of lists and groups see ``name_lists``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools import balance
from datasets_tools.cached import refuse_cached
from datasets_tools.dedupe import add_hash_arguments
from datasets_tools.folders import refuse_json_folder
from datasets_tools.name_lists import (
    SPLITS,
    NameIndex,
    read_groups,
    read_list,
    read_lists,
    units_of,
)
from datasets_tools.report import say, sweep
from datasets_tools.split_groups import Groups
from datasets_tools.split_parts import SplitReport, split_coco, write_folds, write_splits
from datasets_tools.stratify import (
    check_fractions,
    classes_of_images,
    make_lists,
    random_folds,
    stratified_parts,
)
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    refuse_overwrite,
    refuse_own_input,
    shown,
    write_json,
    write_text,
)

__all__ = [
    "SPLITS",
    "SplitReport",
    "make_lists",
    "read_groups",
    "read_list",
    "read_lists",
    "split_coco",
    "write_splits",
]

#: The report compares draws of this many seeds, from ``--seed`` on: of one, chance decides.
COMPARED_SEEDS = 10
WAYS = ("random", "stratified")

Lists = dict[str, list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data split`` to ``parser``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file to split")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--lists",
        metavar="DIR",
        help="folder with train.txt, val.txt, test.txt; its groups.txt is checked if there",
    )
    how.add_argument(
        "--fractions",
        nargs=len(SPLITS),
        type=float,
        metavar=tuple(split.upper() for split in SPLITS),
        help="draw by shares that add up to 1, e.g. 0.8 0.1 0.1",
    )
    how.add_argument(
        "--folds", type=_folds, metavar="K", help="draw K folds: OUT/fold0/train.txt, val.txt, ..."
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument(
        "--stratify", action="store_true", help="give each part its share of every class"
    )
    parser.add_argument(
        "--groups",
        metavar="FILE",
        help="images that stay together, one group a line, as fashion data dedupe writes them",
    )
    parser.add_argument(
        "--group-by",
        action="append",
        default=[],
        metavar="KEY",
        help="images with the same value of KEY (pair_id, source, ...) stay together",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="the photos: copies and near-duplicates stay together; in --lists, they must be",
    )
    add_hash_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the files written")
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write the shares of each class, as .md or .json, compared with other draws",
    )
    parser.add_argument("--force", action="store_true", help="overwrite an earlier split")


def run(args: argparse.Namespace) -> int:
    """Split as ``args`` say and print the table; return the exit code."""
    names_out = [f"{split}.{ending}" for split in SPLITS for ending in ("json", "txt")]
    folds_out = [f"fold{k}/{s}.txt" for k in range(args.folds or 0) for s in ("train", "val")]
    outs = [Path(args.out) / name for name in (folds_out or names_out)]
    sweep(*outs)
    _check_usage(args)
    coco = read_coco(args.annotations)
    refuse_cached(coco, str(args.annotations))
    groups_path = args.groups
    if groups_path is None and args.lists and (Path(args.lists) / "groups.txt").is_file():
        groups_path = Path(args.lists) / "groups.txt"
    inputs = [path for path in (args.annotations, groups_path, args.hashes) if path]
    if args.lists:
        inputs += [Path(args.lists) / f"{split}.txt" for split in SPLITS]
    if args.report:
        sweep(args.report)
        refuse_own_input(args.report, *inputs)
        refuse_overwrite(args.report, args.force)
    for path in outs:
        refuse_own_input(path, *inputs)
    index = NameIndex(image["file_name"] for image in coco["images"])
    lists = read_lists(args.lists) if args.lists else {}
    groups = Groups(args, coco, index, groups_path, sum(lists.values(), []))
    draw = _drawer(args, coco, index, groups.all)
    origin = _origin(args, groups_path)
    lists = lists or draw(args.seed, args.stratify)
    groups.check(lists)
    if args.folds:
        report = SplitReport(n_images={part: len(names) for part, names in lists.items()})
        report.group_missing = [n for group in groups.given for n in group if index.find(n) is None]
        write_folds(args.out, list(lists.values()), origin, args.force, inputs)
        found = lists
    else:
        parts, report = split_coco(coco, lists, groups.given)
        write_splits(args.out, parts, origin, args.force, inputs)
        found = {s: [i["file_name"] for i in part["images"]] for s, part in parts.items()}
    shares = balance.measure(coco, found, _due(args, found))
    if args.report:
        _write_report(args, origin, shares, coco, draw)
    *lines, last = report.lines()
    for line in (*lines, *groups.notes(found), *_advice(args, coco, shares), last):
        say(line)
    return 0


def _drawer(
    args: argparse.Namespace, coco: Mapping[str, Any], index: NameIndex, groups: list[list[str]]
) -> Callable[[int, bool], Lists]:
    """Return the function that draws by a seed, stratified or not."""
    units, classes_of = units_of(index, groups), classes_of_images(coco)

    def draw(seed: int, stratify: bool) -> Lists:
        if args.folds:
            names = [f"fold{k}" for k in range(args.folds)]
            if not stratify:
                return dict(zip(names, random_folds(units, args.folds, seed), strict=True))
            shares = [1 / args.folds] * args.folds
        elif not stratify:
            return make_lists(index.file_names, args.fractions, seed, groups)
        else:
            names, shares = list(SPLITS), args.fractions
        return dict(zip(names, stratified_parts(units, classes_of, shares, seed), strict=True))

    return draw


def _due(args: argparse.Namespace, lists: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the due share of each part: what was asked for; of lists, their share of images."""
    if args.fractions:
        return dict(zip(SPLITS, args.fractions, strict=True))
    return {part: 1 / len(lists) if args.folds else float(len(n)) for part, n in lists.items()}


def _write_report(
    args: argparse.Namespace,
    origin: str,
    shares: balance.Balance,
    coco: Mapping[str, Any],
    draw: Callable[[int, bool], Lists],
) -> None:
    draws: dict[str, list[balance.Balance]] = {}
    if not args.lists:
        todo = [(way, args.seed + k) for way in WAYS for k in range(COMPARED_SEEDS)]
        for way, seed in tqdm(todo, desc="compare", unit="draw", disable=None):
            lists = draw(seed, way == "stratified")
            draws.setdefault(way, []).append(balance.measure(coco, lists, _due(args, lists)))
    if args.report.endswith(".json"):
        write_json(args.report, balance.as_json(origin, shares, draws), indent=1)
    else:
        write_text(args.report, "\n".join(balance.as_markdown(origin, shares, draws)) + "\n")


def _advice(
    args: argparse.Namespace, coco: Mapping[str, Any], shares: balance.Balance
) -> Iterator[str]:
    yield shares.line()
    if not args.lists and not args.stratify:
        yield "note: drawn at random; --stratify gives each part its share of every class"
    if not args.group_by and any(image.get("pair_id") is not None for image in coco["images"]):
        yield "note: images have a 'pair_id'; --group-by pair_id keeps those of one together"
    if args.folds:
        yield (
            "train.json and val.json of a fold: fashion data split "
            f"{args.annotations} --lists {Path(args.out) / 'fold0'} --out FOLDER"
        )


def _origin(args: argparse.Namespace, groups_path: str | Path | None) -> str:
    if args.lists:
        return "fashion data split --lists"
    words = ["fashion data split"]
    if args.folds:
        words.append(f"--folds {args.folds}")
    else:
        words.append(f"--fractions {' '.join(f'{share:g}' for share in args.fractions)}")
    words.append(f"--seed {args.seed}")
    words += ["--stratify"] if args.stratify else []
    words += [f"--groups {shown(Path(groups_path).name)}"] if groups_path else []
    words += [f"--group-by {key}" for key in args.group_by]
    if args.images:
        words.append(f"--images {shown(Path(args.images).name)} --max-distance {args.max_distance}")
    return " ".join(words)


def _check_usage(args: argparse.Namespace) -> None:
    refuse_json_folder(args.out)
    if args.fractions:
        check_fractions(args.fractions)
    if args.stratify and args.lists:
        raise FashionError(
            "--stratify: --fractions or --folds expected with it, got --lists, which draw nothing. "
            "Leave one out."
        )
    if args.hashes and not args.images:
        raise FashionError(
            "--hashes: the folder of the photos expected with it, got none. Name it with --images."
        )
    if args.report and not args.report.endswith((".md", ".json")):
        raise FashionError(f"--report: a file .md or .json expected, got {args.report}. Rename it.")
    written = {os.path.realpath(Path(args.out) / f"{split}.json") for split in SPLITS}
    if args.report and os.path.realpath(args.report) in written:
        raise FashionError(
            f"--report: another file than those of the split expected, got {args.report}. "
            "Rename it."
        )


def _folds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 2):
        raise argparse.ArgumentTypeError(f"a whole number of at least 2 expected, got {text!r}")
    return int(text)
