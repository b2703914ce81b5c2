"""A leaf gives the config that its trial ran, whatever the values hold, and is no code but that."""

from __future__ import annotations

import ast
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_sweeps import EVIL, make_final, make_sweep

from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.sweeps.leaf import leaf_text, overrides_of
from fashion_mmdet.sweeps.record import BASELINE

BASE = '''
"""A config."""

lr = 0.01
model = dict(
    type="MaskRCNN",
    backbone=dict(type="ResNet", depth=18, strides=(1, 2, 2), norm_cfg=dict(type="BN", eps=1e-3)),
    neck=None,
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", begin=0, end=3, by_epoch=True, of=dict(a=[dict(b=1), (2, 3)])),
]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, betas=(0.9, 0.999)),
    paramwise_cfg=dict(custom_keys={"backbone.conv1": dict(lr_mult=0.1)}),
)
train_dataloader = dict(dataset=dict(pipeline=[dict(type="Load"), dict(type="Resize", scale=(1, 2))]))
work_dir = "work_dirs/x"
'''  # noqa: E501
LONG = "a text of many words that cannot be on a line of a hundred letters with what it is for " * 3

VALUES = {
    "scalars": {"optim_wrapper.optimizer.lr": 1e-05, "model.backbone.depth": 50, "lr": 1},
    "switches": {"model.backbone.frozen": True, "model.neck": False, "work_dir": None},
    "a key that is new": {"default_hooks.logger.interval": 5, "randomness.seed": 3},
    "an item of a list": {"param_scheduler.1.end": 12, "param_scheduler.0.start_factor": 0.5},
    "deep in lists": {"param_scheduler.1.of.a.0.b": [1, {"c": None}]},
    "a list below a dict": {"train_dataloader.dataset.pipeline.1.scale": [288, 441]},
    "a whole list": {"param_scheduler": [{"type": "ConstantLR", "factor": 1.0}]},
    "a list as value": {"model.backbone.strides": [1, 1, 2], "model.backbone.out_indices": []},
    "a dict over a dict": {"model.backbone.norm_cfg": {"type": "GN", "num_groups": 32}},
    "a dict that deletes": {"optim_wrapper.optimizer": {"_delete_": True, "type": "SGD", "lr": 1}},
    "a dict into a list": {"param_scheduler": {"0": {"end": 7}}},
    "a dict in a list that deletes": {"param_scheduler.1.of": {"_delete_": True, "z": 0}},
    "an empty dict": {"model.backbone.norm_cfg": {}, "model.new": {}},
    "another type": {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": 512.0},
    "keys that are no names": {
        "optim_wrapper.paramwise_cfg.custom_keys": {"a.b": {"lr_mult": 2}, "class": {"x": 1}}
    },
    "quotes": {"model.init": 'it\'s "so" and \'\'\'so\'\'\' and """so"""'},
    "line breaks": {
        "model.init": "one\ntwo\r\n\ttab \\n \\",
        "model.b": "\x00\x1b[31m\u2028\u202e",
    },
    "braces": {"model.init": "{{ fileDirname }} {{{$HOME:x}}} {{ _base_.lr }}", "model.b": "{{"},
    "half a character": {"model.init": "\ud800"},
    "braces in a dict": {"model.init": {"{{ fileDirname }}": "{{$HOME:}}", "}}": "}}"}},
    "other alphabets": {"model.init": "é 漢字 عربي 👗"},
    "long texts": {"model.init": LONG, "model.b.c": "x" * 400, "work_dir": LONG},
    "numbers": {"model.a": 1e300, "model.b": -0.0, "model.c": 10**15, "model.d": 1e-12},
    "hostile": {"model.init": EVIL, "work_dir": f'"""{EVIL}"""\\'},
    "long lists": {"model.anchors": [[n, n + 0.5] for n in range(60)]},
}


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """A config in a folder of its own, and the working directory above it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "configs" / "a set" / "base.py"
    path.parent.mkdir(parents=True)
    path.write_text(BASE, encoding="utf-8")
    return path


def written(base: Path, values: dict, out: str = "work_dirs/made/best.py", **changes) -> Path:
    from mmengine.config import Config

    record = make_sweep("ddp")
    trial = dataclasses.replace(record.trials[0], values=values)
    record = dataclasses.replace(
        record, **{"program": "configs/a set/base.py", "trials": (trial, *record.trials[1:])}
    )
    record = dataclasses.replace(record, **changes)
    config = Config.fromfile(str(base)).to_dict()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(leaf_text(record, trial, config, out), encoding="utf-8")
    return Path(out)


def test_the_cases_are_of_a_config_that_mmengine_merges(base):
    assert len(VALUES) == 25


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_leaf_resolves_to_the_config_of_the_trial(base, values):
    from mmengine.config import Config

    expected = Config.fromfile(str(base))
    expected.merge_from_dict(values)
    got = Config.fromfile(str(written(base, values)))
    assert repr(got.to_dict()) == repr(reordered(expected.to_dict(), got.to_dict()))
    assert got.to_dict() == expected.to_dict()


def reordered(value, like):
    """Return ``value`` with its keys in the order of ``like``: repr tells 1, 1.0 and True apart."""
    if isinstance(value, dict):
        assert set(value) == set(like)
        return {key: reordered(value[key], like[key]) for key in like}
    if isinstance(value, (list, tuple)):
        assert len(value) == len(like)
        return type(value)(reordered(v, w) for v, w in zip(value, like, strict=True))
    return value


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_leaf_is_as_ruff_writes_it(base, values):
    path = written(base, values, "best.py")
    for words in (["check", "--select", "E,F,W,I"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--line-length", "100", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + path.read_text()


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_leaf_holds_literals_and_calls_of_dict_alone(base, values):
    tree = ast.parse(written(base, values).read_text(encoding="utf-8"))
    assert all(isinstance(node, (ast.Expr, ast.Assign)) for node in tree.body)
    assert isinstance(tree.body[0], ast.Expr), "the docstring is one"
    assert sum(isinstance(node, ast.Expr) for node in tree.body) == 1
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert all(isinstance(func, ast.Name) and func.id == "dict" for func in calls)
    assert not [n for n in ast.walk(tree) if isinstance(n, (ast.Attribute, ast.Lambda))]


def test_leaf_of_a_few_settings_looks_as_by_hand(base):
    values = {"optim_wrapper.optimizer.lr": 0.0005, "param_scheduler.1.end": 6}
    text = written(base, values).read_text(encoding="utf-8")
    assert text.endswith('''"""

_base_ = "../../configs/a set/base.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", begin=0, end=6, by_epoch=True, of=dict(a=[dict(b=1), (2, 3)])),
]
optim_wrapper = dict(optimizer=dict(lr=0.0005))
''')


def test_leaf_page_tells_where_the_trial_is_from(base):
    finals = (
        make_final(BASELINE, 1, 0.041), make_final(BASELINE, 2, 0.043),
        make_final("trial_000", 1, 0.045), make_final("trial_000", 2, 0.049),
    )  # fmt: skip
    path = written(base, {"optim_wrapper.optimizer.lr": 0.0005}, finals=finals)
    page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    said = " ".join(page.split())
    for words in (
        "trial_000 of the sweep made: lr 0.0005.",
        "fashion train work_dirs/made/best.py",
        "3 trials: 2 done, 1 pruned",
        "Measured 2026-11-28 on the validation set, at the last validation of one run: mask AP",
        "2 cores of a processor",
        "Trained anew: mask AP 4.7 ± 0.3 over seeds 1, 2; the config as it is has 4.2 ± 0.1",
    ):
        assert words in said, words


def test_leaf_hostile_names_stay_in_the_docstring(base):
    record = {"name": EVIL, "file": f'"""\nimport os\n{EVIL}\\'}
    path = written(base, {"model.backbone.depth": 34}, **record)
    text = path.read_text(encoding="utf-8")
    body = ast.parse(text).body
    assert len(body) == 3 and all(len(line) <= 100 for line in text.splitlines())
    assert "\x1b" not in text and "\u202e" not in text and "{{" not in text


def test_leaf_base_goes_through_links_to_the_swept_config(base, tmp_path):
    from mmengine.config import Config

    (tmp_path / "disk" / "deep" / "er").mkdir(parents=True)
    os.symlink(tmp_path / "disk" / "deep" / "er", tmp_path / "linked")
    path = written(base, {"model.backbone.depth": 34}, "linked/best.py")
    assert Config.fromfile(str(path)).model.backbone.depth == 34


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model.a": {1, 2}}, "plain values"),
        ({"model.a": b"x"}, "plain values"),
        ({"model.a": type("Evil", (), {"__repr__": lambda _: "print(1)"})()}, "plain values"),
        ({"model.a": type("Text", (str,), {"__repr__": lambda _: "print(1)"})("x")}, "plain"),
        ({"import os; x": 1}, "can be assigned"),
        ({"class": 1}, "can be assigned"),
        ({"dict": 1}, "can be assigned"),
        ({"_base_": "other.py"}, "can be assigned"),
        ({"__builtins__": 1}, "can be assigned"),
        ({"param_scheduler.7.end": 1}, "one of the 2 items"),
        ({"param_scheduler.x.end": 1}, "one of the 2 items"),
        ({"model.backbone.depth.x": 1}, "a dict in the config"),
        ({"model.a": 1, "model.a.b": 2}, "beside the others"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_leaf_of_what_cannot_be_written_is_refused(base, values, words):
    with pytest.raises(ConfigError, match=words):
        written(base, values)


def test_leaf_base_with_a_scope_mark_is_refused(base):
    with pytest.raises(ConfigError, match="::"):
        written(base, {}, program="mmdet::x/base.py")


def test_overrides_leave_the_config_as_it_was(base):
    config = {"a": [{"b": 1}, {"c": {"d": 2}}]}
    assert overrides_of({"a.1.c.d": 3}, config) == {"a": [{"b": 1}, {"c": {"d": 3}}]}
    assert config == {"a": [{"b": 1}, {"c": {"d": 2}}]}
