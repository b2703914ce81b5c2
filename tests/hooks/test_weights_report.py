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
    assert f"loaded from {path}: 1 of the model's 3 tensors; 2 are not filled" in text
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


HOOKS = [dict(type="WeightsReportHook")]


@pytest.fixture
def part(tmp_path):
    """A file that lacks one of the toy model's three tensors."""
    import torch
    from toy_runner import build, weights

    kept = weights(build(tmp_path / "saved"))
    del kept["head.bias"]
    torch.save({"state_dict": kept}, tmp_path / "part.pth")
    return str(tmp_path / "part.pth")


@pytest.mark.parametrize("score", ["test", "val"])
def test_score_of_a_model_that_stays_random_in_part_is_refused(tmp_path, part, score: str):
    from toy_runner import build

    keys = dict(load_from=part, custom_hooks=HOOKS, tests=True, validate=True)
    with pytest.raises(CheckpointError, match=r"part\.pth.*random: not in the file: head \(1\)"):
        getattr(build(tmp_path / "b", **keys), score)()


def test_score_after_training_from_a_part_is_fine(tmp_path, part):
    from toy_runner import build

    runner = build(tmp_path / "b", 1, load_from=part, custom_hooks=HOOKS, tests=True)
    runner.train()
    assert runner.test() == {"toy/score": 0.3}
    assert "those start from: all random" in report(tmp_path / "b")


def test_score_of_a_model_that_nothing_was_loaded_into_is_warned_of(tmp_path):
    from toy_runner import build

    build(tmp_path, custom_hooks=HOOKS, tests=True).test()
    assert "weights: nothing was loaded: what is scored is random" in report(tmp_path)


def test_resume_with_a_part_missing_is_refused(tmp_path):
    import torch
    from toy_runner import build, train_until

    train_until(1, tmp_path, epochs=2)
    saved = torch.load(tmp_path / "epoch_1.pth", weights_only=True)
    del saved["state_dict"]["head.bias"]
    torch.save(saved, tmp_path / "epoch_1.pth")
    with pytest.raises(CheckpointError, match=r"not in the file: head \(1\)"):
        build(tmp_path, epochs=2, resume=True, custom_hooks=HOOKS).train()


def test_resume_reads_no_file_of_the_backbone_again(tmp_path):
    from toy_runner import ToyModel, build

    build(tmp_path, epochs=1, custom_hooks=HOOKS).train()
    model = ToyModel()
    model.head.requires_grad_(False)
    model.head.init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "gone.pth")}
    build(tmp_path, epochs=1, model=model, resume=True, custom_hooks=HOOKS).load_or_resume()
    runner = build(
        tmp_path, model=model, tests=True, load_from=str(tmp_path / "epoch_1.pth"),
        custom_hooks=HOOKS,
    )  # fmt: skip
    assert runner.test() == {"toy/score": 0.3}


def test_resume_that_would_freeze_the_backbone_otherwise_is_refused(tmp_path):
    import torch
    from toy_runner import ToyModel, build

    def model(frozen_stages: int):
        out = ToyModel()
        out.backbone = torch.nn.Linear(1, 1)
        out.backbone.frozen_stages, out.backbone.norm_eval = frozen_stages, False
        return out

    keys = dict(custom_hooks=HOOKS)
    build(tmp_path, epochs=1, model=model(-1), **keys).train()
    build(tmp_path, epochs=1, model=model(-1), resume=True, **keys).load_or_resume()
    with pytest.raises(CheckpointError, match="'frozen_stages': 1.*got.*'frozen_stages': -1"):
        build(tmp_path, epochs=1, model=model(1), resume=True, **keys).load_or_resume()


def test_backbone_with_a_loader_of_its_own_counts_as_filled(tmp_path):
    import torch
    from mmengine.model import BaseModule

    from fashion_mmdet.hooks.weights_report import frozen_and_random, initialisation

    class Swin(BaseModule):
        def init_weights(self) -> None: ...

    model = torch.nn.Module()
    model.backbone = Swin(init_cfg={"type": "Pretrained", "checkpoint": "/gone/swin.pth"})
    model.backbone.stem = torch.nn.Linear(1, 1).requires_grad_(False)
    assert initialisation(model) == "backbone from /gone/swin.pth, the rest random"
    assert frozen_and_random(model, set()) == []


def test_compare_many_misses_are_grouped_by_part():
    import torch

    from fashion_mmdet.hooks.weights_report import compare

    model = torch.nn.Module()
    model.backbone = torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(20)])
    model.head = torch.nn.Linear(2, 2)
    weights = {"module.head.weight": torch.ones(2, 2), "head.bias": torch.ones(3)}
    lines, loaded = compare(model, weights)
    assert loaded == {"head.weight"}
    assert lines[0] == "1 of the model's 42 tensors; 41 are not filled"
    assert "not in the file: backbone (40)" in lines
    assert any(line.startswith("skipped for shape: head (1; bias is [3]") for line in lines)


def test_report_of_a_model_in_a_wrapper_for_augmentation_counts_the_models_own_tensors(tmp_path):
    import torch
    from mmengine.model import BaseTTAModel
    from toy_runner import ToyModel, build

    class Twice(BaseTTAModel):
        def test_step(self, data):
            return self.module.test_step(data)

        def merge_preds(self, data_samples_list):
            raise NotImplementedError

    build(tmp_path / "a", epochs=1).train()
    path = str(tmp_path / "a" / "epoch_1.pth")
    wrapped = Twice(ToyModel())
    hooks = [dict(type="WeightsReportHook"), dict(type="ClassCheckHook")]
    build(tmp_path / "b", tests=True, model=wrapped, load_from=path, custom_hooks=hooks).test()
    assert f"weights: loaded from {path}: 3 of the model's 3 tensors" in report(tmp_path / "b")
    loaded = torch.load(path, weights_only=True)["state_dict"]
    for name, tensor in wrapped.module.state_dict().items():
        assert torch.equal(tensor, loaded[name])
    # A file of the wrapper's own names is no file of the model.
    state = {f"other.{k}": v for k, v in loaded.items()}
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    keys = dict(load_from=str(tmp_path / "other.pth"), custom_hooks=hooks)
    with pytest.raises(CheckpointError, match=r"other\.pth.*none fits"):
        build(tmp_path / "c", tests=True, model=Twice(ToyModel()), **keys).test()
