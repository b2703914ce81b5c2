"""A sweep of toy trials, also as a process: ``python toy_sweep.py FOLDER [ADDRESS] KEY=VALUE...``.

Importable by the tests and by the processes that they start and kill.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy

from fashion_mmdet.sweeps import database, sampling
from fashion_mmdet.sweeps.grid import grid_points
from fashion_mmdet.sweeps.processes import Launch
from fashion_mmdet.sweeps.record import trial_name
from fashion_mmdet.sweeps.study import Job, SharedStudy
from fashion_mmdet.sweeps.sweep_file import Sweep, sweep_of
from fashion_mmdet.sweeps.workers import Slots, Workers

TOY = Path(__file__).with_name("toy_trial.py")


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def without_waiting_for_the_disk(connection: Any, _: Any) -> None:
    """Leave SQLite's writes to the kernel: it keeps them when a process is killed.

    Only a power cut would lose them. A slow disk takes minutes for the thousands of small ones.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


def definition(method: str = "random", **changes: Any) -> dict[str, Any]:
    """Return the content of a sweep file over ``lr``; ``changes`` are parameters' definitions."""
    parameters = {"lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}, **changes}
    return {
        "program": "configs/toy.py",
        "command": ["${env}", "${interpreter}", str(TOY), "${program}", "--cfg-options",
                    "${args_no_hyphens}"],
        "method": method,
        "metric": {"name": "coco/segm_mAP", "goal": "maximize"},
        "parameters": parameters,
        "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2},
    }  # fmt: skip


class Lines:
    """A view that keeps what it was told."""

    is_live = True

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)

    def show(self, seen: Any, running: Any) -> None:
        pass


def open_study(
    folder: Path, sweep: Sweep, n_trials: int, address: str | None = None, seed: int = 0
) -> SharedStudy:
    """Open the study, as ``fashion sweep --resume`` does, and plan its trials."""
    study = SharedStudy(
        address or database.sqlite_address(folder / "study.db"), "toy",
        {"parameters": sweep.definition["parameters"]}, sweep.parameters, sweep.goal,
        sampling.sampler_of(sweep, seed), sampling.pruner_of(sweep.pruning), exists_ok=True,
    )  # fmt: skip
    jobs = [Job(n, 1, 0, trial_name(n), None) for n in range(n_trials)]
    study.plan(jobs, grid_points(sweep, n_trials) if sweep.method == "grid" else [])
    return study


def run(
    folder: Path, given: dict[str, Any], n_trials: int = 4, parallel: int = 1,
    address: str | None = None, seed: int = 0, max_failures: int = 0, retry_failed: bool = False,
) -> tuple[SharedStudy, list[str]]:  # fmt: skip
    """Run a sweep to its end; return its study and what was said."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep = sweep_of(given, "toy.yaml")
    study = open_study(folder, sweep, n_trials, address, seed)
    study.recover(retry_failed)
    view = Lines()
    launch = Launch(sweep, folder, "trials", "off", "toy", "2026", threads=1)
    slots = Slots((None,) * parallel)
    try:
        Workers(study, launch, slots, view, lambda: None, max_failures).run()
    finally:
        study.lines = view.lines  # type: ignore[attr-defined]
    return study, view.lines


def main(words: Sequence[str]) -> None:
    options = json.loads(words[0])
    options["folder"] = Path(options["folder"])
    run(**options)


if __name__ == "__main__":
    main(sys.argv[1:])
