"""Reading COCO annotation files and mapping their categories; writing is in :mod:`.coco_writer`.

A *category id* is a number in a file; a *label* is a position in a tuple of class names. Files
number and order their categories as they like, so the only bridge between the two is the name:
:func:`map_categories`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from .errors import AnnotationError, OntologyError
from .files import read_json


def read_coco(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a COCO annotation file and check its skeleton; masks are left to :func:`.rle.to_rle`.

    Raises:
        FashionError: for a file that is missing or not JSON.
        AnnotationError: for a missing list, a missing or wrong-typed key, an id given twice, or
            an annotation of an image or category that the file does not have; names the entry.
    """
    data = read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            got = type(data.get(key)).__name__ if isinstance(data, dict) else type(data).__name__
            raise AnnotationError(
                f"{path}: an object with the lists 'images', 'annotations' and 'categories' "
                f"expected, got {got} for {key!r}. Is this a COCO instance file?"
            )
    category_ids = _checked(path, "categories", data["categories"], _CATEGORY_KEYS)
    image_ids = _checked(path, "images", data["images"], _IMAGE_KEYS)
    _checked(path, "annotations", data["annotations"], _ANNOTATION_KEYS)
    for index, entry in enumerate(data["annotations"]):
        for key, known in (("image_id", image_ids), ("category_id", category_ids)):
            if entry[key] not in known:
                raise AnnotationError(
                    f"{path}: annotations[{index}] (id {entry['id']}): the {key} of an entry of "
                    f"this file expected, got {entry[key]!r}. Are the lists of one file?"
                )
    return data


@dataclass(frozen=True)
class CategoryMap:
    """How the categories of one file meet a tuple of class names.

    Attributes:
        label_of_id: category id -> label, for the names that both have.
        unknown: category id -> name, for the file's names that the classes lack.
        absent: the classes that the file lacks, in the order of the classes.
    """

    label_of_id: dict[int, int]
    unknown: dict[int, str]
    absent: tuple[str, ...]


def map_categories(
    categories: list[dict[str, Any]], classes: Sequence[str], where: str
) -> CategoryMap:
    """Map the category ids of a file to labels by name; order and values of the ids play no part.

    Raises:
        OntologyError: for a name or an id given twice, or a name that is not a text.

    >>> map_categories([{"id": 7, "name": "shoe"}], ("dress", "shoe"), "a.json")
    CategoryMap(label_of_id={7: 1}, unknown={}, absent=('dress',))
    """
    label_of_name = {name: label for label, name in enumerate(classes)}
    if len(label_of_name) != len(classes):
        raise OntologyError(f"{where}: each class name once expected, got {tuple(classes)}.")
    name_of_id: dict[int, str] = {}
    id_of_name: dict[str, int] = {}
    for index, entry in enumerate(categories):
        place = f"{where}: categories[{index}]"
        name = entry.get("name") if isinstance(entry, dict) else None
        category_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or not _is_int(category_id):
            raise OntologyError(
                f"{place}: an object with a whole number 'id' and a text 'name' expected, got "
                f"{entry!r}. Mend the category list."
            )
        if name in id_of_name:
            raise OntologyError(
                f"{place}: each name once expected, got {name!r} with the ids {id_of_name[name]} "
                f"and {category_id}. Merge the two."
            )
        if category_id in name_of_id:
            raise OntologyError(
                f"{place}: each id once expected, got {category_id} for "
                f"{name_of_id[category_id]!r} and {name!r}. Number the categories afresh."
            )
        id_of_name[name], name_of_id[category_id] = category_id, name
    return CategoryMap(
        label_of_id={i: label_of_name[n] for i, n in name_of_id.items() if n in label_of_name},
        unknown={i: n for i, n in name_of_id.items() if n not in label_of_name},
        absent=tuple(name for name in classes if name not in id_of_name),
    )


def _is_int(value: object) -> TypeGuard[int]:
    # Writer and scorer keep ids in 64 bits.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_pixels(value: Any) -> bool:
    return _is_int(value) and value >= 1


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


# key: (check, what it checks, required)
_Keys = dict[str, tuple[Callable[[Any], bool], str, bool]]
_ID: _Keys = {"id": (_is_int, "a whole number", True)}
_CATEGORY_KEYS: _Keys = {
    **_ID,
    "name": (_is_text, "a text", True),
    "supercategory": (lambda v: v is None or isinstance(v, str), "a text", False),
}
_IMAGE_KEYS: _Keys = {
    **_ID,
    "file_name": (_is_text, "a text", True),
    "height": (_is_pixels, "a whole number of at least 1", True),
    "width": (_is_pixels, "a whole number of at least 1", True),
}
_ANNOTATION_KEYS: _Keys = {
    **_ID,
    "image_id": (_is_int, "a whole number", True),
    "category_id": (_is_int, "a whole number", True),
    "segmentation": (lambda v: isinstance(v, (list, dict)), "polygons or a code", False),
    "bbox": (_is_box, "four numbers [x, y, width, height]", False),
    "area": (_is_number, "a number", False),
    "iscrowd": (lambda v: v in (0, 1), "0 or 1", False),
}


def _checked(path: str | os.PathLike[str], name: str, entries: list[Any], keys: _Keys) -> set[int]:
    """Check every entry of a list against ``keys`` and return the ids."""
    index_of_id: dict[int, int] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise AnnotationError(
                f"{path}: {name}[{index}]: an object expected, got {type(entry).__name__}. "
                "Is the file damaged?"
            )
        for key, (is_valid, wanted, required) in keys.items():
            if (key in entry or required) and not is_valid(entry.get(key)):
                got = repr(entry[key])[:60] if key in entry else "nothing"
                raise AnnotationError(
                    f"{path}: {name}[{index}]: {wanted} as {key!r} expected, got {got}. "
                    "See the COCO data format."
                )
        first = index_of_id.setdefault(entry["id"], index)
        if first != index:
            raise AnnotationError(
                f"{path}: {name}[{index}]: each id once expected, got {entry['id']}, which "
                f"{name}[{first}] has. Number the entries afresh."
            )
    return set(index_of_id)
