"""The parts of a split: a COCO dictionary parted by lists, counted, and written."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets_tools.name_lists import SPLITS, NameIndex, list_text
from datasets_tools.report import first_of
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import atomic_open_many, refuse_overwrite, refuse_own_input


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
        if used:
            yield f"{'instances':40}" + "".join(f"{split:>8}" for split in self.n_images)
        for name, n in sorted(used.items(), key=lambda item: -item[1].total()):
            yield f"  {name:38}" + "".join(f"{n[split]:8}" for split in self.n_images)
        unseen = [name for name, n in used.items() if not n["train"]]
        if "train" in self.n_images and unseen:
            yield f"warning: no training instance, but others, of: {first_of(unseen)}"
        if len(used) < len(self.n_per_category):
            yield f"categories without any instance: {len(self.n_per_category) - len(used)}"
        if self.missing:
            yield f"warning: listed, but not in the annotation file: {first_of(self.missing)}"
        if self.unlisted:
            yield f"warning: in the annotation file, but in no list: {first_of(self.unlisted)}"
        if self.group_missing:
            yield (
                "warning: in a group, but not in the annotation file: "
                f"{first_of(self.group_missing)}"
            )
        empty = [split for split, n in self.n_images.items() if not n]
        if empty:
            yield f"warning: no image in: {', '.join(empty)}"
        yield "images: " + ", ".join(f"{n} {split}" for split, n in self.n_images.items())


def split_coco(
    coco: Mapping[str, Any],
    lists: Mapping[str, Sequence[str]],
    groups: Iterable[Sequence[str]] = (),
) -> tuple[dict[str, dict[str, Any]], SplitReport]:
    """Split a COCO dictionary by lists of file names or stems.

    Categories and all else but images and annotations go to every split ; the order of
    images and annotations stays.

    Returns:
        Split -> COCO dictionary, and the report.

    Raises:
        AnnotationError: for lists none of whose names is there, an image in two lists, a group
            in two lists, or a name that fits two images.
    """
    images, annotations = coco["images"], coco["annotations"]
    index = NameIndex(image["file_name"] for image in images)
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
    if report.missing and not split_of:
        raise AnnotationError(
            f"lists: file names of the annotation file expected, got {first_of(report.missing)}, "
            f"none of which it has; it has {first_of(index.file_names, 1)}. Give the lists that "
            "were made of this file."
        )
    groups = list(groups)
    check_groups(index, split_of, groups)
    report.group_missing = [n for group in groups for n in group if index.find(n) is None]
    report.unlisted = sorted(set(index.file_names) - set(split_of))
    name_of = {image["id"]: image["file_name"] for image in images}
    category_of = {category["id"]: category["name"] for category in coco["categories"]}
    report.n_per_category = {name: Counter() for name in category_of.values()}
    rest = {k: v for k, v in coco.items() if k not in ("images", "annotations")}
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
    _refuse_stale_parts(folder, parts)  # first: --force is no help against it
    for pair in paths.values():
        for path in pair:
            refuse_own_input(path, *inputs)
            refuse_overwrite(path, force)
    with atomic_open_many(path for pair in paths.values() for path in pair) as streams:
        for split, json_stream, list_stream in zip(paths, streams[::2], streams[1::2], strict=True):
            json.dump(parts[split], json_stream, ensure_ascii=False)
            names = [image["file_name"] for image in parts[split]["images"]]
            list_stream.write(list_text(split, names, origin))


def write_folds(
    out: str | os.PathLike[str],
    folds: Sequence[Sequence[str]],
    origin: str,
    force: bool = False,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write ``fold0/train.txt``, ``fold0/val.txt``, ``fold1/...`` to the folder ``out``.

    The val list of a fold is the fold, its train list all others; the annotations, which are
    alike for all folds, are parted by these lists when they are needed.

    Raises:
        FashionError: for a file in the way, or folds of an earlier draw beyond these.
    """
    folder = Path(out)
    lists = {}
    for k, names in enumerate(folds):
        rest = [name for j, fold in enumerate(folds) if j != k for name in fold]
        for split, part in (("train", rest), ("val", names)):
            title = f"fold {k} of {len(folds)}, {split}"
            lists[folder / f"fold{k}" / f"{split}.txt"] = list_text(title, part, origin)
    stale = folder / f"fold{len(folds)}"
    if stale.exists():  # first: --force is no help against it
        raise FashionError(
            f"{folder}: {len(folds)} folds of one draw expected, found {stale.name} of an earlier "
            "one. Remove it or choose another --out."
        )
    for path in lists:
        refuse_own_input(path, *inputs)
        refuse_overwrite(path, force)
    with atomic_open_many(lists) as streams:
        for stream, text in zip(streams, lists.values(), strict=True):
            stream.write(text)


def _refuse_stale_parts(folder: Path, parts: Iterable[str]) -> None:
    absent = [split for split in SPLITS if split not in parts]
    stale = [n for s in absent for n in (f"{s}.json", f"{s}.txt") if (folder / n).exists()]
    if stale:
        raise FashionError(
            f"{folder}: only {', '.join(parts)} of this split expected, found {', '.join(stale)} "
            "of an earlier one, which may hold the same images. Remove them or choose another "
            "--out."
        )


def check_groups(
    index: NameIndex, split_of: Mapping[str, str], groups: Iterable[Sequence[str]]
) -> None:
    """Raise AnnotationError for a group with images in two splits."""
    for group in groups:
        names = {name for name in map(index.find, group) if name is not None}
        found = {name: split_of[name] for name in names if name in split_of}
        if len(set(found.values())) > 1:
            where = ", ".join(f"{name} in {split}" for name, split in sorted(found.items()))
            raise AnnotationError(
                f"groups: the images of a group in one split expected, got {where}. "
                "Move them together."
            )
