"""Garments cut out of a photo: PNG files with transparency. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.files import atomic_open, inside
from fashion_mmdet.core.prediction import Prediction

from .crops import crop_of_code
from .drawing import require_photo_of

_LONGEST = 40  # characters of a class in a file name: systems end at 255 bytes


def cutout(
    image_HW3: np.ndarray, rle: Mapping[str, Any], *, margin_px: int = 0, feather: bool = False
) -> np.ndarray:
    """Cut one mask out of a photo.

    What is not of the mask is transparent *and* black, so that no background leaks to programs
    that forget transparency.

    Args:
        image_HW3: (H, W, 3) uint8, RGB.
        rle: a COCO code of the photo's size.
        margin_px: of nothing around the mask's box, on all four sides, also where the photo ends.
        feather: soften the edge by a pixel, inwards: alpha is the mean of the mask over 3 x 3
            pixels. Either way alpha is above 0 exactly where the mask is.

    Returns:
        (h, w, 4) uint8, RGB and alpha; h and w are those of the mask's box and twice the margin.

    Raises:
        AnnotationError: for a code of another size than the photo's.
        MaskError: for a code that is none.

    >>> photo = np.full((4, 4, 3), 200, np.uint8)
    >>> cutout(photo, {"size": [4, 4], "counts": [5, 1, 4, 1, 5]})[..., 3].tolist()
    [[255, 0], [0, 255]]
    """
    if image_HW3.shape != (*rle["size"], 3):
        raise AnnotationError(
            f"cutout: a photo of the mask's shape {(*rle['size'], 3)} expected, got "
            f"{image_HW3.shape}. Was it turned by its EXIF orientation?"
        )
    crop = crop_of_code(rle)
    mask_HW = crop.bitmap_HW
    alpha_HW = mask_HW * np.uint8(255)
    if feather and mask_HW.size:
        soft_HW = cv2.blur(alpha_HW, (3, 3), borderType=cv2.BORDER_CONSTANT)
        alpha_HW = soft_HW * mask_HW
    out = np.zeros((*mask_HW.shape, 4), dtype=np.uint8)
    out[..., :3] = image_HW3[crop.at] * mask_HW[..., None]
    out[..., 3] = alpha_HW
    return np.pad(out, ((margin_px, margin_px), (margin_px, margin_px), (0, 0)))


def write_cutouts(
    folder: str | os.PathLike[str],
    stem: str,
    image_HW3: np.ndarray,
    prediction: Prediction,
    *,
    margin_px: int = 0,
    feather: bool = False,
) -> list[Path]:
    """Write what was found on a photo as ``folder/stem/<nn>_<class>_<score in percent>.png``.

    ``nn`` counts the prediction's instances from 1; one without a pixel has no file. Each file is
    written whole or not at all. Files of that name are replaced, others stay.

    Args:
        folder: of all cut-outs.
        stem: of the photo; with ``/`` in it, folders within ``folder``.
        image_HW3: (H, W, 3) uint8, RGB.
        prediction: all of it is cut out; choose before.
        margin_px: as of :func:`cutout`.
        feather: as of :func:`cutout`.

    Returns:
        The files, in the order of the prediction.

    Raises:
        AnnotationError: for a photo of another size than the prediction's.
        FashionError: for a stem that leads out of ``folder``, or a place that holds no file.
    """
    require_photo_of(image_HW3, prediction, "write_cutouts")
    place = inside(folder, stem, "the stem of the cut-outs")
    digits = max(2, len(str(len(prediction))))
    paths = []
    for n, (name, score, code) in enumerate(
        zip(prediction.names, prediction.scores.tolist(), prediction.rles, strict=True), start=1
    ):
        cut = cutout(image_HW3, code, margin_px=margin_px, feather=feather)
        if not cut[..., 3].any():
            continue
        path = place / f"{n:0{digits}d}_{slug(name)}_{round(100 * score)}.png"
        with atomic_open(path, "wb") as stream:
            Image.fromarray(cut).save(stream, format="PNG")
        paths.append(path)
    return paths


def slug(name: str) -> str:
    """Return a class name as a part of a file name: letters and digits, joined by hyphens.

    >>> slug("top, t-shirt, sweatshirt"), slug("../..")
    ('top-t-shirt-sweatshirt', 'class')
    """
    words = re.sub(r"[\W_]+", "-", name.lower())
    return words[:_LONGEST].strip("-") or "class"
