"""``fashion data check`` finds every planted fault, names it, and invents none."""

from __future__ import annotations

import json
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from faulty_set import SCALE, FaultySet, square
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets_tools.check import check
from datasets_tools.check.annotations import survey_data
from datasets_tools.check.catalogue import CATALOGUE
from datasets_tools.check.masks import Mask, check_masks, most_iou, read_mask
from datasets_tools.check.polygons import crosses_itself, faults_of, share_inside
from datasets_tools.make_demo import make_demo
from fashion_mmdet.commands import main
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError

#: Notes that are true of a whole set: it does not have all 49 categories.
HARMLESS = {"category without annotations"}


def found_in(path: Path, photos: Path | None = None) -> list[tuple]:
    survey, _ = check(path, images_dir=photos, scale=SCALE, workers=2)
    return [(f.kind, f.image_id, f.annotation_id) for f in survey.findings]


def write(faulty: FaultySet, folder: Path) -> Path:
    path = folder / "ann.json"
    path.write_text(json.dumps(faulty.coco))
    return path


def test_check_whole_set_finds_nothing(tmp_path):
    faulty = FaultySet(tmp_path)
    assert found_in(write(faulty, tmp_path), faulty.photos) == []


def test_check_one_fault_of_each_kind_in_one_set_finds_all_and_no_other(tmp_path):
    faulty = FaultySet(tmp_path)
    faulty.plant_all()
    path = write(faulty, tmp_path)
    found = found_in(path, faulty.photos)
    assert set(found) == faulty.expected
    assert len(found) == len(set(found))  # each once
    with pytest.raises(FashionError):  # what the rest of the house refuses
        read_coco(path)


def test_planted_faults_are_of_all_kinds_of_the_catalogue(tmp_path):
    faulty = FaultySet(tmp_path)
    faulty.plant_all()
    elsewhere = {"not JSON", "missing list", *(k for k in CATALOGUE if k.startswith("loader "))}
    assert {kind for kind, _, _ in faulty.expected} == set(CATALOGUE) - elsewhere
    assert len(CATALOGUE) - len(elsewhere) >= 25


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("{", ["not JSON"]),
        ("\x00\xff", ["not JSON"]),
        ("[" * 100_000, ["not JSON"]),
        ("[]", ["missing list"] * 3),
        ('{"images": [], "categories": []}', ["missing list"]),
        ('{"images": [], "categories": [], "annotations": {}}', ["missing list"]),
        ('{"images": [3], "categories": [null], "annotations": [[]]}', ["malformed entry"] * 3),
        ('{"images": [], "categories": [], "annotations": []}', []),
    ],
)
def test_check_of_what_is_no_coco_file_names_it(tmp_path, text, kinds):
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    assert [kind for kind, _, _ in found_in(path, tmp_path)] == kinds


def test_check_of_no_file_is_an_error(tmp_path):
    with pytest.raises(FashionError, match="found no file"):
        check(tmp_path / "gone.json")


#: What of the values below is as good as any.
FINE = {repr(pair) for pair in [("file_name", "x"), ("attribute_ids", None), ("attribute_ids", [])]}


@pytest.mark.parametrize("value", [None, True, "x", [], {}, 1.5, float("nan"), [None], {"a": 1}])
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("images", ["id", "file_name", "height", "width"]),
        ("categories", ["id", "name"]),
        ("annotations", ["id", "image_id", "category_id", "segmentation", "bbox", "area",
                         "iscrowd", "attribute_ids"]),
    ],
)  # fmt: skip
def test_check_any_value_anywhere_never_dies(tmp_path, name, keys, value):
    for key in keys:
        faulty = FaultySet(tmp_path / key)
        faulty.coco[name][0][key] = value
        survey = survey_data(faulty.coco, "a.json")
        check_masks(survey, SCALE)
        assert len(survey.findings) or repr((key, value)) in FINE


def test_check_masks_against_read_coco_annotation_that_is_refused_is_found(tmp_path):
    faulty = FaultySet(tmp_path)
    faulty.coco["annotations"][0]["segmentation"] = None
    path = write(faulty, tmp_path)
    with pytest.raises(FashionError):
        read_coco(path)
    assert found_in(path) == [("no segmentation", 1, 1)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=2, max_size=2))
def test_most_iou_is_never_less_than_the_iou(boxes):
    masks, bitmaps = [], []
    for x, y, w, h in boxes:
        bitmap = square(x, y, w + 1, h + 1)
        bitmap &= np.tri(*bitmap.shape, k=20, dtype=bool)
        code = rle.encode_mask(bitmap)
        if rle.area_px(code):
            masks.append(Mask(0, 0, code, rle.area_px(code), rle.box_xywh(code)))
            bitmaps.append(bitmap)
    if len(masks) == 2:
        iou = (bitmaps[0] & bitmaps[1]).sum() / (bitmaps[0] | bitmaps[1]).sum()
        assert most_iou(*masks) >= iou - 1e-9


@pytest.mark.parametrize(
    ("points", "crosses"),
    [
        ([(0, 0), (9, 0), (9, 9), (0, 9)], False),
        ([(0, 0), (9, 9), (9, 0), (0, 9)], True),
        ([(0, 0), (9, 0), (0, 0), (0, 9), (5, 9)], False),  # touches, does not cross
    ],
)
def test_crosses_itself(points, crosses):
    assert crosses_itself(np.array(points, float)) == crosses


def test_crosses_itself_far_along_a_long_polygon_is_found():
    turn = np.linspace(0, 2 * np.pi, 1500, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 1000
    assert not crosses_itself(circle)
    circle[[1400, 1410]] = circle[[1410, 1400]]
    assert crosses_itself(circle)


def spiral(n_points: int) -> np.ndarray:
    """A band that winds inwards: the boxes of its parts all meet, its edges never cross."""
    turn = np.linspace(2 * np.pi, 40 * np.pi, n_points // 2)
    outer = np.stack([np.cos(turn), np.sin(turn)], axis=1) * turn[:, None]
    return np.concatenate([outer, outer[::-1] * (1 - 1 / turn[::-1, None])]) + 200


def test_crosses_itself_of_the_most_points_takes_little_memory_and_time():
    points = spiral(5000)
    tracemalloc.start()
    start = time.process_time()
    assert not crosses_itself(points)
    assert time.process_time() - start < 20
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_polygon_of_many_points_is_noted_and_not_compared():
    start = time.process_time()
    faults = faults_of(spiral(100_000).ravel().tolist(), 400, 400)
    assert [kind for kind, _ in faults] == ["polygon of many points"]
    assert time.process_time() - start < 3
    assert faults_of(spiral(5000).ravel().tolist(), 400, 400) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (10**400, "segmentation malformed"),
        (-(10**30), "segmentation malformed"),
        (1e300, "polygon outside"),
        (-1.7e308, "polygon outside"),
    ],
)
def test_polygon_with_an_absurd_number_is_named_without_a_warning(number, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, faults = read_mask([[0, 0, number, 0, number, 9, 4, 30]], 60, 80)
    assert kind in [kind for kind, _ in faults]


@pytest.mark.parametrize(("width", "is_found"), [(14, False), (15, True)])
def test_masks_overlap_begins_above_an_iou_of_0_7(tmp_path, width, is_found):
    faulty = FaultySet(tmp_path)  # 14 of 20 columns: an IoU of 0.7
    faulty.mask(faulty.coco["images"][0], square(w=width))
    found = [kind for kind, _, _ in found_in(write(faulty, tmp_path))]
    assert found == ["masks overlap"] * is_found


def test_polygon_a_pixel_beyond_the_frame_is_no_fault():
    assert faults_of([0, 0, 81, 0, 81, 61], 60, 80) == []


def test_polygon_far_beyond_the_frame_is_named_once():
    _, faults = read_mask([[0, 0, 1e9, 0, 1e9, 9]], 60, 80)
    assert [kind for kind, _ in faults] == ["polygon outside"]


@pytest.mark.parametrize(
    ("x0", "x1", "kinds"),
    [
        (-18, 22, ["polygon out of frame"]),  # 45 % of the area outside
        (-22, 18, ["polygon outside"]),  # 55 %
        (58, 98, ["polygon out of frame"]),
        (62, 102, ["polygon outside"]),
        (-1450, -1400, ["polygon outside"]),
    ],
)
def test_polygon_with_more_than_half_of_its_area_outside_is_told_apart(x0, x1, kinds):
    faults = faults_of([x0, 5, x1, 5, x1, 25, x0, 25], 60, 80)
    assert [kind for kind, _ in faults] == kinds


def test_share_inside_of_a_triangle_is_that_of_its_area():
    # Legs of 80 px from (0, 0) to the left and down: above y = 40 lies three quarters of it.
    triangle = np.array([(0, 0), (80, 0), (0, 80)], float)
    assert share_inside(triangle, 40, 80) == pytest.approx(0.75, abs=0.01)
    # A figure of eight, whose signed areas cancel, counts by its area too.
    eight = np.array([(-20, 0), (20, 40), (20, 0), (-20, 40)], float)
    assert share_inside(eight, 60, 80) == pytest.approx(0.5, abs=0.01)


def test_categories_without_annotations_are_one_note_of_the_file(tmp_path):
    faulty = FaultySet(tmp_path)
    faulty.coco["categories"] += [{"id": 40 + i, "name": n} for i, n in enumerate(("cape", "tie"))]
    (found,) = survey_data(faulty.coco, "a.json").findings
    assert (found.kind, found.severity, found.entry) == (
        "category without annotations", "note", None
    )  # fmt: skip
    assert found.message == "2 of 4 have none: 'cape', 'tie'."


def photos_found(faulty: FaultySet, folder: Path) -> list[tuple[str, str | None]]:
    survey, _ = check(write(faulty, folder), images_dir=faulty.photos, scale=SCALE)
    return [(finding.kind, finding.found_name) for finding in survey.findings]


@pytest.mark.parametrize("name", ["001.JPG", "001.png", "001.JPEG"])
def test_photo_of_another_suffix_or_case_is_found_under_its_name(tmp_path, name):
    faulty = FaultySet(tmp_path)
    (faulty.photos / "001.jpg").rename(faulty.photos / name)
    assert photos_found(faulty, tmp_path) == [("photo under another name", name)]


def test_photo_of_a_stem_in_another_case_below_a_folder_is_found(tmp_path):
    faulty = FaultySet(tmp_path)
    faulty.coco["images"][0]["file_name"] = "sub/look.jpg"
    (faulty.photos / "sub").mkdir()
    (faulty.photos / "001.jpg").rename(faulty.photos / "sub/Look.jpg")
    assert photos_found(faulty, tmp_path) == [("photo under another name", "sub/Look.jpg")]


def test_photo_under_another_name_is_looked_at_all_the_same(tmp_path):
    faulty = FaultySet(tmp_path)
    (faulty.photos / "001.jpg").unlink()
    Image.new("RGB", (8, 9)).save(faulty.photos / "001.png")
    assert [kind for kind, _ in photos_found(faulty, tmp_path)] == [
        "photo of another size", "photo under another name"
    ]  # fmt: skip


def test_photo_that_could_be_one_of_two_or_another_images_is_missing(tmp_path):
    faulty = FaultySet(tmp_path)
    (faulty.photos / "001.jpg").rename(faulty.photos / "001.JPG")
    Image.new("RGB", (80, 60)).save(faulty.photos / "001.png")
    assert photos_found(faulty, tmp_path) == [("photo missing", None)]  # which of the two?
    (faulty.photos / "001.png").unlink()
    faulty.mask(faulty.image(file_name="001.JPG"), square())
    assert photos_found(faulty, tmp_path) == [("photo missing", None)]  # it is the other image's
    faulty.coco["images"][1]["file_name"] = "001.png"
    assert photos_found(faulty, tmp_path) == [("photo missing", None)] * 2  # whose of the two?


def test_photo_of_another_format_is_named_and_not_taken(tmp_path):
    faulty = FaultySet(tmp_path)
    (faulty.photos / "001.jpg").rename(faulty.photos / "001.tif")
    survey, _ = check(write(faulty, tmp_path), images_dir=faulty.photos, scale=SCALE)
    (found,) = survey.findings
    assert found.kind == "photo missing" and "There is 001.tif." in found.message


def counts_of(path: Path, photos: Path | None) -> Counter:
    survey, _ = check(path, images_dir=photos, workers=2)
    return Counter(f.kind for f in survey.findings if f.kind not in HARMLESS)


def test_check_demo_set_invents_nothing(tmp_path):
    make_demo(tmp_path / "d", images=6, size_wh=(160, 224))
    raw, out = tmp_path / "d", tmp_path / "all.json"
    words = [raw / "train.csv", "--descriptions", raw / "label_descriptions.json",
             "--images", raw / "train", "--out", out]  # fmt: skip
    assert main(["data", "convert", "imaterialist2019", *map(str, words)]) == 0
    assert counts_of(out, raw / "train") == {}


def test_check_real_ccp_photos_invents_nothing(tmp_path, shared_dir):
    data, root, out = shared_dir / "data/ccp", tmp_path / "ccp", tmp_path / "ccp.json"
    maps = root / "annotations/pixel-level"
    maps.mkdir(parents=True)
    for name in ("photos", "label_list.mat"):
        (root / name).symlink_to(data / name)
    for path in sorted((data / "annotations/pixel-level").iterdir())[::12]:
        (maps / path.name).symlink_to(path)
    assert main(["data", "convert", "ccp", str(root), "--out", str(out), "--photos", "none"]) == 0
    assert len(read_coco(out)["images"]) > 50
    assert counts_of(out, data / "photos") == {}


def test_check_real_imaterialist_excerpt_invents_nothing(tmp_path, shared_dir):
    out, data = tmp_path / "all.json", shared_dir / "data/imaterialist"
    words = [data / "train_excerpt.csv", "--descriptions",
             data / "imaterialist2019_label_descriptions.json", "--no-check-photos",
             "--out", out]  # fmt: skip
    assert main(["data", "convert", "imaterialist2019", *map(str, words)]) == 0
    assert counts_of(out, None) == {}


def test_check_real_fashionpedia_sample_finds_what_it_lacks(shared_dir):
    found = counts_of(shared_dir / "data/fashionpedia_sample/sample.json", None)
    assert found == {"box missing": 12, "category unknown": 2}
