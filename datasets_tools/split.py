"""Split a COCO file into train, val and test, by lists or by fractions, groups kept together.

A split is made once, kept as lists of file names, and used from the lists ever after: so the
test photos stay the test photos when annotations change. Photos of one *group* (a near-duplicate
pair, one person in one place) go to one split, or the test score rewards memory.

    fashion data split data/ccp/annotations/all.json --lists datasets_tools/splits/ccp \\
        --out data/ccp/annotations
    fashion data split all.json --fractions 0.8 0.1 0.1 --seed 0 --groups groups.txt --out .

List files hold one file name or stem a line, blanks and ``#`` within it included; a group file
holds one group a line, names parted by spaces, or by tabs where names hold spaces. A line that
begins with ``#`` is a comment in both; before a name that does, write ``\\``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets_tools.report import exit_code, say, sweep
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import atomic_open, refuse_overwrite, refuse_own_input

#: The splits, in the order of ``--fractions``, of tables and of files.
SPLITS = ("train", "val", "test")


@dataclass
class SplitReport:
    """What a split holds and what it leaves out."""

    #: Split -> images; category -> split -> instances.
    n_images: dict[str, int] = field(default_factory=dict)
    n_per_category: dict[str, Counter[str]] = field(default_factory=dict)
    #: Names in a list that the annotation file does not have.
    missing: list[str] = field(default_factory=list)
    #: Images of the annotation file that no list names; they are in no split.
    unlisted: list[str] = field(default_factory=list)
    #: Names in a group that the annotation file does not have.
    group_missing: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the report as printed, a line at a time; the summary comes last."""
        used = {name: n for name, n in self.n_per_category.items() if n.total()}
        yield f"{'instances':40}" + "".join(f"{split:>8}" for split in self.n_images)
        for name, n in sorted(used.items(), key=lambda item: -item[1].total()):
            yield f"  {name:38}" + "".join(f"{n[split]:8}" for split in self.n_images)
        unseen = [name for name, n in used.items() if not n["train"]]
        if "train" in self.n_images and unseen:
            yield f"warning: no training instance, but others, of: {_first(unseen)}"
        if len(used) < len(self.n_per_category):
            yield f"categories without any instance: {len(self.n_per_category) - len(used)}"
        if self.missing:
            yield f"warning: listed, but not in the annotation file: {_first(self.missing)}"
        if self.unlisted:
            yield f"warning: in the annotation file, but in no list: {_first(self.unlisted)}"
        if self.group_missing:
            yield (
                "warning: in a group, but not in the annotation file: "
                f"{_first(self.group_missing)}"
            )
        empty = [split for split, n in self.n_images.items() if not n]
        if empty:
            yield f"warning: no image in: {', '.join(empty)}"
        yield "images: " + ", ".join(f"{n} {split}" for split, n in self.n_images.items())


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Read one name a line, without comments and blank lines."""
    return _lines(path)


def read_groups(path: str | os.PathLike[str]) -> list[list[str]]:
    """Read one group a line: names parted by spaces, or by tabs where the line has one."""
    return [
        [name for name in line.split("\t") if name] if "\t" in line else line.split()
        for line in _lines(path)
    ]


def read_lists(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read ``train.txt``, ``val.txt`` and ``test.txt`` of ``folder``, those that are there."""
    paths = {split: Path(folder) / f"{split}.txt" for split in SPLITS}
    lists = {split: read_list(path) for split, path in paths.items() if path.is_file()}
    if not lists:
        raise FashionError(
            f"{folder}: a folder with {', '.join(p.name for p in paths.values())} expected, "
            "found none of them. Check the path."
        )
    return lists


def make_lists(
    file_names: Iterable[str],
    fractions: Sequence[float],
    seed: int = 0,
    groups: Iterable[Sequence[str]] = (),
) -> dict[str, list[str]]:
    """Draw train, val and test; the same names, fractions, seed and groups give the same lists.

    The order of ``file_names`` plays no part: units (a group, or a photo of its own) are ranked
    by a hash of the seed and their first name, and fill test, then val, then train.

    Args:
        file_names: file names of all images.
        fractions: shares of train, val and test, adding up to 1.
        seed: another seed, another draw.
        groups: names (or stems) that stay together; members that are not among ``file_names``
            play no part.

    Returns:
        Split -> sorted file names.
    """
    are_shares = len(fractions) == len(SPLITS) and all(0 <= share <= 1 for share in fractions)
    if not are_shares or abs(sum(fractions) - 1) > 1e-6:
        raise FashionError(
            f"fractions: three shares of {', '.join(SPLITS)} that add up to 1 expected, got "
            f"{list(fractions)}. Example: 0.8 0.1 0.1."
        )
    index = _NameIndex(file_names)
    units = _units(index, groups)
    units.sort(key=lambda unit: hashlib.sha256(f"{seed}:{unit[0]}".encode()).digest())
    n_images = len(index.file_names)
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    room = {split: round(n_images * share) for split, share in zip(SPLITS, fractions, strict=True)}
    for unit in units:
        split = next((s for s in ("test", "val") if len(lists[s]) + len(unit) <= room[s]), "train")
        lists[split] += unit
    return {split: sorted(names) for split, names in lists.items()}


def split_coco(
    coco: Mapping[str, Any],
    lists: Mapping[str, Sequence[str]],
    groups: Iterable[Sequence[str]] = (),
) -> tuple[dict[str, dict[str, Any]], SplitReport]:
    """Split a COCO dictionary by lists of file names or stems.

    Categories and all else but images and annotations go to every split unchanged; the order of
    images and annotations stays.

    Returns:
        Split -> COCO dictionary, and the report.

    Raises:
        AnnotationError: for an image in two lists, a group in two lists, or a name that fits
            two images.
    """
    images, annotations = coco["images"], coco["annotations"]
    index = _NameIndex(image["file_name"] for image in images)
    report = SplitReport()
    split_of: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            file_name = index.find(name)
            if file_name is None:
                report.missing.append(name)
            elif split_of.setdefault(file_name, split) != split:
                raise AnnotationError(
                    f"{split} list: every image in one list expected, got {name!r}, which is in "
                    f"the {split_of[file_name]} list too. Remove it from one."
                )
    groups = list(groups)
    _check_groups(index, split_of, groups)
    report.group_missing = [n for group in groups for n in group if index.find(n) is None]
    report.unlisted = sorted(set(index.file_names) - set(split_of))
    name_of = {image["id"]: image["file_name"] for image in images}
    category_of = {category["id"]: category["name"] for category in coco["categories"]}
    report.n_per_category = {name: Counter() for name in category_of.values()}
    rest = {key: value for key, value in coco.items() if key not in ("images", "annotations")}
    parts = {split: {**rest, "images": [], "annotations": []} for split in lists}
    for image in images:
        if image["file_name"] in split_of:
            parts[split_of[image["file_name"]]]["images"].append(image)
    for annotation in annotations:
        file_name = name_of[annotation["image_id"]]
        if file_name in split_of:
            split = split_of[file_name]
            parts[split]["annotations"].append(annotation)
            report.n_per_category[category_of[annotation["category_id"]]][split] += 1
    report.n_images = {split: len(part["images"]) for split, part in parts.items()}
    return parts, report


def write_splits(
    out: str | os.PathLike[str],
    parts: Mapping[str, Mapping[str, Any]],
    origin: str,
    force: bool = False,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write ``<split>.json`` and ``<split>.txt`` of every split to the folder ``out``.

    All are written in full before the first is renamed into its place, so that a stop while
    writing leaves no new train file beside an old test file.

    Args:
        out: folder; made if need be.
        parts: split -> COCO dictionary.
        origin: how the split was made, for the first line of the lists.
        force: overwrite files of an earlier split.
        inputs: files that the split was made from; none of them is overwritten.

    Raises:
        FashionError: for a file in the way, or a part of an earlier split that this one lacks,
            beside which the new parts would not be disjoint.
    """
    folder = Path(out)
    paths = {split: (folder / f"{split}.json", folder / f"{split}.txt") for split in parts}
    for pair in paths.values():
        for path in pair:
            refuse_own_input(path, *inputs)
            refuse_overwrite(path, force)
    _refuse_stale_parts(folder, parts)
    with contextlib.ExitStack() as stack:
        for split, (json_path, list_path) in paths.items():
            stream = stack.enter_context(atomic_open(json_path))
            json.dump(parts[split], stream, ensure_ascii=False)
            names = sorted(_line_of(image["file_name"]) for image in parts[split]["images"])
            stack.enter_context(atomic_open(list_path)).write(
                f"# {split}: {len(names)} images. {origin}\n" + "".join(f"{n}\n" for n in names)
            )


def _refuse_stale_parts(folder: Path, parts: Iterable[str]) -> None:
    absent = [split for split in SPLITS if split not in parts]
    stale = [n for s in absent for n in (f"{s}.json", f"{s}.txt") if (folder / n).exists()]
    if stale:
        raise FashionError(
            f"{folder}: only {', '.join(parts)} of this split expected, found {', '.join(stale)} "
            "of an earlier one, which may hold the same images. Remove them or choose another "
            "--out."
        )


def _line_of(name: str) -> str:
    """Return the line of a list that :func:`_lines` reads as ``name``."""
    if "\n" in name or "\r" in name:
        raise AnnotationError(
            f"images: file names of one line expected, got {name!r}. Rename the photo."
        )
    return f"\\{name}" if name.startswith(("#", "\\")) or not name.strip() else name


class _NameIndex:
    """Finds a file name by itself or by its stem (``a/0002.jpg`` by ``a/0002``)."""

    def __init__(self, file_names: Iterable[str]) -> None:
        self.file_names = list(file_names)
        for name, times in Counter(self.file_names).items():
            if times > 1:
                raise AnnotationError(
                    f"images: each file name once expected, got {name!r} {times} times. "
                    "Merge the entries."
                )
        self._known = set(self.file_names)
        self._of_stem: dict[str, list[str]] = {}
        for name in self.file_names:
            self._of_stem.setdefault(os.path.splitext(name)[0], []).append(name)

    def find(self, name: str) -> str | None:
        """Return the file name that ``name`` means, or None."""
        if name in self._known:
            return name
        found = self._of_stem.get(name, [])
        if not found and name != name.strip():
            # Blanks around a name are part of it only where an image is really called so.
            return self.find(name.strip())
        if len(found) > 1:
            raise AnnotationError(
                f"lists: a name of one image expected, got {name!r}, which fits "
                f"{' and '.join(found)}. Write the file name with its ending."
            )
        return found[0] if found else None


def _units(index: _NameIndex, groups: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return groups and single images, each sorted, every image once."""
    unit_of: dict[str, list[str]] = {name: [name] for name in index.file_names}
    for group in groups:
        members = sorted({found for name in group if (found := index.find(name)) is not None})
        for name in members:
            if len(unit_of[name]) > 1:
                raise AnnotationError(
                    f"groups: every image in one group expected, got {name!r} in two. "
                    "Write the two groups on one line."
                )
            unit_of[name] = members
    return [unit for name, unit in unit_of.items() if unit[0] == name]


def _check_groups(
    index: _NameIndex, split_of: Mapping[str, str], groups: Iterable[Sequence[str]]
) -> None:
    for group in groups:
        names = {name for name in map(index.find, group) if name is not None}
        found = {name: split_of[name] for name in names if name in split_of}
        if len(set(found.values())) > 1:
            where = ", ".join(f"{name} in {split}" for name, split in sorted(found.items()))
            raise AnnotationError(
                f"groups: the images of a group in one split expected, got {where}. "
                "Move them together."
            )


def _lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines that are no comments; of a line, only its end is taken away."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FashionError(
            f"{path}: a text file with a name a line expected, got {error}. Check the path."
        ) from None
    # Not splitlines(), which also parts at characters that a name may hold.
    lines = (line for line in text.split("\n") if line.strip() and not line.startswith("#"))
    return [line[1:] if line.startswith("\\") else line for line in lines]


def _first(names: Sequence[str], count: int = 5) -> str:
    return f"{len(names)} ({', '.join(names[:count])}{', ...' if len(names) > count else ''})"


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
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument(
        "--groups", metavar="FILE", help="images that stay together, one group a line"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the files written")
    parser.add_argument("--force", action="store_true", help="overwrite an earlier split")


def run(args: argparse.Namespace) -> int:
    """Split as ``args`` say and print the table; return the exit code."""
    names_out = [f"{split}.{ending}" for split in SPLITS for ending in ("json", "txt")]
    sweep(*(Path(args.out) / name for name in names_out))
    coco = read_coco(args.annotations)
    groups_path = args.groups
    if groups_path is None and args.lists and (Path(args.lists) / "groups.txt").is_file():
        groups_path = Path(args.lists) / "groups.txt"
    groups = read_groups(groups_path) if groups_path else []
    inputs = [args.annotations, *([groups_path] if groups_path else [])]
    if args.lists:
        lists = read_lists(args.lists)
        inputs += [Path(args.lists) / f"{split}.txt" for split in SPLITS]
        origin = "fashion data split --lists"
    else:
        names = [image["file_name"] for image in coco["images"]]
        lists = make_lists(names, args.fractions, args.seed, groups)
        shares = " ".join(f"{share:g}" for share in args.fractions)
        origin = f"fashion data split --fractions {shares} --seed {args.seed}"
        origin += f" --groups {Path(groups_path).name}" if groups_path else ""
    parts, report = split_coco(coco, lists, groups)
    write_splits(args.out, parts, origin, args.force, inputs)
    for line in report.lines():
        say(line)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run as ``python -m datasets_tools.split``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.split",
        description="Split a COCO file into train, val and test.",
        epilog="example: python -m datasets_tools.split data/ccp/annotations/all.json "
        "--lists datasets_tools/splits/ccp --out data/ccp/annotations",
    )
    add_arguments(parser)
    return exit_code(run, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
