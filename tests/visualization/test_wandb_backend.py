"""``FashionWandbBackend`` with the real ``wandb`` offline, and with its failures."""

from __future__ import annotations

import json
import logging
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from wandb_file import read_file, records_in

from fashion_mmdet.core.errors import ConfigError

pytestmark = pytest.mark.mm


@pytest.fixture(autouse=True)
def clean_wandb(monkeypatch, tmp_path):
    """No login, no folder of the user's, and a fresh wandb for every test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()


@pytest.fixture
def log(caplog):
    """Captured log of mmengine's current logger."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def warnings_in(log):
    # wandb logs its own failures too; what counts is what our users see.
    return [r.getMessage() for r in log.records
            if r.levelno >= logging.WARNING and not r.name.startswith("wandb")]


def config(tmp_path, mode="offline", **extra):
    from mmengine.config import Config

    made = dict(wandb=dict(mode="off", project="a-project"), work_dir=str(tmp_path / "run"))
    cfg = Config({**made, **extra}, cfg_text="# toy", filename=str(tmp_path / "toy.py"))
    cfg.merge_from_dict({"wandb.mode": mode})  # as --cfg-options does
    return cfg


def backend(tmp_path, mode="offline", **extra):
    from fashion_mmdet.visualization import FashionWandbBackend

    made = FashionWandbBackend(str(tmp_path / "vis_data"), init_timeout_s=3)
    made.add_config(config(tmp_path, mode, **extra))
    return made


def read_back(tmp_path):
    """Return (folder, run record, history rows, {metric pattern: axis}) of the only run."""
    (path,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    return (path.parent, *read_file(path))



def test_wandb_off_does_not_import_wandb(tmp_path, monkeypatch, log):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it would raise
    made = backend(tmp_path, "off")
    made.add_scalars({"loss": 1.0, "iter": 1}, step=1)
    made.add_image("val_1", np.zeros((4, 4, 3), np.uint8))
    made.close()
    assert not log.records
    assert not (tmp_path / "run").exists()


def test_wandb_missing_is_said_once(tmp_path, monkeypatch, log):
    monkeypatch.setitem(sys.modules, "wandb", None)
    made = backend(tmp_path)
    for step in range(3):
        made.add_scalars({"loss": 1.0, "iter": step}, step=step)
        made.add_image("val_1", np.zeros((4, 4, 3), np.uint8))
    made.close()
    assert len(warnings_in(log)) == 1


@pytest.mark.parametrize("mode", ["on", "true", True, None])
def test_wandb_unknown_mode_names_the_three(tmp_path, mode):
    with pytest.raises(ConfigError, match="'off', 'offline' or 'online' expected"):
        backend(tmp_path, mode)


def test_wandb_unknown_key_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="got 'projekt'. Did you mean 'project'"):
        backend(tmp_path, wandb=dict(mode="off", projekt="x"))


def test_wandb_testing_alone_starts_no_run(tmp_path):
    made = backend(tmp_path)
    made.close()
    assert not (tmp_path / "run").exists()


def test_wandb_offline_run_holds_config_and_every_row_by_its_own_step(tmp_path):
    made = backend(tmp_path, optimizer=dict(lr=0.02), git_token="hunter2")
    for epoch in (1, 2):
        for it in (20, 40):
            step = 40 * (epoch - 1) + it
            scalars = {"loss": 1 / step, "lr": 0.02, "epoch": epoch, "iter": step}
            made.add_scalars(scalars, step=step)
        made.add_image("val_7", np.full((30, 40, 3), 9, np.uint8), step=40 * epoch)
        # mmengine's step of a validation is the epoch: behind the 40 that are logged already.
        made.add_scalars({"coco/segm_mAP": 0.1 * epoch, "time": np.float32(0.5)}, step=epoch)
    made.close()

    folder, run, rows, axes = read_back(tmp_path)
    assert (run.project, run.display_name) == ("a-project", "toy")
    assert run.git.remote_url == "" and not (folder / "files" / "code").exists()
    sent = {i.key: json.loads(i.value_json) for i in run.config.update}
    assert sent["optimizer"] == {"lr": 0.02}
    assert sent["wandb"] == {"mode": "offline", "project": "a-project"}
    assert sent["git_token"] == "***" and "git" in sent

    by = {
        key: [(r[axis], r[key]) for r in rows if key in r]
        for key, axis in [("train/loss", "iter"), ("coco/segm_mAP", "val/step")]
    }
    assert by["train/loss"] == [(s, pytest.approx(1 / s)) for s in (20, 40, 60, 80)]
    assert by["coco/segm_mAP"] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2))]
    assert [r["val/time"] for r in rows if "val/time" in r] == [0.5, 0.5]
    assert axes == {
        "train/*": "iter", "pictures/*": "iter", "coco/*": "val/step", "val/*": "val/step"
    }
    pictures = [(r["iter"], r["pictures/val_7/path"]) for r in rows if "pictures/val_7/path" in r]
    assert [step for step, _ in pictures] == [40, 80]
    for _, name in pictures:
        assert (folder / "files" / name).stat().st_size > 0


def sent_config(run):
    return {item.key: json.loads(item.value_json) for item in run.config.update}


def as_agent(monkeypatch, tmp_path, parameters):
    """Set what a W&B agent sets for a run that it starts."""
    path = tmp_path / "wandb" / "sweep-sw33p" / "config-run9.yaml"
    path.parent.mkdir(parents=True)
    held = {"wandb_version": 1, **{key: {"value": v} for key, v in parameters.items()}}
    path.write_text(json.dumps(held))  # which is YAML
    for name, value in dict(
        SWEEP_ID="sw33p", RUN_ID="run9", SWEEP_PARAM_PATH=str(path), PROJECT="of-the-sweep",
        ENTITY="somebody", DIR=str(tmp_path),
    ).items():  # fmt: skip
        monkeypatch.setenv(f"WANDB_{name}", value)


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_wandb_under_an_agent_logs_to_its_run_with_parameters_beside_config(
    tmp_path, monkeypatch, log, mode
):
    optim = dict(optimizer=dict(lr=0.5, type="AdamW"), clip_grad=None)
    cycle = dict(max_epochs=1, type="EpochBasedTrainLoop", dynamic_intervals=[[1, 2]])
    as_agent(
        monkeypatch, tmp_path, {"optim_wrapper.optimizer.lr": 0.5, "train_cfg": {"max_epochs": 1}}
    )
    made = backend(tmp_path, mode, optim_wrapper=optim, train_cfg=cycle)
    made.add_scalars({"loss": 0.25, "iter": 20}, step=20)
    made.add_scalars({"coco/segm_mAP": 0.5}, step=1)
    made.close()
    assert len(warnings_in(log)) == (mode == "online")  # no login

    folder, run, rows, _ = read_back(tmp_path)
    assert (run.run_id, run.sweep_id) == ("run9", "sw33p") and folder.name.endswith("-run9")
    assert (run.project, run.entity, run.display_name) == ("of-the-sweep", "somebody", "")
    sent = sent_config(run)
    assert sent["optim_wrapper.optimizer.lr"] == 0.5 and sent["optim_wrapper"] == optim
    # W&B gives `train_cfg` to the sweep; what it lacks of ours is told beside it.
    assert sent["train_cfg"] == {"max_epochs": 1}
    assert sent["train_cfg.type"] == "EpochBasedTrainLoop"
    assert sent["train_cfg.dynamic_intervals"] == [[1, 2]]
    assert "train_cfg.max_epochs" not in sent and sent["work_dir"] == str(tmp_path / "run")
    assert [(r["iter"], r["train/loss"]) for r in rows if "iter" in r] == [(20, 0.25)]
    assert [(r["val/step"], r["coco/segm_mAP"]) for r in rows if "val/step" in r] == [(1, 0.5)]


def test_wandb_variables_of_a_run_count_before_ours(tmp_path, monkeypatch):
    said = dict(RUN_GROUP="a-sweep", NAME="trial_003", JOB_TYPE="trial", TAGS="one,two",
                RUN_ID="trial7", NOTES="a note", RESUME="allow")  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    made = backend(tmp_path)
    made.add_scalars({"loss": 0.25, "iter": 20}, step=20)
    made.close()
    _, run, rows, _ = read_back(tmp_path)
    assert (run.run_group, run.job_type, list(run.tags)) == ("a-sweep", "trial", ["one", "two"])
    assert (run.display_name, run.run_id, run.notes) == ("trial_003", "trial7", "a note")
    assert run.project == "a-project" and rows[0]["train/loss"] == 0.25


@pytest.mark.parametrize("resume", [None, "allow"])
def test_wandb_sync_makes_one_run_of_the_folders_of_two_sessions(tmp_path, monkeypatch, resume):
    """What a trial is that was killed and goes on: why whoever resumes one sets WANDB_RESUME."""
    from fake_wandb import FakeWandb

    monkeypatch.setenv("WANDB_RUN_ID", "trial7")
    if resume:
        monkeypatch.setenv("WANDB_RESUME", resume)
    for steps in ((20, 40), (40, 60)):
        made = backend(tmp_path)
        for step in steps:
            made.add_scalars({"loss": 1 / step, "iter": step}, step=step)
        made.close()
        time.sleep(1.1)  # the name of a folder has the second
    folders = sorted((tmp_path / "run" / "wandb").glob("offline-run-*-trial7"))
    assert len(folders) == 2
    for folder in folders:
        records_in(folder / "run-trial7.wandb")  # waits for the end of it
    with FakeWandb() as server:
        environment = {k: v for k, v in os.environ.items() if k != "WANDB_RUN_ID"}
        subprocess.run(
            [Path(sys.executable).with_name("wandb"), "sync", *folders], cwd=tmp_path, check=True,
            env={**environment, **server.environment()}, capture_output=True, timeout=60,
        )  # fmt: skip
    assert list(server.runs) == ["trial7"] and not server.unknown
    rows = [row for _, row in sorted(server.rows["trial7"].items())]
    assert [row["iter"] for row in rows] == [20, 40, 40, 60]
    # W&B's own count, by which it puts the rows of a run in order.
    assert [row["_step"] for row in rows] == ([0, 1, 2, 3] if resume else [0, 1, 0, 1])


def test_wandb_sync_command_can_be_pasted_whatever_the_folder_is_called(tmp_path, log):
    made = backend(tmp_path, work_dir=str(tmp_path / "a b's; run"))
    made.add_scalars({"loss": 1.0, "iter": 1}, step=1)
    made.close()
    (said,) = [r.getMessage() for r in log.records if "wandb sync" in r.getMessage()]
    words = shlex.split(said.partition("Upload it with: ")[2])
    assert words[:2] == ["wandb", "sync"] and len(words) == 3
    assert Path(words[2]).is_dir() and Path(words[2]).parents[1].name == "a b's; run"


def test_wandb_config_secrets_are_masked(tmp_path):
    secrets = dict(
        backend_args=dict(access_key="AK", secret_key="SK", endpoint="https://me:pw@host/x"),
        nested=[dict(api_key="k"), dict(password=1234)],
        remark="key is " + "0a" * 20 + " or ghp_" + "x" * 36,
    )
    harmless = dict(meta_keys=("img_id",), key_indicator="loss", tokens=3, path="s3://bucket/a")
    sent = backend(tmp_path, **secrets, **harmless)._config
    text = json.dumps(sent)
    for secret in ("AK", "SK", "pw", '"k"', "1234", "0a0a", "ghp_"):
        assert secret not in text, secret
    assert sent["meta_keys"] == ["img_id"]
    assert (sent["key_indicator"], sent["tokens"], sent["path"]) == ("loss", 3, "s3://bucket/a")


def test_wandb_online_without_login_goes_offline_with_one_warning(tmp_path, log):
    made = backend(tmp_path, "online")
    made.add_scalars({"loss": 1.0, "iter": 1}, step=1)
    made.close()
    (warning,) = warnings_in(log)
    assert "wandb login" in warning and "offline" in warning
    assert [r["train/loss"] for r in read_back(tmp_path)[2]] == [1.0]


def test_wandb_online_without_network_goes_offline_with_one_warning(tmp_path, monkeypatch, log):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0a" * 20)
    made = backend(tmp_path, "online")
    made.add_scalars({"loss": 1.0, "iter": 1}, step=1)
    made.close()
    (warning,) = warnings_in(log)
    assert "offline" in warning and "0a0a" not in warning
    offline = [p for p in (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")]
    assert len(offline) == 1
    assert sum(r.WhichOneof("record_type") == "history" for r in records_in(offline[0])) == 1



def train(tmp_path, mode="offline", epochs=2):
    """Train one weight with mmengine's Runner, our backend on, and return the runner."""
    import torch
    from mmengine.evaluator import BaseMetric
    from mmengine.hooks import Hook
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    import fashion_mmdet.visualization  # noqa: F401  (registers the backend)

    class Toy(BaseModel):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, mode="tensor"):
            x = torch.stack(x) if isinstance(x, list) else x
            out = (self.weight * x - 2).square().mean()
            return {"loss": out} if mode == "loss" else [out]

    class Score(BaseMetric):
        default_prefix = "toy"

        def process(self, data_batch, data_samples):
            self.results.append(data_samples[0].item())

        def compute_metrics(self, results):
            return {"score": float(np.mean(results))}

    class Picture(Hook):
        def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.visualizer.add_image("val_1", np.zeros((8, 8, 3), np.uint8), runner.iter)

    def loader():
        return torch.utils.data.DataLoader([{"x": torch.ones(())}] * 4, batch_size=2)

    runner = Runner(
        model=Toy(),
        work_dir=str(tmp_path / "run"),
        train_dataloader=loader(),
        val_dataloader=loader(),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_cfg=dict(),
        val_evaluator=[Score()],
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(logger=dict(type="LoggerHook", interval=1), checkpoint=None),
        custom_hooks=[Picture()],
        visualizer=dict(type="Visualizer", vis_backends=[dict(type="FashionWandbBackend")]),
        cfg=config(tmp_path, mode),
        experiment_name=tmp_path.name,
    )
    runner.train()
    assert runner.epoch == epochs and runner.model.weight.item() != 1
    return runner


def test_wandb_runner_logs_losses_pictures_and_metrics(tmp_path):
    train(tmp_path)
    folder, run, rows, _ = read_back(tmp_path)
    assert [r["iter"] for r in rows if "train/loss" in r] == [1, 2, 3, 4]
    assert all("train/lr" in r for r in rows if "train/loss" in r)
    assert [r["val/step"] for r in rows if "toy/score" in r] == [1, 2]
    assert sum("pictures/val_1/path" in r for r in rows) == 4
    assert run.display_name == "toy" and folder.is_relative_to(tmp_path / "run")


def broken(*args, **kwargs):
    raise OSError("no space left on device")


@pytest.mark.parametrize("what", ["init", "Image", "log", "finish", "define_metric"])
def test_wandb_runner_trains_on_when_wandb_fails(tmp_path, monkeypatch, what):
    import wandb

    if what in ("init", "Image"):
        monkeypatch.setattr(wandb, what, broken)
    else:
        monkeypatch.setattr(wandb.Run, what, broken)
    runner = train(tmp_path)
    text = (tmp_path / "run" / runner.timestamp / f"{runner.timestamp}.log").read_text()
    assert text.count("no space left on device") == 1
    assert "Training goes on" in text


def test_wandb_failure_that_passes_loses_only_its_rows(tmp_path, monkeypatch, log):
    import wandb

    made = backend(tmp_path)
    made.add_scalars({"loss": 1.0, "iter": 1}, step=1)
    with monkeypatch.context() as patch:
        patch.setattr(wandb.Run, "log", broken)
        for step in (2, 3):
            made.add_scalars({"loss": 2.0, "iter": step}, step=step)
    made.add_scalars({"loss": 3.0, "iter": 4}, step=4)
    made.close()
    assert [r["iter"] for r in read_back(tmp_path)[2]] == [1, 4]
    first, last = warnings_in(log)
    assert "no space left" in first and "failed 2 times" in last
