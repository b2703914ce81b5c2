"""What ``fashion predict`` writes of its predictions: pictures, cut-outs and tables."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import atomic_open, atomic_open_many, inside
from fashion_mmdet.core.ontology import CLASSES, coco_categories
from fashion_mmdet.core.prediction import Prediction
from fashion_mmdet.core.rle import measure

from .ledger import Entry

RESULTS, IMAGES, INSTANCES = "results.json", "images.json", "instances.csv"
PICTURES, CUTOUTS = "pictures", "cutouts"
_CUTOUT = re.compile(r"[0-9]{2,}_[^/]*\.png")
_COLUMNS = (
    "photo", "instance", "class", "score", "x_px", "y_px", "width_px", "height_px", "area_px",
    "photo_width_px", "photo_height_px",
)  # fmt: skip

Palette = Sequence[tuple[int, int, int]]


def picture_path(out_dir: Path, name: str) -> Path:
    """Return where the picture of a photo lies."""
    return inside(out_dir / PICTURES, f"{name}.jpg", "--out")


def write_picture(
    path: Path, image_bgr: np.ndarray, prediction: Prediction, palette: Palette
) -> None:
    """Write the photo with masks, boxes and names on it, as JPEG."""
    write_jpeg(path, drawn(image_bgr, prediction, palette))


def drawn(image_bgr: np.ndarray, prediction: Prediction, palette: Palette) -> np.ndarray:
    """Return the picture, (H, W, 3) uint8, BGR."""
    from fashion_mmdet.visualization.drawing import draw_prediction  # imports torch

    return draw_prediction(image_bgr[..., ::-1], prediction, palette=palette)[..., ::-1]


def write_jpeg(path: Path, image_bgr: np.ndarray) -> None:
    """Write a picture atomically."""
    is_done, content = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not is_done:
        raise FashionError(f"{path}: a picture that JPEG can hold expected, got {image_bgr.shape}.")
    with atomic_open(path, "wb") as stream:
        stream.write(content.tobytes())


def cutouts_path(out_dir: Path, name: str) -> Path:
    """Return the folder of a photo's cut-outs."""
    return inside(out_dir / CUTOUTS, name, "--out")


def write_cutouts_of(
    out_dir: Path, name: str, image_bgr: np.ndarray, prediction: Prediction
) -> None:
    """Write each garment alone, as PNG with alpha; those of an earlier run go."""
    from fashion_mmdet.visualization.cutouts import write_cutouts  # imports torch

    folder = cutouts_path(out_dir, name)
    remove_cutouts(folder)
    write_cutouts(folder.parent, folder.name, image_bgr[..., ::-1], prediction)


def n_with_pixels(prediction: Prediction | None) -> int:
    """Return how many instances have a pixel: so many cut-outs there are."""
    if prediction is None or not len(prediction):
        return 0
    return int((coco_mask.area([dict(rle) for rle in prediction.rles]) > 0).sum())


def n_cutouts(out_dir: Path, name: str) -> int:
    """Return how many cut-outs of a photo there are."""
    folder = cutouts_path(out_dir, name)
    return sum(bool(_CUTOUT.fullmatch(p.name)) for p in folder.iterdir()) if folder.is_dir() else 0


def remove_outputs(out_dir: Path, names: Iterable[str]) -> None:
    """Remove pictures and cut-outs of an earlier run, by the names in its ledger, no others."""
    for name in names:
        with contextlib.suppress(FashionError, OSError):  # a name that no photo of ours has
            for suffix in (".jpg", ".webm"):
                picture_path(out_dir, name).with_suffix(suffix).unlink(missing_ok=True)
            remove_cutouts(cutouts_path(out_dir, name))


def remove_cutouts(folder: Path) -> None:
    """Remove a photo's cut-outs, and the folder where nothing else is in it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if _CUTOUT.fullmatch(path.name) and path.is_file():
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


@dataclass(frozen=True)
class Ids:
    """Numbers of a COCO file that results are to speak of.

    Attributes:
        where: the file.
        image_of: file name -> image id, height and width in px.
        category_of: class name -> category id.
    """

    where: str
    image_of: Mapping[str, tuple[int, int, int]]
    category_of: Mapping[str, int]


def read_ids(path: str | os.PathLike[str], classes: Sequence[str]) -> Ids:
    """Read image and category ids of a COCO file, by file names and class names.

    Raises:
        AnnotationError: where a class of the model has no category of its name.
    """
    coco = read_coco(path)
    category_of = {category["name"]: category["id"] for category in coco["categories"]}
    absent = [name for name in classes if name not in category_of]
    if len(absent) == len(classes):
        raise AnnotationError(
            f"{path}: categories named as the model's classes expected, got none of them. Is it "
            "the file that the model was trained for?"
        )
    image_of = {i["file_name"]: (i["id"], i["height"], i["width"]) for i in coco["images"]}
    return Ids(str(path), image_of, category_of)


def write_results(
    out_dir: Path, entries: Iterable[Entry], classes: Sequence[str], ids: Ids | None
) -> Counter[str]:
    """Write ``results.json`` (COCO's format of results) and ``images.json``, what its ids mean.

    Without ``ids`` photos are numbered from 1 and categories are the ontology's, or for other
    classes numbered from 1.

    Returns:
        What was left out, by reason.
    """
    left_out: Counter[str] = Counter()
    categories = _categories(classes) if ids is None else [
        {"id": number, "name": name} for name, number in ids.category_of.items()
    ]  # fmt: skip
    category_of = {category["name"]: category["id"] for category in categories}
    images: list[dict[str, Any]] = []
    with atomic_open_many([out_dir / RESULTS, out_dir / IMAGES]) as (results, table):
        results.write("[")
        separator = "\n"
        for number, entry in enumerate(entries, start=1):
            found = entry.prediction
            if found is None:
                continue
            image_id = number
            height_px, width_px = found.size_hw
            if ids is not None:
                image_id, *size_hw = ids.image_of.get(entry.file_name, (0, 0, 0))
                if size_hw == [0, 0]:
                    left_out[f"photos that {ids.where} does not name"] += 1
                    continue
                if size_hw != [height_px, width_px]:
                    left_out[f"photos of another size than in {ids.where}"] += 1
                    continue
            images.append(
                {
                    "id": image_id,
                    "file_name": entry.file_name,
                    "height": height_px,
                    "width": width_px,
                }  # fmt: skip
            )
            for n, name in enumerate(found.names):
                if name not in category_of:
                    left_out[f"instances of classes that have no category: {name}"] += 1
                    continue
                x0, y0, x1, y1 = found.boxes_xyxy[n].tolist()
                result = {
                    "image_id": image_id,
                    "category_id": category_of[name],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(found.scores[n]),
                    "segmentation": dict(found.rles[n]),
                }
                results.write(
                    separator + json.dumps(result, separators=(",", ":"), allow_nan=False)
                )
                separator = ",\n"
        results.write("\n]\n")
        coco = {"images": images, "annotations": [], "categories": categories}
        text = json.dumps(coco, ensure_ascii=False)
        table.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    return left_out


def _categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    if set(classes) <= set(CLASSES):
        return coco_categories(classes)
    return [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]


def write_instances(out_dir: Path, entries: Iterable[Entry]) -> int:
    """Write ``instances.csv``, one row for each instance; return how many rows there are."""
    n_rows = 0
    with atomic_open(out_dir / INSTANCES) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for entry in entries:
            found = entry.prediction
            if found is None:
                continue
            height_px, width_px = found.size_hw
            photo = entry.file_name.encode("utf-8", "backslashreplace").decode("utf-8")
            for n, name in enumerate(found.names):
                area_px, (x, y, width, height) = measure(dict(found.rles[n]))
                place = (round(x), round(y), round(width), round(height))
                score = f"{found.scores[n]:.4f}"
                writer.writerow((photo, n + 1, name, score, *place, area_px, width_px, height_px))
                n_rows += 1
    return n_rows
