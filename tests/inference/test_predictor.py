"""``Predictor``: arrays and files in, what a test of the same model finds out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trained import LABEL, make_run

from fashion_mmdet.core.errors import ConfigError, FashionError
from fashion_mmdet.core.operating_point import FILE_NAME, OperatingPoint, write_operating_point

pytestmark = pytest.mark.mm
RGB = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(repo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("work dirs") / "run", repo_dir)


@pytest.fixture(scope="module")
def predictor(run: Path) -> Any:
    from fashion_mmdet.inference import Predictor

    return Predictor(run, device="cpu")


def same(one: Any, other: Any) -> bool:
    return (
        one.rles == other.rles
        and np.array_equal(one.labels, other.labels)
        and np.allclose(one.scores, other.scores, atol=1e-6)
        and np.allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1e-3)
    )


def test_prediction_is_typed_and_of_the_photo_s_size(predictor: Any) -> None:
    found = predictor(RGB)
    assert len(found) > 3 and set(found.names) == {"dress"} and set(found.labels) == {LABEL}
    assert found.size_hw == (96, 128) and found.masks_NHW.shape == (len(found), 96, 128)
    assert (np.diff(found.scores) <= 0).all() and found.scores.min() >= 0.5


def test_file_array_and_batch_give_the_same(predictor: Any, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    alone = predictor(RGB)
    assert same(alone, predictor(tmp_path / "a.png"))
    other = np.ascontiguousarray(RGB[::-1])
    batch = list(predictor.predict([RGB, other], batch_size=2))
    assert same(batch[0], alone) and same(batch[1], predictor(other))
    assert not same(batch[0], batch[1])


def test_predictor_finds_what_a_test_of_the_model_finds(run: Path, tmp_path: Path) -> None:
    """The test set's own pipeline, annotations and all, gives the same detections."""
    import torch
    from mmdet.registry import TRANSFORMS
    from mmengine.dataset import Compose, pseudo_collate

    from fashion_mmdet.inference import Predictor

    predictor = Predictor(run, point=OperatingPoint(score=0.0), device="cpu")
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    cfg = predictor.cfg
    steps = [s for s in cfg.test_dataloader.dataset.pipeline if s["type"] != "LoadAnnotations"]
    item = Compose([TRANSFORMS.build(step) for step in steps])(
        {"img_path": str(path), "img_id": 1, "height": 96, "width": 128}
    )
    with torch.no_grad():
        theirs = predictor._model.test_step(pseudo_collate([item]))[0].pred_instances
    ours = predictor(path)
    order = np.argsort(-theirs.scores.numpy(), kind="stable")
    assert len(ours) == len(order) > 10
    assert [dict(theirs.masks[int(n)]) for n in order] == [dict(rle) for rle in ours.rles]


def test_low_scores_left_out_early_change_nothing_for_others(run: Path) -> None:
    from fashion_mmdet.inference import Predictor

    everything = Predictor(run, point=OperatingPoint(score=0.0), device="cpu")(RGB)
    middle = float(np.median(everything.scores))
    kept = np.flatnonzero(everything.scores >= middle)
    assert 0 < kept.size < len(everything)
    assert same(Predictor(run, score=middle, device="cpu")(RGB), everything.take(kept))


def test_point_of_the_run_is_taken_unless_another_is_given(run: Path, tmp_path: Path) -> None:
    from fashion_mmdet.inference import Predictor

    write_operating_point(run / FILE_NAME, OperatingPoint(max_count=2), {})
    try:
        assert len(Predictor(run, device="cpu")(RGB)) == 2
        assert len(Predictor(run, point=OperatingPoint(max_count=3), device="cpu")(RGB)) == 3
        assert len(Predictor(run, score=0.999, device="cpu")(RGB)) <= 2
    finally:
        (run / FILE_NAME).unlink()
    write_operating_point(tmp_path / "p.json", OperatingPoint(score_of={"gown": 0.1}), {})
    with pytest.raises(ConfigError, match="got 'gown'"):
        Predictor(run, point=tmp_path / "p.json", device="cpu")


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 900, 3), (900, 2, 3), (33, 65)])
def test_photo_of_an_odd_shape_gives_masks_of_its_size_or_a_message(
    predictor: Any, shape: tuple[int, ...]
) -> None:
    image = np.full(shape, 127, np.uint8)
    try:
        found = predictor(image)
    except FashionError as error:
        assert "Crop it." in str(error)
    else:
        assert found.size_hw == shape[:2] and found.masks_NHW.shape[1:] == shape[:2]


@pytest.mark.parametrize(
    "image", [RGB.astype(np.float32), RGB[..., :2], np.zeros((0, 4, 3), np.uint8), RGB[None]]
)
def test_array_of_another_kind_is_refused(predictor: Any, image: np.ndarray) -> None:
    with pytest.raises(FashionError, match=r"\(height, width, 3\) of uint8, RGB, expected"):
        predictor(image)


def test_device_that_is_not_there_is_told(run: Path) -> None:
    from fashion_mmdet.inference import Predictor

    with pytest.raises(ConfigError, match="a device of this machine expected, got 'cuda:77'"):
        Predictor(run, device="cuda:77")


def test_picture_has_the_photo_s_shape_and_colours_on_it(predictor: Any) -> None:
    drawn = predictor.draw(RGB, predictor(RGB))
    assert drawn.dtype == np.uint8 and drawn.shape[2] == 3
    assert abs(drawn.shape[1] / drawn.shape[0] - 128 / 96) < 0.02
