"""The iMaterialist converter: the real rows pixel by pixel, and every fault planted once."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from datasets_tools import csv_rows
from datasets_tools.sources import imaterialist
from datasets_tools.sources.imaterialist import convert as convert_csv
from fashion_mmdet.commands import main
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES, CLASSES_46
from fashion_mmdet.core.rle import decode

HEADER = "ImageId,EncodedPixels,Height,Width,ClassId"
HEIGHT_PX, WIDTH_PX = 4, 6
GOOD = ["a,1 2,4,6,23", "a,5 4,4,6,6_1_2", "b.jpg,24 1,4,6,0"]


def descriptions(names=CLASSES_46, first_id=0):
    return {
        "info": {},
        "categories": [{"id": first_id + i, "name": name} for i, name in enumerate(names)],
        "attributes": [{"id": i, "name": f"attribute {i}", "level": 1} for i in range(4)],
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with two photos, the descriptions and, by ``put``, a CSV."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.JPG"):
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "photos" / name, "JPEG")
    (tmp_path / "labels.json").write_text(json.dumps(descriptions()))
    return tmp_path


def put(folder, rows, header=HEADER, end="\n"):
    path = folder / "train.csv"
    path.write_bytes("".join(f"{line}{end}" for line in [header, *rows]).encode())
    return path


def convert(folder, rows=None, **options):
    if rows is not None:
        put(folder, rows)
    out = folder / "out" / "all.json"
    report = convert_csv(
        folder / "train.csv", folder / "labels.json", folder / "photos", out,
        progress=False, **options,
    )  # fmt: skip
    return report, read_coco(out)


def names_of(data):
    name_of = {c["id"]: c["name"] for c in data["categories"]}
    return [name_of[a["category_id"]] for a in data["annotations"]]


def slow_decode(text, height_px, width_px):
    """Decode as the format's description says, with loops and no library.

    Pixels are numbered from one, from top to bottom and then from left to right.
    """
    mask_HW = np.zeros((height_px, width_px), dtype=np.uint8)
    words = [int(word) for word in text.split()]
    for start, length in zip(words[0::2], words[1::2], strict=True):
        pixel, last = start, start + length - 1
        while pixel <= last:
            column, row = divmod(pixel - 1, height_px)
            n_in_column = min(height_px - row, last - pixel + 1)
            mask_HW[row : row + n_in_column, column] = 1
            pixel += n_in_column
    return mask_HW


def test_slow_decode_small_mask_as_drawn_by_hand():
    assert slow_decode("2 3 8 2", 3, 3).tolist() == [[0, 1, 0], [1, 0, 1], [1, 0, 1]]


def test_convert_real_rows_equal_an_independent_decode_pixel_for_pixel(shared_dir, tmp_path):
    source = shared_dir / "data" / "imaterialist"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    report = convert_csv(
        source / "train_excerpt.csv", source / "imaterialist2019_label_descriptions.json", None,
        tmp_path / "all.json", check_photos=False, progress=False,
    )  # fmt: skip
    data = read_coco(tmp_path / "all.json")
    csv.field_size_limit(2**31 - 1)
    with open(source / "train_excerpt.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert report.n_masks == len(rows) == len(data["annotations"]) == 9
    assert report.bad.total == 0 and report.notes == ()
    assert data["images"] == [
        {"id": 1, "file_name": rows[0]["ImageId"] + ".jpg", "height": 5214, "width": 3676}
    ]
    for number, (row, annotation) in enumerate(zip(rows, data["annotations"], strict=True), 1):
        mask_HW = slow_decode(row["EncodedPixels"], 5214, 3676)
        assert np.array_equal(decode(annotation["segmentation"]), mask_HW)
        ys, xs = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
        box = [xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1]
        assert annotation["bbox"] == box and annotation["area"] == mask_HW.sum()
        assert annotation["id"] == number and annotation["source_line"] == number + 1
    expected = [CLASSES[int(row["ClassId"])] for row in rows]
    assert names_of(data) == expected and "sleeve" in expected


def test_convert_good_rows_keep_attributes_lines_and_all_49_categories(folder):
    report, data = convert(folder, GOOD)
    assert [c["name"] for c in data["categories"]] == list(CLASSES)
    assert names_of(data) == ["shoe", "pants", "shirt, blouse"]
    assert [a["attribute_ids"] for a in data["annotations"]] == [[], [1, 2], []]
    assert [a["source_line"] for a in data["annotations"]] == [2, 3, 4]
    assert data["attributes"][1] == {"id": 1, "name": "attribute 1"}
    assert [(i["id"], i["file_name"]) for i in data["images"]] == [(1, "a.jpg"), (2, "b.JPG")]
    assert report.masks_per_class["pants"] == 1 and report.masks_per_class["skirt"] == 0
    assert report.summary().endswith("2 images, 3 masks, 3 of 46 classes, 0 bad rows skipped")


def test_convert_rows_of_an_image_apart_and_with_or_without_suffix_are_one_image(folder):
    _, data = convert(folder, ["a,1 2,4,6,0", "b,1 1,4,6,1", "a.jpg,9 1,4,6,2", "b.jpg,5 1,4,6,3"])
    assert [a["image_id"] for a in data["annotations"]] == [1, 2, 1, 2]
    assert len(data["images"]) == 2


def test_convert_shuffled_descriptions_go_by_name(folder):
    names = list(reversed(CLASSES_46))
    (folder / "labels.json").write_text(json.dumps(descriptions(names, first_id=100)))
    _, data = convert(folder, [f"a,1 2,4,6,{100 + names.index('sleeve')}"])
    assert names_of(data) == ["sleeve"]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda d: d["categories"][23].update(name="shoes"), OntologyError, "Did you mean 'shoe'"),
        (lambda d: d["categories"][1].update(id=0), OntologyError, "each id once"),
        (lambda d: d["categories"][1].update(name="shirt, blouse"), OntologyError, "each name"),
        (lambda d: d.pop("attributes"), AnnotationError, "no 'attributes'"),
        (lambda d: d.update(categories=[]), AnnotationError, "no 'categories'"),
        (lambda d: d["attributes"][2].pop("id"), AnnotationError, "attributes[2]"),
    ],
)
def test_convert_faulty_descriptions_stop_at_once(folder, change, error, said):
    data = descriptions()
    change(data)
    (folder / "labels.json").write_text(json.dumps(data))
    with pytest.raises(error) as caught:
        convert(folder, GOOD)
    assert said in str(caught.value) and not (folder / "out").exists()


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ("a,1 2 3,4,6,0", "odd count", "3 numbers"),
        ("a,0 2,4,6,0", "start below 1", "'0 2'"),
        ("a,1 0,4,6,0", "empty run", "'1 0'"),
        ("a,1 4 3 2,4,6,0", "overlap", "'3 2'"),
        ("a,24 2,4,6,0", "out of range", "24 pixels"),
        ("a,,4,6,0", "no mask", "got no mask"),
        ("a,1 x,4,6,0", "junk numbers", "'x'"),
        ("a,1 2,4,6,46", "unknown class", "got 46"),
        ("a,1 2,4,6,", "unknown class", "''"),
        ("a,1 2,4,6,6_", "unknown class", "'6_'"),
        ("a,1 2,4,6,00000000000000000023", "unknown class", "'6_1_2'"),
        ("a,1 2,4,6,6_1_77", "unknown attribute", "77"),
        ("a,1 2,4,6.0,0", "size", "'6.0'"),
        ("a,1 2,,6,0", "size", "''"),
        ("a,1 2,0,6,0", "size", "'0'"),
        ("c,1 2,4,6,0", "missing photo", "'c'"),
        (",1 2,4,6,0", "image name", "''"),
        ("../photos/a,1 2,4,6,0", "image name", "inside"),
        ("/etc/a,1 2,4,6,0", "image name", "inside"),
        ("torn,1 2,4,6,0", "unreadable photo", "torn.jpg"),
        ("a,1 2,6,4,0", "size swapped", "6 x 4"),
        ("a,1 2,8,12,0", "size differs from photo", "8 x 12"),
        ("turned,1 2,4,6,0", "EXIF orientation", "orientation 6"),
        ("a,1 1 2 1,4,6,23", "duplicate mask", "line 2"),
        ("a,1 2", "number of fields", "got 2"),
        ("a,1 2,4,6,0,1", "number of fields", "got 6"),
        ('a,"1 2,4,6,0', "number of fields", "quote"),
        ('a,"1 2"x,4,6,0', "number of fields", "quote"),
    ],
)
def test_convert_bad_row_is_named_counted_and_skipped(folder, capsys, row, kind, said):
    (folder / "photos" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(folder / "photos" / "turned.jpg", exif=exif)
    report, data = convert(folder, [GOOD[0], row, *GOOD[1:]])
    assert dict(report.bad.counts) == {kind: 1}
    (message,) = report.bad.first[kind]
    assert message.startswith("train.csv:3: ") and said in message
    assert f"skipped ({kind}): {message}" in capsys.readouterr().err
    assert f"skipped 1 bad row: 1 {kind}" in report.summary()
    # What is skipped changes no other row's number.
    assert [a["id"] for a in data["annotations"]] == [1, 3, 4]
    assert [a["source_line"] for a in data["annotations"]] == [2, 4, 5]
    assert {i["file_name"] for i in data["images"]} == {"a.jpg", "b.JPG"}


def test_convert_field_broken_over_lines_costs_these_lines_alone(folder):
    report, data = convert(folder, [GOOD[0], 'a,"5 1', '6 1",4,6,0', *GOOD[1:]])
    assert dict(report.bad.counts) == {"number of fields": 2}
    assert [a["source_line"] for a in data["annotations"]] == [2, 5, 6]


def test_convert_sizes_that_differ_within_an_image_are_bad_without_photos(folder):
    rows = [*GOOD, "a,1 1,6,4,0", "../a,1 1,6,4,0"]
    report, data = convert(folder, rows, check_photos=False)
    assert dict(report.bad.counts) == {"size differs within image": 1, "image name": 1}
    assert [i["file_name"] for i in data["images"]] == ["a.jpg", "b.jpg"]


def test_convert_same_mask_of_another_category_or_image_is_kept(folder):
    report, _ = convert(folder, ["a,1 2,4,6,0", "a,1 2,4,6,1", "b,1 2,4,6,0"])
    assert report.n_masks == 3 and report.bad.total == 0


def test_convert_size_is_that_of_the_photo_as_opencv_loads_it(folder):
    import cv2

    rows = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = folder / "photos" / f"o{orientation}.jpeg"
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(path, exif=exif)
        height_px, width_px = cv2.imread(str(path), cv2.IMREAD_COLOR).shape[:2]
        rows.append(f"o{orientation},1 2,{height_px},{width_px},0")
    assert len({row[-5:-2] for row in rows}) == 2  # both ways round occur
    report, data = convert(folder, rows)
    assert report.n_masks == 8
    assert any("3 photos with an EXIF" in note and "e.g. o2.jpeg" in note for note in report.notes)


def test_convert_image_without_a_good_row_is_left_out_and_said(folder):
    report, data = convert(folder, ["a,9 x,4,6,0", GOOD[2]])
    assert [(i["id"], i["file_name"]) for i in data["images"]] == [(2, "b.JPG")]
    assert "1 image left out: no good row" in report.notes


def test_convert_photo_is_opened_once_per_image(folder, monkeypatch):
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or real(*a, **k))
    convert(folder, ["a,1 2,4,6,0", "b,1 2,4,6,0", "a,5 1,4,6,0", "b,5 1,4,6,0"])
    assert len(opened) == 2


def test_convert_bom_windows_line_ends_and_blank_lines_change_nothing(folder):
    put(folder, [*GOOD, "", "  ", ""], header="\ufeff" + HEADER, end="\r\n")
    report, data = convert(folder)
    assert report.n_masks == 3 and report.bad.total == 0
    assert report.notes == ("3 blank rows passed by",)
    _, plain = convert(folder, GOOD)
    assert data == plain


@pytest.mark.parametrize("separator", [";", "\t"])
def test_convert_separators_of_excel_and_its_blank_rows_give_the_same_and_are_said(
    folder, separator
):
    def parted(line):
        return line.replace(",", separator)

    put(folder, [parted(row) for row in [*GOOD, ",,,,", ",,,,"]], parted(HEADER), end="\r\n")
    report, data = convert(folder)
    word = {";": "semicolons", "\t": "tabs"}[separator]
    assert report.notes == (
        f"train.csv: its fields are parted by {word}, not commas, as Excel does",
        "2 blank rows passed by",
    )
    assert data == convert(folder, GOOD)[1] and not report.bad.total


def test_convert_utf_16_is_refused_and_excel_named(folder):
    (folder / "train.csv").write_text("\n".join([HEADER, *GOOD]), encoding="utf-16")
    with pytest.raises(FashionError, match=r"train\.csv: .*got UTF-16, as Excel writes it"):
        convert(folder)


def long_row(name, n_characters):
    """Return a row whose runs, all good, have so many characters (a multiple of 8, less 1)."""
    runs = " ".join(f"{start} 1" for start in range(10_000, 90_000, 2))[:n_characters]
    assert len(runs) == n_characters and runs.endswith(" 1")
    return f"{name},{runs},60000,2,0"


def test_convert_cell_that_excel_cut_is_a_bad_row_unless_a_longer_one_came(folder):
    cut, longer, shorter = long_row("a", 32_767), long_row("a", 32_775), long_row("a", 32_759)
    report, data = convert(folder, [cut, shorter, "b,1 2,4,6,0"], check_photos=False)
    assert dict(report.bad.counts) == {"cut by Excel": 1}
    (message,) = report.bad.first["cut by Excel"]
    assert message.startswith("train.csv:2: ") and "32,767 characters, where Excel cuts" in message
    assert [a["id"] for a in data["annotations"]] == [2, 3]
    # Cut after a number's end, the blank that follows is the last character.
    blank = cut.replace(" 1,60000", "1 ,60000")
    report, _ = convert(folder, [blank, shorter], check_photos=False)
    assert dict(report.bad.counts) == {"cut by Excel": 1}
    # No file of Excel has a longer one.
    report, data = convert(folder, [longer, cut], check_photos=False)
    assert not report.bad.total and len(data["annotations"]) == 2


def test_convert_quoted_fields_and_other_column_order_are_read(folder):
    long_mask = " ".join(f"{start} 1" for start in range(1, 60_000, 2))
    assert len(long_mask) > 131_072  # the csv module's own limit of a field
    put(folder, [f'"0","{long_mask}","a","300","200","x"'],
        header='ClassId,"EncodedPixels",ImageId,Height,Width,Extra')  # fmt: skip
    report, data = convert(folder, check_photos=False)
    assert data["annotations"][0]["area"] == 30_000
    assert report.notes == ("columns not used: Extra",)


@pytest.mark.parametrize("kept", [" 4", ",4", ",4,", ",4,6"])
def test_convert_file_cut_in_a_row_reports_that_row_and_says_so(folder, kept):
    path = put(folder, GOOD)
    path.write_bytes(path.read_bytes() + f"a,9{kept}".encode())
    report, _ = convert(folder)
    assert dict(report.bad.counts) == {"number of fields": 1}
    assert "does not end in a line break" in report.notes[0]


@pytest.mark.parametrize(
    "header", ["ImageId,EncodedPixels,Height,Width", HEADER + ",Width", "", "PK\x03\x04"]
)
def test_convert_missing_or_double_column_is_fatal(folder, header):
    put(folder, GOOD, header=header)
    with pytest.raises(AnnotationError, match=r"train\.csv:1: the columns ImageId"):
        convert(folder)
    assert not list(folder.glob("out/*")) and not list(folder.glob("out/.*"))


@pytest.mark.parametrize("content", [b"", HEADER.encode(), HEADER.encode() + b"\n\n"])
def test_convert_file_without_rows_writes_nothing(folder, content):
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(AnnotationError):
        convert(folder)
    assert not list(folder.glob("out/*")) and not list(folder.glob("out/.*"))


def test_convert_bad_rows_up_to_the_limit_pass_and_one_more_writes_nothing(folder):
    rows = [*GOOD, "a,1 x,4,6,0", "a,0 1,4,6,0"]
    convert(folder, rows, max_bad_rows=2)
    older = (folder / "out" / "all.json").read_text()
    with pytest.raises(AnnotationError, match="at most 1 bad row expected, got 2") as caught:
        convert(folder, rows, max_bad_rows=1)
    assert "1 junk numbers, 1 start below 1" in str(caught.value)
    assert [p.name for p in (folder / "out").iterdir()] == ["all.json"]
    assert (folder / "out" / "all.json").read_text() == older


def test_convert_stopped_midway_leaves_nothing(folder, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("datasets_tools.sources.imaterialist_rows.kaggle_to_instance", stop)
    with pytest.raises(KeyboardInterrupt):
        convert(folder, GOOD)
    assert list((folder / "out").iterdir()) == []


def test_convert_csv_that_grows_meanwhile_is_refused(folder, monkeypatch):
    real = imaterialist.Labels.parse

    def parse(*args):
        with open(folder / "train.csv", "a") as stream:
            stream.write("a,1 1,4,6,0\n")
        return real(*args)

    monkeypatch.setattr(imaterialist.Labels, "parse", parse)
    with pytest.raises(FashionError, match="has changed"):
        convert(folder, GOOD)
    assert list((folder / "out").iterdir()) == []


def test_convert_one_photo_under_two_spellings_is_one_image(folder):
    data = convert(folder, [*GOOD, "./a,9 2,4,6,7", "x/../a.jpg,13 2,4,6,8"])[1]
    assert [image["file_name"] for image in data["images"]] == ["a.jpg", "b.JPG"]
    assert len(data["annotations"]) == 5


def test_convert_missing_files_are_errors_that_name_them(folder):
    put(folder, GOOD)
    for missing in ("train.csv", "labels.json", "photos"):
        (folder / missing).rename(folder / "away")
        with pytest.raises(FashionError, match=missing.replace(".", r"\.")):
            convert(folder)
        (folder / "away").rename(folder / missing)


def command(folder, *options):
    words = [str(folder / "train.csv"), "--descriptions", str(folder / "labels.json")]
    words += ["--out", str(folder / "all.json"), *options]
    return main(["data", "convert", "imaterialist2019", *words])


def test_command_good_csv_prints_the_summary_and_never_overwrites(folder, capsys):
    put(folder, GOOD)
    assert command(folder, "--images", str(folder / "photos")) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{folder / 'all.json'}: 2 images")
    assert command(folder, "--no-check-photos") == 1
    assert "--force" in capsys.readouterr().err
    assert command(folder, "--no-check-photos", "--force") == 0


def test_command_too_many_bad_rows_is_one_line_and_exit_code_1(folder, capsys):
    put(folder, [*GOOD, "a,1 x,4,6,0"])
    assert command(folder, "--no-check-photos", "--max-bad-rows", "0") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not (folder / "all.json").exists()


def test_command_without_photos_folder_asks_for_it(folder, capsys):
    put(folder, GOOD)
    assert command(folder) == 1
    assert "--no-check-photos" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["-1", "many"])
def test_command_impossible_limit_is_wrong_usage(folder, count):
    with pytest.raises(SystemExit) as caught:
        command(folder, "--max-bad-rows", count)
    assert caught.value.code == 2


@pytest.mark.parametrize("size", ["99999999,6", "99999999,99999999", "65535,65535", "0,6"])
def test_convert_impossible_size_is_a_bad_row(folder, size):
    put(folder, [*GOOD, f"c,1 2,{size},23"])
    report = convert_csv(
        folder / "train.csv", folder / "labels.json", None, folder / "all.json",
        check_photos=False, progress=False,
    )  # fmt: skip
    assert dict(report.bad.counts) == {"size": 1} and report.n_masks == 3


def test_convert_table_of_ones_own_renames_and_leaves_out(folder, capsys):
    put(folder, GOOD)
    assert command(folder, "--images", str(folder / "photos")) == 0
    whole = json.loads((folder / "all.json").read_text())
    used = Counter(
        next(c["name"] for c in whole["categories"] if c["id"] == a["category_id"])
        for a in whole["annotations"]
    )
    first, *others = used
    table = folder / "map.csv"
    rows = [f'"{name}",{"" if name == first else "coat"}' for name in CLASSES]
    table.write_text("\n".join(["name,category", *rows]) + "\n")
    options = ["--images", str(folder / "photos"), "--force", "--map", str(table)]
    assert command(folder, *options) == 0
    mapped = json.loads((folder / "all.json").read_text())
    assert used[first] == 1
    coat = next(c["id"] for c in mapped["categories"] if c["name"] == "coat")
    assert {a["category_id"] for a in mapped["annotations"]} == {coat}
    assert len(mapped["annotations"]) == sum(used[name] for name in others)
    assert "1 mask left out: no category of ours" in capsys.readouterr().out


MANY = [
    *(f"a,{1 + k % 20} 2,4,6,{k}" for k in range(40)),
    *("a,1 2,4,6,0", "a,3 1 3 1,4,6,1", "a,5 2,4,6", "a,1 x,4,6,2", "a,1 1,0,6,3", "z,1 1,4,6,3"),
    *("a,1 1 2,4,6,4", "a,23 3,4,6,5", "a,,4,6,6", "a,1 1,6,4,7", "a,1 1,4,6,99", "a,0 1,4,6,8"),
    *(f"b.jpg,{1 + k % 20} 3,4,6,{k % 46}" for k in range(150)),
]


@pytest.fixture
def shared_out(monkeypatch):
    """Let workers take part in a small CSV too, and in many blocks."""
    monkeypatch.setattr(imaterialist, "_WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", 256)


@pytest.mark.usefixtures("shared_out")
def test_convert_with_workers_same_file_and_same_bad_rows_in_the_same_order(folder, capsys):
    outcomes = []
    for workers in (1, 2):
        report, data = convert(folder, MANY, workers=workers)
        outcomes.append((data, report.bad.counts, capsys.readouterr().err))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][0]["annotations"]) == 190 and len(outcomes[0][1]) >= 10


@pytest.mark.usefixtures("shared_out")
def test_convert_killed_worker_is_said_and_nothing_is_written(folder, monkeypatch):
    real = imaterialist.ordered_map

    def killing(function, items, workers):
        for result in real(function, items, workers):
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
            yield result

    monkeypatch.setattr(imaterialist, "ordered_map", killing)
    with pytest.raises(FashionError, match="--workers 1"):
        convert(folder, MANY * 9, workers=2, max_bad_rows=10**6)
    assert list((folder / "out").iterdir()) == []


def test_convert_workers_end_when_their_parent_is_killed(tmp_path):
    script = (
        "import sys, time\n"
        "from datasets_tools.workers import ordered_map\n"
        "if __name__ == '__main__':\n"
        "    for _ in ordered_map(abs, range(10**9), 2):\n"
        "        import multiprocessing as m\n"
        "        print(*[p.pid for p in m.active_children()], flush=True)\n"
        "        time.sleep(60)\n"
    )
    path = tmp_path / "script.py"
    path.write_text(script)
    with subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True) as process:
        workers = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
