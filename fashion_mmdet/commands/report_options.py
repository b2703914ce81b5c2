"""What ``fashion compare`` and ``fashion analyze`` share: options, and checks before any work."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import refuse_overwrite, require_writable


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--split`` and ``--images``."""
    parser.add_argument(
        "--split", choices=["test", "val"], help="which evaluation (test where there is one)"
    )
    parser.add_argument(
        "--images", metavar="FOLDER", type=named, help="the photos, where they have moved"
    )


def named(text: str) -> str:
    """Take a name from the command line; an empty one is a slip of the shell."""
    if not text:
        raise argparse.ArgumentTypeError("a name expected, got none")
    return text


def require_images(folder: str | None) -> None:
    """Refuse ``--images`` that is no folder."""
    if folder and not Path(folder).is_dir():
        raise FashionError(f"--images: a folder of photos expected, found none at {folder}.")


def require_place(targets: Sequence[Path], force: bool) -> None:
    """Refuse files that may not be written: before the work, not after it."""
    for target in targets:
        refuse_overwrite(target, force)
        require_writable(target)

