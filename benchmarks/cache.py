"""What a training sample costs from the original photos and from the cache.

    python benchmarks/cache.py data/ccp/annotations/all.json --images data/ccp/photos \\
        --out /some/where

Takes photos of a COCO file, evenly spread, and makes three sets of them under ``--out``: the photos
at their own size; the same enlarged to 6 megapixels, masks along; and the enlarged ones with their
masks repeated to 74, the most that a photo of iMaterialist 2019 has. Each set is cached at 1333 x
800 px by ``fashion data cache``'s code, and every sample of it is then loaded twice through the
recipe's own dataset and pipeline, once from the originals and once from the cache, in one process
and in turn, so that what else the machine does meets both. Files are in the page cache: a slow disk
would make the difference larger. Also measured: a mask resized by its runs against decoded,
resized and encoded. Prints tables in Markdown; what is there under ``--out`` is used again.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from datasets_tools.cache.build import make_cache
from datasets_tools.cache.scale import Settings, resize_code, working_size_hw
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.files import inside, write_json

SIZE = (1333, 800)
MEGAPIXELS = 6
MOST_MASKS = 74
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "fashion" / "mask_rcnn_r50.py"


def make_set(coco: dict[str, Any], images: Path, out: Path, enlarge: bool, n_masks: int) -> None:
    """Write ``annotations/train.json`` and ``train/`` of the photos in ``coco`` to ``out``."""
    (out / "train").mkdir(parents=True, exist_ok=True)
    entries, annotations = [], []
    for image in coco["images"]:
        path = inside(images, image["file_name"], "images")
        size_hw = image["height"], image["width"]
        factor = (MEGAPIXELS * 1e6 / (size_hw[0] * size_hw[1])) ** 0.5 if enlarge else 1.0
        new_hw = round(size_hw[0] * factor), round(size_hw[1] * factor)
        name = f"{image['id']}.jpg"
        if enlarge:
            photo = cv2.resize(cv2.imread(str(path)), new_hw[::-1], interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(out / "train" / name), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])
        else:
            (out / "train" / name).write_bytes(path.read_bytes())
        entries.append({**image, "file_name": name, "height": new_hw[0], "width": new_hw[1]})
        own = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        codes = []
        for annotation in own:
            mask = rle.decode(rle.to_rle(annotation["segmentation"], *size_hw, "annotations"))
            mask = cv2.resize(mask, new_hw[::-1], interpolation=cv2.INTER_NEAREST)
            codes.append((rle.encode_mask(mask), annotation["category_id"]))
        for k in range(max(n_masks, len(codes)) if codes else 0):
            code, category_id = codes[k % len(codes)]
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"], "category_id": category_id,
                "segmentation": code, "bbox": rle.box_xywh(code), "area": rle.area_px(code),
                "iscrowd": 0,
            })  # fmt: skip
    made = {"images": entries, "annotations": annotations, "categories": coco["categories"]}
    write_json(out / "annotations" / "train.json", made)  # last: without it the set is made again


def dataset(data_root: Path, cache: str | None) -> Any:
    """Build the recipe's training dataset on ``data_root``, from its cache or its originals."""
    from mmdet.registry import DATASETS
    from mmengine.config import Config

    os.environ.pop("FASHION_CACHE", None)
    if cache:
        os.environ["FASHION_CACHE"] = cache
    given = Config.fromfile(CONFIG).train_dataloader.dataset
    given.data_root = str(data_root)
    return DATASETS.build(given)


def times_ms(one: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of each sample of two datasets of equal length, loaded in turn."""
    spent = np.zeros((2, len(one)))
    for warm in (True, False):
        for k in range(2 if warm else len(one)):
            for which, source in enumerate((one, other)):
                start = time.perf_counter()
                source[k]
                spent[which, k] = (time.perf_counter() - start) * 1e3
    return spent[0], spent[1]


def mask_times_ms(path: Path) -> tuple[float, float]:
    """Return the mean time to shrink a mask by its runs, and by way of its bitmap."""
    coco = read_coco(path)
    size_of = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    by_runs = by_bitmap = 0.0
    for annotation in coco["annotations"]:
        code, size_hw = annotation["segmentation"], size_of[annotation["image_id"]]
        new_hw = working_size_hw(size_hw, SIZE)
        start = time.perf_counter()
        small = resize_code(code, new_hw)
        middle = time.perf_counter()
        bitmap = cv2.resize(rle.decode(code), new_hw[::-1], interpolation=cv2.INTER_NEAREST)
        stock = rle.encode_mask(bitmap)
        end = time.perf_counter()
        assert small == stock
        by_runs, by_bitmap = by_runs + middle - start, by_bitmap + end - middle
    n = len(coco["annotations"])
    return by_runs / n * 1e3, by_bitmap / n * 1e3


def main() -> None:
    """Make the sets, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("annotations", metavar="ANN.json", help="a COCO file of our categories")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of its photos")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the sets are made")
    parser.add_argument("--photos", type=int, default=24, help="how many (default: 24)")
    args = parser.parse_args()

    import mmdet
    from mmdet.utils import register_all_modules

    import fashion_mmdet.register  # noqa: F401

    register_all_modules(init_default_scope=True)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    coco = read_coco(args.annotations)
    step = max(len(coco["images"]) // args.photos, 1)
    coco["images"] = coco["images"][::step][: args.photos]
    rows = []
    sets = {"own size": (False, 0), "6 MP": (True, 0), "6 MP, 74 masks": (True, MOST_MASKS)}
    for title, (enlarge, n_masks) in sets.items():
        folder = Path(args.out) / title.replace(", ", "_").replace(" ", "_")
        if not (folder / "annotations" / "train.json").is_file():
            make_set(coco, Path(args.images), folder, enlarge, n_masks)
        report = make_cache(
            folder / "annotations" / "train.json", folder / "train", folder / "cache",
            Settings(SIZE), workers=os.cpu_count() or 1,
        )  # fmt: skip
        before, after = times_ms(dataset(folder, None), dataset(folder, "cache"))
        rows.append(
            f"| {title} | {len(before)} | {report.n_masks / report.n_photos:.0f} | "
            f"{report.source_bytes / 1e6:.1f} | {report.cached_bytes / 1e6:.1f} | "
            f"{report.seconds:.1f} | {before.mean():.0f} | {after.mean():.0f} | "
            f"{before.mean() / after.mean():.1f} |"
        )
    by_runs, by_bitmap = mask_times_ms(Path(args.out) / "6_MP" / "annotations" / "train.json")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}, mmdet {mmdet.__version__}; {args.photos} "
        f"photos; cache of {Settings(SIZE)}\n\n"
        "| photos | samples | masks each | originals, MB | cache, MB | making it, s | "
        "sample from originals, ms | from the cache, ms | times faster |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    print(
        f"\na mask of {MEGAPIXELS} MP resized: {by_runs:.2f} ms by its runs, {by_bitmap:.2f} ms by "
        f"way of its bitmap, {by_bitmap / by_runs:.0f} times faster"
    )


if __name__ == "__main__":
    main()
