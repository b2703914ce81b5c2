"""The study of a sweep: which trials there are, who runs them, and what they gave.

It lies in a database of Optuna's, which makes it one for all who open it. All trials are planned
when it begins, as waiting ones; workers take them one by one. Taking is a row's change from
waiting to running, which the database grants to one worker only.

A trial whose worker dies is continued, not repeated: its row is closed as failed, which again
one worker only can do, and a new one, the next *attempt* of the same trial number, waits in its
place with the same values and the same work dir.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.run_record import utc_now

from .database import open_storage, quietly
from .parameters import Parameter
from .record import Point
from .sampling import JOB, newest

#: times that a trial's worker may be lost before the trial is taken for what kills it
MOST_LOST = 3
_STUDY = "sweep"  # user attribute of the study
_WORKER, _STARTED, _END, _VALUES, _POINTS = "worker", "started", "end", "values", "points"


@dataclass(frozen=True)
class Job:
    """What a trial is, whoever runs it.

    Attributes:
        number: of the trial, from 0 on.
        attempt: from 1 on.
        lost: how many earlier attempts lost their worker without having come further.
        label: of its folder.
        values: config key -> value where they are given and not drawn; None where drawn.
        finalist, seed: of a run of the finals, as of :class:`.record.Final`; None of a trial.
        progress: validations that earlier attempts had come to.
    """

    number: int
    attempt: int
    lost: int
    label: str
    values: dict[str, Any] | None
    finalist: str | None = None
    seed: int | None = None
    progress: int = 0


@dataclass(frozen=True)
class Claim:
    """A trial that this process has taken.

    Attributes:
        job: what it is.
        values: config key -> value, all of them.
        trial: Optuna's.
    """

    job: Job
    values: dict[str, Any]
    trial: optuna.Trial


@dataclass(frozen=True)
class Seen:
    """A trial as the database has it: the newest attempt's state.

    Attributes:
        outcome: as of :class:`.record.Trial`.
        raw: parameter -> what was drawn.
        where: host and process of its worker; None while it waits.
    """

    job: Job
    outcome: Literal["waiting", "running", "done", "pruned", "failed"]
    values: dict[str, Any]
    raw: dict[str, Any]
    metric: float | None
    course: tuple[Point, ...]
    reason: str | None
    last_lines: tuple[str, ...]
    started_utc: str | None
    ended_utc: str | None
    wall_s: float
    where: str | None


class SharedStudy:
    """A study in a database; see the module.

    Args:
        address: of the database, with its driver.
        name: of the study.
        facts: what the sweep is; every worker must bring the same.
        parameters: what is drawn for a trial without values.
        direction: ``"maximize"`` or ``"minimize"``.
        sampler, pruner: Optuna's.
        exists_ok: whether there may be one already.

    Raises:
        FashionError: where the study is there and must not be, or is one of another sweep, or the
            database cannot be reached.
    """

    def __init__(
        self,
        address: str,
        name: str,
        facts: Mapping[str, Any],
        parameters: Sequence[Parameter],
        direction: Literal["maximize", "minimize"],
        sampler: Any,
        pruner: Any,
        exists_ok: bool = False,
    ) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self.storage = open_storage(address)
        with quietly():
            self.study = self._open(direction, sampler, pruner, exists_ok)
        self._require_same(dict(facts))
        self._worker = worker_identity()

    def _open(
        self,
        direction: Literal["maximize", "minimize"],
        sampler: Any,
        pruner: Any,
        exists_ok: bool,
    ) -> optuna.Study:
        options = {"study_name": self.name, "storage": self.storage, "sampler": sampler,
                   "pruner": pruner}  # fmt: skip
        names = optuna.get_all_study_names(self.storage)
        if self.name in names and not exists_ok:
            raise FashionError(
                f"study {self.name!r}: a new study expected, found one of this name. Go on with it "
                "(--resume), or give this one another (--name)."
            )
        found = optuna.create_study(direction=direction, load_if_exists=exists_ok, **options)
        if [d.name.lower() for d in found.directions] != [direction]:
            raise FashionError(
                f"study {self.name!r}: a study that is to {direction} one figure expected, got "
                "another. Give this one another name (--name)."
            )
        return found

    def _require_same(self, facts: dict[str, Any]) -> None:
        there = self.study.user_attrs.get(_STUDY)
        if there is None and self.study.get_trials(deepcopy=False):
            raise FashionError(
                f"study {self.name!r}: a study that fashion sweep began expected, got one of "
                "another program. Give this one another name (--name)."
            )
        if there is None:
            self.study.set_user_attr(_STUDY, facts)
            return
        for key, value in facts.items():
            if there.get(key) != value:
                raise FashionError(
                    f"study {self.name!r}: the sweep that it began with expected, got another "
                    f"{key}{_difference(there.get(key), value)}. Give this one another name "
                    "(--name), or bring the file back as it was."
                )

    def has_fellow(self, name: str) -> bool:
        """Return whether the database holds a study of that name."""
        return name in optuna.get_all_study_names(self.storage)

    def began(self, now_utc: str) -> str:
        """Return when the study began; it begins now where nobody has said so yet."""
        if "began" not in self.study.user_attrs:
            self.study.set_user_attr("began", now_utc)
        return str(self.study.user_attrs["began"])

    def plan(self, jobs: Sequence[Job], fixed: Sequence[Mapping[str, Any]] = ()) -> int:
        """Let the jobs wait whose numbers are not there yet; return how many those were.

        Args:
            jobs: attempts 1.
            fixed: for each job what Optuna is to draw, by parameter; empty where it is free.
        """
        there = {_job(t).number for t in self._all()}
        new = [n for n, job in enumerate(jobs) if job.number not in there]
        for n in new:
            self._enqueue(jobs[n], fixed[n] if fixed else {})
        return len(new)

    def claim(self) -> Claim | None:
        """Take the next trial that waits; None where none does."""
        every = self._all()
        waiting = [t for t in every if t.state == TrialState.WAITING]
        for frozen in sorted(waiting, key=lambda t: (_job(t).number, t.number)):
            if _is_twin(frozen, every):
                self._close(frozen, TrialState.FAIL)
                continue
            # First the sign of life: a worker that dies in between leaves nothing that nobody
            # would ever take over.
            self.storage.record_heartbeat(frozen._trial_id)
            if self.storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING):
                return self._claimed(frozen._trial_id)
        return None

    def _claimed(self, trial_id: int) -> Claim:
        self.storage.set_trial_user_attr(trial_id, _WORKER, self._worker)
        self.storage.set_trial_user_attr(trial_id, _STARTED, utc_now())
        with quietly():
            trial = optuna.Trial(self.study, trial_id)
            job = _job(self.storage.get_trial(trial_id))
            values = job.values
            if values is None:
                raw = {one.key: trial._suggest(one.key, one.drawn())
                       for one in self.parameters if not one.is_constant}  # fmt: skip
                values = {one.key: one.value(raw[one.key]) if one.key in raw else one.values[0]
                          for one in self.parameters}  # fmt: skip
        self.storage.set_trial_user_attr(trial_id, _VALUES, values)
        return Claim(job, values, trial)

    def beat(self, claim: Claim) -> bool:
        """Give a sign of life; return whether the trial is still this worker's."""
        self.storage.record_heartbeat(claim.trial._trial_id)
        frozen = self.storage.get_trial(claim.trial._trial_id)
        return frozen.state == TrialState.RUNNING and frozen.user_attrs.get(_WORKER) in (
            None,
            self._worker,
        )

    def report(self, claim: Claim, points: Sequence[Point], new: int, may_prune: bool) -> bool:
        """Keep a trial's validations; return whether it is to stop, being worse than others.

        Nothing is kept of a trial that another worker has taken over.

        Args:
            claim: the trial.
            points: all of its validations, in order.
            new: how many of them, from the last, are new.
            may_prune: whether stopping would save anything.
        """
        stop = False
        with contextlib.suppress(UpdateFinishedTrialError):
            stop = self._report(claim, points, new, may_prune)
        return stop

    def _report(self, claim: Claim, points: Sequence[Point], new: int, may_prune: bool) -> bool:
        self.storage.set_trial_user_attr(
            claim.trial._trial_id, _POINTS, [dataclasses.asdict(p) for p in points]
        )
        stop = False
        for point in points[len(points) - new :]:
            if point.value is None:
                continue  # neither better nor worse than others
            claim.trial.report(point.value, point.step)
            stop = (may_prune and claim.trial.should_prune()) or stop
        return stop

    def finish(
        self,
        claim: Claim,
        outcome: Literal["done", "pruned", "failed"],
        metric: float | None,
        reason: str | None,
        last_lines: Sequence[str],
        wall_s: float,
    ) -> bool:
        """Close a trial for good; return False where another worker had done so."""
        state = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED,
                 "failed": TrialState.FAIL}[outcome]  # fmt: skip
        end = {"outcome": outcome, "reason": reason, "last_lines": list(last_lines),
               "wall_s": wall_s, "utc": utc_now(), "metric": metric}  # fmt: skip
        trial_id = claim.trial._trial_id
        value = metric if outcome == "done" else None
        # Told already, perhaps by ourselves before the database went away.
        with quietly(), contextlib.suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, _END, end)
            self.study.tell(claim.trial, value, state=state, skip_if_finished=True)
        attrs = self.storage.get_trial(trial_id).user_attrs
        told = attrs.get(_END) or {}
        return bool(attrs.get(_WORKER) == self._worker and told.get("outcome") == outcome)

    def release(self, claim: Claim, wall_s: float = 0.0) -> None:
        """Give a trial back, to be continued."""
        trial_id = claim.trial._trial_id
        try:
            self.storage.set_trial_user_attr(
                trial_id, _END, {"outcome": "interrupted", "wall_s": wall_s}
            )
        except UpdateFinishedTrialError:
            return
        if self._close(self.storage.get_trial(trial_id), TrialState.FAIL):
            self._continue()

    def recover(self, retry_failed: bool = False) -> list[Job]:
        """Let trials wait again whose workers are gone; return their new attempts.

        Args:
            retry_failed: also those that failed by themselves.
        """
        with quietly():
            optuna.storages.fail_stale_trials(self.study)
        for frozen in self._all():
            if frozen.state == TrialState.RUNNING and _is_dead(frozen.user_attrs.get(_WORKER)):
                self._close(frozen, TrialState.FAIL)
        return self._continue(retry_failed)

    def _continue(self, retry_failed: bool = False) -> list[Job]:
        """Plan the next attempt of every trial whose newest one is closed without an end."""
        out = []
        for frozen in newest(self._all()).values():
            end = frozen.user_attrs.get(_END)
            outcome = end["outcome"] if end else "lost"
            if frozen.state != TrialState.FAIL or (outcome == "failed" and not retry_failed):
                continue
            job = _job(frozen)
            progress = len(frozen.user_attrs.get(_POINTS, ()))
            lost = job.lost + (outcome == "lost")
            if outcome == "failed" or progress > job.progress:
                lost = 0  # what comes further does not kill its worker
            if lost >= MOST_LOST and not retry_failed:
                continue  # it stays failed
            job = dataclasses.replace(job, attempt=job.attempt + 1, lost=lost % MOST_LOST,
                                      progress=max(progress, job.progress))  # fmt: skip
            self._enqueue(job, frozen.params)
            out.append(job)
        return out

    def seen(self) -> list[Seen]:
        """Return every trial by its number."""
        found = newest(self._all())
        return [_seen(found[number]) for number in sorted(found)]

    def counts(self) -> tuple[int, int]:
        """Return how many trials wait and how many run."""
        states = [t.state for t in newest(self._all()).values()]
        return states.count(TrialState.WAITING), states.count(TrialState.RUNNING)

    def _all(self) -> list[FrozenTrial]:
        return [t for t in self.study.get_trials(deepcopy=False) if JOB in t.user_attrs]

    def _enqueue(self, job: Job, fixed: Mapping[str, Any]) -> None:
        with quietly():
            self.study.enqueue_trial(dict(fixed), user_attrs={JOB: dataclasses.asdict(job)})

    def _close(self, frozen: FrozenTrial, state: TrialState) -> bool:
        """Close a trial; return False where another worker did."""
        try:
            return self.storage.set_trial_state_values(frozen._trial_id, state)
        except UpdateFinishedTrialError:
            return False


def _is_twin(trial: FrozenTrial, every: Sequence[FrozenTrial]) -> bool:
    """Return whether an earlier row plans the same attempt: two workers saw the same gap."""
    job = _job(trial)
    return any(
        t.number < trial.number and (_job(t).number, _job(t).attempt) == (job.number, job.attempt)
        for t in every
    )


def _job(trial: FrozenTrial) -> Job:
    return Job(**trial.user_attrs[JOB])


def _seen(trial: FrozenTrial) -> Seen:
    attrs = trial.user_attrs
    end = attrs.get(_END) or {}
    job = _job(trial)
    outcome: Any = {
        TrialState.WAITING: "waiting", TrialState.RUNNING: "running", TrialState.COMPLETE: "done",
        TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
    }[trial.state]  # fmt: skip
    reason = end.get("reason")
    if outcome == "failed" and end.get("outcome") != "failed":
        if job.lost + 1 >= MOST_LOST and len(attrs.get(_POINTS, ())) <= job.progress:
            reason = f"its worker was lost {MOST_LOST} times; --retry-failed tries again"
        else:
            outcome, reason = "waiting", None  # its next attempt is about to be planned
    worker = attrs.get(_WORKER)
    return Seen(
        job=job,
        outcome=outcome,
        values=attrs.get(_VALUES) or job.values or {},
        raw=dict(trial.params),
        metric=end.get("metric"),
        course=tuple(Point(**p) for p in attrs.get(_POINTS, ())),
        reason=reason,
        last_lines=tuple(end.get("last_lines") or ()),
        started_utc=attrs.get(_STARTED),
        ended_utc=end.get("utc"),
        wall_s=float(end.get("wall_s") or 0.0),
        where=f"{worker['host']}, process {worker['pid']}" if worker else None,
    )


def worker_identity() -> dict[str, Any]:
    """Return what tells this process from others, also on other machines and in containers."""
    return {"host": socket.gethostname(), "place": place(), "pid": os.getpid(),
            "born": _born(os.getpid())}  # fmt: skip


def place() -> str | None:
    """Return what process numbers are unique in: this boot of this machine, this container.

    None where that is not known.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None  # not Linux


def _born(pid: int) -> str | None:
    """Return when a process began, in ticks since the boot; None where that is not known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _is_dead(worker: Mapping[str, Any] | None) -> bool:
    """Return whether a worker of this machine is gone; False where that cannot be known."""
    if worker is None or worker.get("place") is None or worker["place"] != place():
        return False
    return _born(int(worker["pid"])) != worker["born"]


def _difference(there: Any, given: Any) -> str:
    if isinstance(there, (str, int, float)) and isinstance(given, (str, int, float)):
        return f" ({given!r:.80} instead of {there!r:.80})"
    if isinstance(there, dict) and isinstance(given, dict):
        keys = [k for k in {**there, **given} if there.get(k) != given.get(k)]
        return f" (in {', '.join(map(str, keys[:4]))})"
    return ""
