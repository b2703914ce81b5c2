"""A trial's process: started on a leash, watched through its ``run.json``, stopped."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fashion_mmdet.core.errors import FashionError, did_you_mean
from fashion_mmdet.core.provenance import masked_text
from fashion_mmdet.core.run_record import FILE_NAME, RunRecord, read_run
from fashion_mmdet.reports.settings import short_keys
from fashion_mmdet.reports.texts import printed

from . import SEED, STORAGE, leash
from .record import Point
from .study import Claim, place
from .sweep_file import ENVVAR, Sweep, expand

LOG_NAME = "trial.log"
_LOCK_NAME = ".in_use"
_LAST_LINES = 15
_LEAST_SECRET = 4  # letters; shorter ones would be found in any line
_LEAST_FREE_BYTES = 20 * 2**20
# Of our own study, and of an agent of W&B's that this process may run under.
_NOT_PASSED_ON = (STORAGE, "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RUN_ID")


@dataclass(frozen=True)
class Launch:
    """How the trials of a sweep are started.

    Attributes:
        sweep: the file.
        folder: of the sweep; work dirs lie below it.
        kind: ``"trials"`` or ``"finals"``, the folder below it.
        wandb_mode: ``"off"``, ``"offline"`` or ``"online"``.
        began: when the study began, which tells two of one name apart.
        threads: of a trial, for its arithmetic on the CPU.
        keeps_pruned: whether checkpoints of pruned trials stay on the disk.
    """

    sweep: Sweep
    folder: Path
    kind: str
    wandb_mode: str
    name: str
    began: str
    threads: int
    keeps_pruned: bool = False

    def work_dir(self, label: str) -> Path:
        """Return the work dir of a trial."""
        return self.folder / self.kind / label

    def command(self, claim: Claim, environment: Mapping[str, str] = os.environ) -> list[str]:
        """Return the words that train the trial.

        Args:
            claim: the trial.
            environment: of which the command's ``${envvar:...}`` are taken.
        """
        words = expand(self.sweep.command, self.sweep.program, claim.values, environment)
        words += ["--work-dir", str(self.work_dir(claim.job.label))]
        if claim.job.attempt > 1:
            words.append("--resume")
        return [*words, "--cfg-options", f"wandb.mode={self.wandb_mode}"]

    def environment(self, claim: Claim, devices: str | None) -> dict[str, str]:
        """Return the environment of the trial.

        Args:
            claim: the trial.
            devices: ``CUDA_VISIBLE_DEVICES``; None leaves it as it is.
        """
        env = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}
        # `fashion`, `mim` and `torchrun` of this Python, whether or not it was activated.
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
        env["WANDB_RUN_GROUP"] = self.name
        env["WANDB_JOB_TYPE"] = self.kind.removesuffix("s")
        env["WANDB_NAME"] = claim.job.label
        env["WANDB_RUN_ID"] = run_id(self.name, self.began, self.kind, claim.job.label)
        env.setdefault("WANDB_RESUME", "allow")
        if self.sweep.project:
            env["WANDB_PROJECT"] = self.sweep.project
        if self.sweep.entity:
            env["WANDB_ENTITY"] = self.sweep.entity
        if devices is not None:
            env["CUDA_VISIBLE_DEVICES"] = devices
        env.setdefault("OMP_NUM_THREADS", str(self.threads))
        env["PYTHONUNBUFFERED"] = "1"
        return env


def run_id(*parts: str) -> str:
    """Return W&B's id of a trial's run: the same for all of its attempts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@dataclass
class TrialProcess:
    """A running trial.

    Attributes:
        claim: the trial.
        slot: where it runs.
        work_dir: its folder.
        record: what its ``run.json`` says; None before it has written one.
        reported: how many of its validations the study knows.
        stopping: why it was asked to stop: ``"pruned"``, ``"taken over"``, or a fault; None while
            it may run.
    """

    claim: Claim
    slot: int
    work_dir: Path
    started_s: float
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    record: RunRecord | None = None
    reported: int = 0
    stopping: str | None = None
    beaten_s: float = 0.0
    asked_s: float | None = None
    secrets: tuple[str, ...] = ()
    _stamp: tuple[int, int] = field(default=(0, 0))

    @classmethod
    def start(cls, launch: Launch, claim: Claim, slot: int, devices: str | None) -> TrialProcess:
        """Start the trial's command in its work dir's own log.

        Raises:
            OSError: where the folder or the log cannot be written.
        """
        work_dir = launch.work_dir(claim.job.label)
        work_dir.mkdir(parents=True, exist_ok=True)
        words = launch.command(claim)
        old = _stamp_of(work_dir / FILE_NAME)
        log = open(work_dir / LOG_NAME, "ab")  # noqa: SIM115
        try:
            # Without the environment: a variable that the command names may be a secret.
            shown = launch.command(claim, {})
            log.write(f"--- attempt {claim.job.attempt}: {shlex.join(shown)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                [sys.executable, leash.__file__, str(work_dir / _LOCK_NAME), place() or "", *words],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                env=launch.environment(claim, devices), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            log.close()
            raise
        one = cls(claim, slot, work_dir, time.monotonic(), process, log)
        one.secrets = secrets_of(launch.sweep)
        if claim.job.attempt == 1:
            one._stamp = old  # what another study has left here is not this trial's
        return one

    def look(self, metric: str) -> list[Point]:
        """Read ``run.json`` where it changed; return all validations of the trial.

        Raises:
            FashionError: where a validation lacks the metric.
        """
        try:
            stamp = _stamp_of(self.work_dir / FILE_NAME)
            if stamp != self._stamp:
                record = read_run(self.work_dir)
                self._stamp = stamp
                # One of an earlier attempt, until this one has written its own.
                self.record = record
        except (OSError, FashionError):
            return []
        return points_of(self.record, metric)

    def is_at_end(self) -> bool:
        """Return whether the last validation is the run's last, so that stopping saves nothing."""
        if self.record is None or not self.record.validations:
            return False
        loop, last = self.record.config.get("train_cfg") or {}, self.record.validations[-1]
        if "max_epochs" in loop:
            return last.epoch >= int(loop["max_epochs"])
        return last.iter >= int(loop.get("max_iters", last.iter + 1))

    def ask_to_stop(self, why: str) -> None:
        """Let the trial end in good order; :data:`.leash.PATIENCE_S` later it is killed."""
        if self.stopping is None:
            self.stopping = why
            self.asked_s = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal; None while it runs."""
        code = self.process.poll()
        late = self.asked_s is not None and (
            time.monotonic() - self.asked_s > leash.PATIENCE_S + 10
        )
        if code is None and late:
            self.kill()
        if code is not None and not self.log.closed:
            self.close()
        return code

    def wait(self, seconds: float) -> None:
        """Wait for its end, and kill it after so long."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        self.close()

    def kill(self) -> None:
        """End it, and what it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close what this process holds of it, and end what it has left behind."""
        self.kill()
        self.log.close()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def wall_s(self) -> float:
        """Return the seconds of all attempts, as far as they are known."""
        known = self.record.wall_s if self.record else 0.0
        return max(known, time.monotonic() - self.started_s)

    def last_lines(self) -> list[str]:
        """Return the end of its log, without what would steer a terminal, secrets masked."""
        lines = tail(self.work_dir / LOG_NAME)
        for secret in self.secrets:
            lines = [line.replace(secret, "***") for line in lines]
        return lines


def secrets_of(sweep: Sweep) -> tuple[str, ...]:
    """Return the values of the variables that the command names, which may be secrets."""
    names = {name for word in sweep.command for name in ENVVAR.findall(word)}
    values = (os.environ.get(name, "") for name in names)
    return tuple(value for value in values if len(value) >= _LEAST_SECRET)


def _stamp_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written anew; zeros where there is none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_ino


def remove_checkpoints(work_dir: Path) -> None:
    """Remove the checkpoints of a trial that nobody will go on with."""
    for pattern in ("epoch_*.pth", "iter_*.pth", "best_*.pth", "last_checkpoint"):
        for path in work_dir.glob(pattern):
            path.unlink(missing_ok=True)


def points_of(record: RunRecord | None, metric: str) -> list[Point]:
    """Return a run's validations as points of the sweep's metric.

    Raises:
        FashionError: where one lacks the metric.
    """
    out = []
    for n, validation in enumerate(record.validations if record is not None else ()):
        if metric not in validation.metrics:
            valid = validation.metrics
            raise FashionError(
                f"metric.name: a figure of the validation expected, got {metric!r}."
                + (did_you_mean(metric, valid) or f" There are: {', '.join(valid)}.")
            )
        value = validation.metrics[metric]
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        out.append(Point(n + 1, validation.epoch, float(value) if is_number else None))
    return out


def tail(path: Path) -> list[str]:
    """Return the last lines of a log."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 16_384))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [printed(line)[:400].rstrip() for line in text.replace("\r", "\n").split("\n")]
    return [masked_text(line) for line in lines if line.strip()][-_LAST_LINES:]


def reason_of(code: int, lines: Sequence[str]) -> str:
    """Return in a line why a trial failed, from its exit code and the end of its log."""
    text = next((line for line in reversed(lines) if line.startswith("error: ")), None)
    if text is None:
        # The last line of a traceback: a name with Error, or one of torch's out of memory.
        text = next((line for line in reversed(lines) if _is_error(line)), None)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = "; out of memory?" if -code == signal.SIGKILL else ""
        return f"ended by {name}{hint}" + (f": {text}" if text else "")
    if text is not None:
        return text.removeprefix("error: ")
    return f"exit code {code}" + (f": {lines[-1]}" if lines else "")


def _is_error(line: str) -> bool:
    head = line.split(":")[0]
    return bool(head) and " " not in head and head.endswith(("Error", "Exception", "Interrupt"))


def is_disk_full(folder: Path, lines: Sequence[str]) -> bool:
    """Return whether a trial failed because the disk is full, which is no fault of its values."""
    words = ("No space left on device", "Disk quota exceeded")
    # torch's shared memory has a limit of its own.
    if any(word in line and "/torch_" not in line for word in words for line in lines):
        return True
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return False


def shown_values(sweep: Sweep, values: Mapping[str, Any]) -> str:
    """Return what was drawn, in a line, keys as short as they are told apart."""
    searched = [one.key for one in sweep.searched() if one.key in values]
    names = short_keys([*searched, *(key for key in values if key == SEED)])
    return ", ".join(f"{name} {_short(values[key])}" for key, name in names.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
