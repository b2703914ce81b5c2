"""Label maps of human parsing (LIP, ATR, CIHP) to COCO: PNGs whose pixels are label numbers.

* LIP (K. Gong et al., "Look into Person", CVPR 2017; https://sysu-hcp.net/lip): 20 labels.
* ATR (X. Liang et al., "Deep Human Parsing with Active Template Regression", TPAMI 2015): 18.
* CIHP (K. Gong et al., "Instance-level Human Parsing via Part Grouping Network", ECCV 2018):
  LIP's 20 but for number 10, several people a photo; ``Category_ids`` has the labels and
  ``Human_ids`` the person of each pixel.

A photo and its map have the same name but for the suffix. Each label of a photo (of a person, for
CIHP) is one instance; left and right shoe have labels of their own and so are two. Names that a
table marks ``split`` (gloves, socks) are parted. Which label becomes which category, and that
parts of the body become none, are the tables ``maps/lip.csv``, ``atr.csv`` and ``cihp.csv``.

    fashion data convert label-maps cihp --maps Category_ids --humans Human_ids --images Images \\
        --out all.json
"""

from __future__ import annotations

import argparse
import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from datasets_tools.category_map import CategoryTable, table_of
from datasets_tools.convert import add_source_arguments, run_source
from datasets_tools.folders import files_in
from datasets_tools.pairs import MIN_INSTANCE_PX
from datasets_tools.report import BadRow
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError

KINDS = {
    "lip": "Look into Person: 20 labels, one person a photo",
    "atr": "Active Template Regression: 18 labels, one person a photo",
    "cihp": "Crowd Instance-level Human Parsing: 20 labels, several people a photo",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # colour types of PNG
_COLOURS = {_GREY: "grey", 2: "RGB", _PALETTE: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_folder(
    maps: str | os.PathLike[str],
    table: CategoryTable,
    counts: Counter[str],
    humans: str | os.PathLike[str] | None = None,
) -> Iterator[SourceImage | BadRow]:
    """Yield the photos of the label maps in a folder, in the order of the file names.

    Args:
        maps: the folder of label maps.
        table: its ids are the labels; the least is the background.
        counts: what was left out is entered here, sentence -> number.
        humans: the folder of maps that number the people; masks then have ``person``, and 0 is
            what belongs to none.

    Raises:
        FashionError: if ``maps`` holds no PNG, or a name of the table has no id of its own.
    """
    names = table.name_of_id()
    if len(names) != len(table.rows):
        raise FashionError(
            f"{table.path}: an id of its own for each name expected, got {len(names)} ids for "
            f"{len(table.rows)} names. The ids are the values of the pixels."
        )
    for path in files_in(maps, ".png", counts):
        try:
            map_HW = read_label_map(path)
            person_HW = read_label_map(Path(humans, path.name)) if humans is not None else None
            masks: list[SourceMask | BadRow] = list(
                _masks(map_HW, person_HW, path.name, table, counts)
            )
        except BadRow as error:
            yield error
            continue
        yield SourceImage(path.stem, masks, path.name, map_HW.shape)


def read_label_map(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a PNG of 8-bit grey or of a palette as uint8 numbers, (height, width).

    Colours are not labels, so others are refused; and so is grey of fewer bits, which readers
    stretch to 0..255.

    Raises:
        BadRow: for a file that is no such PNG.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(26)
            if len(head) < 26 or not head.startswith(_PNG):
                raise BadRow(
                    "unreadable", f"{path}: a PNG file expected, got another. Fetch it again."
                )
            bits, colour = struct.unpack_from("BB", head, 24)
            if colour != _PALETTE and (colour, bits) != (_GREY, 8):
                raise BadRow(
                    "kind of PNG",
                    f"{path}: label numbers as 8-bit grey or palette expected, got {bits}-bit "
                    f"{_COLOURS.get(colour, 'unknown')}. Take the label maps, not pictures of "
                    "them.",
                )
            stream.seek(0)
            with Image.open(stream, formats=("PNG",)) as image:
                return np.array(image, dtype=np.uint8)
    except BadRow:
        raise
    except FileNotFoundError:
        raise BadRow(
            "missing map",
            f"{path}: a map of people for each map of labels expected, found none. Is the folder "
            "complete?",
        ) from None
    # Pillow's readers raise many types on a damaged file (struct.error, SyntaxError, ...).
    except Exception as error:  # noqa: BLE001
        raise BadRow(
            "unreadable",
            f"{path}: a whole PNG expected, got {type(error).__name__}: {error}. Fetch it again.",
        ) from None


def _masks(
    map_HW: np.ndarray,
    person_HW: np.ndarray | None,
    where: str,
    table: CategoryTable,
    counts: Counter[str],
) -> Iterator[SourceMask]:
    names = table.name_of_id()
    background = min(names)
    code_HW = map_HW.astype(np.uint16)
    if person_HW is not None:
        if person_HW.shape != map_HW.shape:
            raise BadRow(
                "size",
                f"{where}: maps of labels and of people of one size expected, got "
                f"{map_HW.shape} and {person_HW.shape} (height, width). Take both from one "
                "release.",
            )
        code_HW |= person_HW.astype(np.uint16) << 8
    area_px = np.bincount(code_HW.ravel())
    codes = np.flatnonzero(area_px).tolist()
    unknown = sorted({code & 255 for code in codes} - set(names))
    if unknown:
        raise BadRow(
            "label",
            f"{where}: labels of {table.path} ({background} to {max(names)}) expected, got "
            f"{unknown[0]}. Is this the right kind of label map?",
        )
    for code in codes:
        person, label = divmod(code, 256)
        name = names[label]
        place = f"{where}: {name}" + (f" of person {person}" if person_HW is not None else "")
        if label == background:
            continue
        if table.rows[name].category is None:
            yield SourceMask(name, None, place)  # to be counted by its name, never drawn
        elif area_px[code] < MIN_INSTANCE_PX:
            counts[f"masks under {MIN_INSTANCE_PX} px, not written"] += 1
        else:
            extra = {"person": person} if person_HW is not None else {}
            counts["masks on no person of the map of people"] += bool(extra) and not person
            yield SourceMask(name, rle.encode_mask(code_HW == code), place, extra)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``fashion data convert label-maps``: a sub-command for each kind."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, summary in KINDS.items():
        one = kinds.add_parser(kind, help=summary, description=f"{summary}.")
        one.add_argument("--maps", required=True, metavar="DIR", help="the folder of label maps")
        if kind == "cihp":
            one.add_argument("--humans", required=True, metavar="DIR", help="the folder Human_ids")
        add_source_arguments(one, kind)


def run(args: argparse.Namespace) -> int:
    """Convert as the options say, print the report and return the exit code."""
    humans = getattr(args, "humans", None)
    counts: Counter[str] = Counter()
    images = read_folder(args.maps, table_of(args), counts, humans)
    return run_source(
        args,
        images,
        info={
            "description": f"{KINDS[args.kind].split(':')[0]} as instances of 49 categories",
            "contributor": "converted by fashion-mmdet, datasets_tools/sources/label_maps.py",
        },
        counts=counts,
        where=args.maps,
        inputs=[Path(folder, Path(args.out).name) for folder in (args.maps, humans) if folder],
    )
