"""The rule of the cache: what a photo, a mask and a box become at the working size.

The rule is what mmdet's ``Resize(scale=(long, short), keep_ratio=True)`` does to a sample, so that
training from the cache sees what training from the originals sees:

* the size is that of ``mmcv.rescale_size``, but nothing is enlarged (``Resize`` does that later,
  from the same pixels);
* a photo is decoded by OpenCV, turned by its EXIF orientation, and resized bilinearly; one that
  fits already is kept byte for byte;
* a mask is drawn at the original size (polygons too, as mmdet's ``poly2mask=True`` does) and
  resized to the nearest pixel;
* a box is multiplied by the two exact factors, new width by old and new height by old.

At the working size ``Resize`` then finds nothing to do, and masks are the same pixel for pixel, as
are photos where they are kept as PNG; JPEG adds its own small error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError

#: Raised when the rule changes: a cache of another version is not used.
RULE = 1
#: Format of resized photos -> its suffixes; the first is given to a name that has none of them.
SUFFIXES = {"jpeg": (".jpg", ".jpeg"), "png": (".png",)}


@dataclass(frozen=True)
class Settings:
    """What a cache is made with.

    Attributes:
        size: the working size in px; the longer side of a photo fits the first number, the
            shorter one the second.
        format: of resized photos, a key of :data:`SUFFIXES`.
        quality: of JPEG, 1 to 100.
        rule: version of the rule.
    """

    size: tuple[int, int]
    format: str = "jpeg"
    quality: int = 95
    rule: int = RULE

    def as_json(self) -> dict[str, Any]:
        """Return the settings that matter, for a file."""
        said: dict[str, Any] = {"rule": self.rule, "size": list(self.size), "format": self.format}
        return {**said, "quality": self.quality} if self.format == "jpeg" else said

    def __str__(self) -> str:
        quality = f" of quality {self.quality}" if self.format == "jpeg" else ""
        return f"{self.size[0]} x {self.size[1]} px, {self.format}{quality}, rule {self.rule}"


def working_size_hw(size_hw: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a photo of ``size_hw`` at the working size.

    The arithmetic is that of ``mmcv.rescale_size`` (rounded half up), without its enlarging.

    >>> working_size_hw((3000, 2000), (1333, 800))
    (1200, 800)
    >>> working_size_hw((600, 400), (1333, 800))
    (600, 400)
    """
    height_px, width_px = size_hw
    factor = min(max(size) / max(size_hw), min(size) / min(size_hw))
    if factor >= 1:
        return size_hw
    # A strip of 5000 x 1 px would have no height left, and nothing could be written.
    return max(int(height_px * factor + 0.5), 1), max(int(width_px * factor + 0.5), 1)


def cached_name(file_name: str, is_resized: bool, settings: Settings) -> str:
    """Return the name of the cached photo; it says the format, and keeps the photo's own name.

    >>> cached_name("a/1.JPG", True, Settings((1333, 800))), cached_name(
    ...     "1.png", True, Settings((1333, 800)))
    ('a/1.JPG', '1.png.jpg')
    """
    suffixes = SUFFIXES[settings.format]
    is_named = not is_resized or file_name.lower().endswith(suffixes)
    return file_name if is_named else f"{file_name}{suffixes[0]}"


def name_in_cache(file_name: str, size_hw: tuple[int, int], settings: Settings) -> str:
    """Return the name of the cached photo of a photo of ``size_hw``; see :func:`cached_name`."""
    return cached_name(file_name, working_size_hw(size_hw, settings.size) != size_hw, settings)


def resize_photo(
    content: bytes,
    size_hw: tuple[int, int],
    new_hw: tuple[int, int],
    settings: Settings,
    where: str,
) -> bytes:
    """Return the cached photo of the photo file ``content``.

    Args:
        content: a file that OpenCV reads.
        size_hw: height and width that the annotations were made for.
        new_hw: those at the working size.
        settings: format and quality.
        where: the photo, for messages.

    Raises:
        AnnotationError: for a photo that cannot be decoded, or is of another size as it is loaded.
    """
    try:
        # As mmcv reads photos; the flag has the EXIF orientation applied.
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file; one of more pixels than OpenCV takes
        image = None
    if image is None:
        raise AnnotationError(f"{where}: a readable photo expected, got none. Fetch it again.")
    found = image.shape[:2]
    if found != size_hw:
        turned = " (turned by its EXIF flag?)" if found == size_hw[::-1] else ""
        raise AnnotationError(
            f"{where}: a photo of height x width {size_hw[0]} x {size_hw[1]} px expected, as "
            f"annotated, got {found[0]} x {found[1]}{turned}. Mend the photo or its annotation."
        )
    if new_hw == size_hw:
        return content  # its pixels as they are: coding it again would only lose some
    small = cv2.resize(image, new_hw[::-1], interpolation=cv2.INTER_LINEAR)
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.format == "jpeg" else []
    done, data = cv2.imencode(SUFFIXES[settings.format][0], small, options)
    if not done:
        raise AnnotationError(f"{where}: a photo that {settings.format} can hold expected.")
    return data.tobytes()


def resize_annotation(
    annotation: Mapping[str, Any], size_hw: tuple[int, int], new_hw: tuple[int, int], where: str
) -> tuple[dict[str, Any] | None, str]:
    """Return an annotation at the working size, or None and the reason why none is left.

    Mask, box and area are those of the working size, all other keys unchanged. What the loader
    would ignore for want of a valid mask stays, without a mask, and is ignored as before.

    Args:
        annotation: as in a COCO file; polygons or any run-length code.
        size_hw: height and width of its photo, in px.
        new_hw: those at the working size.
        where: the annotation, for messages.
    """
    mask, _ = rle.usable(annotation.get("segmentation"), *size_hw, where)
    code = None if mask is None else rle.to_rle(mask, *size_hw, where)
    box_xywh = annotation.get("bbox")
    if box_xywh is None:
        if code is None:
            return None, "neither box nor valid mask"
        box_xywh = rle.box_xywh(code)
    x_factor, y_factor = new_hw[1] / size_hw[1], new_hw[0] / size_hw[0]
    box_xywh = [v * f for v, f in zip(box_xywh, (x_factor, y_factor) * 2, strict=True)]
    area = annotation.get("area")
    small: Any = []
    if code is not None:
        small = resize_code(code, new_hw)
        area_px = rle.area_px(small)
        if not area_px:
            return None, "no pixel of the mask left at the working size"
        # An area of 0 is how some files mark what training leaves out.
        area = area_px if area is None or area > 0 else area
    elif area is not None:
        area *= x_factor * y_factor
    else:
        area = box_xywh[2] * box_xywh[3]
    if min(box_xywh[2:]) < 1:
        return None, "box under 1 px at the working size"
    return {**annotation, "segmentation": small, "bbox": box_xywh, "area": area}, ""


def resize_code(code: dict[str, Any], new_hw: tuple[int, int]) -> dict[str, Any]:
    """Resize a run-length code to the nearest pixel, as OpenCV would resize its bitmap.

    No bitmap is drawn. Which rows and columns OpenCV takes, OpenCV itself is asked; the code runs
    down the columns, and taken pixels keep their order, so every end of a run moves to the number
    of taken pixels before it.

    Args:
        code: a valid COCO code.
        new_hw: height and width to shrink to; neither larger than those of the code.

    Returns:
        A compressed code; the same as that of ``cv2.resize(bitmap, ..., cv2.INTER_NEAREST)``.
    """
    height_px, width_px = code["size"]
    rows, columns = _taken_before(height_px, new_hw[0], 0), _taken_before(width_px, new_hw[1], 1)
    runs = np.array(rle.coco_to_kaggle(code).split(), dtype=np.int64).reshape(-1, 2)
    starts = runs[:, 0] - 1
    ends = np.stack([starts, starts + runs[:, 1]], axis=1).ravel()
    column, row = np.divmod(ends, height_px)
    is_taken = columns[column + 1] - columns[column]
    moved = columns[column] * new_hw[0] + is_taken * rows[row]
    counts = np.diff(moved, prepend=0, append=new_hw[0] * new_hw[1])
    return rle.to_rle({"size": list(new_hw), "counts": counts}, *new_hw, "resize_code")


@functools.lru_cache(maxsize=256)
def _taken_before(old_px: int, new_px: int, axis: int) -> np.ndarray:
    """Return for every line 0 ... ``old_px`` + 1 how many of the lines before it OpenCV takes."""
    shape = (old_px, 1) if axis == 0 else (1, old_px)
    ramp = np.arange(old_px, dtype=np.float32).reshape(shape)  # exact up to 2**24
    new_shape = (1, new_px) if axis == 0 else (new_px, 1)  # OpenCV's order: width, height
    taken = cv2.resize(ramp, new_shape, interpolation=cv2.INTER_NEAREST).ravel()
    return np.searchsorted(taken, np.arange(old_px + 2)).astype(np.int64)
