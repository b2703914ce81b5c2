"""A shape of LabelMe as a mask: a polygon, or a painted crop as a run-length code."""

from __future__ import annotations

import base64
import binascii
import io
import sys
from typing import Any

import numpy as np
from PIL import Image

from datasets_tools.report import BadRow, short
from fashion_mmdet.core import rle

#: Of a coordinate: JSON can spell a whole number that no float holds.
_LARGEST = sys.float_info.max


def label_of(shape: Any, where: str) -> tuple[str, int | str | None]:
    """Return the name of a shape and the group that it is a part of, if any."""
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip():
        raise BadRow("no label", f"{where}: a text as 'label' expected, got {label!r}. Name it.")
    group = shape.get("group_id")
    if not (group is None or isinstance(group, str) or type(group) is int):
        raise BadRow(
            "group_id", f"{where}: a whole number or null as 'group_id' expected, got {group!r}."
        )
    return label.strip(), group


def part_of(shape: dict[str, Any], size_hw: tuple[int, int] | None, where: str) -> Any:
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
            "mask",
            f"{where}: a base64 PNG as 'mask' expected, got another ({kind}). Paint it again.",
        ) from None
    mask_HW = np.zeros(size_hw, dtype=bool)
    mask_HW[y0 : y1 + 1, x0 : x1 + 1] = crop_HW
    return rle.encode_mask(mask_HW)


def union_of(parts: list[Any], size_hw: tuple[int, int] | None, where: str) -> Any:
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


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= _LARGEST
            for v in value
        )
    )
