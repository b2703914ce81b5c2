"""``fashion data stats``: what is in an annotation file, as tables, plots and a page.

Written to the folder ``--out``: ``index.html``, ``stats.json`` and ``plots/*.png`` (each in a
light and a dark look). The numbers are computed in :mod:`.tables`, drawn in :mod:`.plots`.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datasets_tools.folders import refuse_json_folder
from datasets_tools.report import counted, first_of, say, sweep
from datasets_tools.stats import page, plots, style, summary, tables
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    atomic_open,
    read_json,
    refuse_overwrite,
    refuse_own_input,
    shown,
    write_json,
    write_text,
)

#: The plots, by the names of their files.
_KEYS = (
    *("classes", "long_tail", "areas", "boxes", "anchors_by_class", "shapes", "cooccurrence"),
    "splits",
)
ANCHORS_PX = (32.0, 64.0, 128.0, 256.0, 512.0)
SIZE = (1333, 800)


def _drawings(
    measured: tables.Measured, found: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, Callable[[style.Theme], Figure]]]:
    """Yield key, title, text and a function that draws, for each plot."""
    table, fit = found["classes"], found["fit"]
    names = measured.categories.name
    absent = "; ".join(table.name[table.instances == 0])
    tail, n_head = tables.long_tail(table)
    poor = (fit.iou < tables.POOR_IOU).mean()
    long_side, short_side = max(found["size"]), min(found["size"])
    yield ("classes", "Classes", "In the order of the file."
           + (f" Without any: {absent}." if absent else ""),
           lambda theme: plots.classes(table, theme))  # fmt: skip
    yield ("long_tail", "Long tail", f"{n_head} of {len(tail)} classes hold 80 % of the instances; "
           f"the rarest, {tail.name.iloc[-1]}, has {tail.instances.iloc[-1]:,}.",
           lambda theme: plots.long_tail(table, theme))  # fmt: skip
    yield ("areas", "Area of a mask", "Ring: the median. Thick: the middle half. Thin: the middle "
           "80 %.", lambda theme: plots.areas(measured, table, theme))  # fmt: skip
    yield ("boxes", "Boxes and anchors", "Anchors are the boxes that a detector guesses before it "
           f"has looked. Photos resized to fit {long_side} x {short_side}, no anchor reaches an "
           f"IoU of {tables.POOR_IOU:g} with {poor:.1%} of the boxes; they begin training from a "
           "poor match.",
           lambda theme: plots.boxes(fit, found["anchors_px"], theme))  # fmt: skip
    yield ("anchors_by_class", "Poor anchors by class", "Share of a class's boxes whose best "
           f"anchor stays under an IoU of {tables.POOR_IOU:g}.",
           lambda theme: plots.anchors_by_class(table, theme))  # fmt: skip
    yield ("shapes", "Shapes and crowding", "How long boxes are, and how many instances a photo "
           "has.", lambda theme: plots.shapes(measured, theme))  # fmt: skip
    yield ("cooccurrence", "Co-occurrence", "Of the photos with the class of a row, the share that "
           "shows the class of a column. The most frequent classes come first.",
           lambda theme: plots.cooccurrence(found["pairs"], names, theme))  # fmt: skip
    if "n_images" in found:
        images, n_images = found["split_images"], found["n_images"]
        yield ("splits", "Split against split", "Share of a split's photos that show a class. "
               "Marks that lie together are alike; a hollow mark at the left: the split has none.",
               lambda theme: plots.splits(images, n_images, names, theme))  # fmt: skip


def write(
    measured: tables.Measured,
    splits: Mapping[str, tables.Measured],
    found: Mapping[str, Any],
    out: Path,
    title: str,
) -> list[str]:
    """Write plots, ``stats.json`` and, last, the page; return the notes."""
    said = list(summary.notes(measured, splits))
    # The page comes last, so one that is there belongs to plots that are there.
    (out / "index.html").unlink(missing_ok=True)
    for path in _earlier_plots(out):
        path.unlink(missing_ok=True)
    sections = []
    for key, name, text, draw in _drawings(measured, found):
        for path, theme in zip(_plot_paths(out, key), (style.LIGHT, style.DARK), strict=True):
            with style.use(theme):
                size_px = _save(draw(theme), path)
        sections.append(page.Section(key, name, text, size_px))
    drawn = [path.relative_to(out).as_posix() for s in sections for path in _plot_paths(out, s.key)]
    numbers = {**summary.as_json(measured, found), "plots": drawn}
    write_json(out / "stats.json", numbers, indent=1)
    table = found["classes"]
    shown = [("All classes", "Areas are medians; small, medium and large as COCO counts them. Poor "
              "anchor: the share of boxes that no anchor overlaps by half (see Boxes and anchors).",
              page.class_rows(table))]  # fmt: skip
    if splits:
        rows = page.split_rows(table.name, found["split_images"], found["split_instances"])
        shown.append(("All splits", "Photos and instances of each class.", rows))
    top = {
        "photos": f"{len(measured.images):,}",
        "instances": f"{len(measured.instances):,}",
        "classes with instances": f"{int((table.instances > 0).sum())} of {len(table)}",
        "instances a photo": f"{found['per_image'].mean():.1f}",
    }
    write_text(out / "index.html", page.render(title, top, said, sections, shown))
    return said


def _plot_paths(out: Path, key: str) -> tuple[Path, Path]:
    return out / "plots" / f"{key}.png", out / "plots" / f"{key}.dark.png"


def _earlier_plots(out: Path) -> list[Path]:
    """Return the plots that an earlier run wrote by its ``stats.json``; others are the user's."""
    try:
        said = read_json(out / "stats.json")
    except FashionError:  # none, or half a disk's fault: then nothing is known to be ours
        return []
    listed = said.get("plots") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        return []
    own = (path for key in _KEYS for path in _plot_paths(out, key))
    return [path for path in own if path.relative_to(out).as_posix() in listed]


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder with anything in it, unless an earlier run made it.

    Such a folder is told by its ``stats.json``, or by holding nothing but what a run writes: a
    killed one leaves plots alone. Hidden files are nobody's.

    Raises:
        FashionError: for another folder, or what is none.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise FashionError(f"{out}: a folder expected, found a file. Choose another --out.")
    names = {name for name in os.listdir(out) if not name.startswith(".")} if out.is_dir() else ()
    foreign = sorted(set(names) - {"index.html", "stats.json", "plots"})
    if foreign and not _earlier_plots(out):
        raise FashionError(
            f"{out}: a new folder, or one of an earlier fashion data stats, expected, found "
            f"{first_of(foreign, 3)} in it. Choose another --out."
        )


def _save(drawn: Figure, path: Path) -> tuple[int, int]:
    """Write a PNG and return the width and height that a page shows it at."""
    FigureCanvasAgg(drawn)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    with atomic_open(path, "wb") as stream:
        stream.write(buffer.getvalue())
    width, height = drawn.get_size_inches() * 100
    return round(width), round(height)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"a number of pixels above 0 expected, got {text!r}")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data stats`` to ``parser``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file")
    parser.add_argument(
        "--split", nargs="+", default=[], metavar="JSON",
        help="its parts, to be compared; each is called by its file name",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of page and plots")
    parser.add_argument(
        "--anchors", nargs="+", type=_positive, default=list(ANCHORS_PX), metavar="PX",
        help="anchor sizes at training size (default: 32 64 128 256 512)",
    )  # fmt: skip
    parser.add_argument(
        "--size", nargs=2, type=_positive, default=list(SIZE), metavar=("LONG", "SHORT"),
        help="photos are resized to fit these sides (default: 1333 800)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite an earlier page")


def run(args: argparse.Namespace) -> int:
    """Measure, draw and write as ``args`` say; return the exit code."""
    out = Path(args.out)
    refuse_json_folder(out)
    _refuse_foreign(out)
    written = [out / "index.html", out / "stats.json"]
    keys = [key for key in _KEYS if key != "splits" or args.split]
    written += [path for key in keys for path in _plot_paths(out, key)]
    sweep(*written)
    for path in written:
        refuse_own_input(path, args.annotations, *args.split)
        refuse_overwrite(path, args.force)
    measured = tables.measure(read_coco(args.annotations), args.annotations, progress=True)
    splits: dict[str, tables.Measured] = {}
    for path in args.split:
        name = shown(Path(path).stem)
        if name in splits:
            raise FashionError(
                f"--split: files of different names expected, got {Path(path).name} twice. "
                "Rename one."
            )
        splits[name] = tables.measure(read_coco(path), path, progress=True)
    found = summary.compute(measured, splits, args.anchors, tuple(args.size))
    said = write(measured, splits, found, out, shown(Path(args.annotations).name))
    for note in said:
        say(f"note: {note}")
    n_absent = int((found["classes"].instances == 0).sum())
    say(
        f"{out / 'index.html'}: {counted(len(measured.images), 'image')}, "
        f"{counted(len(measured.instances), 'instance')}, "
        f"{len(found['classes']) - n_absent} of {len(found['classes'])} classes"
    )
    return 0
