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
    for index, entry in enumerate(survey.data["categories"]):
        if isinstance(entry, dict) and is_id(entry.get("id")) and not used[entry["id"]]:
            message = f"{short(entry.get('name'))} has none."
            survey.add("category without annotations", message, "categories", index)
    for image_id, index in survey.images.items():
        count = on_image[image_id]
        if not count:
            survey.add("image without annotations", "no annotation.", "images", index)
        elif count > MOST_INSTANCES:
            message = f"at most {MOST_INSTANCES} expected, got {count}."
            survey.add("many instances", message, "images", index)
