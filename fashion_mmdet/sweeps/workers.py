"""Runs the trials of a study, some at once, until none waits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.run_record import read_run

from . import leash
from .database import BEAT_S, GRACE_S, UNREACHABLE, first_line
from .processes import (
    Launch,
    TrialProcess,
    is_disk_full,
    points_of,
    reason_of,
    remove_checkpoints,
    shown_values,
)
from .study import Claim, Seen, SharedStudy

_TICK_S = 0.5
_RECOVER_S = 10.0
#: seconds that a database may be away before the sweep stops; trials go on meanwhile
OUTAGE_S = 600.0
#: failures one after another that stop a sweep: what fails so often is not the values' fault
MOST_FAILURES = 3


class View(Protocol):
    """What shows the user how it goes.

    Attributes:
        is_live: whether :meth:`show` shows anything.
    """

    is_live: bool

    def say(self, line: str) -> None:
        """Tell something that happened."""

    def show(self, seen: Sequence[Seen], running: Sequence[TrialProcess]) -> None:
        """Show the state of all trials."""


@dataclass(frozen=True)
class Slots:
    """Where trials run.

    Attributes:
        devices: for each slot its ``CUDA_VISIBLE_DEVICES``; None leaves the variable as it is.
    """

    devices: tuple[str | None, ...]


class Workers:
    """This process's part in a study.

    Args:
        study: which trials there are.
        launch: how to start one.
        slots: how many at once, and on which devices.
        view: what to tell the user.
        changed: called after anything changed that a record should hold.
        most_failures: stop after so many failures one after another; 0: never.
        prunes: whether trials may be stopped early.
    """

    def __init__(
        self, study: SharedStudy, launch: Launch, slots: Slots, view: View,
        changed: Callable[[], Any], most_failures: int = MOST_FAILURES, prunes: bool = True,
    ) -> None:  # fmt: skip
        self.study = study
        self.launch = launch
        self.slots = slots
        self.view = view
        self.running: list[TrialProcess] = []
        self._changed = changed
        self._most_failures = most_failures
        self._prunes = prunes
        self._failures = 0
        self._recovered_s = -_RECOVER_S
        self._away_since_s: float | None = None
        self._waited = False

    def run(self) -> None:
        """Run trials until none waits and none runs, here or elsewhere.

        Raises:
            FashionError: after failures one after another, for a full disk, and where the
                database stays away. What ran then is given back, to be continued by --resume.
        """
        try:
            while self._tick():
                time.sleep(_TICK_S)
        except BaseException:
            self._give_back()
            raise

    def _tick(self) -> bool:
        """Do what is to be done now; return whether there is more to come."""
        try:
            for one in list(self.running):
                self._look_after(one)
            more = self._fill()
        except UNREACHABLE as error:
            now = time.monotonic()
            if self._away_since_s is None:
                self._away_since_s = now
                self._say(
                    f"the study's database cannot be reached: {first_line(error)}. Trials go on; "
                    f"trying again for {OUTAGE_S / 60:.0f} minutes."
                )
            if now - self._away_since_s > OUTAGE_S:
                raise FashionError(
                    f"study {self.study.name!r}: its database expected to answer, got "
                    f"{first_line(error)} Go on with --resume when it is back."
                ) from None
            time.sleep(2.0)
            return True
        if self._away_since_s is not None:
            self._away_since_s = None
            # Nobody could give a sign of life; let all of them do so first.
            self._recovered_s = time.monotonic() + GRACE_S - _RECOVER_S
            self._say("the study's database is back.")
        return more

    def _look_after(self, one: TrialProcess) -> None:
        code = one.poll()  # before its record is read: nothing is written after its end
        if time.monotonic() - one.beaten_s > BEAT_S:
            if not self.study.beat(one.claim):
                one.ask_to_stop("taken over")
                one.stopping = "taken over"  # whatever it was stopping for
            one.beaten_s = time.monotonic()
        try:
            points = one.look(self.launch.sweep.metric)
        except FashionError as error:
            one.ask_to_stop(f"fault: {error}")
            points = []
        one.reported = min(one.reported, len(points))  # a resumed run may have gone back a little
        new = len(points) - one.reported
        if new > 0 and one.stopping != "taken over":
            may_prune = self._prunes and not one.is_at_end() and code is None
            if self.study.report(one.claim, points, new, may_prune):
                one.ask_to_stop("pruned")
            one.reported = len(points)
            self._show()
        if code is not None:
            self._settle(one, code)
            self.running.remove(one)
            self._changed()
            self._show()

    def _settle(self, one: TrialProcess, code: int) -> None:
        """Tell the study how a trial that has ended came out."""
        label, lines = one.claim.job.label, one.last_lines()
        if one.stopping == "taken over":
            self._say(f"{label}: another worker has taken it over.")
            return
        if one.stopping is not None and one.stopping.startswith("fault: "):
            self._end(one, "failed", None, one.stopping.removeprefix("fault: "), lines)
            return
        if one.record is not None and one.record.status == "finished" and code == 0:
            self._end_whole(one)
            return
        if one.stopping == "pruned":
            last = points_of(one.record, self.launch.sweep.metric)[-1]
            reason = f"others were better after {last.step} validations"
            reason = reason.replace("1 validations", "1 validation")
            if self._end(one, "pruned", last.value, reason) and not self.launch.keeps_pruned:
                remove_checkpoints(one.work_dir)
            return
        if code == 0:
            self._end(one, "failed", None, "the command ended well, but left no finished run in "
                      f"{one.work_dir}. Does it train, and take --work-dir?", lines)  # fmt: skip
            return
        if code == leash.LOCKED:
            # A worker of another machine, suspended or cut off, still runs it there.
            self.study.release(one.claim, one.wall_s())
            self._say(f"{label}: its folder is in use by another process; it waits.")
            return
        if is_disk_full(one.work_dir, lines):
            self.study.release(one.claim, one.wall_s())
            raise FashionError(
                f"{one.work_dir}: room on the disk expected, found none; {label} will be continued."
                " Make room, and go on with --resume."
            )
        self._end(one, "failed", None, reason_of(code, lines), lines)

    def _end_whole(self, one: TrialProcess) -> None:
        points = points_of(one.record, self.launch.sweep.metric)
        if not points:
            self._end(one, "failed", None, "no validation: the config's val_cfg, val_interval and "
                      "max_epochs must make one", one.last_lines())  # fmt: skip
        elif points[-1].value is None:
            self._end(one, "failed", None, f"{self.launch.sweep.metric} is not a number at the "
                      "last validation", one.last_lines())  # fmt: skip
        else:
            self._end(one, "done", points[-1].value, None)

    def _end(
        self, one: TrialProcess, outcome: Any, metric: float | None, reason: str | None,
        lines: Sequence[str] = (),
    ) -> bool:  # fmt: skip
        if not self.study.finish(one.claim, outcome, metric, reason, lines, one.wall_s()):
            self._say(f"{one.claim.job.label}: another worker has taken it over.")
            return False
        result = "" if metric is None else f" at {metric:.4f}"
        why = f": {reason}" if reason else ""
        values = shown_values(self.launch.sweep, one.claim.values)
        self._say(
            f"{one.claim.job.label} {outcome}{result}{why} ({values}; {one.wall_s() / 60:.1f} min)"
        )
        self._failures = self._failures + 1 if outcome == "failed" else 0
        if self._most_failures and self._failures >= self._most_failures:
            self.running.remove(one)
            raise FashionError(
                f"sweep {self.study.name!r}: trials that run expected, got {self._failures} "
                f"failures one after another, the last: {reason}. The log is "
                f"{one.work_dir / 'trial.log'}. Go on with --resume, after a fault of the set-up "
                "also with --retry-failed; --max-failures says how many are borne."
            )
        return True

    def _fill(self) -> bool:
        """Start trials where there is room; return whether there is anything to wait for."""
        free = [
            n for n in range(len(self.slots.devices)) if n not in {r.slot for r in self.running}
        ]
        if free and time.monotonic() - self._recovered_s > _RECOVER_S:
            for one in self.running:
                self.study.beat(one.claim)  # after a sleep of this machine its own look dead
            for job in self.study.recover():
                self._say(f"{job.label}: its worker is gone; it will be continued.")
            self._recovered_s = time.monotonic()
        for slot in free:
            claim = self.study.claim()
            if claim is None:
                break
            self._start(claim, slot)
        if self.running:
            self._waited = False
            return True
        waiting, running = self.study.counts()
        if running and not self._waited:
            self._waited = True
            self._say(f"nothing is left to start; {running} trial(s) run in other processes.")
        return bool(waiting or running)

    def _start(self, claim: Claim, slot: int) -> None:
        label = claim.job.label
        work_dir = self.launch.work_dir(label)
        if claim.job.attempt > 1 and self._was_finished(claim):
            self._changed()
            return
        try:
            one = TrialProcess.start(self.launch, claim, slot, self.slots.devices[slot])
        except OSError as error:
            self.study.release(claim)
            raise FashionError(
                f"{work_dir}: a folder that can be written expected, got {error.strerror}. Mend "
                "that, and go on with --resume."
            ) from None
        except BaseException:
            self.study.release(claim)
            raise
        one.beaten_s = time.monotonic()
        self.running.append(one)
        again = f", attempt {claim.job.attempt}" if claim.job.attempt > 1 else ""
        self._say(f"{label} started{again} ({shown_values(self.launch.sweep, claim.values)})")
        self._changed()
        self._show()

    def _was_finished(self, claim: Claim) -> bool:
        """Settle a trial whose run had ended when its worker was lost; return whether it had."""
        work_dir = self.launch.work_dir(claim.job.label)
        try:
            record = read_run(work_dir)
            points = points_of(record, self.launch.sweep.metric)
        except (OSError, FashionError):
            return False
        if record.status != "finished" or not points or points[-1].value is None:
            return False
        self.study.report(claim, points, len(points), may_prune=False)
        self.study.finish(claim, "done", points[-1].value, None, (), record.wall_s)
        self._say(f"{claim.job.label} done at {points[-1].value:.4f}: it had ended already")
        return True

    def _give_back(self) -> None:
        """Stop all that runs and let it wait to be continued."""
        for one in self.running:
            one.ask_to_stop("interrupted")
        if self.running:
            self._say(f"stopping {len(self.running)} trial(s), which --resume will continue.")
        try:
            for one in self.running:
                one.wait(leash.PATIENCE_S + 5)
        except BaseException:  # a second Ctrl-C
            for one in self.running:
                one.kill()
        for one in self.running:
            try:
                points = one.look(self.launch.sweep.metric)
                done = one.record is not None and one.record.status == "finished"
                if done and points and points[-1].value is not None:
                    self.study.report(one.claim, points, len(points) - one.reported, False)
                    self.study.finish(one.claim, "done", points[-1].value, None, (), one.wall_s())
                else:
                    self.study.release(one.claim, one.wall_s())
            except (*UNREACHABLE, FashionError) as error:
                # It is found to be without a worker when somebody looks next.
                self._say(f"{one.claim.job.label}: not given back: {first_line(error)}")
        self.running.clear()
        self._changed()

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to stop
            self.view.say(line)

    def _show(self) -> None:
        if self.view.is_live:
            with contextlib.suppress(OSError):
                self.view.show(self.study.seen(), self.running)
