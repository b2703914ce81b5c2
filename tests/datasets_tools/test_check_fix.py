"""``fashion data check --fix``: what is mended, what is removed, and the log of it."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc

import pytest
from faulty_set import DRESS, SCALE, SHOE, FaultySet, H, W, square

from datasets_tools.check import check
from datasets_tools.check.annotations import survey_data
from datasets_tools.check.catalogue import CATALOGUE
from datasets_tools.check.fix import Fixed, fix, is_mended, pieces_of_json
from datasets_tools.check.masks import check_masks
from datasets_tools.check.remedies import REMEDIES
from datasets_tools.check.repair import Repair
from fashion_mmdet.core.coco import read_coco


def fixed(coco: dict) -> Fixed:
    before = copy.deepcopy(coco)
    survey = survey_data(coco, "a.json")
    check_masks(survey, SCALE)
    result = fix(coco, survey.findings, "a.json", SCALE)
    assert repr(coco) == repr(before)  # repr, for NaN is not equal to itself
    return result


@pytest.fixture
def faulty(tmp_path) -> FaultySet:
    return FaultySet(tmp_path)


def test_remedies_are_those_that_the_catalogue_promises():
    assert set(REMEDIES) == {kind for kind, about in CATALOGUE.items() if about.fix}


def test_fix_of_whole_set_changes_nothing(faulty):
    result = fixed(faulty.coco)
    assert result.changes == [] and result.data == faulty.coco


@pytest.mark.parametrize(
    "data",
    [
        {"images": [], "annotations": [{"a": [1.5, None]}, {"b": "é\n"}], "categories": [{}]},
        {"info": {"x": 1}, "images": [{"id": 1}], "annotations": [], "licenses": None},
    ],
)
def test_pieces_of_json_are_the_json_of_the_whole(data):
    assert json.loads("".join(pieces_of_json(data, "a.json"))) == data


def test_pieces_of_json_of_many_masks_take_little_memory():
    # Made one by one, as texts of a file are; a text of the whole would be 20 MB.
    counts = [f"{number:02}" * 10_000 for number in range(1000)]
    data = {"annotations": [{"segmentation": {"counts": text}} for text in counts]}
    tracemalloc.start()
    assert sum(map(len, pieces_of_json(data, "a.json"))) > 20e6
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_fix_of_a_fault_of_each_kind_passes_check_and_logs_each(faulty, tmp_path):
    faulty.plant_all()
    path, out = tmp_path / "ann.json", tmp_path / "fixed.json"
    path.write_text(json.dumps(faulty.coco))
    survey, _ = check(path, images_dir=faulty.photos, scale=SCALE)
    result = fix(survey.data, survey.findings, "ann.json", SCALE)
    out.write_text(json.dumps(result.data, allow_nan=False))
    read_coco(out)
    again, _ = check(out, images_dir=faulty.photos, scale=SCALE)
    left = {finding.kind for finding in again.findings}
    assert not [kind for kind in left if CATALOGUE[kind].severity == "error"]
    assert not [kind for kind in left if CATALOGUE[kind].fix]
    found = {kind for kind, _, _ in faulty.expected if CATALOGUE[kind].fix}
    assert {change["kind"] for change in result.changes} == found


def test_fix_log_of_a_box_names_entry_before_and_after(faulty):
    entry = faulty.fault("box is not the mask's", bbox=[10, 10, 30, 30])
    (change,) = fixed(faulty.coco).changes
    assert change == {
        "list": "annotations",
        "index": 2,
        "id": entry["id"],
        "kind": "box is not the mask's",
        "change": "the mask's box",
        "before": [10, 10, 30, 30],
        "after": [10.0, 10.0, 20.0, 20.0],
    }


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("bbox", None, [10.0, 10.0, 20.0, 20.0]),
        ("bbox", [1, 2], [10.0, 10.0, 20.0, 20.0]),
        ("bbox", [float("inf"), 0, 1, 1], [10.0, 10.0, 20.0, 20.0]),
        ("area", None, 400),
        ("area", float("nan"), 400),
        ("area", -3, 400),
        ("attribute_ids", [7, 1, "x"], [1]),
        ("attribute_ids", 7, []),
    ],
)
def test_fix_sets_one_key_and_keeps_the_rest(faulty, key, value, wanted):
    whole = dict(faulty.coco["annotations"][0])
    faulty.coco["annotations"][0][key] = value
    result = fixed(faulty.coco)
    assert result.data["annotations"][0] == {**whole, key: wanted}
    assert len(result.changes) == 1


def test_fix_polygon_out_of_frame_is_clipped_and_box_follows(faulty):
    outside = [-30, 5, -30, 35, 45, 35, 45, 5]
    entry = faulty.fault("polygon out of frame", [outside])
    entry["bbox"] = [-30, 5, 75, 30]
    last = fixed(faulty.coco).data["annotations"][-1]
    assert last["segmentation"] == [[0, 5, 0, 35, 45, 35, 45, 5]]
    assert last["bbox"] == [0.0, 5.0, 45.0, 30.0]


def test_fix_polygon_outside_is_removed_alone_and_logged(faulty):
    good, away = [5.0, 5.0, 5.0, 35.0, 45.0, 35.0], [1500, 5, 1530, 5, 1530, 35]
    entry = faulty.fault("polygon outside", [good])
    entry["segmentation"] = [good, away]
    result = fixed(faulty.coco)
    assert result.data["annotations"][-1] == {**entry, "segmentation": [good]}
    (change,) = result.changes
    assert (change["kind"], change["before"]) == ("polygon outside", [good, away])
    entry["segmentation"] = [away]
    result = fixed(faulty.coco)
    assert len(result.data["annotations"]) == 2
    assert {change["kind"] for change in result.changes} == {"polygon outside"}


def test_fix_photo_under_another_name_renames_the_entry_alone(faulty, tmp_path):
    (faulty.photos / "001.jpg").rename(faulty.photos / "001.JPG")
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(faulty.coco))
    survey, _ = check(path, images_dir=faulty.photos, scale=SCALE)
    result = fix(survey.data, survey.findings, "ann.json", SCALE)
    assert result.data["images"] == [{**faulty.coco["images"][0], "file_name": "001.JPG"}]
    assert result.data["annotations"] == faulty.coco["annotations"]
    (change,) = result.changes
    assert (change["before"], change["after"]) == ("001.jpg", "001.JPG")
    assert [path.name for path in faulty.photos.iterdir()] == ["001.JPG"]


def test_fix_two_images_of_one_photo_under_another_name_are_merged(faulty, tmp_path):
    second = faulty.image(id=500, file_name="./001.jpg")
    faulty.mask(second, square(20, 40, 5, 5))
    (faulty.photos / "001.jpg").rename(faulty.photos / "001.JPG")
    path = tmp_path / "ann.json"
    path.write_text(json.dumps(faulty.coco))
    survey, _ = check(path, images_dir=faulty.photos, scale=SCALE)
    data = fix(survey.data, survey.findings, "ann.json", SCALE).data
    assert [(image["id"], image["file_name"]) for image in data["images"]] == [(1, "001.JPG")]
    assert [a["image_id"] for a in data["annotations"]] == [1, 1, 1]


def test_fix_values_beside_the_masks_that_json_has_not_become_null(faulty):
    faulty.coco["images"][0]["of_the_user"] = {"x": [1, float("inf")]}
    faulty.coco["categories"][0]["supercategory"] = float("nan")
    result = fixed(faulty.coco)
    assert result.data["images"][0]["of_the_user"] is None
    assert result.data["categories"][0] == {"id": SHOE, "name": "shoe", "supercategory": None}
    assert [change["kind"] for change in result.changes] == ["other value not finite"] * 2
    json.dumps([result.data, result.changes], allow_nan=False)


def test_fix_polygons_keeps_the_good_ones(faulty):
    good = [5.0, 5.0, 5.0, 35.0, 45.0, 35.0]
    entry = faulty.fault("segmentation malformed", [good])
    entry["segmentation"] += [[1, 1], "x", [1, 1, 2, 2, 3, 3]]
    assert fixed(faulty.coco).data["annotations"][-1]["segmentation"] == [good]


@pytest.mark.parametrize(
    "segmentation",
    [None, [], [[1, 1]], "x", {"size": [H, W], "counts": "!"}, {"size": [W, H], "counts": [4800]},
     {"size": [H, W], "counts": [4800]}, [[900, 900, 950, 900, 950, 950]]],
)  # fmt: skip
def test_fix_annotation_without_a_mask_is_removed(faulty, segmentation):
    faulty.coco["annotations"][0]["segmentation"] = segmentation
    assert [a["id"] for a in fixed(faulty.coco).data["annotations"]] == [2]


def test_fix_images_with_one_id_both_go_with_their_annotations(faulty):
    other = faulty.image(id=1)
    faulty.mask(faulty.image(), square())
    result = fixed(faulty.coco)
    assert other["id"] == 1 and [image["id"] for image in result.data["images"]] == [3]
    assert [a["image_id"] for a in result.data["annotations"]] == [3]


def test_fix_image_entered_twice_keeps_one_and_all_annotations(faulty):
    faulty.coco["images"].append(dict(faulty.coco["images"][0]))
    result = fixed(faulty.coco)
    assert len(result.data["images"]) == 1 and len(result.data["annotations"]) == 2


def test_fix_photo_of_two_images_unites_their_annotations(faulty):
    name = faulty.coco["images"][0]["file_name"]
    faulty.mask(faulty.image(file_name=f"./{name}"), square(y=35))
    result = fixed(faulty.coco)
    assert [image["id"] for image in result.data["images"]] == [1]
    assert [a["image_id"] for a in result.data["annotations"]] == [1, 1, 1]


def test_fix_photo_of_two_images_of_two_sizes_removes_the_later(faulty):
    name = faulty.coco["images"][0]["file_name"]
    faulty.mask(faulty.image((30, 40), file_name=name), [[1, 1, 20, 1, 20, 20]])
    assert [a["image_id"] for a in fixed(faulty.coco).data["annotations"]] == [1, 1]


def test_fix_category_named_twice_and_misspelt_is_merged(faulty):
    faulty.coco["categories"].append({"id": 77, "name": " Shoe"})
    faulty.fault("category misspelt", category_id=77)
    result = fixed(faulty.coco)
    assert [c["id"] for c in result.data["categories"]] == [SHOE, 10]
    assert result.data["annotations"][-1]["category_id"] == SHOE


def test_fix_category_id_of_two_names_removes_what_cannot_be_told(faulty):
    faulty.coco["categories"].append({"id": SHOE, "name": "sandals"})
    result = fixed(faulty.coco)
    assert [a["category_id"] for a in result.data["annotations"]] == [10]
    assert len({c["id"] for c in result.data["categories"]}) == 3


def test_fix_annotation_ids_doubled_are_renumbered_each(faulty):
    for _ in range(3):
        faulty.fault("annotation id twice", id=1)
    ids = [a["id"] for a in fixed(faulty.coco).data["annotations"]]
    assert len(set(ids)) == 5 and ids[:2] == [1, 2]


@pytest.mark.parametrize(
    "name",
    ["shirt", "hoodie", "cap", "socket", "label", "ring", "cat", "address", "sunglasses", "short",
     "skort", "snadals"],
)  # fmt: skip
def test_fix_category_of_other_letters_keeps_its_name(faulty, name):
    faulty.fault("category unknown", category_id=77)
    faulty.coco["categories"].append({"id": 77, "name": name})
    result = fixed(faulty.coco)
    assert result.changes == [] and result.data == faulty.coco
    (unknown,) = [f for f in result.left if f.kind.startswith("category")]
    assert unknown.kind == "category unknown" and "Did you mean" in unknown.message


@pytest.mark.parametrize("name", ["Skirt", " skirt ", "skirt.", "SKIRT", "s-kirt", "_skirt"])
def test_fix_category_of_other_case_and_punctuation_is_renamed(faulty, name):
    faulty.fault("category misspelt", category_id=77)
    faulty.coco["categories"].append({"id": 77, "name": name})
    assert fixed(faulty.coco).data["categories"][-1] == {"id": 77, "name": "skirt"}


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, False, True])
def test_fix_iscrowd_of_a_valid_value_changes_nothing(faulty, value):
    faulty.coco["annotations"][0]["iscrowd"] = value
    assert fixed(faulty.coco).changes == []


@pytest.mark.parametrize("value", [None, 2, "1", [], {}, float("nan")])
def test_fix_iscrowd_of_another_value_becomes_0_and_keeps_the_mask(faulty, value):
    faulty.coco["annotations"][0]["iscrowd"] = value
    (change,) = fixed(faulty.coco).changes
    assert (change["kind"], change["after"]) == ("iscrowd malformed", 0)


@pytest.mark.parametrize("category_id", [SHOE, DRESS])
def test_fix_crowd_and_instance_of_the_same_pixels_both_stay(faulty, category_id):
    faulty.coco["annotations"][0]["iscrowd"] = 1
    faulty.mask(faulty.coco["images"][0], square(), category_id=category_id)
    result = fixed(faulty.coco)
    assert result.changes == [] and [finding.kind for finding in result.left] == ["crowd"]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_fix_photo_that_shares_a_name_with_an_ambiguous_image_keeps_its_mask(faulty, order):
    images = [faulty.coco["images"][0], faulty.image(id=1), faulty.image(id=2)]
    images[2]["file_name"] = images[0]["file_name"]
    mask = faulty.mask(images[2], square(y=35))
    faulty.coco["images"] = [images[at] for at in order]
    result = fixed(faulty.coco)
    assert [image["id"] for image in result.data["images"]] == [2]
    assert result.data["annotations"] == [mask]


@pytest.mark.parametrize("size", [{}, {"height": float("nan"), "width": W}])
def test_fix_image_without_a_size_before_two_of_its_photo_unites_the_whole_ones(faulty, size):
    name = faulty.coco["images"][0]["file_name"]
    faulty.mask(faulty.image(file_name=name), square(y=35))
    faulty.coco["images"].insert(0, {"id": 9, "file_name": name, **size})
    result = fixed(faulty.coco)
    assert [image["id"] for image in result.data["images"]] == [1]
    assert [a["image_id"] for a in result.data["annotations"]] == [1, 1, 1]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("has_name", [False, True])
def test_fix_image_without_a_size_beside_its_whole_twin_goes_alone(faulty, at, has_name):
    stub = {"id": 1, **({"file_name": "001.jpg"} if has_name else {})}
    faulty.coco["images"].insert(at, stub)
    faulty.coco["annotations"][0].pop("bbox")
    result = fixed(faulty.coco)
    assert [image.get("height") for image in result.data["images"]] == [H]
    assert [a["bbox"] for a in result.data["annotations"]] == [[10, 10, 20, 20], [40, 10, 20, 20]]


def test_fix_image_without_a_size_of_another_photo_leaves_its_twin_untold(faulty):
    faulty.coco["images"].append({"id": 1, "file_name": "other.jpg"})
    assert fixed(faulty.coco).data["images"] == []


def test_fix_category_without_a_name_before_one_of_its_id_goes_alone(faulty):
    categories = faulty.coco["categories"]
    faulty.coco["categories"] = [{"id": SHOE}, *categories, {"id": SHOE, "name": "x"}]
    result = fixed(faulty.coco)
    assert [c["name"] for c in result.data["categories"]] == ["shoe", "dress", "x"]


def test_fix_category_of_a_shared_id_is_not_merged_by_name(faulty):
    faulty.coco["categories"] += [{"id": 7, "name": "shoe"}, {"id": 7, "name": "skirt"}]
    faulty.mask(faulty.image(), square(), category_id=7)
    assert [a["id"] for a in fixed(faulty.coco).data["annotations"]] == [1, 2]


def test_fix_categories_misspelt_and_twice_become_the_first_of_the_name(faulty):
    faulty.coco["categories"] += [{"id": n, "name": name} for n, name in ((7, "Skirt"),
                                  (8, "Skirt"), (9, "skirt"), (7, "tie"), (7, "tie"))]  # fmt: skip
    for category_id in (8, 9):
        faulty.mask(faulty.image(), square(), category_id=category_id)
    result = fixed(faulty.coco)
    names = [c["name"] for c in result.data["categories"]]
    assert sorted(names) == ["dress", "shoe", "skirt", "tie"]
    skirt = next(c["id"] for c in result.data["categories"] if c["name"] == "skirt")
    assert [a["category_id"] for a in result.data["annotations"][2:]] == [skirt, skirt]


@pytest.mark.parametrize("name", ["x", None])
def test_fix_thousands_of_categories_alike_takes_time_in_proportion(faulty, name):
    (one, _), n = faulty.coco["annotations"], 6000
    ids = range(100, 100 + n) if name else [100] * n
    faulty.coco["categories"] += [
        {"id": number, "name": name or f"x{at}"} for at, number in enumerate(ids)
    ]
    faulty.coco["annotations"] = [
        {**one, "id": at, "category_id": number} for at, number in enumerate(ids)
    ]
    repair, survey = Repair(faulty.coco), survey_data(faulty.coco, "a.json")
    start = time.process_time()
    repair.apply(filter(is_mended, survey.findings), REMEDIES)
    assert time.process_time() - start < 3
    assert {a["category_id"] for a in repair.data["annotations"]} == ({100} if name else set())


@pytest.mark.parametrize("highest", [1, 2**63 - 1])
def test_fix_thousands_of_ids_alike_takes_time_in_proportion(faulty, highest):
    image, (one, _) = faulty.coco["images"][0], faulty.coco["annotations"]
    n = 6000
    faulty.coco["images"] = [{**image, "id": number} for number in range(n)] + [
        {**image, "id": n, "file_name": f"{number}.jpg"} for number in range(n)
    ]
    faulty.coco["annotations"] = [
        {**one, "id": highest, "image_id": number, "category_id": (SHOE, DRESS)[number % 2]}
        for number in range(n)
    ]
    repair, survey = Repair(faulty.coco), survey_data(faulty.coco, "a.json")
    start = time.process_time()
    repair.apply(filter(is_mended, survey.findings), REMEDIES)
    assert time.process_time() - start < 3
    assert len({a["id"] for a in repair.data["annotations"]}) == n
    assert {a["image_id"] for a in repair.data["annotations"]} == {0}
    assert [image["id"] for image in repair.data["images"]] == [0]


@pytest.mark.parametrize("key", ["segmentation", "bbox", "area", "iscrowd", "attribute_ids", "id"])
def test_fix_value_nested_deeper_than_python_calls_is_logged_short(faulty, key):
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    faulty.coco["annotations"][0][key] = deep
    survey = survey_data(faulty.coco, "a.json")
    check_masks(survey, SCALE)
    result = fix(faulty.coco, survey.findings, "a.json", SCALE)
    assert result.changes and len(json.dumps(result.changes, indent=1)) < 2000
