"""Shows in a terminal how a sweep goes: a live table, or lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fashion_mmdet.reports.texts import printed

from .processes import TrialProcess, shown_values
from .study import Seen
from .sweep_file import Sweep

_MOST_ROWS = 12


class TerminalView:
    """A table of the trials that run and the best so far, below what has happened.

    Where the output is no terminal only the lines appear, each with its time.

    Args:
        sweep: the file.
        title: of the table.
    """

    def __init__(self, sweep: Sweep, title: str) -> None:
        self._sweep = sweep
        self._metric = sweep.metric
        self._sign = 1.0 if sweep.goal == "maximize" else -1.0
        self._title = printed(title)
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self.is_live = self._console.is_terminal
        self._began_s = time.monotonic()

    def __enter__(self) -> TerminalView:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self._console.print(Text(f"{time.strftime('%H:%M:%S')} {printed(line)}"))

    def show(self, seen: Sequence[Seen], running: Sequence[TrialProcess]) -> None:
        """Renew the table."""
        if self._live is not None:
            self._live.update(self.table(seen, running))

    def table(self, seen: Sequence[Seen], running: Sequence[TrialProcess]) -> Table:
        """Return the table: what runs, then the best of the others."""
        best = self._best(seen)
        table = Table(title=Text(f"{self._title}: {self.progress(seen)}"), title_justify="left",
                      expand=False)  # fmt: skip
        for head in ("trial", "state", self._metric, "validations", "minutes", "values"):
            table.add_column(Text(printed(head)), no_wrap=head != "values")
        here = {one.claim.job.label: one for one in running}
        order = sorted(seen, key=lambda s: (s.outcome != "running", -self._value(s), s.job.number))
        shown = [s for s in order if s.outcome != "waiting"][:_MOST_ROWS]
        for one in shown:
            process = here.get(one.job.label)
            last = one.course[-1].value if one.course else None
            figure = one.metric if one.metric is not None else last
            minutes = (process.wall_s() if process else one.wall_s) / 60
            state = one.outcome + (" elsewhere" if one.outcome == "running" and not process else "")
            table.add_row(
                one.job.label, state, "" if figure is None else f"{figure:.4f}",
                str(len(one.course)), f"{minutes:.1f}" if minutes else "",
                Text(printed(shown_values(self._sweep, one.values))),
                style="bold" if one is best else None,
            )  # fmt: skip
        hidden = sum(s.outcome != "waiting" for s in seen) - len(shown)
        if hidden:
            table.caption = f"and {hidden} more"
        return table

    def progress(self, seen: Sequence[Seen]) -> str:
        """Return in a line how far it is."""
        count = {name: sum(s.outcome == name for s in seen)
                 for name in ("done", "pruned", "failed", "running", "waiting")}  # fmt: skip
        words = [f"{n} {name}" for name, n in count.items() if n]
        best = self._best(seen)
        if best is not None:
            words.append(f"best {best.metric:.4f} ({best.job.label})")
        return f"{len(seen)} trials: " + ", ".join(words)

    def _best(self, seen: Sequence[Seen]) -> Seen | None:
        done = [s for s in seen if s.outcome == "done" and s.metric is not None]
        return max(done, key=self._value, default=None)

    def _value(self, one: Seen) -> float:
        last = one.course[-1].value if one.course else None
        figure = one.metric if one.metric is not None else last
        return self._sign * figure if figure is not None else float("-inf")
