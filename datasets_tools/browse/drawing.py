"""Drawing one photo: a thumbnail with its masks, the photo to look at, and outlines over it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from datasets_tools.browse.cards import Card, Shape
from datasets_tools.browse.lettering import lettering
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError, MaskError
from fashion_mmdet.core.files import inside

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_FILL = 0.42
_LARGE = 2  # the photo to look at is so many times the size of its thumbnail
_SMALL_PX, _MEDIUM_PX = 32**2, 96**2  # COCO's limits
_REACH = 1e6  # boxes of damaged files may reach anywhere
# Masks are decoded at the stated size, which a damaged file may state at will: a byte a pixel.
_MOST_PX = 200_000_000
_ODD_PX, _ODD_TIMES = 25_000_000, 16  # larger than that, and so many times the photo


@dataclass
class Drawn:
    """What a page needs to know of a drawn photo.

    Attributes:
        fault: why there is no picture; None where there is one.
        warning: what is odd about the picture.
        size_wh: width and height of the large picture.
        shapes: of each annotation, in the order of the card: ``area`` in pixels of the photo,
            ``size`` (``small``, ``medium``, ``large`` by COCO), ``fault`` of its mask.
        paths: of each annotation, its outline as an SVG path in pixels of the large picture.
    """

    fault: str | None = None
    warning: str | None = None
    size_wh: tuple[int, int] = (0, 0)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mask:
    """A mask on a picture.

    Attributes:
        alpha_HW: uint8, 0 to 255, of the picture's size; None where it is a box only.
        box_xyxy: in pixels of the picture.
        area_px: large ones are drawn first.
        label: position in the names and colours that :func:`paint` is given.
    """

    alpha_HW: np.ndarray | None
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    label: int


def draw(
    card: Card,
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    images_dir: str | os.PathLike[str],
    thumb_path: Path,
    large_path: Path,
    size_px: int,
) -> Drawn:
    """Write the two pictures of a photo and return what the page needs to know.

    The photo is turned by its EXIF orientation, as training loads it. Masks are drawn from their
    bitmaps, be they codes or polygons; the outlines of the large picture are simplified by less
    than a pixel of it.

    Args:
        card: the photo.
        classes: name and RGB by label.
        images_dir: folder of the photos.
        thumb_path: JPEG to write, the masks drawn into it.
        large_path: JPEG to write, twice the size, without masks.
        size_px: long side of the thumbnail; photos are never enlarged.
    """
    try:
        photo, photo_hw = _photo_of(card, images_dir, _LARGE * size_px)
    except FashionError as error:
        return Drawn(fault=str(error), shapes=_undrawn(card), paths=[""] * len(card.shapes))
    mask_hw = card.size_hw or photo_hw
    large, thumb = _fit(photo, _LARGE * size_px), _fit(photo, size_px)
    out = Drawn(size_wh=large.size)
    if mask_hw != photo_hw:
        out.warning = (
            f"the photo is {photo_hw[0]} x {photo_hw[1]} (height x width), the file says "
            f"{mask_hw[0]} x {mask_hw[1]}; the masks are stretched onto it"
        )
    masks = []
    for shape in card.shapes:
        mask, facts, path = _shape(shape, mask_hw, thumb.size, large.size)
        out.shapes.append(facts)
        out.paths.append(path)
        if mask is not None:
            masks.append(mask)
    large.save(large_path, quality=85)
    paint(thumb, masks, classes).save(thumb_path, quality=85)
    return out


def fault_of(card: Card, images_dir: str | os.PathLike[str], size_px: int) -> str | None:
    """Return why a photo cannot be drawn, None where it can; arguments as of :func:`draw`."""
    try:
        _photo_of(card, images_dir, size_px)
    except FashionError as error:
        return str(error)
    return None


def _photo_of(
    card: Card, images_dir: str | os.PathLike[str], long_side_px: int
) -> tuple[Image.Image, tuple[int, int]]:
    """Return what :func:`read_photo` does of a photo on which masks can be drawn."""
    # Messages name the folder by its part alone: pages are passed on, paths of machines not.
    inside("the folder of photos", card.file_name, "file_name")
    photo, photo_hw = read_photo(Path(images_dir), card.file_name, long_side_px)
    if fault := _too_large(card.size_hw or photo_hw, photo_hw):
        raise FashionError(fault)
    return photo, photo_hw


def _too_large(mask_hw: tuple[int, int], photo_hw: tuple[int, int]) -> str | None:
    mask_px, photo_px = mask_hw[0] * mask_hw[1], photo_hw[0] * photo_hw[1]
    is_odd = mask_px > _ODD_PX and mask_px > _ODD_TIMES * photo_px
    if not is_odd and mask_px <= _MOST_PX:
        return None
    return (
        f"the photo is {photo_hw[0]} x {photo_hw[1]} (height x width), the file says "
        f"{mask_hw[0]} x {mask_hw[1]}: masks of that size are not drawn"
    )


def read_photo(
    folder: Path, name: str, long_side_px: int
) -> tuple[Image.Image, tuple[int, int]]:
    """Return a photo, upright, at least so large if it is, and its height and width.

    Raises:
        FashionError: where there is none, or it cannot be read; the folder is not named.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large photos
            with Image.open(folder / name, formats=_FORMATS) as image:
                # A JPEG is decoded at an eighth to the whole of its size, as is enough.
                width, height = image.size
                image.draft("RGB", (long_side_px, long_side_px))
                photo = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise FashionError(f"{name}: a photo expected, found no file.") from None
    # Pillow's readers raise many types on a damaged file (struct.error, SyntaxError, ...).
    except Exception as error:  # noqa: BLE001
        # Its words, and those of the system, name the whole path.
        named = isinstance(error, Image.UnidentifiedImageError) or getattr(error, "filename", None)
        what = type(error).__name__ if named else error
        raise FashionError(f"{name}: a photo that can be read expected, got: {what}.") from None
    turned = (photo.width < photo.height) != (width < height)
    return photo, (width, height) if turned else (height, width)


def _fit(photo: Image.Image, side_px: int) -> Image.Image:
    scale = side_px / max(photo.size)
    if scale >= 1:
        return photo.copy()
    width, height = (max(1, round(side * scale)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _undrawn(card: Card) -> list[dict[str, Any]]:
    """Return the facts of masks whose photo cannot be read: they can be measured all the same."""
    if card.size_hw is None:
        return [{"area": None, "size": None, "fault": None} for _ in card.shapes]
    return [_facts(*_code(shape, card.size_hw)) for shape in card.shapes]


def _code(shape: Shape, size_hw: tuple[int, int]) -> tuple[dict[str, Any] | None, str | None]:
    """Return the code of what is usable of a mask, and what is wrong with it."""
    where = f"annotation {shape.id}"
    if shape.segmentation is None:
        return None, "no mask"
    try:
        usable, faults = rle.usable(shape.segmentation, *size_hw, where)
        # What is usable of a code is a code already.
        code = rle.to_rle(usable, *size_hw, where) if isinstance(usable, list) else usable
    except (MaskError, TypeError) as error:
        return None, str(error)
    if code is not None and not rle.area_px(code):
        return None, "the mask is empty"
    return code, faults[0] if faults else None


def _facts(code: dict[str, Any] | None, fault: str | None) -> dict[str, Any]:
    if code is None:
        return {"area": None, "size": None, "fault": fault}
    area_px = rle.area_px(code)
    size = "small" if area_px < _SMALL_PX else "medium" if area_px < _MEDIUM_PX else "large"
    return {"area": area_px, "size": size, "fault": fault}


def _shape(
    shape: Shape, mask_hw: tuple[int, int], thumb_wh: tuple[int, int], large_wh: tuple[int, int]
) -> tuple[Mask | None, dict[str, Any], str]:
    """Return a mask on the thumbnail, its facts, and its outline on the large picture."""
    code, fault = _code(shape, mask_hw)
    facts = _facts(code, fault)
    box_xywh = rle.box_xywh(code) if code is not None else shape.box_xywh
    if box_xywh is None:
        return None, facts, ""
    box = _scaled(box_xywh, mask_hw, thumb_wh)
    frame = _box_path(_scaled(box_xywh, mask_hw, large_wh))
    if code is None:
        return Mask(None, box, 0, shape.label), facts, frame
    bitmap_HW = rle.decode(code) * np.uint8(255)
    alpha_HW = cv2.resize(bitmap_HW, thumb_wh, interpolation=cv2.INTER_AREA)
    large_HW = cv2.resize(bitmap_HW, large_wh, interpolation=cv2.INTER_AREA)
    return Mask(alpha_HW, box, facts["area"], shape.label), facts, _path(large_HW) or frame


def _scaled(
    box_xywh: Sequence[float], from_hw: tuple[int, int], to_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    x, y, width, height = (max(-_REACH, min(value, _REACH)) for value in box_xywh)
    by_x, by_y = to_wh[0] / from_hw[1], to_wh[1] / from_hw[0]
    corners = (x * by_x, y * by_y, (x + width) * by_x, (y + height) * by_y)
    x0, y0, x1, y1 = (round(value) for value in corners)
    return x0, y0, x1, y1


def _box_path(box_xyxy: tuple[int, int, int, int]) -> str:
    x0, y0, x1, y1 = box_xyxy
    return f"M{x0} {y0}H{x1}V{y1}H{x0}Z"


def _path(alpha_HW: np.ndarray) -> str:
    """Return the outlines of parts and holes, to be filled by the even-odd rule."""
    lines = [cv2.approxPolyDP(line, 0.8, True)[:, 0] for line in _outlines(alpha_HW)]
    texts = (" ".join(map(str, line.ravel().tolist())) for line in lines if len(line) > 2)
    return "".join(f"M{text}Z" for text in texts)


def _outlines(alpha_HW: np.ndarray) -> Sequence[np.ndarray]:
    solid_HW = (alpha_HW >= 128).astype(np.uint8)
    return cv2.findContours(solid_HW, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0]


def paint(
    photo: Image.Image,
    masks: list[Mask],
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    fill: float = _FILL,
) -> Image.Image:
    """Fill, then outline, then name; small masks lie above large ones.

    Args:
        photo: the picture; it stays as it is.
        masks: of its size.
        classes: name and RGB by label.
        fill: how much of the colour covers the photo, 0 to 1.
    """
    masks = sorted(masks, key=lambda mask: -mask.area_px)
    pixels_HWC = np.asarray(photo, dtype=np.float32).copy()
    for mask in masks:
        if mask.alpha_HW is not None:
            x0, y0, x1, y1 = (max(0, value) for value in mask.box_xyxy)
            around = np.s_[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]  # soft edges too
            alpha_HW1 = mask.alpha_HW[around][..., None] * np.float32(fill / 255)
            colour = np.array(classes[mask.label][1], dtype=np.float32)
            pixels_HWC[around] += alpha_HW1 * (colour - pixels_HWC[around])
    canvas_HWC = np.rint(pixels_HWC).astype(np.uint8)
    width_px = max(1, round(max(photo.size) / 300))
    for mask in masks:
        colour_rgb = classes[mask.label][1]
        lines = _outlines(mask.alpha_HW) if mask.alpha_HW is not None else ()
        if lines:
            cv2.drawContours(canvas_HWC, list(lines), -1, colour_rgb, width_px, cv2.LINE_AA)
        else:
            x0, y0, x1, y1 = mask.box_xyxy
            cv2.rectangle(canvas_HWC, (x0, y0), (x1, y1), colour_rgb, width_px)
    out = Image.fromarray(canvas_HWC)
    _name(out, masks, classes)
    return out


def _name(
    canvas: Image.Image, masks: list[Mask], classes: Sequence[tuple[str, tuple[int, int, int]]]
) -> None:
    """Write class names where there is room, the largest masks first."""
    font_px = max(9, round(max(canvas.size) / 36))
    pen, pad = ImageDraw.Draw(canvas), max(2, font_px // 5)
    taken: list[tuple[float, float, float, float]] = []
    for mask in masks:
        name, rgb = classes[mask.label]
        text, font = lettering(name, 40, font_px)
        width, height = pen.textlength(text, font) + 2 * pad, font_px + 2 * pad
        x0, y0, x1, y1 = mask.box_xyxy
        middle = (x0 + x1 - width) / 2
        inner, outer = ((y0 + y1 - height) / 2, y0, y1 - height), (y1 + 2, y0 - height - 2)
        # A name must not hide what it names.
        for top in inner if y1 - y0 > 2 * height else outer:
            left = min(max(middle, 0), max(canvas.width - width, 0))
            top = min(max(top, 0), max(canvas.height - height, 0))
            spot = (left, top, left + width, top + height)
            if not any(_overlap(spot, other) for other in taken):
                taken.append(spot)
                pen.rounded_rectangle(spot, radius=pad + 1, fill=rgb)
                ink = (0, 0, 0) if np.dot(rgb, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)
                pen.text((left + pad, top + height / 2), text, ink, font, anchor="lm")
                break


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
