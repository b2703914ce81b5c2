"""FiniteLossHook on real runs: the first loss that is no number ends them, in one line."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.core.errors import DivergedError
from fashion_mmdet.core.run_record import read_run

pytestmark = pytest.mark.mm


def build(run: Path, bad: float = math.nan, at: int = 6, name: str = "loss_mask", **more: Any):
    """Build a toy run of four iterations an epoch; its loss ``name`` is ``bad`` in one of them."""
    import torch
    from toy_runner import ToyModel
    from toy_runner import build as build_toy

    class Diverging(ToyModel):
        iteration = 0

        def forward(self, inputs: Any, target: Any = None, mode: str = "tensor") -> Any:
            out = super().forward(inputs, target, mode)
            if mode == "loss":
                self.iteration += 1
                if self.iteration == at:
                    out[name] = out["loss"] * bad
                out = {f"{k}_cls" if k == "loss" else k: v for k, v in out.items()}
                out["acc"] = torch.tensor(math.nan)  # no loss: an accuracy of no proposals
            return out

    hooks = more.pop("hooks", [dict(type="FiniteLossHook"), dict(type="RunRecordHook")])
    return build_toy(run, model=Diverging(), validate=True, custom_hooks=hooks, **more)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_loss_not_finite_ends_the_run_at_its_iteration(tmp_path: Path, bad: float) -> None:
    runner = build(tmp_path, bad)
    with pytest.raises(DivergedError) as error:
        runner.train()
    assert runner.iter == 5, "the sixth is not counted as done"
    said = str(error.value)
    assert said.startswith(
        f"{tmp_path}: a finite loss expected, got {bad} at iteration 6 (loss_mask). Lower "
        "optim_wrapper.optimizer.lr (it was 0.025)"
    )
    record = read_run(tmp_path)
    assert (record.status, record.error) == ("stopped", f"DivergedError: {said}")
    assert len(record.validations) == 1 and record.sessions[0].to_iter == 5


@pytest.mark.parametrize("by_epoch", [True, False])
def test_loss_not_finite_is_in_no_checkpoint(tmp_path: Path, by_epoch: bool) -> None:
    import torch

    with pytest.raises(DivergedError):
        build(tmp_path, at=8, by_epoch=by_epoch).train()  # the last of its epoch
    saved = {path.name: torch.load(path, weights_only=True) for path in tmp_path.glob("*.pth")}
    names = ["epoch_1.pth"] if by_epoch else [f"iter_{i}.pth" for i in range(1, 8)]
    assert sorted(saved) == names
    for checkpoint in saved.values():
        assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_loss_not_finite_in_the_total_alone_is_named(tmp_path: Path) -> None:
    # 2e38 each: parts that are numbers, and a sum that is none.
    import torch
    from toy_runner import ToyModel
    from toy_runner import build as build_toy

    class Big(ToyModel):
        def forward(self, inputs: Any, target: Any = None, mode: str = "tensor") -> Any:
            out = super().forward(inputs, target, mode)
            big = torch.tensor(2e38)
            return {"loss_a": out["loss"] + big, "loss_b": big} if mode == "loss" else out

    hooks = [dict(type="FiniteLossHook")]
    with pytest.raises(DivergedError, match=r"got inf at iteration 1 \(loss\)\. Lower"):
        build_toy(tmp_path, model=Big(), custom_hooks=hooks).train()


def test_run_without_the_hook_trains_on_with_nothing_left(tmp_path: Path) -> None:
    """The negative control: what mmengine and mmdet do by themselves."""
    runner = build(tmp_path, hooks=[dict(type="RunRecordHook")])
    runner.train()
    assert read_run(tmp_path).status == "finished"
    assert not any(v.isfinite().all() for v in runner.model.state_dict().values())


def test_losses_that_are_numbers_are_no_reason_to_stop(tmp_path: Path) -> None:
    runner = build(tmp_path, bad=2.0)
    runner.train()
    assert runner.iter == 8 and read_run(tmp_path).status == "finished"


def test_losses_are_not_read_from_the_device_again(tmp_path: Path) -> None:
    """A tensor of a GPU that is read makes it wait; mmengine has read each of them already."""
    import torch

    from fashion_mmdet.hooks import FiniteLossHook

    class Unread(torch.Tensor):
        def item(self) -> float:
            raise AssertionError("read again")

        __float__ = item

    runner = build(tmp_path)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    outputs = {"loss": torch.tensor(1.0).as_subclass(Unread)}
    runner.message_hub.update_scalar("train/loss", 1.0)
    FiniteLossHook().after_train_iter(runner, 0, None, outputs)
    runner.message_hub.update_scalar("train/loss", math.nan)
    with pytest.raises(DivergedError):
        FiniteLossHook().after_train_iter(runner, 0, None, outputs)
    started = time.perf_counter()
    runner.message_hub.update_scalar("train/loss", 1.0)
    for _ in range(1000):
        FiniteLossHook().after_train_iter(runner, 0, None, outputs)
    assert time.perf_counter() - started < 1, "a thousandth of a second each would be dear"


def test_every_config_has_the_hook(repo_dir: Path) -> None:
    from mmengine.config import Config

    for path in sorted((repo_dir / "configs").glob("[!_]*/*.py")):
        cfg = Config.fromfile(str(path), import_custom_modules=False)
        assert cfg.default_hooks["finite_loss"] == dict(type="FiniteLossHook"), path


def test_training_that_diverges_is_one_line_and_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fashion_mmdet.commands import main, train

    config = tmp_path / "c.py"
    config.write_text("model = train_dataloader = test_dataloader = dict()\n")
    monkeypatch.setattr(train, "build_runner", lambda cfg: build(tmp_path / "run"))
    assert main(["train", str(config)]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert f"{tmp_path / 'run'}: a finite loss expected, got nan at iteration 6" in line
