"""``fashion sweep FILE``: search hyperparameters by a W&B sweep file, without an account."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_mmdet.commands.argument_types import positive, whole
from fashion_mmdet.core.errors import ConfigError, FashionError
from fashion_mmdet.core.files import require_writable
from fashion_mmdet.core.run_record import utc_now
from fashion_mmdet.sweeps import SEED, STORAGE


def main(argv: Sequence[str]) -> int:
    """Run the trials, then the finals where asked for; leaves the report in the sweep's folder."""
    args = parser().parse_args(argv)
    from fashion_mmdet.commands.sweep_check import checked_config
    from fashion_mmdet.sweeps.sweep_file import read_sweep

    sweep = read_sweep(args.file)
    n_trials = _n_trials(sweep, args.trials)
    cfg = checked_config(sweep)
    if args.finals and SEED in (one.key for one in sweep.searched()):
        raise ConfigError(
            f"{sweep.file}: parameters {SEED}: no search over seeds expected with --finals, which "
            "train over seeds of their own. Take it out."
        )
    if args.dry_run:
        return _dry_run(sweep, n_trials, args.seed)
    from fashion_mmdet.sweeps.database import UNREACHABLE, first_line

    try:
        return _Sweeping(args, sweep, n_trials, cfg).run()
    except UNREACHABLE as error:
        raise FashionError(
            f"the study of {sweep.name}: a database that answers expected, got "
            f"{first_line(error)}. --resume goes on when it does."
        ) from None


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    parser = argparse.ArgumentParser(
        prog="fashion sweep",
        description="Search hyperparameters as a W&B sweep file says, on this machine or, with "
        "--storage, on several. Each trial is a process with a work dir, a log and a W&B run of "
        "its own. Ctrl-C stops; --resume goes on, also after a crash.",
        epilog="Example: fashion sweep configs/sweeps/ccp_cpu.yaml --finals 2",
    )
    parser.add_argument("file", help="a file of configs/sweeps/")
    parser.add_argument("--trials", type=positive, metavar="N",
                        help="how many (run_cap of the file; a grid: all)")  # fmt: skip
    parser.add_argument("--finals", type=positive, metavar="N",
                        help="train the N best, and the config as it is, anew over --seeds, and "
                        "compare them")  # fmt: skip
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="of the finals (3)")
    parser.add_argument("--work-dir", metavar="DIR", help="of the sweep (work_dirs/<its name>)")
    parser.add_argument("--name", help="of the study (the file's name)")
    parser.add_argument("--resume", action="store_true",
                        help="go on with the study, or join it; begins it where there is none")
    parser.add_argument("--retry-failed", action="store_true",
                        help="let failed trials run again (with --resume)")  # fmt: skip
    parser.add_argument("--storage", metavar="ADDRESS",
                        help="database of the study, as postgresql://user@host/database, to share "
                        f"it (a file in the work dir; {STORAGE} in the environment)")  # fmt: skip
    parser.add_argument("--parallel", type=positive, metavar="N",
                        help="trials at once (one; with GPUs as many as they allow)")  # fmt: skip
    parser.add_argument("--gpus", metavar="IDS", help="GPUs to use, as 0,1 (all)")
    parser.add_argument("--gpus-per-trial", type=positive, default=1, metavar="N",
                        help="of a trial whose command starts so many processes (1)")  # fmt: skip
    parser.add_argument("--max-failures", type=whole, default=3, metavar="N",
                        help="stop after so many failures one after another (3; 0: never)")
    parser.add_argument("--keep-pruned", action="store_true",
                        help="keep the checkpoints of pruned trials, which are removed")
    parser.add_argument("--best", metavar="FILE.py",
                        help="where to write the best trial as a config (best.py in the work dir)")
    parser.add_argument("--keep", metavar="DIR",
                        help="write what makes the tables again, small enough for a repository")
    parser.add_argument("--seed", type=whole, default=0, help="of the draws (0)")
    parser.add_argument("--dry-run", action="store_true",
                        help="check the file against its config, show the first commands")
    return parser


class _Sweeping:
    """One call of ``fashion sweep`` after its arguments are checked."""

    def __init__(self, args: argparse.Namespace, sweep: Any, n_trials: int, cfg: Any) -> None:
        from fashion_mmdet.commands.sweep_check import fingerprint
        from fashion_mmdet.sweeps import database, keeping, sampling
        from fashion_mmdet.sweeps.study import SharedStudy

        self.args, self.sweep, self.cfg, self.n_trials = args, sweep, cfg, n_trials
        self.name = args.name or sweep.name
        _require_name(self.name)
        self.folder = Path(args.work_dir or Path("work_dirs") / self.name)
        self.slots = _slots(args)
        self.best_file = Path(args.best) if args.best else self.folder / "best.py"
        if self.best_file.suffix != ".py":
            raise FashionError(f"--best: a name that ends in .py expected, got {args.best!r}.")
        if args.best and self.best_file.exists() and not _is_leaf_of(self.best_file, self.name):
            raise FashionError(
                f"--best: a new file, or the one of this sweep, expected, found {args.best}."
            )
        require_folder_of(self.folder, self.name)
        address = args.storage or os.environ.get(STORAGE)
        self.address = (
            database.full_address(address)
            if address
            else database.sqlite_address(self.folder / "study.db")
        )
        made = [self.folder / name for name in ("study.db", "trials")]
        if not args.resume and any(path.exists() for path in made):
            raise FashionError(
                f"{self.folder}: the folder of a new sweep expected, found one of a sweep. Go on "
                "with it (--resume), or name another (--work-dir, or --name)."
            )
        if args.retry_failed and not args.resume:
            raise FashionError("--retry-failed: a sweep to go on with expected; add --resume.")
        require_writable(self.folder / "study.db")
        require_writable(self.best_file)
        if args.keep:
            keeping.require_own(args.keep, self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "method": sweep.method, "metric": sweep.metric, "goal": sweep.goal,
            "program": sweep.program, "seed": args.seed,
            "parameters": sweep.definition["parameters"], "command": list(sweep.command),
            "early_terminate": sweep.definition.get("early_terminate"),
            "config": fingerprint(cfg),
        }  # fmt: skip
        self.trials = SharedStudy(
            self.address, self.name, facts, sweep.parameters, sweep.goal,
            sampling.sampler_of(sweep, args.seed), sampling.pruner_of(sweep.pruning),
            exists_ok=args.resume,
        )  # fmt: skip
        self.finals: Any = None
        if not self.trials.seen() and (self.folder / "trials").exists():
            raise FashionError(
                f"{self.folder}: the folder of a new sweep expected, found trials of another "
                "study. Name another (--work-dir, or --name), or move them away."
            )

    def run(self) -> int:
        """Do it all; the exit code."""
        from fashion_mmdet.sweeps.database import is_file, shown_address

        self.began = self.trials.began(utc_now())
        if self.trials.has_fellow(self._finals_name):
            self.finals = self._open_finals()
        jobs, fixed = _jobs(self.sweep, self.n_trials)
        self.trials.plan(jobs, fixed)
        if (planned := len(self.trials.seen())) > self.n_trials:
            _say(f"note: {planned} trials were planned already, more than {self.n_trials}.")
        for job in self.trials.recover(self.args.retry_failed):
            _say(f"{job.label}: will be continued.")
        place = "" if is_file(self.address) else f" in {shown_address(self.address)}"
        _say(f"sweep {self.name}{place}: {self._plan_said()}")
        _say(f"work dirs, logs and the report are in {self.folder}.")
        try:
            self._work(self.trials, "trials")
            if self.args.finals:
                self._run_finals()
        except BaseException:
            with contextlib.suppress(FashionError, OSError):  # what stopped it is to be told
                self._report()
            raise
        self._report()
        whole = self.finals if self.args.finals else self.trials
        return 0 if whole and any(one.outcome == "done" for one in whole.seen()) else 1

    def _plan_said(self) -> str:
        sweep, slots = self.sweep, len(self.slots.devices)
        words = [f"{len(self.trials.seen())} trials by {sweep.method} of {sweep.program}"]
        if sweep.pruning:
            p = sweep.pruning
            rungs = ", ".join(str(p.first * p.eta**n) for n in range(3))
            words.append(f"after {rungs}, ... validations one of {p.eta} goes on")
        words.append(f"{slots} at once")
        words.append(f"W&B {self._wandb_mode()}")
        return "; ".join(words) + "."

    def _wandb_mode(self) -> str:
        asked = os.environ.get("FASHION_WANDB")
        return asked or ("online" if _is_logged_in() else "offline")

    def _work(self, study: Any, kind: str) -> None:
        from fashion_mmdet.sweeps.processes import Launch
        from fashion_mmdet.sweeps.view import TerminalView
        from fashion_mmdet.sweeps.workers import Workers

        n_slots = len(self.slots.devices)
        launch = Launch(self.sweep, self.folder, kind, self._wandb_mode(), self.name, self.began,
                        threads=max(1, (os.cpu_count() or 1) // n_slots),
                        keeps_pruned=self.args.keep_pruned)  # fmt: skip
        with TerminalView(self.sweep, f"{self.name}, {kind}") as view:
            Workers(study, launch, self.slots, view, self._write, self.args.max_failures,
                    prunes=kind == "trials").run()  # fmt: skip
            _say(view.progress(study.seen()))

    def _run_finals(self) -> None:
        from fashion_mmdet.sweeps import finals

        record = self._record()
        best = record.best()
        if best is None:
            _say("no finals: no trial ran to its end.")
            return
        if best.metric == 0 and record.is_maximized:
            _say(f"no finals: {self.sweep.metric} of every trial is 0. Train longer.")
            return
        chosen = finals.finalists_of(record, self.args.finals)
        own = self.cfg.get("randomness", {}).get("seed")
        seeds = finals.seeds_after([own, *finals.seeds_of(record)], self.args.seeds)
        self.finals = self.finals or self._open_finals()
        there = [seen.job for seen in self.finals.seen()]
        self.finals.plan(finals.final_jobs(self.sweep, record, chosen, seeds, there))
        self.finals.recover(self.args.retry_failed)
        _say(f"finals: {', '.join(chosen)}, each over {len(seeds)} seed(s).")
        self._work(self.finals, "finals")

    @property
    def _finals_name(self) -> str:
        return f"{self.name} finals"

    def _open_finals(self) -> Any:
        from fashion_mmdet.sweeps.sampling import pruner_of, sampler_of
        from fashion_mmdet.sweeps.study import SharedStudy

        return SharedStudy(
            self.address, self._finals_name, {"finals_of": self.name}, (), self.sweep.goal,
            sampler_of(self.sweep, self.args.seed), pruner_of(None), exists_ok=True,
        )  # fmt: skip

    def _record(self) -> Any:
        from fashion_mmdet.sweeps.recording import record_of

        finals = self.finals.seen() if self.finals is not None else []
        return record_of(self.sweep, self.name, self.args.seed, self.began, self.trials.seen(),
                         finals)  # fmt: skip

    def _write(self) -> Any:
        """Renew ``sweep.json``; a database or a disk that is away is no reason to stop."""
        from fashion_mmdet.sweeps.database import UNREACHABLE
        from fashion_mmdet.sweeps.record import write_record

        try:
            record = self._record()
            write_record(self.folder, record)
        except (*UNREACHABLE, OSError) as error:
            _say(f"note: sweep.json was not renewed: {type(error).__name__}.")
            return None
        return record

    def _report(self) -> None:
        from fashion_mmdet.core.files import write_text
        from fashion_mmdet.sweeps import decision, finalists, keeping, leaf, report

        record = self._write()
        if record is None:
            return
        compared = comparison, _ = finalists.compare_finals(self.folder, record)
        chosen = decision.chosen(record, comparison)
        written = []
        if (best := chosen or record.best()) is not None:
            text = leaf.leaf_text(record, best, self.cfg.to_dict(), self.best_file)
            write_text(self.best_file, text)
            written = [self.best_file]
        leaf_file = self.best_file if chosen is not None else None
        written = [*report.write_report(self.folder, record, leaf_file, compared), *written]
        if self.args.keep:
            written += keeping.keep_sweep(self.folder, record, self.args.keep)
        for path in written:
            _say(path)
        _say(decision.decision(record, comparison))


def _is_leaf_of(path: Path, name: str) -> bool:
    """Return whether a file is what an earlier call wrote for the sweep."""
    try:
        return f" of the sweep {name}" in path.read_text(encoding="utf-8").split("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False


def require_folder_of(folder: Path, name: str) -> None:
    """Raise :class:`FashionError` where ``folder`` is that of another sweep."""
    from fashion_mmdet.sweeps.record import FILE_NAME, read_record

    if (folder / FILE_NAME).is_file() and (there := read_record(folder).name) != name:
        raise FashionError(
            f"{folder}: the folder of sweep {name!r} expected, got that of {there!r}. Name another "
            "(--work-dir)."
        )


def _n_trials(sweep: Any, asked: int | None) -> int:
    from fashion_mmdet.sweeps.grid import grid_size

    count = asked or sweep.run_cap
    if sweep.method == "grid":
        size = grid_size(sweep)
        return min(size, count or size)
    if count is None:
        raise ConfigError(
            f"{sweep.file}: how many trials expected (run_cap in the file, or --trials), got none."
        )
    return count


def _jobs(sweep: Any, n_trials: int) -> tuple[list[Any], list[dict[str, Any]]]:
    from fashion_mmdet.sweeps.grid import grid_points
    from fashion_mmdet.sweeps.record import trial_name
    from fashion_mmdet.sweeps.study import Job

    jobs = [Job(n, 1, 0, trial_name(n), None) for n in range(n_trials)]
    return jobs, grid_points(sweep, n_trials) if sweep.method == "grid" else []


def _slots(args: argparse.Namespace) -> Any:
    """Share the GPUs out to trials; without one the CPU is shared."""
    import torch

    from fashion_mmdet.sweeps.workers import Slots

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if args.gpus is not None:
        ids = [word.strip() for word in args.gpus.split(",") if word.strip()]
    elif visible is not None:
        ids = [word.strip() for word in visible.split(",") if word.strip()]
    else:
        ids = [str(n) for n in range(torch.cuda.device_count())]
    n_there = torch.cuda.device_count() if visible is None else len(ids)
    strange = [one for one in ids if one.isdigit() and int(one) >= n_there and visible is None]
    if args.gpus and (not torch.cuda.is_available() or strange):
        raise FashionError(
            f"--gpus: ids of the {torch.cuda.device_count()} GPUs that torch can use expected, got "
            f"{args.gpus!r}."
        )
    if not torch.cuda.is_available():
        if args.gpus_per_trial > 1:
            raise FashionError("--gpus-per-trial: a machine with GPUs expected, found none.")
        return Slots((None,) * (args.parallel or 1))
    per = args.gpus_per_trial
    groups = [",".join(ids[n : n + per]) for n in range(0, len(ids) - per + 1, per)]
    if not groups:
        raise FashionError(f"--gpus-per-trial: at most {len(ids)} expected, got {per}.")
    n_slots = args.parallel or len(groups)
    return Slots(tuple(groups[n % len(groups)] for n in range(n_slots)))


def _dry_run(sweep: Any, n_trials: int, seed: int) -> int:
    """Show what would run."""
    import shlex

    from fashion_mmdet.sweeps.preview import first_values
    from fashion_mmdet.sweeps.sweep_file import expand

    _say(f"{sweep.file}: {n_trials} trials by {sweep.method}; the first would be, with a work dir "
         "and wandb.mode set for each:")  # fmt: skip
    for values in first_values(sweep, min(3, n_trials), seed):
        # Variables stay names: one may be a secret.
        _say(shlex.join(expand(sweep.command, sweep.program, values, {})))
    return 0


def _is_logged_in() -> bool:
    """Return whether W&B has a key: in the environment, or from ``wandb login``."""
    import netrc
    from urllib.parse import urlparse

    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _require_name(name: str) -> None:
    from fashion_mmdet.sweeps.sweep_file import study_name

    study_name(name, "--name")


def _say(text: object) -> None:
    from fashion_mmdet.reports.texts import printed

    print(printed(str(text)), flush=True)
