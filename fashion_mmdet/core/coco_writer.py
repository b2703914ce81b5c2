"""Writing COCO annotation files of any length, entry by entry."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import AnnotationError
from .files import atomic_open, json_text

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LISTS = ("annotations", "images")  # CocoWriter writes them entry by entry


class JsonText(str):
    """The JSON of a value, which is written as it stands."""

    __slots__ = ()


def rle_json(rle: Mapping[str, Any]) -> JsonText:
    """Return the JSON of a code as :mod:`.rle` makes them: of its characters one is escaped.

    The json module looks at each character of 6 kB; this does not.
    """
    height_px, width_px = rle["size"]
    counts = rle["counts"].replace("\\", "\\\\")
    return JsonText(f'{{"size": [{height_px}, {width_px}], "counts": "{counts}"}}')


class CocoWriter:
    """Write a COCO file of any length, annotation by annotation.

    Use it as a context manager. The file appears, whole, when the block ends; after an exception
    nothing is left and an older file keeps its content. Annotations go to the disk at once: of
    each, memory keeps only the two ids that are checked at the end (16 bytes).

    Args:
        path: the file to write; its folder is made.
        categories: the ``categories`` list, see :func:`.ontology.coco_categories`.
        info: the ``info`` object: what the file is and where it comes from.
        extra: further top-level entries, e.g. ``attributes``.

    Further keys come as a mapping, never as arguments: in a user's file an image may well have a
    key ``image_id`` of its own. Where one has the name of a key that is written anyway, the
    written one stands.

    Raises:
        AnnotationError: at the end of the block, for an id given twice or an annotation whose
            image or category was never added.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        categories: list[dict[str, Any]],
        info: dict[str, Any],
        extra: Mapping[str, Any] = _NOTHING,
    ) -> None:
        self.path = os.fspath(path)
        head = {"info": info, "categories": categories}
        kept = {key: value for key, value in extra.items() if key not in _LISTS}
        self._head = head | kept | head
        self._category_ids = {category["id"] for category in categories}
        self._images: dict[int, str] = {}
        self._annotation_ids = array("q")
        self._image_ids = array("q")
        self._stack = contextlib.ExitStack()

    @property
    def n_images(self) -> int:
        """How many images were added."""
        return len(self._images)

    @property
    def n_annotations(self) -> int:
        """How many annotations were added."""
        return len(self._annotation_ids)

    def __enter__(self) -> CocoWriter:
        self._stream = self._stack.enter_context(atomic_open(self.path))
        self._stream.write(json_text(self._head, self.path)[:-1] + ',\n"annotations": [')
        return self

    def add_image(
        self,
        *,
        image_id: int,
        file_name: str,
        height: int,
        width: int,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Add an image of ``height`` x ``width`` pixels, before or after its annotations."""
        if image_id in self._images:
            raise AnnotationError(
                f"{self.path}: each image id once expected, got {image_id} twice (the second time "
                f"for {file_name!r}). Number the images afresh."
            )
        entry = {"id": image_id, "file_name": file_name, "height": height, "width": width}
        self._images[int(image_id)] = json_text(
            {**entry, **extra, **entry} if extra else entry, f"{self.path}: image {image_id}"
        )

    def add_annotation(
        self,
        *,
        annotation_id: int,
        image_id: int,
        category_id: int,
        segmentation: Any,
        bbox: Sequence[float],
        area: float,
        iscrowd: int = 0,
        extra: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Add an instance: ``bbox`` is xywh in pixels, ``area`` that of the mask in pixels.

        ``segmentation`` is polygons or a code, or the :class:`JsonText` of either.
        """
        if category_id not in self._category_ids:
            raise AnnotationError(
                f"{self.path}: annotation {annotation_id}: a category id of this file expected, "
                f"got {category_id!r}. Map the category by its name."
            )
        entry = {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": category_id,
            "segmentation": None if isinstance(segmentation, JsonText) else segmentation,
            "bbox": list(bbox),
            "area": area,
            "iscrowd": iscrowd,
        }
        text = json_text(
            {**entry, **extra, **entry} if extra else entry,
            f"{self.path}: annotation {annotation_id}",
        )
        if isinstance(segmentation, JsonText):  # numbers alone stand before this key
            text = text.replace('"segmentation": null', f'"segmentation": {segmentation}', 1)
        self._stream.write((",\n" if self.n_annotations else "\n") + text)
        self._annotation_ids.append(annotation_id)
        self._image_ids.append(image_id)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        if kind is None:
            try:
                self._finish()
            except BaseException as fault:
                # The stack must see the fault, or it would rename the file all the same.
                self._stack.__exit__(type(fault), fault, fault.__traceback__)
                raise
        return self._stack.__exit__(kind, error, trace)

    def _finish(self) -> None:
        ids, times = np.unique(np.frombuffer(self._annotation_ids, np.int64), return_counts=True)
        if (times > 1).any():
            raise AnnotationError(
                f"{self.path}: each annotation id once expected, got {int(ids[times > 1][0])} "
                f"{int(times.max())} times. Number the annotations afresh."
            )
        orphans = set(np.unique(np.frombuffer(self._image_ids, np.int64)).tolist()) - set(
            self._images
        )
        if orphans:
            raise AnnotationError(
                f"{self.path}: the image of every annotation expected, got annotations of image "
                f"{min(orphans)}, which was not added. Add it."
            )
        images = ",\n".join(self._images.values())
        self._stream.write(f'\n],\n"images": [\n{images}\n]}}\n')
