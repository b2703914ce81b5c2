"""Photos dealt out at random: halves to choose and to measure on, folds within a half."""

from __future__ import annotations

import numpy as np

from datasets_tools.stratify import random_folds, stratified_parts
from fashion_mmdet.core.evidence import Evidence

from .photos import Photos


def halves(photos: Photos, seed: int) -> tuple[Photos, Photos]:
    """Return the photos to choose on and those to measure on; each class on both, where it can be.

    Args:
        photos: of one evaluation.
        seed: another seed, other halves.
    """
    name_of = _names(photos.evidence)
    truth, classes = photos.evidence.truth, photos.evidence.classes
    classes_of: dict[str, set[str]] = {name_of[image]: set() for image in photos.images.tolist()}
    for image, label, is_crowd in zip(
        truth.image.tolist(), truth.label.tolist(), truth.is_crowd.tolist(), strict=True
    ):
        if name_of[image] in classes_of and not is_crowd:
            classes_of[name_of[image]].add(classes[label])
    units = [[name] for name in classes_of]
    parts = stratified_parts(units, classes_of, (0.5, 0.5), seed)
    chosen = set(parts[0])
    is_first = np.array([name_of[image] in chosen for image in photos.images.tolist()], dtype=bool)
    return photos.part(photos.images[is_first]), photos.part(photos.images[~is_first])


def folds_of(photos: Photos, n_folds: int, seed: int) -> np.ndarray:
    """Return (I,) int64, the fold that each photo is dealt to."""
    name_of = _names(photos.evidence)
    names = [name_of[image] for image in photos.images.tolist()]
    dealt = random_folds([[name] for name in names], n_folds, seed)
    fold_of = {name: n for n, fold in enumerate(dealt) for name in fold}
    return np.array([fold_of[name] for name in names], dtype=np.int64)


def _names(evidence: Evidence) -> list[str]:
    """Return a name for each photo, each another: that of its file, where those are."""
    ids = evidence.image_ids.tolist()
    names = [evidence.file_names.get(image_id, str(image_id)) for image_id in ids]
    return names if len(set(names)) == len(names) else [str(image_id) for image_id in ids]
