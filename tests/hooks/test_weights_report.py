"""WeightsReportHook: where the weights came from, counted."""

from __future__ import annotations

import pytest

from fashion_mmdet.core.errors import CheckpointError

pytestmark = pytest.mark.mm


def report(run) -> str:
    from toy_runner import log_text

    return "\n".join(
        line for line in log_text(run).splitlines() if "weights:" in line or line.startswith("  ")
    )


def test_report_without_a_checkpoint_says_all_is_random(tmp_path):
    from toy_runner import build

    build(tmp_path, epochs=1, validate=True, custom_hooks=[dict(type="WeightsReportHook")]).train()
    text = report(tmp_path)
    assert text.count("weights: no checkpoint; all random") == 1
    assert "WARNING" in text


def test_report_other_shape_is_counted_as_skipped(tmp_path):
    from toy_runner import ToyModel, build

    build(tmp_path / "a", epochs=1).train()
    path = str(tmp_path / "a" / "epoch_1.pth")
    hooks = [dict(type="WeightsReportHook")]
    build(tmp_path / "b", epochs=1, model=ToyModel(2), load_from=path, custom_hooks=hooks).train()
    text = report(tmp_path / "b")
    assert f"loaded from {path}: 1 of the model's 3 tensors; 2 start as initialised" in text
    assert "skipped for shape: head (2; weight is [1, 3] in the file, [2, 3] in the model)" in text


def test_report_resume_names_the_file(tmp_path):
    from toy_runner import build, train_until

    train_until(1, tmp_path, epochs=2)
    hooks = [dict(type="WeightsReportHook")]
    build(tmp_path, epochs=2, resume=True, custom_hooks=hooks).train()
    path = tmp_path / "epoch_1.pth"
    assert f"weights: resumed from {path}: 3 of the model's 3 tensors" in report(tmp_path)


def test_report_foreign_file_is_refused(tmp_path):
    import torch
    from toy_runner import build

    torch.save({"state_dict": {"backbone.conv.weight": torch.ones(2)}}, tmp_path / "other.pth")
    hooks = [dict(type="WeightsReportHook")]
    runner = build(
        tmp_path / "b", epochs=1, load_from=str(tmp_path / "other.pth"), custom_hooks=hooks
    )
    with pytest.raises(CheckpointError, match=r"other\.pth.*none fits"):
        runner.train()


def backbone_and_head():
    import torch

    model = torch.nn.Module()
    model.backbone = torch.nn.Linear(1, 1).requires_grad_(False)
    model.head = torch.nn.Linear(1, 1)
    return model


def test_frozen_tensors_that_nothing_fills_are_named():
    from fashion_mmdet.hooks.weights_report import frozen_and_random

    model = backbone_and_head()
    assert frozen_and_random(model, set()) == ["backbone.weight", "backbone.bias"]
    assert frozen_and_random(model, {"backbone.weight"}) == ["backbone.bias"]


def test_backbone_file_that_lacks_tensors_is_told_with_what_stays_random(tmp_path):
    import torch

    from fashion_mmdet.hooks.weights_report import frozen_and_random, initialisation

    path = str(tmp_path / "a.pth")
    torch.save({"weight": torch.ones(1, 1)}, path)
    model = backbone_and_head()
    assert initialisation(model) == "all random"
    model.backbone.init_cfg = {"type": "Pretrained", "checkpoint": path}
    assert frozen_and_random(model, set()) == ["backbone.bias"]
    assert initialisation(model) == (
        f"backbone from {path} (1 of 2 tensors; random: backbone (1)), the rest random"
    )
    torch.save({"state_dict": {"net.weight": torch.ones(1, 1), "net.bias": torch.ones(1)}}, path)
    model.backbone.init_cfg["prefix"] = "net"
    assert initialisation(model) == f"backbone from {path}, the rest random"
    assert frozen_and_random(model, set()) == []


def test_test_of_a_model_that_stays_random_in_part_is_refused(tmp_path):
    import torch
    from toy_runner import build, weights

    kept = weights(build(tmp_path / "a"))
    del kept["head.bias"]
    torch.save({"state_dict": kept}, tmp_path / "part.pth")
    runner = build(
        tmp_path / "b",
        load_from=str(tmp_path / "part.pth"),
        custom_hooks=[dict(type="WeightsReportHook")],
        tests=True,
    )
    with pytest.raises(CheckpointError, match=r"part\.pth.*random: not in the file: head \(1\)"):
        runner.test()
    kept["head.bias"] = torch.ones(1)
    torch.save({"state_dict": kept}, tmp_path / "part.pth")
    runner = build(
        tmp_path / "c",
        load_from=str(tmp_path / "part.pth"),
        custom_hooks=[dict(type="WeightsReportHook")],
        tests=True,
    )
    assert runner.test() == {"toy/score": 0.3}


def test_compare_many_misses_are_grouped_by_part():
    import torch

    from fashion_mmdet.hooks.weights_report import compare

    model = torch.nn.Module()
    model.backbone = torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(20)])
    model.head = torch.nn.Linear(2, 2)
    weights = {"module.head.weight": torch.ones(2, 2), "head.bias": torch.ones(3)}
    lines, loaded = compare(model, weights)
    assert loaded == {"head.weight"}
    assert lines[0].startswith("1 of the model's 42 tensors; 41 start as initialised (all random)")
    assert "not in the file: backbone (40)" in lines
    assert any(line.startswith("skipped for shape: head (1; bias is [3]") for line in lines)
