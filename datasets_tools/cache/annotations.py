"""The annotation file of a cache: images and masks at the working size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.cache.folder import ANNOTATIONS, PHOTOS
from datasets_tools.cache.scale import Settings, name_in_cache, resize_annotation, working_size_hw
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.files import shown


def write_annotations(
    folder: Path,
    coco: dict[str, Any],
    source: Path,
    made_of: Mapping[str, str],
    settings: Settings,
    progress: bool = False,
) -> tuple[int, Counter[str]]:
    """Write the annotation file of the cache in ``folder``.

    Args:
        folder: the cache.
        coco: content of the annotation file that it is made from.
        source: that file.
        made_of: what the file says of its source: ``annotations`` and ``photos``, both as seen
            from the cache, and ``sha256``, the hash of the bytes of ``source``.
        settings: the working size, and what names of photos follow from.
        progress: show a progress bar where stderr is a terminal.

    Returns:
        How many annotations it has, and why -> how many it lacks.
    """
    dropped: Counter[str] = Counter()
    info = coco["info"] if isinstance(coco.get("info"), dict) else {}
    head = {**info, "cached_from": {**made_of, **settings.as_json()}}
    size_of = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    with CocoWriter(folder / ANNOTATIONS, coco["categories"], head, coco) as writer:
        for image in coco["images"]:
            _add_image(writer, image, settings)
        for annotation in tqdm(coco["annotations"], unit="mask", disable=hidden):
            size_hw = size_of[annotation["image_id"]]
            new_hw = working_size_hw(size_hw, settings.size)
            where = f"{source}: annotation {annotation['id']}"
            entry, reason = resize_annotation(annotation, size_hw, new_hw, where)
            if entry is None:
                dropped[reason] += 1
                continue
            writer.add_annotation(
                annotation_id=entry["id"],
                image_id=entry["image_id"],
                category_id=entry["category_id"],
                segmentation=entry["segmentation"],
                bbox=entry["bbox"],
                area=entry["area"],
                iscrowd=entry.get("iscrowd", 0),
                extra=entry,
            )
    return writer.n_annotations, dropped


def seen_from(folder: Path, path: Path) -> str:
    """Return ``path`` as a cache says it: relative, for a data set may move, its cache with it."""
    return shown(os.path.relpath(path.resolve(), folder.resolve()))


def _add_image(writer: CocoWriter, image: dict[str, Any], settings: Settings) -> None:
    size_hw = image["height"], image["width"]
    height_px, width_px = working_size_hw(size_hw, settings.size)
    writer.add_image(
        image_id=image["id"],
        file_name=f"{PHOTOS}/{name_in_cache(image['file_name'], size_hw, settings)}",
        height=height_px,
        width=width_px,
        extra={**image, "ori_size": list(size_hw), "cached_from": image["file_name"]},
    )
