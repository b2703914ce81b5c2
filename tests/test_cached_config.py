"""Training from the cache sees what training from the originals sees; scoring never reads it."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools.cache.build import make_cache
from datasets_tools.cache.scale import Settings, resize_code, working_size_hw
from fashion_mmdet.core import rle

pytestmark = pytest.mark.mm

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
SIZE = (133, 80)
SIZES_HW = [(301, 199), (97, 400), (50, 60), (81, 140)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a made set of noise: masks as codes and polygons, a photo that EXIF turns."""
    rng = np.random.default_rng(3)
    images, annotations = [], []
    (tmp_path / "train").mkdir()
    for i, (height, width) in enumerate(SIZES_HW, start=1):
        pixels = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        exif = Image.Exif()
        if i == 4:
            exif[0x0112], pixels = 6, np.rot90(pixels)
        Image.fromarray(pixels).save(tmp_path / f"train/{i}.jpg", exif=exif)
        images.append({"id": i, "file_name": f"{i}.jpg", "height": height, "width": width})
        for k in range(4):
            mask = rng.random((height, width)) < 0.5
            corners = (rng.random((5, 2)) * (width, height)).round(2).ravel().tolist()
            code = [corners] if k % 2 else rle.encode_mask(mask)
            box = rle.box_xywh(rle.to_rle(code, height, width, "here"))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": 1, "bbox": box,
                 "area": 99, "iscrowd": 0, "segmentation": code}
            )  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/train.json").write_text(json.dumps({
        "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "shoe"}],
    }))  # fmt: skip
    return tmp_path


def load(name: str):
    from mmengine.config import Config

    return Config.fromfile(str(CONFIGS / name), import_custom_modules=False)


def samples(data: Path, scale: tuple[int, int] = SIZE) -> list[dict]:
    """Return what the recipe's own loader makes, at ``scale`` and without the random flip."""
    from mmdet.utils import register_all_modules

    import fashion_mmdet.register  # noqa: F401
    from fashion_mmdet.datasets import FashionDataset

    register_all_modules(init_default_scope=True)
    given = copy.deepcopy(load("fashion/mask_rcnn_r50.py").train_dataloader.dataset.to_dict())
    given.pop("type")
    given["data_root"] = str(data)
    for step in given["pipeline"]:
        step.update({"Resize": {"scale": scale}, "RandomFlip": {"prob": 0.0}}.get(step["type"], {}))
    dataset = FashionDataset(**given)
    return [dataset[i] for i in range(len(dataset))]


@pytest.fixture
def pair(data: Path, monkeypatch: pytest.MonkeyPatch):
    """Return the samples from the originals and from a cache of PNG."""
    monkeypatch.delenv("FASHION_CACHE", raising=False)
    make_cache(data / "annotations/train.json", data / "train", data / "cache",
               Settings(SIZE, "png"))  # fmt: skip
    originals = samples(data)
    monkeypatch.setenv("FASHION_CACHE", "cache")
    return originals, samples(data)


def test_cache_and_originals_give_the_same_masks_boxes_and_pixels(pair) -> None:
    originals, cached = pair
    assert len(originals) == len(cached) == len(SIZES_HW)
    for one, other in zip(originals, cached, strict=True):
        assert "cache" in other["data_samples"].img_path
        first, second = (s["data_samples"].gt_instances for s in (one, other))
        assert len(first) == 4 and first.masks.masks.any()
        np.testing.assert_array_equal(first.masks.masks, second.masks.masks)
        np.testing.assert_array_equal(one["inputs"].numpy(), other["inputs"].numpy())
        np.testing.assert_allclose(
            first.bboxes.tensor.numpy(), second.bboxes.tensor.numpy(), rtol=1e-6, atol=1e-4
        )
        assert (first.labels == second.labels).all()


def test_cache_of_another_size_than_the_recipes_is_not_the_same(
    pair, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So the comparison above can tell: masks that are resampled twice differ.
    twice = samples(data, (100, 60))[0]["data_samples"].gt_instances.masks.masks
    monkeypatch.delenv("FASHION_CACHE")
    once = samples(data, (100, 60))[0]["data_samples"].gt_instances.masks.masks
    assert once.shape == twice.shape and (once != twice).any()


def test_cache_of_annotations_that_changed_since_is_refused(pair, data: Path) -> None:
    from fashion_mmdet.core.errors import AnnotationError

    source = data / "annotations/train.json"
    text = source.read_text()
    source.write_text(text.replace('"area": 99', '"area": 98', 1))
    with pytest.raises(AnnotationError, match="train.json as it is now expected"):
        samples(data)
    source.unlink()  # the cache alone was copied to another machine
    assert len(samples(data)) == len(SIZES_HW)


def test_cache_named_for_scoring_is_refused(pair, data: Path) -> None:
    from fashion_mmdet.core.errors import AnnotationError
    from fashion_mmdet.datasets import FashionDataset

    with pytest.raises(AnnotationError, match="whose masks are resized"):
        FashionDataset(ann_file=str(data / "cache/train.json"), test_mode=True)


def test_working_size_is_mmcvs_wherever_it_shrinks() -> None:
    import mmcv

    for height in range(30, 6000, 53):
        for width in range(30, 6000, 59):
            new_w, new_h = mmcv.rescale_size((width, height), (1333, 800))
            if new_h <= height and new_w <= width and (new_h, new_w) != (height, width):
                assert working_size_hw((height, width), (1333, 800)) == (new_h, new_w)


def test_real_masks_are_those_of_mmdets_resize(shared_dir: Path) -> None:
    from mmdet.structures.mask import BitmapMasks

    excerpt = shared_dir / "data" / "imaterialist" / "train_excerpt.csv"
    if not excerpt.is_file():
        pytest.skip(f"no {excerpt}")
    csv.field_size_limit(10**9)
    with open(excerpt, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    for row in rows:
        height, width = int(float(row["Height"])), int(float(row["Width"]))
        code = rle.kaggle_to_coco(row["EncodedPixels"], height, width, "row")
        stock = BitmapMasks([rle.decode(code)], height, width).rescale((1333, 800)).masks[0]
        small = resize_code(code, working_size_hw((height, width), (1333, 800)))
        np.testing.assert_array_equal(rle.decode(small), stock)


@pytest.mark.parametrize(
    ("name", "photos"),
    [
        ("fashion/mask_rcnn_r50.py", "train/"),
        ("fashion/mask_rcnn_r50_ms_3x.py", "train/"),
        ("fashion/mask_rcnn_r50_notebook.py", "train/"),
        ("fashion/mask_rcnn_r18_cpu.py", "train/"),
        ("ccp/mask_rcnn_r50_ccp.py", "photos/"),
        ("ccp/mask_rcnn_r50_ccp_cpu.py", "photos/"),
    ],
)
def test_setting_moves_training_alone(name: str, photos: str, monkeypatch) -> None:
    monkeypatch.delenv("FASHION_CACHE", raising=False)
    plain = load(name)
    given = plain.train_dataloader.dataset
    assert (given.ann_file, given.data_prefix.img) == ("annotations/train.json", photos)
    monkeypatch.setenv("FASHION_CACHE", "cache/big")
    moved = load(name)
    found = moved.train_dataloader.dataset
    assert (found.ann_file, found.data_prefix.img) == ("cache/big/train.json", "cache/big/")
    assert found.data_root == given.data_root
    for key in ("val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"):
        assert moved[key] == plain[key]
    found.ann_file, found.data_prefix.img = given.ann_file, given.data_prefix.img
    assert moved.train_dataloader == plain.train_dataloader


def test_demo_reads_its_own_photos_whatever_the_setting(monkeypatch) -> None:
    monkeypatch.delenv("FASHION_CACHE", raising=False)
    plain = load("demo/mask_rcnn_r18_demo.py")
    monkeypatch.setenv("FASHION_CACHE", "cache")
    assert load("demo/mask_rcnn_r18_demo.py").train_dataloader == plain.train_dataloader
