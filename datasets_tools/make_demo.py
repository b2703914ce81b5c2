"""``fashion data make-demo``: a small set of drawn fashion pictures in iMaterialist 2019's format.

The pictures are of our own making, so everyone may have them: dressed people in varied poses,
14 of the 46 categories and all three shoe types. They exercise every step from Kaggle's files
to a trained model, and a small Mask R-CNN learns them in minutes. They say nothing about real
photos.

Written under the output folder:

* ``train/<ImageId>.jpg``: the pictures; an ImageId is 32 hex digits.
* ``train.csv``: ``ImageId,EncodedPixels,Height,Width,ClassId``, one row a mask, run lengths
  one-indexed and column-major. A garment's mask includes its parts; other masks never overlap.
  Every shoe is ClassId 23. Some ClassIds carry attributes (``6_5_9``).
* ``label_descriptions.json``: the 46 categories, and a few attributes of our own.
* ``shoe_types.csv``: ``image,mask,shoe_type`` for ``fashion data shoe-types``; ``mask`` is the
  number of the data row in ``train.csv``, from 1. Plain shoes and boots are not listed.
* ``demo.json``: how the folder was made.

The same seed and size give the same bytes with the same versions of numpy, OpenCV and Pillow.
Picture ``i`` depends on the seed and ``i`` alone, so a shorter set is the start of a longer one.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from tqdm import tqdm

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import read_json
from fashion_mmdet.core.ontology import CLASSES_46, category
from fashion_mmdet.core.rle import coco_to_kaggle, encode_mask

from .demo.canvas import Instance
from .demo.cloth import ATTRIBUTES
from .demo.scenes import Masks, draw_scene
from .report import say, sweep

#: Raised by one whenever the drawing changes, so that figures on the demo name their data.
VERSION = 2
COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "ClassId")
_MADE_BY = "fashion data make-demo"
_CONTENT = ("train", "train.csv", "label_descriptions.json", "shoe_types.csv", "demo.json")
_LEAST_SIDE, _MOST_SIDE = 64, 4096


@dataclass
class Made:
    """What :func:`make_demo` wrote: pictures, masks, and masks per category name."""

    images: int = 0
    masks: int = 0
    categories: Counter[str] = field(default_factory=Counter)


def make_demo(
    out_dir: str | os.PathLike[str],
    *,
    images: int = 400,
    seed: int = 0,
    size_wh: tuple[int, int] = (160, 224),
    force: bool = False,
    progress: bool = False,
) -> Made:
    """Draw a demo set into the new folder ``out_dir``; a stop half-way leaves no folder behind.

    Args:
        out_dir: folder to make. Its parent folders are made too.
        images: number of pictures.
        seed: picks the series, 0 or more.
        size_wh: width and height of every picture in pixels; the drawing scales with it.
        force: replace ``out_dir`` if it is an earlier demo set and holds nothing else.
        progress: show a progress bar.

    Raises:
        FashionError: for a number out of range, or an ``out_dir`` that must not be replaced.
    """
    out = Path(out_dir)
    _check_numbers(images, seed, size_wh)
    _check_replaceable(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o777 & ~umask)  # mkdtemp makes folders of mode 0700
        made = _write(part, images, seed, size_wh, progress)
        _check_replaceable(out, force)  # drawing took a while
        _put_in_place(part, out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return made


def image_id(seed: int, index: int) -> str:
    """Return the ImageId of picture ``index`` of ``seed``: 32 hex digits."""
    return hashlib.sha256(f"{_MADE_BY} {seed} {index}".encode()).hexdigest()[:32]


def class_id(instance: Instance) -> str:
    """Return Kaggle's ClassId: category id, then attribute ids behind ``_``.

    >>> class_id(Instance("pants", (5, 9)))
    '6_5_9'
    """
    return "_".join(map(str, (category(instance.category).id, *sorted(instance.attributes))))


def _write(folder: Path, images: int, seed: int, size_wh: tuple[int, int], progress: bool) -> Made:
    made = Made(images=images)
    (folder / "train").mkdir()
    with _csv(folder / "train.csv") as masks_file, _csv(folder / "shoe_types.csv") as types_file:
        rows, types = (csv.writer(f, lineterminator="\n") for f in (masks_file, types_file))
        rows.writerow(COLUMNS)
        types.writerow(("image", "mask", "shoe_type"))
        scenes = tqdm(
            _scenes(images, seed, size_wh),
            total=images, desc="drawing", unit="image", disable=None if progress else True,
        )  # fmt: skip
        for index, (picture, masks) in enumerate(scenes):
            name = image_id(seed, index)
            Image.fromarray(picture).save(folder / "train" / f"{name}.jpg", quality=92)
            for instance, mask in masks:
                made.masks += 1
                made.categories[instance.shoe_type or instance.category] += 1
                runs = coco_to_kaggle(encode_mask(mask))
                rows.writerow((name, runs, *mask.shape, class_id(instance)))
                if instance.shoe_type:
                    types.writerow((f"{name}.jpg", made.masks, instance.shoe_type))
    _json(folder / "label_descriptions.json", _label_descriptions())
    about = {"made_by": _MADE_BY, "version": VERSION, "seed": seed, "images": images}
    about |= {"size_wh": list(size_wh), "masks": made.masks}
    about["masks_per_category"] = dict(sorted(made.categories.items()))
    _json(folder / "demo.json", about)
    return made


def _scenes(
    images: int, seed: int, size_wh: tuple[int, int]
) -> Iterator[tuple[np.ndarray, Masks]]:
    """Yield the pictures in order; many are drawn by as many processes as there are cores."""
    draw = functools.partial(_draw, seed, size_wh)
    if images < 64:  # starting processes would take longer
        yield from map(draw, range(images))
        return
    with multiprocessing.get_context("spawn").Pool() as pool:
        yield from pool.imap(draw, range(images), chunksize=8)


def _draw(seed: int, size_wh: tuple[int, int], index: int) -> tuple[np.ndarray, Masks]:
    return draw_scene(seed, index, size_wh)


def _csv(path: Path) -> IO[str]:
    return open(path, "w", encoding="utf-8", newline="")


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _label_descriptions() -> dict[str, object]:
    def entry(number: int, name: str, group: str, level: int) -> dict[str, object]:
        return {"id": number, "name": name, "supercategory": group, "level": level}

    return {
        "info": {
            "version": str(VERSION),
            "description": "Drawn demo pictures in the format of iMaterialist (Fashion) 2019.",
            "contributor": _MADE_BY,
        },
        "categories": [
            entry(i, name, category(name).supercategory, 2) for i, name in enumerate(CLASSES_46)
        ],
        "attributes": [entry(i, name, group, 1) for i, (name, group) in enumerate(ATTRIBUTES)],
    }


# --- what may be replaced ------------------------------------------------------------------


def _check_numbers(images: int, seed: int, size_wh: tuple[int, int]) -> None:
    if images < 1:
        raise FashionError(f"--images: 1 or more expected, got {images}. The default is 400.")
    if seed < 0:
        raise FashionError(f"--seed: 0 or more expected, got {seed}. The default is 0.")
    if not all(_LEAST_SIDE <= side <= _MOST_SIDE for side in size_wh):
        raise FashionError(
            f"--size: width and height of {_LEAST_SIDE} to {_MOST_SIDE} px expected, got "
            f"{size_wh[0]} {size_wh[1]}. The default is 160 224."
        )


def _check_replaceable(out: Path, force: bool) -> None:
    """Refuse an ``out`` that is not a free place or, with ``force``, a demo set of our own."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise FashionError(
            f"{out}: a new folder expected, got a file or a link. Choose another --out."
        )
    if not any(out.iterdir()):
        return
    if not force:
        raise FashionError(f"{out}: a new folder expected, it holds files. Use --force.")
    foreign = sorted(_foreign(out))
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise FashionError(
            f"{out}: a demo set and nothing else expected before --force replaces it, got also "
            f"{', '.join(foreign[:3])}{more}. Move that away or choose another --out."
        )


def _foreign(out: Path) -> Iterator[str]:
    """Yield what lies in ``out`` and was not written by :func:`make_demo`."""
    about = read_json(out / "demo.json") if (out / "demo.json").is_file() else None
    about = about if isinstance(about, dict) else {}
    seed, images = about.get("seed"), about.get("images")
    ours = about.get("made_by") == _MADE_BY
    if not ours or not isinstance(seed, int) or not isinstance(images, int):
        yield from (path.name for path in out.iterdir())
        return
    yield from (path.name for path in out.iterdir() if path.name not in _CONTENT)
    pictures = {f"{image_id(seed, i)}.jpg" for i in range(images)}
    train = out / "train"
    if train.is_dir() and not train.is_symlink():
        yield from (f"train/{p.name}" for p in train.iterdir() if p.name not in pictures)


def _put_in_place(part: Path, out: Path) -> None:
    if not out.exists():
        os.replace(part, out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.parent))
    os.replace(out, old)  # onto an empty folder; a stop between the two leaves both sets whole
    try:
        os.replace(part, out)
    except BaseException:
        os.replace(old, out)
        raise
    shutil.rmtree(old)


# --- command line --------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the tool's options to ``parser``."""
    parser.description = "Draw a small set of fashion pictures in iMaterialist 2019's format."
    parser.epilog = "Example: fashion data make-demo --out data/demo --images 400"
    parser.add_argument("--out", default="data/demo", help="folder to make (%(default)s)")
    parser.add_argument("--images", type=int, default=400, help="pictures (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="picks the series (%(default)s)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(160, 224), metavar=("WIDTH", "HEIGHT"),
        help="of every picture, in pixels (160 224)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an earlier demo set")


def run(args: argparse.Namespace) -> int:
    """Make the demo set that ``args`` describe; returns the exit code."""
    sweep(args.out, folder_of=frozenset(_CONTENT))
    made = make_demo(
        args.out, images=args.images, seed=args.seed, size_wh=tuple(args.size),
        force=args.force, progress=True,
    )  # fmt: skip
    say(
        f"{made.images} images, {made.masks} masks of {len(made.categories)} categories "
        f"(shoe types apart) -> {args.out}"
    )
    return 0
