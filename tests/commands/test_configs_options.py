"""--cfg-options as a W&B agent passes them, and where a run of such an agent writes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.core.errors import ConfigError

pytestmark = pytest.mark.mm

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "fashion" / "mask_rcnn_r50.py"


def read(*pairs: str) -> dict[str, Any]:
    from fashion_mmdet.commands.configs import read_options

    return read_options(pairs)


def as_an_agent_writes(values: dict[str, Any]) -> list[str]:
    """Return ``KEY=VALUE`` as W&B's agent fills in ``${args_no_hyphens}``."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    args = {key: {"value": value} for key, value in values.items()}
    return create_sweep_command_args({"args": args})["args_no_hyphens"]


@pytest.mark.parametrize(
    "value",
    [
        1e-05, 3, -0.5, True, False, None, "AdamW", "a b/c d.json", "SGD{1}",
        [8, 11], [1e-05, 0.1], [[1, 2], [3.5, 4]], [True, None, "x"], [],
        ["a b", "c,d"], ["8", 8, "None"], ["it's", 'say "x"'],
        [{"type": "RandomFlip", "prob": 0.5}, None], [[{"a": [1, {"b": "x, y"}]}]],
    ],
)  # fmt: skip
def test_options_of_an_agent_are_read_as_the_yaml_gives_them(value: Any) -> None:
    (found,) = read(*as_an_agent_writes({"a.b": value})).values()
    assert found == value and type(found) is type(value)
    assert json.dumps(found) == json.dumps(value)  # also what is in it: 1 == True


def test_options_of_an_agent_that_nest_become_dotted_keys() -> None:
    nested = {
        "optimizer": {"lr": 1e-05, "type": "AdamW"},
        "clip_grad": None,
        "paramwise_cfg": {"custom_keys": {"backbone": {"lr_mult": 0.1}}},
        "note": "it's a, b",
    }
    assert read(*as_an_agent_writes({"optim_wrapper": nested, "train_cfg.max_epochs": 3})) == {
        "optim_wrapper.optimizer.lr": 1e-05,
        "optim_wrapper.optimizer.type": "AdamW",
        "optim_wrapper.clip_grad": None,
        "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult": 0.1,
        "optim_wrapper.note": "it's a, b",
        "train_cfg.max_epochs": 3,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8,11", [8, 11]), ("[a,b]", ["a", "b"]), ("(1,2)", (1, 2)), ("[(1, 2), [a, b]]",
        [(1, 2), ["a", "b"]]), ("true", True), ("'x'", "x"), ("", ""), ("None", None),
        ("(a) b", "(a) b"), (" 5", 5), ("x=y", "x=y"),
    ],
)  # fmt: skip
def test_option_by_hand_is_read_as_mmengine_reads_it(text: str, value: Any) -> None:
    assert read(f"k={text}") == {"k": value}


def test_option_in_json_is_read() -> None:
    text = '{"a": true, "b": null, "c": [1e-5, {"d": "x"}], "1": {"e": 2}}'
    assert read(f"k={text}") == {
        "k.a": True, "k.b": None, "k.c": [1e-05, {"d": "x"}], "k.1.e": 2
    }  # fmt: skip


def test_option_given_twice_the_last_counts() -> None:
    found = read("a={'b': 1, 'c': 2}", "a.c=5", "a.b=3")
    assert list(found.items()) == [("a.c", 5), ("a.b", 3)]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("foo", "KEY=VALUE expected, got 'foo'."),
        ("=3", "KEY=VALUE expected, got '=3'."),
        ("k={'a': 1", "a dict as Python or JSON writes it expected"),
        ("k={'a': __import__('os').system('true')}", "a name or a call in it"),
        ("k={a: 1}", "a name or a call in it"),
        ("k=[{'a': open('x')}]", "a name or a call in it"),
        ("k={'a': b'x'}", "of type bytes"),
        ("k={1, 2}", "of type set"),
        ("k={True: 1}", "True as a key"),
        ("k={'': 1}", "'' as a key"),
        ("k={'a': {}}", "k.a: a dict with something in it expected, got {}. Leave it out."),
        ("k=" + "{" * 5000, "a dict as Python or JSON writes it expected"),
        ("k=[{" + "[" * 100_000, "a dict as Python or JSON writes it expected"),
        ("k={'a': " + "9" * 5000 + "}", "a dict as Python or JSON writes it expected"),
        ("k=" + "[" * 3000 + "]" * 3000, "matching brackets expected"),
        ("k=[1,", "matching brackets expected, got '[1,'. Write a list as k=[1,2]."),
        ("k=['a", "matching brackets expected"),
    ],
)
def test_option_that_is_hostile_is_one_line_of_wrong_usage(
    capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    from fashion_mmdet.commands import main

    with pytest.raises(SystemExit) as stop:
        main(["train", str(CONFIG), "--cfg-options", "train_cfg.max_epochs=1", word])
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("fashion train: error: --cfg-options") and said in line
    assert len(line) < 300


def load(monkeypatch: pytest.MonkeyPatch, *words: str, **environment: str) -> Any:
    from fashion_mmdet.commands.configs import add_run_arguments, load_config

    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    add_run_arguments(parser)
    return load_config(parser.parse_args([str(CONFIG), *words]))


def test_option_that_nests_is_merged_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = load(monkeypatch, "--cfg-options", "optim_wrapper={'optimizer': {'lr': 0.5}}")
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.type) == (0.5, "SGD") and optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("optim_wrapper={'optimizer': {'learning_rate': 0.5}}", "got 'learning_rate'"),
        ("optim_wrapper={'optimizer': {'lr': 'high'}}", "a number expected"),
        ("optim_wraper={'optimizer': {'lr': 0.5}}", "Did you mean 'optim_wrapper'"),
    ],
)
def test_option_that_nests_is_checked_leaf_by_leaf(
    monkeypatch: pytest.MonkeyPatch, word: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load(monkeypatch, "--cfg-options", word)


def test_work_dir_of_an_agents_run_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = dict(WANDB_SWEEP_ID="sw33p", WANDB_RUN_ID="run1")
    assert load(monkeypatch, **ids).work_dir == "work_dirs/mask_rcnn_r50/sw33p/run1"
    assert load(monkeypatch, "--work-dir", "mine", **ids).work_dir == "mine"
    assert load(monkeypatch, "--cfg-options", "work_dir=mine", **ids).work_dir == "mine"


@pytest.mark.parametrize("name", ["WANDB_SWEEP_ID", "WANDB_RUN_ID"])
def test_work_dir_without_an_agent_is_named_after_the_config(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert load(monkeypatch, **{name: "x"}).work_dir == "work_dirs/mask_rcnn_r50"


@pytest.mark.parametrize("bad", ["../..", "/etc", ".", "a/../../b", "a\\b", "a\nb", "x" * 500])
def test_work_dir_of_an_agents_run_stays_in_its_folder(
    monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    found = load(monkeypatch, WANDB_SWEEP_ID=bad, WANDB_RUN_ID=bad).work_dir
    parts = Path(found).parts
    assert parts[:2] == ("work_dirs", "mask_rcnn_r50") and len(parts) == 4
    assert not {"..", "."} & set(parts) and all(0 < len(p) <= 64 for p in parts)
    assert Path(found).resolve().is_relative_to(Path("work_dirs/mask_rcnn_r50").resolve())
