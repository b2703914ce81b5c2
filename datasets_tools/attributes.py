"""The table of attributes (``attribute_ids`` of annotations) that iMaterialist and Fashionpedia
have beside their categories.
"""

from __future__ import annotations

from typing import Any

from fashion_mmdet.core.errors import AnnotationError


def attribute_table(entries: list[Any], where: str) -> list[dict[str, Any]]:
    """Return the checked ``attributes`` list: ``id``, ``name`` and, if any, ``supercategory``.

    Raises:
        AnnotationError: for an entry without a whole number and a text, or an id given twice.
    """
    table: dict[int, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        attribute_id, name = entry.get("id"), entry.get("name")
        if type(attribute_id) is not int or not isinstance(name, str):
            raise AnnotationError(
                f"{where}: attributes[{index}]: a whole number 'id' and a text 'name' "
                f"expected, got {attribute_id!r} and {name!r}. Mend the entry."
            )
        if attribute_id in table:
            raise AnnotationError(
                f"{where}: attributes[{index}]: each id once expected, got {attribute_id} for "
                f"{table[attribute_id]['name']!r} and {name!r}. Number the attributes afresh."
            )
        group = entry.get("supercategory")
        table[attribute_id] = {
            "id": attribute_id,
            "name": name,
            **({"supercategory": group} if isinstance(group, str) else {}),
        }
    return list(table.values())
