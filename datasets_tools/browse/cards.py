"""What the page knows of each photo before a pixel is drawn: its masks and its findings.

The doctor shows faulty files through here, so nothing of an annotation file is taken for granted:
ids may be given twice or be no numbers, names may be missing, boxes may be text.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets_tools.colours import hex_colour, rgb_of_id
from datasets_tools.report import counted

SEVERITIES = ("error", "warning", "note")
_UNKNOWN = (128, 128, 128)


@dataclass(frozen=True)
class Shape:
    """One annotation: ``label`` is the position of its class in :attr:`Cards.classes`."""

    id: Any
    label: int
    segmentation: Any
    box_xywh: tuple[float, float, float, float] | None
    is_crowd: bool


@dataclass
class Card:
    """One photo.

    Attributes:
        number: from 1, in the order of the file; names the pictures of the page.
        image_id: as in the file.
        file_name: as in the file, ``""`` where it has none.
        size_hw: height and width that the file states; None where it states no such.
        sources: the datasets that it comes from.
        shapes: its annotations.
        findings: positions in :attr:`Cards.findings`.
    """

    number: int
    image_id: Any
    file_name: str
    size_hw: tuple[int, int] | None
    sources: list[str]
    shapes: list[Shape] = field(default_factory=list)
    findings: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Cards:
    """All of a page.

    Attributes:
        cards: the photos that are shown.
        classes: name and RGB of every class, in the order of the file.
        findings: all findings, plain.
        loose: positions of the findings that belong to no photo of the file.
        notes: what is not on the page, a sentence each.
    """

    cards: list[Card]
    classes: list[tuple[str, tuple[int, int, int]]]
    findings: list[dict[str, Any]]
    loose: list[int]
    notes: list[str]


def collect(
    coco: Mapping[str, Any], findings: Iterable[Mapping[str, Any]], limit: int | None
) -> Cards:
    """Sort annotations and findings by photo.

    With ``limit``, photos with findings come before others, the gravest first; those that are
    shown keep the order of the file.
    """
    categories = [entry for entry in _objects(coco, "categories")]
    rgb = rgb_of_id(_hashable(categories))
    classes = [(str(c.get("name", "")), rgb.get(_key(c.get("id")), _UNKNOWN)) for c in categories]
    label_of: dict[Hashable, int] = {}
    for label, entry in enumerate(categories):
        label_of.setdefault(_key(entry.get("id")), label)
    cards, card_of = _cards(coco)
    n_orphans = 0
    image_of: dict[Hashable, Hashable] = {}
    for entry in _objects(coco, "annotations"):
        image_of.setdefault(_key(entry.get("id")), _key(entry.get("image_id")))
        card = card_of.get(_key(entry.get("image_id")))
        if card is None:
            n_orphans += 1
            continue
        category = _key(entry.get("category_id"))
        if category not in label_of:
            label_of[category] = len(classes)
            classes.append((f"unknown category {entry.get('category_id')!r}", _UNKNOWN))
        card.shapes.append(
            Shape(
                id=_plain(entry.get("id")),
                label=label_of[category],
                segmentation=entry.get("segmentation"),
                box_xywh=_box(entry.get("bbox")),
                is_crowd=bool(entry.get("iscrowd")),
            )
        )
    plain = [_finding(finding) for finding in findings]
    loose = _assign(plain, cards, card_of, image_of)
    notes = list(_unusable(coco))
    if n_orphans:
        notes.append(f"Of no photo of the file: {counted(n_orphans, 'annotation')}.")
    shown = _limited(cards, plain, limit)
    if 0 < len(shown) < len(cards):
        notes.append(f"{len(shown):,} of {len(cards):,} photos are shown, as asked for.")
    return Cards(shown, classes, plain, loose, notes)


def _unusable(coco: Mapping[str, Any]) -> Iterator[str]:
    for key, noun in (("images", "image"), ("annotations", "annotation")):
        entries = coco.get(key)
        n_left = len(entries) - len(_objects(coco, key)) if isinstance(entries, list) else 0
        if n_left:
            yield f"Not shown, for it is no object of JSON: {counted(n_left, noun)}."


def _cards(coco: Mapping[str, Any]) -> tuple[list[Card], dict[Hashable, Card]]:
    cards: list[Card] = []
    card_of: dict[Hashable, Card] = {}
    for number, entry in enumerate(_objects(coco, "images"), start=1):
        name, source = entry.get("file_name"), entry.get("source")
        card = Card(
            number=number,
            image_id=_plain(entry.get("id")),
            file_name=name if isinstance(name, str) else "",
            size_hw=_size(entry.get("height"), entry.get("width")),
            # A merged file names all sources of a photo that several have as "a+b".
            sources=source.split("+") if isinstance(source, str) and source else [],
        )
        cards.append(card)
        if entry.get("id") is not None:
            card_of.setdefault(_key(entry["id"]), card)
    return cards, card_of


def _assign(
    findings: list[dict[str, Any]],
    cards: list[Card],
    card_of: Mapping[Hashable, Card],
    image_of: Mapping[Hashable, Hashable],
) -> list[int]:
    """Enter each finding at its photo; return the positions of those that have none."""
    by_name = {card.file_name: card for card in reversed(cards) if card.file_name}
    loose = []
    for position, finding in enumerate(findings):
        card = None
        # Of two photos with one id, the name tells which is meant.
        named = by_name.get(finding["file_name"])
        if named is not None and finding["image_id"] in (None, named.image_id):
            card = named
        elif finding["image_id"] is not None:
            card = card_of.get(_key(finding["image_id"]))
        elif finding["annotation_id"] is not None:
            card = card_of.get(image_of.get(_key(finding["annotation_id"])))
        if card is None:
            loose.append(position)
        else:
            card.findings.append(position)
    return loose


def _limited(cards: list[Card], findings: list[dict[str, Any]], limit: int | None) -> list[Card]:
    if limit is None or len(cards) <= limit:
        return cards

    def rank(card: Card) -> int:
        grades = [SEVERITIES.index(findings[i]["severity"]) for i in card.findings]
        return min(grades, default=len(SEVERITIES))

    chosen = sorted(cards, key=rank)[:limit]
    return sorted(chosen, key=lambda card: card.number)


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        key: str(finding.get(key) or "") for key in ("kind", "severity", "message", "where")
    }
    out["severity"] = out["severity"] if out["severity"] in SEVERITIES else "note"
    name = finding.get("file_name")
    out["file_name"] = name if isinstance(name, str) else None
    return out | {key: _plain(finding.get(key)) for key in ("image_id", "annotation_id")}


def describe(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> list[dict[str, str]]:
    """Return classes as the page takes them."""
    return [{"name": name, "colour": hex_colour(rgb)} for name, rgb in classes]


def _objects(coco: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = coco.get(key)
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list) else []


def _hashable(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": _key(entry.get("id")), "name": entry.get("name")} for entry in entries]


def _key(value: Any) -> Hashable:
    """Return what a value is found by; 7, 7.5, "7" and True are four ids."""
    return (type(value).__name__, value) if isinstance(value, (int, float, str)) else repr(value)


def _plain(value: Any) -> int | str | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if value is None or is_whole or isinstance(value, str) else repr(value)


def _size(height: Any, width: Any) -> tuple[int, int] | None:
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in (height, width))
    # pycocotools counts the pixels of a mask in 32 bits.
    fits = whole and min(height, width) >= 1 and height * width < 2**31
    return (height, width) if fits else None


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        return None
    if not all(isinstance(v, (int, float)) for v in value):
        return None
    try:
        x, y, width, height = map(float, value)
    except OverflowError:  # whole numbers of JSON have any number of digits
        return None
    box = x, y, width, height
    return box if all(map(math.isfinite, box)) else None
