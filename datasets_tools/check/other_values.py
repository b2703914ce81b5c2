"""What entries of a COCO file have beside what training reads: it must be JSON all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .values import holds_not_finite, short

if TYPE_CHECKING:
    from .annotations import Survey

# What other findings are about.
_READ = {
    "images": {"id", "file_name", "height", "width"},
    "annotations": {
        "id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd",
        "attribute_ids",
    },
    "categories": {"id", "name"},
}  # fmt: skip


def other_not_finite(list_name: str, entry: dict) -> list[str]:
    """Return the keys that training does not read and that hold NaN or infinity."""
    read = _READ[list_name]
    return [key for key, value in entry.items() if key not in read and holds_not_finite(value)]


def look_at_other_values(survey: Survey) -> None:
    """Enter the numbers that JSON does not have, wherever training would not meet them."""
    for list_name in _READ:
        for index, entry in enumerate(survey.data[list_name]):
            for key in other_not_finite(list_name, entry) if isinstance(entry, dict) else ():
                message = f"a finite {key!r}, or none, expected, got {short(entry[key])}."
                survey.add("other value not finite", message, list_name, index)
