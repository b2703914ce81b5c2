"""The demo set: its bytes, its format, its mixture, and what it refuses to replace."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools import make_demo as tool
from datasets_tools.demo.canvas import BODY, Canvas, Instance, box, ribbon
from datasets_tools.demo.scenes import LEAST_SHARE, draw_scene
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.ontology import CLASSES_46, PART_SUPERCATEGORIES, SHOE_TYPES, category

IMAGES = 10


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "set"
    tool.make_demo(out, images=IMAGES, seed=3)
    return out


@pytest.fixture(scope="module")
def rows(demo) -> list[dict[str, str]]:
    with open(demo / "train.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def decode_slowly(text: str, height: int, width: int) -> np.ndarray:
    """Kaggle's run-length text to a mask, pixel by pixel, by none of the project's code."""
    mask = np.zeros((height, width), bool)
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        for pixel in range(start, start + length):
            column, row = divmod(pixel - 1, height)
            mask[row, column] = True
    return mask


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the same bytes --------------------------------------------------------------------------


def test_make_demo_another_process_writes_same_bytes(demo, tmp_path, repo_dir):
    code = "import sys; from fashion_mmdet.commands import main; main(sys.argv[1:])"
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-c", code, "data", "make-demo", "--out", again, "--images",
         str(IMAGES), "--seed", "3"],
        check=True, cwd=repo_dir, env={**os.environ, "PYTHONHASHSEED": "77"}, capture_output=True,
    )  # fmt: skip
    assert digests(again) == digests(demo)


def test_make_demo_fewer_images_are_prefix(demo, tmp_path):
    tool.make_demo(tmp_path / "few", images=2, seed=3)
    few, all_of_them = (f / "train.csv" for f in (tmp_path / "few", demo))
    assert all_of_them.read_bytes().startswith(few.read_bytes())
    for photo in (tmp_path / "few" / "train").iterdir():
        assert photo.read_bytes() == (demo / "train" / photo.name).read_bytes()


def test_draw_scene_other_seed_draws_other_picture():
    assert not np.array_equal(draw_scene(0, 0, (64, 96))[0], draw_scene(1, 0, (64, 96))[0])


# --- the format ------------------------------------------------------------------------------


def test_make_demo_header_is_kaggles(demo):
    first = (demo / "train.csv").read_bytes().split(b"\n", 1)[0]
    assert first == b"ImageId,EncodedPixels,Height,Width,ClassId"


def test_make_demo_image_ids_name_the_photos(demo, rows):
    ids = {row["ImageId"] for row in rows}
    assert all(len(i) == 32 and set(i) <= set("0123456789abcdef") for i in ids)
    assert {p.name for p in (demo / "train").iterdir()} == {f"{i}.jpg" for i in ids}
    assert len(ids) == IMAGES
    for name in ids:
        with Image.open(demo / "train" / f"{name}.jpg") as photo:
            assert (photo.size, photo.mode) == ((160, 224), "RGB")


def test_make_demo_rows_decode_one_indexed_to_what_was_drawn(rows):
    position = 0
    for index in range(3):
        for instance, mask in draw_scene(3, index, (160, 224))[1]:
            row = rows[position]
            assert (row["Height"], row["Width"]) == ("224", "160")
            assert row["ImageId"] == tool.image_id(3, index)
            assert row["ClassId"].split("_")[0] == str(category(instance.category).id)
            assert np.array_equal(decode_slowly(row["EncodedPixels"], 224, 160), mask)
            position += 1
    assert position > 12


def test_make_demo_no_mask_is_a_sliver(rows):
    for row in rows:
        lengths = [int(word) for word in row["EncodedPixels"].split()[1::2]]
        assert sum(lengths) >= LEAST_SHARE * 160 * 224


def test_make_demo_parts_lie_on_garments_and_nothing_else_overlaps(rows):
    by_image: dict[str, list[tuple[int, np.ndarray]]] = {}
    for row in rows:
        mask = decode_slowly(row["EncodedPixels"], 224, 160)
        by_image.setdefault(row["ImageId"], []).append((int(row["ClassId"].split("_")[0]), mask))
    for masks in by_image.values():
        parts, wholes = [], []
        for number, mask in masks:
            group = category(CLASSES_46[number]).supercategory
            (parts if group in PART_SUPERCATEGORIES else wholes).append(mask)
        covered = np.sum(wholes, axis=0)
        assert covered.max() == 1
        assert np.sum(parts, axis=0).max() <= 1
        # A part's garment may be dropped as a sliver; then the part is all that shows of it.
        assert sum((part & (covered == 1)).sum() for part in parts) >= 0.97 * np.sum(parts)


def test_make_demo_shoe_types_point_at_shoe_rows(demo, rows):
    with open(demo / "shoe_types.csv", encoding="utf-8", newline="") as stream:
        types = list(csv.DictReader(stream))
    assert list(types[0]) == ["image", "mask", "shoe_type"]
    assert {t["shoe_type"] for t in types} == set(SHOE_TYPES)
    for entry in types:
        row = rows[int(entry["mask"]) - 1]
        assert row["ClassId"] == "23"
        assert entry["image"] == f"{row['ImageId']}.jpg"
    named = {int(entry["mask"]) for entry in types}
    assert len(named) == len(types)


def test_make_demo_label_descriptions_are_the_46_and_name_every_attribute(demo, rows):
    labels = json.loads((demo / "label_descriptions.json").read_text(encoding="utf-8"))
    assert [c["name"] for c in labels["categories"]] == list(CLASSES_46)
    assert [c["id"] for c in labels["categories"]] == list(range(46))
    attributes = {str(a["id"]) for a in labels["attributes"]}
    used = {word for row in rows for word in row["ClassId"].split("_")[1:]}
    assert used and used <= attributes
    assert any(row["ClassId"].count("_") == 2 for row in rows)


def test_label_descriptions_have_the_keys_of_the_real_file(demo, shared_dir):
    real_file = shared_dir / "data/imaterialist/imaterialist2019_label_descriptions.json"
    if not real_file.is_file():
        pytest.skip(f"no {real_file}")
    real = json.loads(real_file.read_text(encoding="utf-8"))
    ours = json.loads((demo / "label_descriptions.json").read_text(encoding="utf-8"))
    assert ours.keys() == real.keys()
    assert ours["categories"] == real["categories"]
    assert ours["attributes"][0].keys() == real["attributes"][0].keys()


def test_make_demo_size_scales_the_drawing(demo, tmp_path):
    tool.make_demo(tmp_path / "large", images=2, seed=3, size_wh=(320, 448))
    name = f"{tool.image_id(3, 0)}.jpg"
    large_file = tmp_path / "large" / "train" / name
    with Image.open(large_file) as large, Image.open(demo / "train" / name) as s:
        assert large.size == (320, 448)
        difference = np.abs(np.float32(large.resize(s.size, Image.BOX)) - np.float32(s))
    assert difference.mean() < 6  # grain and edges aside, it is the same picture


# --- the mixture -----------------------------------------------------------------------------


def test_make_demo_every_category_is_frequent():
    counts = Counter()
    for index in range(40):
        seen = {i.shoe_type or i.category for i, _ in draw_scene(0, index, (64, 96))[1]}
        counts.update(seen)
    assert set(SHOE_TYPES) < set(counts)
    assert len(set(counts) - set(SHOE_TYPES)) == 14  # as the module's docstring says
    assert min(counts.values()) >= 3, counts


def test_make_demo_shoes_and_bags_fill_half_their_boxes():
    filled: dict[str, list[float]] = {}
    for index in range(24):
        for instance, mask in draw_scene(0, index, (160, 224))[1]:
            rows, columns = np.nonzero(mask)
            share = mask.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1))
            filled.setdefault(instance.shoe_type or instance.category, []).append(share)
    for name in (*SHOE_TYPES, "shoe", "bag, wallet"):
        assert np.median(filled[name]) >= 0.5, (name, filled[name])


# --- the canvas ------------------------------------------------------------------------------


def test_canvas_later_paint_hides_and_part_joins_its_garment():
    canvas = Canvas((20, 20))
    coat, pocket, bag = (canvas.add(Instance(n)) for n in ("coat", "pocket", "bag, wallet"))
    canvas.paint([box(2, 2, 18, 18)], (1, 2, 3), owner=coat)
    canvas.paint([box(4, 4, 30, 8)], (1, 2, 3), part=pocket, within=coat)
    canvas.paint([box(2, 6, 10, 18)], (1, 2, 3), owner=bag)
    masks = {instance.category: mask for instance, mask in canvas.masks()}
    assert masks["coat"].sum() == 16 * 16 - 8 * 12
    assert masks["bag, wallet"].sum() == 8 * 12
    assert masks["pocket"].sum() == 14 * 4 - 6 * 2
    assert not (masks["pocket"] & masks["bag, wallet"]).any()
    assert (masks["pocket"] <= masks["coat"]).all()


def test_canvas_hidden_instance_has_no_mask():
    canvas = Canvas((8, 8))
    hidden = canvas.add(Instance("belt"))
    canvas.paint([box(1, 1, 4, 4)], (0, 0, 0), owner=hidden)
    canvas.paint([box(0, 0, 8, 8)], (0, 0, 0), owner=BODY)
    canvas.paint([box(20, 20, 30, 30)], (0, 0, 0), owner=hidden)
    assert canvas.masks() == []


def test_ribbon_sharp_bend_leaves_no_hole():
    canvas = Canvas((40, 40))
    sleeve = canvas.add(Instance("sleeve"))
    canvas.paint([ribbon([(8, 8), (30, 20), (8, 30)], 7)], (0, 0, 0), owner=sleeve)
    (_, mask), *_ = canvas.masks()
    for row in mask[12:28, 20:]:
        columns = np.flatnonzero(row)
        assert columns.size == columns[-1] - columns[0] + 1


# --- what it refuses, and what it leaves behind ----------------------------------------------


def test_make_demo_existing_folder_is_refused_without_force(demo):
    before = digests(demo)
    with pytest.raises(FashionError, match="--force"):
        tool.make_demo(demo, images=1)
    assert digests(demo) == before


def test_make_demo_force_replaces_its_own_folder(tmp_path):
    out = tmp_path / "set"
    tool.make_demo(out, images=2, size_wh=(64, 96))
    tool.make_demo(out, images=1, size_wh=(64, 96), seed=9, force=True)
    assert json.loads((out / "demo.json").read_text())["seed"] == 9
    assert [p.name for p in (out / "train").iterdir()] == [f"{tool.image_id(9, 0)}.jpg"]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("foreign", ["notes.txt", "train/mine.jpg", "annotations/all.json"])
def test_make_demo_force_spares_what_it_did_not_make(tmp_path, foreign):
    out = tmp_path / "set"
    tool.make_demo(out, images=1, size_wh=(64, 96))
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).write_text("mine")
    with pytest.raises(FashionError, match=foreign.split("/")[0]):
        tool.make_demo(out, images=1, size_wh=(64, 96), force=True)
    assert (out / foreign).read_text() == "mine"


@pytest.mark.parametrize("manifest", [None, "{}", "[]", '{"made_by": "someone else"}'])
def test_make_demo_force_spares_a_strange_folder(tmp_path, manifest):
    (tmp_path / "train.csv").write_text("precious")
    if manifest is not None:
        (tmp_path / "demo.json").write_text(manifest)
    with pytest.raises(FashionError, match="train.csv"):
        tool.make_demo(tmp_path, images=1, force=True)
    assert (tmp_path / "train.csv").read_text() == "precious"


def test_make_demo_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "set").write_text("a file")
    with pytest.raises(FashionError, match="a new folder expected"):
        tool.make_demo(tmp_path / "set", images=1, force=True)


@pytest.mark.parametrize("existing", [False, True])
def test_make_demo_stopped_midway_leaves_old_state(tmp_path, monkeypatch, existing):
    out = tmp_path / "set"
    if existing:
        tool.make_demo(out, images=1, size_wh=(64, 96))
    before = digests(tmp_path)

    def stop(seed, index, size_wh):
        if index == 1:
            raise KeyboardInterrupt
        return draw_scene(seed, index, size_wh)

    monkeypatch.setattr(tool, "draw_scene", stop)
    with pytest.raises(KeyboardInterrupt):
        tool.make_demo(out, images=3, size_wh=(64, 96), force=True)
    assert digests(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == (["set"] if existing else [])


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"images": 0}, "--images"), ({"seed": -1}, "--seed"), ({"size_wh": (8, 224)}, "--size")],
)
def test_make_demo_number_out_of_range_is_named(tmp_path, wrong, named):
    with pytest.raises(FashionError, match=named):
        tool.make_demo(tmp_path / "set", **{"images": 1, **wrong})
    assert not (tmp_path / "set").exists()
