"""DeepFashion2 to COCO: one JSON a photo, 13 categories, masks as polygons.

The dataset (Y. Ge et al., "DeepFashion2: A Versatile Benchmark for Detection, Pose Estimation,
Segmentation and Re-Identification of Clothing Images", CVPR 2019;
https://github.com/switchablenorms/DeepFashion2) has ``image/000001.jpg`` and
``annos/000001.json`` with ``source`` (``shop`` or ``user``), ``pair_id`` and ``item1``,
``item2``, ...: ``category_id``, ``category_name``, ``segmentation`` and more. It tells clothes by
the length of their sleeves; what becomes of that is the table ``maps/deepfashion2.csv``.

Photos of one ``pair_id`` show the same clothes, so a split must not part them: it is kept with
the image, and what the items say of style and occlusion with the annotations. Landmarks are not
kept, and boxes come from the masks.

    fashion data convert deepfashion2 train/annos --images train/image --out all.json
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_tools.category_map import plain_name, table_of
from datasets_tools.convert import add_source_arguments, run_source
from datasets_tools.folders import files_in
from datasets_tools.report import BadRow, short
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import read_json

#: What is kept of an item: whole numbers, see the dataset's page for their meaning.
ITEM_KEYS = ("style", "scale", "occlusion", "zoom_in", "viewpoint")
_ITEM = re.compile(r"item[1-9][0-9]*")


def read_folder(
    annos: str | os.PathLike[str], name_of_id: Mapping[int, str], counts: Counter[str]
) -> Iterator[SourceImage | BadRow]:
    """Yield the photos that the files in ``annos`` describe, in the order of the file names.

    An image has ``pair_id`` and ``photo_source`` (``shop`` or ``user``), a mask ``item`` (its key)
    and :data:`ITEM_KEYS`.

    Args:
        annos: the folder; one file is read at a time.
        name_of_id: what ``category_name`` must be for a ``category_id``.
        counts: what was not read is entered here, sentence -> number.

    Raises:
        FashionError: if ``annos`` holds no JSON file.
    """
    for path in files_in(annos, ".json", counts):
        try:
            yield _photo(path, name_of_id, counts)
        except BadRow as error:
            yield error


def _photo(path: Path, name_of_id: Mapping[int, str], counts: Counter[str]) -> SourceImage:
    try:
        data = read_json(path)
    except FashionError as error:
        raise BadRow("unreadable", str(error)) from None
    source = data.get("source") if isinstance(data, dict) else None
    pair_id = data.get("pair_id") if isinstance(data, dict) else None
    if source not in ("shop", "user") or type(pair_id) is not int:
        raise BadRow(
            "foreign file",
            f"{path.name}: 'source' as 'shop' or 'user' and a whole number 'pair_id' expected, got "
            f"{short(source)} and {short(pair_id)}. Is this a file of DeepFashion2's annos?",
        )
    items = sorted(filter(_ITEM.fullmatch, data), key=lambda key: int(key[4:]))
    counts["entries beside the items: not read"] += len(data) - len(items) - 2
    masks: list[SourceMask | BadRow] = []
    for key in items:
        try:
            masks.append(_mask(key, data[key], f"{path.name}: {key}", name_of_id, counts))
        except BadRow as error:
            masks.append(error)
    return SourceImage(
        file_name=f"{path.stem}.jpg",
        masks=masks,
        where=path.name,
        extra={"pair_id": pair_id, "photo_source": source},
    )


def _mask(
    key: str, item: Any, where: str, name_of_id: Mapping[int, str], counts: Counter[str]
) -> SourceMask:
    name = item.get("category_name") if isinstance(item, dict) else None
    category_id = item.get("category_id") if isinstance(item, dict) else None
    if not isinstance(name, str) or type(category_id) is not int:
        raise BadRow(
            "category",
            f"{where}: a text 'category_name' and a whole number 'category_id' expected, got "
            f"{short(name)} and {short(category_id)}. Mend or remove the item.",
        )
    if plain_name(name_of_id.get(category_id, name)) != plain_name(name):
        raise BadRow(
            "category",
            f"{where}: the name of category {category_id}, {name_of_id[category_id]!r}, expected, "
            f"got {short(name)}. Mend one of the two.",
        )
    extra = {k: item[k] for k in ITEM_KEYS if type(item.get(k)) is int}
    for k in ITEM_KEYS:
        counts[f"items without a whole number {k!r}"] += k not in extra
    counts["items with landmarks: the landmarks are not read"] += "landmarks" in item
    return SourceMask(name, item.get("segmentation"), where, {"item": key, **extra})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert deepfashion2``."""
    parser.add_argument("annos", metavar="ANNOS", help="the folder of 000001.json, 000002.json ...")
    add_source_arguments(parser, "deepfashion2")


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the report and return the exit code."""
    counts: Counter[str] = Counter()
    images = read_folder(args.annos, table_of(args).name_of_id(), counts)
    return run_source(
        args,
        images,
        info={
            "description": "DeepFashion2 as instances of 49 fashion categories",
            "url": "https://github.com/switchablenorms/DeepFashion2",
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/deepfashion2.py",
        },
        counts=counts,
        where=args.annos,
        inputs=[Path(args.annos, Path(args.out).name)],
    )
