"""Random and stratified draws, and the figures by which they are compared."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from datasets_tools import balance, split, stratify
from datasets_tools.name_lists import NameIndex, units_of
from datasets_tools.sources import ccp
from fashion_mmdet.core.coco import read_coco

NAMES = [f"{i:04}.jpg" for i in range(200)]
ALONE = [[name] for name in NAMES]
SHARES = (0.8, 0.1, 0.1)


def long_tail(seed: int = 0, n_classes: int = 12) -> dict[str, set[str]]:
    """Return classes of NAMES: class k on about a (k + 1)-th part of the photos."""
    draw = random.Random(seed)
    return {
        name: {f"class {k}" for k in range(n_classes) if draw.random() < 0.6 / (k + 1)}
        for name in NAMES
    }


def coco_of(classes_of: dict[str, set[str]]) -> dict:
    classes = sorted(set().union(*classes_of.values()))
    images = [{"id": i, "file_name": n, "height": 4, "width": 4} for i, n in enumerate(classes_of)]
    pairs = [(i, c) for i, shown in enumerate(classes_of.values()) for c in sorted(shown)]
    return {
        "images": images,
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": classes.index(c)}
            for n, (i, c) in enumerate(pairs)
        ],
    }


# --- draws


def test_stratified_parts_every_class_has_its_share():
    # 10 photos of each class alone: 8, 1, 1 is possible, and is what must come out.
    classes_of = {name: {f"class {i // 10}"} for i, name in enumerate(NAMES)}
    for seed in range(3):
        parts = stratify.stratified_parts(ALONE, classes_of, SHARES, seed)
        for k in range(20):
            assert [sum(f"class {k}" in classes_of[n] for n in part) for part in parts] == [8, 1, 1]
        assert sorted(sum(parts, [])) == NAMES


def test_stratified_parts_ignore_the_order_and_follow_the_seed():
    classes_of = long_tail()
    drawn = stratify.stratified_parts(ALONE, classes_of, SHARES, 0)
    shuffled = random.Random(5).sample(ALONE, len(ALONE))
    backwards = dict(reversed(classes_of.items()))
    assert stratify.stratified_parts(shuffled, backwards, SHARES, 0) == drawn
    assert stratify.stratified_parts(ALONE, classes_of, SHARES, 1) != drawn


def test_stratified_parts_draw_never_changes():
    classes_of = {name: {f"class {i % 3}", f"class {i % 7}"} for i, name in enumerate(NAMES[:30])}
    parts = stratify.stratified_parts(ALONE[:30], classes_of, SHARES, 0)
    # A change of the rule, or of the library, would move the test photos of everyone.
    assert parts[1:] == [
        ["0015.jpg", "0018.jpg", "0020.jpg"],
        ["0001.jpg", "0003.jpg", "0026.jpg"],
    ]


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_stratified_parts_share_of_nothing_stays_empty(empty):
    shares = [0.5, 0.5]
    shares.insert(empty, 0)
    parts = stratify.stratified_parts(ALONE, long_tail(), shares, 0)
    assert parts[empty] == [] and sorted(sum(parts, [])) == NAMES


def test_stratified_parts_units_stay_whole_and_large_ones_are_shared_out():
    # Five units of 16 photos are 40 % of all; unless they are dealt alike, the parts' sizes go.
    units = [NAMES[i : i + 16] for i in range(0, 80, 16)] + ALONE[80:]
    for seed in range(5):
        parts = stratify.stratified_parts(units, long_tail(), [0.2] * 5, seed)
        part_of = {name: k for k, part in enumerate(parts) for name in part}
        assert all(len({part_of[name] for name in unit}) == 1 for unit in units)
        assert sorted(part_of[unit[0]] for unit in units[:5]) == [0, 1, 2, 3, 4]


def test_stratified_parts_of_nothing_are_empty():
    assert stratify.stratified_parts([], {}, SHARES, 0) == [[], [], []]


def test_stratified_parts_photo_without_class_is_dealt_too():
    parts = stratify.stratified_parts(ALONE, {name: set() for name in NAMES}, SHARES, 0)
    assert [len(part) for part in parts] == [160, 20, 20]


def test_random_folds_have_equal_sizes_and_keep_units():
    units = [NAMES[:7], NAMES[7:9], *ALONE[9:]]
    folds = stratify.random_folds(units, 4, 3)
    assert [len(fold) for fold in folds] == [50] * 4
    assert any(set(NAMES[:7]) <= set(fold) for fold in folds)
    assert stratify.random_folds(units[::-1], 4, 3) == folds
    assert stratify.random_folds(units, 4, 4) != folds


def test_classes_of_images_crowds_do_not_count():
    coco = coco_of({"a.jpg": {"hat", "tie"}, "b.jpg": set()})
    coco["annotations"][0]["iscrowd"] = 1
    assert stratify.classes_of_images(coco) == {"a.jpg": {"tie"}, "b.jpg": set()}


# --- balance


def balance_by_hand() -> balance.Balance:
    """Return hat: 3 photos, 2 in train and 1 in val; tie: 1 photo with 2 instances, in train."""
    coco = coco_of({"a.jpg": {"hat", "tie"}, "b.jpg": {"hat"}, "c.jpg": {"hat"}, "d.jpg": set()})
    tie = next(a for a in coco["annotations"] if a["category_id"] == 1)
    coco["annotations"].append({**tie, "id": 90})
    coco["annotations"].append({**tie, "id": 91, "image_id": 2, "iscrowd": 1})
    lists = {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg", "d.jpg"], "test": []}
    return balance.measure(coco, lists, {"train": 0.75, "val": 0.25, "test": 0.0})


def test_measure_by_hand():
    found = balance_by_hand()
    assert found.parts == ("train", "val") and found.classes == ("hat", "tie")
    assert found.images_CP.tolist() == [[2, 1], [1, 0]]
    assert found.instances_CP.tolist() == [[2, 1], [2, 0]]
    np.testing.assert_allclose(found.off_CP, [[-25 / 3, 25 / 3], [25, -25]])
    assert found.absent == [("tie", "val")]
    figures = found.figures()
    assert figures["mean off"] == pytest.approx(50 / 3)
    assert figures["largest off"] == pytest.approx(25)
    assert figures["classes absent from a part"] == 1
    assert figures["largest off, size of a part"] == pytest.approx(25)
    assert found.line() == (
        "shares of the classes: off by 16.7 pp on average, 25.0 at most (tie in train); "
        "absent: tie from val"
    )


def test_reports_say_the_same_as_the_figures():
    found = balance_by_hand()
    draws = {"random": [found, found], "stratified": [found, found]}
    text = "\n".join(balance.as_markdown("made so", found, draws))
    assert "| hat | 3 | 2 (66.7 %) | 1 (33.3 %) | 8.3 |" in text
    assert "train 2 (50.0 %, due 75.0 %), val 2 (50.0 %, due 25.0 %)" in text
    assert "of 2 seeds" in text and "| 16.67 (16.67 to 16.67) |" in text
    data = balance.as_json("made so", found, draws)
    assert data["classes"]["hat"]["val"] == {
        "images": 1, "instances": 1, "off": pytest.approx(25 / 3)
    }  # fmt: skip
    assert data["seeds"] == 2 and data["absent"] == [["tie", "val"]]
    assert data["compared"]["random"]["largest off"]["max"] == pytest.approx(25)


def test_measure_without_instances_says_so():
    coco = coco_of({"a.jpg": {"hat"}, "b.jpg": set()})
    found = balance.measure(coco, {"train": ["b.jpg"]}, {"train": 1.0})
    assert found.line() == "shares of the classes: no instances"
    assert found.figures()["mean off"] == 0


def mean_off(coco: dict, groups: list, stratified: bool, seeds: int = 10) -> float:
    index = NameIndex(image["file_name"] for image in coco["images"])
    units, classes_of = units_of(index, groups), stratify.classes_of_images(coco)
    due = dict(zip(split.SPLITS, SHARES, strict=True))
    figures = []
    for seed in range(seeds):
        lists = split.make_lists(index.file_names, SHARES, seed, groups)
        if stratified:
            parts = stratify.stratified_parts(units, classes_of, SHARES, seed)
            lists = dict(zip(split.SPLITS, parts, strict=True))
        figures.append(balance.measure(coco, lists, due).figures()["mean off"])
    return float(np.mean(figures))


def test_stratified_parts_are_nearer_to_their_share_than_random_ones():
    coco, groups = coco_of(long_tail()), [NAMES[:4], NAMES[10:12]]
    assert mean_off(coco, groups, True) < 0.5 * mean_off(coco, groups, False)


@pytest.fixture(scope="module")
def ccp_coco(shared_dir: Path, tmp_path_factory) -> dict:
    root = shared_dir / "data" / "ccp"
    if not root.is_dir():
        pytest.skip(f"no Clothing Co-Parsing at {root}")
    path = tmp_path_factory.mktemp("ccp") / "all.json"
    ccp.convert(root, path, photos="none")
    return read_coco(path)


@pytest.mark.slow  # the conversion takes half a minute
def test_ccp_figures_in_the_docs_are_what_is_measured(ccp_coco, repo_dir: Path):
    groups = split.read_groups(repo_dir / "datasets_tools" / "splits" / "ccp" / "groups.txt")
    text = (repo_dir / "docs" / "results" / "ccp_split.md").read_text(encoding="utf-8")
    row = re.search(r"\| a class is off its share of photos by.*\| ([\d.]+) .*\| ([\d.]+) ", text)
    assert row is not None
    measured = [mean_off(ccp_coco, groups, stratified) for stratified in (False, True)]
    assert [float(row[1]), float(row[2])] == [pytest.approx(value, abs=0.006) for value in measured]
    assert measured[1] < 0.25 * measured[0]
