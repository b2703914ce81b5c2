"""The replay of the loader: what it says of each instance is what mmdet's loader does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faulty_set import DRESS, FaultySet, H, W, square

from fashion_mmdet.commands import main
from fashion_mmdet.commands import run as run_command

pytestmark = pytest.mark.mm

PIPELINE = """[
    dict(type="LoadPhoto"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(80, 60), keep_ratio=True),
    dict(type="PackDetInputs"),
]"""
CONFIG = """
custom_imports = dict(imports=["fashion_mmdet.register"])
default_scope = "mmdet"
model = dict()
test_dataloader = dict()
train_dataloader = dict(
    batch_size=3,
    num_workers=2,
    dataset=dict(
        type="{dataset}",
        data_root="elsewhere/",
        ann_file="other.json",
        {keys}
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline={pipeline},
    ),
)
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch) -> FaultySet:
    monkeypatch.chdir(tmp_path)
    return FaultySet(tmp_path)


def replayed(
    faulty: FaultySet,
    *,
    dataset: str = "FashionDataset",
    keys: str = "",
    pipeline: str = PIPELINE,
    n_images: int = 0,
) -> dict[str, Any]:
    from fashion_mmdet.commands.replay import replay

    Path("ann.json").write_text(json.dumps(faulty.coco))
    Path("config.py").write_text(CONFIG.format(dataset=dataset, keys=keys, pipeline=pipeline))
    return replay("config.py", "ann.json", "photos", n_images)


def fate(result: dict[str, Any], annotation_id: int) -> tuple[str, str]:
    (row,) = [row for row in result["instances"] if row["annotation_id"] == annotation_id]
    return row["verdict"], row["why"]


def test_replay_whole_set_keeps_all_and_finds_nothing(faulty):
    result = replayed(faulty)
    assert result["verdicts"] == {"kept": 2, "ignored": 0, "dropped": 0, "relabelled": 0}
    assert result["findings"] == [] and result["images_run"] == 1
    assert {row["stage"] for row in result["instances"]} == {"pipeline"}


def test_replay_says_of_each_instance_what_the_dataset_does_and_why(faulty):
    crowd = faulty.fault("crowd", iscrowd=1)["id"]
    thin = faulty.fault("box without area", bbox=[10, 10, 0.5, 20])["id"]
    marked = faulty.fault("ignore flag", ignore=True)["id"]
    away = faulty.fault("box outside", bbox=[900, 10, 20, 20])["id"]
    bare = faulty.fault("segmentation malformed")
    bare["segmentation"] = {"size": [H, W], "counts": "!"}
    derived = faulty.fault("box missing")
    del derived["bbox"]
    for entry in faulty.coco["images"][1:]:  # filter_cfg must not decide first
        faulty.mask(entry, square(50, 40, 5, 5))
    result = replayed(faulty)
    assert fate(result, crowd) == ("ignored", "ignored: crowd")
    assert fate(result, thin) == ("dropped", "dropped: box under 1 px or area 0")
    assert fate(result, marked) == ("dropped", "dropped: marked 'ignore'")
    assert fate(result, away) == ("dropped", "dropped: box outside the image")
    assert fate(result, bare["id"]) == ("ignored", "ignored: no valid mask")
    assert fate(result, derived["id"]) == ("kept", "box derived from its mask")
    found = Counter(kind for kind, _, _ in result["findings"])
    assert found == {"loader drops": 3, "loader ignores": 2}
    assert {place["annotation_id"] for _, _, place in result["findings"]} == {
        crowd, thin, marked, away, bare["id"]
    }  # fmt: skip


def test_replay_agrees_with_the_loader_itself(faulty):
    """The number of instances that the model gets, by the dataset without the replay."""
    from fashion_mmdet.datasets import FashionDataset

    faulty.fault("crowd", iscrowd=1)
    faulty.fault("area 0", area=0)
    for entry in faulty.coco["images"]:
        faulty.mask(entry, square(50, 40, 5, 5))
    result = replayed(faulty)
    pipeline = eval(PIPELINE)
    whole = FashionDataset(ann_file="ann.json", data_prefix={"img": "photos/"}, pipeline=pipeline)
    samples = [whole[i]["data_samples"] for i in range(len(whole))]
    assert result["verdicts"]["kept"] == sum(len(s.gt_instances) for s in samples)
    assert result["verdicts"]["ignored"] == sum(len(s.ignored_instances) for s in samples) == 1


def test_replay_names_category_that_the_config_leaves_out(faulty):
    result = replayed(faulty, keys='metainfo=dict(classes=("dress",)),')
    assert fate(result, 1) == ("dropped", "left out: category not in metainfo.classes")
    assert fate(result, 2) == ("kept", "")


def test_replay_names_filter_cfg_for_images_that_go(faulty):
    small = faulty.image((20, 20))
    entry = faulty.mask(small, [[1, 1, 15, 1, 15, 15]])
    result = replayed(faulty)
    verdict, why = fate(result, entry["id"])
    assert verdict == "dropped" and why.startswith("filter_cfg leaves its image out")
    assert "1 left out by filter_cfg" in result["lines"][0]


def test_replay_names_the_transform_that_drops_an_instance(faulty):
    small = faulty.mask(faulty.coco["images"][0], square(70, 50, 4, 4))
    keep = 'dict(type="FilterAnnotations", min_gt_bbox_wh=(8, 8)),\n    dict(type="PackDet'
    result = replayed(faulty, pipeline=PIPELINE.replace('dict(type="PackDet', keep))
    assert fate(result, small["id"]) == ("dropped", "dropped by FilterAnnotations")
    assert result["verdicts"]["kept"] == 2


def test_replay_says_when_a_transform_gives_the_whole_image_up(faulty):
    keep = 'dict(type="FilterAnnotations", min_gt_bbox_wh=(99, 99)),\n    dict(type="PackDet'
    result = replayed(faulty, pipeline=PIPELINE.replace('dict(type="PackDet', keep))
    assert result["verdicts"]["dropped"] == 2
    assert "FilterAnnotations returns nothing" in fate(result, 1)[1]


def test_replay_finds_masks_that_resizing_empties(faulty):
    tiny = faulty.mask(faulty.coco["images"][0], square(63, 43, 1, 1))
    result = replayed(faulty, pipeline=PIPELINE.replace("(80, 60)", "(20, 15)"))
    ((kind, _, place),) = result["findings"]
    assert (kind, place["annotation_id"]) == ("loader empties", tiny["id"])


def test_replay_names_the_image_at_which_training_would_stop(faulty):
    faulty.photo_fault("photo missing").unlink()
    result = replayed(faulty)
    ((kind, message, place), (other, _, _)) = result["findings"]
    assert (kind, place["image_id"], place["file_name"]) == ("loader fails", 2, "002.jpg")
    assert message.startswith("LoadPhoto stops with AnnotationError") and other == "loader drops"


def test_replay_finds_stock_dataset_that_labels_by_order(faulty):
    """mmdet numbers labels in the order of the file, whatever the order of the classes is."""
    result = replayed(
        faulty, dataset="CocoDataset", keys='metainfo=dict(classes=("dress", "shoe")),'
    )
    assert fate(result, 1) == ("relabelled", "'shoe' in the file trains as 'dress'")
    assert result["verdicts"]["relabelled"] == 2
    right = replayed(
        faulty, dataset="CocoDataset", keys='metainfo=dict(classes=("shoe", "dress")),'
    )
    assert right["verdicts"]["kept"] == 2


def test_replay_finds_stock_dataset_that_ignores_run_lengths(faulty):
    result = replayed(
        faulty,
        dataset="CocoDataset",
        keys='metainfo=dict(classes=("shoe", "dress")),',
        pipeline=PIPELINE.replace("with_mask=True", "with_mask=True, poly2mask=False"),
    )
    assert fate(result, 1)[0] == "ignored" and "poly2mask" in fate(result, 1)[1]


def test_replay_of_file_that_the_dataset_refuses_is_one_finding(faulty):
    faulty.coco["categories"].append({"id": DRESS, "name": "coat"})
    ((kind, message, _),) = replayed(faulty)["findings"]
    assert kind == "loader refuses" and "each id once expected" in message


def test_replay_memory_is_that_of_photo_and_masks(faulty):
    held = replayed(faulty)["memory"]
    # Of 2 instances: bitmaps, float32 boxes, int64 labels.
    sample = H * W * 3 + 2 * (H * W + 4 * 4 + 8)
    loading = H * W * 3 + 2 * H * W
    assert held == {
        "sample_mean": sample,
        "sample_most": sample,
        "loading_most": loading,
        "worker": 2 * 3 * sample + loading,
        "all_workers": 2 * (2 * 3 * sample + loading),
    }


@pytest.mark.parametrize(
    ("n_wanted", "images"), [(0, [1, 2, 3, 4]), (2, [1, 3]), (9, [1, 2, 3, 4])]
)
def test_replay_runs_images_evenly_spread(faulty, n_wanted, images):
    for _ in range(3):
        faulty.mask(faulty.image(), square())
    rows = replayed(faulty, n_images=n_wanted)["instances"]
    assert sorted({row["image_id"] for row in rows if row["stage"] == "pipeline"}) == images


def test_check_with_config_adds_the_replay_to_findings_and_json(faulty, capsys):
    faulty.fault("area 0", area=0)
    replayed(faulty)
    words = ["--images", "photos", "--config", "config.py", "--json", "f.json"]
    assert run_command(main, ["data", "check", "ann.json", *words]) == 1
    found = json.loads(Path("f.json").read_text())
    assert found["kinds"]["loader drops"]["count"] == 1
    assert found["replay"]["verdicts"]["dropped"] == 1 and found["replay"]["memory"]
    assert "replay of config.py: 1 images in the dataset, 1 left out" in capsys.readouterr().out


def test_check_with_config_that_is_none_is_one_line(faulty, capsys):
    Path("ann.json").write_text(json.dumps(faulty.coco))
    words = ["--images", "photos", "--config", "gone.py"]
    assert run_command(main, ["data", "check", "ann.json", *words]) == 1
    assert "error: gone.py: a config file" in capsys.readouterr().err
