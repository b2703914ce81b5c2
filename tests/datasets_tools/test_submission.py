"""The competition's CSV: what is written, read back by the converter, and every fault planted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from datasets_tools.sources import imaterialist
from datasets_tools.submission import (
    SubmissionPhoto,
    check_submission,
    overlaps,
    read_ids,
    require_ids,
    rules,
    write_submission,
)
from fashion_mmdet.commands import main
from fashion_mmdet.core import ontology
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError, MaskError
from fashion_mmdet.core.prediction import Prediction
from fashion_mmdet.core.rle import decode, encode_mask, kaggle_to_coco

HEADER = "ImageId,EncodedPixels,ClassId"
CLASSES = ontology.CLASSES


def rectangle(size_hw, y0, y1, x0, x1):
    mask_HW = np.zeros(size_hw, dtype=bool)
    mask_HW[y0:y1, x0:x1] = True
    return mask_HW


def photo(name, found, classes=CLASSES, size_hw=(8, 8)):
    """Return a photo of [(class name, score, mask_HW)]."""
    return SubmissionPhoto(
        name,
        Prediction(
            classes, size_hw, [classes.index(c) for c, _, _ in found], [s for _, s, _ in found],
            [[0, 0, 1, 1]] * len(found), [encode_mask(m) for _, _, m in found],
        ),
    )  # fmt: skip


def write(tmp_path, photos, **options):
    options = {"size_px": 8, "min_area_px": 1, **options}
    report = write_submission(tmp_path / "s.csv", iter(photos), **options)
    return report, (tmp_path / "s.csv").read_text().splitlines()


LEFT, RIGHT = rectangle((8, 8), 0, 8, 0, 4), rectangle((8, 8), 0, 8, 4, 8)


# What is written


def test_submission_rows_are_kaggles_in_falling_score(tmp_path):
    found = [("dress", 0.5, rectangle((8, 8), 1, 3, 0, 2)), ("shoe", 0.9, RIGHT)]
    report, lines = write(tmp_path, [photo("a.jpg", found)])
    # Column by column from one: column 4 (0-based) begins at pixel 33.
    assert lines == [HEADER, "a.jpg,33 32,23", "a.jpg,2 2 10 2,10"]
    assert (report.n_images, report.n_masks, report.n_empty) == (1, 2, 0)
    assert list(report.lines()) == []


def test_submission_default_grid_is_512_whatever_the_photo(tmp_path):
    wide = photo("a.jpg", [("dress", 0.5, rectangle((30, 60), 0, 30, 0, 30))], size_hw=(30, 60))
    write_submission(tmp_path / "s.csv", [wide])
    assert (tmp_path / "s.csv").read_text() == f"{HEADER}\na.jpg,1 {512 * 256},10\n"


@pytest.mark.parametrize("name", ontology.SHOE_TYPES)
def test_submission_shoe_type_becomes_shoe_and_is_counted(tmp_path, name):
    report, lines = write(tmp_path, [photo("a.jpg", [(name, 0.5, LEFT), ("shoe", 0.4, RIGHT)])])
    assert lines[1:] == ["a.jpg,1 32,23", "a.jpg,33 32,23"]
    assert list(report.lines()) == ["note: masks of shoe types, handed in as 'shoe': 1"]


def test_submission_overlap_within_the_class_as_handed_in_goes_to_the_better(tmp_path):
    middle = rectangle((8, 8), 0, 8, 2, 6)
    found = [("shoe", 0.6, middle), ("sandals", 0.8, LEFT), ("dress", 0.7, middle)]
    report, lines = write(tmp_path, [photo("a.jpg", found)])
    # The dress keeps columns 2 to 5; the shoe, which is of the sandals' class, only 4 and 5.
    assert lines[1:] == ["a.jpg,1 32,23", "a.jpg,17 32,10", "a.jpg,33 16,23"]
    assert "note: masks that lost pixels to a better one of their class: 1" in report.lines()


def test_submission_small_masks_are_left_out_before_they_take_pixels(tmp_path):
    tiny = rectangle((8, 8), 0, 3, 0, 1)
    report, lines = write(
        tmp_path, [photo("a.jpg", [("shoe", 0.9, tiny), ("shoe", 0.5, LEFT)])], min_area_px=4
    )
    assert lines[1:] == ["a.jpg,1 32,23"]
    assert list(report.lines()) == ["note: masks left out, below 4 px at 8 x 8: 1"]


def test_submission_mask_of_exactly_the_least_area_stays(tmp_path):
    found = [("shoe", 0.9, rectangle((8, 8), 0, 4, 0, 1))]
    assert write(tmp_path, [photo("a.jpg", found)], min_area_px=4)[1][1:] == ["a.jpg,1 4,23"]


def test_submission_default_leaves_out_masks_under_20_px(tmp_path):
    whole = (512, 512)
    small, large = rectangle(whole, 0, 19, 0, 1), rectangle(whole, 0, 20, 1, 2)
    found = [("shoe", 0.9, small), ("bow", 0.9, large)]
    write_submission(tmp_path / "s.csv", [photo("a.jpg", found, size_hw=whole)])
    assert (tmp_path / "s.csv").read_text() == f"{HEADER}\na.jpg,513 20,38\n"


def test_submission_mask_that_is_lost_to_a_better_one_is_left_out(tmp_path):
    found = [("shoe", 0.9, LEFT), ("shoe", 0.5, rectangle((8, 8), 0, 8, 1, 3))]
    report, lines = write(tmp_path, [photo("a.jpg", found)])
    assert lines[1:] == ["a.jpg,1 32,23"]
    assert "note: masks left out, below 1 px after that: 1" in report.lines()


@pytest.mark.parametrize(("min_area_px", "rows"), [(4, ["a.jpg,33 4,23"]), (5, [])])
def test_submission_mask_that_a_better_one_makes_small_is_left_out(tmp_path, min_area_px, rows):
    # Of its columns 3 and 4, four pixels high, the last is its own.
    found = [("shoe", 0.9, LEFT), ("shoe", 0.5, rectangle((8, 8), 0, 4, 3, 5))]
    _, lines = write(tmp_path, [photo("a.jpg", found)], min_area_px=min_area_px)
    assert lines[2:] == rows


def test_submission_mask_between_the_grids_centres_is_left_out_and_the_photo_empty(tmp_path):
    # Of 16 rows and columns the grid of 8 shows the odd ones.
    found = [("shoe", 0.9, rectangle((16, 16), 4, 5, 4, 5))]
    report, lines = write(tmp_path, [photo("a.jpg", found, size_hw=(16, 16))], min_area_px=0)
    assert lines[1:] == ["a.jpg,1 1,23"] and report.n_empty == 1
    assert list(report.lines()) == [
        "note: images without a mask, given the row '1 1' of 'shoe': 1",
        "note: masks left out, without a pixel at 8 x 8: 1",
    ]


def test_submission_classes_of_the_user_go_by_name_and_others_are_left_out(tmp_path):
    classes = ("hoodie", "shoe", "dress")
    found = [("hoodie", 0.9, LEFT), ("dress", 0.8, RIGHT), ("hoodie", 0.7, RIGHT)]
    report, lines = write(tmp_path, [photo("a.jpg", found, classes)])
    assert lines[1:] == ["a.jpg,33 32,10"]
    (line,) = report.lines()
    assert line == "note: masks left out, of classes that the competition lacks: 'hoodie' 2"


def test_submission_empty_class_can_be_another(tmp_path):
    assert write(tmp_path, [photo("a.jpg", [])], empty_class=6)[1][1:] == ["a.jpg,1 1,6"]


def test_submission_order_and_absent_photos_follow_the_list(tmp_path):
    photos = [photo("c.jpg", [("shoe", 0.9, LEFT)]), photo("x.jpg", [("shoe", 0.9, LEFT)]),
              photo("a", [("bow", 0.9, RIGHT), ("bow", 0.8, LEFT)])]  # fmt: skip
    report, lines = write(tmp_path, photos, ids=["a.jpg", "b.jpg", "c.jpg"])
    assert lines[1:] == [
        "a.jpg,33 32,38", "a.jpg,1 32,38", "b.jpg,1 1,23", "c.jpg,1 32,23"
    ]  # fmt: skip
    assert (report.n_images, report.n_masks, report.n_empty) == (3, 3, 1)
    assert report.unpredicted == ["b.jpg"] and report.unlisted == ["x.jpg"]
    told = "\n".join(report.lines())
    assert "not predicted, given the row of an empty one: 1 (b.jpg)" in told
    assert "photos left out, not in the list: 1 (x.jpg)" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.csv"]


def test_submission_without_a_list_adds_the_suffix_and_keeps_the_order(tmp_path):
    _, lines = write(tmp_path, [photo("b", []), photo("a,1.png", [])])
    assert lines[1:] == ["b.jpg,1 1,23", '"a,1.png",1 1,23']


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ([], {}, "at least one photo expected, got none"),
        (["x"], {"ids": ["a.jpg"]}, r"one photo of the list expected, got 1 \(x\)"),
        (["a.jpg", "a.jpg"], {}, "each photo once expected, got 'a.jpg' twice"),
        (["a", "a.jpg"], {"ids": ["a.jpg"]}, "each photo once expected"),
        (["a.jpg"], {"ids": ["a.jpg", "b.jpg", "a.jpg"]}, r"each once expected, got 1 \(a.jpg\)"),
        (["d/a.jpg"], {}, "without folders"),
        ([" a.jpg"], {}, "without folders or blanks"),
        (["a\n.jpg"], {}, "without folders"),
        ([""], {}, "without folders"),
        (["a.jpg"], {"ids": ["../a.jpg"]}, "without folders"),
        (["a.jpg"], {"empty_class": 46}, "a class from 0 to 45 expected, got .* and 46"),
        (["a.jpg"], {"empty_class": -1}, "a class from 0 to 45 expected"),
        (["a.jpg"], {"size_px": 0}, "a size from 1 to 4096 px"),
        (["a.jpg"], {"size_px": 10**9}, "a size from 1 to 4096 px"),
        (["a.jpg"], {"min_area_px": -1}, "an area of at least 0"),
    ],
)
def test_submission_that_means_nothing_is_refused_and_nothing_is_written(
    tmp_path, photos, options, message
):
    with pytest.raises(FashionError, match=message):
        write(tmp_path, [photo(name, []) for name in photos], **options)
    assert list(tmp_path.iterdir()) == []


def test_submission_stream_that_fails_leaves_the_older_file(tmp_path):
    def photos():
        yield photo("a.jpg", [])
        raise RuntimeError("out of memory")

    (tmp_path / "s.csv").write_text("older")
    for ids in (None, ["a.jpg"]):
        with pytest.raises(RuntimeError):
            write_submission(tmp_path / "s.csv", photos(), ids=ids, force=True)
        assert (tmp_path / "s.csv").read_text() == "older"
        assert len(list(tmp_path.iterdir())) == 1


def test_submission_mask_of_another_size_than_the_photo_is_refused(tmp_path):
    odd = photo("a.jpg", [("shoe", 0.9, LEFT)], size_hw=(8, 9))
    with pytest.raises(MaskError, match=r"the photo's size \(8, 9\) expected, got \(8, 8\)"):
        write(tmp_path, [odd])


def test_submission_takes_one_photo_at_a_time(tmp_path):
    # Each photo is written before the next is asked for: what is held does not grow.
    held, most = [], 0

    class Counted(Prediction):
        def __del__(self):
            held.pop()

    def photos():
        nonlocal most
        for n in range(50):
            held.append(n)
            most = max(most, len(held))
            yield SubmissionPhoto(f"{n}.jpg", Counted(CLASSES, (8, 8), [], [], [], []))

    report, lines = write(tmp_path, photos())
    assert report.n_images == 50 and len(lines) == 51 and most <= 3


# Round trip


def random_photos(seed, names, most=6):
    rng = np.random.default_rng(seed)
    photos = []
    for name in names:
        size_hw = tuple(int(side) for side in rng.integers(200, 900, 2))
        found = []
        for _ in range(rng.integers(0, most)):
            y, x = (int(rng.integers(0, side - 60)) for side in size_hw)
            mask_HW = rectangle(size_hw, y, y + int(rng.integers(20, 200)), x, x + 150)
            mask_HW &= rng.random(size_hw) < rng.choice([0.7, 1.0])
            found.append((CLASSES[rng.choice([4, 10, 23, 46, 48])], float(rng.random()), mask_HW))
        photos.append(photo(name, sorted(found, key=lambda f: -f[1]), size_hw=size_hw))
    return photos


def slow_entry(found: SubmissionPhoto, size_px: int = 512) -> list[tuple[str, np.ndarray]]:
    """Return (class name, mask) as the rules say, on bitmaps."""
    prediction = found.prediction
    taken: dict[str, np.ndarray] = {}
    out = []
    height, width = prediction.size_hw
    rows = (2 * np.arange(size_px) + 1) * height // (2 * size_px)
    columns = (2 * np.arange(size_px) + 1) * width // (2 * size_px)
    for n, name in enumerate(prediction.names):
        name = "shoe" if name in ontology.SHOE_TYPES else name
        mask_HW = prediction.mask(n)[np.ix_(rows, columns)]
        if mask_HW.sum() < 20:
            continue
        free = mask_HW & ~taken.get(name, np.zeros_like(mask_HW))
        taken[name] = taken.get(name, np.zeros_like(mask_HW)) | mask_HW
        if free.sum() >= 20:
            out.append((name, free))
    return out


def test_submission_read_by_the_converter_has_the_masks_of_a_slow_reference(tmp_path):
    names = [f"{n}.jpg" for n in range(8)]
    photos = random_photos(3, names)
    report = write_submission(tmp_path / "s.csv", iter(photos), ids=sorted(names, reverse=True))
    assert check_submission(tmp_path / "s.csv").findings.counts == {}
    rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()]
    train = [
        "ImageId,EncodedPixels,Height,Width,ClassId",
        *(f"{image},{runs},512,512,{label}" for image, runs, label in rows[1:] if runs != "1 1"),
    ]
    (tmp_path / "train.csv").write_text("\n".join(train) + "\n")
    (tmp_path / "labels.json").write_text(
        json.dumps({"categories": ontology.coco_categories(ontology.CLASSES_46), "attributes": []})
    )
    imaterialist.convert(
        tmp_path / "train.csv", tmp_path / "labels.json", None, tmp_path / "all.json",
        check_photos=False, progress=False, max_bad_rows=0,
    )  # fmt: skip
    coco = read_coco(tmp_path / "all.json")
    name_of = {category["id"]: category["name"] for category in coco["categories"]}
    n_masks = 0
    for image in coco["images"]:
        wanted = slow_entry(next(p for p in photos if p.image_id == image["file_name"]))
        found = [
            (name_of[a["category_id"]], decode(a["segmentation"]).astype(bool))
            for a in coco["annotations"]
            if a["image_id"] == image["id"]
        ]
        assert [name for name, _ in found] == [name for name, _ in wanted]
        assert all((a == b).all() for (_, a), (_, b) in zip(found, wanted, strict=True))
        n_masks += len(found)
    assert n_masks == report.n_masks > 10
    # The rows are in the order of the list; what is not among them had no mask.
    order = [image["file_name"] for image in coco["images"]]
    assert order == sorted(order, reverse=True)
    assert len(coco["images"]) + report.n_empty == len(names)


# The command


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Two photos, four results and a sample in the working directory."""
    monkeypatch.chdir(tmp_path)
    coco = {
        "images": [
            {"id": 7, "file_name": "test/a.jpg", "height": 8, "width": 8},
            {"id": 3, "file_name": "b.jpg", "height": 8, "width": 8},
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "sandals"}, {"id": 2, "name": "cape"}],
    }
    results = [
        {"image_id": 7, "category_id": 1, "score": 0.9, "segmentation": encode_mask(LEFT)},
        {"image_id": 7, "category_id": 1, "score": 0.5, "segmentation": encode_mask(~RIGHT)},
        {"image_id": 7, "category_id": 2, "score": 1, "segmentation": [[4, 0, 8, 0, 8, 8, 4, 8]]},
        {"image_id": 3, "category_id": 2, "score": 0.4, "segmentation": encode_mask(LEFT)},
    ]
    Path("images.json").write_text(json.dumps(coco))
    Path("results.json").write_text(json.dumps(results))
    rows = ["c.jpg,1 1,23", "b.jpg,1 1,0_1", "b.jpg,5 1,2", "a.jpg,1 1,1"]
    Path("sample.csv").write_text("\n".join([HEADER, *rows, ""]))
    return results


def submit(*words):
    return main(["data", "submission", "results.json", "images.json", *words])


def test_submission_command_writes_what_its_checker_finds_nothing_in(given, capsys):
    words = ["--out", "s.csv", "--sample", "sample.csv"]
    assert submit(*words) == 0
    grid = 512 * 256
    assert Path("s.csv").read_text().splitlines() == [
        HEADER, "c.jpg,1 1,23", "b.jpg,1 1,23", f"a.jpg,{grid + 1} {grid},12", f"a.jpg,1 {grid},23",
    ]  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "s.csv: 2 masks of 3 images, 2 of them without one"
    assert "note: results left out, of a score below 0.5: 1" in said
    assert "note: masks of shoe types, handed in as 'shoe': 1" in said
    assert main(["data", "check-submission", "s.csv", "--sample", "sample.csv"]) == 0
    assert capsys.readouterr().out == (
        "s.csv: 3 images, 2 of them empty, 4 rows, 2 classes: 0 errors, 0 warnings\n"
    )


def test_submission_command_options_do_what_they_say(given):
    words = ["--score", "0.95", "--size", "8", "--empty-class", "6", "--out", "s.csv"]
    assert submit(*words, "--min-area", "33") == 0
    assert Path("s.csv").read_text().splitlines() == [HEADER, "a.jpg,1 1,6", "b.jpg,1 1,6"]
    assert submit(*words, "--min-area", "32", "--force") == 0
    assert Path("s.csv").read_text().splitlines() == [HEADER, "a.jpg,33 32,12", "b.jpg,1 1,6"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"image_id": 8}, "unknown image_id"),
        ({"image_id": "7"}, "unknown image_id"),
        ({"category_id": 3}, "unknown category_id"),
        ({"category_id": [1]}, "unknown category_id"),
        ({"score": 1.5}, "score"),
        ({"score": True}, "score"),
        ({"score": None}, "score"),
        ({"score": 10**400}, "score"),
        ({"segmentation": None}, "mask"),
        ({"segmentation": {"size": [8, 8], "counts": "zzz"}}, "mask"),
        ({"segmentation": {"size": [8, 9], "counts": [72]}}, "mask"),
    ],
)
def test_submission_command_bad_result_is_skipped_and_counted(given, change, kind, capsys):
    given[0].update(change)
    Path("results.json").write_text(json.dumps([*given, "x"]))
    assert submit("--out", "s.csv") == 0
    said = capsys.readouterr()
    assert "skipped 2 bad rows: " in said.out and f"1 {kind} (first: results.json: [0])" in said.out
    assert "an object expected, got 'x'" in said.err
    assert submit("--out", "t.csv", "--max-bad-rows", "1") == 1
    assert not Path("t.csv").exists()


def test_submission_command_nan_score_is_skipped(given, capsys):
    Path("results.json").write_text(json.dumps(given).replace("0.9", "NaN"))
    assert submit("--out", "s.csv") == 0
    assert "got nan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("results.json", b"", "JSON expected"),
        ("results.json", b"\xff\xfe[\x00", "got UTF-16"),
        ("results.json", b"[{", "JSON expected"),
        ("results.json", b"\0\0\0", "JSON expected"),
        ("results.json", b"{}", "a list of results expected, got dict"),
        ("images.json", b"[]", "'images', 'annotations' and 'categories'"),
        ("images.json", b'{"images": [], "annotations": [], "categories": []}', "at least one"),
        ("sample.csv", b"", "the columns ImageId expected"),
        ("sample.csv", b"ImageId\n", "at least one row expected"),
        ("sample.csv", b"ImageId,ClassId\na.jpg\n", "2 fields on the line expected, got 1"),
        ("sample.csv", b"ImageId\na\xff.jpg\n", "sample.csv:2: the name of a photo"),
        ("sample.csv", b"ImageId\n\0\0\n", "sample.csv:2: the name of a photo"),
        ("sample.csv", b"ImageId\nx.jpg\n", "one photo of the list expected, got 2 (a.jpg, b.jpg)"),
    ],
)
def test_submission_command_hostile_input_is_one_line_and_nothing_written(
    given, file, content, message, capsys
):
    Path(file).write_bytes(content)
    assert submit("--sample", "sample.csv", "--out", "s.csv") == 1
    errors = [e for e in capsys.readouterr().err.splitlines() if not e.startswith("skipped")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]
    assert {p.name for p in Path().iterdir()} == {"results.json", "images.json", "sample.csv"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "results.json", "--force"], "another file than the input"),
        (["--out", "images.json", "--force"], "another file than the input"),
        (["--out", "sample.csv", "--sample", "sample.csv", "--force"], "another file than the inp"),
        (["--out", ".", "--force"], "found a folder"),
        (["--out", "sample.csv"], "it exists already. Use --force"),
        (["--out", "s.csv", "--score", "1.1"], "--score: a number from 0 to 1 expected"),
        (["--out", "s.csv", "--score", "nan"], "--score: a number from 0 to 1 expected"),
        (["--out", "s.csv", "--size", "-1"], "a size from 1 to"),
        (["--out", "s.csv", "--sample", "gone.csv"], "found no file"),
        (["--out", "s.csv", "--sample", "."], "found a folder"),
    ],
)
def test_submission_command_wrong_paths_and_numbers_are_refused(given, words, message, capsys):
    before = {p: p.read_bytes() for p in Path().iterdir()}
    assert submit(*words) == 1
    assert message in capsys.readouterr().err
    assert {p: p.read_bytes() for p in Path().iterdir()} == before


def test_submission_command_refuses_the_annotations_of_a_cache(given, capsys):
    coco = json.loads(Path("images.json").read_text())
    coco["info"] = {"cached_from": {"annotations": "../all.json"}}
    Path("images.json").write_text(json.dumps(coco))
    assert submit("--out", "s.csv") == 1
    assert "got those of a cache" in capsys.readouterr().err


def test_read_ids_each_once_in_the_files_order_whatever_the_other_columns(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_bytes(b"\xef\xbb\xbfClassId,ImageId\r\n1,b.jpg\r\n\r\n2,a.jpg\r\n3,b.jpg")
    assert read_ids(path) == ["b.jpg", "a.jpg"]


# The checker


def put(tmp_path, rows, header=HEADER, end="\n"):
    path = tmp_path / "s.csv"
    path.write_bytes("".join(f"{line}{end}" for line in [header, *rows]).encode())
    return path


def kinds(path, **options):
    found = check_submission(path, **options).findings
    return {kind: count for (_, kind), count in found.counts.items()}, list(found.lines())


def test_check_submission_sound_file_has_no_finding(tmp_path):
    rows = ["a.jpg,1 2 5 4,6_0_91", "a.jpg,1 2,7", "a.jpg,3 2,6_0_91", "b.jpg,1 1,23"]
    report = check_submission(put(tmp_path, rows))
    assert report.findings.counts == {}
    assert report.summary() == "2 images, 1 of them empty, 4 rows, 3 classes: 0 errors, 0 warnings"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a.jpg,1 2", "number of fields"),
        ("a.jpg,1 2,6,7", "number of fields"),
        ('a.jpg,"1 2,6', "number of fields"),
        ("garbage", "number of fields"),
        ("d/a.jpg,1 2,6", "image name"),
        ("d\\a.jpg,1 2,6", "image name"),
        (",1 2,6", "image name"),
        (" a.jpg,1 2,6", "image name"),
        ("a.png,1 2,6", "image name without .jpg"),
        ("a.jpg,1 2,46", "unknown class"),
        ("a.jpg,1 2,-1", "unknown class"),
        ("a.jpg,1 2,shoe", "unknown class"),
        ("a.jpg,1 2,6.0", "unknown class"),
        ("a.jpg,1 2,06", "unknown class"),
        ("a.jpg,1 2,", "unknown class"),
        ("a.jpg,1 2,6_", "unknown class"),
        ("a.jpg,1 2,٦", "unknown class"),
        ("a.jpg,1 2,6_92", "unknown attribute"),
        ("a.jpg,1 2,6_1_1", "unknown attribute"),
        ("a.jpg,,6", "run lengths, no mask"),
        ("a.jpg,1 2 3,6", "run lengths, odd count"),
        ("a.jpg,1 x,6", "run lengths, junk numbers"),
        ("a.jpg,0 2,6", "run lengths, start below 1"),
        ("a.jpg,1 0,6", "run lengths, empty run"),
        ("a.jpg,1 2 2 2,6", "run lengths, overlap"),
        ("a.jpg,5 2 1 2,6", "run lengths, overlap"),
        (f"a.jpg,{512 * 512} 2,6", "run lengths, out of range"),
        (f"a.jpg,1 {512 * 512},6", "mask of the whole image"),
        ("", "blank row"),
        (",,", "blank row"),
        ("a.jpg,1 2\0,6", "NUL bytes"),
        ("b.jpg,1 2,0", "overlap within a class"),
        ("b.jpg,1 2,0_1", "overlap within a class"),
        ("b.jpg,2 9,0_1", "overlap within a class"),
        ("b.jpg,2 9,0", "duplicate row"),
        ("b.jpg,2 4 6 5,0", "duplicate row"),
        ("b.jpg,1 1,1", "row of an empty image beside masks"),
    ],
)  # fmt: skip
def test_check_submission_planted_fault_is_found_at_its_line(tmp_path, row, kind):
    path = put(tmp_path, ["c.jpg,20 2,1", "b.jpg,2 9,0", row, "d.jpg,7 2,23"])
    found, lines = kinds(path)
    assert found == {kind: 1}
    line = 3 if kind.startswith("row of") else 4
    assert lines[1].startswith(f"    s.csv:{line}: ") and "expected, got" in lines[1]
    # The command ends with 1 for errors alone.
    is_error = lines[0].startswith("error")
    assert main(["data", "check-submission", str(path)]) == is_error


def test_check_submission_overlap_says_how_many_pixels_and_where(tmp_path):
    rows = ["a.jpg,1 10,3", "a.jpg,20 5,3", "a.jpg,8 15,3", "a.jpg,8 15,4"]
    found, lines = kinds(put(tmp_path, rows))
    assert found == {"overlap within a class": 1}
    # Pixels 8 to 10 of the first and 20 to 22 of the second.
    assert "s.csv:4: " in lines[1] and "(cardigan)" in lines[1]
    assert "6 px of lines 2, 3." in lines[1]


def test_check_submission_attributes_in_another_order_are_the_same_row(tmp_path):
    rows = ["a.jpg,1 4,6_1_2", "a.jpg,1 4,6_2_1", "a.jpg,1 4,6_2_3"]
    found, lines = kinds(put(tmp_path, rows))
    assert found == {"duplicate row": 1, "overlap within a class": 1}
    assert any("s.csv:3: each mask once expected, got that of line 2" in line for line in lines)
    assert any("s.csv:4: no pixel" in line and "4 px of line 2." in line for line in lines)


def test_check_submission_overlap_of_other_attributes_across_blocks_is_an_error(tmp_path):
    rows = ["a.jpg,1 4,6", "b.jpg,1 2,6", "a.jpg,3 4,6_1", "a.jpg,9 4,7"]
    report = check_submission(put(tmp_path, rows))
    assert report.findings.counts == {
        ("error", "overlap within a class"): 1, ("warning", "rows of an image apart"): 1
    }  # fmt: skip


def test_check_submission_of_many_masks_compares_every_pair(tmp_path, monkeypatch):
    monkeypatch.setattr(overlaps, "_CHUNK", 3)
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(1, 400, 40), rng.integers(1, 15, 40)
    rows = [f"a.jpg,{s} {n},3" for s, n in zip(starts, lengths, strict=True)]
    spans = [range(s, s + n) for s, n in zip(starts, lengths, strict=True)]
    wanted = {
        n + 2 for n in range(40)
        if any(set(spans[n]) & set(spans[m]) for m in range(n)) and rows[n] not in rows[:n]
    }  # fmt: skip
    lines = kinds(put(tmp_path, rows), shown=0)[1]
    assert {int(e.split(":")[1]) for e in lines if "no pixel in two masks" in e} == wanted
    assert len(wanted) > 10


def test_check_submission_rows_apart_are_warned_of_and_still_compared(tmp_path):
    rows = [
        "a.jpg,1 10,3", "a.jpg,5 2,3", "b.jpg,1 10,3", "bad", "a.jpg,40 5,3", "a.jpg,9 3,3",
        "b.jpg,1 10,3", "a.jpg,41 1,3", "a.jpg,41 1,3",
    ]  # fmt: skip
    found, lines = kinds(put(tmp_path, rows))
    assert found == {
        "overlap within a class": 3, "rows of an image apart": 2, "duplicate row": 2,
        "number of fields": 1,
    }  # fmt: skip
    text = "\n".join(lines)
    assert "s.csv:3: no pixel" in text and "2 px of line 2." in text  # in one stretch of rows
    assert "s.csv:7: no pixel" in text and "s.csv:9: no pixel" in text  # across stretches
    assert "s.csv:8: each mask once expected, got that of line 4 again" in text
    assert "those of 'a.jpg' from lines 2, 6, 9 on" in text


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (("23", "6"), {("warning", "rows of an empty image"): 1}),
        (("23", "23"), {("warning", "rows of an empty image"): 1, ("error", "duplicate row"): 1}),
    ],
)
def test_check_submission_two_rows_of_an_empty_image_are_told_and_it_is_empty(
    tmp_path, labels, found
):
    rows = ["b.jpg,1 2,6", *(f"a.jpg,1 1,{label}" for label in labels), "c.jpg,1 1,23"]
    report = check_submission(put(tmp_path, rows))
    assert report.findings.counts == found and report.n_empty == 2
    (told,) = report.findings.first["warning", "rows of an empty image"]
    assert told.startswith("s.csv:3: ") and "got 2 of 'a.jpg'" in told


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_check_submission_all_in_quotes_is_sound(tmp_path, newline):
    # The mask of all odd pixels is longer than the csv module takes of itself, 128 KiB.
    odd = " ".join(f"{start} 1" for start in range(1, 40_000, 2))
    assert len(odd) > 2**17
    csv.field_size_limit(2**17)
    quoted = [f'"a.jpg","{odd}","6_1"', '"b.jpg","1 1","23"']
    header = '"ImageId","EncodedPixels","ClassId"'
    report = check_submission(put(tmp_path, quoted, header, newline))
    assert [kind for _, kind in report.findings.counts] == (
        ["line ends of Windows"] if newline == "\r\n" else []
    )
    assert (report.n_rows, report.n_empty, report.class_ids) == (2, 1, {6, 23})


def test_check_submission_missing_and_extra_images_of_the_sample(tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text(f"{HEADER}\na.jpg,1 1,23\nb.png,1 1,23\nc.jpg,1 1,23\n")
    rows = ["x.jpg,1 2,6", "x.jpg,5 2,6", "b.png,1 1,23", "a.jpg,bad,6"]
    path = put(tmp_path, rows)
    found, lines = kinds(path, sample=sample)
    # The row of a.jpg is there, though its mask is none; that of b.png has the sample's name.
    assert found == {
        "image not in the sample": 1, "image missing": 1, "run lengths, junk numbers": 1
    }  # fmt: skip
    assert any("s.csv:2: an image of the sample" in line for line in lines)
    assert any("a row of 'c.jpg' of" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", {"header": 1}),
        (b"\n", {"header": 1}),
        (b"\0\0\0\0", {"header": 1}),
        (b"\xff\xfeI\0m\0", {"header": 1}),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), {"header": 1}),
        (b"ImageId,ClassId\na.jpg,6\n", {"header": 1}),
        (b"ImageId,EncodedPixels,ClassId,ClassId\n", {"header": 1}),
        (b"ImageId,EncodedPixels,ClassId\n", {"no rows": 1}),
        (b"ImageId,EncodedPixels,ClassId", {"no rows": 1, "no line break at the end": 1}),
        (b"ImageId,EncodedPixels,ClassId\na.jpg,1 2,6\nb.jpg,1",
         {"number of fields": 1, "no line break at the end": 1}),
        (b"ImageId,EncodedPixels,ClassId\na\xff.jpg,1 2,6\nb.jpg,1 2,6\n", {"not UTF-8": 1}),
        (b"\xef\xbb\xbfImageId,EncodedPixels,ClassId\r\na.jpg,1 2,6\r\n",
         {"byte order mark": 1, "line ends of Windows": 1}),
        (b"ClassId;ImageId;EncodedPixels\n6;a.jpg;1 2\n", {"header": 1}),
        (b"ImageId,EncodedPixels,Height,Width,ClassId\na.jpg,1 2,512,512,6\n", {"header": 1}),
    ],
)  # fmt: skip
def test_check_submission_hostile_file_is_told_without_a_traceback(
    tmp_path, content, found, capsys
):
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    assert kinds(path)[0] == found
    code = main(["data", "check-submission", str(path)])
    said = capsys.readouterr()
    assert code == 1 and said.err == "" and said.out.splitlines()[-1].startswith(f"{path}: ")


def test_check_submission_field_that_excel_cut_is_told(tmp_path):
    pairs = " ".join(f"{start} 1" for start in range(1, 20000, 2))
    cut = pairs[:32767]
    assert kinds(put(tmp_path, [f"a.jpg,{cut},6"]))[0]["cut by Excel"] == 1
    # A longer field tells that the file does not come from Excel.
    rows = [f"b.jpg,{pairs},6", f"a.jpg,{cut},6"]
    assert "cut by Excel" not in kinds(put(tmp_path, rows))[0]


def test_check_submission_line_without_an_end_is_read_in_pieces(tmp_path):
    rows = ["a.jpg,1 1,6", "b.jpg," + "1 1 " * 500_000 + ",6", "c.jpg,99 1,6"]
    found, lines = kinds(put(tmp_path, rows), size_px=64)
    assert found == {"number of fields": 1}
    assert "s.csv:3: a row of at most" in lines[1]


def test_check_submission_grid_of_another_size(tmp_path):
    path = put(tmp_path, ["a.jpg,1 2 64 1,6"])
    assert kinds(path, size_px=8)[0] == {}
    assert kinds(path, size_px=7)[0] == {"run lengths, out of range": 1}


def test_check_submission_shows_a_few_of_each_kind_and_counts_all(tmp_path, capsys):
    path = put(tmp_path, [f"{n}.jpg,0 1,99" for n in range(7)])
    assert main(["data", "check-submission", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "error: unknown class (7):" and lines[6] == "    and 2 more"
    assert lines[-1].endswith("7 images, 0 of them empty, 7 rows, 0 classes: 14 errors, 0 warnings")
    assert main(["data", "check-submission", str(path), "--show", "0"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2 * 8 + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.csv"], "found no file"),
        (["."], "found a folder"),
        (["s.csv", "--sample", "gone.csv"], "found no file"),
        (["s.csv", "--sample", "."], "found a folder"),
        (["s.csv", "--size", "0"], "--size: 1 to"),
        (["s.csv", "--show", "-1"], "--show: at least 0"),
    ],
)
def test_check_submission_wrong_paths_and_numbers_are_one_line(
    tmp_path, monkeypatch, words, message, capsys
):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, ["a.jpg,1 2,6"])
    assert main(["data", "check-submission", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_sizes_of_rules_are_those_of_the_competition():
    assert (rules.SIZE_PX, rules.EMPTY_CLASS, rules.MIN_AREA_PX) == (512, 23, 20)
    corner = decode(kaggle_to_coco(rules.EMPTY_RUNS, 512, 512, "test"))
    assert corner.sum() == 1 and corner[0, 0] == 1


def test_attributes_of_the_checker_are_those_of_the_real_descriptions(shared_dir):
    path = shared_dir / "data" / "imaterialist" / "imaterialist2019_label_descriptions.json"
    data = json.loads(path.read_text())
    assert [a["id"] for a in data["attributes"]] == list(range(rules.N_ATTRIBUTES))
    assert [c["name"] for c in data["categories"]] == list(ontology.CLASSES_46)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a.jpg", "a/b.jpg"], "^photos: the name of a photo, .* got 'a/b.jpg'"),
        (["b.jpg", "a.jpg", "a.jpg"], r"^photos: each once expected, got 1 \(a.jpg\) more"),
    ],
)
def test_require_ids_that_no_submission_can_hold_names_them(ids, message):
    with pytest.raises(AnnotationError, match=message):
        require_ids(ids, "photos")


def test_require_ids_of_sound_names_passes():
    require_ids(["a.jpg", "a b.jpg", "a", "ä,1.png"], "photos")
