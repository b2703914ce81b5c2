"""The copy of a file under repair: entries are changed or removed here, and each change logged."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fashion_mmdet.core import rle

from .annotations import image_faults
from .findings import Finding
from .masks import read_mask
from .values import is_id, short

_LISTS = ("categories", "images", "annotations")
# What is no whole entry goes first, and ids are settled before names: an annotation must not
# move to an image or a category that the same round then removes.
_FIRST = ("malformed entry", "number not finite")
_LAST = ("category name twice", "file name twice")
# The encoder of JSON calls itself for each level.
_MOST_NESTED = 20

#: Called with the repair, the kind of finding, the list and the position in it.
Remedy = Callable[["Repair", str, str, int], None]


@dataclass
class Repair:
    """The copy under repair.

    Attributes:
        data: the copy; ``source``, which it starts as, stays as it is.
        changes: see :class:`.fix.Fixed`.
        found_name_of: position of an image -> the name under which its photo was found.
        image_of: image id -> the first whole entry that has it.
        images_of_id, images_of_name, categories_of_id, categories_of_name: id or name -> the
            positions that had it at the start of the round.
        annotations_of, annotations_of_category: image or category id -> the like.
    """

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

    def apply(self, findings: Iterable[Finding], remedies: Mapping[str, Remedy]) -> None:
        """Mend what findings of an entry say; one round."""
        self._gone: dict[str, dict[int, str]] = {key: {} for key in _LISTS}
        self._free_ids = {key: self._unused_ids(key) for key in _LISTS}
        self._look_up()
        findings = sorted(findings, key=_turn)
        self.found_name_of = {
            finding.entry[1]: finding.found_name
            for finding in findings
            if finding.entry is not None and finding.found_name is not None
        }
        for finding in findings:
            if finding.entry is not None:
                remedies[finding.kind](self, finding.kind, *finding.entry)
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
        self.categories_of_id: dict[int, list[int]] = {}
        self.categories_of_name: dict[str, list[int]] = {}
        self.annotations_of_category: dict[int, list[int]] = {}
        for index, entry in self.entries("categories"):
            if is_id(entry.get("id")):
                self.categories_of_id.setdefault(entry["id"], []).append(index)
            if isinstance(entry.get("name"), str):
                self.categories_of_name.setdefault(entry["name"], []).append(index)
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
            if is_id(entry.get("category_id")):
                self.annotations_of_category.setdefault(entry["category_id"], []).append(index)

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

    def first_category(self, positions: list[int], name: str, value: Any) -> int | None:
        """Return the first of ``positions`` that stays and still has ``value``; drop those before.

        For ``categories_of_id`` and ``categories_of_name``, so that no finding starts anew.
        """
        while positions:
            if self.stays("categories", positions[0]):
                if self.data["categories"][positions[0]].get(name) == value:
                    return positions[0]
            positions.pop(0)
        return None

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

    def _note(self, kind: str, key: str, index: int, change: str, before: Any, after: Any) -> None:
        entry = self.data[key][index]
        self.changes.append(
            {
                "list": key,
                "index": self._origin[key][index],
                "id": _loggable(entry.get("id")) if isinstance(entry, dict) else None,
                "kind": kind,
                "change": change,
                "before": _loggable(before),
                "after": after,
            }
        )


def _turn(finding: Finding) -> int:
    return (finding.kind in _LAST) - (finding.kind in _FIRST)


def _loggable(value: Any, levels: int = _MOST_NESTED) -> Any:
    """Return ``value`` as JSON holds it: what is not finite, or nests too deep, is a short text."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if not isinstance(value, (dict, list)):
        return value
    if not levels:
        return short(value)
    if isinstance(value, dict):
        return {key: _loggable(part, levels - 1) for key, part in value.items()}
    return [_loggable(part, levels - 1) for part in value]
