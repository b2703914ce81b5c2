"""Splitting COCO files: draws, groups, lists, what is missing, what is written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from datasets_tools import split
from fashion_mmdet.core.errors import FashionError

NAMES = [f"{i:04}.jpg" for i in range(100)]
SHARES = (0.7, 0.1, 0.2)


def coco_of(names: list[str]) -> dict:
    """Return a COCO file with two instances an image, of categories 5 and (odd images) 9."""
    return {
        "info": {"description": "made"},
        "categories": [{"id": 9, "name": "dress"}, {"id": 5, "name": "shoe"},
                       {"id": 7, "name": "tie"}],
        "images": [
            {"id": i, "file_name": name, "height": 4, "width": 4} for i, name in enumerate(names)
        ],
        "annotations": [
            {"id": 2 * i + k, "image_id": i, "category_id": 9 if k and i % 2 else 5}
            for i in range(len(names))
            for k in range(2)
        ],
    }


def save(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# --- make_lists


def test_make_lists_parts_all_images_by_the_shares():
    lists = split.make_lists(NAMES, SHARES)
    assert {name: len(part) for name, part in lists.items()} == {"train": 70, "val": 10, "test": 20}
    assert sorted(sum(lists.values(), [])) == NAMES


def test_make_lists_ignores_the_order_and_follows_the_seed():
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    assert split.make_lists(shuffled, SHARES) == split.make_lists(NAMES, SHARES)
    assert split.make_lists(NAMES, SHARES, seed=1) != split.make_lists(NAMES, SHARES)


def test_make_lists_draw_never_changes():
    # A change of the rule would move the test photos of everyone who draws a split.
    lists = split.make_lists(NAMES[:10], (0.6, 0.2, 0.2))
    assert lists["val"] == ["0004.jpg", "0007.jpg"]
    assert lists["test"] == ["0005.jpg", "0008.jpg"]


def test_make_lists_keeps_groups_together():
    groups = [[f"{i:04}", f"{i + 50:04}.jpg", f"{i + 70:04}"] for i in range(0, 20)]
    for seed in range(5):
        lists = split.make_lists(NAMES, SHARES, seed, groups)
        split_of = {name: part for part, names in lists.items() for name in names}
        assert sorted(split_of) == NAMES
        assert len(lists["test"]) == 20 and len(lists["val"]) == 10
        for i in range(0, 20):
            assert len({split_of[f"{j:04}.jpg"] for j in (i, i + 50, i + 70)}) == 1


def test_make_lists_group_member_without_image_plays_no_part():
    lists = split.make_lists(NAMES, SHARES, groups=[["0001", "9999"]])
    assert lists == split.make_lists(NAMES, SHARES)


def test_make_lists_image_in_two_groups_is_refused():
    with pytest.raises(FashionError, match="0002.jpg.*in two"):
        split.make_lists(NAMES, SHARES, groups=[["0001", "0002"], ["0002", "0003"]])


@pytest.mark.parametrize(
    "shares", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (1, 0, float("nan"))]
)
def test_make_lists_shares_that_are_none_are_refused(shares):
    with pytest.raises(FashionError, match="add up to 1"):
        split.make_lists(NAMES, shares)


# --- split_coco


def test_split_coco_parts_hold_their_images_and_annotations_alone():
    coco = coco_of(NAMES[:6])
    lists = {"train": ["0000", "0003.jpg", "0004"], "val": ["0001"], "test": ["0005", "0002"]}
    parts, report = split.split_coco(coco, lists)
    assert [i["file_name"] for i in parts["test"]["images"]] == ["0002.jpg", "0005.jpg"]
    assert [a["id"] for a in parts["test"]["annotations"]] == [4, 5, 10, 11]
    assert all(part["categories"] == coco["categories"] for part in parts.values())
    assert parts["val"]["info"] == coco["info"]
    assert report.n_images == {"train": 3, "val": 1, "test": 2}
    assert report.n_per_category["shoe"] == {"train": 5, "val": 1, "test": 3}
    assert report.n_per_category["dress"] == {"train": 1, "val": 1, "test": 1}


def test_split_coco_image_in_two_lists_is_refused():
    with pytest.raises(FashionError, match="'0001.jpg'.*train list too"):
        split.split_coco(coco_of(NAMES[:3]), {"train": ["0001"], "test": ["0001.jpg"]})


def test_split_coco_group_in_two_lists_is_refused():
    lists = {"train": ["0001"], "test": ["0002"]}
    with pytest.raises(FashionError, match="0001.jpg in train, 0002.jpg in test"):
        split.split_coco(coco_of(NAMES[:3]), lists, groups=[["0002", "0001"]])


def test_split_coco_missing_and_unlisted_images_are_counted_and_named():
    lists = {"train": ["0001", "7777", "../../etc/passwd"], "test": ["0002"]}
    parts, report = split.split_coco(coco_of(NAMES[:10]), lists)
    assert report.missing == ["7777", "../../etc/passwd"]
    assert report.unlisted == ["0000.jpg", *NAMES[3:10]]
    printed = "\n".join(report.lines())
    assert "not in the annotation file: 2 (7777, ../../etc/passwd)" in printed
    assert "in no list: 8 (0000.jpg, 0003.jpg, 0004.jpg, 0005.jpg, 0006.jpg, ...)" in printed
    assert sum(len(part["images"]) for part in parts.values()) == 2


def test_split_coco_class_without_training_instance_is_warned_of():
    lists = {"train": ["0000"], "test": ["0001"]}  # dress on odd images alone, tie on none
    lines = list(split.split_coco(coco_of(NAMES[:2]), lists)[1].lines())
    assert "warning: no training instance, but others, of: 1 (dress)" in lines
    assert "categories without any instance: 1" in lines


def test_split_coco_stem_of_two_images_is_refused():
    coco = coco_of(["a/1.jpg", "b/1.jpg", "b/1.png"])
    parts, _ = split.split_coco(coco, {"train": ["a/1", "b/1.png"]})
    assert [i["file_name"] for i in parts["train"]["images"]] == ["a/1.jpg", "b/1.png"]
    with pytest.raises(FashionError, match="b/1.jpg and b/1.png"):
        split.split_coco(coco, {"train": ["b/1"]})


def test_split_coco_file_name_of_two_images_is_refused():
    with pytest.raises(FashionError, match="'a.jpg' 2 times"):
        split.split_coco(coco_of(["a.jpg", "a.jpg"]), {"train": ["a"]})


# --- files


def test_read_list_and_groups_leave_out_comments_and_blank_lines(tmp_path: Path):
    path = save(tmp_path / "x.txt", "# head\r\n\n0001.jpg\r\n  \n0002 0003\n#0004")
    assert split.read_list(path) == ["0001.jpg", "0002 0003"]
    assert split.read_groups(path) == [["0001.jpg"], ["0002", "0003"]]


def test_read_groups_line_with_a_tab_holds_names_with_blanks(tmp_path: Path):
    path = save(tmp_path / "x.txt", "look #1.jpg\tlook #2.jpg\n0001 0002\n")
    assert split.read_groups(path) == [["look #1.jpg", "look #2.jpg"], ["0001", "0002"]]


ODD = ["look #1.jpg", " space .jpg", "#first.jpg", "\\#.jpg", "\\back.jpg", "a\x0b\u2028.jpg", "  "]


def test_lists_names_of_every_kind_round_trip(tmp_path: Path):
    coco = coco_of([*ODD, "space.jpg"])
    parts, _ = split.split_coco(coco, {"train": ODD, "test": ["space.jpg"]})
    split.write_splits(tmp_path, parts, "made")
    lists = split.read_lists(tmp_path)
    assert sorted(lists["train"]) == sorted(ODD)
    again, report = split.split_coco(coco, lists)
    assert again == parts and not report.missing and not report.unlisted


def test_write_splits_name_of_two_lines_is_refused(tmp_path: Path):
    parts, _ = split.split_coco(coco_of(["a\nb.jpg"]), {"train": ["a\nb.jpg"]})
    with pytest.raises(FashionError, match="one line"):
        split.write_splits(tmp_path, parts, "made")
    assert not list(tmp_path.iterdir())


def test_split_coco_blanks_around_a_name_written_by_hand_are_forgiven():
    parts, report = split.split_coco(coco_of(["1.jpg"]), {"train": ["  1 "]})
    assert len(parts["train"]["images"]) == 1 and not report.missing


def test_split_coco_group_member_without_image_is_counted_and_named():
    lists = {"train": ["0000", "0001"]}
    groups = iter([["0000", "0001", "9998"], ["9999"]])
    _, report = split.split_coco(coco_of(NAMES[:2]), lists, groups)
    assert "warning: in a group, but not in the annotation file: 2 (9998, 9999)" in report.lines()


def test_split_coco_empty_part_is_warned_of():
    _, report = split.split_coco(coco_of(NAMES[:2]), {"train": ["0000", "0001"], "val": ["9"]})
    assert "warning: no image in: val" in report.lines()


@pytest.mark.parametrize("stale", ["val.json", "val.txt"])
def test_write_splits_beside_a_part_of_an_earlier_split_is_refused(tmp_path: Path, stale):
    parts, _ = split.split_coco(coco_of(NAMES[:2]), {"train": ["0000"], "test": ["0001"]})
    save(tmp_path / stale, "older")
    with pytest.raises(FashionError, match=f"found {stale} of an earlier one"):
        split.write_splits(tmp_path, parts, "made", force=True)
    assert [p.name for p in tmp_path.iterdir()] == [stale]


def test_write_splits_that_fails_leaves_every_old_file(tmp_path: Path):
    old = split.split_coco(coco_of(NAMES[:2]), {"train": ["0000"], "test": ["0001"]})[0]
    split.write_splits(tmp_path, old, "old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    new = split.split_coco(coco_of(NAMES[:2]), {"train": ["0001"], "test": ["0000"]})[0]
    new["test"]["info"] = object()  # cannot be written, and train comes first
    with pytest.raises(TypeError):
        split.write_splits(tmp_path, new, "new", force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_main_fractions_then_lists_give_the_same_split(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES)))
    groups = save(tmp_path / "groups.txt", "0001 0002 0003\n")
    drawn, listed = tmp_path / "drawn", tmp_path / "listed"
    assert split.main([str(ann), "--fractions", "0.7", "0.1", "0.2", "--seed", "3",
                       "--groups", str(groups), "--out", str(drawn)]) == 0
    assert split.main([str(ann), "--lists", str(drawn), "--out", str(listed)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "images: 70 train, 10 val, 20 test"
    for name in split.SPLITS:
        assert (drawn / f"{name}.json").read_bytes() == (listed / f"{name}.json").read_bytes()
        assert split.read_list(drawn / f"{name}.txt") == split.read_list(listed / f"{name}.txt")
    assert "--fractions 0.7 0.1 0.2 --seed 3 --groups groups.txt" in (
        drawn / "val.txt"
    ).read_text()


def test_main_checks_the_groups_beside_the_lists(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:2])))
    save(tmp_path / "train.txt", "0000\n")
    save(tmp_path / "test.txt", "0001\n")
    save(tmp_path / "groups.txt", "0000 0001\n")
    arguments = [str(ann), "--lists", str(tmp_path), "--out", str(tmp_path / "out")]
    assert split.main(arguments) == 1
    assert "Move them together" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_main_existing_split_needs_force(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:5])))
    save(tmp_path / "val.json", "old")
    arguments = [str(ann), "--fractions", "0.6", "0.2", "0.2", "--out", str(tmp_path)]
    assert split.main(arguments) == 1
    assert (tmp_path / "val.json").read_text() == "old"
    assert not (tmp_path / "train.json").exists()
    assert split.main([*arguments, "--force"]) == 0
    assert json.loads((tmp_path / "val.json").read_text())["images"]


def test_main_folder_without_lists_says_what_it_expects(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:2])))
    assert split.main([str(ann), "--lists", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "train.txt, val.txt, test.txt" in capsys.readouterr().err


# --- the fixed lists of Clothing Co-Parsing


@pytest.fixture
def ccp_lists(repo_dir: Path) -> Path:
    return repo_dir / "datasets_tools" / "splits" / "ccp"


def test_ccp_lists_are_disjoint_and_keep_groups_together(ccp_lists: Path):
    lists = split.read_lists(ccp_lists)
    assert {name: len(part) for name, part in lists.items()} == {
        "train": 649, "val": 57, "test": 150,
    }
    split_of = {name: part for part, names in lists.items() for name in names}
    assert len(split_of) == 649 + 57 + 150
    groups = split.read_groups(ccp_lists / "groups.txt")
    assert len(groups) == 8
    for group in groups:
        assert len({split_of[f"{stem}.jpg"] for stem in group}) == 1


def test_ccp_lists_are_what_their_first_line_says(ccp_lists: Path):
    # All the listed names drawn afresh: no photo is needed to tell a list edited by hand.
    lists = split.read_lists(ccp_lists)
    groups = split.read_groups(ccp_lists / "groups.txt")
    names = sum(lists.values(), [])
    assert split.make_lists(names, (0.758, 0.067, 0.175), 0, groups) == lists
    for name, part in lists.items():
        assert (ccp_lists / f"{name}.txt").read_text().splitlines()[0] == (
            f"# {name}: {len(part)} images. fashion data split "
            "--fractions 0.758 0.067 0.175 --seed 0 --groups groups.txt"
        )


def test_ccp_lists_name_the_real_photos(shared_dir: Path, ccp_lists: Path):
    photos = shared_dir / "data" / "ccp" / "photos"
    if not photos.is_dir():
        pytest.skip(f"no real photos at {photos}")
    listed = set(sum(split.read_lists(ccp_lists).values(), []))
    real = {path.name for path in photos.iterdir()}
    # 0536 has a label map of background alone; the converter leaves it out.
    assert real - listed == {"0536.jpg"} and listed <= real
