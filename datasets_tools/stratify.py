"""Draws of a split: at random, or stratified by the classes that each photo shows.

Both draw *units*, which stay whole: a group of photos, or a photo of its own. Both rank the units
by a hash of the seed and of their first name, so that the order of the photos in the file plays
no part, and a seed gives the same parts on every machine.

The stratified draw is the iterative stratification of Sechidis, Tsoumakas and Vlahavas, "On the
Stratification of Multi-Label Data" (ECML PKDD 2011,
https://doi.org/10.1007/978-3-642-23808-6_10), by the library iterative-stratification
(https://github.com/trent-b/iterative-stratification): the rarest class first, each of its units
to the part that lacks it most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from datasets_tools.name_lists import SPLITS, NameIndex, units_of
from fashion_mmdet.core.errors import FashionError

Unit = Sequence[str]


def ranked(units: Sequence[Unit], seed: int) -> list[Unit]:
    """Return ``units`` in the order of a hash of ``seed`` and their first name."""
    return sorted(units, key=lambda unit: hashlib.sha256(f"{seed}:{unit[0]}".encode()).digest())


def classes_of_images(coco: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return file name -> names of the classes with an instance in it; crowds do not count."""
    name_of = {image["id"]: image["file_name"] for image in coco["images"]}
    category_of = {category["id"]: category["name"] for category in coco["categories"]}
    classes_of: dict[str, set[str]] = {name: set() for name in name_of.values()}
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd"):
            name = name_of[annotation["image_id"]]
            classes_of[name].add(category_of[annotation["category_id"]])
    return classes_of


def make_lists(
    file_names: Iterable[str],
    fractions: Sequence[float],
    seed: int = 0,
    groups: Iterable[Sequence[str]] = (),
) -> dict[str, list[str]]:
    """Draw train, val and test; the same names, fractions, seed and groups give the same lists.

    The order of ``file_names`` plays no part: units (a group, or a photo of its own) are ranked
    by a hash of the seed and their first name, and fill test, then val, then train.

    Args:
        file_names: file names of all images.
        fractions: shares of train, val and test, adding up to 1.
        seed: another seed, another draw.
        groups: names (or stems) that stay together; members that are not among ``file_names``
            play no part.

    Returns:
        Split -> sorted file names.
    """
    check_fractions(fractions)
    index = NameIndex(file_names)
    units = ranked(units_of(index, groups), seed)
    n_images = len(index.file_names)
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    room = {split: round(n_images * share) for split, share in zip(SPLITS, fractions, strict=True)}
    for unit in units:
        split = next((s for s in ("test", "val") if len(lists[s]) + len(unit) <= room[s]), "train")
        lists[split] += unit
    return {split: sorted(names) for split, names in lists.items()}


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise FashionError unless these are shares of train, val and test that add up to 1."""
    are_shares = len(fractions) == len(SPLITS) and all(0 <= share <= 1 for share in fractions)
    if not are_shares or abs(sum(fractions) - 1) > 1e-6:
        raise FashionError(
            f"fractions: three shares of {', '.join(SPLITS)} that add up to 1 expected, got "
            f"{list(fractions)}. Example: 0.8 0.1 0.1."
        )


def random_folds(units: Sequence[Unit], n_folds: int, seed: int) -> list[list[str]]:
    """Draw folds of equal size at random: each unit goes to the fold with the fewest photos."""
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    # Large units first: the single photos after them level the folds.
    for unit in sorted(ranked(units, seed), key=len, reverse=True):
        min(folds, key=len).extend(unit)
    return [sorted(fold) for fold in folds]


def stratified_parts(
    units: Sequence[Unit],
    classes_of: Mapping[str, set[str]],
    shares: Sequence[float],
    seed: int,
) -> list[list[str]]:
    """Draw parts in which each class has, as nearly as can be, its share of photos.

    A unit shows the classes of all its photos. Units of many photos are shared out alike, so
    that the parts come out at their size too: a unit of at least 2, 4, 8, ... photos counts as
    one of another class each.

    Args:
        units: file names that stay together.
        classes_of: file name -> its classes.
        shares: of the parts, adding up to 1; a part of share 0 stays empty.
        seed: another seed, another draw.

    Returns:
        Sorted file names of each part, in the order of ``shares``.
    """
    # scikit-learn, which this brings in, takes a second to import; only this draw needs it.
    from iterstrat.ml_stratifiers import IterativeStratification

    parts: list[list[str]] = [[] for _ in shares]
    drawn = ranked(units, seed)
    if not drawn:
        return parts
    labels = _labels(drawn, classes_of)
    due = np.array(shares, dtype=float)
    state = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")
    chosen = IterativeStratification(
        labels=labels, r=due / due.sum(), random_state=np.random.RandomState(state)
    )
    for unit, part in zip(drawn, chosen, strict=True):
        parts[part].extend(unit)
    return [sorted(part) for part in parts]


def _labels(units: Sequence[Unit], classes_of: Mapping[str, set[str]]) -> np.ndarray:
    """Return what units show as bool, (units, classes + steps of size), classes by name."""
    shown = [set().union(*(classes_of[name] for name in unit)) for unit in units]
    classes = sorted(set().union(*shown))
    column_of = {name: column for column, name in enumerate(classes)}
    steps = max(len(unit) for unit in units).bit_length() - 1
    labels = np.zeros((len(units), len(classes) + steps), dtype=bool)
    for row, (unit, names) in enumerate(zip(units, shown, strict=True)):
        labels[row, [column_of[name] for name in names]] = True
        labels[row, len(classes) : len(classes) + len(unit).bit_length() - 1] = True
    return labels
