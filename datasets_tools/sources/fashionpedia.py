"""Fashionpedia to COCO with our categories: masks, boxes and attributes.

The dataset (M. Jia et al., "Fashionpedia: Ontology, Segmentation, and an Attribute Localization
Dataset", ECCV 2020; https://github.com/cvdfoundation/fashionpedia) comes as
``instances_attributes_train2020.json`` and ``..._val2020.json``: COCO files with 46 categories,
``attribute_ids`` of each annotation and a table of 294 ``attributes``; masks are polygons or
run-length codes. The sample of https://github.com/KMnP/fashionpedia-api has 48 categories in
*another order* and no boxes: by number, everything after ``glasses`` would be shifted. Here names
alone count; what becomes of each, in both files, is the table ``maps/fashionpedia.csv``.

Boxes and areas are derived from the masks. ``iscrowd`` is kept (``--crowds`` decides otherwise);
so are ``attribute_ids`` and the table, the ids of the file as ``source_id``, and of images
``kaggle_id`` (the photo's ``ImageId`` in iMaterialist) and ``license``.

    fashion data convert fashionpedia instances_attributes_val2020.json --images test \\
        --out data/fashionpedia/annotations/val.json
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from datasets_tools.attributes import attribute_table
from datasets_tools.cached import read_originals
from datasets_tools.category_map import table_of
from datasets_tools.convert import add_source_arguments, check_out, run_source
from datasets_tools.report import BadRow
from datasets_tools.source import SourceImage, SourceMask
from datasets_tools.sources.coco_export import add_crowds, read_images, require_names
from fashion_mmdet.core.errors import AnnotationError


def read_fashionpedia(
    data: Mapping[str, Any],
    path: str | os.PathLike[str],
    attribute_ids: frozenset[int],
    counts: Counter[str],
    crowds: str = "keep",
) -> Iterator[SourceImage | BadRow]:
    """Yield the images of a file in its order, attributes checked.

    Args:
        data: the file, read by :func:`.core.coco.read_coco`.
        path: its name, for messages.
        attribute_ids: the ids of its attributes.
        counts: what is left out or changed is entered here, sentence -> number.
        crowds: see :func:`.coco_export.read_images`.
    """
    images = read_images(
        data, path, counts, crowds=crowds, keep=("attribute_ids",),
        keep_of_image=("kaggle_id", "license"),
    )  # fmt: skip
    for image in images:
        if isinstance(image, SourceImage):
            image.masks[:] = [_checked(mask, attribute_ids) for mask in image.masks]
        yield image


def _checked(mask: SourceMask | BadRow, attribute_ids: frozenset[int]) -> SourceMask | BadRow:
    if isinstance(mask, BadRow):
        return mask
    ids = mask.extra.get("attribute_ids", [])
    if isinstance(ids, list):
        unknown = [i for i in ids if type(i) is not int or i not in attribute_ids]
    else:
        unknown = [ids]
    if unknown:
        return BadRow(
            "unknown attribute",
            f"{mask.where}: attribute_ids of the file's table of attributes expected, got "
            f"{unknown[0]!r}. Mend or remove the annotation.",
        )
    return mask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert fashionpedia``."""
    parser.add_argument("json", metavar="JSON", help="e.g. instances_attributes_train2020.json")
    add_source_arguments(parser, "fashionpedia")
    add_crowds(parser, "keep")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say and print the report; return the exit code."""
    check_out(args)  # before the file, of half a gigabyte, is read
    data = read_originals(args.json)
    if not isinstance(data.get("attributes"), list):
        raise AnnotationError(
            f"{args.json}: a list 'attributes' expected, got none. Is this an instances_attributes "
            "file of Fashionpedia? For other COCO files there is `fashion data convert coco`."
        )
    require_names(data, table_of(args), str(args.json))
    attributes = attribute_table(data["attributes"], str(args.json))
    counts: Counter[str] = Counter()
    known = frozenset(entry["id"] for entry in attributes)
    return run_source(
        args,
        read_fashionpedia(data, args.json, known, counts, args.crowds),
        info={
            "description": "Fashionpedia as instances of 49 fashion categories",
            "url": "https://github.com/cvdfoundation/fashionpedia",
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/fashionpedia.py",
        },
        counts=counts,
        where=str(args.json),
        inputs=[args.json],
        attributes=attributes,
    )
