"""LabelMe to COCO: one JSON file a photo, polygons and painted masks.

Keys of a file (https://github.com/wkentaro/labelme, ``labelme/label_file.py`` and
``labelme/utils/shape.py``): ``imagePath`` relative to the file, ``imageHeight``, ``imageWidth``,
``imageData`` (the photo again, never read here), ``flags`` and ``shapes``. A shape has ``label``,
``points`` ``[[x, y], ...]``, ``shape_type``, ``group_id`` and ``flags``. Of the types, two are
masks: ``polygon``, and ``mask``, whose points are the corners ``[[x1, y1], [x2, y2]]`` (both
inside) of a crop that ``mask`` holds as a base64 PNG. Shapes of one label and one ``group_id`` are
one instance. Rectangles, circles, lines and points are bad rows; descriptions are left out.

    fashion data convert labelme DIR --out annotations/all.json
"""

from __future__ import annotations

import argparse
import os
import posixpath
from collections import Counter, defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.category_map import table_of
from datasets_tools.convert import add_source_arguments, check_out, run_source
from datasets_tools.folders import n_unlabelled
from datasets_tools.photos import MOST_PIXELS, has_suffix
from datasets_tools.report import BadRow, short
from datasets_tools.source import SourceImage, SourceMask
from datasets_tools.sources.labelme_shapes import label_of, part_of, union_of
from fashion_mmdet.core.errors import FashionError, MaskError
from fashion_mmdet.core.files import looked_up_from, read_json


def label_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the JSON files below ``folder``, sorted by name.

    Raises:
        FashionError: if there is none.
    """
    files = sorted(Path(folder).rglob("*.json"))
    if not files:
        raise FashionError(
            f"{folder}: a folder with LabelMe's JSON files expected, found none. Check the path."
            f"{looked_up_from(folder)}"
        )
    return files


def read_labelme(
    folder: str | os.PathLike[str],
    images_dir: str | os.PathLike[str],
    counts: Counter[str],
    *,
    progress: bool = False,
) -> list[SourceImage | BadRow]:
    """Return the photo of each JSON file below ``folder``.

    ``file_name`` is where ``imagePath`` points to, relative to ``images_dir``; where that lies
    outside (photos were moved apart from their labels), it is ``imagePath`` itself. If there is no
    such photo, but just one below ``images_dir`` of that name without folders, and just one JSON
    file names it, it is that. What is not read, photos without a JSON file among it, is entered in
    ``counts``.
    """
    labelled: list[str] = []
    images: list[SourceImage | BadRow] = []
    files = label_files(folder)
    for path in tqdm(files, desc="read", unit="photo", disable=None if progress else True):
        where = path.relative_to(folder).as_posix()
        labelled += [where, _file_name(path.name, path, Path(images_dir))]
        try:
            images.append(_read_file(path, Path(images_dir), counts, where))
        except BadRow as error:
            images.append(error)
    images = _moved(images, _Photos(Path(images_dir)), counts)
    labelled += [image.file_name for image in images if isinstance(image, SourceImage)]
    counts["photos without a JSON file: not in the set"] += n_unlabelled(images_dir, labelled)
    return images


class _Photos:
    """The photos below a folder, listed once one of them is not where its label says."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def is_there(self, file_name: str) -> bool:
        """Return whether ``file_name``, with this or another suffix, is one of them."""
        if os.path.isabs(file_name) or os.pardir in file_name.split("/"):
            return False
        is_file = os.path.isfile(self._root / file_name)
        return is_file or os.path.splitext(file_name)[0] in self._stems

    def of_base(self, base: str) -> list[str]:
        """Return those whose name without folders and suffix is ``base`` in lower case."""
        return self._by_base.get(base, [])

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for place, _, names in os.walk(self._root):
            for name in filter(has_suffix, names):
                relative = os.path.relpath(os.path.join(place, name), self._root)
                found[_base(name)].append(relative.replace(os.sep, "/"))
        return found

    @cached_property
    def _stems(self) -> set[str]:
        return {os.path.splitext(name)[0] for names in self._by_base.values() for name in names}


def _base(file_name: str) -> str:
    return os.path.splitext(posixpath.basename(file_name))[0].lower()


def _moved(
    images: list[SourceImage | BadRow], photos: _Photos, counts: Counter[str]
) -> list[SourceImage | BadRow]:
    """Give the images whose photo was moved the name that it has now."""
    times = Counter(_base(image.file_name) for image in images if isinstance(image, SourceImage))
    result: list[SourceImage | BadRow] = []
    for image in images:
        if isinstance(image, SourceImage) and not photos.is_there(image.file_name):
            base = _base(image.file_name)
            found = photos.of_base(base)
            if len(found) == 1 and times[base] == 1:
                image = replace(image, file_name=found[0])
                counts["photos found by the name alone, not where imagePath points"] += 1
        result.append(image)
    return result


def _read_file(path: Path, images_dir: Path, counts: Counter[str], where: str) -> SourceImage:
    try:
        data = read_json(path)
    except FashionError as error:
        raise BadRow("unreadable", str(error)) from None
    shapes = data.get("shapes") if isinstance(data, dict) else None
    image_path = data.get("imagePath") if isinstance(data, dict) else None
    if not isinstance(shapes, list) or not isinstance(image_path, str):
        raise BadRow(
            "no LabelMe file",
            f"{where}: an object with the list 'shapes' and the text 'imagePath' expected, got "
            "another. Is it of another tool? Move it elsewhere.",
        )
    size_hw = _size(data, where)
    counts["descriptions of shapes, left out"] += sum(
        isinstance(shape, dict) and bool(shape.get("description")) for shape in shapes
    )
    return SourceImage(
        file_name=_file_name(image_path, path, images_dir),
        masks=_instances(shapes, size_hw, where),
        where=where,
        size_hw=size_hw,
        extra=_flags([data]),
    )


def _size(data: dict[str, Any], where: str) -> tuple[int, int] | None:
    size = data.get("imageHeight"), data.get("imageWidth")
    if size == (None, None):  # older versions
        return None
    height_px, width_px = size
    if type(height_px) is not int or type(width_px) is not int or min(height_px, width_px) < 1:
        raise BadRow(
            "size",
            f"{where}: imageHeight and imageWidth in whole pixels expected, got {height_px!r} and "
            f"{width_px!r}. Mend the file.",
        )
    if height_px * width_px > MOST_PIXELS:
        raise BadRow(
            "size",
            f"{where}: a photo of at most {MOST_PIXELS:,} pixels expected, got imageHeight x "
            f"imageWidth {short(height_px)} x {short(width_px)}. Mend the file.",
        )
    return height_px, width_px


def _file_name(image_path: str, path: Path, images_dir: Path) -> str:
    name = image_path.replace("\\", "/")  # as LabelMe for Windows writes it
    pointed_to = os.path.abspath(path.parent / name)
    if os.path.splitdrive(pointed_to)[0] == os.path.splitdrive(images_dir.absolute())[0]:
        relative = os.path.relpath(pointed_to, os.path.abspath(images_dir))
        if relative.split(os.sep)[0] != os.pardir:
            return relative.replace(os.sep, "/")
    return os.path.normpath(name).replace(os.sep, "/")


def _instances(
    shapes: list[Any], size_hw: tuple[int, int] | None, where: str
) -> list[SourceMask | BadRow]:
    """Return instances in the order of their first shape, then what cannot be used."""
    groups: dict[tuple[str, Any], list[tuple[str, dict[str, Any], Any]]] = {}
    bad: list[SourceMask | BadRow] = []
    for number, shape in enumerate(shapes, start=1):
        place = f"{where}: shape {number}"
        try:
            label, group = label_of(shape, place)
            part = part_of(shape, size_hw, place)
        except BadRow as error:
            bad.append(error)
            continue
        # A tuple of its own for a shape without a group: no JSON value equals it.
        key = (label, (number,) if group is None else group)
        groups.setdefault(key, []).append((place, shape, part))
    masks: list[SourceMask | BadRow] = []
    for (label, _), members in groups.items():
        place = members[0][0]
        parts = [part for _, _, part in members]
        try:
            segmentation = union_of(parts, size_hw, place)
        except MaskError as error:
            masks.append(BadRow("mask", str(error)))
            continue
        extra = _flags([shape for _, shape, _ in members])
        masks.append(SourceMask(label, segmentation, place, extra))
    return masks + bad


def _flags(objects: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the names of the flags that are set, if any, as a further key."""
    flags = [o["flags"] for o in objects if isinstance(o.get("flags"), dict)]
    names = sorted({name for flag in flags for name, is_set in flag.items() if is_set})
    return {"flags": names} if names else {}


def _require_names(images: list[SourceImage | BadRow], args: argparse.Namespace) -> None:
    """Refuse labels that the table lacks, all in one message."""
    table = table_of(args)
    unknown = {
        mask.name: mask.where
        for image in reversed(images)
        if isinstance(image, SourceImage)
        for mask in reversed(image.masks)
        if isinstance(mask, SourceMask) and table.find(mask.name) is None
    }
    places = [f"{name!r} ({where})" for name, where in reversed(unknown.items())]
    if places:
        table.require(unknown, f"{args.folder}: labels {', '.join(places)}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data convert labelme``."""
    parser.add_argument("folder", metavar="DIR", help="folder of the JSON files")
    add_source_arguments(parser, "coco")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say; the photos are looked for in DIR unless --images says otherwise."""
    check_out(args)
    args.images = args.images or args.folder
    counts: Counter[str] = Counter()
    # All are read before the first is written, so that all unknown names are told at once.
    images = read_labelme(args.folder, args.images, counts, progress=True)
    _require_names(images, args)
    return run_source(
        args,
        images,
        info={"description": "annotated with LabelMe, converted by fashion-mmdet"},
        where=str(args.folder),
        inputs=label_files(args.folder),
        counts=counts,
    )
