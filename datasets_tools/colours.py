"""The colour of each category of a file: the same in every plot, picture and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fashion_mmdet.core import ontology

_INDEX_OF_NAME = {name: index for index, name in enumerate(ontology.CLASSES)}


def rgb_of_id(categories: Iterable[Mapping[str, Any]]) -> dict[Any, tuple[int, int, int]]:
    """Return category id -> RGB, 0 to 255.

    A name of the ontology has the ontology's colour, whatever its id in the file; any other name
    takes a colour of the palette by its position in the file.

    >>> rgb_of_id([{"id": 7, "name": "shoe"}])[7] == ontology.PALETTE[23]
    True
    """
    return {
        entry.get("id"): ontology.PALETTE[
            _INDEX_OF_NAME.get(str(entry.get("name")), position) % len(ontology.PALETTE)
        ]
        for position, entry in enumerate(categories)
    }


def hex_colour(rgb: tuple[int, int, int]) -> str:
    """Return ``"#rrggbb"``."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)
