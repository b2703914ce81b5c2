"""What only all annotations of a COCO file together tell: what has none, or too many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .values import is_id, short

if TYPE_CHECKING:
    from .annotations import Survey

#: Our configs' ``max_per_img``: no more detections of an image than these are scored.
MOST_INSTANCES = 100


def look_at_counts(survey: Survey) -> None:
    """Enter what only all annotations together tell."""
    used: Counter[int] = Counter()
    on_image: Counter[int] = Counter()
    for entry in survey.data["annotations"]:
        if isinstance(entry, dict):
            for key, counter in (("category_id", used), ("image_id", on_image)):
                if is_id(entry.get(key)):
                    counter[entry[key]] += 1
    categories = [entry for entry in survey.data["categories"] if isinstance(entry, dict)]
    name_of_id = {e["id"]: e.get("name") for e in categories if is_id(e.get("id"))}
    unused = [short(name) for number, name in name_of_id.items() if not used[number]]
    if unused:
        # One finding, not one a category: files name all 49, and few sets have them all.
        message = f"{len(unused)} of {len(name_of_id)} have none: {', '.join(unused)}."
        survey.findings.add("category without annotations", message, survey.name)
    for image_id, index in survey.images.items():
        count = on_image[image_id]
        if not count:
            survey.add("image without annotations", "no annotation.", "images", index)
        elif count > MOST_INSTANCES:
            message = f"at most {MOST_INSTANCES} expected, got {count}."
            survey.add("many instances", message, "images", index)
