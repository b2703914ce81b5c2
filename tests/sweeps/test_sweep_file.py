"""A sweep file is read as W&B reads it, and refused where it means nothing."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_mmdet.commands import main
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.sweeps.grid import grid_points, grid_size
from fashion_mmdet.sweeps.preview import first_values
from fashion_mmdet.sweeps.sweep_file import expand, read_sweep, sweep_of

GOOD: dict[str, Any] = {
    "program": "configs/x.py",
    "command": ["${env}", "fashion", "train", "${program}", "--cfg-options", "${args_no_hyphens}"],
    "method": "grid",
    "metric": {"name": "coco/segm_mAP", "goal": "maximize"},
    "parameters": {"a": {"values": [1, 2]}, "b": {"values": ["x", "y", "z"]}, "c": {"value": 7}},
}
FILES = sorted((Path(__file__).parents[2] / "configs" / "sweeps").glob("*.yaml"))


def changed(**changes: Any) -> dict[str, Any]:
    given = {**copy.deepcopy(GOOD), **changes}
    return {key: value for key, value in given.items() if value is not None}


def test_grid_is_in_wandbs_order_and_complete() -> None:
    sweep = sweep_of(GOOD, "x.yaml")
    assert grid_size(sweep) == 6
    assert grid_points(sweep, 4) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1, "b": "z"}, {"a": 2, "b": "x"},
    ]  # fmt: skip
    assert first_values(sweep, 2, 0)[1] == {"a": 1, "b": "y", "c": 7}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"metod": "grid"}, "'method'"),
        ({"method": "tpe"}, "'bayes'"),
        ({"method": None}, "'method' expected"),
        ({"program": None}, "program"),
        ({"command": None}, "args_no_hyphens"),
        ({"command": "fashion train"}, "list of words"),
        ({"command": ["${program}", "${args_no_hyphen}"]}, "args_no_hyphens"),
        ({"command": ["${program}"]}, "${args_no_hyphens}"),
        ({"command": ["${args}"]}, "${program}"),
        ({"command": ["--config=${program}", "${program}", "${args}"]}, "word of its own"),
        ({"command": ["${program}", "${args}", "train_cfg.max_epochs=1"]}, "{value: ...}"),
        ({"command": ["${program}", "${args}", "--amp"]}, "optim_wrapper.type"),
        ({"command": ["${program}", "${args}", None]}, "texts expected"),
        ({"project": ["a"]}, "project: a text"),
        ({"name": "lr finals"}, "letters"),
        ({"metric": {"name": "x"}}, "goal"),
        ({"metric": {"name": "x", "goal": "maximise"}}, "'maximize'"),
        ({"metric": {"name": "x", "goal": "maximize", "target": 1}}, "'target'"),
        ({"parameters": {"c": {"value": 1}}}, "constants"),
        ({"parameters": {"a": {"min": 0.1, "max": 0.2}}}, "grid"),
        ({"run_cap": 0}, "run_cap"),
        ({"run_cap": True}, "run_cap"),
        ({"early_terminate": {"type": "median", "min_iter": 1}}, "hyperband"),
        ({"early_terminate": {"type": "hyperband"}}, "min_iter"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "eta"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": True}}, "strict"),
        ({"name": "../outside"}, "letters"),
        ({"name": "a/b"}, "letters"),
    ],
)  # fmt: skip
def test_sweep_that_means_nothing_is_refused_by_name(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match="x.yaml: ") as error:
        sweep_of(changed(**changes), "x.yaml")
    assert word in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "- 1", "a: [", "method: grid\nmethod: bayes\n", "a: !!python/object/apply:os.system [ls]",
     "a: &a [*a]", "\x00", "when: 2020-01-01",
     "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9 if n else ['x'])}]"
               for n in range(12))],
)  # fmt: skip
def test_yaml_that_is_no_sweep_ends_in_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="x.yaml: "):
        read_sweep(path)


def test_hyperband_rungs_are_wandbs() -> None:
    def first(**given: int) -> int:
        found = sweep_of(changed(early_terminate={"type": "hyperband", **given}), "x").pruning
        assert found is not None
        return found.first

    assert first(min_iter=3) == 3
    # W&B's example: max_iter 27, s 2, eta 3 compare at 9 and 3.
    assert first(max_iter=27, s=2, eta=3) == 3


def test_command_is_what_a_wandb_agent_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    monkeypatch.setenv("SOME_PLACE", "here")
    values = {"lr": 1e-05, "m": [8, 11], "on": True, "off": False, "none": None, "t": "a b"}
    vars_of = utils.create_sweep_command_args(
        {"args": {k: {"value": v} for k, v in values.items()}}
    )
    for macro in ("args", "args_no_hyphens", "args_no_boolean_flags", "args_json"):
        command = ["${env}", "go", "${envvar:SOME_PLACE}/x", "${envvar:NOT_SET_1}", f"${{{macro}}}"]
        agents = utils.create_sweep_command(list(command))
        agents = [
            w for word in agents for w in (vars_of[macro] if word == f"${{{macro}}}" else [word])
        ]
        agents[0] = "/usr/bin/env"
        assert expand(command, "p.py", values, os.environ) == agents


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_sweep_of_the_repository_is_whole(path: Path) -> None:
    sweep = read_sweep(path)
    assert (path.parents[2] / sweep.program).is_file()
    assert sweep.name == path.stem
    assert sweep.run_cap or sweep.method == "grid"
    assert "wandb.mode=online" in sweep.command, "a W&B agent's trials must be logged"
    # W&B reads it with PyYAML too.
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == sweep.definition


def test_sweeps_of_the_repository_are_these() -> None:
    assert [p.stem for p in FILES] == [
        "augmentation_scale", "ccp_cpu", "demo_lr", "loss_balance", "lr_batch_schedule",
        "roi_anchors",
    ]  # fmt: skip


@pytest.mark.mm
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_sweep_of_the_repository_fits_its_config(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(path.parents[2])
    assert main(["sweep", str(path), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("fashion train") == 3


@pytest.mark.mm
@pytest.mark.parametrize(
    ("key", "given", "word"),
    [
        ("optim_wrapper.optimzer.lr", {"values": [0.1, 0.2]}, "'optimizer'"),
        ("optim_wrapper.optimizer.lr", {"values": ["fast", "slow"]}, "a number expected"),
        ("optim_wrapper.optimizer", {"values": [{"lr": 0.1}, {"lrr": 0.2}]}, "'lr'"),
        ("train_dataloader.batch_size", {"min": 1.0, "max": 8.0}, "whole numbers"),
        ("model.backbone.norm_eval", {"values": [True, 2]}, "true or false"),
        ("data_root", {"values": ["a", "b"]}, "FASHION_DATA"),
        ("work_dir", {"values": ["a", "b"]}, "sets for each trial"),
        ("wandb.mode", {"values": ["off", "online"]}, "sets for each trial"),
        ("model.backbone.style", {"values": ["pytorch", "8,11"]}, "command line can carry"),
    ],
)
def test_parameter_that_the_config_lacks_is_refused_before_anything_runs(
    tmp_path: Path, key: str, given: Any, word: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    text = yaml.safe_dump(
        changed(program="configs/demo/mask_rcnn_r18_demo.py", method="random", run_cap=2,
                parameters={key: given})
    )  # fmt: skip
    (tmp_path / "x.yaml").write_text(text)
    monkeypatch.chdir(FILES[0].parents[2])
    assert main(["sweep", str(tmp_path / "x.yaml"), "--work-dir", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert word in said and f"x.yaml: parameters {key}" in said
    assert not (tmp_path / "out").exists()
