"""Ultralytics' YOLO segmentation labels to COCO: a text file a photo, a polygon a line.

A line is ``class x1 y1 x2 y2 x3 y3 ...``: the number of the class, then points as shares, 0 to 1,
of the photo's width and height. ``data.yaml`` has the names, as a list or by number
(https://docs.ultralytics.com/datasets/segment/). ``labels/train/0001.txt`` belongs to
``images/train/0001.jpg``: the same path below both folders.

A mask is what Ultralytics makes of the line: its points cut to whole pixels, filled by
``cv2.fillPoly`` with the line itself (``polygon2mask`` in its ``ultralytics/data/utils.py``). So a
dot stays a mask, and what ``fashion data export yolo-seg`` wrote comes back pixel for pixel. The
bridges of a pixel's width that join the parts of one mask cannot be told from it and stay. A line
of five numbers is a box of the detection format, no mask, and is refused.

    fashion data convert yolo-seg labels --images images --data data.yaml --out all.json
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import yaml

from datasets_tools.convert import add_source_arguments, run_source
from datasets_tools.folders import files_in, n_unlabelled
from datasets_tools.outlines import filled
from datasets_tools.photos import PhotoFinder
from datasets_tools.report import BadRow, short
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import unreadable

#: Rounding puts points a little outside; those within this share of the side are moved to it, as
#: Ultralytics' own loader takes them.
MOST_OUTSIDE = 0.01
#: Six digits leave a whole number of pixels short by up to this, on a photo of 20,000.
_ROUNDING_PX = 0.01
_CLASS = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: by them, a file of a few lines says a list of billions."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, f"the alias *{event.anchor}; write out what it means", event.start_mark
            )
        return super().compose_node(parent, index)


def read_names(path: str | os.PathLike[str]) -> dict[int, str]:
    """Return number -> name of the classes in a ``data.yaml``.

    Raises:
        FashionError: for a file that is no YAML, or has no names, or another ``nc`` than names.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            data = yaml.load(stream, _PlainLoader)  # noqa: S506, it is a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a data.yaml in UTF-8") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise FashionError(f"{path}: a readable YAML file expected, got: {reason}.") from None
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise FashionError(
            f"{path}: 'names' as a list, or as number: name, expected, got {short(names)}. "
            "Is this the data.yaml of the set?"
        )
    for number, name in names.items():
        if type(number) is not int or not isinstance(name, str):
            raise FashionError(
                f"{path}: whole numbers and texts as 'names' expected, got {short(number)}: "
                f"{short(name)}. Put a name such as no or 501 in quotes."
            )
    if data.get("nc", len(names)) != len(names):
        raise FashionError(
            f"{path}: as many 'names' as 'nc' says, {short(data['nc'])}, expected, got "
            f"{len(names)}. A name too few shifts all that follow; mend the file."
        )
    return names


def read_folder(
    labels: str | os.PathLike[str],
    name_of_class: Mapping[int, str],
    images_dir: str | os.PathLike[str],
    counts: Counter[str],
) -> Iterator[SourceImage | BadRow]:
    """Yield the photos of the text files below ``labels``, in the order of their paths.

    Args:
        labels: the folder, with or without folders in it.
        name_of_class: from ``data.yaml``.
        images_dir: the folder of the photos; the size of each is read from its header.
        counts: what was left out or moved is entered here, sentence -> number.

    Raises:
        FashionError: for a folder that is not there or holds no text file, or an ``images_dir``
            whose parent is meant.
    """
    finder = PhotoFinder(images_dir)
    paths = _label_files(labels, finder, counts)
    labelled = [path.relative_to(labels).as_posix() for path in paths]
    counts["photos without a text file: not in the set"] += n_unlabelled(images_dir, labelled)
    for path in paths:
        where = path.relative_to(labels).as_posix()
        photo = finder.find(os.path.splitext(where)[0])
        if photo.fault:
            _refuse_photos_of_one_folder(Path(images_dir), where)
            yield BadRow(photo.fault[0], f"{where}: {photo.fault[1]}")
            continue
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            yield BadRow("unreadable", str(unreadable(where, error, "a text file in UTF-8")))
            continue
        masks: list[SourceMask | BadRow] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                place = f"{where}:{number}"
                masks.append(_mask(line.split(), place, name_of_class, photo.size_hw, counts))
            except BadRow as error:
                masks.append(error)
        yield SourceImage(photo.file_name, masks, where, photo.size_hw)


def _label_files(
    labels: str | os.PathLike[str], finder: PhotoFinder, counts: Counter[str]
) -> list[Path]:
    """Return the text files below ``labels``, but for the lists of names that LabelImg leaves."""
    paths = []
    for path in files_in(labels, ".txt", counts, deep=True):
        stem = path.relative_to(labels).with_suffix("").as_posix()
        if path.name == "classes.txt" and finder.find(stem).fault:
            counts["files classes.txt: no labels, and the names are those of --data"] += 1
        else:
            paths.append(path)
    return paths


def _refuse_photos_of_one_folder(images_dir: Path, where: str) -> None:
    """Refuse ``images/train`` as the photos of ``labels`` with its ``train/0001.txt``."""
    parent = Path(os.path.abspath(images_dir)).parent
    if where.split("/")[0] == Path(os.path.abspath(images_dir)).name and not (
        PhotoFinder(parent).find(os.path.splitext(where)[0]).fault
    ):
        raise FashionError(
            f"--images: the folder in which the photo of {where} has the same path expected, got "
            f"{images_dir}. Give {os.path.dirname(images_dir) or parent}."
        )


def _mask(
    words: list[str],
    where: str,
    name_of_class: Mapping[int, str],
    size_hw: tuple[int, int],
    counts: Counter[str],
) -> SourceMask:
    junk = next((word for word in words if not _NUMBER.fullmatch(word)), None)
    if junk is not None:
        raise BadRow("junk", f"{where}: numbers expected, got {short(junk)}. Mend the line.")
    if len(words) == 5:
        raise BadRow(
            "box, no mask",
            f"{where}: class x1 y1 x2 y2 x3 y3 ... expected, got five numbers: a box of the "
            "detection format, which has no mask. Take the labels of the segmentation task.",
        )
    if len(words) < 7 or len(words) % 2 == 0:
        raise BadRow(
            "number of numbers",
            f"{where}: a class and three or more points x y expected, got {len(words)} numbers. "
            "Was the line cut short?",
        )
    if not _CLASS.fullmatch(words[0]) or int(words[0]) not in name_of_class:
        raise BadRow(
            "unknown class",
            f"{where}: a class of the data file ({min(name_of_class)} to {max(name_of_class)}) "
            f"expected, got {short(words[0])}. Do labels and data file belong together?",
        )
    points = [float(word) for word in words[1:]]
    if min(points) < -MOST_OUTSIDE or max(points) > 1 + MOST_OUTSIDE:
        far = max(points, key=lambda share: abs(share - 0.5))
        raise BadRow(
            "out of range",
            f"{where}: points as shares of width and height, 0 to 1, expected, got {far:g}. "
            "Are they in pixels?",
        )
    if min(points) < 0 or max(points) > 1:
        counts["masks with points just outside the photo, moved to its edge"] += 1
    size_wh = np.array(size_hw[::-1])
    line = np.floor(np.reshape(points, (-1, 2)) * size_wh + _ROUNDING_PX)
    line = np.clip(line, 0, size_wh - 1)
    return SourceMask(name_of_class[int(words[0])], rle.encode_mask(filled(line, size_hw)), where)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert yolo-seg``."""
    parser.add_argument("labels", metavar="LABELS", help="the folder of the text files")
    parser.add_argument(
        "--data", required=True, metavar="YAML", help="data.yaml, which has the names"
    )
    add_source_arguments(parser, "coco")


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the report and return the exit code."""
    if not args.images:
        raise FashionError(
            "--images: the folder of the photos expected, got nothing. Points are shares of a "
            "photo's size, so it must be known."
        )
    counts: Counter[str] = Counter()
    out_name = Path(args.out).name
    return run_source(
        args,
        read_folder(args.labels, read_names(args.data), args.images, counts),
        info={
            "description": "YOLO segmentation labels as instances of 49 fashion categories",
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/yolo_seg.py",
        },
        counts=counts,
        where=args.labels,
        inputs=[args.data, *(p for p in Path(args.labels).rglob("*") if p.name == out_name)],
    )
