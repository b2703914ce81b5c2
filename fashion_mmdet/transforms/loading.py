"""Loading photos."""

from __future__ import annotations

from typing import Any

import cv2
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from fashion_mmdet.core.errors import AnnotationError


@TRANSFORMS.register_module()
class LoadPhoto(LoadImageFromFile):
    """``LoadImageFromFile`` that names the photo when it is unreadable or of another size.

    Masks are stored for the photo's size as annotated. A photo of another size (resized after
    annotation, or turned by its EXIF flag, which the decoder applies) would have its masks laid
    beside the garments, or fail far from here without a name.

    Required keys: ``img_path``; where present, ``height`` and ``width`` (px) are checked.
    Adds: ``img`` (H, W, 3, uint8, BGR), ``img_shape``, ``ori_shape``.

    Raises:
        AnnotationError: naming the photo.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load the photo named by ``results['img_path']``."""
        path = results["img_path"]
        try:
            loaded = super().transform(results)
        except (AssertionError, OSError, ValueError, AttributeError, cv2.error) as error:
            # mmcv asserts on None, cv2 and the file system raise; none of them names the photo.
            raise AnnotationError(
                f"{path}: a readable photo expected, got {type(error).__name__}: {error}. "
                "Replace the file or remove the image from the annotations."
            ) from None
        if loaded is None:  # ignore_empty=True
            return None
        expected = results.get("height"), results.get("width")
        found = tuple(loaded["img_shape"][:2])
        if None not in expected and expected != found:
            turned = " (turned by its EXIF flag?)" if expected == found[::-1] else ""
            raise AnnotationError(
                f"{path}: a photo of {expected[1]} x {expected[0]} px expected, as annotated, got "
                f"{found[1]} x {found[0]}{turned}. Annotate the photo as it is stored, or store "
                "it as it was annotated."
            )
        return loaded
