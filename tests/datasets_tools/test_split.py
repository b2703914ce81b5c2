"""Splitting COCO files: draws, groups, lists, what is missing, what is written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools import split, split_parts
from fashion_mmdet import commands
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


def main(words: list[str]) -> int:
    return commands.main(["data", "split", *words])


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


@pytest.mark.parametrize(("folds", "most_bytes"), [(False, 3000), (True, 800)])
def test_write_splits_on_a_full_disk_leaves_every_old_file(
    tmp_path: Path, folds: bool, most_bytes: int
):
    resource = pytest.importorskip("resource")
    # One file is larger than what there is room for, and small enough to wait in the buffer.
    names = [f"{i:030}.jpg" for i in range(40)]

    def write(train: list[str], test: list[str]) -> None:
        if folds:
            split_parts.write_folds(tmp_path, [train, test], "made", force=True)
        else:
            lists = {"train": train, "val": [], "test": test}
            parts = split.split_coco(coco_of(names), lists)[0]
            split.write_splits(tmp_path, parts, "made", force=True)

    write(names[:1], names[1:2])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        with pytest.raises(OSError, match="too large"):
            write(names[10:], names[:10])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_main_fractions_then_lists_give_the_same_split(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES)))
    groups = save(tmp_path / "groups.txt", "0001 0002 0003\n")
    drawn, listed = tmp_path / "drawn", tmp_path / "listed"
    assert main([str(ann), "--fractions", "0.7", "0.1", "0.2", "--seed", "3",
                 "--groups", str(groups), "--out", str(drawn)]) == 0
    assert main([str(ann), "--lists", str(drawn), "--out", str(listed)]) == 0
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
    assert main(arguments) == 1
    assert "Move them together" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pairs.csv", "set_1,file_name_1,set_2,file_name_2\n,0001.jpg,,0002.jpg\n", "with commas"),
        ("pairs.txt", "set_1,file_name_1,set_2,file_name_2\n,0001.jpg,,0002.jpg\n", "with commas"),
        ("g.csv", "0001 0002\n", "with commas"),
        ("train.txt", "# train\n0001.jpg\n0002.jpg\n", "got 2 lines of one, as in a list"),
        ("g.txt", "0001.jpg\t0002.jpg\nccp/0003.jpg\tccp/0004\n",
         "2 of 4 that differ by their folders, such as ccp/0003.jpg for 0003.jpg"),
        ("g.txt", "7777 8888\n", "got 1 group, none with two photos here: it lacks 2 (7777, 8888)"),
        ("g.txt", "0001 7777\n", "none with two photos here: it lacks 1 (7777)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [["--fractions", "0.6", "0.2", "0.2"], ["--folds", "2"]])
def test_main_group_file_that_does_not_fit_is_refused(
    tmp_path: Path, capsys, name, text, message, how
):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:9])))
    groups, out = save(tmp_path / name, text), tmp_path / "o"
    assert main([str(ann), *how, "--groups", str(groups), "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {groups}: ") and message in line
    assert not out.exists()


def test_main_group_file_of_a_set_before_its_merge_is_refused(tmp_path: Path, capsys):
    # What leaked: groups of 0001.jpg, a set in which it is ccp/photos/0001.jpg.
    names = [f"ccp/photos/{name}" for name in NAMES[:9]]
    ann = save(tmp_path / "all.json", json.dumps(coco_of(names)))
    groups = save(tmp_path / "g.txt", "0001.jpg\t0002.jpg\n")
    words = [str(ann), "--fractions", "0.6", "0.2", "0.2", "--groups", str(groups)]
    assert main([*words, "--out", str(tmp_path / "o")]) == 1
    assert "such as 0001.jpg for ccp/photos/0001.jpg" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# dedupe found none\n", "groups: 0 of 0 groups"),
        ("0001 0002 7777\n8888 9999\n0003 8889\n", "groups: 1 of 3 groups"),
        ("0001\n0002 0003\n", "groups: 1 of 1 groups"),
    ],
)
def test_main_group_file_of_a_larger_set_is_counted(tmp_path: Path, capsys, text, said):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:9])))
    groups = save(tmp_path / "g.txt", text)
    words = [str(ann), "--fractions", "0.6", "0.2", "0.2", "--groups", str(groups)]
    assert main([*words, "--out", str(tmp_path / "o")]) == 0
    assert f"{said} with two photos or more here ({groups})" in capsys.readouterr().out


def test_main_groups_beside_lists_of_a_larger_set_are_counted(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:2])))
    save(tmp_path / "train.txt", "0000.jpg\n0007.jpg\n0008.jpg\n")
    save(tmp_path / "test.txt", "0001.jpg\n")
    save(tmp_path / "groups.txt", "0007 0008\n")
    words = [str(ann), "--lists", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert "groups: 0 of 1 groups with two photos or more here" in capsys.readouterr().out
    save(tmp_path / "groups.txt", "0017 0018\n")  # of no list either: of another set
    assert main([*words, "--force"]) == 1
    assert "none with two photos here" in capsys.readouterr().err


def test_main_lists_of_another_set_are_refused(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of([f"ccp/{name}" for name in NAMES[:2]])))
    save(tmp_path / "train.txt", "0000.jpg\n")
    assert main([str(ann), "--lists", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "none of which it has; it has 2 (ccp/0000.jpg, ...)" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_main_stale_part_that_force_leaves_is_told_before_force_is_advised(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:2])))
    (tmp_path / "lists").mkdir()
    save(tmp_path / "lists" / "train.txt", "0000\n0001\n")
    for name in ("train.json", "val.json"):
        save(tmp_path / name, "old")
    assert main([str(ann), "--lists", str(tmp_path / "lists"), "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "found val.json of an earlier one" in said and "--force" not in said


def test_main_existing_split_needs_force(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:5])))
    save(tmp_path / "val.json", "old")
    arguments = [str(ann), "--fractions", "0.6", "0.2", "0.2", "--out", str(tmp_path)]
    assert main(arguments) == 1
    assert (tmp_path / "val.json").read_text() == "old"
    assert not (tmp_path / "train.json").exists()
    assert main([*arguments, "--force"]) == 0
    assert json.loads((tmp_path / "val.json").read_text())["images"]


def test_main_folder_without_lists_says_what_it_expects(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES[:2])))
    assert main([str(ann), "--lists", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "train.txt, val.txt, test.txt" in capsys.readouterr().err


# --- stratified draws, folds, groups of keys and of photos


def test_main_stratify_gives_each_part_its_share_and_says_so(tmp_path: Path, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES)))
    words = [str(ann), "--fractions", "0.8", "0.1", "0.1", "--seed", "3"]
    assert main([*words, "--stratify", "--out", str(tmp_path / "s")]) == 0
    out = capsys.readouterr().out
    assert "shares of the classes: off by 0.0 pp on average" in out and "at random" not in out
    assert "--seed 3 --stratify\n" in (tmp_path / "s" / "val.txt").read_text()
    for name, count in (("train", 80), ("val", 10), ("test", 10)):
        names = split.read_list(tmp_path / "s" / f"{name}.txt")
        assert len(names) == count and sum(int(n[:4]) % 2 for n in names) == count // 2
    assert main([*words, "--out", str(tmp_path / "r")]) == 0
    assert "drawn at random; --stratify" in capsys.readouterr().out
    drawn = split.read_lists(tmp_path / "r")
    assert drawn == split.make_lists(NAMES, (0.8, 0.1, 0.1), 3)


@pytest.mark.parametrize("stratify", [[], ["--stratify"]])
def test_main_folds_each_image_is_validated_once_and_groups_stay(tmp_path: Path, stratify, capsys):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES)))
    groups = save(tmp_path / "groups.txt", "0001 0002 0003 9999\n")
    words = [str(ann), "--folds", "4", *stratify, "--groups", str(groups), "--out", str(tmp_path)]
    assert main(words) == 0
    folds = [split.read_lists(tmp_path / f"fold{k}") for k in range(4)]
    assert sorted(sum((fold["val"] for fold in folds), [])) == NAMES
    for fold in folds:
        assert set(fold) == {"train", "val"} and 20 <= len(fold["val"]) <= 30
        assert sorted(fold["train"] + fold["val"]) == NAMES
        assert len({"0001.jpg", "0002.jpg", "0003.jpg"} & set(fold["val"])) in (0, 3)
    printed = capsys.readouterr().out
    assert "not in the annotation file: 1 (9999)" in printed
    assert "--lists" in printed and "fold0 --out FOLDER" in printed
    assert main(words) == 1 and "Use --force" in capsys.readouterr().err
    words[2] = "3"
    assert main([*words, "--force"]) == 1
    assert "found fold3 of an earlier one" in capsys.readouterr().err


def test_split_coco_other_spelling_of_a_file_name_is_the_same_image():
    with pytest.raises(FashionError, match=r"'0.jpg' 2 times \(also as './0.jpg'\)"):
        split.split_coco(coco_of(["./0.jpg", "0.jpg"]), {"train": ["0.jpg"]})
    parts, report = split.split_coco(
        coco_of(["./0.jpg", "a//1.jpg"]), {"train": ["0"], "test": ["./a/1.jpg"]}
    )
    assert report.n_images == {"train": 1, "test": 1}
    assert parts["test"]["images"][0]["file_name"] == "a//1.jpg"


@pytest.mark.parametrize("how", [["--folds", "2"], ["--fractions", "0.5", "0.5", "0"]])
def test_main_file_of_a_cache_is_refused(tmp_path: Path, how, capsys):
    coco = {**coco_of(NAMES), "info": {"cached_from": {"annotations": "../all.json"}}}
    ann = save(tmp_path / "train.json", json.dumps(coco))
    assert main([str(ann), *how, "--out", str(tmp_path / "o")]) == 1
    assert "got those of a cache" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_main_group_by_keeps_images_of_one_value_together(tmp_path: Path, capsys):
    coco = coco_of(NAMES)
    for i, image in enumerate(coco["images"][:90]):
        image["pair_id"] = i // 9
    ann = save(tmp_path / "all.json", json.dumps(coco))
    groups = save(tmp_path / "groups.txt", "0000 0095\n")
    words = [str(ann), "--fractions", "0.6", "0.2", "0.2", "--groups", str(groups)]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert "--group-by pair_id keeps those of one together" in capsys.readouterr().out
    for how in ([], ["--stratify"]):
        out = tmp_path / f"b{len(how)}"
        assert main([*words, *how, "--group-by", "pair_id", "--out", str(out)]) == 0
        part_of = {n: part for part, names in split.read_lists(out).items() for n in names}
        for k in range(10):
            assert len({part_of[name] for name in NAMES[9 * k : 9 * k + 9]}) == 1
        assert part_of["0095.jpg"] == part_of["0008.jpg"]  # by 0000, of the same pair
        printed = capsys.readouterr().out
        assert "10 images without 'pair_id', each on its own" in printed
        assert "groups: 10 of two photos and more, the largest of 10" in printed
    lists = ["--lists", str(tmp_path / "a"), "--group-by", "pair_id", "--out", str(tmp_path / "c")]
    assert main([str(ann), *lists]) == 1
    assert "images of a group in one split expected" in capsys.readouterr().err


def test_main_group_larger_than_a_part_is_warned_of(tmp_path: Path, capsys):
    coco = coco_of(NAMES)
    for image in coco["images"][:30]:
        image["source"] = "a"
    ann = save(tmp_path / "all.json", json.dumps(coco))
    words = [str(ann), "--fractions", "0.8", "0.1", "0.1", "--group-by", "source"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 0
    assert "the largest group has 30 photos, more than all of val, test" in capsys.readouterr().out


def photo_set(folder: Path) -> tuple[Path, Path]:
    """Write 20 photos, each odd one the one before it in another size; and their COCO file."""
    (folder / "photos").mkdir()
    for i in range(20):
        grid_HW = np.random.default_rng(i // 2).integers(0, 256, (9, 6), dtype=np.uint8)
        size = (90 - 20 * (i % 2), 135 - 30 * (i % 2))
        image = Image.fromarray(grid_HW).resize(size, Image.Resampling.BICUBIC)
        image.save(folder / "photos" / NAMES[i], quality=95)
    return save(folder / "all.json", json.dumps(coco_of(NAMES[:20]))), folder / "photos"


@pytest.mark.parametrize("how", [["--fractions", "0.6", "0.2", "0.2"], ["--folds", "4"]])
@pytest.mark.parametrize("stratify", [[], ["--stratify"]])
def test_main_images_near_duplicates_stay_together(tmp_path: Path, how, stratify, capsys):
    ann, photos = photo_set(tmp_path)
    words = [str(ann), *how, *stratify, "--images", str(photos), "--out", str(tmp_path / "o")]
    assert main(words) == 0
    assert "copies and near-duplicates: 10" in capsys.readouterr().out
    folders = sorted((tmp_path / "o").glob("fold*")) or [tmp_path / "o"]
    for folder in folders:
        part_of = {n: part for part, names in split.read_lists(folder).items() for n in names}
        assert len(part_of) == 20
        assert all(part_of[NAMES[i]] == part_of[NAMES[i + 1]] for i in range(0, 20, 2))


def test_main_images_near_duplicate_across_lists_is_refused(tmp_path: Path, capsys):
    ann, photos = photo_set(tmp_path)
    save(tmp_path / "train.txt", "".join(f"{n}\n" for n in [*NAMES[:9], *NAMES[10:20]]))
    save(tmp_path / "test.txt", "0009\n")
    words = [str(ann), "--lists", str(tmp_path), "--images", str(photos), "--hashes",
             str(tmp_path / "h.json")]  # fmt: skip
    assert main([*words, "--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert "got 1 pair in two: 0008.jpg  =  0009.jpg  (near-duplicate" in error
    assert not (tmp_path / "o").exists() and (tmp_path / "h.json").exists()
    save(tmp_path / "train.txt", "".join(f"{n}\n" for n in [*NAMES[:8], *NAMES[10:20]]))
    save(tmp_path / "test.txt", "0009\n0008.jpg\n")
    assert main([*words, "--out", str(tmp_path / "o")]) == 0


def test_main_images_copies_tied_by_a_photo_in_no_list_are_refused(tmp_path: Path, capsys):
    ann, photos = photo_set(tmp_path)
    for name in NAMES[1:3]:
        (photos / name).write_bytes((photos / NAMES[0]).read_bytes())
    save(tmp_path / "train.txt", "0001\n")
    save(tmp_path / "test.txt", "0002\n")
    words = [str(ann), "--lists", str(tmp_path), "--images", str(photos)]
    assert main([*words, "--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert "0001.jpg in train, 0002.jpg in test" in error and "0000.jpg" in error
    assert not (tmp_path / "o").exists()


def test_main_report_compares_ten_seeds_of_both_ways(tmp_path: Path):
    ann = save(tmp_path / "all.json", json.dumps(coco_of(NAMES)))
    words = [str(ann), "--fractions", "0.8", "0.1", "0.1", "--force", "--out", str(tmp_path / "o")]
    assert main([*words, "--report", str(tmp_path / "r.json")]) == 0
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["seeds"] == 10 and data["classes"].keys() == {"dress", "shoe"}
    random_off, stratified_off = (data["compared"][w]["mean off"] for w in ("random", "stratified"))
    assert stratified_off["mean"] == pytest.approx(0) and random_off["mean"] > 1
    assert random_off["min"] <= data["figures"]["mean off"] <= random_off["max"]
    assert main([*words, "--report", str(tmp_path / "r.md")]) == 0
    assert "| class | photos | train (due 80.0 %)" in (tmp_path / "r.md").read_text()
    lists = [str(ann), "--lists", str(tmp_path / "o"), "--out", str(tmp_path / "p")]
    assert main([*lists, "--report", str(tmp_path / "l.md")]) == 0
    assert "of 10 seeds" not in (tmp_path / "l.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lists", ".", "--stratify"], "--fractions or --folds expected"),
        (["--folds", "2", "--hashes", "h.json"], "Name it with --images"),
        (["--folds", "2", "--report", "r.txt"], ".md or .json expected"),
        (["--folds", "2", "--report", "old.md"], "Use --force"),
        (["--fractions", "1", "0", "0", "--report", "o/val.json"], "than those of the split"),
        (["--folds", "2", "--group-by", "file_nam"], "Did you mean 'file_name'"),
        (["--fractions", "1", "1", "0", "--stratify"], "add up to 1"),
    ],
)
def test_main_wrong_use_is_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    save(Path("all.json"), json.dumps(coco_of(NAMES[:9])))
    save(Path("old.md"), "old")
    assert main(["all.json", *words, "--out", "o"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert sorted(p.name for p in Path().iterdir()) == ["all.json", "old.md"]


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
