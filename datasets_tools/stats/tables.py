"""The tables behind ``fashion data stats``: one row an instance, then counted by category *id*.

Every table is indexed by all category ids of the file, and a name is looked up by its id at the
very end, so a category without instances is a row of zeros and moves no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.ontology import CLASSES

#: Height to width of the anchors of every Mask R-CNN of mmdet, and anchor size to stride.
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
ANCHOR_TO_STRIDE = 8
#: A box whose best anchor overlaps it less than this is learnt from a poor start.
POOR_IOU = 0.5
#: COCO's limits of area in pixels: below the first is small, below the second medium.
COCO_SIZES_PX = (32**2, 96**2)
_PAD_PX = 32  # mmdet pads a batch to multiples of this
_HEAD_SHARE = 0.8


@dataclass(frozen=True)
class Measured:
    """One annotation file, measured.

    Attributes:
        categories: index category id; columns ``name``, ``supercategory``.
        images: index image id; columns ``file_name``, ``height_px``, ``width_px``.
        instances: a row an instance: ``image_id``, ``category_id``, ``area_px`` (of the mask),
            ``x_px``, ``y_px``, ``w_px``, ``h_px`` (the box of the mask).
        left_out: why -> annotations that are in no table.
    """

    categories: pd.DataFrame
    images: pd.DataFrame
    instances: pd.DataFrame
    left_out: Counter[str] = field(default_factory=Counter)


def measure(coco: Mapping[str, Any], where: str, progress: bool = False) -> Measured:
    """Measure every mask of a COCO dictionary.

    Areas and boxes are those of the masks; what the file states is not used, since many exports
    give the area of the box. Crowd regions are no instances.

    Args:
        coco: as :func:`fashion_mmdet.core.coco.read_coco` returns it.
        where: the file, for messages.
        progress: show a progress bar where stderr is a terminal.

    Raises:
        AnnotationError: for a file without a usable mask.
        OntologyError: for a category name given twice.
    """
    map_categories(coco["categories"], CLASSES, where)
    size_of = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    left_out: Counter[str] = Counter()
    rows = []
    for entry in tqdm(coco["annotations"], unit="mask", disable=None if progress else True):
        if entry.get("iscrowd"):
            left_out["crowd regions"] += 1
            continue
        size_hw = size_of[entry["image_id"]]
        mask, _ = rle.usable(entry.get("segmentation"), *size_hw, where)
        # What is usable of a code is a code already.
        code = rle.to_rle(mask, *size_hw, where) if isinstance(mask, list) else mask
        area_px = rle.area_px(code) if code else 0
        if code is None or not area_px:
            left_out["annotations without a usable mask"] += 1
            continue
        rows.append((entry["image_id"], entry["category_id"], area_px, *rle.box_xywh(code)))
    if not rows:
        raise AnnotationError(
            f"{where}: at least one instance with a mask expected, got none. Look at it with "
            "`fashion data check`."
        )
    columns = ["image_id", "category_id", "area_px", "x_px", "y_px", "w_px", "h_px"]
    return Measured(
        categories=_indexed(coco["categories"], ("name", "supercategory"), ""),
        images=_indexed(coco["images"], ("file_name", "height", "width"), 0).rename(
            columns={"height": "height_px", "width": "width_px"}
        ),
        instances=pd.DataFrame(rows, columns=columns),
        left_out=left_out,
    )


def _indexed(entries: Sequence[Mapping[str, Any]], keys: Sequence[str], default: Any):
    ids = pd.Index([entry["id"] for entry in entries])
    rows = [[entry.get(key, default) for key in keys] for entry in entries]
    return pd.DataFrame(rows, columns=list(keys), index=ids)


def best_anchor_iou(
    measured: Measured, anchors_px: Sequence[float], size: tuple[float, float]
) -> pd.DataFrame:
    """Return, for each instance, its box at training size and the best IoU of any anchor with it.

    The anchors are those of mmdet's ``AnchorGenerator`` in a Mask R-CNN: three shapes
    (:data:`ANCHOR_RATIOS`) of every size, on a grid of size / 8 pixels from the top left corner.
    Of the anchors of one shape the one with the nearest centre overlaps most, so no other is
    compared.

    Args:
        measured: the file.
        anchors_px: anchor sizes (square roots of their areas) in pixels of the resized photo.
        size: long and short side that photos are resized to fit, ratio kept.

    Returns:
        Columns ``scale``, ``side_px`` (square root of the box's area after resizing) and
        ``iou``, in the order of ``measured.instances``.
    """
    rows = measured.instances.join(measured.images[["height_px", "width_px"]], on="image_id")
    size_hw = rows[["height_px", "width_px"]].to_numpy(float)
    scale = np.minimum(max(size) / size_hw.max(1), min(size) / size_hw.min(1))
    pad_hw = np.ceil(np.rint(size_hw * scale[:, None]) / _PAD_PX) * _PAD_PX
    box_wh = rows[["w_px", "h_px"]].to_numpy() * scale[:, None]
    centre_xy = rows[["x_px", "y_px"]].to_numpy() * scale[:, None] + box_wh / 2
    best = np.zeros(len(rows))
    for side_px in anchors_px:
        stride_px = side_px / ANCHOR_TO_STRIDE
        last = np.ceil(pad_hw[:, ::-1] / stride_px) - 1
        nearest = np.minimum(np.rint(centre_xy / stride_px), last) * stride_px
        off_xy = np.abs(centre_xy - nearest)
        for ratio in ANCHOR_RATIOS:
            anchor_wh = side_px * np.array([ratio**-0.5, ratio**0.5])
            reach = np.minimum(box_wh, anchor_wh + 2 * off_xy)
            overlap_wh = (reach + np.minimum(box_wh, anchor_wh - 2 * off_xy)) / 2
            overlap = overlap_wh.clip(min=0).prod(1)
            union = box_wh.prod(1) + anchor_wh.prod() - overlap
            best = np.maximum(best, overlap / union)
    return pd.DataFrame({"scale": scale, "side_px": np.sqrt(box_wh.prod(1)), "iou": best})


def class_table(measured: Measured, iou: Sequence[float]) -> pd.DataFrame:
    """Return a row for every category of the file, in its order, with or without instances.

    Columns: ``name``, ``supercategory``, ``images``, ``instances``, ``share`` (of all instances),
    ``per_image`` (instances in a photo that has any), ``area_px`` and ``photo_share`` (medians),
    ``small``, ``medium``, ``large`` (instances by COCO's limits) and ``poor_anchors`` (share of
    boxes whose best anchor overlaps less than :data:`POOR_IOU`).
    """
    rows = with_photo_share(measured).assign(poor=np.asarray(iou) < POOR_IOU)
    low, high = COCO_SIZES_PX
    rows["small"] = rows.area_px < low
    rows["medium"] = (rows.area_px >= low) & (rows.area_px < high)
    rows["large"] = rows.area_px >= high
    of = rows.groupby("category_id")
    table = pd.DataFrame(
        {
            "images": of.image_id.nunique(),
            "instances": of.size(),
            "share": of.size() / len(rows),
            "per_image": of.size() / of.image_id.nunique(),
            "area_px": of.area_px.median(),
            "photo_share": of.photo_share.median(),
            **{size: of[size].sum() for size in ("small", "medium", "large")},
            "poor_anchors": of.poor.mean(),
        }
    )
    counts = ["images", "instances", "share", "small", "medium", "large"]
    table = table.reindex(measured.categories.index)
    table[counts] = table[counts].fillna(0)
    whole = [name for name in counts if name != "share"]
    return measured.categories.join(table.astype({name: int for name in whole}))


def with_photo_share(measured: Measured) -> pd.DataFrame:
    """Return the instances with ``photo_share``: the part of the photo that the mask covers."""
    sizes = measured.images.height_px * measured.images.width_px
    rows = measured.instances
    return rows.assign(photo_share=rows.area_px / rows.image_id.map(sizes))


def per_image(measured: Measured) -> pd.Series:
    """Return how many instances each image has, 0 for one without; index image id."""
    counts = measured.instances.groupby("image_id").size()
    return counts.reindex(measured.images.index, fill_value=0)


def cooccurrence(measured: Measured) -> pd.DataFrame:
    """Return in how many images two categories meet; the diagonal: in how many there is one.

    Rows and columns are all category ids of the file, in its order.
    """
    rows = measured.instances
    present = pd.crosstab(rows.image_id, rows.category_id).clip(upper=1)
    present = present.reindex(columns=measured.categories.index, fill_value=0)
    return present.T @ present


def long_tail(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the classes that have instances, most frequent first, and how many hold 80 %."""
    tail = table[table.instances > 0].sort_values("instances", ascending=False, kind="stable")
    cumulated = tail.instances.cumsum() / tail.instances.sum()
    return tail.assign(cumulated=cumulated), int((cumulated < _HEAD_SHARE).sum()) + 1


def split_table(
    measured: Measured, splits: Mapping[str, Measured]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return images and instances per category of ``measured`` (rows) and split (columns).

    Categories of the splits are matched by name, whatever their ids there.

    Raises:
        AnnotationError: for a split that has a category which ``measured`` lacks.
    """
    names = measured.categories.name
    images: dict[str, pd.Series] = {}
    instances: dict[str, pd.Series] = {}
    for split, part in splits.items():
        unknown = sorted(set(part.categories.name) - set(names))
        if unknown:
            raise AnnotationError(
                f"{split}: the categories of the whole set expected, got {unknown[0]!r} too. "
                "Are these parts of one set?"
            )
        name = part.instances.category_id.map(part.categories.name)
        by_name = part.instances.groupby(name)
        for out, counts in ((images, by_name.image_id.nunique()), (instances, by_name.size())):
            out[split] = names.map(counts).fillna(0).astype(int)
    return pd.DataFrame(images), pd.DataFrame(instances)
