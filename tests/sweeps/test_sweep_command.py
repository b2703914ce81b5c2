"""``fashion sweep`` for real: trainings, a kill, W&B's files, finals, report, the best config."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawn_set import BIN, CONFIG, SHORT, call, draw
from mmengine.config import Config
from wandb_file import read_file

from fashion_mmdet.core.run_record import read_run
from fashion_mmdet.sweeps.record import read_record

pytestmark = [pytest.mark.mm, pytest.mark.slow]

LR = "optim_wrapper.optimizer.lr"


def write_sweep(root: Path, **changes: Any) -> Path:
    given: dict[str, Any] = {
        "name": "tried",
        "program": str(CONFIG),
        "command": ["${env}", "fashion", "train", "${program}", "--cfg-options",
                    "wandb.mode=online", "${args_no_hyphens}"],
        "method": "grid",
        # So short a training finds nothing, and finals of nothing would be left out.
        "metric": {"name": "coco/segm_mAP", "goal": "minimize"},
        "parameters": {
            LR: {"values": [0.0005, 0.001]},
            "param_scheduler.0.end": {"value": 2},
            **{key: {"value": value} for key, value in SHORT.items()},
        },
        **changes,
    }  # fmt: skip
    path = root / "tried.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


def test_sweep_killed_and_resumed_ends_in_a_report_and_a_config_that_trains(tmp_path: Path) -> None:
    draw(tmp_path)
    path = write_sweep(tmp_path)
    sweep = [BIN / "fashion", "sweep", path, "--trials", "1"]
    folder = tmp_path / "work_dirs" / "tried"

    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    env |= {"FASHION_DATA": str(tmp_path / "data"), "OMP_NUM_THREADS": "1",
            "NETRC": str(tmp_path / "no")}  # fmt: skip
    first = subprocess.Popen([str(w) for w in sweep], cwd=tmp_path, env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    end = time.monotonic() + 120
    while not list(folder.glob("trials/trial_000/run.json")):
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)

    finals = ["--resume", "--finals", "1", "--seeds", "1", "--keep", "kept"]
    said = call([*sweep, *finals], tmp_path, timeout_s=500)
    assert "Traceback" not in said
    assert "trial_000: will be continued" in said

    record = read_record(folder)
    assert [(t.outcome, t.values[LR], t.attempts) for t in record.trials] == [("done", 0.0005, 2)]
    assert {(f.finalist, f.seed, f.outcome) for f in record.finals} == {
        ("baseline", 1, "done"), ("trial_000", 1, "done"),
    }  # fmt: skip
    for trial in record.trials:
        run = read_run(folder / trial.work_dir)
        assert run.config["optim_wrapper"]["optimizer"]["lr"] == trial.values[LR]
        assert run.overrides and run.overrides[LR] == trial.values[LR]
        assert run.validations[-1].metrics["coco/segm_mAP"] == trial.metric
    for name in ("report.html", "report.md", "trials.csv"):
        assert (folder / name).stat().st_size > 300
    check_wandb(folder, record)
    best = Config.fromfile(folder / "best.py")
    base = Config.fromfile(CONFIG)
    base.merge_from_dict(record.trials[0].values)
    assert best.to_dict() == base.to_dict()

    # Once more changes nothing and runs nothing.
    kept = {p: p.read_bytes() for p in sorted((tmp_path / "kept").rglob("*.*"))}
    assert [p.name for p in kept].count("run.json") == 2
    again = call([*sweep, "--resume", "--keep", "kept"], tmp_path)  # finals that are there stay
    assert " started" not in again
    results = tmp_path / "kept" / "results.md"
    assert results.read_bytes() == kept[results]
    assert read_record(folder).trials == record.trials


def check_wandb(folder: Path, record: Any) -> None:
    """Each trial and final is a whole W&B run: group, name, config, losses and metrics by step."""
    for one, kind in [(t, "trial") for t in record.trials] + [(f, "final") for f in record.finals]:
        files = sorted((folder / one.work_dir / "wandb").glob("offline-run-*/*.wandb"))
        run, rows, axes = read_file(files[-1])
        assert run.run_group == "tried"
        assert run.job_type == kind
        assert run.display_name == Path(one.work_dir).name
        assert run.project == "fashion-mmdet"
        assert {run.run_id} == {file.stem.removeprefix("run-") for file in files}
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        if kind == "trial":
            assert config["optim_wrapper"]["optimizer"]["lr"] == one.values[LR]
        else:
            assert config["randomness"]["seed"] == one.seed
            # What was the same in all trials is the same in the baseline.
            assert config["train_cfg"]["max_epochs"] == 1
        losses = [row for row in rows if "train/loss" in row]
        n_iterations = read_run(folder / one.work_dir).validations[-1].iter
        assert [row["iter"] for row in losses][-1] == n_iterations
        scored = [row for row in rows if "coco/segm_mAP" in row]
        assert [row["val/step"] for row in scored] == [len(scored)]
        assert scored[-1]["coco/segm_mAP"] == pytest.approx(one.metric)
        assert axes["coco/*"] == "val/step" and axes["train/*"] == "iter"


def test_sweep_over_two_processes_a_trial_runs_under_torchrun(tmp_path: Path) -> None:
    draw(tmp_path)
    path = write_sweep(
        tmp_path,
        command=["torchrun", "--standalone", "--nproc_per_node=2", "-m", "fashion_mmdet", "train",
                 "${program}", "--launcher", "pytorch", "--cfg-options", "${args_no_hyphens}"],
    )  # fmt: skip
    call([BIN / "fashion", "sweep", path, "--trials", "1"], tmp_path, FASHION_WANDB="off")
    folder = tmp_path / "work_dirs" / "tried"
    (trial,) = read_record(folder).trials
    assert trial.outcome == "done"
    assert read_run(folder / trial.work_dir).setting.processes == 2
