"""Clothing Co-Parsing to COCO: pixel label maps of 59 names to instances of the 49 categories.

The dataset (W. Yang, P. Luo, L. Lin, "Clothing Co-Parsing by Joint Image Segmentation and
Labeling", CVPR 2014; https://github.com/bearpaw/clothing-co-parsing) has one label map a photo:
``photos/NNNN.jpg``, ``annotations/pixel-level/NNNN.mat`` (variable ``groundtruth``, height x
width, index into ``label_list.mat``). Which of its names becomes which category, and why some
become none, is the table ``maps/ccp.csv``.

A label map has no instances, so one is made of every name in a photo. Names marked in the
table's column ``split`` are worn in pairs; :func:`split_pair` parts them. :mod:`.ccp_files` reads
the files. They do not go through :mod:`datasets_tools.convert`: ids are made of the photos'
numbers, a photo whose every label lacks a category stays, and what has none is told in pixels.

    fashion data convert ccp ROOT --out data/ccp/annotations/all.json
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets_tools.category_map import MAPS, CategoryTable, MapRow, add_map_arguments
from datasets_tools.folders import require_json
from datasets_tools.pairs import MIN_INSTANCE_PX, split_pair
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    counted,
    say,
    sweep,
)
from datasets_tools.sources.ccp_files import (
    link_photos,
    paired_stems,
    read_label_list,
    read_pair,
    require_dataset,
)
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, OntologyError
from fashion_mmdet.core.files import refuse_overwrite, refuse_own_input

MAP_PATH = MAPS / "ccp.csv"


@dataclass
class _Tally:
    """Counts of what the annotation file cannot tell."""

    n_per_category: Counter[str] = field(default_factory=Counter)
    n_small: int = 0
    n_pairs_parted: int = 0
    n_pairs_whole: int = 0
    #: Name without category -> photos, pixels.
    unmapped_images: Counter[str] = field(default_factory=Counter)
    unmapped_px: Counter[str] = field(default_factory=Counter)

    def notes(self) -> Iterator[str]:
        for name, area_px in self.unmapped_px.most_common():
            yield (
                f"{name!r} has no category: {area_px:,} px in "
                f"{counted(self.unmapped_images[name], 'photo')}"
            )
        yield (
            f"worn in pairs: {self.n_pairs_parted:,} parted into left and right, "
            f"{self.n_pairs_whole:,} left as one (touching, or one visible)"
        )
        if self.n_small:
            small = counted(self.n_small, "instance")
            yield f"{small} under {MIN_INSTANCE_PX} px, not written"


def match_labels(names: list[str], table: CategoryTable, where: str) -> list[MapRow]:
    """Return the table's rows in the order of ``names``.

    Raises:
        OntologyError: for a name that the table does not have, or a name given twice.
    """
    for name, times in Counter(names).items():
        if times > 1:
            raise OntologyError(
                f"{where}: each name once expected, got {name!r} {times} times. "
                "Take the file of the original dataset."
            )
    return [table.row(name, where) for name in names]


def convert(
    root: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    photos: str = "link",
    max_bad_rows: int = 100,
    map_path: str | os.PathLike[str] = MAP_PATH,
    map_add: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: bool = False,
) -> ConversionReport:
    """Convert the dataset under ``root`` to the COCO file ``out_path``, all 49 categories listed.

    ``image_id`` is the number of the photo, ``file_name`` is ``NNNN.jpg``, annotation ids are
    ``image_id * 100 + k``. Each annotation carries ``ccp_label``; each image carries
    ``unmapped``, the pixels of every name that has no category. A photo that cannot be used
    (damaged, of another size than its map, or without a single label, as one of the dataset is)
    is left out and counts as a bad row.

    Args:
        root: folder with ``photos``, ``annotations/pixel-level`` and ``label_list.mat``.
        out_path: the file to write, usually ``data/ccp/annotations/all.json``.
        photos: ``"link"`` to link ``root/photos`` to where configs look for it (see
            :func:`link_photos`), ``"none"`` not to.
        max_bad_rows: how many photos may be left out.
        map_path: the table of names and categories.
        map_add: rows to add to it, or to put in place of its own.
        force: overwrite ``out_path``.
        progress: show a progress bar.

    Raises:
        FashionError: if ``out_path`` exists or is an input, ``root`` is another folder, more
            than ``max_bad_rows`` photos are bad, or none can be used.
    """
    root, out_path = Path(root), Path(out_path)
    list_path, name = root / "label_list.mat", out_path.name
    inputs = (list_path, root / "photos" / name, root / "annotations" / "pixel-level" / name)
    refuse_own_input(out_path, *inputs, map_path, map_add or map_path)
    require_json(out_path)
    refuse_overwrite(out_path, force)
    require_dataset(root)
    table = CategoryTable.read(map_path, map_add)
    names = read_label_list(list_path)
    labels = match_labels(names, table, where=str(list_path))
    respelt = [(n, row.name) for n, row in zip(names, labels, strict=True) if n != row.name]
    stems, notes = paired_stems(root)
    bad, tally = BadRows(max_bad_rows, str(root)), _Tally()
    info = {
        "description": "Clothing Co-Parsing as instances of 49 fashion categories",
        "url": "https://github.com/bearpaw/clothing-co-parsing",
        "contributor": "converted by fashion-mmdet, datasets_tools/sources/ccp.py",
    }
    with CocoWriter(out_path, ontology.coco_categories(), info) as writer:
        for stem in tqdm(stems, desc="ccp", unit="photo", disable=None if progress else True):
            try:
                map_HW = read_pair(root, stem, len(labels))
            except BadRow as error:
                bad.add(error.kind, str(error))
                continue
            _add_photo(writer, stem, map_HW, labels, tally)
        if not writer.n_images:
            raise AnnotationError(
                f"{root}: photos with label maps expected, got none that can be used. "
                "Give the folder of the whole dataset."
            )
        if photos == "link":
            link_photos(root, out_path)
    return ConversionReport(
        out_path=out_path,
        n_images=writer.n_images,
        n_masks=writer.n_annotations,
        masks_per_class={name: tally.n_per_category[name] for name in ontology.CLASSES},
        bad=bad,
        notes=(*notes, *(f"{n!r} taken as {ours!r}" for n, ours in respelt), *tally.notes()),
    )


def _add_photo(
    writer: CocoWriter, stem: str, map_HW: np.ndarray, labels: list[MapRow], tally: _Tally
) -> None:
    image_id, height, width = int(stem), *map_HW.shape
    unmapped: dict[str, int] = {}
    k = 0
    for value, area_px in zip(*np.unique(map_HW, return_counts=True), strict=True):
        label = labels[value]
        if label.category is None:
            if label.name != "null":
                unmapped[label.name] = int(area_px)
            continue
        if area_px < MIN_INSTANCE_PX:
            tally.n_small += 1
            continue
        mask_HW = map_HW == value
        masks = split_pair(mask_HW) if label.is_pair else [mask_HW]
        if label.is_pair:
            tally.n_pairs_parted += len(masks) == 2
            tally.n_pairs_whole += len(masks) == 1
        for instance_HW in masks:
            code = rle.encode_mask(instance_HW)
            area, box = rle.measure(code)
            k += 1
            writer.add_annotation(
                annotation_id=image_id * 100 + k,
                image_id=image_id,
                category_id=ontology.category(label.category).id,
                segmentation=code,
                bbox=box,
                area=area,
                extra={"ccp_label": label.name},
            )
            tally.n_per_category[label.category] += 1
    tally.unmapped_images.update(unmapped.keys())
    tally.unmapped_px.update(unmapped)
    writer.add_image(
        image_id=image_id,
        file_name=f"{stem}.jpg",
        height=height,
        width=width,
        extra={"unmapped": unmapped},
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this converter's arguments to ``parser``."""
    parser.add_argument("root", metavar="ROOT", help="folder of the dataset as downloaded")
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    parser.add_argument(
        "--photos",
        choices=("link", "none"),
        default="link",
        help="link ROOT/photos beside the folder of --out, where configs look (default: link)",
    )
    add_map_arguments(parser, "ccp")
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Convert as ``args`` say and print the report; return the exit code."""
    sweep(args.out)
    report = convert(
        args.root,
        args.out,
        photos=args.photos,
        max_bad_rows=args.max_bad_rows,
        map_path=args.map,
        map_add=args.map_add,
        force=args.force,
        progress=True,
    )
    say(report.summary())
    return 0
