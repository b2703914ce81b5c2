"""``--fix``: a repaired copy of a COCO file, and a log of every change.

The catalogue says what is done about each kind. What cannot be mended without guessing is
removed; nothing is moved, relabelled or redrawn beyond what the catalogue states. Repair goes in
rounds, for one fault may hide another (a clipped polygon may be empty), until a round finds
nothing that it can mend.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError, FashionError

from .annotations import (
    Survey,
    attribute_ids,
    image_faults,
    intended,
    is_id,
    not_finite,
    short,
    survey_data,
    unknown_attributes,
)
from .catalogue import CATALOGUE
from .findings import Finding, Findings
from .masks import NOT_DRAWN, check_masks, read_mask
from .polygons import clip, faults_of

_MOST_ROUNDS = 6
_LISTS = ("categories", "images", "annotations")
# What is no whole entry goes first, and ids are settled before names: an annotation must not
# move to an image or a category that the same round then removes.
_FIRST = ("malformed entry", "number not finite")
_LAST = ("category name twice", "file name twice")
# The encoder of JSON calls itself for each level.
_MOST_NESTED = 20


@dataclass(frozen=True)
class Fixed:
    """A repaired file.

    Attributes:
        data: the content.
        changes: ``{"list", "index", "id", "kind", "change", "before", "after"}`` each; ``index``
            is the position in the input.
        left: what a check of the repaired content still finds.
    """

    data: dict[str, Any]
    changes: list[dict[str, Any]]
    left: Findings


def fix(
    data: dict[str, Any], findings: Iterable[Finding], name: str, scale: tuple[int, int]
) -> Fixed:
    """Repair a file's content; ``data`` itself stays as it is.

    Args:
        data: the content.
        findings: of :func:`.annotations.survey_data` and the checks of masks and photos.
        name: the file's name, for messages.
        scale: as for the check.

    Raises:
        AnnotationError: if errors are left, which only a fault of this module can cause.
    """
    repair = _Repair(data)
    for _ in range(_MOST_ROUNDS):
        repair.apply(findings)
        survey = survey_data(repair.data, name)
        check_masks(survey, scale)
        findings = survey.findings
        if not any(is_mended(finding) for finding in findings):
            break
    errors = [finding for finding in survey.findings if finding.severity == "error"]
    if errors:
        raise AnnotationError(
            f"{name}: a file without errors expected after the repair, got {len(errors)}, e.g. "
            f"{errors[0].where}: {errors[0].message} Please report this."
        )
    return Fixed(repair.data, repair.changes, survey.findings)


def refuse_wrong_folder(survey: Survey) -> None:
    """Refuse to remove most of a file because its photos were sought in another folder.

    Raises:
        FashionError: if more than half of the photos are missing.
    """
    n_missing, n_images = survey.findings.counts()["photo missing"], len(survey.images)
    if 2 * n_missing > n_images:
        raise FashionError(
            f"--fix: at least half of the photos expected, got {n_missing:,} of {n_images:,} "
            "missing, which would be removed. Is --images right? Without --images the photos "
            "are not looked at."
        )


def is_mended(finding: Finding) -> bool:
    """Return whether ``--fix`` does something about a finding."""
    return bool(CATALOGUE[finding.kind].fix)


@dataclass
class _Repair:
    """The copy under repair."""

    source: dict[str, Any]
    changes: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = dict(self.source)
        for key in _LISTS:
            self.data[key] = [
                dict(entry) if isinstance(entry, dict) else entry for entry in self.source[key]
            ]
        # Positions in the input of what is still there.
        self._origin = {key: list(range(len(self.data[key]))) for key in _LISTS}

    def apply(self, findings: Iterable[Finding]) -> None:
        """Do what the catalogue says about each finding that it can mend."""
        self._gone: dict[str, dict[int, str]] = {key: {} for key in _LISTS}
        self._free_ids = {key: self._unused_ids(key) for key in _LISTS}
        self._look_up()
        for finding in sorted(findings, key=_turn):
            if is_mended(finding) and finding.entry is not None:
                ACTIONS[finding.kind](self, finding.kind, *finding.entry)
        self._take_along()
        for key, gone in self._gone.items():
            for index, kind in sorted(gone.items()):
                self._note(kind, key, index, "removed", self.data[key][index], None)
            kept = [index for index in range(len(self.data[key])) if index not in gone]
            self.data[key] = [self.data[key][index] for index in kept]
            self._origin[key] = [self._origin[key][index] for index in kept]

    def _look_up(self) -> None:
        """Note where images and their annotations are, so that no finding searches the lists."""
        self.image_of: dict[int, dict[str, Any]] = {}
        self.images_of_id: dict[int, list[int]] = {}
        self.images_of_name: dict[str, list[int]] = {}
        self.annotations_of: dict[int, list[int]] = {}
        for index, entry in self.entries("images"):
            if is_id(entry.get("id")):
                self.images_of_id.setdefault(entry["id"], []).append(index)
            if not image_faults(entry):
                self.image_of.setdefault(entry["id"], entry)
                name = os.path.normpath(entry["file_name"])
                self.images_of_name.setdefault(name, []).append(index)
        for index, entry in self.entries("annotations"):
            if is_id(entry.get("image_id")):
                self.annotations_of.setdefault(entry["image_id"], []).append(index)

    def stays(self, key: str, index: int) -> bool:
        """Return whether nothing has removed an entry in this round yet."""
        return index not in self._gone[key]

    def entries(self, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield position and entry of all objects of a list."""
        for index, entry in enumerate(self.data[key]):
            if isinstance(entry, dict):
                yield index, entry

    def drop(self, kind: str, key: str, index: int) -> None:
        """Remove an entry at the end of the round; an image takes its annotations with it."""
        self._gone[key].setdefault(index, kind)

    def put(self, kind: str, key: str, index: int, name: str, value: Any, change: str) -> None:
        """Set one key of an entry that stays."""
        entry = self.data[key][index]
        if self.stays(key, index) and (name not in entry or entry[name] != value):
            self._note(kind, key, index, change, entry.get(name), value)
            entry[name] = value

    def free_id(self, key: str) -> int:
        """Return an id that no entry of the list has."""
        return next(self._free_ids[key])

    def _unused_ids(self, key: str) -> Iterator[int]:
        taken = {entry["id"] for _, entry in self.entries(key) if is_id(entry.get("id"))}
        above = range(max(taken, default=0) + 1, 2**63)
        yield from (n for n in itertools.chain(above, range(1, 2**63)) if n not in taken)

    def mask_of(self, index: int) -> dict[str, Any] | None:
        """Return the code of an annotation's mask; None where it has no pixel."""
        entry = self.data["annotations"][index]
        image = self.image_of[entry["image_id"]]
        code, _ = read_mask(entry.get("segmentation"), image["height"], image["width"])
        return code if code is not None and rle.area_px(code) else None

    def _take_along(self) -> None:
        """Remove the annotations of images that go, unless another image of that id stays."""
        gone = self._gone["images"]
        kind_of: dict[int, str] = {}
        staying = set()
        for index, entry in self.entries("images"):
            if index not in gone:
                staying.add(entry.get("id") if is_id(entry.get("id")) else None)
            elif is_id(entry.get("id")):
                kind_of[entry["id"]] = gone[index]
        for index, entry in self.entries("annotations") if kind_of else ():
            image_id = entry.get("image_id")
            if is_id(image_id) and image_id in kind_of and image_id not in staying:
                self.drop(kind_of[image_id], "annotations", index)

    def _note(
        self, kind: str, key: str, index: int, change: str, before: Any, after: Any
    ) -> None:
        entry = self.data[key][index]
        self.changes.append({
            "list": key,
            "index": self._origin[key][index],
            "id": _loggable(entry.get("id")) if isinstance(entry, dict) else None,
            "kind": kind,
            "change": change,
            "before": _loggable(before),
            "after": after,
        })


def _turn(finding: Finding) -> int:
    return (finding.kind in _LAST) - (finding.kind in _FIRST)


def _loggable(value: Any) -> Any:
    """Return ``value``, or a short text where it nests too deep to be written as JSON."""
    level = [value]
    for _ in range(_MOST_NESTED):
        parts = [v.values() if isinstance(v, dict) else v for v in level
                 if isinstance(v, (dict, list))]  # fmt: skip
        level = [v for part in parts for v in part if isinstance(v, (dict, list))]
        if not level:
            return value
    return short(value)


def _drop(repair: _Repair, kind: str, key: str, index: int) -> None:
    repair.drop(kind, key, index)


def _category_id_twice(repair: _Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    first = next(
        e for at, e in repair.entries(key) if repair.stays(key, at) and e.get("id") == entry["id"]
    )
    if first is entry:
        return
    if first["name"] == entry["name"]:
        repair.drop(kind, key, index)
        return
    for at, annotation in repair.entries("annotations"):
        if annotation.get("category_id") == entry["id"]:
            repair.drop(kind, "annotations", at)
    repair.put(kind, key, index, "id", repair.free_id(key), "a new id")


def _category_name_twice(repair: _Repair, kind: str, key: str, index: int) -> None:
    entry = repair.data[key][index]
    if not repair.stays(key, index):
        return
    first = next(
        e for at, e in repair.entries(key)
        if repair.stays(key, at) and e.get("name") == entry["name"]
    )  # fmt: skip
    if first is entry:
        return
    for at, annotation in repair.entries("annotations"):
        if annotation.get("category_id") == entry["id"]:
            change = "the first id of the name"
            repair.put(kind, "annotations", at, "category_id", first["id"], change)
    repair.drop(kind, key, index)


def _category_misspelt(repair: _Repair, kind: str, key: str, index: int) -> None:
    name = intended(repair.data[key][index]["name"])
    repair.put(kind, key, index, "name", name, "the name of the class")


def _image_id_twice(repair: _Repair, kind: str, key: str, index: int) -> None:
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


def _file_name_twice(repair: _Repair, kind: str, key: str, index: int) -> None:
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


def _iscrowd(repair: _Repair, kind: str, key: str, index: int) -> None:
    repair.put(kind, key, index, "iscrowd", 0, "an instance")


def _annotation_id_twice(repair: _Repair, kind: str, key: str, index: int) -> None:
    repair.put(kind, key, index, "id", repair.free_id(key), "a new id")


def _attribute_unknown(repair: _Repair, kind: str, key: str, index: int) -> None:
    given = repair.data[key][index]["attribute_ids"]
    bad = unknown_attributes(given, attribute_ids(repair.data) or set())
    kept = [value for value in given if value not in bad] if isinstance(given, list) else []
    repair.put(kind, key, index, "attribute_ids", kept, "unknown ids removed")


def _polygons(repair: _Repair, kind: str, key: str, index: int) -> None:
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


def _box(repair: _Repair, kind: str, key: str, index: int) -> None:
    code = repair.mask_of(index)
    if code is None:
        repair.drop(kind, key, index)
    else:
        repair.put(kind, key, index, "bbox", rle.box_xywh(code), "the mask's box")


def _area(repair: _Repair, kind: str, key: str, index: int) -> None:
    code = repair.mask_of(index)
    if code is None:
        repair.drop(kind, key, index)
    else:
        repair.put(kind, key, index, "area", rle.area_px(code), "the mask's area")


def _not_finite(repair: _Repair, kind: str, key: str, index: int) -> None:
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


#: kind -> what mends it: called with the repair, the kind, the list and the position in it.
ACTIONS: dict[str, Callable[[_Repair, str, str, int], None]] = {
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
            "polygon out of frame",
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
    "category id twice": _category_id_twice,
    "category name twice": _category_name_twice,
    "category misspelt": _category_misspelt,
    "image id twice": _image_id_twice,
    "file name twice": _file_name_twice,
    "annotation id twice": _annotation_id_twice,
    "attribute unknown": _attribute_unknown,
    "iscrowd malformed": _iscrowd,
}  # fmt: skip
