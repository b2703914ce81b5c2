"""VGG Image Annotator 2 to COCO: a project file, or its annotations exported as JSON.

An export is an object whose values (the keys are file name and file size run together) have
``filename``, ``size`` in bytes, ``file_attributes`` and ``regions``; a project file has that
object as ``_via_img_metadata``. ``regions`` is a list, in older files an object of numbered
entries. A region has ``shape_attributes`` (``name`` and, of a polygon, ``all_points_x`` and
``all_points_y``) and ``region_attributes``, of which one is the label. The other shapes (rect,
circle, ellipse, polyline, point) are no masks and so bad rows. The files state no photo's size.

Source of the format: A. Dutta, A. Zisserman, "The VIA Annotation Software for Images, Audio and
Video", ACM MM 2019; https://www.robots.ox.ac.uk/~vgg/software/via/

    fashion data convert via project.json --images photos --out annotations/all.json
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from datasets_tools.convert import add_source_arguments, refuse_other_export, run_source
from datasets_tools.report import BadRow
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core.errors import AnnotationError, FashionError, did_you_mean
from fashion_mmdet.core.files import read_json


def read_via(
    path: str | os.PathLike[str], key: str | None = None
) -> Iterator[SourceImage | BadRow]:
    """Yield the photos of a project or an export.

    Args:
        path: the JSON file.
        key: which of the region attributes is the label; None: the only one that there is.
            Regions keep the others as ``region_attributes``, photos theirs as ``file_attributes``.

    Raises:
        AnnotationError: for another file, or labels that are ticked boxes.
        FashionError: for a ``key`` that no region has, or None where there are several.
    """
    entries = _entries(read_json(path), str(path))
    key = _label_key(entries, key, str(path))
    for name, entry in entries.items():
        where = f"{path}: {name!r}"
        file_name = entry.get("filename")
        if not isinstance(file_name, str):
            yield BadRow("no name", f"{where}: a text as 'filename' expected, got {file_name!r}.")
            continue
        masks: list[SourceMask | BadRow] = []
        for number, region in enumerate(_regions(entry)):
            try:
                masks.append(_mask(region, key, f"{where}: region {number}"))
            except BadRow as error:
                masks.append(error)
        attributes = _attributes(entry, "file_attributes")
        extra = {"file_attributes": attributes} if attributes else {}
        yield SourceImage(file_name, masks, where, extra=extra)


def _entries(data: Any, where: str) -> dict[str, dict[str, Any]]:
    entries = data.get("_via_img_metadata", data) if isinstance(data, dict) else None
    good = (
        isinstance(entries, dict)
        and entries
        and all(isinstance(entry, dict) and "regions" in entry for entry in entries.values())
    )
    if not isinstance(entries, dict) or not good:
        raise AnnotationError(
            f"{where}: a VIA 2 project, or its annotations exported as JSON, expected, got "
            "another file. VIA 3, and the COCO and CSV exports of VIA 2, have other forms."
        )
    return entries


def _regions(entry: dict[str, Any]) -> list[Any]:
    regions = entry["regions"]
    if isinstance(regions, dict):
        return list(regions.values())
    return regions if isinstance(regions, list) else [regions]


def _attributes(region: Any, name: str) -> dict[str, Any]:
    found = region.get(name) if isinstance(region, dict) else None
    return found if isinstance(found, dict) else {}


def _label_key(entries: dict[str, dict[str, Any]], key: str | None, where: str) -> str:
    counts = Counter(
        name
        for entry in entries.values()
        for region in _regions(entry)
        for name in _attributes(region, "region_attributes")
    )
    there_are = ", ".join(f"{name!r} ({count} regions)" for name, count in counts.most_common())
    if not counts:
        raise AnnotationError(
            f"{where}: regions with an attribute that names them expected, got none. Define a "
            "region attribute in VIA and fill it in."
        )
    if key is None and len(counts) > 1:
        raise FashionError(
            f"{where}: one region attribute expected, got {there_are}. Say with --key which one "
            "is the label."
        )
    if key is not None and key not in counts:
        raise FashionError(
            f"--key: a region attribute of {where} expected, got {key!r}."
            f"{did_you_mean(key, counts)} There are: {there_are}."
        )
    return next(iter(counts)) if key is None else key


def _mask(region: Any, key: str, where: str) -> SourceMask:
    attributes = dict(_attributes(region, "region_attributes"))
    label = attributes.pop(key, None)
    if isinstance(label, dict):
        raise AnnotationError(
            f"{where}: one name as {key!r} expected, got ticked boxes ({', '.join(label) or 'none'}"
            "). An instance has one category: make the attribute a dropdown or radio in VIA, or "
            "name another with --key."
        )
    if not isinstance(label, str) or not label.strip():
        raise BadRow("no label", f"{where}: a name as {key!r} expected, got {label!r}. Name it.")
    shape = _attributes(region, "shape_attributes")
    kind = shape.get("name")
    if kind != "polygon":
        raise BadRow(
            f"no mask: {kind}",
            f"{where}: the shape 'polygon' expected, got {kind!r}. Draw its outline.",
        )
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise BadRow(
            "points",
            f"{where}: all_points_x and all_points_y of one length expected, got others. Draw the "
            "polygon again.",
        )
    polygon = [value for point in zip(xs, ys, strict=True) for value in point]
    extra = {"region_attributes": attributes} if attributes else {}
    return SourceMask(label.strip(), [polygon], where, extra)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data convert via``."""
    parser.add_argument("json", metavar="JSON", help="project file, or annotations as JSON")
    parser.add_argument(
        "--key", metavar="NAME", help="the region attribute that is the label, if there are several"
    )
    add_source_arguments(parser, "coco")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say, print the report and return the exit code."""
    if not args.check_photos:
        raise FashionError(
            "--no-check-photos: photos whose size can be read expected; VIA's files do not state "
            "it. Give the folder of the photos with --images."
        )
    refuse_other_export(args.json)
    return run_source(
        args,
        read_via(args.json, args.key),
        info={"description": "annotated with VGG Image Annotator, converted by fashion-mmdet"},
        where=str(args.json),
        inputs=[args.json],
    )
