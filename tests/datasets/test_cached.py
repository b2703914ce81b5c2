"""A cache read by the wrong recipe, or looked for in the wrong place, is told."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.mm


def built(*steps: dict) -> list:
    from mmdet.utils import register_all_modules
    from mmengine.dataset import Compose

    register_all_modules(init_default_scope=True)
    return Compose(list(steps)).transforms


@pytest.mark.parametrize(
    ("step", "scale"),
    [
        (dict(type="Resize", scale=(448, 288), keep_ratio=True), (448, 288, True)),
        (dict(type="Resize", scale=(512, 512), keep_ratio=False), (512, 512, False)),
        (dict(type="RandomResize", scale=[(1333, 640), (1333, 800)], keep_ratio=True),
         (1333, 800, True)),
        (dict(type="RandomResize", scale=(640, 320), ratio_range=(0.5, 2.0), keep_ratio=True),
         (1280, 640, True)),
        (dict(type="RandomChoiceResize", scales=[(1333, 480), (1333, 800), (1333, 640)],
              keep_ratio=True), (1333, 800, True)),
        (dict(type="RandomChoice", transforms=[
            [dict(type="Resize", scale=(400, 300), keep_ratio=True)],
            [dict(type="RandomFlip", prob=0.5),
             dict(type="Resize", scale=(900, 600), keep_ratio=True)],
        ]), (900, 600, True)),
        (dict(type="RandomFlip", prob=0.5), None),
    ],
)  # fmt: skip
def test_largest_scale_is_what_the_pipeline_may_resize_to(step: dict, scale) -> None:
    from fashion_mmdet.datasets.cached import largest_scale

    assert largest_scale(built(dict(type="RandomFlip", prob=0.5), step)) == scale


def warnings(scale: tuple[int, int], keep_ratio: bool = True, made_of: str = "train.json"):
    """Return the warnings for a cache of 96 x 64 px of two photos, the second not shrunk."""
    from fashion_mmdet.datasets.cached import Cache

    images = [
        dict(height=96, width=64, ori_size=[300, 200]),
        dict(height=30, width=20, ori_size=[30, 20]),
    ]
    cache = Cache("c d/train.json", f"a/{made_of}", "photos", "")
    return list(cache.warnings(images, [SimpleNamespace(scale=scale, keep_ratio=keep_ratio)]))


def test_cache_that_training_enlarges_is_told_with_the_command_to_mend_it() -> None:
    (said,) = warnings((448, 288))
    # Of 64 x 96 px: 288 / 64 = 4.5, 448 / 96 = 4.7.
    assert "1 of 2 were shrunk" in said and "up to 4.5 times" in said
    assert said.endswith(
        "fashion data cache a/train.json --images photos --size 448 288 --out 'c d' --force"
    )


@pytest.mark.parametrize("scale", [(96, 64), (200, 64), (60, 40)])
def test_cache_that_training_does_not_enlarge_is_not_told(scale: tuple[int, int]) -> None:
    assert warnings(scale) == []


def test_cache_that_training_squashes_wants_both_sides() -> None:
    assert warnings((64, 96), keep_ratio=False) == []
    (said,) = warnings((96, 96), keep_ratio=False)
    assert "up to 1.5 times" in said and "--size 768 96 " in said


def test_cache_of_another_file_than_the_one_it_stands_for_is_told() -> None:
    (said,) = warnings((60, 40), made_of="holdout.json")
    assert "a cache of train.json expected, got one of holdout.json" in said


@pytest.mark.parametrize("value", ["data/set/my cache", "set/my cache", "{0}/data/set/my cache/x"])
def test_cache_looked_for_in_the_wrong_place_is_suggested(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_mmdet.datasets.cached import other_place

    (tmp_path / "data/set/my cache").mkdir(parents=True)
    (tmp_path / "data/set/my cache/train.json").write_text(json.dumps({}))
    monkeypatch.chdir(tmp_path)
    value = value.format(tmp_path)
    monkeypatch.setenv("FASHION_CACHE", value)
    ann_file = value + "/train.json" if value.startswith("/") else f"data/set/{value}/train.json"
    said = other_place(ann_file, "data/set/")
    if value.endswith("x"):
        assert said.endswith("or unset FASHION_CACHE.")
    else:
        assert "looked up from the data set's folder (data/set)." in said
        assert said.endswith("Did you mean FASHION_CACHE='my cache'?")


def test_file_that_is_missing_without_the_setting_is_not_its_fault(monkeypatch) -> None:
    from fashion_mmdet.datasets.cached import other_place

    monkeypatch.setenv("FASHION_CACHE", "cache")
    assert other_place("data/set/annotations/val.json", "data/set") == ""
    monkeypatch.delenv("FASHION_CACHE")
    assert other_place("data/set/cache/train.json", "data/set") == ""
