"""Clothing Co-Parsing to COCO: pixel label maps of 59 names to instances of the 49 categories.

The dataset (W. Yang, P. Luo, L. Lin, "Clothing Co-Parsing by Joint Image Segmentation and
Labeling", CVPR 2014; https://github.com/bearpaw/clothing-co-parsing) has one label map a photo:
``photos/NNNN.jpg``, ``annotations/pixel-level/NNNN.mat`` (variable ``groundtruth``, height x
width, index into ``label_list.mat``). Which of its names becomes which category, and why some
become none, is the table ``maps/ccp.csv``.

A label map has no instances, so one is made of every name in a photo. Names marked in the
table's column ``split`` are worn in pairs; :func:`split_pair` parts them.

    fashion data convert ccp ROOT --out data/ccp/annotations/all.json
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat
from tqdm import tqdm

from datasets_tools.category_map import MAPS, CategoryTable, MapRow, add_map_arguments
from datasets_tools.pairs import MIN_INSTANCE_PX, split_pair
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    exit_code,
    say,
    sweep,
)
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.files import looked_up_from, refuse_overwrite, refuse_own_input

MAP_PATH = MAPS / "ccp.csv"

_EXIF_ORIENTATION = 0x0112


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
                f"{name!r} has no category: {area_px:,} px in {self.unmapped_images[name]:,} photos"
            )
        yield (
            f"worn in pairs: {self.n_pairs_parted:,} parted into left and right, "
            f"{self.n_pairs_whole:,} left as one (touching, or one visible)"
        )
        if self.n_small:
            yield f"{self.n_small:,} instances under {MIN_INSTANCE_PX} px were not written"


def read_label_list(path: str | os.PathLike[str]) -> list[str]:
    """Read ``label_list.mat``; position = value in the label maps.

    Raises:
        BadRow: for a missing or unreadable file, or one without ``label_list``.
    """
    cells = _read_mat(path, "label_list")
    names = [np.ravel(cell) for cell in cells.ravel()]
    if cells.dtype != object or not all(n.size == 1 and n.dtype.kind == "U" for n in names):
        raise BadRow(
            "label list",
            f"{path}: 'label_list' as a row of names expected, got {cells.dtype} of shape "
            f"{cells.shape}. Take the file of the original dataset.",
        )
    return [str(name[0]) for name in names]


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


def read_label_map(path: str | os.PathLike[str], n_labels: int) -> np.ndarray:
    """Read one ``NNNN.mat`` as uint8, (height, width), every value below ``n_labels``.

    Raises:
        BadRow: for a file that is no such map.
    """
    map_HW = _read_mat(path, "groundtruth")
    if map_HW.ndim != 2 or map_HW.dtype.kind not in "ui" or not map_HW.size:
        raise BadRow(
            "label map",
            f"{path}: 'groundtruth' as whole numbers of shape (height, width) expected, got "
            f"{map_HW.dtype} of shape {map_HW.shape}. Take the file of the original dataset.",
        )
    if map_HW.min() < 0 or map_HW.max() >= n_labels:
        raise BadRow(
            "label map",
            f"{path}: labels 0 to {n_labels - 1} expected, got {map_HW.min()} to {map_HW.max()}. "
            "Take the file and label_list.mat from the same release.",
        )
    return map_HW.astype(np.uint8)


def convert(
    root: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    photos: str = "link",
    max_bad_rows: int = 100,
    map_path: str | os.PathLike[str] = MAP_PATH,
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
        force: overwrite ``out_path``.
        progress: show a progress bar.

    Raises:
        FashionError: if ``out_path`` exists or is an input, ``root`` is another folder, more
            than ``max_bad_rows`` photos are bad, or none can be used.
    """
    root, out_path = Path(root), Path(out_path)
    list_path, name = root / "label_list.mat", out_path.name
    inputs = (list_path, root / "photos" / name, root / "annotations" / "pixel-level" / name)
    refuse_own_input(out_path, *inputs)
    refuse_overwrite(out_path, force)
    _require_dataset(root)
    table = CategoryTable.read(map_path)
    labels = match_labels(read_label_list(list_path), table, where=str(list_path))
    stems, notes = _stems(root)
    bad, tally = BadRows(max_bad_rows, str(root)), _Tally()
    info = {
        "description": "Clothing Co-Parsing as instances of 49 fashion categories",
        "url": "https://github.com/bearpaw/clothing-co-parsing",
        "contributor": "converted by fashion-mmdet, datasets_tools/sources/ccp.py",
    }
    with CocoWriter(out_path, ontology.coco_categories(), info) as writer:
        for stem in tqdm(stems, desc="ccp", unit="photo", disable=not progress):
            try:
                map_HW = _read_pair(root, stem, len(labels))
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
        notes=(*notes, *tally.notes()),
    )


def link_photos(root: Path, out_path: Path) -> Path:
    """Make ``photos``, a symbolic link to ``root/photos``, and return it.

    It lies beside the folder ``annotations`` of ``out_path``, or beside ``out_path`` itself if
    its folder has another name. A right link, or the folder itself, is left as it is.

    Raises:
        FashionError: if something else is there, or the system allows no links.
    """
    source = (root / "photos").resolve()
    folder = out_path.absolute().parent
    link = (folder.parent if folder.name == "annotations" else folder) / "photos"
    if link.resolve() == source:
        return link
    if link.is_symlink() or link.exists():
        raise FashionError(
            f"{link}: a link to {source} expected, got something else. "
            "Remove it, or pass --photos none."
        )
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source, target_is_directory=True)
    except OSError as error:
        raise FashionError(
            f"{link}: a link to {source} could not be made ({error}). "
            "Copy the folder there and pass --photos none."
        ) from None
    return link


def _require_dataset(root: Path) -> None:
    """Raise :class:`FashionError`, naming all that is missing, where ``root`` is another folder."""
    holds = {
        "photos": (root / "photos").is_dir(),
        "annotations/pixel-level": (root / "annotations" / "pixel-level").is_dir(),
        "label_list.mat": (root / "label_list.mat").is_file(),
    }
    missing = [name for name, is_there in holds.items() if not is_there]
    if missing:
        found = f"one without {' and '.join(missing)}" if root.is_dir() else "no folder"
        raise FashionError(
            f"{root}: a folder with photos, annotations/pixel-level and label_list.mat expected, "
            f"found {found}. Give the folder of Clothing Co-Parsing as downloaded."
            f"{'' if root.is_dir() else looked_up_from(root)}"
        )


def _stems(root: Path) -> tuple[list[str], list[str]]:
    """Return the numbers, as text, that have a photo and a label map; and notes on the others."""
    folders = {root / "photos": "jpg", root / "annotations" / "pixel-level": "mat"}
    found = []
    for folder, ending in folders.items():
        # Ids are made of the names, so nothing but a plain number is taken for a photo.
        matches = (re.fullmatch(rf"([0-9]{{4,9}})\.{ending}", n) for n in os.listdir(folder))
        found.append({match[1] for match in matches if match})
    photos, maps = found
    notes = []
    if maps - photos:
        notes.append(f"label maps without a photo NNNN.jpg: {_first(sorted(maps - photos))}")
    if photos - maps:
        # The usual case: the dataset has 2098 photos and label maps of 1004.
        notes.append(f"photos without a label map: {_first(sorted(photos - maps))}")
    return sorted(photos & maps, key=lambda stem: (int(stem), stem)), notes


def _read_pair(root: Path, stem: str, n_labels: int) -> np.ndarray:
    """Return the label map of a photo; BadRow where the two cannot be used together."""
    map_path = root / "annotations" / "pixel-level" / f"{stem}.mat"
    map_HW = read_label_map(map_path, n_labels)
    photo = root / "photos" / f"{stem}.jpg"
    try:
        with Image.open(photo) as image:
            size_hw = image.size[::-1]
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadRow(
            "photo", f"{photo}: a readable photo expected, got: {error}. Is the file complete?"
        ) from None
    if orientation != 1:
        # Some readers turn such a photo and some do not; its map fits one of the two.
        raise BadRow(
            "orientation",
            f"{photo}: an upright photo expected, got EXIF orientation {orientation}. "
            "Save it upright.",
        )
    if size_hw != map_HW.shape:
        raise BadRow(
            "size",
            f"{photo}: the size of its label map, {map_HW.shape} (height, width), expected, got "
            f"{size_hw}. Take both from the same release.",
        )
    if not map_HW.any():
        raise BadRow(
            "unlabelled",
            f"{map_path}: labels expected, got background alone. The photo cannot be trained on.",
        )
    return map_HW


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
                ccp_label=label.name,
            )
            tally.n_per_category[label.category] += 1
    tally.unmapped_images.update(unmapped.keys())
    tally.unmapped_px.update(unmapped)
    writer.add_image(
        image_id=image_id, file_name=f"{stem}.jpg", height=height, width=width, unmapped=unmapped
    )


def _read_mat(path: str | os.PathLike[str], variable: str) -> np.ndarray:
    try:
        # appendmat would look for NNNN.mat.mat where NNNN.mat is missing.
        content = loadmat(path, variable_names=[variable], appendmat=False)
    except Exception as error:
        # A damaged file makes SciPy's reader raise nearly anything, from zlib.error to TypeError.
        raise BadRow(
            "unreadable",
            f"{path}: a MATLAB 5 file expected, got {type(error).__name__}: {error}. "
            "Is the file complete?",
        ) from None
    if not isinstance(content.get(variable), np.ndarray):
        raise BadRow(
            "unreadable",
            f"{path}: the variable {variable!r} expected, found no such array. "
            "Take the file of the original dataset.",
        )
    return content[variable]


def _first(names: list[str], count: int = 5) -> str:
    return f"{len(names)} ({', '.join(names[:count])}{', ...' if len(names) > count else ''})"


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
        force=args.force,
        progress=True,
    )
    say(report.summary())
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run as ``python -m datasets_tools.sources.ccp``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.sources.ccp",
        description="Convert Clothing Co-Parsing to COCO.",
        epilog="example: python -m datasets_tools.sources.ccp clothing-co-parsing "
        "--out data/ccp/annotations/all.json",
    )
    add_arguments(parser)
    return exit_code(run, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
