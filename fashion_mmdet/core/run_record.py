"""``run.json``: what a run was and what came of it, readable without torch.

``RunRecordHook`` writes it to the work dir, atomically: when training starts, between epochs,
after each validation and when it ends. :func:`read_run` reads it. The classes below are the
format: each is a JSON object with the class's attributes as keys, and a tuple is a list.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import FashionError
from .files import inside, read_json, write_json
from .loss_curve import LossPoint
from .provenance import Code, DataFile, Hardware
from .typed_json import from_json

#: Name of the file in a work dir.
FILE_NAME = "run.json"
#: Version of the format; it changes where a file of before can no longer be read.
SCHEMA = 2
#: Stands for a setting that one side of :func:`differences` lacks.
ABSENT = "<absent>"


@dataclass(frozen=True)
class Setting:
    """What ran: code, packages, machine, processes.

    Attributes:
        code: the checkout of this package; None where it is not in one, or there is no git.
        versions: package -> version; None for one that is not installed.
        hardware: the machine of the main process.
        launcher: ``"none"``, ``"pytorch"``, ``"slurm"`` or ``"mpi"``.
        processes: how many.
        environment: the variables ``FASHION_*``.
    """

    code: Code | None
    versions: dict[str, str | None]
    hardware: Hardware
    launcher: str
    processes: int
    environment: dict[str, str]


@dataclass(frozen=True)
class Parameters:
    """How many numbers the model has, and how many of them are trained."""

    total: int
    trainable: int


@dataclass(frozen=True)
class Compute:
    """What one image costs the network.

    Attributes:
        gflops: billions of multiply-adds of convolutions and matrix products, forward, with the
            proposals that the model gives for an image as it was then; a multiplication and an
            addition count as one, as in mmdet's tables.
        size_hw: height and width of that image as the network saw it, in px.
    """

    gflops: float
    size_hw: tuple[int, ...]


@dataclass(frozen=True)
class Validation:
    """The figures of one validation.

    Attributes:
        epoch: epochs done; 0 in a run by iteration.
        iter: iterations done.
        metrics: name -> figure, None where it was not finite.
        nonfinite: names of the latter.
        images_per_s: loaded, predicted and encoded per second, by all processes together, after
            the first ten batches; None where there were no more.
    """

    epoch: int
    iter: int
    metrics: dict[str, Any]
    nonfinite: tuple[str, ...]
    images_per_s: float | None


@dataclass(frozen=True)
class ScoredTest:
    """The figures of one test; attributes as of :class:`Validation` and :class:`RunRecord`.

    Attributes:
        checkpoint: the file that was tested; None for the weights that the run held.
        checkpoint_sha256: of its bytes; None where it is no file that can be read.
        changed: dotted key -> [as in the record, as tested], where the config was another.
    """

    checkpoint: str | None
    checkpoint_sha256: str | None
    started_utc: str
    wall_s: float
    metrics: dict[str, Any]
    nonfinite: tuple[str, ...]
    images_per_s: float | None
    data: tuple[DataFile, ...]
    setting: Setting
    changed: dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Session:
    """One process's share of a training; each resume adds one.

    Attributes:
        started_utc: when, as ``2026-11-23T04:44:00Z``.
        ended_utc: None while it runs, and for good where it was killed.
        error: the last line of what stopped it.
        wall_s: seconds from start to end, or to the last time that the record was written.
        resumed_from: the checkpoint.
        from_epoch, from_iter, to_epoch, to_iter: counts done at its start and at its end.
        timed_images, timed_s: training images, of all processes, and the seconds they took:
            loading included; validation, checkpoints and the first ten iterations left out.
        peak_rss_mib: most memory of the main process, without its loader's workers.
        peak_cuda_mib: most GPU memory in tensors, of the main process; None without a GPU.
        changed: setting -> [before, now], for a resume under another config, data, code, ...
    """

    started_utc: str
    ended_utc: str | None
    error: str | None
    wall_s: float
    resumed_from: str | None
    from_epoch: int
    from_iter: int
    to_epoch: int
    to_iter: int
    timed_images: int
    timed_s: float
    peak_rss_mib: float | None
    peak_cuda_mib: float | None
    changed: dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class RunRecord:
    """A run; of one that was resumed, the settings are those of its last session.

    Attributes:
        schema: :data:`SCHEMA`.
        name: of the config, else of the work dir.
        status: ``"running"`` also for a run that was killed, which can write no more; compare
            ``updated_utc``. ``"tested"``: a checkpoint was tested here and nothing trained.
        error: the last line of what stopped it.
        updated_utc: when the record was last written.
        wall_s: seconds of all sessions.
        images_per_s: training images per second, over all sessions; see :class:`Session`.
        peak_rss_mib, peak_cuda_mib: the highest of all sessions.
        config_file: as it was named.
        config: resolved: bases, environment and overrides in it; what looks like a secret masked.
        overrides: dotted key -> value, where the config differs from its file; ``"<absent>"`` for
            a key that was taken out; None where the file could not be read again, or lay in the
            work dir, where mmengine writes the config of the run under its name.
        seed: None where it is not set.
        data: ``train``, ``val`` and ``test`` -> the files of each.
        initialisation: what the weights came from, a line or more.
        parameters: of the model.
        compute: of one image; None where it could not be measured.
        losses: of training, thinned to some hundred points.
        validations: in the order of their iterations.
        evaluation: files of data by image, named relative to the work dir.
    """

    schema: int
    name: str
    status: Literal["running", "finished", "stopped", "tested"]
    error: str | None
    started_utc: str
    updated_utc: str
    ended_utc: str | None
    wall_s: float
    images_per_s: float | None
    peak_rss_mib: float | None
    peak_cuda_mib: float | None
    config_file: str | None
    config: dict[str, Any]
    overrides: dict[str, Any] | None
    seed: int | None
    data: dict[str, tuple[DataFile, ...]]
    setting: Setting
    initialisation: tuple[str, ...]
    parameters: Parameters
    compute: Compute | None
    sessions: tuple[Session, ...]
    losses: tuple[LossPoint, ...]
    validations: tuple[Validation, ...]
    tests: tuple[ScoredTest, ...]
    evaluation: tuple[str, ...]


def read_run(work_dir: str | os.PathLike[str]) -> RunRecord:
    """Read the record of the run in ``work_dir``.

    Raises:
        FashionError: where there is none, or it is damaged, or of another version of the format.
    """
    path = Path(work_dir) / FILE_NAME
    if not path.is_file():
        raise FashionError(
            f"{work_dir}: a work dir with the record of a run expected, found no {FILE_NAME}. "
            "Runs leave one unless default_hooks.run_record=None."
        )
    value = read_json(path)
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise FashionError(
            f"{path}: a record of a run in format {SCHEMA} expected, got {schema!r:.60}. Was it "
            "written by another version of fashion-mmdet? `fashion test` begins a new one."
        )
    record = from_json(RunRecord, value, os.fspath(path))
    for name in record.evaluation:
        inside(work_dir, name, f"{path}: evaluation")
    return record


def write_run(work_dir: str | os.PathLike[str], record: RunRecord) -> None:
    """Write ``record``, with its sums and time of writing made anew.

    ``tests`` and ``evaluation`` that others have added to this run's file stay.
    """
    path = Path(work_dir) / FILE_NAME
    if path.is_file():
        there = read_run(work_dir)
        if there.started_utc == record.started_utc:
            record = dataclasses.replace(record, tests=there.tests, evaluation=there.evaluation)
    _write(path, record)


def add_test(work_dir: str | os.PathLike[str], test: ScoredTest) -> None:
    """Add the figures of a test to the record in ``work_dir``, and nothing else."""
    record = read_run(work_dir)
    _write(Path(work_dir) / FILE_NAME, dataclasses.replace(record, tests=(*record.tests, test)))


def add_evaluation(work_dir: str | os.PathLike[str], name: str) -> None:
    """Name a file of data by image, relative to ``work_dir``, in the record there; once."""
    inside(work_dir, name, f"{FILE_NAME}: evaluation")
    record = read_run(work_dir)
    files = tuple(dict.fromkeys((*record.evaluation, name)))
    _write(Path(work_dir) / FILE_NAME, dataclasses.replace(record, evaluation=files))


def set_aside(work_dir: str | os.PathLike[str]) -> Path | None:
    """Rename the record in ``work_dir``, if there is one, to ``run_<time of writing>.json``.

    Returns:
        Its new place.
    """
    path = Path(work_dir) / FILE_NAME
    if not path.is_file():
        return None
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc)
    stem = f"{path.stem}_{written:%Y%m%dT%H%M%SZ}"
    target, n = path.with_name(f"{stem}.json"), 1
    while target.exists():
        n += 1
        target = path.with_name(f"{stem}_{n}.json")
    path.rename(target)
    return target


def _write(path: Path, record: RunRecord) -> None:
    record = dataclasses.replace(summed(record), updated_utc=utc_now())
    write_json(path, dataclasses.asdict(record), indent=1)


def summed(record: RunRecord) -> RunRecord:
    """Return ``record`` with times, rate and peaks taken from its sessions."""
    sessions = record.sessions
    if not sessions:
        return record
    timed_s = sum(s.timed_s for s in sessions)
    return dataclasses.replace(
        record,
        error=sessions[-1].error,
        ended_utc=sessions[-1].ended_utc,
        wall_s=sum(s.wall_s for s in sessions),
        images_per_s=sum(s.timed_images for s in sessions) / timed_s if timed_s else None,
        peak_rss_mib=max((s.peak_rss_mib for s in sessions if s.peak_rss_mib), default=None),
        peak_cuda_mib=max((s.peak_cuda_mib for s in sessions if s.peak_cuda_mib), default=None),
    )


def utc_now() -> str:
    """Return the time as ``2026-11-23T04:44:00Z``."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def finite_metrics(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return ``metrics`` as plain JSON, None for what is not finite, and the names of the latter.

    >>> finite_metrics({"coco/segm_mAP": 0.25, "coco/segm_mAP_s": float("nan")})
    ({'coco/segm_mAP': 0.25, 'coco/segm_mAP_s': None}, ('coco/segm_mAP_s',))
    """
    nonfinite: list[str] = []

    def plain(value: Any, name: str) -> Any:
        if hasattr(value, "tolist"):  # of numpy or torch
            value = value.tolist()
        if isinstance(value, Mapping):
            return {str(k): plain(v, f"{name}.{k}") for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            nonfinite.append(name)
            return None
        return value if isinstance(value, (int, float, str, type(None))) else str(value)

    return {str(k): plain(v, str(k)) for k, v in metrics.items()}, tuple(nonfinite)


def differences(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Return dotted key -> (before, after), for every value in which two plain trees differ.

    Lists of one length are compared item by item, others as a whole; :data:`ABSENT` stands for a
    key that one side lacks.

    >>> differences({"lr": 0.02, "steps": [8, 11]}, {"lr": 0.02, "steps": [8, 12], "amp": True})
    {'steps.1': (11, 12), 'amp': ('<absent>', True)}
    """
    found: dict[str, tuple[Any, Any]] = {}

    def compare(one: Any, other: Any, key: str) -> None:
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            for name in dict.fromkeys((*one, *other)):
                compare(one.get(name, ABSENT), other.get(name, ABSENT), f"{key}{name}.")
        elif _are_lists(one, other) and len(one) == len(other):
            for i, (left, right) in enumerate(zip(one, other, strict=True)):
                compare(left, right, f"{key}{i}.")
        elif one != other or isinstance(one, bool) != isinstance(other, bool):  # 1 == True
            found[key[:-1]] = (one, other)

    compare(before, after, "")
    return found


def _are_lists(*values: Any) -> bool:
    return all(isinstance(v, Sequence) and not isinstance(v, str) for v in values)
