"""A study gives each trial to one worker, and none of them is lost or counted twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import toy_sweep

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.sweeps import database, study
from fashion_mmdet.sweeps.sampling import newest
from fashion_mmdet.sweeps.study import SharedStudy
from fashion_mmdet.sweeps.sweep_file import sweep_of

#: trials that several processes fight for; without SQLite's early lock some are taken twice
N_TAKEN = 16


def opened(folder: Path, n_trials: int = 3, method: str = "random", **given: Any) -> SharedStudy:
    folder.mkdir(exist_ok=True)
    sweep = sweep_of(toy_sweep.definition(method, **given), "toy.yaml")
    return toy_sweep.open_study(folder, sweep, n_trials)


def take_all(folder: str, out: Any, start: Any) -> None:
    one = opened(Path(folder), N_TAKEN)
    start.wait(120)  # all at once, however long each has taken to begin
    while (claim := one.claim()) is not None:
        out.put((claim.job.number, claim.values["lr"]))
    out.put(None)


def test_trials_of_a_file_are_each_taken_by_one_of_many_processes(tmp_path: Path) -> None:
    opened(tmp_path, N_TAKEN)
    context = multiprocessing.get_context("spawn")
    out, start = context.Queue(), context.Barrier(3)
    processes = [
        context.Process(target=take_all, args=(str(tmp_path), out, start)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    taken, ended = [], 0
    while ended < len(processes):
        one = out.get(timeout=120)
        ended += one is None
        taken += [one] if one else []
    for process in processes:
        process.join(10)
    assert sorted(number for number, _ in taken) == list(range(N_TAKEN))
    # whoever drew them, they are the values of the seed
    alone = opened(tmp_path / "alone", N_TAKEN)
    assert dict(taken) == {c.job.number: c.values["lr"] for c in iter(alone.claim, None)}


def test_values_of_another_seed_differ(tmp_path: Path) -> None:
    sweep = sweep_of(toy_sweep.definition(), "toy.yaml")
    drawn = []
    for n, seed in enumerate((0, 0, 1)):
        (tmp_path / str(n)).mkdir()
        one = toy_sweep.open_study(tmp_path / str(n), sweep, 3, seed=seed)
        drawn.append([c.values["lr"] for c in iter(one.claim, None)])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3


def test_planning_again_adds_only_what_is_new(tmp_path: Path) -> None:
    opened(tmp_path, 3)
    assert [s.job.number for s in opened(tmp_path, 3).seen()] == [0, 1, 2]
    assert [s.job.number for s in opened(tmp_path, 5).seen()] == [0, 1, 2, 3, 4]


def test_released_trial_waits_with_its_values(tmp_path: Path) -> None:
    one = opened(tmp_path, 1)
    first = one.claim()
    assert first is not None and one.claim() is None
    one.release(first, 3.0)
    again = one.claim()
    assert again is not None
    assert (again.job.number, again.job.attempt, again.job.lost) == (0, 2, 0)
    assert again.values == first.values
    one.finish(again, "done", 0.5, None, (), 7.0)
    (seen,) = one.seen()
    assert (seen.outcome, seen.metric, seen.wall_s) == ("done", 0.5, 7.0)


def test_gap_that_two_workers_see_is_filled_once(tmp_path: Path) -> None:
    one, other = opened(tmp_path, 1), opened(tmp_path, 1)
    claim = one.claim()
    assert claim is not None
    one.release(claim)
    # `other` has planned the next attempt too, having looked before it was there.
    job = study.Job(**{**vars(claim.job), "attempt": 2})
    other._enqueue(job, {})
    assert len([t for t in one.study.get_trials() if t.state.name == "WAITING"]) == 2
    taken = [c for c in (one.claim(), other.claim(), one.claim()) if c is not None]
    assert len(taken) == 1
    one.finish(taken[0], "done", 0.5, None, (), 1.0)
    assert [s.outcome for s in one.seen()] == ["done"]
    assert len(newest(one.study.get_trials())) == 1


def test_trial_of_a_killed_process_is_taken_over_at_once_on_its_machine(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import toy_sweep, time; from pathlib import Path\n"
        "from fashion_mmdet.sweeps.sweep_file import sweep_of\n"
        "s = toy_sweep.open_study(Path(sys.argv[1]), sweep_of(toy_sweep.definition(), 't'), 2)\n"
        "print(s.claim().values['lr'], flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    value = float(process.stdout.readline())
    one = opened(tmp_path, 2)
    assert one.recover() == [], "its worker lives"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (job,) = one.recover()
    assert (job.number, job.attempt, job.lost) == (0, 2, 1)
    assert one.recover() == []
    claims = list(iter(one.claim, None))
    assert [(c.job.number, c.job.attempt) for c in claims] == [(0, 2), (1, 1)]
    assert claims[0].values["lr"] == value


def test_trial_without_a_sign_of_life_is_taken_over_from_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "GRACE_S", 1)
    monkeypatch.setattr(database, "BEAT_S", 1)
    monkeypatch.setattr(study, "place", lambda: "another machine")
    there = opened(tmp_path, 1)
    claim = there.claim()
    assert claim is not None
    monkeypatch.setattr(study, "place", lambda: "this one")
    here = opened(tmp_path, 1)
    assert here.recover() == []
    time.sleep(2.5)
    assert [job.attempt for job in here.recover()] == [2]
    taken = here.claim()
    assert taken is not None
    # The other comes back from its sleep: it is told, and cannot close the trial any more.
    assert there.beat(claim) is False
    assert there.finish(claim, "done", 0.9, None, (), 1.0) is False
    there.release(claim)
    here.finish(taken, "done", 0.5, None, (), 1.0)
    assert [(s.outcome, s.metric) for s in here.seen()] == [("done", 0.5)]


def test_trial_that_loses_every_worker_stays_failed(tmp_path: Path) -> None:
    one = opened(tmp_path, 1)
    for _ in range(study.MOST_LOST):
        claim = one.claim()
        assert claim is not None
        one._close(one.storage.get_trial(claim.trial._trial_id), study.TrialState.FAIL)
        one.recover()
    assert one.claim() is None
    (seen,) = one.seen()
    assert seen.outcome == "failed" and "lost 3 times" in str(seen.reason)
    assert [job.attempt for job in one.recover(retry_failed=True)] == [4]


def test_finishing_twice_counts_once(tmp_path: Path) -> None:
    one = opened(tmp_path, 1)
    claim = one.claim()
    assert claim is not None
    assert one.finish(claim, "done", 0.5, None, (), 1.0)
    # As after a database that went away between its commit and its answer; a moment has passed.
    assert one.finish(claim, "done", 0.5, None, (), 2.0)
    assert not one.finish(claim, "failed", None, "x", (), 1.0)
    assert [(s.outcome, s.metric) for s in one.seen()] == [("done", 0.5)]


def test_study_of_another_sweep_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, 1)
    with pytest.raises(FashionError, match="another parameters"):
        opened(tmp_path, 1, epochs={"value": 3})


def test_study_that_exists_is_refused_without_resume(tmp_path: Path) -> None:
    opened(tmp_path, 1)
    with pytest.raises(FashionError, match="--resume"):
        SharedStudy(database.sqlite_address(tmp_path / "study.db"), "toy", {}, (), "maximize", None,
                    None)  # fmt: skip


@pytest.mark.parametrize("name", ["a b", "was?", "50%#1", "ü=&", "x'y"])
def test_sqlite_file_of_any_name_is_used(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert opened(tmp_path / name, 1).claim() is not None
    assert (tmp_path / name / "study.db").is_file()
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("sweeps.db", "postgresql://"),
        ("post gres://x", "postgresql://"),
        ("nosuchdb://me:secret@host/x", "reached"),
        ("postgresql://me:secret@127.0.0.1:1/x", "reached"),
        ("mysql+nodriver://me:secret@127.0.0.1:1/x", "expected"),
        ("postgresql://me:pa/secret@127.0.0.1:1/x", "reached"),
        ("postgresql://me:a@b/secret@127.0.0.1:1/x?password=sec secret", "expected"),
        ("postgresql://me:secret@h:port/x", "reached"),
        ("postgresql://me:secret@[::1/x", "expected"),
    ],
)
def test_address_that_leads_nowhere_is_a_line_without_its_password(address: str, word: str) -> None:
    with pytest.raises(FashionError) as error:
        database.open_storage(database.full_address(address))
    assert word in str(error.value) and "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_pruner_sees_a_trial_once_however_many_attempts_it_took(tmp_path: Path) -> None:
    from fashion_mmdet.sweeps.record import Point

    one = opened(tmp_path, 3)  # eta 2: the best of two go on
    first = one.claim()
    assert first is not None
    assert one.report(first, [Point(1, 1, 0.5)], 1, True) is False
    one.release(first)
    first = one.claim()
    assert first is not None and first.job.attempt == 2
    assert one.report(first, [Point(1, 1, 0.5)], 1, True) is False
    second = one.claim()
    assert second is not None
    # With the first attempt counted too, 0.45 would be one of the best two of four.
    third = one.claim()
    assert third is not None
    assert one.report(second, [Point(1, 1, 0.4)], 1, True) is True
    assert one.report(third, [Point(1, 1, 0.45)], 1, True) is True


def test_two_validations_at_once_are_both_asked_for(tmp_path: Path) -> None:
    from fashion_mmdet.sweeps.record import Point

    one = opened(tmp_path, 2)
    first, second = one.claim(), one.claim()
    assert first is not None and second is not None
    both = [Point(1, 1, 0.5), Point(2, 2, 0.5)]
    assert one.report(first, both, 2, True) is False
    assert one.report(second, [Point(1, 1, 0.1), Point(2, 2, 0.9)], 2, True) is True
    # What is no number is no reason to stop.
    assert (
        one.report(second, [Point(1, 1, 0.1), Point(2, 2, 0.9), Point(3, 3, None)], 1, True)
        is False
    )


def test_study_of_another_program_is_refused(tmp_path: Path) -> None:
    import optuna

    storage = database.open_storage(database.sqlite_address(tmp_path / "study.db"))
    optuna.create_study(study_name="toy", storage=storage).add_trial(
        optuna.create_trial(value=1.0, user_attrs={"job": "slurm 17"})
    )
    with pytest.raises(FashionError, match="--name"):
        opened(tmp_path, 1)
    optuna.delete_study(study_name="toy", storage=storage)
    optuna.create_study(study_name="toy", storage=storage, direction="maximize").add_trial(
        optuna.create_trial(value=1.0)
    )
    with pytest.raises(FashionError, match="another program"):
        opened(tmp_path, 1)


def test_newest_of_twins_is_the_first() -> None:
    class Row:
        def __init__(self, number: int, job: Any) -> None:
            self.number = number
            self.user_attrs = {"job": job} if job else {}

    rows: Any = [Row(0, {"number": 0, "attempt": 1}), Row(1, None),
                 Row(2, {"number": 0, "attempt": 2}),
                 Row(3, {"number": 0, "attempt": 2})]  # fmt: skip
    assert newest(rows)[0].number == 2


def test_address_shown_holds_no_password() -> None:
    shown = database.shown_address("postgresql://me:p%40ss@host/x?sslpassword=abc")
    assert shown == "postgresql://***@host/x?***"
