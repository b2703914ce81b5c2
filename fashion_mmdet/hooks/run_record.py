"""Leaves ``run.json`` in the work dir: what ran, on what, and what came of it."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import write_evidence
from fashion_mmdet.core.files import sha256_of
from fashion_mmdet.core.loss_curve import LossPoint, add_point
from fashion_mmdet.core.provenance import masked_text, peak_rss_mib
from fashion_mmdet.core.run_record import (
    FILE_NAME,
    RunRecord,
    ScoredTest,
    Session,
    Validation,
    add_evaluation,
    add_test,
    finite_metrics,
    read_run,
    set_aside,
    utc_now,
    write_run,
)

from .clock import Clock
from .run_facts import (
    OF_TTA,
    Plain,
    as_tested,
    changed_config,
    changes,
    data_files,
    new_record,
    setting,
)
from .weights_report import bare, compare, initialisation, n_tensors


class _Loaded(NamedTuple):
    """A checkpoint: its file, how it fits the model, and whether it fills all of it."""

    source: str
    lines: list[str]
    is_whole: bool


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes ``work_dir/run.json``; see :mod:`fashion_mmdet.core.run_record` for what is in it.

    * Training writes it at the start, between epochs, after each validation and at the end, be it
      an error's.
    * A resume from a checkpoint of the same work dir extends the record; validations after that
      checkpoint, which are about to be run again, go. Any other start keeps an earlier record
      under the name ``run_<time>.json``.
    * A test adds its figures to the record of the work dir, or makes one that holds them alone.
    * Beside it, ``evidence_val.npz`` and ``evidence_test.npz`` hold how each detection and instance
      of the newest validation and test fared (:mod:`fashion_mmdet.core.evidence`), and how many
      views and which models voted, where it was more than one of each.

    The main process writes. Whatever fails here is a warning and stops no run.
    """

    # Before the logger, which resets the peak of GPU memory when it reads it.
    priority = "NORMAL"

    def __init__(self) -> None:
        self._record: RunRecord | None = None
        self._loaded: _Loaded | None = None
        self._started_s = 0.0
        self._training = Clock()
        self._scoring = Clock()
        self._views: int | None = None
        self._cuda_bytes = 0
        self._failures = 0

    def before_run(self, runner: Runner) -> None:
        """Watch the loops: a hook is told neither of an error nor of a test's end."""
        if not is_main_process():
            return
        for name, watched in (("_train_loop", self._train), ("_test_loop", self._test)):
            loop = getattr(runner, name)
            if isinstance(loop, BaseLoop) and "run" not in vars(loop):
                loop.run = functools.partial(watched, runner, loop.run)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note what the weights are loaded from."""

        def note() -> None:
            source = runner._load_from or find_latest_checkpoint(runner.work_dir)
            lines, filled = compare(bare(runner), checkpoint.get("state_dict", checkpoint))
            is_whole = len(filled) == n_tensors(bare(runner))
            self._loaded = _Loaded(masked_text(str(source)), lines, is_whole)

        if is_main_process():
            self._guarded(runner, note)

    def before_train_epoch(self, runner: Runner) -> None:
        """Write what a run that is killed has spent; not every epoch ends in a validation."""
        record = self._record
        if record is not None:
            self._guarded(runner, lambda: self._write(runner, record))
        self._training.start()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count the batch; its losses have been read by now, so that a GPU has done its work."""
        self._training.tick(_n_images(data_batch) * runner.world_size)
        self._guarded(runner, lambda: self._add_losses(runner, outputs or {}))
        if torch.cuda.is_initialized():
            self._cuda_bytes = max(self._cuda_bytes, torch.cuda.max_memory_allocated())

    def _add_losses(self, runner: Runner, outputs: Mapping[str, Any]) -> None:
        if self._record is None:
            return
        given = {n: float(v.detach() if torch.is_tensor(v) else v) for n, v in outputs.items()}
        losses = {n: v for n, v in given.items() if "loss" in n and math.isfinite(v)}
        points = add_point(self._record.losses, LossPoint(runner.iter + 1, 1, losses))
        self._record = dataclasses.replace(self._record, losses=points)

    def before_val_epoch(self, runner: Runner) -> None:
        self._views = None
        self._scoring = Clock()
        self._scoring.start()

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._scoring.tick(_n_images(data_batch) * runner.world_size)
        self._views = _n_views(data_batch)

    before_test_epoch = before_val_epoch
    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add the figures of a validation within a training."""
        record = self._record
        if record is None:
            return

        def add() -> None:
            figures, nonfinite = finite_metrics(metrics or {})
            rate = self._scoring.images_per_s
            added = Validation(runner.epoch, runner.iter, figures, nonfinite, rate)
            validations = (*record.validations, added)
            self._write(runner, dataclasses.replace(record, validations=validations))
            _keep_evidence(runner, "val", runner.val_evaluator, self._views)

        self._guarded(runner, add)

    def after_val(self, runner: Runner) -> None:
        self._training.start()  # a run by iteration goes on within its one epoch

    def _train(self, runner: Runner, run: Callable[[], Any]) -> Any:
        """Run the training loop, and write how it began and ended."""
        self._guarded(runner, lambda: self._start(runner))
        try:
            model = run()
        except BaseException as error:
            said = _last_line(error)
            self._guarded(runner, lambda: self._end(runner, "stopped", said))
            raise
        self._guarded(runner, lambda: self._end(runner, "finished", None))
        return model

    def _test(self, runner: Runner, run: Callable[[], Any]) -> Any:
        """Run the test loop, and add its figures to the record."""
        started_utc, started_s = utc_now(), time.perf_counter()
        metrics = run()

        def add() -> None:
            figures, nonfinite = finite_metrics(metrics)
            source = self._loaded.source if self._loaded and not self._trained else None
            earlier = self._earlier(runner)
            test = ScoredTest(
                checkpoint=source,
                checkpoint_sha256=_sha256(source),
                started_utc=started_utc,
                wall_s=time.perf_counter() - started_s,
                metrics=figures,
                nonfinite=nonfinite,
                images_per_s=self._scoring.images_per_s,
                data=data_files(runner, "test"),
                setting=setting(runner),
                changed={},
            )
            record = earlier
            if record is None:
                self._set_aside(runner)
                lines = self._initialisation(runner)
                data = {"test": test.data}
                record = new_record(Plain(runner), "tested", started_utc, data, lines)
                write_run(runner.work_dir, record)
            config = {k: v for k, v in record.config.items() if k not in OF_TTA}
            before = dataclasses.replace(record, config=config)
            changed = changed_config(before, as_tested(runner.cfg))
            add_test(runner.work_dir, dataclasses.replace(test, changed=changed))
            split = _split_of(test, record)
            _keep_evidence(runner, split, runner.test_evaluator, self._views)

        self._guarded(runner, add)
        return metrics

    @property
    def _trained(self) -> bool:
        return bool(self._started_s)

    def _start(self, runner: Runner) -> None:
        """Write the record of a training that begins, or goes on."""
        self._started_s = time.perf_counter()
        now = utc_now()
        data = {split: data_files(runner, split) for split in ("train", "val", "test")}
        source = self._loaded.source if self._loaded and runner._resume else None
        goes_on = source is not None and _lies_in(source, runner.work_dir)
        earlier = self._earlier(runner) if goes_on else None
        lines = earlier.initialisation if earlier else self._initialisation(runner)
        record = new_record(runner, "running", now, data, lines)
        changed: dict[str, tuple[Any, Any]] = {}
        if earlier is None:
            self._set_aside(runner)
        else:
            changed = changes(earlier, record) if earlier.sessions else {}
            record = _continued(runner, earlier, record, changed)
        session = Session(
            started_utc=now,
            ended_utc=None,
            error=None,
            wall_s=0.0,
            resumed_from=source,
            from_epoch=runner.epoch,
            from_iter=runner.iter,
            to_epoch=runner.epoch,
            to_iter=runner.iter,
            timed_images=0,
            timed_s=0.0,
            peak_rss_mib=None,
            peak_cuda_mib=None,
            changed=changed,
        )
        sessions = (*record.sessions, session)
        self._write(runner, dataclasses.replace(record, sessions=sessions))

    def _end(
        self, runner: Runner, status: Literal["finished", "stopped"], error: str | None
    ) -> None:
        if self._record is None:  # its start failed, and was told of
            return
        record = dataclasses.replace(self._record, status=status)
        self._write(runner, record, ended_utc=utc_now(), error=error)
        self._record = None

    def _write(self, runner: Runner, record: RunRecord, **of_session: Any) -> None:
        """Bring the last session of ``record`` up to date, keep the record and write it."""
        *earlier, session = record.sessions
        session = dataclasses.replace(
            session,
            wall_s=time.perf_counter() - self._started_s,
            to_epoch=runner.epoch,
            to_iter=runner.iter,
            timed_images=self._training.images,
            timed_s=self._training.seconds,
            peak_rss_mib=peak_rss_mib(),
            peak_cuda_mib=self._cuda_bytes / 2**20 if self._cuda_bytes else None,
            **of_session,
        )
        self._record = dataclasses.replace(record, sessions=(*earlier, session))
        write_run(runner.work_dir, self._record)

    def _initialisation(self, runner: Runner) -> tuple[str, ...]:
        if self._loaded is None:
            return (masked_text(f"no checkpoint; {initialisation(bare(runner))}"),)
        source, lines, is_whole = self._loaded
        said = [f"{'resumed' if runner._resume else 'loaded'} from {source}: {lines[0]}"]
        said += lines[1:]
        if not is_whole:
            said.append(f"those start from: {initialisation(bare(runner))}")
        return tuple(map(masked_text, said))

    def _earlier(self, runner: Runner) -> RunRecord | None:
        """Return the record that is in the work dir; one that cannot be read is told of."""
        if not (Path(runner.work_dir) / FILE_NAME).is_file():
            return None
        try:
            return read_run(runner.work_dir)
        except FashionError as error:
            runner.logger.warning(f"{error} A new record is begun.")
            return None

    def _set_aside(self, runner: Runner) -> None:
        kept = set_aside(runner.work_dir)
        if kept is not None:
            runner.logger.info(f"{FILE_NAME}: the record of an earlier run is kept as {kept.name}.")

    def _guarded(self, runner: Runner, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a record is not worth a run
            self._failures += 1
            if self._failures == 1:
                runner.logger.warning(
                    f"{FILE_NAME}: the record of this run expected in {runner.work_dir}, got "
                    f"{_last_line(error)}. The run goes on; the record may lack something."
                )


def _keep_evidence(runner: Runner, split: str, evaluator: Any, views: int | None) -> None:
    """Write how each detection and instance fared, where a metric keeps that, and name the file.

    The file is that of the newest evaluation of the split. Who voted no metric knows.

    Args:
        runner: with its model.
        split: ``"val"`` or ``"test"``.
        evaluator: of the split.
        views: how many of each photo the model was given; None without test-time augmentation.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    members = list(getattr(model, "member_names", ()))
    voters = {} if views is None else {"views": views, "members": members}
    for metric in evaluator.metrics:
        keeps = getattr(metric, "evidence", None)
        evidence = keeps() if callable(keeps) else None
        if evidence is not None:
            name = _evidence_name(split)
            made_with = {**evidence.made_with, **voters}
            evidence = dataclasses.replace(evidence, made_with=made_with)
            write_evidence(Path(runner.work_dir) / name, evidence)
            add_evaluation(runner.work_dir, name)


def _split_of(test: ScoredTest, record: RunRecord) -> str:
    """Return ``"val"`` where what was tested is what the run was validated on, else ``"test"``."""
    hashes = {file.sha256 for file in test.data}
    val, tested = (
        {file.sha256 for file in record.data.get(split, ())} for split in ("val", "test")
    )
    return "val" if hashes & val and not hashes & tested else "test"


def _evidence_name(split: str) -> str:
    return f"evidence_{split}.npz"


def _continued(
    runner: Runner, earlier: RunRecord, record: RunRecord, changed: Mapping[str, Any]
) -> RunRecord:
    """Return ``record`` with what ``earlier`` holds of the run that it goes on with."""
    kept = tuple(v for v in earlier.validations if v.iter <= runner.iter)
    if dropped := len(earlier.validations) - len(kept):
        runner.logger.info(
            f"{FILE_NAME}: {dropped} validation(s) after iteration {runner.iter}, from which the "
            "run goes on, are run again; their figures of before go."
        )
    if changed:
        runner.logger.warning(
            f"{FILE_NAME}: a run that goes on as it began expected, got another "
            f"{', '.join(list(changed)[:5])}{', ...' if len(changed) > 5 else ''}. The record "
            "keeps both."
        )
    return dataclasses.replace(
        record,
        started_utc=earlier.started_utc,
        validations=kept,
        losses=tuple(p for p in earlier.losses if p.iter <= runner.iter),
        sessions=earlier.sessions,
        tests=earlier.tests,
        # Of a validation that is about to be run again, the evidence goes, too.
        evaluation=tuple(
            n for n in earlier.evaluation if not dropped or n != _evidence_name("val")
        ),
    )


def _sha256(path: str | None) -> str | None:
    try:
        return None if path is None else sha256_of(path)
    except OSError:
        return None


def _n_images(batch: Any) -> int:
    if not isinstance(batch, Mapping) or "inputs" not in batch:
        return 0
    inputs = batch["inputs"]
    return len(inputs if _n_views(batch) is None else inputs[0])


def _n_views(batch: Any) -> int | None:
    """Return how many views of each photo a batch has; None without test-time augmentation."""
    inputs = batch.get("inputs") if isinstance(batch, Mapping) else None
    # With it the batch's photos lie in lists, one for each view.
    several = isinstance(inputs, list) and inputs and isinstance(inputs[0], (list, tuple))
    return len(inputs) if inputs and several else None


def _last_line(error: BaseException) -> str:
    """Return kind and last line of an error: that of a loader's worker ends its traceback.

    Where a signal came in the midst of something, mmengine may have made an error of its own of it.
    """
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, (KeyboardInterrupt, SystemExit)):
            error = behind
        behind = behind.__context__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return masked_text(": ".join([type(error).__name__, *lines[-1:]])[:500])


def _lies_in(path: str, folder: str) -> bool:
    return Path(path).resolve().parent == Path(folder).resolve()
