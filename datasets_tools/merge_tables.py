"""The tables of merged files beside images, annotations and categories: licences, and their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets_tools.merge_parts import Part

#: Tables that the merge itself understands; all others of a file are its own.
_KNOWN = ("info", "licenses", "images", "annotations", "categories", "source_tables")


def licence_ids(coco: dict[str, Any], licences: list[dict[str, Any]]) -> dict[int, int]:
    """Add the file's licences to ``licences`` and return its licence id -> theirs."""
    entries = coco.get("licenses")
    ids: dict[int, int] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or type(entry.get("id")) is not int:
            continue  # no image can refer to it; the images that try are counted
        rest = {key: value for key, value in entry.items() if key != "id"}
        known = [le["id"] for le in licences if {k: v for k, v in le.items() if k != "id"} == rest]
        if not known:
            licences.append({"id": len(licences) + 1, **rest})
        ids[entry["id"]] = known[0] if known else len(licences)
    return ids


def own_tables(parts: Sequence[Part], cocos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the tables beside COCO's own: one where all agree, else kept apart by source."""
    by_key: dict[str, dict[str, Any]] = {}
    apart: dict[str, dict[str, Any]] = {}
    for part, coco in zip(parts, cocos, strict=True):
        for key, table in coco.items():
            if key not in _KNOWN:
                by_key.setdefault(key, {})[part.name] = table
        inner = coco.get("source_tables")
        for name, tables in inner.items() if isinstance(inner, dict) else ():
            apart[f"{part.name}/{name}"] = tables
    whole: dict[str, Any] = {}
    for key, tables in by_key.items():
        first, *others = tables.values()
        if all(table == first for table in others) and not any(key in t for t in apart.values()):
            whole[key] = first
        else:
            for name, table in tables.items():
                apart.setdefault(name, {})[key] = table
    return whole | ({"source_tables": apart} if apart else {})
