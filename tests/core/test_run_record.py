"""run.json: what is written is what is read, and a damaged one is told of in words."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_mmdet.core import provenance
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.loss_curve import LossPoint
from fashion_mmdet.core.provenance import Code, Gpu, Hardware, data_file, masked
from fashion_mmdet.core.run_record import (
    ABSENT,
    SCHEMA,
    Compute,
    Parameters,
    RunRecord,
    ScoredTest,
    Session,
    Setting,
    Validation,
    add_evaluation,
    add_test,
    differences,
    finite_metrics,
    read_run,
    set_aside,
    write_run,
)

SETTING = Setting(
    code=Code("f" * 40, clean=False),
    versions={"python": "3.11.2", "mmcv": "2.1.0 (mmcv-lite)", "torchvision": None},
    hardware=Hardware("a processor", 2, 8000, (Gpu("a card", 40000),)),
    launcher="none",
    processes=1,
    environment={"FASHION_DATA": "data"},
)


def session(**of_it: Any) -> Session:
    values: dict[str, Any] = dict(
        started_utc="2026-11-23T04:44:00Z", ended_utc="2026-11-23T04:54:00Z", error=None,
        wall_s=600.0, resumed_from=None, from_epoch=0, from_iter=0, to_epoch=2, to_iter=80,
        timed_images=280, timed_s=70.0, peak_rss_mib=1000.5, peak_cuda_mib=None, changed={},
    )  # fmt: skip
    return Session(**{**values, **of_it})


def a_record(**of_it: Any) -> RunRecord:
    values: dict[str, Any] = dict(
        schema=SCHEMA, name="recipe", status="finished", error=None,
        started_utc="2026-11-23T04:44:00Z", updated_utc="", ended_utc=None, wall_s=0.0,
        images_per_s=None, peak_rss_mib=None, peak_cuda_mib=None, config_file="configs/recipe.py",
        config={"optim_wrapper": {"lr": 0.02}, "milestones": [8, 11]}, overrides={"lr": 0.02},
        seed=0, data={"train": (data_file("nowhere/train.json", "train"),)}, setting=SETTING,
        initialisation=("no checkpoint; all random",), parameters=Parameters(44, 40),
        compute=Compute(12.5, (288, 448)), sessions=(session(),), tests=(), evaluation=(),
        losses=(LossPoint(40, 40, {"loss": 1.5}),),
        validations=(Validation(1, 40, {"coco/segm_mAP": 0.25, "x": None}, ("x",), 8.5),),
    )  # fmt: skip
    return RunRecord(**{**values, **of_it})


def a_test(**of_it: Any) -> ScoredTest:
    values: dict[str, Any] = dict(
        checkpoint="epoch_2.pth", checkpoint_sha256="0" * 64, started_utc="2026-11-23T05:00:00Z",
        wall_s=9.0, metrics={"coco/segm_mAP": 0.5}, nonfinite=(), images_per_s=4.0, data=(),
        setting=SETTING, changed={"a.b": (1, 2)},
    )  # fmt: skip
    return ScoredTest(**{**values, **of_it})


def test_record_written_is_the_record_read(tmp_path: Path) -> None:
    write_run(tmp_path, a_record(tests=(a_test(),), sessions=(session(changed={"seed": (0, 1)}),)))
    read = read_run(tmp_path)
    assert read.tests == (a_test(),) and read.sessions[0].changed == {"seed": (0, 1)}
    assert read.setting == SETTING and read.validations == a_record().validations
    assert read.updated_utc.endswith("Z") and read.config == a_record().config
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    assert "\n" in (tmp_path / "run.json").read_text().strip(), "one reads it by eye, too"


def test_record_of_two_sessions_has_their_sums_and_highest_peaks(tmp_path: Path) -> None:
    second = session(
        wall_s=300.0, timed_images=20, timed_s=30.0, peak_rss_mib=900.0, peak_cuda_mib=7.0,
        error="KeyboardInterrupt", ended_utc=None,
    )  # fmt: skip
    write_run(tmp_path, a_record(status="stopped", sessions=(session(), second)))
    read = read_run(tmp_path)
    assert read.wall_s == 900.0 and read.images_per_s == 3.0
    assert (read.peak_rss_mib, read.peak_cuda_mib) == (1000.5, 7.0)
    assert (read.error, read.ended_utc) == ("KeyboardInterrupt", None)


def test_record_written_again_keeps_what_others_have_added_meanwhile(tmp_path: Path) -> None:
    write_run(tmp_path, a_record())
    add_test(tmp_path, a_test())
    add_evaluation(tmp_path, "evaluation/epoch_1.npz")
    add_evaluation(tmp_path, "evaluation/epoch_1.npz")
    write_run(tmp_path, a_record(status="running"))
    read = read_run(tmp_path)
    assert read.status == "running" and read.tests == (a_test(),)
    assert read.evaluation == ("evaluation/epoch_1.npz",)
    write_run(tmp_path, a_record(started_utc="2026-11-24T00:00:00Z"))
    assert read_run(tmp_path).tests == (), "those of another run"


def test_evaluation_outside_the_work_dir_is_refused_when_added_and_when_read(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, a_record())
    with pytest.raises(FashionError, match="inside"):
        add_evaluation(tmp_path, "../other.npz")
    value = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**value, "evaluation": ["/etc/passwd"]}))
    with pytest.raises(FashionError, match="inside"):
        read_run(tmp_path)


def test_record_set_aside_keeps_every_earlier_one(tmp_path: Path) -> None:
    assert set_aside(tmp_path) is None
    kept = []
    for seed in range(3):
        write_run(tmp_path, a_record(seed=seed))
        kept.append(set_aside(tmp_path))
    assert [json.loads(p.read_text())["seed"] for p in kept if p] == [0, 1, 2]
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 99}, "format 2 expected, got 99"),
        ({"status": "done"}, "status: 'running' or 'finished' or .* expected, got 'done'"),
        ({"sede": 1}, "keys of a RunRecord expected, got 'sede'. Did you mean 'seed'"),
        ({"seed": True}, "seed: a whole number expected, got True"),
        ({"seed": "1"}, "seed: a whole number expected, got '1'"),
        ({"tests": {}}, r"tests: a list expected, got \{\}"),
        ({"validations": [3]}, r"validations\[0\]: an object expected, got 3"),
        ({"overrides": []}, "overrides: an object expected"),
        (
            {"wall_s": 10**400},
            r"wall_s: a number of at most 2\*\*63 in size expected, got 10+\.\.\.",
        ),
        (
            {"seed": -(2**63) - 1},
            r"seed: a whole number of at most 2\*\*63 in size expected, got -9",
        ),
        ({"wall_s": "x" * 500}, r"wall_s: a number expected, got 'x+\.\.\.\. Was"),
    ],
)
def test_record_of_wrong_values_is_refused_by_place(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    write_run(tmp_path, a_record())
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FashionError, match=said):
        read_run(tmp_path)


def test_record_without_a_key_or_cut_short_or_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FashionError, match="found no run.json"):
        read_run(tmp_path)
    write_run(tmp_path, a_record())
    path = tmp_path / "run.json"
    text = path.read_text()
    value = json.loads(text)
    del value["setting"]["hardware"]["cpu"]
    path.write_text(json.dumps(value))
    with pytest.raises(FashionError, match="setting: hardware: the key 'cpu' expected, got none"):
        read_run(tmp_path)
    for broken in (text[:-50], "[]", "3"):
        path.write_text(broken)
        with pytest.raises(FashionError):
            read_run(tmp_path)


def test_metrics_that_are_not_finite_are_null_and_named() -> None:
    figures, names = finite_metrics(
        {"a": np.float64(0.5), "b": np.nan, "c": [1.0, float("inf")], "d": {"e": np.float32("nan")}}
    )
    assert figures == {"a": 0.5, "b": None, "c": [1.0, None], "d": {"e": None}}
    assert names == ("b", "c[1]", "d.e")
    json.dumps(figures, allow_nan=False)


def test_differences_are_by_dotted_key_and_tell_a_switch_from_a_number() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "gone": None}, "same": [{"x": 1}], "lr": 1}
    after = {"a": True, "b": {"c": [1, 2, 3]}, "same": [{"x": 1}], "new": {"y": 0}, "lr": 1.0}
    assert differences(before, after) == {
        "a": (1, True),
        "b.c": ([1, 2], [1, 2, 3]),
        "b.gone": (None, ABSENT),
        "new": (ABSENT, {"y": 0}),
    }
    assert differences([{"end": 1}], [{"end": 2}]) == {"0.end": (1, 2)}


def test_config_is_plain_and_its_secrets_are_masked() -> None:
    given = {
        "token": "abc", "wandb": {"api_key": 5, "mode": "off"}, "keys": ("a", {"password": "x"}),
        "url": "https://me:secret@host/file.pth", "hub": "hf_" + "a" * 30, "clip": float("inf"),
        "size": np.int64(3), "sample": np.float32(0.5), "hook": object(), "metric_keys": {"b", "a"},
        "hash": "0123456789abcdef" * 4, "persistent": True, "token_count": 7,
    }  # fmt: skip
    out = masked(given)
    json.dumps(out, allow_nan=False)
    assert out["token"] == out["wandb"]["api_key"] == out["keys"][1]["password"] == "***"
    assert out["url"] == "https://***@host/file.pth" and out["hub"] == "***"
    assert out["clip"] == "inf" and out["size"] == 3 and out["sample"] == 0.5
    assert out["hook"] == "<object object>", "no address, by which two runs would differ"
    assert out["metric_keys"] == ["a", "b"] and out["persistent"] is True
    assert out["hash"] == given["hash"] and out["token_count"] == 7


def test_environment_holds_ours_alone_and_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_CACHE", "cache")
    monkeypatch.setenv("FASHION_API_KEY", "abc")
    monkeypatch.setenv("WANDB_API_KEY", "abc")
    found = provenance.environment()
    assert found["FASHION_CACHE"] == "cache" and found["FASHION_API_KEY"] == "***"
    assert all(name.startswith("FASHION_") for name in found)


def test_data_file_is_hashed_and_counted_with_its_id_list(tmp_path: Path) -> None:
    coco = {"images": [{}, {}], "annotations": [{}] * 5, "info": {}}
    path = tmp_path / "train.json"
    path.write_text(json.dumps(coco))
    found = data_file(str(path), "train")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.images, found.instances) == (2, 5)
    assert found.id_list_sha256 is None and found.made_of_sha256 is None
    (tmp_path / "train.txt").write_text("1\n2\n")
    path.write_text(json.dumps({**coco, "info": {"cached_from": {"sha256": "aa"}}}))
    changed = data_file(str(path), "train")
    assert changed.sha256 != found.sha256 and changed.made_of_sha256 == "aa"
    assert changed.id_list_sha256 == hashlib.sha256(b"1\n2\n").hexdigest()
    assert data_file(str(path), "val").id_list_sha256 is None


@pytest.mark.parametrize("text", ["{", "[]", '{"images": 3}', "\xff"])
def test_data_file_of_another_format_is_hashed_and_not_counted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "val.json"
    path.write_bytes(text.encode("latin-1"))
    found = data_file(str(path), "val")
    assert found.sha256 is not None and found.images is found.instances is None


def test_data_file_that_is_not_there_has_no_hash(tmp_path: Path) -> None:
    found = data_file(str(tmp_path / "test.json"), "test")
    assert dataclasses.astuple(found)[1:] == (None,) * 5


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_code_of_a_checkout_is_its_commit_and_whether_files_differ(tmp_path: Path) -> None:
    assert provenance.code(tmp_path) is None
    git(tmp_path, "init")
    assert provenance.code(tmp_path) is None, "no commit yet"
    (tmp_path / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    found = provenance.code(tmp_path)
    assert found is not None and len(found.revision) == 40 and found.clean
    (tmp_path / "b.py").write_text("b = 1\n")
    changed = provenance.code(tmp_path)
    assert changed == Code(found.revision, clean=False)
    (tmp_path / "package").mkdir()
    assert provenance.code(tmp_path / "package") is None, "somebody else's repository"


def test_code_without_git_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code() is None


def test_versions_and_hardware_are_told_without_importing_torch() -> None:
    code = (
        "import sys; from fashion_mmdet.core.provenance import *\n"
        "import fashion_mmdet.core.run_record\n"
        "v, h = versions(), hardware()\n"
        "assert v['numpy'] and v['python'] and v['fashion_mmdet'], v\n"
        "assert h.cores >= 1 and h.cpu and peak_rss_mib() > 1, h\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
