"""The 49 categories, once: names, ids, super-categories, parents, colours.

The first 46 are those of iMaterialist (Fashion) 2019 / Fashionpedia with their ids; the last
three are the shoe types, children of ``shoe``. A *category id* is the number in a JSON or CSV
file; a *label* is the 0-based position in a tuple of class names. The two happen to be equal
for the full ontology and are never assumed to be.

Source of names and super-categories: ``label_descriptions.json`` of iMaterialist (Fashion)
2019 at FGVC6 (https://www.kaggle.com/c/imaterialist-fashion-2019-FGVC6).
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import OntologyError, did_you_mean


@dataclass(frozen=True)
class Category:
    """One category: ``id`` as in the files, ``name``, super-category and, if any, parent name."""

    id: int
    name: str
    supercategory: str
    parent: str | None = None


_TABLE: tuple[tuple[str, str], ...] = (
    ("shirt, blouse", "upperbody"),
    ("top, t-shirt, sweatshirt", "upperbody"),
    ("sweater", "upperbody"),
    ("cardigan", "upperbody"),
    ("jacket", "upperbody"),
    ("vest", "upperbody"),
    ("pants", "lowerbody"),
    ("shorts", "lowerbody"),
    ("skirt", "lowerbody"),
    ("coat", "wholebody"),
    ("dress", "wholebody"),
    ("jumpsuit", "wholebody"),
    ("cape", "wholebody"),
    ("glasses", "head"),
    ("hat", "head"),
    ("headband, head covering, hair accessory", "head"),
    ("tie", "neck"),
    ("glove", "arms and hands"),
    ("watch", "arms and hands"),
    ("belt", "waist"),
    ("leg warmer", "legs and feet"),
    ("tights, stockings", "legs and feet"),
    ("sock", "legs and feet"),
    ("shoe", "legs and feet"),
    ("bag, wallet", "others"),
    ("scarf", "others"),
    ("umbrella", "others"),
    ("hood", "garment parts"),
    ("collar", "garment parts"),
    ("lapel", "garment parts"),
    ("epaulette", "garment parts"),
    ("sleeve", "garment parts"),
    ("pocket", "garment parts"),
    ("neckline", "garment parts"),
    ("buckle", "closures"),
    ("zipper", "closures"),
    ("applique", "decorations"),
    ("bead", "decorations"),
    ("bow", "decorations"),
    ("flower", "decorations"),
    ("fringe", "decorations"),
    ("ribbon", "decorations"),
    ("rivet", "decorations"),
    ("ruffle", "decorations"),
    ("sequin", "decorations"),
    ("tassel", "decorations"),
)
_SHOE_TYPES = ("canvasshoes", "high-heels", "sandals")

#: All 49 categories, in id order.
CATEGORIES: tuple[Category, ...] = tuple(
    Category(i, name, group) for i, (name, group) in enumerate(_TABLE)
) + tuple(
    Category(len(_TABLE) + i, name, "legs and feet", parent="shoe")
    for i, name in enumerate(_SHOE_TYPES)
)

#: The 49 names; position = category id.
CLASSES: tuple[str, ...] = tuple(c.name for c in CATEGORIES)
#: The 46 names of iMaterialist 2019, without the shoe types.
CLASSES_46: tuple[str, ...] = CLASSES[:46]
#: The three shoe types.
SHOE_TYPES: tuple[str, ...] = _SHOE_TYPES
#: Super-categories in order of first appearance.
SUPERCATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(c.supercategory for c in CATEGORIES))
#: Super-categories whose members sit on a garment and are not garments themselves.
PART_SUPERCATEGORIES: tuple[str, ...] = ("garment parts", "closures", "decorations")
#: The super-categories that cover the body; the rest, beside parts, is worn with them.
GARMENT_SUPERCATEGORIES: tuple[str, ...] = ("upperbody", "lowerbody", "wholebody")

_BY_NAME: dict[str, Category] = {c.name: c for c in CATEGORIES}


def category(name: str, where: str = "ontology") -> Category:
    """Return the category called exactly ``name``.

    Raises:
        OntologyError: naming ``where``, the unknown name and the nearest valid ones.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise OntologyError(
            f"{where}: one of the {len(CATEGORIES)} category names expected, got {name!r}."
            f"{did_you_mean(name, CLASSES) or ' The names are in fashion_mmdet/core/ontology.py.'}"
        )
    return found


def supercategory(name: str) -> str:
    """Return the super-category of the category called ``name``."""
    return category(name).supercategory


def coco_categories(names: Iterable[str] = CLASSES) -> list[dict[str, Any]]:
    """Return the ``categories`` list of a COCO file for ``names``, ids as in the ontology."""
    out = []
    for name in names:
        c = category(name)
        entry: dict[str, Any] = {"id": c.id, "name": c.name, "supercategory": c.supercategory}
        if c.parent is not None:
            entry["parent"] = c.parent
        out.append(entry)
    return out


def _palette(count: int) -> tuple[tuple[int, int, int], ...]:
    # Steps of the golden angle keep neighbouring ids far apart in hue; three brightness levels
    # part the hues that come close again after a full turn.
    out = []
    for i in range(count):
        hue = (i * 0.61803398875 + 0.05) % 1.0
        value = (0.95, 0.78, 0.62)[i % 3]
        r, g, b = colorsys.hsv_to_rgb(hue, 0.70 if i % 2 else 0.85, value)
        out.append((round(r * 255), round(g * 255), round(b * 255)))
    return tuple(out)


#: One RGB colour (0..255) per category, by position; the same in every picture drawn.
PALETTE: tuple[tuple[int, int, int], ...] = _palette(len(CATEGORIES))
