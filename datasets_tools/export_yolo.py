"""COCO files to a YOLO segmentation set as Ultralytics reads it.

    fashion data export yolo-seg train.json val.json --images data/ccp/photos --out data/ccp-yolo

The set (https://docs.ultralytics.com/datasets/segment/) is ``data.yaml``, with the 49 names and
the folders of train, val and test; ``images/<split>/``, the photos; and ``labels/<split>/``, a
text file a photo with a line an instance: class number (from 0, the ontology's id) and
``x y x y ...`` in shares of width and height. A slash in a photo's name becomes ``__``, since
Ultralytics finds labels by the folder's name.

The photos are links to whole paths of this machine, which take no room and lead nowhere on
another; ``--photos copy`` makes a set that can be packed and moved.

A line is one polygon, so parts and holes are joined to it by bridges (:mod:`.outlines`), as
Ultralytics' own converter joins parts. Points are the *centres* of border pixels: filled as
Ultralytics fills them, at the photo's size, they give the mask but for the bridges. What that loses
is measured for every instance and said. Crowd regions are left out, as Ultralytics does it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from datasets_tools.cached import read_originals
from datasets_tools.folders import refuse_json_folder
from datasets_tools.ontology_ids import ontology_ids
from datasets_tools.outlines import filled, outline
from datasets_tools.photos import PhotoFinder
from datasets_tools.report import BadRow, BadRows, add_max_bad_rows, say, sweep
from datasets_tools.yolo_folder import (
    CONTENT,
    check_out,
    data_yaml,
    refuse_among_photos,
    split_paths,
)
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import inside


@dataclass
class YoloReport:
    """What an export wrote.

    Attributes:
        bad: masks and photos that were left out.
        n_images: split -> photos.
        ious: IoU of each mask and its line, filled.
        counts: what else was left out -> how many.
    """

    bad: BadRows
    n_images: Counter[str] = field(default_factory=Counter)
    ious: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield the report as printed, a line at a time."""
        yield from self.bad.summary()
        for what, count in sorted(self.counts.items()):
            if count:
                yield f"note: {what}: {count:,}"
        ious = np.array(self.ious)
        yield (
            f"masks against their lines, filled: mean IoU {ious.mean():.5f}, least "
            f"{ious.min():.3f}; {int((ious < 1).sum()):,} of {ious.size:,} not identical (bridges "
            f"between parts), {int((ious < 0.9).sum()):,} under 0.9"
        )
        if "val" not in self.n_images:
            yield "note: no val.json given; Ultralytics asks for one (fashion data split)"

    def total(self) -> str:
        """Return the images of each split in one line."""
        return "images: " + ", ".join(f"{n:,} {split}" for split, n in self.n_images.items())


def export_yolo(
    coco_paths: Sequence[str | os.PathLike[str]],
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    photos: str = "link",
    max_bad_rows: int = 100,
    force: bool = False,
    progress: bool = False,
) -> YoloReport:
    """Write the folder ``out``; it appears when it is whole.

    Args:
        coco_paths: ``train.json``, ``val.json``, ``test.json``, or one file of any name, which
            becomes ``train``.
        images_dir: the folder of the photos.
        out: the folder to make.
        photos: ``"link"`` to link the photos by their whole paths, ``"copy"`` to copy them.
        max_bad_rows: how many masks and photos that cannot be used are skipped; one more stops.
        force: replace ``out``, if it is an earlier export.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        FashionError: for other file names, other categories, two photos of one label file, or an
            ``out`` that is in the way.
    """
    out = Path(out)
    paths = split_paths(coco_paths)
    check_out(out, force, [images_dir, *coco_paths], paths)
    finder = PhotoFinder(images_dir)
    refuse_among_photos(out, images_dir)
    report = YoloReport(BadRows(max_bad_rows, ", ".join(map(str, coco_paths))))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o777 & ~umask)  # mkdtemp makes folders of mode 0700
        for split, path in paths.items():
            exporter = _Exporter(path, split, part, Path(images_dir), finder, report, photos)
            exporter.write(progress)
        (part / "data.yaml").write_text(data_yaml(paths), encoding="utf-8")
        if not report.ious:
            raise AnnotationError(
                f"{report.bad.where}: at least one mask expected, got none "
                f"({report.bad.kinds() or 'there are no masks'}). Nothing was written."
            )
        check_out(out, force, [], paths)  # again: the work takes long, and the folder is in use
        if out.is_dir():
            shutil.rmtree(out)  # an earlier export: links and texts, made again just now
        os.replace(part, out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return report


class _Exporter:
    """Writes the photos and labels of one split."""

    def __init__(
        self,
        path: Path,
        split: str,
        part: Path,
        images_dir: Path,
        finder: PhotoFinder,
        report: YoloReport,
        photos: str,
    ) -> None:
        self._copies = photos == "copy"
        self._path, self._split, self._report = path, split, report
        self._images_dir, self._finder = images_dir.resolve(), finder
        self._photos, self._labels = part / "images" / split, part / "labels" / split
        self._names: dict[str, str] = {}
        for folder in (self._photos, self._labels):
            folder.mkdir(parents=True)

    def write(self, progress: bool) -> None:
        coco = read_originals(self._path)
        class_ids = ontology_ids(coco, str(self._path))
        annotations_of: dict[int, list[dict[str, Any]]] = {}
        for annotation in coco["annotations"]:
            annotations_of.setdefault(annotation["image_id"], []).append(annotation)
        hidden = None if progress else True  # None: hidden unless stderr is a terminal
        for image in tqdm(coco["images"], unit="photo", desc=self._split, disable=hidden):
            try:
                name = self._photo(image)
            except BadRow as error:
                self._report.bad.add(error.kind, str(error))
                continue
            lines = list(self._lines(image, annotations_of.get(image["id"], []), class_ids))
            if not lines:
                # Without labels it would be trained on as a photo of background alone.
                self._report.counts["images left out, without a mask"] += 1
                continue
            self._write(image, name, lines)

    def _photo(self, image: dict[str, Any]) -> str:
        where = f"{self._path}: image {image['id']}"
        inside("the folder of photos", image["file_name"], where)
        photo = self._finder.find(image["file_name"])
        fault = photo.fault or photo.disagrees((image["height"], image["width"]))
        if fault:
            raise BadRow(fault[0], f"{where}: {fault[1]}")
        return photo.file_name

    def _lines(
        self, image: dict[str, Any], annotations: list[dict[str, Any]], class_ids: dict[int, int]
    ) -> Iterator[str]:
        for annotation in annotations:
            if annotation.get("iscrowd"):
                self._report.counts["regions of many instances (iscrowd) left out"] += 1
                continue
            try:
                line, iou = self._line(annotation, image)
            except BadRow as error:
                self._report.bad.add(error.kind, str(error))
                continue
            self._report.ious.append(iou)
            shares = (line + 0.5) / (image["width"], image["height"])
            numbers = " ".join(f"{value:.6f}" for value in shares.ravel())
            yield f"{class_ids[annotation['category_id']]} {numbers}\n"

    def _line(self, annotation: dict[str, Any], image: dict[str, Any]) -> tuple[np.ndarray, float]:
        """Return the line in pixels of the photo, and its IoU with the mask."""
        where = f"{self._path}: annotation {annotation['id']}"
        size_hw = image["height"], image["width"]
        segmentation, faults = rle.usable(annotation.get("segmentation"), *size_hw, where)
        if segmentation is None:
            raise BadRow("mask", faults[0])
        self._report.counts["polygons left out of masks that have others"] += len(faults)
        code = rle.to_rle(segmentation, *size_hw, where)
        x0, y0, width, height = (int(value) for value in rle.box_xywh(code))
        if not width:
            raise BadRow(
                "empty mask", f"{where}: at least one pixel expected, got none. Remove it."
            )
        crop_HW = rle.decode(code)[y0 : y0 + height, x0 : x0 + width]
        line = outline(crop_HW)
        drawn_HW = filled(line, (height, width))
        iou = np.count_nonzero(crop_HW & drawn_HW) / np.count_nonzero(crop_HW | drawn_HW)
        return line + (x0, y0), iou

    def _write(self, image: dict[str, Any], name: str, lines: list[str]) -> None:
        flat = name.replace("\\", "/").replace("/", "__")
        stem = os.path.splitext(flat)[0]
        first = self._names.setdefault(stem.lower(), name)
        if first != name or os.path.lexists(self._photos / flat):
            raise AnnotationError(
                f"{self._path}: image {image['id']}: one photo for a label file expected, got "
                f"{first!r} and {name!r}, which would both have {stem}.txt. Rename one."
            )
        self._put_photo(self._images_dir / name, self._photos / flat)
        (self._labels / f"{stem}.txt").write_text("".join(lines), encoding="ascii")
        self._report.n_images[self._split] += 1

    def _put_photo(self, photo: Path, place: Path) -> None:
        try:
            if self._copies:
                shutil.copyfile(photo, place)
            else:
                place.symlink_to(photo)
        except OSError as error:
            what, advice = (
                ("copy", "Is the disk full?")
                if self._copies
                else ("link", "Write to a disk that allows links, or pass --photos copy.")
            )
            raise FashionError(
                f"{place}: a {what} of {photo} expected, got: {error.strerror}. {advice}"
            ) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data export yolo-seg``."""
    parser.add_argument(
        "annotations", nargs="+", metavar="ANN.json", help="train.json, val.json, test.json; or one"
    )
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the photos")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--photos",
        choices=("link", "copy"),
        default="link",
        help="link the photos by their whole paths, for this machine alone, or copy them, for a "
        "set to pack and move (default: link)",
    )
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="replace an earlier export")


def run(args: argparse.Namespace) -> int:
    """Export as ``args`` say and print the report; return the exit code."""
    refuse_json_folder(args.out)
    sweep(args.out, folder_of=CONTENT)
    report = export_yolo(
        args.annotations,
        args.images,
        args.out,
        photos=args.photos,
        max_bad_rows=args.max_bad_rows,
        force=args.force,
        progress=True,
    )
    for line in report.lines():
        say(line)
    if args.photos == "link":
        say(
            f"photos: links to {os.path.realpath(args.images)}, which lead nowhere on another "
            "machine; --photos copy makes a set to pack and move"
        )
    say(f"{args.out}: {report.total()}")
    return 0
