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
import base64
import binascii
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets_tools.report import BadRow, short
from datasets_tools.source import SourceImage, SourceMask, add_source_arguments, run_source
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError, MaskError
from fashion_mmdet.core.files import looked_up_from, read_json

#: Run lengths count pixels in 31 bits.
_MOST_PX = 2**31 - 1
#: Of a coordinate: JSON can spell a whole number that no float holds.
_LARGEST = sys.float_info.max


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
    folder: str | os.PathLike[str], images_dir: str | os.PathLike[str], counts: Counter[str]
) -> Iterator[SourceImage | BadRow]:
    """Yield the photo of each JSON file below ``folder``.

    ``file_name`` is where ``imagePath`` points to, relative to ``images_dir``; where that lies
    outside (photos were moved apart from their labels), it is ``imagePath`` itself. What is not
    read is entered in ``counts``.
    """
    for path in label_files(folder):
        where = path.relative_to(folder).as_posix()
        try:
            yield _read_file(path, Path(images_dir), counts, where)
        except BadRow as error:
            yield error


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
    if height_px * width_px > _MOST_PX:
        raise BadRow(
            "size",
            f"{where}: a photo of at most {_MOST_PX} pixels expected, got imageHeight x imageWidth "
            f"{short(height_px)} x {short(width_px)}. Mend the file.",
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
            label, group = _label(shape, place)
            part = _part(shape, size_hw, place)
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
            segmentation = _union(parts, size_hw, place)
        except MaskError as error:
            masks.append(BadRow("mask", str(error)))
            continue
        extra = _flags([shape for _, shape, _ in members])
        masks.append(SourceMask(label, segmentation, place, extra))
    return masks + bad


def _label(shape: Any, where: str) -> tuple[str, int | str | None]:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise BadRow("no label", f"{where}: a text as 'label' expected, got {label!r}. Name it.")
    group = shape.get("group_id")
    if not (group is None or isinstance(group, str) or type(group) is int):
        raise BadRow(
            "group_id", f"{where}: a whole number or null as 'group_id' expected, got {group!r}."
        )
    return label.strip(), group


def _part(shape: dict[str, Any], size_hw: tuple[int, int] | None, where: str) -> Any:
    """Return one shape as a polygon ``[x0, y0, ...]`` or as a compressed code."""
    kind = shape.get("shape_type") or "polygon"  # the first versions knew no other
    if kind not in ("polygon", "mask"):
        raise BadRow(
            f"no mask: {kind}",
            f"{where}: shape_type 'polygon' or 'mask' expected, got {kind!r}. Draw its outline.",
        )
    points = shape.get("points")
    if not isinstance(points, list) or not all(map(_is_point, points)):
        raise BadRow(
            "points",
            f"{where}: points as [[x, y], ...] expected, got {short(points)}. Draw it again.",
        )
    if kind == "polygon":
        return [value for point in points for value in point]
    if size_hw is None:
        raise BadRow(
            "size", f"{where}: imageHeight and imageWidth beside a painted mask expected, got none."
        )
    return _painted(shape.get("mask"), points, size_hw, where)


def _painted(
    text: Any, points: list[list[float]], size_hw: tuple[int, int], where: str
) -> dict[str, Any]:
    """Return the code of a painted mask: its crop is read only if its size is the box's."""
    corners = [int(value) for point in points for value in point]  # cut off, as LabelMe does
    x0, y0, x1, y1 = corners if len(corners) == 4 else (0, 0, -1, -1)
    if not (0 <= x0 <= x1 < size_hw[1] and 0 <= y0 <= y1 < size_hw[0]):
        raise BadRow(
            "points",
            f"{where}: two corners [[x1, y1], [x2, y2]] within {size_hw[0]} x {size_hw[1]} "
            f"(height x width) expected, got {short(points)}. Paint the mask again.",
        )
    try:
        raw = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(raw), formats=("PNG",)) as crop:
            if crop.size != (x1 - x0 + 1, y1 - y0 + 1):
                raise BadRow(
                    "mask",
                    f"{where}: a crop of {y1 - y0 + 1} x {x1 - x0 + 1} (height x width), as its "
                    f"corners say, expected, got {crop.height} x {crop.width}. Paint it again.",
                )
            crop_HW = np.asarray(crop.convert("L")) != 0
    except BadRow:
        raise
    # Pillow's readers raise many types on a damaged file (struct.error, SyntaxError, ...).
    except Exception as error:  # noqa: BLE001
        kind = "base64" if isinstance(error, (binascii.Error, TypeError)) else type(error).__name__
        raise BadRow(
            "mask", f"{where}: a base64 PNG as 'mask' expected, got another ({kind}). Paint it "
            "again.",
        ) from None
    mask_HW = np.zeros(size_hw, dtype=bool)
    mask_HW[y0 : y1 + 1, x0 : x1 + 1] = crop_HW
    return rle.encode_mask(mask_HW)


def _union(parts: list[Any], size_hw: tuple[int, int] | None, where: str) -> Any:
    """Return the segmentation of an instance; bitmaps are made only to join painted parts."""
    codes = [part for part in parts if isinstance(part, dict)]
    polygons = [part for part in parts if not isinstance(part, dict)]
    if not codes or size_hw is None:  # a painted part has a size
        return polygons
    if polygons:
        codes.append(rle.to_rle(polygons, *size_hw, where))
    if len(codes) == 1:
        return codes[0]
    return rle.encode_mask(np.logical_or.reduce([rle.decode(code) for code in codes]))


def _flags(objects: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the names of the flags that are set, if any, as a further key."""
    flags = [o["flags"] for o in objects if isinstance(o.get("flags"), dict)]
    names = sorted({name for flag in flags for name, is_set in flag.items() if is_set})
    return {"flags": names} if names else {}


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= _LARGEST
        for v in value
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data convert labelme``."""
    parser.add_argument("folder", metavar="DIR", help="folder of the JSON files")
    add_source_arguments(parser, "coco")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say; the photos are looked for in DIR unless --images says otherwise."""
    args.images = args.images or args.folder
    counts: Counter[str] = Counter()
    return run_source(
        args,
        read_labelme(args.folder, args.images, counts),
        info={"description": "annotated with LabelMe, converted by fashion-mmdet"},
        where=str(args.folder),
        inputs=label_files(args.folder),
        counts=counts,
    )
