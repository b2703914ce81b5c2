"""Draw photos of a COCO file by seed: some at random, or some for each class.

    fashion data sample all.json --count 500 --seed 0 --out small.json
    fashion data sample all.json --per-class 20 --out of-each.json

Photos are ranked by a hash of the seed and their name, so the draw does not depend on the order
of the file, and 100 photos of a seed are among 200 of it. A photo keeps all its instances: so
``--per-class N`` draws at most N photos for each class, the rarest class first and only as many
as it still lacks, and frequent classes come to more by sharing photos with rare ones.
"""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

from datasets_tools.folders import require_json
from datasets_tools.report import say, sweep
from datasets_tools.subset import at_least, keep_images, write_subset
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError


def draw(coco: dict[str, Any], n_images: int, seed: int = 0) -> set[int]:
    """Return the ids of ``n_images`` images.

    Raises:
        FashionError: if there are fewer.
    """
    if n_images > len(coco["images"]):
        raise FashionError(
            f"--count: at most {len(coco['images'])}, as many as there are, expected, got "
            f"{n_images}. Ask for fewer."
        )
    return set(_ranked(coco, seed)[:n_images])


def draw_per_class(coco: dict[str, Any], n_images: int, seed: int = 0) -> set[int]:
    """Return the ids of images such that each class has ``n_images``, or all that it has."""
    images_of: dict[int, set[int]] = {}
    for annotation in coco["annotations"]:
        images_of.setdefault(annotation["category_id"], set()).add(annotation["image_id"])
    rank = {image_id: place for place, image_id in enumerate(_ranked(coco, seed))}
    chosen: set[int] = set()
    for _, image_ids in sorted(images_of.items(), key=lambda item: (len(item[1]), item[0])):
        n_lacking = max(0, n_images - len(image_ids & chosen))
        chosen.update(sorted(image_ids - chosen, key=rank.__getitem__)[:n_lacking])
    return chosen


def _ranked(coco: dict[str, Any], seed: int) -> list[int]:
    def key(image: dict[str, Any]) -> bytes:
        # "sample": by the bare seed, `fashion data split` ranks, and takes the first as test.
        return hashlib.sha256(f"sample:{seed}:{image['file_name']}".encode()).digest()

    return [image["id"] for image in sorted(coco["images"], key=key)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data sample``."""
    parser.add_argument("annotations", metavar="ANN.json", help="the COCO file")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--count", type=at_least(1, int), metavar="N", help="draw N photos")
    how.add_argument(
        "--per-class", type=at_least(1, int), metavar="N", help="draw up to N photos for each class"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--out", required=True, metavar="JSON", help="the COCO file to write")
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Draw as ``args`` say and print the table; return the exit code."""
    require_json(args.out)
    sweep(args.out)
    coco = read_coco(args.annotations)
    if args.count is not None:
        chosen = draw(coco, args.count, args.seed)
    else:
        chosen = draw_per_class(coco, args.per_class, args.seed)
    subset = keep_images(coco, chosen, str(args.annotations))
    write_subset(subset, args.out, args.annotations, force=args.force)
    for line in subset.lines():
        say(line)
    return 0
