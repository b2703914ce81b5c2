"""Any COCO instance file to our categories, with what CVAT and Label Studio do differently.

Categories go by name, never by number: the table ``maps/coco.csv`` has our 49 names and a few
common synonyms, ``--map`` takes another. Ids are given afresh; those of the file stay as
``source_id`` of images and annotations. Boxes and areas are derived from the masks.

What is handled:

* **Masks of CVAT's brush** come as uncompressed run lengths with ``iscrowd: 1``, for its exporter
  sets that flag for every mask and drops the annotator's own ``is_crowd``, so a real crowd cannot
  be told from one instance. Trained as crowds they would all be ignored. A run-length code with
  ``iscrowd: 1`` is therefore read as one instance where its ``attributes`` have ``occluded``,
  which CVAT writes for every shape and others do not; the number is said. ``--crowds keep`` and
  ``--crowds instances`` decide by hand for all.
* **Boxes without a mask** (``segmentation`` empty or missing; rectangles of both tools) cannot
  train masks: left out and counted. So are annotations with ``ignore: 1``.
* **File names** with sub-folders are kept, inside ``--images``. Label Studio's are looked up as
  written, then without what it adds: URL codes (``%20``), server and bucket, ``?d=`` of local
  files, ``images/`` and ``upload/`` with the project's number, the eight digits of the upload
  (``abcd1234-photo.jpg``). If two images lead to one photo, neither is taken.
* Category ids may begin at 0 or anywhere; unused categories need not be in the table.

Source of the format: https://cocodataset.org/#format-data; of the quirks: ``coco/exporter.py`` of
https://github.com/cvat-ai/datumaro and https://github.com/HumanSignal/label-studio-converter

    fashion data convert coco instances_default.json --images images --out annotations/all.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from datasets_tools.cached import read_originals
from datasets_tools.category_map import CategoryTable, table_of
from datasets_tools.convert import (
    add_source_arguments,
    check_out,
    refuse_other_export,
    run_source,
)
from datasets_tools.report import BadRow
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside

CROWDS = ("auto", "keep", "instances")
_KEYS = {"id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd", "ignore"}
_SERVER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/([^?#]*)")
_UPLOADED = re.compile(r"(?:.*/)?upload/(?:[0-9]+/)?(.+)|/?images/(?:[0-9]+/)?(.+)")
_HASHED = re.compile(r"((?:.*/)?)[0-9a-f]{8}-(.+)")


def read_images(
    data: Mapping[str, Any],
    path: str | os.PathLike[str],
    counts: Counter[str],
    *,
    images_dir: str | os.PathLike[str] | None = None,
    crowds: str = "keep",
    keep: Sequence[str] = ("attributes",),
    keep_of_image: Sequence[str] = (),
) -> Iterator[SourceImage | BadRow]:
    """Yield the images of a file that :func:`.core.coco.read_coco` read, in its order.

    Args:
        data: the file.
        path: its name, for messages.
        counts: what is left out or changed is entered here, sentence -> number.
        images_dir: folder in which the photos of Label Studio's names are looked for; None:
            names are taken as they are, as far as they stay inside a folder.
        crowds: ``"keep"`` takes ``iscrowd`` as it is, ``"instances"`` takes all as instances,
            ``"auto"`` those of CVAT (see above).
        keep: keys of annotations that are kept; others are counted.
        keep_of_image: keys of images that are kept.
    """
    name_of_id = map_categories(data["categories"], (), str(path)).unknown
    of_image = defaultdict(list)
    for index, annotation in enumerate(data["annotations"]):
        of_image[annotation["image_id"]].append((index, annotation))
    found = [_photo_of(image["file_name"], images_dir) for image in data["images"]]
    times = Counter(found)
    for index, (image, file_name) in enumerate(zip(data["images"], found, strict=True)):
        where = f"{Path(path).name}: images[{index}] (id {image['id']})"
        if times[file_name] > 1:
            yield BadRow(
                "photo twice",
                f"{where}: a photo of its own expected, got {file_name!r}, to which "
                f"{times[file_name]} file names lead. Rename the photos as in the file.",
            )
            continue
        masks: list[SourceMask | BadRow] = []
        for number, annotation in of_image[image["id"]]:
            place = f"{Path(path).name}: annotations[{number}] (id {annotation['id']})"
            name = name_of_id[annotation["category_id"]]
            try:
                mask = _mask(annotation, name, place, counts, crowds, keep)
            except BadRow as error:
                masks.append(error)
            else:
                masks += [mask] if mask else []
        extra = {"source_id": image["id"], **_kept(image, keep_of_image, where)}
        if file_name != image["file_name"]:
            counts["photos found under another name than the file's (kept as source_name)"] += 1
            extra["source_name"] = image["file_name"]
        yield SourceImage(file_name, masks, where, (image["height"], image["width"]), extra)


def _mask(
    annotation: Mapping[str, Any],
    name: str,
    where: str,
    counts: Counter[str],
    crowds: str,
    keep: Sequence[str],
) -> SourceMask | None:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        counts["boxes without a mask left out"] += 1
        return None
    if annotation.get("ignore"):
        counts["annotations left out: ignore is set"] += 1
        return None
    for key in annotation.keys() - _KEYS - set(keep):
        counts[f"values of {key!r} of annotations, not kept"] += 1
    iscrowd = annotation.get("iscrowd", 0)
    if iscrowd:
        attributes = annotation.get("attributes")
        is_cvat = isinstance(attributes, dict) and "occluded" in attributes
        is_brush = isinstance(segmentation, dict) and is_cvat
        if crowds == "instances" or (crowds == "auto" and is_brush):
            counts["masks with iscrowd read as one instance each (--crowds)"] += 1
            iscrowd = 0
        else:
            counts["masks with iscrowd kept as regions to ignore (--crowds)"] += 1
    extra = {"source_id": annotation["id"], **_kept(annotation, keep, where)}
    return SourceMask(name, segmentation, where, extra, iscrowd)


def _kept(entry: Mapping[str, Any], keys: Sequence[str], where: str) -> dict[str, Any]:
    kept = {key: entry[key] for key in keys if entry.get(key) is not None}
    try:
        json.dumps(kept, allow_nan=False)
    except ValueError:  # Python reads NaN, which no JSON has
        raise BadRow(
            "not a number",
            f"{where}: numbers in {', '.join(kept)} expected, got NaN or Infinity. Mend the entry.",
        ) from None
    return kept


def _photo_of(file_name: str, images_dir: str | os.PathLike[str] | None) -> str:
    """Return the first of :func:`photo_names` that is there, else the first that may be."""
    allowed = []
    for name in photo_names(file_name):
        try:
            path = inside(images_dir or "the folder of photos", name, "")
        except FashionError:
            continue
        if images_dir is not None and path.is_file():
            return name
        allowed.append(name)
    # A name that may not be is reported with its image.
    return allowed[0] if allowed else file_name


def photo_names(file_name: str) -> list[str]:
    """Return what a file name may mean, most literal first.

    >>> photo_names("/data/upload/3/abcd1234-my%20photo.jpg")[-2:]
    ['abcd1234-my photo.jpg', 'my photo.jpg']
    """
    names = [file_name, file_name.replace("\\", "/")]
    server = _SERVER.match(names[-1])
    if "?d=" in names[-1]:
        names.append(names[-1].split("?d=", 1)[1])
    elif server:
        names.append(server[1])
    names.append(unquote(names[-1]))
    uploaded = _UPLOADED.fullmatch(names[-1])
    if uploaded:
        names.append(uploaded[1] or uploaded[2])
    elif server:  # downloads are stored without their folders
        names.append(names[-1].rpartition("/")[2])
    hashed = _HASHED.fullmatch(names[-1])
    if hashed:
        names.append(hashed[1] + hashed[2])
    return list(dict.fromkeys(names))


def require_names(data: Mapping[str, Any], table: CategoryTable, where: str) -> None:
    """Raise OntologyError, naming all categories in use that the table lacks."""
    name_of_id = map_categories(data["categories"], (), where).unknown
    used = {annotation["category_id"] for annotation in data["annotations"]}
    table.require((name_of_id[i] for i in used), where)


def add_crowds(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--crowds``."""
    parser.add_argument(
        "--crowds",
        choices=CROWDS,
        default=default,
        help="masks with iscrowd: regions to ignore (keep), one instance each (instances), or "
        f"instances where CVAT wrote them (auto); default: {default}",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert coco``."""
    parser.add_argument("json", metavar="JSON", help="the COCO file, e.g. instances_default.json")
    add_source_arguments(parser, "coco")
    add_crowds(parser, "auto")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say and print the report; return the exit code."""
    check_out(args)
    refuse_other_export(args.json)
    data = read_originals(args.json)
    require_names(data, table_of(args), str(args.json))
    counts: Counter[str] = Counter()
    images_dir = args.images if args.check_photos else None
    return run_source(
        args,
        read_images(data, args.json, counts, images_dir=images_dir, crowds=args.crowds),
        info={
            "description": "a COCO file with the names of 49 fashion categories",
            "source": Path(args.json).name,
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/coco_export.py",
        },
        counts=counts,
        where=str(args.json),
        inputs=[args.json],
    )
