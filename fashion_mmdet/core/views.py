"""Two views of one evaluation: the 49 classes, and the 46 in which a shoe type is a shoe.

Where the truth says only ``shoe``, a detection of ``sandals`` on it is no mistake of the model but
a detail that the labels lack. The 46-class view takes both for a shoe; it is also what compares
with results on iMaterialist 2019 and Fashionpedia, which have no shoe types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .ground_truth import GroundTruth
from .ontology import SHOE_TYPES

_SHOE = "shoe"


def has_view_46(classes: Sequence[str]) -> bool:
    """Return whether the two views differ: there is ``shoe``, and a type of it."""
    return _SHOE in classes and any(name in classes for name in SHOE_TYPES)


def view_46(
    truth: GroundTruth, detections: Sequence[Mapping[str, Any]]
) -> tuple[GroundTruth, list[dict[str, Any]]]:
    """Return truth and detections with every shoe type taken for ``shoe``.

    The labels of the types stay, without instances and detections, so that labels mean the same
    in both views. Nothing given is changed.

    Args:
        truth: in whose classes :func:`has_view_46` holds.
        detections: dictionaries with a ``label``.
    """
    shoe = truth.classes.index(_SHOE)
    types = {truth.classes.index(name) for name in SHOE_TYPES if name in truth.classes}

    def seen(label: int) -> int:
        return shoe if label in types else label

    instances = [{**a, "category_id": seen(a["category_id"])} for a in truth.annotations]
    counts: Counter[int] = Counter()
    for label, count in truth.count_of.items():
        counts[seen(label)] += count
    found = [{**d, "label": seen(d["label"])} for d in detections]
    return replace(truth, annotations=instances, count_of=counts), found
