"""The one way from a source's reader (:mod:`.source`) to a COCO file, and its command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets_tools.category_map import CategoryTable, add_map_arguments, table_of
from datasets_tools.folders import require_json
from datasets_tools.photos import PhotoFinder
from datasets_tools.report import (
    BadRow,
    BadRows,
    ConversionReport,
    add_max_bad_rows,
    say,
    sweep,
)
from datasets_tools.source import Converter, SourceImage, count_lines
from fashion_mmdet.core import ontology
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import refuse_overwrite, refuse_own_input, require_writable, shown


def write_coco(
    images: Iterable[SourceImage | BadRow],
    table: CategoryTable,
    out_path: str | os.PathLike[str],
    *,
    images_dir: str | os.PathLike[str] | None,
    info: dict[str, Any],
    where: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    counts: Mapping[str, int] | None = None,
    max_bad_rows: int = 100,
    check_photos: bool = True,
    force: bool = False,
    progress: bool = False,
    **extra: Any,
) -> ConversionReport:
    """Write what a reader yields; nothing is written unless the whole of it is.

    Images are numbered from 1 in the order in which they come, annotations likewise. A photo of
    which no mask is left has no place in the file, and is counted. Two masks of one image that
    have the same category and the same pixels are one, and the second a bad row; but a crowd is
    no instance. Polygons stay polygons, codes become compressed ones; boxes and areas are those
    of the pixels.

    Args:
        images: from the source's reader.
        table: the source's names and what they become.
        out_path: the COCO file to write; all 49 categories are listed in it.
        images_dir: folder of the photos; may be None without ``check_photos``.
        info: the ``info`` object of the file.
        where: what the rows come from, for messages.
        inputs: files that ``out_path`` must not be.
        counts: what the reader left out or changed, ``{"landmarks ignored": 12}``: filled while
            it yields, and said at the end.
        max_bad_rows: how many rows (masks, or photos) are skipped; one more stops.
        check_photos: find each photo and compare its size with what the source states.
        force: overwrite ``out_path``.
        progress: show a progress bar where stderr is a terminal.
        **extra: further top-level entries of the file, e.g. ``attributes``.

    Raises:
        FashionError: for too many bad rows, no good one, a name that the table lacks, or an
            ``out_path`` that exists, is an input or does not end in ``.json``.
    """
    refuse_own_input(out_path, *inputs)
    require_json(out_path)
    refuse_overwrite(out_path, force)
    # Names of files are in it, and a system may give them any bytes.
    info = {key: shown(value) if isinstance(value, str) else value for key, value in info.items()}
    info["photos_checked"] = check_photos
    finder = PhotoFinder(images_dir) if check_photos else None
    bad = BadRows(max_bad_rows, where)
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    with CocoWriter(out_path, ontology.coco_categories(), info, extra) as writer:
        converter = Converter(writer, table, finder, bad)
        for image in tqdm(images, unit="photo", disable=hidden):
            if isinstance(image, BadRow):
                bad.add(image.kind, str(image))
                continue
            try:
                converter.add(image)
            except BadRow as error:
                bad.add(error.kind, str(error))
        if not writer.n_annotations:
            raise AnnotationError(
                f"{where}: at least one mask of our categories expected, got none "
                f"({bad.kinds() or 'there are no masks'}). Nothing was written."
            )
    return ConversionReport(
        out_path=Path(out_path),
        n_images=writer.n_images,
        n_masks=writer.n_annotations,
        masks_per_class={name: converter.per_class[name] for name in ontology.CLASSES},
        bad=bad,
        notes=(*count_lines(counts or {}), *converter.notes()),
    )


def add_source_arguments(parser: argparse.ArgumentParser, table: str) -> None:
    """Add what all converters take: photos, output, table, limits."""
    parser.add_argument("--images", metavar="DIR", help="the folder of the photos")
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    add_map_arguments(parser, table)
    add_max_bad_rows(parser)
    parser.add_argument(
        "--no-check-photos",
        dest="check_photos",
        action="store_false",
        help="do not look for the photos nor compare their sizes",
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def check_out(args: argparse.Namespace) -> None:
    """Refuse an ``--out`` that :func:`run_source` would, before much is read."""
    require_json(args.out)
    refuse_overwrite(args.out, args.force)
    require_writable(args.out)


def refuse_other_export(path: str | os.PathLike[str]) -> None:
    """Refuse a file that an annotation tool exported, but not as JSON, and say how it does.

    Raises:
        FashionError: for a name in .csv, .xml or .zip.
    """
    suffix = Path(path).suffix.lower()
    hint = _OTHER_EXPORTS.get(suffix)
    if hint:
        raise FashionError(f"{path}: a JSON file expected, got a {suffix} file. {hint}")


_OTHER_EXPORTS = {
    ".csv": "Export as JSON (VIA: Annotation > Export Annotations (as json)).",
    ".xml": "Export as COCO 1.0 (CVAT: Export task dataset), which is JSON.",
    ".zip": "Unpack it and give the JSON file in it.",
}


def run_source(
    args: argparse.Namespace,
    images: Iterable[SourceImage | BadRow],
    *,
    info: dict[str, Any],
    where: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
    counts: Mapping[str, int] | None = None,
    **extra: Any,
) -> int:
    """Convert as the common arguments say, print the report, return the exit code.

    For the arguments see :func:`write_coco`.
    """
    if args.check_photos and not args.images:
        raise FashionError(
            "--images: the folder of the photos expected, got nothing. Name it, or leave the "
            "photos unchecked with --no-check-photos."
        )
    sweep(args.out)
    report = write_coco(
        images,
        table_of(args),
        args.out,
        images_dir=args.images,
        info=info,
        where=where,
        inputs=(*inputs, args.map, args.map_add or args.map),
        counts=counts,
        max_bad_rows=args.max_bad_rows,
        check_photos=args.check_photos,
        force=args.force,
        progress=True,
        **extra,
    )
    say(report.summary())
    return 0
