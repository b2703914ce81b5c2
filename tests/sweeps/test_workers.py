"""Trials run in processes of their own, and a sweep outlives what goes wrong with them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_sweep
from toy_trial import value

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.sweeps import leash
from fashion_mmdet.sweeps.study import SharedStudy
from fashion_mmdet.sweeps.sweep_file import sweep_of

pytestmark = pytest.mark.slow


def begun(folder: Path) -> list[int]:
    """The epochs that a trial has begun."""
    return [int(line) for line in (folder / "epochs.txt").read_text().split()]


def in_background(folder: Path, given: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
    """Start a sweep in a process of its own."""
    words = json.dumps({"folder": str(folder), "given": given, **options})
    return subprocess.Popen(
        [sys.executable, toy_sweep.__file__, words], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT, start_new_session=True,
        # Tests that a shell has put into the background ignore Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def suspend(process: subprocess.Popen[str], study_db: Path) -> None:
    """Stop a process, at a moment when it does not hold the database file's lock.

    With the lock it would hold up everybody until it goes on, and nobody could take over.
    """
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        connection = sqlite3.connect(study_db, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        finally:
            connection.close()


def outcomes(study: SharedStudy) -> list[str]:
    return [s.outcome for s in study.seen()]


def processes_below(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_grid_runs_whole_and_finds_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # `make test` sets it
    given = toy_sweep.definition("grid", lr={"values": [0.001, 0.01, 0.1]})
    del given["early_terminate"]
    study, lines = toy_sweep.run(tmp_path, given, 3, parallel=2)
    seen = study.seen()
    assert [s.values["lr"] for s in seen] == [0.001, 0.01, 0.1]
    assert outcomes(study) == ["done"] * 3
    assert [s.metric for s in seen] == [pytest.approx(value(v, 4)) for v in (0.001, 0.01, 0.1)]
    for s in seen:
        folder = tmp_path / "trials" / s.job.label
        assert json.loads((folder / "given.json").read_text())["lr"] == str(s.values["lr"])
        environment = json.loads((folder / "environment.json").read_text())
        assert environment["WANDB_RUN_GROUP"] == "toy"
        assert environment["WANDB_NAME"] == s.job.label
        assert environment["OMP_NUM_THREADS"] == "1"
    ids = {
        json.loads((p / "environment.json").read_text())["WANDB_RUN_ID"]
        for p in (tmp_path / "trials").iterdir()
    }
    assert len(ids) == 3
    assert sum(" started" in line for line in lines) == 3


def test_worse_trial_is_stopped_early_and_the_rest_of_it_is_saved(tmp_path: Path) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 1.0]}, epochs={"value": 16},
                                 seconds={"value": 0.2})  # fmt: skip
    study, _ = toy_sweep.run(tmp_path, given, 2)
    best, worse = study.seen()
    assert (best.outcome, worse.outcome) == ("done", "pruned")
    assert len(worse.course) < 16
    assert worse.metric == worse.course[-1].value
    assert "others were better" in str(worse.reason)
    log = (tmp_path / "trials" / "trial_001" / "trial.log").read_text()
    assert "asked to stop" in log


@pytest.mark.parametrize(
    ("fault", "word"),
    [("exit", "KeyError: 'no such thing'"), ("oom", "CUDA out of memory"),
     ("nan", "a finite loss expected"), ("kill", "SIGKILL; out of memory?"),
     ("none_metric", "not a number"), ("no_metric", "coco/other")],
)  # fmt: skip
def test_failed_trial_is_recorded_with_its_last_lines_and_the_sweep_goes_on(
    tmp_path: Path, fault: str, word: str
) -> None:
    given = toy_sweep.definition(
        "grid", lr={"value": 0.01}, fault={"values": [fault, "none"]}, seconds={"value": 0.05}
    )
    study, lines = toy_sweep.run(tmp_path, given, 2)
    failed, done = study.seen()
    assert (failed.outcome, done.outcome) == ("failed", "done")
    assert word in str(failed.reason)
    assert failed.last_lines
    assert any("trial_000 failed" in line and word in line for line in lines)


def test_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.1]})
    given["command"][2] = "/no/such/file.py"
    study, _ = toy_sweep.run(tmp_path, given, 1)
    assert "can't open file" in " ".join(study.seen()[0].last_lines)
    given["command"] = ["no_such_program", "${program}", "${args}"]
    study, _ = toy_sweep.run(tmp_path / "b", given, 1)
    assert "no_such_program: a command expected" in str(study.seen()[0].reason)


def test_failures_one_after_another_stop_the_sweep(tmp_path: Path) -> None:
    given = toy_sweep.definition(fault={"value": "exit"}, seconds={"value": 0.0})
    with pytest.raises(FashionError, match="3 failures one after another.*no such thing"):
        toy_sweep.run(tmp_path, given, 10, max_failures=3)
    study = toy_sweep.open_study(tmp_path, sweep_of(given, "x"), 10)
    assert outcomes(study) == ["failed"] * 3 + ["waiting"] * 7


def test_variables_that_a_command_names_are_in_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "hushhush")
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.02]})
    given["command"][2:3] = ["-c", "import sys; sys.exit('error: ' + sys.argv[1])",
                             "${envvar:MY_API_KEY}"]  # fmt: skip
    study, lines = toy_sweep.run(tmp_path, given, 1)
    (seen,) = study.seen()
    assert seen.reason == "***"
    assert "hushhush" not in " ".join([*lines, *seen.last_lines])
    command = (tmp_path / "trials/trial_000/trial.log").read_text().splitlines()[0]
    assert "MY_API_KEY" in command and "hushhush" not in command


def test_record_that_another_study_left_is_not_taken_for_the_trials(tmp_path: Path) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 1.0]}, seconds={"value": 0.0})
    toy_sweep.run(tmp_path, given, 1)
    (tmp_path / "study.db").unlink()
    # Slow enough that the record is looked at before its first validation is written over.
    given["parameters"] |= {"lr": {"values": [1.0, 0.01]}, "seconds": {"value": 0.6}}
    study, _ = toy_sweep.run(tmp_path, given, 1)
    (seen,) = study.seen()
    assert [p.value for p in seen.course] == [pytest.approx(value(1.0, n)) for n in (1, 2, 3, 4)]
    rows = study.study.get_trials()
    assert list(rows[0].intermediate_values.values()) == [p.value for p in seen.course]


def test_full_disk_stops_the_sweep_and_fails_no_trial(tmp_path: Path) -> None:
    given = toy_sweep.definition(fault={"value": "disk"}, seconds={"value": 0.0})
    with pytest.raises(FashionError, match="room on the disk.*--resume"):
        toy_sweep.run(tmp_path, given, 1)
    study, _ = toy_sweep.run(tmp_path, given, 1)  # there is room now
    (seen,) = study.seen()
    assert (seen.outcome, seen.job.attempt) == ("done", 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_sweep_that_is_stopped_leaves_no_process_and_loses_no_trial(
    tmp_path: Path, number: signal.Signals
) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.011, 0.012]}, epochs={"value": 6},
                                 seconds={"value": 0.8})  # fmt: skip
    del given["early_terminate"]
    first = in_background(tmp_path, given, n_trials=3, parallel=2)
    wait_for(lambda: len(list(tmp_path.glob("trials/*/run.json"))) == 2)
    os.kill(first.pid, number)
    first.communicate(timeout=60)
    wait_for(lambda: not processes_below(tmp_path))
    study, lines = toy_sweep.run(tmp_path, given, 3, parallel=2)
    seen = study.seen()
    assert outcomes(study) == ["done"] * 3
    assert [s.metric for s in seen] == [pytest.approx(value(v, 6)) for v in (0.01, 0.011, 0.012)]
    assert [s.job.attempt for s in seen] == [2, 2, 1]
    for s in seen:
        # Continued where it was: at most the epoch that was cut short is begun twice.
        epochs = begun(tmp_path / "trials" / s.job.label)
        assert sorted(set(epochs)) == [1, 2, 3, 4, 5, 6]
        assert len(epochs) <= 7


def test_trial_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(leash.__file__).read_text().replace("PATIENCE_S = 30.0", "PATIENCE_S = 0.5")
    assert "PATIENCE_S = 0.5" in source
    (tmp_path / "leash.py").write_text(source)
    monkeypatch.setattr(leash, "__file__", str(tmp_path / "leash.py"))
    given = toy_sweep.definition(
        "grid", lr={"values": [0.01, 1.0]}, epochs={"value": 40}, seconds={"value": 0.1},
        fault={"value": "deaf"},
    )  # fmt: skip
    study, _ = toy_sweep.run(tmp_path, given, 2)
    assert outcomes(study) == ["done", "pruned"]
    assert not processes_below(tmp_path)


def test_trial_that_ended_when_its_sweep_was_gone_is_not_run_again(tmp_path: Path) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.02]}, seconds={"value": 0.0})
    sweep = sweep_of(given, "toy.yaml")
    tmp_path.joinpath("trials", "trial_000").mkdir(parents=True)
    study = toy_sweep.open_study(tmp_path, sweep, 1)
    claim = study.claim()
    assert claim is not None
    work_dir = tmp_path / "trials" / "trial_000"
    subprocess.run(
        [sys.executable, toy_sweep.TOY, "x.py", "--work-dir", work_dir, "--cfg-options", "lr=0.01"],
        check=True,
    )
    study.release(claim)  # its worker never learned of the end
    study, lines = toy_sweep.run(tmp_path, given, 1)
    (seen,) = study.seen()
    assert (seen.outcome, seen.metric) == ("done", pytest.approx(value(0.01, 4)))
    assert begun(work_dir) == [1, 2, 3, 4]
    assert any("had ended already" in line for line in lines)


@pytest.fixture
def short_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Python code that shortens the times of a sweep in another process."""
    source = Path(leash.__file__).read_text().replace("PATIENCE_S = 30.0", "PATIENCE_S = 3.0")
    (tmp_path / "short_leash.py").write_text(source)
    return (
        "from fashion_mmdet.sweeps import database, leash, workers\n"
        "database.BEAT_S = workers.BEAT_S = 1; database.GRACE_S = 4; workers._RECOVER_S = 1.0\n"
        f"leash.__file__ = {str(tmp_path / 'short_leash.py')!r}\n"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import toy_sweep; toy_sweep.main(sys.argv[1:])\n"
    )


def test_worker_that_is_suspended_and_comes_back_spoils_nothing(
    tmp_path: Path, short_times: str
) -> None:
    folder = tmp_path / "sweep"
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.02]}, epochs={"value": 9},
                                 seconds={"value": 0.3}, gate={"value": 4})  # fmt: skip
    words = json.dumps({"folder": str(folder), "given": given, "n_trials": 1})

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", short_times, words], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    workers = [start()]
    try:
        wait_for(lambda: bool(list(folder.glob("trials/*/run.json"))))
        suspend(workers[0], folder / "study.db")  # a laptop that sleeps; its trial runs on
        workers.append(start())
        wait_for(lambda: "attempt 2" in (folder / "trials/trial_000/trial.log").read_text(), 60)
        (folder / "trials/trial_000/open").touch()
        workers[0].send_signal(signal.SIGCONT)
        said = [worker.communicate(timeout=60)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert "another worker has taken it over" in said[0]
    assert "trial_000 done" in said[1]
    study = toy_sweep.open_study(folder, sweep_of(given, "toy.yaml"), 1)
    assert [(s.outcome, s.job.attempt) for s in study.seen()] == [("done", 2)]
    epochs = begun(folder / "trials" / "trial_000")
    assert sorted(set(epochs)) == list(range(1, 10)) and len(epochs) <= 10


def test_what_a_command_has_started_ends_with_it(tmp_path: Path) -> None:
    # As `mim train` does: the training is a process of its process.
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.02]}, epochs={"value": 100},
                                 seconds={"value": 0.2})  # fmt: skip
    given["command"] = ["bash", "-c", f'"{sys.executable}" "{toy_sweep.TOY}" "$@"; true', "x",
                        "${program}", "--cfg-options", "${args_no_hyphens}"]  # fmt: skip
    first = in_background(tmp_path, given, n_trials=1)
    wait_for(lambda: bool(list(tmp_path.glob("trials/*/run.json"))))
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    wait_for(lambda: not processes_below(tmp_path))
    record = json.loads((tmp_path / "trials" / "trial_000" / "run.json").read_text())
    assert record["status"] == "stopped", "it was asked, and not killed at once"


def test_second_process_in_a_work_dir_waits_for_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    command = [sys.executable, leash.__file__, str(lock), "", sys.executable, "-c"]
    script = "import time, sys; print('in', flush=True); time.sleep(1); print('out', flush=True)"
    with open(tmp_path / "log", "w") as log:
        both = [
            subprocess.Popen([*command, script], stdin=subprocess.PIPE, stdout=log,
                             start_new_session=True)
            for _ in range(2)
        ]  # fmt: skip
        assert [p.wait(30) for p in both] == [0, 0]
    for p in both:
        assert p.stdin is not None
        p.stdin.close()
    assert (tmp_path / "log").read_text().split() == ["in", "out", "in", "out"]


def test_exit_code_and_signal_come_through_the_leash(tmp_path: Path) -> None:
    def ended(code: str) -> int:
        words = [
            sys.executable,
            leash.__file__,
            str(tmp_path / "lock"),
            "",
            sys.executable,
            "-c",
            code,
        ]
        with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as process:
            return process.wait(30)

    assert ended("raise SystemExit(7)") == 7
    assert ended("import os; os.kill(os.getpid(), 9)") == -9
    assert ended("import os; os.kill(os.getpid(), 15)") == -15
