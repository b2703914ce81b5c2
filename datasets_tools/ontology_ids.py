"""The category ids of a COCO file against those of the ontology, by name."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fashion_mmdet.core import ontology
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import OntologyError, did_you_mean


def ontology_ids(coco: dict[str, Any], where: str) -> dict[int, int]:
    """Return the file's category id -> ours, of the categories that have a name of ours.

    Raises:
        OntologyError: naming every other category that has annotations, and the nearest of ours.
    """
    mapped = map_categories(coco["categories"], ontology.CLASSES, where)
    used = Counter(annotation["category_id"] for annotation in coco["annotations"])
    foreign = [
        f"{name!r} ({used[number]} annotations).{did_you_mean(name, ontology.CLASSES)}"
        for number, name in mapped.unknown.items()
        if used[number]
    ]
    if foreign:
        raise OntologyError(
            f"{where}: categories of the ontology expected, got {' '.join(foreign)} Rename "
            "them, or convert the source with a table of your own (--map)."
        )
    return {
        number: ontology.category(ontology.CLASSES[label]).id
        for number, label in mapped.label_of_id.items()
    }
