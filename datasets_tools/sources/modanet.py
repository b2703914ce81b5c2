"""ModaNet to COCO with our categories: one COCO file, 13 categories, masks as polygons.

The dataset (S. Zheng, F. Yang, M. H. Kiapour, R. Piramuthu, "ModaNet: A Large-Scale Street
Fashion Dataset with Polygon Annotations", ACM Multimedia 2018; https://github.com/eBay/modanet)
has ``modanet2018_instances_train.json``; the photos (``0736495.jpg``) are those of PaperDoll and
come apart. The ``val`` file has no annotations. What the 13 categories become is the table
``maps/modanet.csv``.

Known of the data: boxes that miss their polygons (https://github.com/eBay/modanet/issues/4), so
boxes come from the masks here and those that differ are counted; and masks that hold both shoes,
so ``boots`` and ``footwear`` are parted like all pairs.

    fashion data convert modanet modanet2018_instances_train.json --images images --out all.json
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_tools.convert import add_source_arguments, run_source
from datasets_tools.report import BadRow, short
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.files import read_json

#: Boxes are whole pixels; one that is further from its polygons at any side is a fault.
_BOX_TOLERANCE_PX = 2
_MOST_SIDE_PX = 65535  # of a JPEG


def read_file(path: str | os.PathLike[str], counts: Counter[str]) -> Iterator[SourceImage | BadRow]:
    """Yield the images of the file in its order, each with its annotations.

    An entry that cannot be used is a bad row, and the others are read all the same. Image and
    mask have ``source_id``, their id in the file.

    Args:
        path: the COCO file.
        counts: what was not taken over is entered here, sentence -> number.

    Raises:
        FashionError: for a file that is no COCO file, or categories that cannot be told.
    """
    data, name = read_json(path), Path(path).name
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise AnnotationError(
                f"{path}: an object with the lists 'images', 'annotations' and 'categories' "
                f"expected, got no {key!r}. Is this modanet2018_instances_train.json?"
            )
    # Without classes to map to, all names are unknown: ids and names, checked.
    name_of_id = map_categories(data["categories"], (), str(path)).unknown
    masks_of: dict[int, list[SourceMask | BadRow]] = {}
    images = []
    for index, entry in enumerate(data["images"]):
        where = f"{name}: images[{index}]"
        try:
            image = _image(entry, where)
            if image.extra["source_id"] in masks_of:
                raise BadRow(
                    "image", f"{where}: each id once expected, got {entry['id']} again. Mend it."
                )
        except BadRow as error:
            yield error
            continue
        images.append(image)
        masks_of[image.extra["source_id"]] = image.masks
    for index, entry in enumerate(data["annotations"]):
        where = f"{name}: annotations[{index}]"
        try:
            masks = _masks(entry, where, masks_of)
            try:
                masks.append(_mask(entry, where, name_of_id, counts))
            except BadRow as error:
                masks.append(error)  # reported with its image
        except BadRow as error:
            yield error
    yield from images


def _image(entry: Any, where: str) -> SourceImage:
    entry = entry if isinstance(entry, dict) else {}
    image_id, file_name = entry.get("id"), entry.get("file_name")
    if type(image_id) is not int or not isinstance(file_name, str):
        raise BadRow(
            "image",
            f"{where}: a whole number 'id' and a text 'file_name' expected, got "
            f"{short(image_id)} and {short(file_name)}. Mend the entry.",
        )
    size_hw = entry.get("height"), entry.get("width")
    if not all(type(side) is int and 0 < side <= _MOST_SIDE_PX for side in size_hw):
        raise BadRow(
            "image",
            f"{where} ({file_name}): height and width in whole pixels expected, got "
            f"{short(size_hw[0])} and {short(size_hw[1])}. Mend the entry.",
        )
    return SourceImage(file_name, [], f"{where} ({file_name})", size_hw, {"source_id": image_id})


def _masks(
    entry: Any, where: str, masks_of: dict[int, list[SourceMask | BadRow]]
) -> list[SourceMask | BadRow]:
    image_id = entry.get("image_id") if isinstance(entry, dict) else None
    if type(image_id) is not int or image_id not in masks_of:
        raise BadRow(
            "image of annotation",
            f"{where}: the image_id of a good entry of 'images' expected, got {short(image_id)}. "
            "Is the file complete?",
        )
    return masks_of[image_id]


def _mask(
    entry: dict[str, Any], where: str, name_of_id: dict[int, str], counts: Counter[str]
) -> SourceMask:
    category_id, source_id = entry.get("category_id"), entry.get("id")
    if type(category_id) is not int or category_id not in name_of_id:
        raise BadRow(
            "category",
            f"{where}: the category_id of an entry of 'categories' expected, got "
            f"{short(category_id)}. Mend or remove the annotation.",
        )
    if type(source_id) is not int or entry.get("iscrowd", 0) not in (0, 1):
        raise BadRow(
            "annotation",
            f"{where}: a whole number 'id', and 0 or 1 as 'iscrowd', expected, got "
            f"{short(source_id)} and {short(entry.get('iscrowd', 0))}. Mend the annotation.",
        )
    segmentation = entry.get("segmentation")
    if _misses(entry.get("bbox"), segmentation):
        counts[
            f"boxes more than {_BOX_TOLERANCE_PX} px off their polygons: written as of the masks"
        ] += 1
    extra = {"source_id": source_id}
    return SourceMask(name_of_id[category_id], segmentation, where, extra, entry.get("iscrowd", 0))


def _misses(box_xywh: Any, polygons: Any) -> bool:
    """Return whether a box is another one than that of the polygons; False for bad polygons."""
    try:
        xs = [x for polygon in polygons for x in polygon[0::2]]
        ys = [y for polygon in polygons for y in polygon[1::2]]
        wanted = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    except (TypeError, ValueError):  # not numbers, or none: write_coco names it
        return False
    try:
        pairs = zip(box_xywh, wanted, strict=True)
        return any(abs(got - side) > _BOX_TOLERANCE_PX for got, side in pairs)
    except (TypeError, ValueError):  # no box of four numbers
        return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert modanet``."""
    parser.add_argument("json", metavar="JSON", help="modanet2018_instances_train.json")
    add_source_arguments(parser, "modanet")


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the report and return the exit code."""
    counts: Counter[str] = Counter()
    return run_source(
        args,
        read_file(args.json, counts),
        info={
            "description": "ModaNet as instances of 49 fashion categories",
            "url": "https://github.com/eBay/modanet",
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/modanet.py",
        },
        counts=counts,
        where=args.json,
        inputs=[args.json],
    )
