"""Several workers on one PostgreSQL study: a real server, real processes, one of them killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
import toy_sweep
from test_workers import begun, in_background, processes_below, wait_for
from toy_trial import value

from fashion_mmdet.sweeps import database
from fashion_mmdet.sweeps.sweep_file import sweep_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(postgres.programs() is None, reason="no PostgreSQL server is installed"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.server() as one:
        yield one


@pytest.fixture
def address(server: postgres.Server, request: pytest.FixtureRequest) -> str:
    """A database of the test's own."""
    return database.full_address(server.database(request.node.name))


LRS = [0.002, 0.005, 0.008, 0.01]


def test_two_workers_take_different_trials_and_killing_one_loses_nothing(
    tmp_path: Path, address: str
) -> None:
    given = toy_sweep.definition("grid", lr={"values": LRS}, epochs={"value": 5},
                                 seconds={"value": 0.4})  # fmt: skip
    del given["early_terminate"]
    workers = [in_background(tmp_path, given, n_trials=4, address=address) for _ in range(2)]
    study = toy_sweep.open_study(tmp_path, sweep_of(given, "toy.yaml"), 4, address)

    def first_is_busy_beside_the_second() -> bool:
        running = {s.where: s.job.label for s in study.seen() if s.outcome == "running"}
        label = next((at for who, at in running.items() if str(who).endswith(f" {workers[0].pid}")),
                     None)  # fmt: skip
        epochs = tmp_path / "trials" / str(label) / "epochs.txt"
        # In the middle of its trial: with one validation behind it, and more to come.
        return len(set(running.values())) == 2 and epochs.exists() and (
            1 < len(begun(epochs.parent)) < 5
        )  # fmt: skip

    wait_for(first_is_busy_beside_the_second)
    os.kill(workers[0].pid, signal.SIGKILL)
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert "will be continued" in said[1]
    seen = study.seen()
    assert [s.outcome for s in seen] == ["done"] * 4
    assert [s.metric for s in seen] == [pytest.approx(value(v, 5)) for v in LRS]
    assert sorted(s.job.attempt for s in seen) == [1, 1, 1, 2]
    for s in seen:
        epochs = begun(tmp_path / "trials" / s.job.label)
        assert sorted(set(epochs)) == [1, 2, 3, 4, 5] and len(epochs) <= 6
    assert not processes_below(tmp_path)


def test_workers_that_begin_at_once_make_one_study(tmp_path: Path, address: str) -> None:
    given = toy_sweep.definition("random", seconds={"value": 0.05})
    workers = [
        in_background(tmp_path, given, n_trials=9, address=address, parallel=2) for _ in range(3)
    ]
    said = [worker.communicate(timeout=120)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], said
    study = toy_sweep.open_study(tmp_path, sweep_of(given, "toy.yaml"), 9, address)
    seen = study.seen()
    assert [s.job.number for s in seen] == list(range(9))
    assert {s.outcome for s in seen} <= {"done", "pruned"}
    started = [line for text in said for line in text.splitlines() if " started" in line]
    assert len(started) == 9


def test_database_that_goes_away_for_a_while_costs_nothing(
    tmp_path: Path, server: postgres.Server, address: str
) -> None:
    given = toy_sweep.definition("grid", lr={"values": [0.01, 0.02]}, epochs={"value": 8},
                                 seconds={"value": 0.4})  # fmt: skip
    del given["early_terminate"]
    worker = in_background(tmp_path, given, n_trials=2, address=address)
    wait_for(lambda: len(list(tmp_path.glob("trials/*/run.json"))) == 1)
    server.stop()
    time.sleep(4)  # the trial ends meanwhile
    server.start()
    said, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0, said
    assert "cannot be reached" in said and "is back" in said
    assert "not_needed" not in said
    study = toy_sweep.open_study(tmp_path, sweep_of(given, "toy.yaml"), 2, address)
    seen = study.seen()
    assert [(s.outcome, s.job.attempt) for s in seen] == [("done", 1)] * 2
    assert begun(tmp_path / "trials" / "trial_000") == list(range(1, 9))
