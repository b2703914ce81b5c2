"""Two views of one evaluation: the 49 classes, and the 46 in which a shoe type is a shoe.

Where the truth says only ``shoe``, a detection of ``sandals`` on it is no mistake of the model but
a detail that the labels lack. The 46-class view takes both for a shoe; it is also what compares
with results on iMaterialist 2019 and Fashionpedia, which have no shoe types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .ground_truth import GroundTruth
from .ontology import SHOE_TYPES

_SHOE = "shoe"


def has_view_46(classes: Sequence[str]) -> bool:
    """Return whether the two views differ: there is ``shoe``, and a type of it."""
    return _SHOE in classes and any(name in classes for name in SHOE_TYPES)


def shoes_as_one(
    truth: GroundTruth, detections: Iterable[Mapping[str, Any]]
) -> tuple[GroundTruth, list[dict[str, Any]]]:
    """Return truth and detections of shoes alone, every type taken for ``shoe``.

    That is all in which the two views differ. Labels keep their meaning; nothing given is changed.

    Args:
        truth: in whose classes :func:`has_view_46` holds.
        detections: dictionaries with a ``label``.
    """
    shoe, labels = _shoe_labels(truth.classes)
    instances = [
        {**a, "category_id": shoe} for a in truth.annotations if a["category_id"] in labels
    ]
    counts = Counter({shoe: sum(truth.count_of[label] for label in labels)})
    found = [{**d, "label": shoe} for d in detections if d["label"] in labels]
    return replace(truth, annotations=instances, count_of=+counts), found


def mean_46(
    classes: Sequence[str], in_49: Mapping[int, float], of_shoes: Mapping[int, float]
) -> float | None:
    """Return the mean over the classes of the 46-class view; None where there is nothing in it.

    Args:
        classes: in which :func:`has_view_46` holds.
        in_49: label -> figure, of all labels apart.
        of_shoes: the same of :func:`shoes_as_one`.
    """
    _, labels = _shoe_labels(classes)
    values = [value for label, value in in_49.items() if label not in labels]
    values += of_shoes.values()
    return float(np.mean(values)) if values else None


def _shoe_labels(classes: Sequence[str]) -> tuple[int, set[int]]:
    """Return the label of ``shoe``, and those of it and its types."""
    shoe = classes.index(_SHOE)
    return shoe, {shoe} | {classes.index(name) for name in SHOE_TYPES if name in classes}
