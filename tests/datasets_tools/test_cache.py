"""The cache: masks to the pixel, what is dropped, stops at any moment, what is stale."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datasets_tools.cache import build, folder, tool
from datasets_tools.cache.build import make_cache
from datasets_tools.cache.ledger import LEDGER
from datasets_tools.cache.scale import Settings, resize_code, working_size_hw
from fashion_mmdet.commands import main as fashion
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError, FashionError

PNG = Settings((60, 40), "png")
JPEG = Settings((60, 40))


def blob(height: int, width: int, box: tuple[int, int, int, int]) -> dict:
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = box
    mask[y : y + h, x : x + w] = 1
    return rle.encode_mask(mask)


def save_photo(path: Path, height: int, width: int, seed: int = 0, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.add.outer(np.arange(height), np.arange(width) + seed)
    Image.fromarray(
        np.stack([ramp % 256, ramp // 2 % 256, ramp // 3 % 256], 2).astype(np.uint8)
    ).save(path, **options)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data set of three photos: 120 x 80 px, 30 x 30 px, and 200 x 100 px in a folder."""
    sizes = {"a.jpg": (120, 80), "b.png": (30, 30), "c/d.png": (200, 100)}
    images, annotations = [], []
    for i, (name, (height, width)) in enumerate(sizes.items(), start=1):
        save_photo(tmp_path / "train" / name, height, width, i)
        images.append({"id": i, "file_name": name, "height": height, "width": width, "by": "me"})
        annotations.append(
            {"id": 10 * i, "image_id": i, "category_id": 7, "bbox": [4, 6, 20, 10], "area": 200,
             "iscrowd": 0, "segmentation": blob(height, width, (4, 6, 20, 10)), "note": i}
        )  # fmt: skip
    coco = {
        "info": {"description": "made"},
        "licenses": [1],
        "categories": [{"id": 7, "name": "shoe"}],
        "images": images,
        "annotations": annotations,
    }
    (tmp_path / "annotations").mkdir()
    write(tmp_path, coco)
    return tmp_path


def write(data: Path, coco: dict) -> None:
    (data / "annotations" / "train.json").write_text(json.dumps(coco))


def source(data: Path) -> dict:
    return json.loads((data / "annotations" / "train.json").read_text())


def cached(data: Path) -> dict:
    return json.loads((data / "cache" / "train.json").read_text())


def make(data: Path, settings: Settings = PNG, **options):
    out = options.pop("out", data / "cache")
    return make_cache(data / "annotations/train.json", data / "train", out, settings, **options)


def words(data: Path, *more: str) -> list[str]:
    given = [str(data / "annotations/train.json"), "--images", str(data / "train")]
    return ["data", "cache", *given, "--size", "60", "40", "--out", str(data / "cache"), *more]


# --- the rule


@pytest.mark.parametrize("seed", range(12))
def test_resize_code_of_any_mask_is_opencvs_nearest_to_the_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        old_hw = tuple(int(v) for v in rng.integers(1, 90, 2))
        new_hw = tuple(int(rng.integers(1, v + 1)) for v in old_hw)
        mask = (rng.random(old_hw) < rng.choice([0, 0.02, 0.5, 0.98, 1])).astype(np.uint8)
        wanted = cv2.resize(mask, new_hw[::-1], interpolation=cv2.INTER_NEAREST)
        found = resize_code(rle.encode_mask(mask), new_hw)
        # The code itself, too, is the one that pycocotools writes.
        assert found["counts"] == coco_mask.encode(np.asfortranarray(wanted))["counts"].decode()
        assert found["size"] == list(new_hw)


@pytest.mark.parametrize("size_hw", [(3456, 2304), (4000, 3001), (1334, 801), (5315, 2999)])
def test_resize_code_at_real_sizes_is_opencvs_nearest(size_hw: tuple[int, int]) -> None:
    yy, xx = np.mgrid[: size_hw[0], : size_hw[1]]
    mask = ((xx // 7 + yy // 5) % 3 == 0).astype(np.uint8)
    new_hw = working_size_hw(size_hw, (1333, 800))
    wanted = cv2.resize(mask, new_hw[::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(rle.decode(resize_code(rle.encode_mask(mask), new_hw)), wanted)


def test_working_size_of_its_own_result_stays() -> None:
    # So Resize of the same scale finds nothing to do in a sample of the cache.
    for height in range(700, 6000, 37):
        for width in range(650, 6000, 41):
            once = working_size_hw((height, width), (1333, 800))
            assert working_size_hw(once, (1333, 800)) == once
            assert once[0] <= height and max(once) <= 1333 and min(once) <= 800


def test_working_size_of_a_strip_has_at_least_a_pixel() -> None:
    assert working_size_hw((5000, 1), (1333, 800)) == (1333, 1)


# --- what is in the cache


def test_cache_holds_photos_masks_and_boxes_at_the_working_size(data: Path) -> None:
    report = make(data)
    found = cached(data)
    assert [(i["height"], i["width"]) for i in found["images"]] == [(60, 40), (30, 30), (60, 30)]
    assert [i["ori_size"] for i in found["images"]] == [[120, 80], [30, 30], [200, 100]]
    assert [i["file_name"] for i in found["images"]] == [
        "photos/a.jpg.png", "photos/b.png", "photos/c/d.png",
    ]  # fmt: skip
    assert [i["cached_from"] for i in found["images"]] == ["a.jpg", "b.png", "c/d.png"]
    assert {i["by"] for i in found["images"]} == {"me"} and found["licenses"] == [1]
    for image, entry in zip(found["images"], found["annotations"], strict=True):
        photo = cv2.imread(str(data / "cache" / image["file_name"]))
        assert photo.shape[:2] == (image["height"], image["width"])
        mask = cv2.resize(
            rle.decode(blob(*image["ori_size"], (4, 6, 20, 10))),
            (image["width"], image["height"]), interpolation=cv2.INTER_NEAREST,
        )  # fmt: skip
        np.testing.assert_array_equal(rle.decode(entry["segmentation"]), mask)
        assert entry["area"] == mask.sum() and entry["note"] == image["id"]
    assert found["annotations"][2]["bbox"] == pytest.approx([1.2, 1.8, 6, 3])
    assert (report.n_photos, report.n_made, report.n_masks) == (3, 3, 3)


def test_png_cache_has_the_pixels_of_opencvs_bilinear(data: Path) -> None:
    make(data)
    wanted = cv2.resize(cv2.imread(str(data / "train/a.jpg")), (40, 60))
    np.testing.assert_array_equal(cv2.imread(str(data / "cache/photos/a.jpg.png")), wanted)


def test_photo_that_fits_is_kept_byte_for_byte(data: Path) -> None:
    make(data, JPEG)
    kept = data / "cache/photos/b.png"
    assert kept.read_bytes() == (data / "train/b.png").read_bytes()


def test_jpeg_quality_is_heeded(data: Path) -> None:
    make(data, JPEG)
    make(data, Settings((60, 40), quality=30), out=data / "rough")
    fine, rough = (data / place / "photos/a.jpg" for place in ("cache", "rough"))
    assert rough.stat().st_size < fine.stat().st_size


def test_photo_with_an_exif_turn_is_upright_in_the_cache(data: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save_photo(data / "train/a.jpg", 80, 120, exif=exif)  # as stored; 120 x 80 as loaded
    make(data, JPEG)
    wanted = cv2.resize(cv2.imread(str(data / "train/a.jpg")), (40, 60))
    with Image.open(data / "cache/photos/a.jpg") as image:
        assert image.size == (40, 60) and 0x0112 not in image.getexif()
        assert np.abs(np.asarray(image)[:, :, ::-1] - wanted.astype(int)).mean() < 3


def test_what_vanishes_at_the_working_size_is_left_out_and_counted(data: Path) -> None:
    coco = source(data)
    first = coco["annotations"][0]
    odd_pixel = {
        **first,
        "id": 1,
        "bbox": [0, 0, 4, 4],
        "segmentation": blob(120, 80, (1, 1, 1, 1)),
    }
    thin = {**first, "id": 2, "bbox": [0, 0, 1, 40], "segmentation": blob(120, 80, (0, 0, 1, 40))}
    write(data, {**coco, "annotations": [odd_pixel, thin, first]})
    report = make(data)
    assert report.dropped == {
        "no pixel of the mask left at the working size": 1,
        "box under 1 px at the working size": 1,
    }
    assert [a["id"] for a in cached(data)["annotations"]] == [10]
    assert len(cached(data)["images"]) == 3
    assert "note: 1 annotations left out: no pixel" in "\n".join(report.lines(data))
    assert make(data).dropped == report.dropped  # said again where nothing is done


def test_what_the_loader_makes_of_odd_annotations_stays_the_same(data: Path) -> None:
    coco = source(data)
    first = {k: v for k, v in coco["annotations"][0].items() if k not in ("bbox", "area")}
    square = [[4, 6, 24, 6, 24, 16, 4, 16]]
    write(data, {**coco, "annotations": [
        {**first, "id": 1},  # box and area from the mask
        {**first, "id": 2, "segmentation": square, "iscrowd": 1},
        {**first, "id": 3, "segmentation": [[1, 2]], "bbox": [4, 6, 20, 10], "area": 8},
        {**first, "id": 4, "area": 0},
        {**first, "id": 5, "segmentation": []},
    ]})  # fmt: skip
    report = make(data)
    derived, polygon, ignored, empty = cached(data)["annotations"]
    assert derived["bbox"] == [2, 3, 10, 5] and derived["area"] == 50
    drawn = rle.decode(rle.to_rle(square, 120, 80, "here"))
    np.testing.assert_array_equal(
        rle.decode(polygon["segmentation"]),
        cv2.resize(drawn, (40, 60), interpolation=cv2.INTER_NEAREST),
    )
    assert polygon["iscrowd"] == 1
    assert ignored["segmentation"] == [] and ignored["area"] == 2  # ignored, as before
    assert empty["area"] == 0  # dropped by the loader, as before
    assert report.dropped == {"neither box nor valid mask": 1}


# --- again, after a change, after a stop


def test_whole_cache_is_left_as_it_is(data: Path) -> None:
    make(data)
    before = {p: p.stat().st_mtime_ns for p in (data / "cache").rglob("*") if p.is_file()}
    report = make(data)
    assert report.n_made == 0 and report.n_photos == 3 and report.n_masks == 3
    assert before == {p: p.stat().st_mtime_ns for p in before} and len(before) == 5


def test_changed_photo_alone_is_made_again(data: Path) -> None:
    make(data)
    save_photo(data / "train/a.jpg", 120, 80, seed=99)
    assert make(data).n_made == 1
    wanted = cv2.resize(cv2.imread(str(data / "train/a.jpg")), (40, 60))
    np.testing.assert_array_equal(cv2.imread(str(data / "cache/photos/a.jpg.png")), wanted)


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_cached_photo_that_is_harmed_is_made_again(data: Path, harm: str) -> None:
    make(data)
    photo = data / "cache/photos/c/d.png"
    whole = photo.read_bytes()
    photo.write_bytes(whole[:50]) if harm == "cut" else photo.unlink()
    assert make(data).n_made == 1
    assert photo.read_bytes() == whole


def test_changed_annotations_renew_the_file_and_no_photo(data: Path) -> None:
    make(data)
    coco = source(data)
    coco["annotations"][0]["bbox"] = [2, 2, 10, 10]
    write(data, coco)
    assert make(data).n_made == 0
    assert cached(data)["annotations"][0]["bbox"] == [1, 1, 5, 5]


def test_photo_no_longer_annotated_leaves_the_cache(data: Path) -> None:
    make(data)
    (data / "cache/photos/mine.txt").write_text("not the tool's")
    coco = source(data)
    write(data, {**coco, "images": coco["images"][1:], "annotations": coco["annotations"][1:]})
    assert make(data).n_photos == 2
    assert not (data / "cache/photos/a.jpg.png").exists()
    assert (data / "cache/photos/mine.txt").exists()


def test_refresh_that_fails_leaves_no_annotation_file(data: Path) -> None:
    make(data)
    (data / "train/a.jpg").write_bytes(b"no photo")
    with pytest.raises(AnnotationError, match="a.jpg: a readable photo expected"):
        make(data)
    assert not (data / "cache/train.json").exists()


def test_kill_leaves_no_annotation_file_and_the_next_run_does_the_rest(data: Path) -> None:
    killed = (
        "import os, signal, sys\n"
        "from datasets_tools.cache import build\n"
        "real, calls = build.resize_photo, []\n"
        "def resize_photo(*args):\n"
        "    calls.append(args)\n"
        "    if len(calls) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*args)\n"
        "build.resize_photo = resize_photo\n"
        "from fashion_mmdet.commands import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", killed, *words(data, "--workers", "1")], check=False
    )
    assert done.returncode == -9
    assert not (data / "cache/train.json").exists()
    # A kill in the middle of a write leaves this, and a line cut short.
    part = data / "cache/photos/c/.d.png.jpg.abcd1234.part"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"half")
    with open(data / "cache" / LEDGER, "a") as stream:
        stream.write('{"file_name": "c/d.')
    report = make(data, JPEG)
    assert report.n_made == 1
    assert not part.exists() and len(cached(data)["images"]) == 3
    assert make(data, JPEG).n_made == 0


def test_full_disk_ends_in_a_sentence_and_no_annotation_file(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real, calls = build.atomic_open, []

    def full(path, mode="w"):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, mode)

    monkeypatch.setattr(build, "atomic_open", full)
    assert fashion(words(data, "--workers", "1")) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and "run again" in said and "Traceback" not in said
    assert not (data / "cache/train.json").exists()
    monkeypatch.undo()
    assert fashion(words(data)) == 0
    assert len(cached(data)["images"]) == 3


# --- what is refused


def test_all_bad_photos_are_named_and_the_good_ones_done(data: Path) -> None:
    (data / "train/a.jpg").unlink()
    save_photo(data / "train/b.png", 31, 30)
    with pytest.raises(AnnotationError) as refused:
        make(data)
    said = str(refused.value)
    assert "2 that cannot be" in said and "a.jpg: a photo expected" in said
    assert "b.png: a photo of height x width 30 x 30 px expected, as annotated, got 31 x 30" in said
    assert (data / "cache/photos/c/d.png").exists() and not (data / "cache/train.json").exists()


def test_annotated_size_that_changed_is_compared_with_the_photo_again(data: Path) -> None:
    make(data)
    coco = source(data)
    coco["images"][1]["height"] = 29
    coco["annotations"][1]["segmentation"] = blob(29, 30, (4, 6, 20, 10))
    write(data, coco)
    with pytest.raises(AnnotationError, match="29 x 30 px expected, as annotated, got 30 x 30"):
        make(data)


def test_cache_of_other_settings_is_refused_and_force_makes_it_anew(data: Path) -> None:
    make(data)
    with pytest.raises(FashionError, match="60 x 40 px, jpeg of quality 95.*--force"):
        make(data, JPEG)
    assert (data / "cache/train.json").exists()
    assert make(data, JPEG, force=True).n_made == 3
    assert not (data / "cache/photos/a.jpg.png").exists()
    assert (data / "cache/photos/a.jpg").exists()


def test_cache_of_another_file_is_refused_and_force_keeps_what_both_have(data: Path) -> None:
    make(data)
    before = (data / "cache/photos/a.jpg.png").stat().st_mtime_ns
    coco = source(data)
    other = data / "annotations/other.json"
    other.write_text(json.dumps({**coco, "images": coco["images"][:1],
                                 "annotations": coco["annotations"][:1]}))  # fmt: skip
    given = (other, data / "train", data / "cache", PNG)
    with pytest.raises(FashionError, match=r"found one of \.\./annotations/train\.json"):
        make_cache(*given)
    assert len(cached(data)["images"]) == 3
    assert make_cache(*given, force=True).n_made == 0
    assert len(cached(data)["images"]) == 1
    assert (data / "cache/photos/a.jpg.png").stat().st_mtime_ns == before
    with pytest.raises(FashionError, match=r"found one of \.\./annotations/other\.json"):
        make(data)


def test_cache_of_another_file_is_refused_where_it_was_left_unfinished(data: Path) -> None:
    (data / "train/b.png").unlink()
    with pytest.raises(AnnotationError, match="1 that cannot be"):
        make(data)
    (data / "annotations/train.json").rename(data / "annotations/other.json")
    with pytest.raises(FashionError, match="whose photos would go"):
        make_cache(data / "annotations/other.json", data / "train", data / "cache", PNG)


def test_cache_by_a_ledger_that_names_no_file_is_brought_up_to_date(data: Path) -> None:
    make(data)
    path = data / "cache" / LEDGER
    first, *rest = path.read_text().splitlines()
    path.write_text(
        "\n".join([json.dumps({"settings": json.loads(first)["settings"]}), *rest[:-1]])
    )
    assert make(data).n_made == 0
    assert json.loads(path.read_text().splitlines()[0])["annotations"] == (
        "../annotations/train.json"
    )


@pytest.mark.parametrize("name", ["val.json", "test.json"])
def test_cache_of_what_the_recipes_score_is_refused(data: Path, name: str, capsys) -> None:
    (data / "annotations/train.json").rename(data / "annotations" / name)
    given = ["data", "cache", str(data / "annotations" / name), "--images", str(data / "train")]
    assert fashion([*given, "--out", str(data / "cache"), "--force"]) == 1
    said = capsys.readouterr().err
    assert f"got {name}, which the recipes score" in said and said.count("\n") == 1
    assert not (data / "cache").exists()


def test_photos_of_another_folder_are_written_down_anew(data: Path) -> None:
    make(data)
    assert cached(data)["info"]["cached_from"]["photos"] == "../train"
    (data / "train").rename(data / "moved")  # the same files
    made = make_cache(data / "annotations/train.json", data / "moved", data / "cache", PNG)
    assert made.n_made == 0
    assert cached(data)["info"]["cached_from"]["photos"] == "../moved"


def test_folder_of_other_things_is_refused_and_untouched(data: Path) -> None:
    mine = data / "other" / "mine.txt"
    mine.parent.mkdir()
    mine.touch()
    with pytest.raises(FashionError, match="a new folder or a cache expected, found mine"):
        make(data, out=mine.parent)
    assert [p.name for p in mine.parent.iterdir()] == ["mine.txt"]


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX'")
def test_second_run_at_the_same_time_is_refused(data: Path) -> None:
    with folder.locked(data / "cache"):
        with pytest.raises(FashionError, match="another run is at work"):
            make(data)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg"])
def test_name_that_leaves_the_folder_is_refused(data: Path, name: str) -> None:
    coco = source(data)
    coco["images"][0]["file_name"] = name
    write(data, coco)
    with pytest.raises(FashionError, match="a file name inside"):
        make(data)


def test_two_photos_of_one_name_in_the_cache_are_refused(data: Path) -> None:
    coco = source(data)
    coco["images"][2].update(file_name="a.jpg.png", height=200, width=100)
    save_photo(data / "train/a.jpg.png", 200, 100)
    write(data, coco)
    with pytest.raises(AnnotationError, match="a name of its own in the cache expected"):
        make(data)


@pytest.mark.parametrize("wrong", ["annotations", "images"])
def test_input_that_is_not_there_leaves_no_folder(data: Path, wrong: str) -> None:
    given = {"annotations": data / "annotations/train.json", "images": data / "train"}
    given[wrong] = data / "gone"
    with pytest.raises(FashionError, match="gone.*expected, found no"):
        make_cache(given["annotations"], given["images"], data / "cache", PNG)
    assert not (data / "cache").exists()


# --- the command


def test_command_says_sizes_time_and_the_setting(data: Path, capsys) -> None:
    assert fashion(words(data, "--quality", "80")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "to train from it: FASHION_CACHE=cache" in lines
    assert any(line.startswith("photos: 3, ") and "before" in line for line in lines)
    assert lines[-1].startswith(f"{data / 'cache'}: 3 photos made, 0 were there, ")
    made_from = cached(data)["info"]["cached_from"]
    assert made_from["annotations"] == "../annotations/train.json"
    assert made_from["size"] == [60, 40] and made_from["quality"] == 80
    assert len(made_from["sha256"]) == 64


def test_setting_with_a_blank_is_quoted_for_a_shell(data: Path, capsys) -> None:
    given = words(data)
    given[given.index("--out") + 1] = str(data / "my cache")
    assert fashion(given) == 0
    assert "FASHION_CACHE='my cache'" in capsys.readouterr().out


def test_setting_outside_of_the_data_set_is_a_whole_path(data: Path) -> None:
    annotations = data / "set/annotations/train.json"
    assert tool.setting(data / "fast", annotations) == str((data / "fast").resolve())
    assert tool.setting(data / "set/caches/big", annotations) == "caches/big"


@pytest.mark.parametrize("given", [["--quality", "0"], ["--quality", "101"], ["--workers", "0"]])
def test_option_out_of_range_is_wrong_usage(data: Path, given: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        fashion(words(data, *given))
    assert stopped.value.code == 2


@pytest.mark.parametrize("inside", ["annotations", "photos", "link"])
def test_cache_of_what_lies_in_it_is_refused_and_nothing_removed(data: Path, inside: str) -> None:
    make(data)
    out = data / "cache"
    (data / "link.json").symlink_to(out / "train.json")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    annotations = {"annotations": out / "train.json", "link": data / "link.json"}
    images_dir = out / "photos" if inside == "photos" else data / "train"
    source_path = annotations.get(inside, data / "annotations/train.json")
    with pytest.raises(FashionError, match="a folder without the input expected"):
        make_cache(source_path, images_dir, out, Settings((40, 20), "png"), force=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_photo_of_two_spellings_stays_when_one_is_left(data: Path) -> None:
    coco = source(data)
    write(data, {**coco, "images": [*coco["images"], {**coco["images"][0], "id": 9,
                                                      "file_name": "./a.jpg"}]})  # fmt: skip
    make(data)
    write(data, coco)
    make(data)
    names = [image["file_name"] for image in cached(data)["images"]]
    assert all((data / "cache" / name).is_file() for name in names)


def test_annotations_of_a_name_that_is_no_utf8_are_cached(data: Path) -> None:
    path = data / os.fsdecode(b"caf\xe9.json")
    try:
        path.write_text(json.dumps(source(data)))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    make_cache(path, data / "train", data / "cache", PNG)
    assert cached(data)["info"]["cached_from"]["annotations"] == r"../caf\udce9.json"
