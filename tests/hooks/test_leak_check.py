"""LeakCheckHook: a photo that is trained on and scored stops the run, by whatever path it comes."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_tools.cache.build import make_cache
from datasets_tools.cache.scale import Settings
from fashion_mmdet.core.errors import ConfigError

pytestmark = pytest.mark.mm

PARTS = {"train": (1, 2, 3), "val": (4, 5), "test": (6,), "few": (4, 5)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a set of six photos in three parts; ``few`` is a training set of val's photos."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "annotations").mkdir()
    for i in range(1, 7):
        Image.fromarray(np.full((40, 60, 3), 20 * i, np.uint8)).save(tmp_path / f"photos/{i}.png")
    for name, ids in PARTS.items():
        write(tmp_path, name, ids)
    return tmp_path


def write(data: Path, name: str, ids: tuple[int, ...], prefix: str = "") -> None:
    images = [dict(id=i, file_name=f"{prefix}{i}.png", height=40, width=60) for i in ids]
    annotations = [
        dict(id=i, image_id=i, category_id=1, bbox=[4, 4, 20, 20], area=400, iscrowd=0,
             segmentation=[[4, 4, 24, 4, 24, 24, 4, 24]])
        for i in ids
    ]  # fmt: skip
    coco = dict(images=images, annotations=annotations, categories=[dict(id=1, name="shoe")])
    (data / f"annotations/{name}.json").write_text(json.dumps(coco))


def config(data: Path, name: str, photos: str = "photos", **more: Any) -> dict[str, Any]:
    ann_file = name if name.endswith(".json") else f"annotations/{name}.json"
    return dict(
        type="FashionDataset", data_root=str(data), ann_file=ann_file,
        data_prefix=dict(img=photos), pipeline=[dict(type="PackDetInputs")], **more,
    )  # fmt: skip


def built(given: dict[str, Any]) -> Any:
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules

    import fashion_mmdet.register  # noqa: F401

    register_all_modules(init_default_scope=True)
    return DATASETS.build(given)


def check(train: Any, val: Any = None, test: Any = None) -> str:
    """Call the hook as a run does that has built ``train`` and ``val``; return what it logs."""
    from fashion_mmdet.hooks import LeakCheckHook

    lines: list[str] = []
    logger = logging.Logger("run")
    logger.addHandler(logging.StreamHandler(SimpleNamespace(write=lines.append, flush=len)))

    def loop(dataset: Any) -> Any:
        return dataset and SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))

    LeakCheckHook().before_run(
        SimpleNamespace(
            logger=logger,
            _train_loop=loop(train),
            _val_loop=loop(val),
            _test_loop=test and dict(type="TestLoop"),
            _train_dataloader=None,
            _val_dataloader=None,
            _test_dataloader=test and dict(dataset=test),
        )  # type: ignore[arg-type]
    )
    return "".join(lines)


def cache(data: Path, name: str) -> dict[str, Any]:
    make_cache(data / f"annotations/{name}.json", data / "photos", data / "cache",
               Settings((30, 20), "png"))  # fmt: skip
    return config(data, "cache/train.json", "cache")


def test_photos_of_their_own_train_and_are_counted(data: Path) -> None:
    said = check(built(config(data, "train")), built(config(data, "val", test_mode=True)),
                 config(data, "test"))  # fmt: skip
    assert said == "leak check: none of 3 photos of train among 2 of val and 1 of test.\n"


def test_photos_that_validation_scores_are_refused_with_their_number_and_the_first(
    data: Path,
) -> None:
    write(data, "train", (1, 5, 4))
    with pytest.raises(ConfigError) as stopped:
        check(built(config(data, "train")), built(config(data, "val", test_mode=True)))
    said = str(stopped.value)
    assert "got 2 of its 2; the first is" in said and "photos/4.png" in said
    assert "annotations/train.json" in said and "annotations/val.json" in said
    assert said.endswith("default_hooks.leak_check=None.")


def test_one_photo_by_another_path_is_the_same(data: Path) -> None:
    (data / "linked").symlink_to("photos")
    write(data, "train", (1, 4), prefix="./")
    with pytest.raises(ConfigError, match="got 1 of its 2"):
        check(built(config(data, "train", "linked")), built(config(data, "val")))


def test_one_name_in_another_folder_is_another_photo(data: Path) -> None:
    shutil.copytree(data / "photos", data / "others")
    assert "none of 2 photos" in check(
        built(config(data, "few", "others")), built(config(data, "val"))
    )


def test_photos_that_the_test_set_scores_are_refused_though_no_loop_is_built(data: Path) -> None:
    write(data, "test", (6, 2))
    with pytest.raises(ConfigError, match=r"test_dataloader does not score.*2\.png"):
        check(built(config(data, "train")), built(config(data, "val")), config(data, "test"))


def test_test_set_that_is_not_there_trains_and_is_told(data: Path) -> None:
    (data / "annotations/test.json").unlink()
    said = check(built(config(data, "train")), built(config(data, "val")), config(data, "test"))
    assert "test is not compared" in said and "none of 3 photos of train among 2 of val." in said


def test_cache_of_validations_photos_is_refused_and_named(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 2 of its 2.*a cache of \S+few\.json"):
        check(built(cache(data, "few")), built(config(data, "val")))


def test_cache_of_the_training_set_trains(data: Path) -> None:
    assert "none of 3" in check(built(cache(data, "train")), built(config(data, "val")))


def test_cache_without_its_originals_is_compared_by_name(data: Path) -> None:
    train = cache(data, "few")
    (data / "photos").rename(data / "images")
    with pytest.raises(ConfigError, match="got 2 of its 2"):
        check(built(train), built(config(data, "val", "images")))


@pytest.mark.parametrize("wrapper", ["repeat", "join"])
def test_sets_within_sets_are_looked_into(data: Path, wrapper: str) -> None:
    given = config(data, "few")
    wrapped = {
        "repeat": dict(type="RepeatDataset", dataset=given, times=2),
        "join": dict(type="ConcatDataset", datasets=[config(data, "train"), given]),
    }[wrapper]
    with pytest.raises(ConfigError, match="got 2 of its 2"):
        check(built(wrapped), built(config(data, "val")))
    with pytest.raises(ConfigError, match="test_dataloader.*got 2 of its"):
        check(built(config(data, "val")), test=wrapped)


def test_stock_dataset_is_compared_too(data: Path) -> None:
    stock = config(data, "few", metainfo=dict(classes=("shoe",))) | dict(type="CocoDataset")
    with pytest.raises(ConfigError, match="got 2 of its 2"):
        check(built(stock), built(config(data, "val")))


def test_photo_that_training_leaves_out_is_no_leak(data: Path) -> None:
    path = data / "annotations/train.json"
    write(data, "train", (1, 4))
    coco = json.loads(path.read_text())
    path.write_text(json.dumps({**coco, "annotations": coco["annotations"][:1]}))
    train = config(data, "train", filter_cfg=dict(filter_empty_gt=True))
    assert "none of 1 photos" in check(built(train), built(config(data, "val")))


def test_run_that_only_scores_compares_nothing(data: Path) -> None:
    assert check(None, built(config(data, "val")), config(data, "val")) == ""


def test_every_process_stops_on_the_word_of_the_main_one(data: Path, monkeypatch) -> None:
    from fashion_mmdet.hooks import leak_check

    def told(said: list[str]) -> None:
        said[0] = "what the main process found"

    train = built(config(data, "train"))
    monkeypatch.setattr(leak_check, "is_main_process", lambda: False)
    monkeypatch.setattr(leak_check, "broadcast_object_list", told)
    with pytest.raises(ConfigError, match="what the main process found"):
        check(train, built(config(data, "val")))
