"""Keep a part of a COCO file: some classes, sources, sizes; :mod:`.sample` draws photos of it.

    fashion data filter all.json --classes dress skirt --min-area 1000 --out dresses.json

The categories stay all listed, and ids stay as they are: a subset can be compared with the whole.
An instance that is left out is still on its photo, and a model that trains on the rest learns
that it is background; so ``--min-area`` and ``--min-side`` leave out little, or whole photos with
``--min-instances``.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets_tools.cached import refuse_cached
from datasets_tools.folders import require_json
from datasets_tools.report import counted, say, sweep
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError, did_you_mean
from fashion_mmdet.core.files import atomic_open, json_text, refuse_overwrite, refuse_own_input


@dataclass
class Subset:
    """A part of a COCO file.

    Attributes:
        coco: the part.
        whole: how many images and annotations the file had.
        counts: what was left out, and why -> how many.
    """

    coco: dict[str, Any]
    whole: tuple[int, int]
    counts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield what is kept and left out, a line at a time; the summary comes last."""
        yield from class_table(self.coco)
        for what, count in self.counts.items():
            if count:
                yield f"left out, {what}: {count:,}"
        images, annotations = self.coco["images"], self.coco["annotations"]
        yield (
            f"kept {len(images):,} of {counted(self.whole[0], 'image')}, {len(annotations):,} of "
            f"{counted(self.whole[1], 'mask')}"
        )


def class_table(coco: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each class that has instances, with its photos; most photos first."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    images: dict[str, set[int]] = {}
    masks: Counter[str] = Counter()
    for annotation in coco["annotations"]:
        name = names[annotation["category_id"]]
        images.setdefault(name, set()).add(annotation["image_id"])
        masks[name] += 1
    yield f"{'':40}{'images':>10}{'masks':>10}"
    for name in sorted(images, key=lambda name: (-len(images[name]), name)):
        yield f"  {name:38}{len(images[name]):10,}{masks[name]:10,}"


def filter_coco(
    coco: dict[str, Any],
    *,
    classes: Collection[str] = (),
    sources: Collection[str] = (),
    min_area_px: float = 0,
    min_side_px: float = 0,
    min_instances: int = 1,
    where: str = "coco",
) -> Subset:
    """Return what is left of ``coco``; each instance counts for the first reason that it meets.

    Args:
        coco: as :func:`.read_coco` returns it; it stays as it is.
        classes: names to keep; empty: all.
        sources: names as ``fashion data merge`` writes them; empty: all. ``a`` keeps ``a/b`` too,
            and of a photo of several sources the instances of these.
        min_area_px: smallest area of a mask, in pixels.
        min_side_px: smallest of width and height of a mask's box, in pixels.
        min_instances: photos with fewer instances left are left out; at least 1.
        where: what to name in an error.

    Raises:
        FashionError: for a class or source that the file does not have, the file of a cache, or
            if nothing is left.
    """
    refuse_cached(coco, where)
    kept_ids = _category_ids(coco, classes, where)
    _require_sources(coco, sources, where)
    images = {image["id"]: image for image in coco["images"]}
    counts: Counter[str] = Counter()
    kept = []
    for annotation in coco["annotations"]:
        image = images[annotation["image_id"]]
        if annotation["category_id"] not in kept_ids:
            counts["masks of other classes"] += 1
        elif sources and not _is_of(annotation.get("source", image.get("source")), sources):
            counts["masks of other sources"] += 1
        elif (min_area_px or min_side_px) and _is_small(
            annotation, image, min_area_px, min_side_px, where
        ):
            counts["masks that are too small"] += 1
        else:
            kept.append(annotation)
    before = Counter(annotation["image_id"] for annotation in coco["annotations"])
    after = Counter(annotation["image_id"] for annotation in kept)
    for image_id in images:
        if not before[image_id]:
            counts["images that had no masks"] += 1
        elif not after[image_id]:
            counts["images without any mask left"] += 1
        elif after[image_id] < min_instances:
            counts[f"images with fewer than {min_instances} masks left"] += 1
            counts["masks on such images"] += after[image_id]
    enough = {image_id for image_id, count in after.items() if count >= min_instances}
    if not enough:
        why = ", ".join(f"{what}: {count:,}" for what, count in counts.items())
        raise FashionError(
            f"{where}: at least one image to keep expected, got none (left out: {why or 'nothing'})"
            ". Ask for less."
        )
    return _part(coco, enough, kept, counts)


def keep_images(coco: dict[str, Any], image_ids: Collection[int], where: str = "coco") -> Subset:
    """Return the part of ``coco`` on the given images.

    Raises:
        FashionError: for the file of a cache.
    """
    refuse_cached(coco, where)
    counts = Counter({"images not drawn": len(coco["images"]) - len(image_ids)})
    return _part(coco, image_ids, coco["annotations"], counts)


def _part(
    coco: dict[str, Any],
    image_ids: Collection[int],
    annotations: Sequence[dict[str, Any]],
    counts: Counter[str],
) -> Subset:
    part = {
        **coco,
        "images": [image for image in coco["images"] if image["id"] in image_ids],
        "annotations": [a for a in annotations if a["image_id"] in image_ids],
    }
    return Subset(part, (len(coco["images"]), len(coco["annotations"])), counts)


def _category_ids(coco: dict[str, Any], classes: Collection[str], where: str) -> set[int]:
    id_of = {category["name"]: category["id"] for category in coco["categories"]}
    unknown = [f"{name!r}.{did_you_mean(name, id_of)}" for name in classes if name not in id_of]
    if unknown:
        raise FashionError(
            f"{where}: categories of this file expected, got {' '.join(unknown)} Names with "
            "commas or blanks stand in quotes."
        )
    return {id_of[name] for name in classes} if classes else set(id_of.values())


def _require_sources(coco: dict[str, Any], sources: Collection[str], where: str) -> None:
    found = {
        part
        for image in coco["images"]
        if isinstance(image.get("source"), str)
        for part in image["source"].split("+")
    }
    unknown = [s for s in sources if not any(_is_of(f, [s]) for f in found)]
    if unknown:
        there_are = ", ".join(sorted(found)) or "none (only merged files have them)"
        raise FashionError(
            f"{where}: sources of this file expected, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], found)} There are: {there_are}."
        )


def _is_of(source: Any, sources: Collection[str]) -> bool:
    parts = source.split("+") if isinstance(source, str) else []
    return any(part == name or part.startswith(f"{name}/") for part in parts for name in sources)


def _is_small(
    annotation: dict[str, Any],
    image: dict[str, Any],
    min_area_px: float,
    min_side_px: float,
    where: str,
) -> bool:
    """Measure the mask itself: the file's own area and box may be of anything."""
    place = f"{where}: annotation {annotation['id']}"
    size_hw = image["height"], image["width"]
    code = rle.to_rle(annotation.get("segmentation"), *size_hw, place)
    return rle.area_px(code) < min_area_px or min(rle.box_xywh(code)[2:]) < min_side_px


def write_subset(
    subset: Subset,
    out_path: str | os.PathLike[str],
    input_path: str | os.PathLike[str],
    *,
    force: bool = False,
) -> None:
    """Write the part to ``out_path``, an annotation a line."""
    refuse_own_input(out_path, input_path)
    refuse_overwrite(out_path, force)
    long = ("images", "annotations")
    head = {key: value for key, value in subset.coco.items() if key not in long}
    with atomic_open(out_path) as stream:
        stream.write(json_text(head, os.fspath(input_path))[:-1])
        for key in long:
            entries = (
                json_text(entry, f"{input_path}: {key}: id {entry['id']}")
                for entry in subset.coco[key]
            )
            stream.write(f',\n"{key}": [\n' + ",\n".join(entries) + "\n]")
        stream.write("}\n")


# --- command line


def at_least(least: float, kind: type) -> Any:
    """Return a type of argparse: a number of ``kind``, at least ``least``."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value < float("inf"):
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{what} of at least {least} expected, got {text!r}")
        return value

    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data filter``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="keep these")
    parser.add_argument(
        "--sources", nargs="+", default=[], metavar="NAME", help="keep these, of a merged file"
    )
    parser.add_argument(
        "--min-area", type=at_least(0, float), default=0, metavar="PX", help="of a mask, in pixels"
    )
    parser.add_argument(
        "--min-side", type=at_least(0, float), default=0, metavar="PX", help="of a mask's box"
    )
    parser.add_argument(
        "--min-instances",
        type=at_least(1, int),
        default=1,
        metavar="N",
        help="leave out photos with fewer masks left (default: 1)",
    )
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Filter as ``args`` say and print what is left out; return the exit code."""
    require_json(args.out)
    sweep(args.out)
    subset = filter_coco(
        read_coco(args.annotations),
        classes=args.classes,
        sources=args.sources,
        min_area_px=args.min_area,
        min_side_px=args.min_side,
        min_instances=args.min_instances,
        where=str(args.annotations),
    )
    write_subset(subset, args.out, args.annotations, force=args.force)
    for line in subset.lines():
        say(line)
    return 0
