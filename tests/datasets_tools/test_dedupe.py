"""Hashes of photos, pairs of near-duplicates, and what ``fashion data dedupe`` writes."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools import name_lists, near_photos, photo_hashes, split
from datasets_tools.photo_hashes import PhotoHash, hash_photo, hash_photos
from datasets_tools.report import BadRow, BadRows
from fashion_mmdet import commands
from fashion_mmdet.commands import main as cli
from fashion_mmdet.core.errors import AnnotationError, FashionError


def picture(seed: int, size_wh: tuple[int, int] = (120, 180)) -> Image.Image:
    """Return smooth noise, unlike that of any other seed."""
    grid_HW3 = np.random.default_rng(seed).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid_HW3).resize(size_wh, Image.Resampling.BICUBIC)


def ledger(limit: int = 100) -> BadRows:
    return BadRows(limit, "a.json")


def coco_file(path: Path, names: list[str]) -> str:
    images = [{"id": i, "file_name": n, "height": 9, "width": 9} for i, n in enumerate(names)]
    text = json.dumps({"images": images, "annotations": [], "categories": []})
    path.write_text(text, encoding="utf-8")
    return str(path)


def main(*words: object) -> int:
    return commands.main(["data", "dedupe", *map(str, words)])


def bits_apart(one: PhotoHash, other: PhotoHash) -> int:
    return int((one.bits() != other.bits()).sum())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder: 1 and 2 alike, 3 a copy of 1, 4 and 5 of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    picture(1).save(folder / "1.jpg", quality=95)
    picture(1).resize((90, 135)).save(folder / "2.png")
    shutil.copyfile(folder / "1.jpg", folder / "3.jpg")
    picture(4).save(folder / "4.jpg")
    picture(5).save(folder / "5.jpg")
    return folder


NAMES = ["1.jpg", "2.png", "3.jpg", "4.jpg", "5.jpg"]


# --- hashes


def test_hash_photo_same_look_is_near_and_another_far(photos: Path):
    one, small, copy, other = (hash_photo(photos / name) for name in NAMES[:4])
    assert one == copy and one.sha256 != small.sha256
    assert bits_apart(one, small) <= 10 < 90 < bits_apart(one, other)


def test_hash_photo_is_of_the_photo_as_it_is_loaded(tmp_path: Path):
    turned = picture(1).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned.save(tmp_path / "turned.png", exif=exif)
    turned.save(tmp_path / "plain.png")
    picture(1).save(tmp_path / "upright.png")
    upright = hash_photo(tmp_path / "upright.png")
    assert bits_apart(upright, hash_photo(tmp_path / "turned.png")) == 0
    assert bits_apart(upright, hash_photo(tmp_path / "plain.png")) > 60


def test_hash_photo_large_jpeg_is_near_itself_as_png(tmp_path: Path):
    # The JPEG is decoded at a fraction of its size.
    picture(3, (1600, 2400)).save(tmp_path / "large.jpg", quality=90)
    picture(3).save(tmp_path / "small.png")
    assert bits_apart(hash_photo(tmp_path / "large.jpg"), hash_photo(tmp_path / "small.png")) <= 20


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff\xe0 half"])
def test_hash_photo_damaged_is_a_bad_row(tmp_path: Path, content: bytes):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadRow, match="JPEG or PNG photo expected"):
        hash_photo(tmp_path / "a.jpg")


def test_hash_photos_truncated_and_missing_are_counted_and_left_out(photos: Path):
    whole = (photos / "4.jpg").read_bytes()
    (photos / "4.jpg").write_bytes(whole[: len(whole) // 2])
    bad = ledger()
    assert list(hash_photos(photos, [*NAMES, "6.jpg"], bad)) == ["1.jpg", "2.png", "3.jpg", "5.jpg"]
    assert bad.counts == {"unreadable photo": 1, "missing photo": 1}


def test_hash_photos_most_of_them_unreadable_is_refused(photos: Path):
    for name in ("1.jpg", "2.png", "3.jpg"):
        (photos / name).write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(AnnotationError, match=r"got 2 \(3 unreadable photo\)"):
        hash_photos(photos, NAMES, ledger())


def test_hash_photos_name_that_leaves_the_folder_is_refused(photos: Path):
    with pytest.raises(FashionError, match="inside"):
        hash_photos(photos, ["../secret.jpg"], ledger())


def test_hash_photos_kept_hashes_hold_until_the_photo_changes(photos: Path, monkeypatch):
    kept = photos.parent / "hashes.json"
    first = hash_photos(photos, NAMES, ledger(), kept)
    read: list[str] = []

    def spy(path):
        read.append(Path(path).name)
        return hash_photo(path)

    monkeypatch.setattr(photo_hashes, "hash_photo", spy)
    before = kept.stat().st_mtime_ns
    assert hash_photos(photos, NAMES, ledger(), kept) == first and read == []
    assert kept.stat().st_mtime_ns == before
    os.utime(photos / "4.jpg", (1, 1))
    shutil.copyfile(photos / "1.jpg", photos / "5.jpg")
    again = hash_photos(photos, NAMES, ledger(), kept)
    assert sorted(read) == ["4.jpg", "5.jpg"] and again["5.jpg"] == first["1.jpg"]


def test_hash_photos_that_stop_keep_what_was_hashed(photos: Path, monkeypatch):
    kept = photos.parent / "hashes.json"
    with pytest.raises(FashionError, match="at most 0 bad rows"):
        hash_photos(photos, [*NAMES, "gone.jpg"], ledger(0), kept)
    monkeypatch.setattr(photo_hashes, "hash_photo", lambda path: pytest.fail("hashed again"))
    assert len(hash_photos(photos, NAMES, ledger(), kept)) == 5


@pytest.mark.parametrize(
    "content",
    ['{"images": []}', "[]", '{"kind": "KIND", "folders": {"/a": {"b.jpg": [1, 2, "zz", "0"]}}}',
     '{"kind": "KIND", "folders": []}', '{"kind": "phash8", "folders": {}}',
     f'{{"kind": "KIND", "folders": {{"/a": {{"b.jpg": [1, 2, "00", "{"0" * 64}"]}}}}}}',
     "no json"],
)  # fmt: skip
def test_hash_photos_foreign_file_of_hashes_is_refused_and_kept(photos: Path, content: str):
    path = photos.parent / "foreign.json"
    path.write_text(content.replace("KIND", photo_hashes._KIND))
    with pytest.raises(FashionError, match="expected, got"):
        hash_photos(photos, NAMES, ledger(), path)
    assert path.read_text() == content.replace("KIND", photo_hashes._KIND)


# --- pairs


def test_near_rows_are_those_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(
        near_photos, "_BLOCK", 7
    )  # 40 rows: full blocks, a rest, both sides of an edge
    bits_NB = np.random.default_rng(0).random((40, 32)) < 0.5
    bits_NB[33] = bits_NB[2]
    bits_NB[34] = ~bits_NB[2]
    wanted = {
        (i, j, int(d))
        for i in range(40)
        for j in range(i + 1, 40)
        if (d := (bits_NB[i] != bits_NB[j]).sum()) <= 10
    }
    found = list(zip(*(part.tolist() for part in near_photos.near_rows(bits_NB, 10)), strict=True))
    assert set(found) == wanted and len(found) == len(wanted) > 5
    assert any(d == 10 for _, _, d in wanted)


def photo(name: str, part: str = "", path: str = "") -> near_photos.Photo:
    return near_photos.Photo(part, name, path or f"/{part}/{name}")


def look(n_bits: int, sha256: str) -> PhotoHash:
    bits = np.zeros(256, dtype=bool)
    bits[:n_bits] = True
    return PhotoHash(np.packbits(bits).tobytes().hex(), sha256)


def test_find_pairs_tells_files_copies_and_near_duplicates():
    photos = {
        photo("a"): look(0, "x"),
        photo("b"): look(0, "x"),
        photo("c"): look(56, "y"),
        photo("d"): look(113, "z"),
        photo("e", path="//b"): look(0, "x"),
    }
    found = [(p.first.file_name, p.second.file_name, p.kind, p.distance)
             for p in near_photos.find_pairs(photos)]  # fmt: skip
    assert found == [
        ("b", "e", "same file", 0), ("a", "b", "copy", 0), ("a", "c", "near-duplicate", 56),
    ]  # fmt: skip
    same = {photo("a", "p", "/x/a"): look(0, "x"), photo("a", "q", "/x/a"): look(0, "x")}
    assert [p.kind for p in near_photos.find_pairs(same)] == ["same file"]
    assert near_photos.find_pairs({}) == []


def test_find_pairs_of_a_thousand_blank_photos_are_a_thousand():
    photos = {photo(f"{i:04}"): look(0, str(i)) for i in range(1000)}
    pairs = near_photos.find_pairs(photos)
    assert len(pairs) == 999
    assert len(name_lists.connected((p.first, p.second) for p in pairs)) == 1


def test_crossing_names_what_crosses_and_nothing_else(photos: Path):
    def leaks(**names_of: list[str]) -> list[tuple[str, str, str]]:
        found = {}
        for part, names in names_of.items():
            found |= near_photos.photos_of(part, photos, hash_photos(photos, names, ledger()))
        pairs = near_photos.find_pairs(found)
        crossing = near_photos.crossing(pairs, {photo: photo.set_name for photo in found})
        return [(str(p.first), str(p.second), p.kind) for p in crossing]

    assert leaks(train=["1.jpg", "2.png", "3.jpg"], test=["4.jpg", "5.jpg"]) == []
    found = leaks(train=["1.jpg", "3.jpg", "4.jpg"], test=["2.png", "4.jpg"])
    assert ("test: 4.jpg", "train: 4.jpg", "same file") in found
    assert ("test: 2.png", "train: 1.jpg", "near-duplicate") in found
    assert len(found) == 2


# --- the command


def test_run_writes_groups_that_split_reads_and_a_table(photos: Path, tmp_path: Path, capsys):
    (photos / "4.jpg").rename(photos / "look #4.jpg")
    shutil.copyfile(photos / "look #4.jpg", photos / "#5 b.jpg")
    names = ["1.jpg", "2.png", "3.jpg", "look #4.jpg", "#5 b.jpg", "5.jpg"]
    ann, out, table = coco_file(tmp_path / "a.json", names), tmp_path / "g.txt", tmp_path / "t.csv"
    assert main(ann, "--images", photos, "--out", out, "--table", table) == 0
    assert split.read_groups(out) == [["#5 b.jpg", "look #4.jpg"], ["1.jpg", "2.png", "3.jpg"]]
    rows = list(csv.DictReader(table.open()))
    assert [(r["file_name_1"], r["file_name_2"], r["kind"]) for r in rows] == [
        ("#5 b.jpg", "look #4.jpg", "copy"),
        ("1.jpg", "3.jpg", "copy"),
        ("1.jpg", "2.png", "near-duplicate"),
    ]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("6 photos, 2 copies, 1 near-duplicate, 2 groups, the largest of 3")


def test_run_group_file_has_tabs_alone(photos: Path, tmp_path: Path):
    (photos / "3.jpg").rename(photos / "a 3.jpg")
    shutil.copyfile(photos / "4.jpg", photos / "6.jpg")
    names = ["1.jpg", "2.png", "a 3.jpg", "4.jpg", "6.jpg"]
    assert main(coco_file(tmp_path / "a.json", names), "--images", photos, "--out",
                tmp_path / "g.txt") == 0  # fmt: skip
    assert (tmp_path / "g.txt").read_text().splitlines()[1:] == [
        "1.jpg\t2.png\ta 3.jpg", "4.jpg\t6.jpg",
    ]  # fmt: skip


def test_run_one_folder_for_sets_of_two_is_refused(photos: Path, tmp_path: Path, capsys):
    one = coco_file(tmp_path / "train.json", NAMES)
    two = coco_file(tmp_path / "test.json", ["7.jpg", "8.jpg", "1.jpg"])
    out = tmp_path / "g.txt"
    assert main(one, two, "--images", photos, "--out", out) == 1
    said = capsys.readouterr().err
    assert f"the photos of {two} expected, found 1 of 3, without 2 (7.jpg, 8.jpg)" in said
    assert "once for each file" in said and not out.exists()


def test_run_without_pairs_writes_a_group_file_without_groups(photos: Path, tmp_path: Path):
    ann, out = coco_file(tmp_path / "a.json", ["4.jpg", "5.jpg"]), tmp_path / "g.txt"
    assert main(ann, "--images", photos, "--out", out) == 0
    assert split.read_groups(out) == []


def test_run_between_sets_counts_what_crosses(photos: Path, tmp_path: Path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    picture(4).resize((60, 90)).save(other / "1.jpg", quality=95)
    picture(8).save(other / "8.jpg")
    one = coco_file(tmp_path / "train.json", NAMES)
    two = coco_file(tmp_path / "test.json", ["1.jpg", "8.jpg"])
    out = tmp_path / "g.txt"
    assert main(one, two, "--images", photos, "--images", other, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "test: 1.jpg  =  train: 4.jpg  (near-duplicate" in printed
    assert "between sets: 1 of 3 pairs" in printed
    assert "names that mean another photo in another set: 1 (1.jpg, ...)" in printed
    # By names alone, all five of these would be one group.
    assert split.read_groups(out) == [
        ["test/1.jpg", "train/4.jpg"], ["train/1.jpg", "train/2.png", "train/3.jpg"],
    ]  # fmt: skip
    assert printed.splitlines()[-1].endswith(
        "7 photos, 1 copy, 2 near-duplicates, 2 groups, the largest of 3"
    )


def test_run_group_file_of_clashing_names_fits_a_merge_with_prefix(photos: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    picture(4).resize((60, 90)).save(other / "1.jpg", quality=95)
    one = coco_file(tmp_path / "train.json", NAMES)
    two = coco_file(tmp_path / "test.json", ["1.jpg"])
    out, merged = tmp_path / "g.txt", tmp_path / "both.json"
    assert main(one, two, "--images", photos, "--images", other, "--out", out) == 0
    assert cli(["data", "merge", one, two, "--prefix", "--out", str(merged)]) == 0
    known = {image["file_name"] for image in json.loads(merged.read_text())["images"]}
    assert {name for group in split.read_groups(out) for name in group} <= known


def test_run_one_file_given_twice_is_refused(photos: Path, tmp_path: Path, capsys):
    ann = coco_file(tmp_path / "a.json", NAMES)
    again = tmp_path / "b.json"
    again.symlink_to(ann)
    assert main(ann, again, "--images", photos, "--out", tmp_path / "g.txt") == 1
    assert "each once expected" in capsys.readouterr().err


def test_run_sets_of_one_folder_report_a_shared_file(photos: Path, tmp_path: Path, capsys):
    one = coco_file(tmp_path / "train.json", ["4.jpg"])
    two = coco_file(tmp_path / "test.json", ["4.jpg", "5.jpg"])
    assert main(one, two, "--images", photos, "--out", tmp_path / "g.txt") == 0
    printed = capsys.readouterr().out
    assert "test: 4.jpg  =  train: 4.jpg  (same file)" in printed
    assert "another photo in another set" not in printed
    assert split.read_groups(tmp_path / "g.txt") == []
    assert printed.splitlines()[-1].endswith(
        "2 photos, 0 copies, 0 near-duplicates, 1 file in two sets, 0 groups"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "gone"], "folder of the photos expected"),
        (["--images", "photos", "--images", "photos"], "one for each of the 1 annotation"),
        (["--images", "photos", "--table", "g.txt"], "a file for each expected"),
        (["--images", "photos", "--hashes", "g.txt"], "a file for each expected"),
        (["--images", "photos", "--table", "a.json", "--force"], "another file than the input"),
        (["--images", "photos", "--table", "old.csv"], "Use --force"),
        (["--images", "photos", "--max-bad-rows", "0"], "at most 0 bad rows"),
    ],
)
def test_run_fault_is_one_line_and_writes_nothing(
    photos: Path, tmp_path: Path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    coco_file(Path("a.json"), [*NAMES, "missing.jpg"])
    Path("old.csv").write_text("old")
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    assert main("a.json", *words, "--out", "g.txt") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before


# --- Clothing Co-Parsing

#: All pairs of its 857 photos within MAX_DISTANCE, each seen to be one person in one place.
CCP_PAIRS = {("0078", "0984"), ("0183", "0730"), ("0197", "0671"), ("0594", "0722"),
             ("0692", "0732"), ("0907", "0990")}  # fmt: skip


@pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.slow), 12], ids=["all", "each twelfth"]
)
def test_ccp_pairs_are_found_and_no_others(shared_dir: Path, step: int):
    folder = shared_dir / "data" / "ccp" / "photos"
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder}")
    known = {f"{stem}.jpg" for pair in CCP_PAIRS for stem in pair}
    names = sorted(known | {path.name for path in sorted(folder.iterdir())[::step]})
    photos = near_photos.photos_of("", folder, hash_photos(folder, names, ledger(0)))
    found = {
        (p.first.file_name[:4], p.second.file_name[:4]) for p in near_photos.find_pairs(photos)
    }
    assert found == CCP_PAIRS


def test_ccp_altered_photos_are_near_duplicates_of_themselves(shared_dir: Path, tmp_path: Path):
    folder = shared_dir / "data" / "ccp" / "photos"
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder}")
    apart: dict[str, list[int]] = {}
    for path in sorted(folder.iterdir())[::70]:
        with Image.open(path) as image:
            width, height = image.size
            dx, dy = round(width * 0.025), round(height * 0.025)
            altered = {
                "a third the size": image.resize((width // 3, height // 3)),
                "brighter by a quarter": image.point(lambda value: min(255, value * 5 // 4)),
                "a frame smaller by 5 %": image.crop((dx, dy, width - dx, height - dy)),
                "mirrored": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            }
        for how, changed in altered.items():
            changed.save(tmp_path / "a.jpg", quality=60)
            apart.setdefault(how, []).append(
                bits_apart(hash_photo(path), hash_photo(tmp_path / "a.jpg"))
            )
    assert min(apart.pop("mirrored")) > near_photos.MAX_DISTANCE  # as the module says
    assert {
        how: max(bits) for how, bits in apart.items() if max(bits) > near_photos.MAX_DISTANCE
    } == {}


def test_run_folder_whose_name_is_no_utf8_keeps_its_hashes(photos: Path, tmp_path: Path):
    try:
        odd = photos.rename(photos.with_name("\udcff"))
    except (OSError, UnicodeEncodeError):
        pytest.skip("a file system of UTF-8 alone")
    kept = tmp_path / "hashes.json"
    first = hash_photos(odd, NAMES, ledger(), kept)
    before = kept.stat().st_mtime_ns
    assert hash_photos(odd, NAMES, ledger(), kept) == first
    assert kept.stat().st_mtime_ns == before
