"""A sweep file with W&B's own ``wandb sweep`` and ``wandb agent``, against a server of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_mmdet.core.run_record import read_run

pytestmark = [pytest.mark.mm, pytest.mark.slow]


def write_sweep(path: Path, parameters: dict[str, Any]) -> None:
    """Write a sweep file of the demo, as short as can be, over ``parameters``."""
    from drawn_set import CONFIG, SHORT

    fixed = {key: {"value": value} for key, value in SHORT.items()}
    sweep = {
        "program": str(CONFIG),
        "project": "sweeps",
        "method": "grid",
        "metric": {"name": "coco/segm_mAP", "goal": "maximize"},
        "parameters": {**fixed, **parameters},
        "command": ["${env}", "fashion", "train", "${program}", "--cfg-options",
                    "wandb.mode=online", "${args_no_hyphens}"],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(sweep))


def test_wandb_agent_trains_each_trial_with_its_values_and_logs_to_its_run(tmp_path: Path) -> None:
    from drawn_set import BIN, SHORT, call, draw
    from fake_wandb import FakeWandb

    root = tmp_path / "a place"
    root.mkdir()
    draw(root)
    flat = {"optim_wrapper.optimizer.lr": 1e-05, "param_scheduler.0.end": 2, **SHORT}
    values = {"optimizer": {"lr": 0.005}, "clip_grad": {"max_norm": 1.5}}
    nested = {"optim_wrapper": values, **SHORT}
    write_sweep(root / "sweep.yaml", {"optim_wrapper.optimizer.lr": {"values": [1e-05, 0.005]}})
    with FakeWandb([flat, nested]) as server:
        said = call([BIN / "wandb", "sweep", "sweep.yaml"], root, **server.environment())
        assert "wandb agent somebody/sweeps/sweep0" in said
        said = call(
            [BIN / "wandb", "agent", "--count", "2", "somebody/sweeps/sweep0"],
            root,
            **server.environment(),
        )
    assert not server.unknown and not server.trials, said[-3000:]

    folder = root / "work_dirs" / "mask_rcnn_r18_demo" / "sweep0"
    assert sorted(p.name for p in folder.iterdir()) == ["run1", "run2"]
    first, second = (read_run(folder / name) for name in ("run1", "run2"))
    common = {"wandb.mode": "online", **SHORT}
    assert first.overrides == {
        **common, "optim_wrapper.optimizer.lr": 1e-05, "param_scheduler.0.end": 2
    }  # fmt: skip
    assert second.overrides == {
        **common, "optim_wrapper.optimizer.lr": 0.005, "optim_wrapper.clip_grad.max_norm": 1.5
    }  # fmt: skip
    assert first.status == second.status == "finished"

    assert server.exit_codes == {"run1": 0, "run2": 0}
    for name, record in (("run1", first), ("run2", second)):
        run, rows = server.runs[name], list(server.rows[name].values())
        assert (run["sweep"], run["project"]) == ("sweep0", "sweeps")
        assert [r["iter"] for r in rows if "train/loss" in r] == [1, 2, 3, 4]
        (score,) = [r["coco/segm_mAP"] for r in rows if "coco/segm_mAP" in r]
        assert score == record.validations[-1].metrics["coco/segm_mAP"]
    # The sweep's parameters and our config, side by side.
    config = server.runs["run1"]["config"]
    assert config["optim_wrapper.optimizer.lr"] == 1e-05
    assert config["optim_wrapper"]["optimizer"]["lr"] == 1e-05
    config = server.runs["run2"]["config"]
    assert config["optim_wrapper"] == values
    assert config["optim_wrapper.optimizer.type"] == "AdamW"
    assert config["model"]["type"] == "MaskRCNN"


def test_wandb_agent_is_told_of_a_trial_that_means_nothing(tmp_path: Path) -> None:
    from drawn_set import BIN, call
    from fake_wandb import FakeWandb

    write_sweep(tmp_path / "sweep.yaml", {"optim_wrapper.optimizer.lr": {"values": [1]}})
    with FakeWandb([{"optim_wrapper": {"optimizer": {"learning_rate": 0.1}}}]) as server:
        call([BIN / "wandb", "sweep", "sweep.yaml"], tmp_path, **server.environment())
        said = call(
            [BIN / "wandb", "agent", "--count", "1", "somebody/sweeps/sweep0"],
            tmp_path,
            **server.environment(),
        )
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert line.startswith("error: --cfg-options optim_wrapper.optimizer.learning_rate: a key of")
    assert not server.runs and not (tmp_path / "work_dirs").exists()
