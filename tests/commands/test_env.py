"""fashion env: it says what is off, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fashion_mmdet.commands import env


def test_versions_compare_as_numbers() -> None:
    assert env._numbers("2.14.1+cu130") == (2, 14, 1)
    assert env._numbers("2.10") > env._numbers("2.9")
    assert env._numbers("2.0.0rc1") >= (2, 0)


def test_missing_package_is_a_fault_with_its_command() -> None:
    faults: list[str] = []
    assert env._package("no-such-package", "1", None, faults)[1] == "missing"
    assert "pip install -r requirements.txt" in faults[0]


def test_package_out_of_range_is_a_fault_with_its_command() -> None:
    faults: list[str] = []
    env._package("numpy", "99", None, faults)
    env._package("numpy", "0", "1", faults)
    assert len(faults) == 2 and "'numpy>=99'" in faults[0] and "'numpy>=0,<1'" in faults[1]


def test_stand_in_counts_as_the_package() -> None:
    faults: list[str] = []
    name, found = env._package("mmcv", "2.1", "2.2", faults)
    assert name == "mmcv" and found != "missing" and not faults


def test_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[str] = []
    monkeypatch.setattr(env, "LOW_DISK_GIB", 1e9)
    env._disk(faults)
    assert "GiB free" in faults[0]


def test_data_of_every_set_is_named_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ccp/annotations/val.json", "ccp/annotations/all.json", "demo/annotations/a.json",
                 "raw/train.csv", "empty/annotations/x.txt"):  # fmt: skip
        path = tmp_path / "sets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("FASHION_DATA", str(tmp_path / "sets"))
    assert env._data() == f"ccp (all, val), demo (a) in {tmp_path / 'sets'} (FASHION_DATA)"
    monkeypatch.delenv("FASHION_DATA")
    monkeypatch.chdir(tmp_path)
    assert env._data() == f"no data yet in {tmp_path / 'data'} (FASHION_DATA)"
    Path("sets").rename("data")
    assert env._data().startswith("ccp (all, val), demo (a) in ")


@pytest.mark.mm
def test_report_ends_with_a_verdict(capsys: pytest.CaptureFixture) -> None:
    code = env.main([])
    printed = capsys.readouterr().out
    assert "operators" in printed and "wandb" in printed and "disk" in printed
    assert "\ndata  " in printed
    assert ("verdict: ready. Next, in the clone: make demo" in printed) == (code == 0)
