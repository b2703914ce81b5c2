"""All numbers of ``fashion data stats`` together: for the plots, the page and ``stats.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from datasets_tools.report import first_of
from datasets_tools.stats import tables


def compute(
    measured: tables.Measured,
    splits: Mapping[str, tables.Measured],
    anchors_px: Sequence[float],
    size: tuple[float, float],
) -> dict[str, Any]:
    """Return all tables of a file and its splits, for plots, page and ``stats.json``."""
    fit = tables.best_anchor_iou(measured, anchors_px, size)
    found: dict[str, Any] = {
        "fit": fit,
        "classes": tables.class_table(measured, fit.iou),
        "per_image": tables.per_image(measured),
        "pairs": tables.cooccurrence(measured),
        "anchors_px": list(anchors_px),
        "size": list(size),
    }
    if splits:
        found["split_images"], found["split_instances"] = tables.split_table(measured, splits)
        found["n_images"] = {split: len(part.images) for split, part in splits.items()}
    return found


def notes(measured: tables.Measured, splits: Mapping[str, tables.Measured]) -> Iterator[str]:
    """Yield what was left out, and what should not be so."""
    for what, count in measured.left_out.items():
        yield f"{what} that are in no table: {count:,}"
    empty = int((tables.per_image(measured) == 0).sum())
    if empty:
        yield f"photos without any instance: {empty:,}"
    known = set(measured.images.file_name)
    home: dict[str, str] = {}
    for split, part in splits.items():
        names = set(part.images.file_name)
        shared = sorted(name for name in names if name in home)
        if shared:
            yield f"photos of {split} that are in {home[shared[0]]} too: {first_of(shared, 1)}"
        if names - known:
            yield f"photos of {split} that are not in the whole set: {len(names - known):,}"
        home |= dict.fromkeys(names, split)
        for what, count in part.left_out.items():
            yield f"{split}: {what} that are in no table: {count:,}"


def as_json(measured: tables.Measured, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers as plain JSON; categories carry their own id and name everywhere."""
    tail, n_head = tables.long_tail(found["classes"])
    names = measured.categories.name
    ids = found["pairs"].index
    above = [(a, b, int(found["pairs"].at[a, b])) for n, a in enumerate(ids) for b in ids[n + 1 :]]
    meet = sorted((pair for pair in above if pair[2]), key=lambda pair: -pair[2])
    out = {
        "images": len(measured.images),
        "instances": len(measured.instances),
        "left_out": dict(measured.left_out),
        # pandas writes NaN (a class without instances has no median) as null
        "classes": _records(found["classes"]),
        "instances_per_image": found["per_image"].describe().round(3).to_dict(),
        "long_tail": {
            "classes_with_instances": len(tail),
            "classes_holding_80_percent": [
                {"id": int(i), "name": names[i]} for i in tail.index[:n_head]
            ],
        },
        "anchors": {
            "sizes_px": found["anchors_px"],
            "ratios": list(tables.ANCHOR_RATIOS),
            "photo_size": found["size"],
            "iou_below": tables.POOR_IOU,
            "share_below": float((found["fit"].iou < tables.POOR_IOU).mean()),
            "median_iou": float(found["fit"].iou.median()),
        },
        "cooccurrence": [
            {"ids": [int(a), int(b)], "names": [names[a], names[b]], "images": count}
            for a, b, count in meet
        ],
    }
    if "n_images" in found:
        out["splits"] = {
            split: {
                "images": count,
                "classes": [
                    {
                        "id": int(i),
                        "name": names[i],
                        "images": int(found["split_images"].at[i, split]),
                        "instances": int(found["split_instances"].at[i, split]),
                    }
                    for i in names.index
                ],
            }
            for split, count in found["n_images"].items()
        }
    return out


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.rename_axis("id").reset_index().to_json(orient="records"))
