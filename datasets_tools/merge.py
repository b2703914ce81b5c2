"""Merge COCO files into one on the 49 categories: by name, renumbered, the origin of each kept.

    fashion data merge imaterialist=a.json ccp=b.json --root data \\
        --images imaterialist=data/imaterialist/train --images ccp=data/ccp/photos --out all.json

One set has one folder of photos (``data_prefix`` in the configs), and the parts mostly have a
folder each. There are three ways to one name a photo:

* ``--images NAME=DIR`` and ``--root``: ``file_name`` becomes relative to the root, which every
  DIR must lie in (a link in it will do); the configs then use the root as the folder of photos.
* ``--prefix``: ``file_name`` becomes ``NAME/file_name``, for folders that are yet to be linked.
* neither: names stay; all photos lie in one folder.

A name that two files have then is one photo where ``--images`` gives them the same folder or
``--join`` says so: their instances are joined, those of one category and the same pixels once.
Otherwise it is an error. Every image and annotation has ``source`` and ``source_id`` (its id in
that source); a photo of two sources has ``a+b``, and parts of a part ``outer/inner``.
"""

from __future__ import annotations

import argparse
import os
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets_tools.cached import refuse_cached
from datasets_tools.folders import require_json
from datasets_tools.merge_parts import Part, n_absent, read_parts
from datasets_tools.merge_report import JOINED, MergeReport, photos_lines
from datasets_tools.merge_tables import licence_ids, own_tables
from datasets_tools.ontology_ids import ontology_ids
from datasets_tools.report import counted, say, sweep
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.files import inside, refuse_overwrite, refuse_own_input, shown

#: Keys that COCO does not have, and that would say again, wrongly, what an id said.
_FORMER_IDS = ("image_id", "annotation_id")


def merge(
    parts: Sequence[Part],
    out_path: str | os.PathLike[str],
    *,
    join: bool = False,
    force: bool = False,
) -> MergeReport:
    """Merge the files of ``parts`` into ``out_path``; memory holds all of them.

    Ids are given anew, from 1, in the order of the parts. Tables beside COCO's own (such as
    ``attributes``) stay where the parts that have one agree; others go to ``source_tables``,
    ``{source: {table: ...}}``. ``licenses`` are joined, and ``info.sources`` has each part's
    name, file and ``info``.

    Args:
        parts: the files, each with another name.
        out_path: the file to write; all 49 categories are listed in it.
        join: a name that two parts have is one photo.
        force: overwrite ``out_path``.

    Raises:
        FashionError: for a category that is none of the 49 and has annotations, a photo name
            that two parts have (see ``join``) or one has twice, one photo of two sizes, a known
            folder without most of its part's photos, or the file of a cache.
    """
    refuse_own_input(out_path, *(part.path for part in parts))
    refuse_overwrite(out_path, force)
    cocos = [read_coco(part.path) for part in parts]
    for part, coco in zip(parts, cocos, strict=True):
        refuse_cached(coco, str(part.path))
    licences: list[dict[str, Any]] = []
    info = {
        "description": f"{counted(len(parts), 'set')} on 49 fashion categories, merged by "
        "fashion-mmdet",
        "sources": [
            {"name": part.name, "file": shown(part.path.name), "info": coco.get("info")}
            for part, coco in zip(parts, cocos, strict=True)
        ],
    }
    merger = _Merger(join)
    for part, coco in zip(parts, cocos, strict=True):
        merger.add_images(part, coco["images"], licence_ids(coco, licences))
    for part, coco in zip(parts, cocos, strict=True):
        merger.report.counts[f"photos of {part.name} that are not in {part.images_dir}"] += (
            n_absent(part, coco["images"], parts)
        )
    extra = own_tables(parts, cocos) | ({"licenses": licences} if licences else {})
    with CocoWriter(out_path, ontology.coco_categories(), info, extra) as writer:
        for part, coco in zip(parts, cocos, strict=True):
            merger.write_annotations(writer, part, coco)
        for entry in merger.entries:
            image = entry.image
            writer.add_image(
                image_id=image["id"],
                file_name=image["file_name"],
                height=image["height"],
                width=image["width"],
                extra=image,
            )
    order = {name: n for name in ontology.CLASSES if (n := merger.report.n_per_category.get(name))}
    merger.report.n_per_category = order
    return merger.report


@dataclass
class _Entry:
    """One photo of the merged set; ``seen`` is kept where several parts have it."""

    image: dict[str, Any]
    parts: list[Part]
    seen: set[tuple[int, str, bool]] = field(default_factory=set)


class _Merger:
    """Gives photos their names and ids, then writes the annotations."""

    def __init__(self, join: bool) -> None:
        self.report = MergeReport()
        self.entries: list[_Entry] = []
        self._join = join
        self._by_name: dict[str, _Entry] = {}
        self._entry_of: dict[tuple[str, int], _Entry] = {}  # (part, its image id)

    def add_images(
        self, part: Part, images: list[dict[str, Any]], licence_ids: dict[int, int]
    ) -> None:
        for index, image in enumerate(images):
            where = f"{part.path}: images[{index}]"
            inside("the folder of photos", image["file_name"], where)
            # One photo, one name: "./0.jpg" is 0.jpg.
            name = posixpath.join(part.folder, posixpath.normpath(image["file_name"]))
            entry = self._by_name.get(name)
            if entry is None:
                entry = self._new(part, image, name, licence_ids)
            else:
                self._require_same(entry, part, image, where)
                entry.image["source"] += f"+{_source(part, image)}"
                entry.parts.append(part)
                self.report.counts[JOINED] += 1
            self._entry_of[part.name, image["id"]] = entry
            self.report.n_images[part.name] += 1

    def _new(
        self, part: Part, image: dict[str, Any], name: str, licence_ids: dict[int, int]
    ) -> _Entry:
        licence = image.get("license")
        own = {"source_id": image["id"], **image}
        for key in _FORMER_IDS:
            own.pop(key, None)
        own |= {
            "id": len(self.entries) + 1, "file_name": name, "source": _source(part, image),
        }  # fmt: skip
        if licence is not None:
            own["license"] = licence_ids.get(licence) if type(licence) is int else None
            if own["license"] is None:
                self.report.counts["images of a licence that their file does not list"] += 1
        entry = _Entry(own, [part])
        self.entries.append(entry)
        self._by_name[name] = entry
        return entry

    def _require_same(self, entry: _Entry, part: Part, image: dict[str, Any], where: str) -> None:
        first, name = entry.parts[0], image["file_name"]
        if part in entry.parts:
            raise AnnotationError(
                f"{where}: each file name once expected, got {name!r} twice. Merge the entries."
            )
        if not self._join and not (part.images_dir and first.images_dir):
            raise AnnotationError(
                f"{where}: a file name that no other file has expected, got {name!r}, which "
                f"{first.path} has too. Give the folders with --images and --root, keep the names "
                "apart with --prefix, or say with --join that it is the same photo."
            )
        sizes = [(i["height"], i["width"]) for i in (entry.image, image)]
        if sizes[0] != sizes[1]:
            raise AnnotationError(
                f"{where}: height x width {sizes[0][0]} x {sizes[0][1]} of {name!r}, as in "
                f"{first.path}, expected, got {sizes[1][0]} x {sizes[1][1]}. Is it another photo? "
                "Keep the names apart with --prefix."
            )

    def write_annotations(self, writer: CocoWriter, part: Part, coco: dict[str, Any]) -> None:
        category_ids = ontology_ids(coco, str(part.path))
        self.report.counts[f"categories of {part.name} that are none of ours, unused"] += len(
            coco["categories"]
        ) - len(category_ids)
        for index, annotation in enumerate(coco["annotations"]):
            entry = self._entry_of[part.name, annotation["image_id"]]
            category_id = category_ids[annotation["category_id"]]
            where = f"{part.path}: annotations[{index}] (id {annotation['id']})"
            if not annotation.get("segmentation"):
                self.report.counts["annotations left out, without a mask"] += 1
                continue
            if len(entry.parts) > 1 and not _is_new(entry, annotation, category_id, where):
                self.report.counts["masks that several files have, written once"] += 1
                continue
            own = {"source_id": annotation["id"], **annotation, "source": _source(part, annotation)}
            own.pop("annotation_id", None)  # as _FORMER_IDS of an image
            _complete(own, entry.image, where)
            writer.add_annotation(
                annotation_id=writer.n_annotations + 1,
                image_id=entry.image["id"],
                category_id=category_id,
                segmentation=own["segmentation"],
                bbox=own["bbox"],
                area=own["area"],
                iscrowd=own.get("iscrowd", 0),
                extra=own,
            )
            self.report.n_annotations[part.name] += 1
            name = ontology.CATEGORIES[category_id].name
            self.report.n_per_category.setdefault(name, Counter())[part.name] += 1


def _is_new(entry: _Entry, annotation: dict[str, Any], category_id: int, where: str) -> bool:
    """Return whether a photo of several parts lacks this mask yet."""
    size_hw = entry.image["height"], entry.image["width"]
    code = rle.to_rle(annotation["segmentation"], *size_hw, where)
    key = (category_id, code["counts"], bool(annotation.get("iscrowd")))
    if key in entry.seen:
        return False
    entry.seen.add(key)
    return True


def _complete(annotation: dict[str, Any], image: dict[str, Any], where: str) -> None:
    """Derive a missing box or area from the mask, as the dataset would do it."""
    if "bbox" not in annotation or "area" not in annotation:
        size_hw = image["height"], image["width"]
        code = rle.to_rle(annotation["segmentation"], *size_hw, where)
        annotation.setdefault("bbox", rle.box_xywh(code))
        annotation.setdefault("area", rle.area_px(code))


def _source(part: Part, entry: dict[str, Any]) -> str:
    inner = entry.get("source")
    return f"{part.name}/{inner}" if isinstance(inner, str) and inner else part.name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data merge``."""
    parser.add_argument(
        "files", nargs="+", metavar="[NAME=]JSON", help="COCO files, and names for them"
    )
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--images",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="where the photos of a file are; once for each, with --root",
    )
    names.add_argument("--prefix", action="store_true", help="put NAME/ before the photo names")
    parser.add_argument(
        "--root", metavar="DIR", help="folder that holds all --images; photo names start here"
    )
    parser.add_argument(
        "--join", action="store_true", help="a photo name that two files have is the same photo"
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Merge as ``args`` say and print the table; return the exit code."""
    require_json(args.out)
    sweep(args.out)
    parts = read_parts(args.files, args.images, args.root, args.prefix)
    report = merge(parts, args.out, join=args.join, force=args.force)
    for line in (*report.lines(), *photos_lines(parts, args.out, args.root)):
        say(line)
    say(f"{args.out}: {report.total()}")
    return 0
