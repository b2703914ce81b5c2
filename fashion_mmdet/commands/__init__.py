"""The console script ``fashion``: one module per sub-command, imported only when it is used.

Exit codes: 0 fine, 1 a problem with data or a run, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from fashion_mmdet import __version__
from fashion_mmdet.core.errors import FashionError

#: sub-command -> (module, one-line help)
COMMANDS: dict[str, tuple[str, str]] = {
    "env": ("fashion_mmdet.commands.env", "say whether this machine is ready, and what to do"),
    "demo": ("fashion_mmdet.commands.demo", "from nothing to an evaluated model, in minutes"),
    "data": ("fashion_mmdet.commands.data", "convert, relabel, split and make data"),
    "train": ("fashion_mmdet.commands.train", "train a config"),
    "test": ("fashion_mmdet.commands.test", "evaluate a checkpoint on the test set"),
    "predict": ("fashion_mmdet.commands.predict", "find garments on photos without labels"),
    "sweep": ("fashion_mmdet.commands.sweep", "search hyperparameters by a W&B sweep file"),
    "tune": ("fashion_mmdet.commands.tune", "choose which detections of a run to keep"),
    "compare": ("fashion_mmdet.commands.compare", "say which of some runs is better"),
    "analyze": ("fashion_mmdet.commands.analyze", "say where a run's errors are"),
    "show": ("fashion_mmdet.commands.show", "draw ground truth beside predictions"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fashion``; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # mmengine imports it at every start; setuptools is pinned below the release that drops it.
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    parser = argparse.ArgumentParser(
        prog="fashion",
        description="Instance segmentation of fashion photos on MMDetection.",
        epilog="Example: fashion train configs/fashion/mask_rcnn_r50.py --dry-run",
    )
    parser.add_argument("--version", action="version", version=f"fashion-mmdet {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    if not words:
        parser.exit(2, parser.format_help())
    chosen = parser.parse_args(words[:1])

    def function(rest: list[str]) -> int | None:
        return importlib.import_module(COMMANDS[chosen.command][0]).main(rest)

    # What a cluster or `timeout` sends: half-written files go, as with Ctrl-C.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    return run(function, words[1:])


_stopped_by: list[int] = []


def _stop(number: int, frame: Any) -> None:
    _stopped_by.append(number)
    raise SystemExit(128 + number)


def run(function: Callable[[list[str]], int | None], argv: Sequence[str]) -> int:
    """Call ``function(argv)`` and turn what a user can mend into one line and exit code 1."""
    try:
        return int(function(list(argv)) or 0)
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        if _stopped_by:  # mmengine makes an error of its own of what comes in its midst
            print("stopped.", file=sys.stderr)
            return 128 + _stopped_by[0]
        if not _is_told(error):
            raise
        return 1


def _is_told(error: Exception) -> bool:
    """Say in a line what a user can mend; return False for what is another matter."""
    if isinstance(error, BrokenPipeError):  # `fashion ... | head`
        sys.stderr.close()
    elif isinstance(error, OSError):  # a full disk, a folder that may not be written
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{str(error.strerror or error).rstrip('.')}.", file=sys.stderr)
    # compat has an error type of its own, because it may import nothing of ours.
    elif isinstance(error, FashionError) or (isinstance(error, ValueError) and _is_ours(error)):
        print(f"error: {_last_line(error)}", file=sys.stderr)
    else:
        return False
    return True


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] == "fashion_mmdet"


def _last_line(error: Exception) -> str:
    """Return the message; of an error that a loader worker passed on, without its traceback."""
    text = str(error)
    if text.startswith("Caught ") and "Traceback" in text:
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return text
