"""What ``--fix`` does about each kind of finding: the catalogue's promises, kept."""

from __future__ import annotations

import bisect
import os

from fashion_mmdet.core import rle

from .annotations import attribute_ids, image_faults, intended, unknown_attributes
from .masks import NOT_DRAWN
from .other_values import other_not_finite
from .polygons import clip, faults_of
from .repair import Remedy, Repair
from .values import not_finite


def _drop(repair: Repair, kind: str, key: str, index: int) -> None:
    repair.drop(kind, key, index)


def _category_id_twice(repair: Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    first = repair.first_category(repair.categories_of_id.get(entry["id"], []), "id", entry["id"])
    if first is None or first == index:
        return
    if repair.data[key][first]["name"] == entry["name"]:
        repair.drop(kind, key, index)
        return
    for at in repair.annotations_of_category.pop(entry["id"], []):
        repair.drop(kind, "annotations", at)
    repair.put(kind, key, index, "id", repair.free_id(key), "a new id")


def _category_name_twice(repair: Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    if not repair.stays(key, index):
        return
    alike = repair.categories_of_name.get(entry["name"], [])
    first = repair.first_category(alike, "name", entry["name"])
    if first is None or first == index:
        return
    first_id, change = repair.data[key][first]["id"], "the first id of the name"
    moved = repair.annotations_of_category.pop(entry["id"], [])
    for at in moved:
        repair.put(kind, "annotations", at, "category_id", first_id, change)
    repair.annotations_of_category.setdefault(first_id, []).extend(moved)
    repair.drop(kind, key, index)


def _category_misspelt(repair: Repair, kind: str, key: str, index: int) -> None:
    name = intended(repair.data[key][index]["name"])
    if name is not None:
        repair.put(kind, key, index, "name", name, "the name of the class")
        bisect.insort(repair.categories_of_name.setdefault(name, []), index)


def _image_id_twice(repair: Repair, kind: str, key: str, index: int) -> None:
    """Keep one entry of one photo; where there are two photos, nobody knows whose masks these are.

    Entries without a size are gone by now, but one that names another photo still counts.
    """
    same = repair.images_of_id.pop(repair.data[key][index]["id"], [])  # settled once for all
    entries = [repair.data[key][at] for at in same]
    named = [e for e in entries if "file_name" not in image_faults(e)]
    names = {os.path.normpath(e["file_name"]) for e in named}
    sizes = {(e["height"], e["width"]) for e in entries if not image_faults(e)}
    left = [at for at in same if repair.stays(key, at)]
    for at in left if len(names) > 1 or len(sizes) > 1 else left[1:]:
        repair.drop(kind, key, at)


def _file_name_twice(repair: Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    name = os.path.normpath(entry["file_name"])
    same = repair.images_of_name[name]
    while same and not repair.stays(key, same[0]):
        same.pop(0)
    if not repair.stays(key, index) or same[0] == index:
        return
    first = repair.data[key][same[0]]
    if all(first[side] == entry[side] for side in ("height", "width")):
        moved = repair.annotations_of.pop(entry["id"], [])
        for at in moved:
            if repair.stays("annotations", at):
                change = "the first image of the photo"
                repair.put(kind, "annotations", at, "image_id", first["id"], change)
        repair.annotations_of.setdefault(first["id"], []).extend(moved)
    repair.drop(kind, key, index)


def _photo_under_another_name(repair: Repair, kind: str, key: str, index: int) -> None:
    name = repair.found_name_of[index]
    repair.put(kind, key, index, "file_name", name, "the name of the photo")
    bisect.insort(repair.images_of_name.setdefault(os.path.normpath(name), []), index)


def _iscrowd(repair: Repair, kind: str, key: str, index: int) -> None:
    repair.put(kind, key, index, "iscrowd", 0, "an instance")


def _annotation_id_twice(repair: Repair, kind: str, key: str, index: int) -> None:
    repair.put(kind, key, index, "id", repair.free_id(key), "a new id")


def _attribute_unknown(repair: Repair, kind: str, key: str, index: int) -> None:
    given = repair.data[key][index]["attribute_ids"]
    bad = unknown_attributes(given, attribute_ids(repair.data) or set())
    kept = [value for value in given if value not in bad] if isinstance(given, list) else []
    repair.put(kind, key, index, "attribute_ids", kept, "unknown ids removed")


def _polygons(repair: Repair, kind: str, key: str, index: int) -> None:
    """Keep the polygons that can be drawn, each within the frame; without any, drop."""
    entry = repair.data[key][index]
    image = repair.image_of[entry["image_id"]]
    size_hw = image["height"], image["width"]
    kept = []
    for polygon in entry["segmentation"] if isinstance(entry["segmentation"], list) else ():
        kinds = {kind for kind, _ in faults_of(polygon, *size_hw)}
        if not kinds & NOT_DRAWN:
            kept.append(clip(polygon, *size_hw) if "polygon out of frame" in kinds else polygon)
    if kept:
        repair.put(kind, key, index, "segmentation", kept, "polygons mended or removed")
    else:
        repair.drop(kind, key, index)


def _box(repair: Repair, kind: str, key: str, index: int) -> None:
    code = repair.mask_of(index)
    if code is None:
        repair.drop(kind, key, index)
    else:
        repair.put(kind, key, index, "bbox", rle.box_xywh(code), "the mask's box")


def _area(repair: Repair, kind: str, key: str, index: int) -> None:
    code = repair.mask_of(index)
    if code is None:
        repair.drop(kind, key, index)
    else:
        repair.put(kind, key, index, "area", rle.area_px(code), "the mask's area")


def _not_finite(repair: Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    if key == "images" or isinstance(entry.get("segmentation"), dict):
        bad_mask = key == "images" or repair.mask_of(index) is None
        if bad_mask:
            repair.drop(kind, key, index)
            return
    elif not_finite(entry.get("segmentation")):
        _polygons(repair, kind, key, index)
    if not_finite(entry.get("bbox")):
        _box(repair, kind, key, index)
    if not_finite(entry.get("area")):
        _area(repair, kind, key, index)


def _other_not_finite(repair: Repair, kind: str, key: str, index: int) -> None:
    for name in other_not_finite(key, repair.data[key][index]):
        repair.put(kind, key, index, name, None, "null")


#: kind -> what mends it.
REMEDIES: dict[str, Remedy] = {
    **dict.fromkeys(
        (
            "malformed entry", "file name leaves the folder", "annotation of unknown image",
            "annotation of unknown category", "no segmentation", "mask of another size",
            "mask empty", "mask twice", "photo missing", "photo unreadable", "photo truncated",
            "photo of another size", "photo turned by EXIF",
        ),
        _drop,
    ),
    **dict.fromkeys(
        (
            "segmentation malformed", "polygon of too few points", "polygon degenerate",
            "polygon out of frame", "polygon outside",
        ),
        _polygons,
    ),
    **dict.fromkeys(
        (
            "box missing", "box malformed", "box without area", "box outside", "box out of frame",
            "box is not the mask's",
        ),
        _box,
    ),
    **dict.fromkeys(
        ("area missing", "area malformed", "area 0", "area is the box's", "area is not the mask's"),
        _area,
    ),
    "number not finite": _not_finite,
    "other value not finite": _other_not_finite,
    "category id twice": _category_id_twice,
    "category name twice": _category_name_twice,
    "category misspelt": _category_misspelt,
    "image id twice": _image_id_twice,
    "file name twice": _file_name_twice,
    "annotation id twice": _annotation_id_twice,
    "attribute unknown": _attribute_unknown,
    "iscrowd malformed": _iscrowd,
    "photo under another name": _photo_under_another_name,
}  # fmt: skip
