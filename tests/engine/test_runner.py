"""FashionRunner: where weights come from, and what --resume does where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.mm


class Built(Exception):
    """Raised in the place of a real build, to look at the config that it was given."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch):
    """Return a function: config keys -> the load_from that mmengine's Runner is built with."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    from fashion_mmdet.engine import FashionRunner

    def stop(cls: Any, cfg: Any) -> None:
        raise Built(cfg.get("load_from"))

    monkeypatch.setattr(Runner, "from_cfg", classmethod(stop))

    def build(**keys: Any) -> Any:
        given = Config(keys)
        with pytest.raises(Built) as built:
            FashionRunner.from_cfg(given)
        assert given.get("load_from") == keys.get("load_from"), "the caller's config is its own"
        return built.value.args[0]

    return build


def test_weights_are_loaded_from_the_configs_variable(seen) -> None:
    assert seen(weights="a.pth", load_from=None) == "a.pth"


def test_load_from_wins_over_weights(seen) -> None:
    assert seen(weights="a.pth", load_from="b.pth") == "b.pth"


@pytest.mark.parametrize("weights", ["none", "", None])
def test_weights_none_loads_nothing(seen, weights: str | None) -> None:
    assert seen(weights=weights, load_from=None) is None


def test_resume_loads_no_weights_beforehand(seen) -> None:
    assert seen(weights="a.pth", resume=True) is None


@pytest.fixture
def runner(tmp_path: Path):
    """Return a function that makes a bare runner in front of its ``load_or_resume``."""
    import logging

    from mmengine.config import Config
    from mmengine.runner import Runner

    from fashion_mmdet.engine import FashionRunner

    def make(monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Any:
        bare = FashionRunner.__new__(FashionRunner)
        bare._has_loaded, bare._resume, bare._load_from = False, True, None
        bare._work_dir, bare.cfg = str(tmp_path), Config(keys)
        monkeypatch.setattr(FashionRunner, "logger", logging.getLogger("bare"), raising=False)
        monkeypatch.setattr(Runner, "load_or_resume", lambda self: None)
        return bare

    return make


@pytest.mark.parametrize("content", [None, "", "gone.pth"])
def test_resume_without_a_checkpoint_starts_from_the_weights_and_says_so(
    runner, tmp_path: Path, monkeypatch, caplog, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "last_checkpoint").write_text(content)
    bare = runner(monkeypatch, weights="coco.pth")
    with caplog.at_level("WARNING"):
        bare.load_or_resume()
    assert (bare._resume, bare._load_from) == (False, "coco.pth")
    assert "no readable checkpoint" in caplog.text


def test_resume_with_a_checkpoint_leaves_it_to_mmengine(runner, tmp_path, monkeypatch) -> None:
    (tmp_path / "epoch_1.pth").write_bytes(b"x")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
    bare = runner(monkeypatch, weights="coco.pth")
    bare.load_or_resume()
    assert (bare._resume, bare._load_from) == (True, None)


def test_resumed_run_initialises_nothing_so_that_the_backbones_file_may_be_gone(
    runner, tmp_path, monkeypatch
) -> None:
    from mmengine.runner import Runner

    calls: list[str] = []
    monkeypatch.setattr(Runner, "_init_model_weights", lambda self: calls.append("initialised"))
    fresh = runner(monkeypatch)
    fresh._init_model_weights()
    assert calls == ["initialised"] and not fresh._resume
    (tmp_path / "epoch_1.pth").write_bytes(b"x")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
    runner(monkeypatch)._init_model_weights()
    assert calls == ["initialised"]


def test_resume_with_an_optimizer_of_other_parameters_is_one_sentence(
    runner, monkeypatch
) -> None:
    from mmengine.runner import Runner

    from fashion_mmdet.core.errors import CheckpointError

    def fail(self: Any, filename: str) -> None:
        raise ValueError("loaded state dict has a different number of parameter groups")

    monkeypatch.setattr(Runner, "resume", fail)
    with pytest.raises(CheckpointError, match="a.pth: the optimizer state of this config"):
        runner(monkeypatch).resume("a.pth")


def test_resume_of_a_file_without_a_runs_state_is_one_sentence(runner, monkeypatch) -> None:
    from mmengine.runner import Runner

    from fashion_mmdet.core.errors import CheckpointError

    monkeypatch.setattr(Runner, "resume", lambda self, filename: {}["message_hub"])
    with pytest.raises(CheckpointError, match="without 'message_hub'"):
        runner(monkeypatch).resume("a.pth")


def test_default_hook_of_ours_can_be_switched_off(monkeypatch) -> None:
    from mmengine.runner import Runner

    from fashion_mmdet.engine import FashionRunner

    seen: list[Any] = []
    monkeypatch.setattr(Runner, "register_default_hooks", lambda self, hooks: seen.append(hooks))
    bare = FashionRunner.__new__(FashionRunner)
    bare.register_default_hooks({"class_check": None, "logger": None, "timer": 1})
    assert seen == [{"logger": None, "timer": 1}]


def test_launcher_without_torchrun_is_refused_with_what_to_do(monkeypatch) -> None:
    import torch

    from fashion_mmdet.core.errors import ConfigError
    from fashion_mmdet.engine import FashionRunner

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("RANK", raising=False)
    bare = FashionRunner.__new__(FashionRunner)
    bare._distributed, bare._launcher = True, "pytorch"
    with pytest.raises(ConfigError, match="torchrun"):
        bare.setup_env({})
    bare._launcher = "slurm"
    with pytest.raises(ConfigError, match="without a GPU"):
        bare.setup_env({})


def test_config_of_a_training_is_kept_when_another_is_tested(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from mmengine.config import Config

    from fashion_mmdet.engine import FashionRunner

    trained = tmp_path / "recipe.py"
    trained.write_text("model = dict(type='MaskRCNN')\n")
    source = tmp_path / "configs" / "recipe.py"
    for folder in (source.parent, tmp_path / "log"):
        folder.mkdir()
    source.write_text("model = dict(type='MaskTTAModel')\n")
    cfg = Config.fromfile(str(source))
    runner = SimpleNamespace(cfg=cfg, work_dir=str(tmp_path), log_dir=str(tmp_path / "log"), rank=0)
    FashionRunner.dump_config(runner)
    assert "MaskRCNN" in trained.read_text()
    assert "MaskTTAModel" in (tmp_path / "log" / "recipe.py").read_text()


def test_config_of_a_new_training_replaces_that_of_an_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmengine.config import Config
    from mmengine.runner import Runner

    from fashion_mmdet.engine import FashionRunner

    source = tmp_path / "configs" / "recipe.py"
    source.parent.mkdir()
    source.write_text("model = dict(type='New')\n")
    (tmp_path / "recipe.py").write_text("model = dict(type='Old')\n")
    monkeypatch.setattr(Runner, "train", lambda self: "trained")
    runner = object.__new__(FashionRunner)
    runner.cfg, runner._work_dir = Config.fromfile(str(source)), str(tmp_path)
    assert runner.train() == "trained"
    assert "New" in (tmp_path / "recipe.py").read_text()
