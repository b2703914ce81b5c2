"""Reading any COCO file and finding out what its entries say: ids, names, references, flags.

``core.coco.read_coco`` stops at the first fault; here every fault is found, and what is whole
is handed on to the masks and photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fashion_mmdet.core.errors import FashionError, did_you_mean
from fashion_mmdet.core.files import inside, read_json
from fashion_mmdet.core.ontology import CLASSES

from .counts import look_at_counts
from .findings import Findings
from .other_values import look_at_other_values
from .values import decodable, is_id, not_finite, short


@dataclass
class Survey:
    """A COCO file, and what in it is whole enough to be looked at.

    Attributes:
        name: the file's name, which begins every ``where``.
        data: the file's content, as read; never changed.
        findings: what was found.
        images: image id -> its position, for images with a name and a size.
        category_names: category id -> name.
        annotations_of: image id -> positions of annotations, for those of the images above.
    """

    name: str
    data: dict[str, Any]
    findings: Findings = field(default_factory=Findings)
    images: dict[int, int] = field(default_factory=dict)
    category_names: dict[int, str] = field(default_factory=dict)
    annotations_of: dict[int, list[int]] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether there are lists to look at."""
        return bool(self.data)

    def add(self, kind: str, message: str, list_name: str, index: int, **more: Any) -> None:
        """Enter a finding of ``data[list_name][index]``; ids and file name are looked up."""
        entry = self.data[list_name][index]
        entry = entry if isinstance(entry, dict) else {}
        own_id = entry.get("id") if is_id(entry.get("id")) else None
        place: dict[str, Any] = {}
        if list_name == "annotations":
            image_id = entry.get("image_id")
            place = {"annotation_id": own_id}
            if is_id(image_id):
                at = self.images.get(image_id)
                known = {} if at is None else self.data["images"][at]
                place |= {"image_id": image_id, "file_name": known.get("file_name")}
        elif list_name == "images":
            name = entry.get("file_name")
            place = {"image_id": own_id, "file_name": name if isinstance(name, str) else None}
        shown = f" (id {own_id})" if own_id is not None else ""
        where = f"{self.name}: {list_name}[{index}]{shown}"
        self.findings.add(kind, message, where, entry=(list_name, index), **place, **more)


def survey_file(path: str | os.PathLike[str]) -> Survey:
    """Read ``path`` and look at its entries; ``is_readable`` is False where there are none.

    Raises:
        FashionError: if there is no such file.
    """
    name = decodable(os.path.basename(path))
    try:
        data = read_json(path)
    except FashionError as error:
        if not os.path.isfile(path):
            raise
        survey = Survey(name, {})
        text = decodable(str(error).removeprefix(f"{path}: "))
        survey.findings.add("not JSON", text, name)
        return survey
    return survey_data(data, name)


def survey_data(data: Any, name: str) -> Survey:
    """Look at the entries of a COCO file's content."""
    survey = Survey(name, data if isinstance(data, dict) else {})
    for key in ("images", "annotations", "categories"):
        value = survey.data.get(key)
        if not isinstance(value, list):
            got = type(value if isinstance(data, dict) else data).__name__
            message = f"a list {key!r} expected, got {'nothing' if got == 'NoneType' else got}."
            survey.findings.add("missing list", message, name)
    if len(survey.findings):
        survey.data = {}
        return survey
    known_categories = _look_at_categories(survey)
    known_images = _look_at_images(survey)
    _look_at_annotations(survey, known_images, known_categories)
    look_at_counts(survey)
    look_at_other_values(survey)
    return survey


def _look_at_categories(survey: Survey) -> set[int]:
    """Enter what is wrong with the categories; return all ids, usable or not."""
    first_of_id: dict[int, int] = {}
    id_of_name: dict[str, int] = {}
    for index, entry in _objects(survey, "categories"):
        category_id, name = entry.get("id"), entry.get("name")
        if not is_id(category_id) or not isinstance(name, str) or not name:
            message = (
                "a whole number 'id' and a text 'name' expected, got "
                f"{short(category_id)} and {short(name)}."
            )
            survey.add("malformed entry", message, "categories", index)
            continue
        first = first_of_id.setdefault(category_id, index)
        if first != index:
            of = survey.data["categories"][first]["name"]
            message = f"each id once expected, got {category_id} for {of!r} and {name!r}."
            survey.add("category id twice", message, "categories", index)
        elif name in id_of_name:
            message = (
                f"each name once expected, got {name!r} with the ids {id_of_name[name]} and "
                f"{category_id}."
            )
            survey.add("category name twice", message, "categories", index)
            survey.category_names[category_id] = name
        else:
            id_of_name[name] = category_id
            survey.category_names[category_id] = name
            _look_at_name(survey, index, name)
    return set(first_of_id)


def _look_at_name(survey: Survey, index: int, name: str) -> None:
    if name in CLASSES:
        return
    hint = did_you_mean(name, CLASSES)
    message = f"one of the {len(CLASSES)} category names expected, got {name!r}.{hint}"
    kind = "category misspelt" if intended(name) else "category unknown"
    survey.add(kind, message, "categories", index)


def intended(name: str) -> str | None:
    """Return the one of the 49 names that ``name`` is but for case, blanks and punctuation.

    No letter is guessed: "shirt", "hoodie" and "cap" are one letter or two from "skirt", "hood"
    and "cape", and other garments.
    """
    letters = _letters(name)
    return next((known for known in CLASSES if _letters(known) == letters), None)


def _letters(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _look_at_images(survey: Survey) -> set[int]:
    """Enter what is wrong with the images; return all ids, usable or not."""
    first_of_id: dict[int, int] = {}
    index_of_name: dict[str, int] = {}
    for index, entry in _objects(survey, "images"):
        image_id = entry.get("id")
        is_whole = _has_image_keys(survey, index, entry)
        if not is_id(image_id):
            continue
        first = first_of_id.setdefault(image_id, index)
        if first != index:
            message = (
                f"each id once expected, got {image_id}, which images[{first}] "
                f"({survey.data['images'][first].get('file_name')!r}) has."
            )
            survey.add("image id twice", message, "images", index)
        if not is_whole:
            continue
        name = entry["file_name"]
        survey.images.setdefault(image_id, index)
        same = index_of_name.setdefault(os.path.normpath(name), index)
        if same != index and first == index:
            message = f"each photo once expected, got {name!r}, which images[{same}] has."
            survey.add("file name twice", message, "images", index)
        try:
            inside("the folder of photos", name, "")
        except FashionError:
            message = f"a name inside the folder of photos expected, got {name!r}."
            survey.add("file name leaves the folder", message, "images", index)
    return set(first_of_id)


# key of an image: (check, what it checks).
_IMAGE_KEYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "id": (is_id, "a whole number"),
    "file_name": (lambda v: isinstance(v, str) and v, "a text"),
    "height": (lambda v: is_id(v) and v >= 1, "a whole number of at least 1"),
    "width": (lambda v: is_id(v) and v >= 1, "a whole number of at least 1"),
}


def image_faults(entry: dict[str, Any]) -> list[str]:
    """Return the keys that an image lacks or has wrong: of id, name, height and width."""
    return [key for key, (is_valid, _) in _IMAGE_KEYS.items() if not is_valid(entry.get(key))]


def _has_image_keys(survey: Survey, index: int, entry: dict[str, Any]) -> bool:
    """Return whether an image has an id, a name and a size; enter what it lacks."""
    faults = image_faults(entry)
    for key in faults:
        kind = "number not finite" if not_finite(entry.get(key)) else "malformed entry"
        message = f"{_IMAGE_KEYS[key][1]} as {key!r} expected, got {_got(entry, key)}."
        survey.add(kind, message, "images", index)
    return not faults


def _look_at_annotations(survey: Survey, images: set[int], categories: set[int]) -> None:
    first_of_id: dict[int, int] = {}
    known_attributes = attribute_ids(survey.data)
    for index, entry in _objects(survey, "annotations"):
        faults = [key for key in ("id", "image_id", "category_id") if not is_id(entry.get(key))]
        for key in faults:
            message = f"a whole number as {key!r} expected, got {_got(entry, key)}."
            survey.add("malformed entry", message, "annotations", index)
        if faults:
            continue
        first = first_of_id.setdefault(entry["id"], index)
        if first != index:
            message = f"each id once expected, got {entry['id']}, which annotations[{first}] has."
            survey.add("annotation id twice", message, "annotations", index)
        for key, known in (("image", images), ("category", categories)):
            if entry[f"{key}_id"] not in known:
                message = f"the id of one of the file's entries expected, got {entry[f'{key}_id']}."
                survey.add(f"annotation of unknown {key}", message, "annotations", index)
        _look_at_flags(survey, index, entry, known_attributes)
        if entry["image_id"] in survey.images and entry["category_id"] in survey.category_names:
            survey.annotations_of.setdefault(entry["image_id"], []).append(index)


def _look_at_flags(
    survey: Survey, index: int, entry: dict[str, Any], known_attributes: set[int] | None
) -> None:
    crowd = entry.get("iscrowd", 0)
    if crowd not in (0, 1):  # 0.0 and 1.0 are, too: pandas writes them
        message = f"0 or 1 expected, got {short(crowd)}."
        survey.add("iscrowd malformed", message, "annotations", index)
    elif crowd:
        survey.add("crowd", "iscrowd is 1.", "annotations", index)
    if entry.get("ignore", False):
        message = f"no 'ignore' expected, got {short(entry['ignore'])}."
        survey.add("ignore flag", message, "annotations", index)
    given = entry.get("attribute_ids")
    if known_attributes is None or given is None:
        return
    unknown = unknown_attributes(given, known_attributes)
    if unknown:
        message = f"ids of the file's attributes expected, got {short(unknown)}."
        survey.add("attribute unknown", message, "annotations", index)


def is_crowd(entry: dict[str, Any]) -> bool:
    """Return whether an annotation is marked as a crowd."""
    return entry.get("iscrowd") == 1


def unknown_attributes(given: Any, known: set[int]) -> list[Any]:
    """Return what in an annotation's ``attribute_ids`` is no known id."""
    values = given if isinstance(given, list) else [given]
    return [value for value in values if not (is_id(value) and value in known)]


def attribute_ids(data: dict[str, Any]) -> set[int] | None:
    attributes = data.get("attributes")
    if not isinstance(attributes, list):
        return None
    ids = [entry.get("id") for entry in attributes if isinstance(entry, dict)]
    return {number for number in ids if is_id(number)}


def _objects(survey: Survey, list_name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, entry in enumerate(survey.data[list_name]):
        if isinstance(entry, dict):
            yield index, entry
        else:
            message = f"an object expected, got {short(entry)}."
            survey.add("malformed entry", message, list_name, index)


def _got(entry: dict[str, Any], key: str) -> str:
    return short(entry[key]) if key in entry else "nothing"
