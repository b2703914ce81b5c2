"""The 49 categories, against the table they were drawn from and the organisers' own file."""

from __future__ import annotations

import csv
import json

import pytest

from fashion_mmdet.core.errors import OntologyError, did_you_mean, nearest
from fashion_mmdet.core.ontology import (
    CATEGORIES,
    CLASSES,
    CLASSES_46,
    PALETTE,
    PART_SUPERCATEGORIES,
    SHOE_TYPES,
    SUPERCATEGORIES,
    category,
    coco_categories,
    supercategory,
)


def real_file(shared_dir, *names):
    path = shared_dir.joinpath(*names)
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def test_ontology_ids_are_positions_and_names_are_distinct():
    assert [c.id for c in CATEGORIES] == list(range(49))
    assert len(set(CLASSES)) == 49 and CLASSES[:46] == CLASSES_46
    assert CLASSES[46:] == SHOE_TYPES == ("canvasshoes", "high-heels", "sandals")


def test_ontology_names_that_hold_a_comma_are_one_class():
    # Split at commas, the first two names alone would give four classes too many.
    assert CLASSES[0] == "shirt, blouse" and CLASSES[1] == "top, t-shirt, sweatshirt"
    assert CLASSES[23] == "shoe" and CLASSES[31] == "sleeve" and CLASSES[28] == "collar"


def test_ontology_shoe_types_are_children_of_shoe():
    assert [c.parent for c in CATEGORIES if c.parent] == ["shoe"] * 3
    assert {supercategory(name) for name in SHOE_TYPES} == {supercategory("shoe")}


def test_ontology_equals_the_table_it_was_drawn_from(shared_dir):
    path = real_file(shared_dir, "reference", "ontology.csv")
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [
        (int(r["id"]), r["name"], r["supercategory"], r["parent"] or None) for r in rows
    ] == [(c.id, c.name, c.supercategory, c.parent) for c in CATEGORIES]


@pytest.mark.parametrize("year", [2019, 2020])
def test_ontology_equals_the_organisers_descriptions(shared_dir, year):
    name = f"imaterialist{year}_label_descriptions.json"
    path = real_file(shared_dir, "data", "imaterialist", name)
    entries = json.loads(path.read_text())["categories"]
    assert [(e["id"], e["name"], e["supercategory"]) for e in entries] == [
        (c.id, c.name, c.supercategory) for c in CATEGORIES[:46]
    ]


def test_supercategories_parts_are_among_them():
    assert len(set(SUPERCATEGORIES)) == len(SUPERCATEGORIES)
    assert set(PART_SUPERCATEGORIES) < set(SUPERCATEGORIES)
    assert sum(c.supercategory in PART_SUPERCATEGORIES for c in CATEGORIES) == 19


def test_palette_colours_are_valid_and_distinct():
    assert len(set(PALETTE)) == 49
    assert all(len(c) == 3 and all(0 <= v <= 255 for v in c) for c in PALETTE)


def test_category_unknown_name_is_refused_with_the_nearest():
    assert category("sleeve").id == 31
    with pytest.raises(OntologyError, match=r"^a\.json: .*'snadals'.*Did you mean 'sandals'"):
        category("snadals", "a.json")
    with pytest.raises(OntologyError, match="ontology"):
        category("Shoe")


def test_coco_categories_subset_keeps_ids_and_parents():
    assert coco_categories(["sandals", "dress"]) == [
        {"id": 48, "name": "sandals", "supercategory": "legs and feet", "parent": "shoe"},
        {"id": 10, "name": "dress", "supercategory": "wholebody"},
    ]
    assert [c["name"] for c in coco_categories()] == list(CLASSES)


def test_nearest_nothing_similar_gives_no_suggestion():
    assert nearest("Sandal", CLASSES)[0] == "sandals"
    assert nearest("qqqq", CLASSES) == [] and did_you_mean("qqqq", CLASSES) == ""
