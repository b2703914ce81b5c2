"""``--tta`` and ``--ensemble``: the config that is tested, and the record that tells of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fashion_mmdet.core.errors import ConfigError, FashionError

pytestmark = pytest.mark.mm


@pytest.fixture
def cfg(repo_dir: Path) -> Any:
    from mmengine.config import Config

    return Config.fromfile(str(repo_dir / "configs/demo/mask_rcnn_r18_demo.py"))


def run_folder(path: Path, config: Any, *names: str) -> str:
    path.mkdir()
    config.dump(str(path / "recipe.py"))
    for name in names:
        (path / name).write_bytes(b"")
    return str(path)


def pipeline_of(cfg: Any) -> list[Any]:
    return cfg.test_dataloader.dataset.pipeline


def test_with_tta_is_what_mim_test_makes_of_the_config(cfg: Any) -> None:
    from fashion_mmdet.models import with_tta

    model, views = cfg.model.to_dict(), cfg.tta_pipeline
    with_tta(cfg, True)
    assert cfg.model.to_dict() == {"type": "MaskTTAModel", "module": model}
    assert pipeline_of(cfg) == views and pipeline_of(cfg) is not views
    _, augment = views
    sizes, flips, packs = augment.transforms
    assert [size.scale for size in sizes] == [(224, 160), (179, 128), (280, 200)]
    assert [flip.prob for flip in flips] == [0, 1] and len(packs) == 1


def test_with_tta_of_a_wrapped_config_unwraps_it_first(cfg: Any) -> None:
    from fashion_mmdet.models import with_tta

    plain = cfg.to_dict()
    with_tta(cfg, False)
    assert cfg.to_dict() == plain
    with_tta(cfg, True)
    wrapped = cfg.to_dict()
    with_tta(cfg, True)
    assert cfg.to_dict() == wrapped != plain
    with_tta(cfg, False)
    assert cfg.to_dict() == plain


def test_ensemble_without_tta_sees_each_photo_once(cfg: Any, tmp_path: Path) -> None:
    from fashion_mmdet.models import with_tta

    run = run_folder(tmp_path / "a", cfg, "epoch_2.pth", "best_coco_segm_mAP_epoch_1.pth")
    with_tta(cfg, False, [run, f"{run}/epoch_2.pth"])
    assert [Path(m.checkpoint).name for m in cfg.model.members] == [
        "best_coco_segm_mAP_epoch_1.pth", "epoch_2.pth",
    ]  # fmt: skip
    assert {m.config for m in cfg.model.members} == {f"{run}/recipe.py"}
    load, resize, augment = pipeline_of(cfg)
    assert (load.type, resize.scale) == ("LoadImageFromFile", (224, 160))
    (flip,), (pack,) = augment.transforms
    assert flip.prob == 0 and pack.meta_keys[-2:] == ("flip", "flip_direction")


def test_tta_without_a_pipeline_for_it_flips_and_says_so(
    cfg: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_mmdet.models import tta_config

    said: list[str] = []
    monkeypatch.setattr(tta_config, "print_log", lambda text, logger: said.append(text))
    cfg.pop("tta_pipeline"), cfg.pop("tta_model")
    tta_config.with_tta(cfg, True)
    load, resize, augment = pipeline_of(cfg)
    assert (load.type, resize.scale) == ("LoadImageFromFile", (224, 160))
    assert [[t.type for t in options] for options in augment.transforms] == [
        ["RandomFlip", "RandomFlip"], ["PackDetInputs"],
    ]  # fmt: skip
    assert [flip.prob for flip in augment.transforms[0]] == [0, 1]
    assert cfg.model.type == "MaskTTAModel"
    assert len(said) == 1 and "upright and flipped" in said[0]


def test_last_checkpoint_stands_in_for_a_best_one(cfg: Any, tmp_path: Path) -> None:
    from fashion_mmdet.models.tta_config import member_files

    run = run_folder(tmp_path / "a", cfg, "epoch_1.pth", "epoch_2.pth")
    for name, age_ns in (("epoch_1.pth", 1), ("epoch_2.pth", 2)):
        os.utime(Path(run, name), ns=(age_ns, age_ns))
    assert member_files(run, "--ensemble")[1] == f"{run}/epoch_2.pth"  # the newest
    Path(run, "last_checkpoint").write_text("/elsewhere/epoch_1.pth")
    assert member_files(run, "--ensemble")[1] == f"{run}/epoch_1.pth"


def test_member_that_is_no_run_is_refused(cfg: Any, tmp_path: Path) -> None:
    from fashion_mmdet.models import with_tta

    run = run_folder(tmp_path / "a", cfg, "best_x.pth")
    cfg.dump(str(tmp_path / "a/other.py"))
    for member, said in (
        (run, r"one config \(\.py\) beside the checkpoint expected, got other\.py, recipe\.py"),
        (str(tmp_path / "none.pth"), r"--ensemble: .*a checkpoint \(\.pth\) expected, found none"),
    ):
        with pytest.raises(FashionError, match=said):
            with_tta(cfg, True, [member])
    cfg.tta_model = dict(type="DetTTAModel")
    with pytest.raises(ConfigError, match=r"tta_model\.type: MaskTTAModel expected"):
        with_tta(cfg, True, [f"{run}/best_x.pth"])


def test_pipeline_without_an_end_to_put_views_at_is_refused(cfg: Any) -> None:
    from fashion_mmdet.models import with_tta

    cfg.pop("tta_pipeline")
    pipeline_of(cfg).pop()
    with pytest.raises(ConfigError, match="PackDetInputs at its end expected, got Resize"):
        with_tta(cfg, True)


def test_option_of_tta_without_tta_is_refused(repo_dir: Path, tmp_path: Path) -> None:
    from fashion_mmdet.commands.test import main

    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="tta_model.members: --tta or --ensemble with it"):
        main([str(repo_dir / "configs/demo/mask_rcnn_r18_demo.py"), str(tmp_path / "a.pth"),
              "--cfg-options", "tta_model.members=[a,b]"])  # fmt: skip


@pytest.mark.parametrize(
    ("words", "given", "folder"),
    [
        ([], None, "w"),
        (["--tta"], None, "w_tta"),
        (["--ensemble", "RUN"], None, "w_ensemble"),
        (["--tta", "--ensemble", "RUN"], None, "w_ensemble_tta"),
        (["--tta"], "v", "w"),
    ],
)
def test_augmented_test_leaves_the_plain_tests_folder_alone(
    cfg: Any, tmp_path: Path, words: list[str], given: str | None, folder: str
) -> None:
    from fashion_mmdet.commands.test import _augment

    run = run_folder(tmp_path / "run", cfg, "best_x.pth")
    cfg.work_dir = "w"
    args = SimpleNamespace(
        checkpoint=f"{run}/best_x.pth", tta="--tta" in words, work_dir=given, cfg_options=None,
        ensemble=[run] if "RUN" in words else [], split="test", keep_grids=False, point=None,
    )  # fmt: skip
    _augment(cfg, args)
    assert cfg.work_dir == folder
    assert ("module" in cfg.model) == bool(words)


def test_options_of_what_is_tested_reach_the_config(
    cfg: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fashion_mmdet.commands.test import _augment
    from fashion_mmdet.core.operating_point import OperatingPoint, write_operating_point

    point = tmp_path / "point.json"
    write_operating_point(point, OperatingPoint(score=0.7, mask_threshold=0.4), {})
    cfg.work_dir = "w"
    val = cfg.val_dataloader.dataset.ann_file
    args = SimpleNamespace(
        checkpoint="x.pth", tta=False, work_dir=None, cfg_options=None, ensemble=[],
        split="val", keep_grids=True, point=str(point),
    )  # fmt: skip
    _augment(cfg, args)
    assert cfg.work_dir == "w_val_point"
    assert cfg.test_dataloader.dataset.ann_file == val != "annotations/test.json"
    assert cfg.test_evaluator.ann_file == cfg.val_evaluator.ann_file
    assert cfg.test_evaluator.keep_grids and cfg.test_evaluator.point == str(point)
    assert cfg.model.test_cfg.rcnn.mask_thr_binary == 0.4
    cfg.test_evaluator = {"type": "CocoMetric"}
    args.split = "test"
    with pytest.raises(ConfigError, match="--keep-grids: a test_evaluator of type FashionMetric"):
        _augment(cfg, args)


@pytest.mark.slow
def test_fashion_and_mim_test_tta_load_the_weights_and_say_what_was_used(
    cfg: Any, repo_dir: Path, tmp_path: Path
) -> None:
    import torch
    from drawn_set import BIN, CONFIG, call, draw
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    from fashion_mmdet.core.ontology import CLASSES
    from fashion_mmdet.core.run_record import read_run

    register_all_modules()
    draw(tmp_path)
    (tmp_path / "run").mkdir()
    cfg.dump(str(tmp_path / "run/mask_rcnn_r18_demo.py"))
    checkpoint = tmp_path / "run/best_x.pth"
    weights = MODELS.build(cfg.model).state_dict()
    meta = {"dataset_meta": {"classes": CLASSES}}
    torch.save({"state_dict": weights, "meta": meta}, checkpoint)
    call([BIN / "fashion", "test", CONFIG, checkpoint, "--work-dir", "run"], tmp_path)
    plain = read_run(tmp_path / "run")
    text = call([BIN / "fashion", "test", CONFIG, checkpoint, "--tta"], tmp_path)
    assert re.search(r"(\d{3}) of the model's \1 tensors\n", text)
    assert "/run_tta; next: fashion analyze or compare." in text
    record = read_run(tmp_path / "run_tta")
    assert record.config == plain.config and record.started_utc == plain.started_utc
    (test,) = record.tests
    assert test.changed["model.tta"][1] == {"type": "MaskTTAModel"}
    assert set(test.changed) == {"model.tta", "test_dataloader.dataset.pipeline"}
    assert record.evaluation == ("evidence_test.npz",)
    assert read_run(tmp_path / "run") == plain

    text = call([BIN / "mim", "test", "mmdet", CONFIG, "--checkpoint", checkpoint, "--gpus", "0",
                 "--tta", "--work-dir", "out", "--cfg-options", "tta_model.members=[run]"],
                tmp_path)  # fmt: skip
    assert re.search(r"(\d{3}) of the model's \1 tensors\n", text)
    record = read_run(tmp_path / "out")
    assert record.tests[0].changed["model.tta"][1]["members"] == ["run"]
    assert json.loads((tmp_path / "out/run.json").read_text())["parameters"]["total"] > 1e7
    assert set(record.overrides) == {"tta_model.members", "test_dataloader.dataset.pipeline"}

    # A member that was trained on other names is noticed.
    meta = {"dataset_meta": {"classes": CLASSES[::-1]}}
    torch.save({"state_dict": weights, "meta": meta}, tmp_path / "run/best_y.pth")
    text = call([BIN / "fashion", "test", CONFIG, checkpoint, "--ensemble", "run/best_y.pth"],
                tmp_path, 1)  # fmt: skip
    assert "error: run/best_y.pth: a checkpoint trained on the 49 classes" in text


def test_every_recipe_has_views_of_which_the_first_is_that_of_its_plain_test(
    repo_dir: Path,
) -> None:
    from mmengine.config import Config

    leaves = [
        p for top in ("fashion", "ccp", "demo") for p in (repo_dir / "configs" / top).iterdir()
    ]
    seen = set()
    for path in (p for p in leaves if p.suffix == ".py"):
        cfg = Config.fromfile(str(path), import_custom_modules=False)
        assert cfg.tta_model == {"type": "MaskTTAModel"}
        load, resize, *_ = pipeline_of(cfg)
        first, augment = cfg.tta_pipeline
        sizes, flips, packs = augment.transforms
        assert first == load and sizes[0] == resize
        assert len(sizes) * len(flips) * len(packs) == 6
        short_px = [min(size.scale) for size in sizes]
        assert [s / short_px[0] for s in short_px] == pytest.approx(
            [1, 0.8, 1.2 if short_px[0] == 800 else 1.25], abs=0.01
        )
        seen.add(tuple(short_px))
    assert len(seen) >= 4
