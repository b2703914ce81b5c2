"""Resize photos and masks once to the size that training works at.

    fashion data cache data/imaterialist/annotations/train.json --images data/imaterialist/train \\
        --size 1333 800 --out data/imaterialist/cache
    FASHION_CACHE=cache fashion train configs/fashion/mask_rcnn_r50.py

A photo of 6 megapixels with dozens of masks costs the loader far more than the 1 megapixel that
the model sees. The cache is for training alone: validation and test keep their photos and masks
at their own size, so no score depends on it. Masks are those that training from the originals
sees, pixel for pixel, where the size is the one that the recipe resizes to (:mod:`.scale`); a
recipe that resizes to less resamples them once more, and one that resizes to more than the cache
holds enlarges blurred photos: make a cache of its size instead.

The cache knows what it was made from: the settings, the content of the annotation file, and name,
size and time of change of each photo. Run the command again after any of them changed, or after a
stop: it does what is missing, and says so where nothing is. A folder is the cache of one annotation
file; another's takes its place only with ``--force``.
"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from datasets_tools.cache.build import make_cache
from datasets_tools.cache.scale import SUFFIXES, Settings
from datasets_tools.report import say

_SETTING = (
    "To train from it: FASHION_CACHE=cache fashion train configs/fashion/mask_rcnn_r50.py, where "
    "the cache is data/imaterialist/cache. FASHION_CACHE is relative to the folder of the data set "
    "(data_root of the config, here data/imaterialist or its like in FASHION_DATA), not to the "
    "folder that you are in; or it is a whole path. The last lines of a run say which."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data cache`` to ``parser``."""
    parser.epilog = f"{parser.epilog}. {_SETTING}"
    parser.add_argument("annotations", metavar="TRAIN.json", help="the COCO file of training")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of its photos")
    parser.add_argument(
        "--size",
        nargs=2,
        type=_pixels,
        default=[1333, 800],
        metavar=("LONG", "SHORT"),
        help="what the two sides of a photo shall fit, in px; the recipe's (default: 1333 800)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder of the cache")
    parser.add_argument(
        "--format",
        choices=sorted(SUFFIXES),
        default="jpeg",
        help="of resized photos; png loses nothing and is several times larger (default: jpeg)",
    )
    parser.add_argument(
        "--quality", type=_quality, default=95, metavar="Q", help="of JPEG, 1 to 100 (default: 95)"
    )
    parser.add_argument(
        "--workers",
        type=_pixels,
        default=os.cpu_count() or 1,
        metavar="N",
        help="photos at a time (default: the number of cores)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="make a cache of other settings, or of another file, in --out anew",
    )


def run(args: argparse.Namespace) -> int:
    """Make the cache, print what it holds and how it is used; return the exit code."""
    long_px, short_px = max(args.size), min(args.size)
    report = make_cache(
        args.annotations,
        args.images,
        args.out,
        Settings((long_px, short_px), args.format, args.quality),
        workers=args.workers,
        force=args.force,
        progress=True,
    )
    *lines, last = report.lines(Path(args.out))
    for line in lines:
        say(line)
    # Quoted, for it is typed into a shell.
    say(f"to train from it: FASHION_CACHE={shlex.quote(setting(args.out, args.annotations))}")
    say(last)
    return 0


def setting(out: str | os.PathLike[str], annotations: str | os.PathLike[str]) -> str:
    """Return what ``FASHION_CACHE`` is to be: relative to the folder of the data set, or whole.

    The recipes look for ``annotations/train.json`` in the folder of the data set; a cache within
    that folder is named from there.

    >>> setting("data/ccp/cache", "data/ccp/annotations/train.json")
    'cache'
    """
    folder, data_root = Path(out).resolve(), Path(annotations).resolve().parent.parent
    is_within = data_root in folder.parents
    return folder.relative_to(data_root).as_posix() if is_within else str(folder)


def _pixels(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 expected, got {text!r}")
    return int(text)


def _quality(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 100 expected, got {text!r}")
    return int(text)
