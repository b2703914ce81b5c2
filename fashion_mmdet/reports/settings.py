"""In which settings runs differ, and whether they may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.provenance import DataFile
from fashion_mmdet.core.run_record import ABSENT, differences

from .runs import Run

#: Top-level keys that say where a run writes or how it is watched, not what is trained.
_NOT_OF_THE_RECIPE = {
    "work_dir", "load_from", "resume", "launcher", "wandb", "visualizer", "vis_backends",
    "log_level", "log_processor", "experiment_name", "custom_imports", "runner_type",
    "test_evaluator", "val_dataloader", "val_evaluator",
}  # fmt: skip
#: Variables of our config files that a run reads under another key.
_VARIABLES = {"backbone_weights", "data_root", "place", "train_pipeline", "test_pipeline",
              "num_classes", "_base_"}  # fmt: skip
#: Where the same data may lie on another machine; the data's hashes are compared instead.
_PLACES = {"data_root", "ann_file", "data_prefix"}
SEED = "randomness.seed"
TRAIN_DATA = "training data"


def require_comparable(runs: Sequence[Run], other_train_data: bool = False) -> None:
    """Refuse runs whose figures do not answer the same question.

    Args:
        runs: as read.
        other_train_data: runs may have been trained on other photos or labels.

    Raises:
        FashionError: naming what differs, and which runs.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.evidence.sha256 != first.evidence.sha256:
            one, other = (
                f"{len(r.evidence.image_ids)} images of {r.evidence.annotations} "
                f"({r.evidence.sha256[:12]})" for r in (first, run)
            )  # fmt: skip
            raise FashionError(
                f"{run.path}: runs scored on the same {run.split} set expected, got {other}, where "
                f"{first.path} has {one}. Their difference would be the photos' as much as the "
                "models': score both on one annotation file (`fashion test`)."
            )
        if run.evidence.classes != first.evidence.classes:
            only = sorted(set(run.evidence.classes) ^ set(first.evidence.classes))
            raise FashionError(
                f"{run.path}: the {len(first.evidence.classes)} classes of {first.path} expected, "
                f"got {len(run.evidence.classes)}{f' ({only[0]!r} in one only)' if only else ''}. "
                "Models of other classes, or of another order, are not compared."
            )
        if not other_train_data and (said := _other_training(first, run)):
            raise FashionError(
                f"{run.path}: runs trained on the same set as {first.path} expected, got {said}. "
                "If the data is what you compare, add --train-data-may-differ."
            )


def _other_training(first: Run, run: Run) -> str | None:
    """Return how the training data differ; None where they do not, or one is not known."""
    one, other = training_hashes(first), training_hashes(run)
    if not one or not other or one == other:
        return None
    files = run.record.data["train"]
    return ", ".join(f"{f.images} images of {f.file} ({(_origin(f) or '?')[:12]})" for f in files)


def training_hashes(run: Run) -> tuple[str, ...]:
    """Return what the run was trained on; () where nothing is known of it.

    A cache of resized photos counts as the annotations that it was made of.
    """
    files = run.record.data.get("train", ())
    return tuple(sorted(str(_origin(file)) for file in files))


def _origin(file: DataFile) -> str | None:
    return file.made_of_sha256 or file.sha256


def settings_of(run: Run) -> dict[str, Any]:
    """Return the recipe of a run as dotted key -> value, the seed under :data:`SEED`."""
    out: dict[str, Any] = {}
    for key, value in run.record.config.items():
        if key not in _NOT_OF_THE_RECIPE and key not in _VARIABLES:
            _flatten(value, key, out)
    out[SEED] = run.record.seed
    if hashes := training_hashes(run):
        out[TRAIN_DATA] = " + ".join(name[:12] for name in hashes)
    return out


def _flatten(value: Any, key: str, out: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in _PLACES:
                _flatten(part, f"{key}.{name}", out)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for i, part in enumerate(value):
            _flatten(part, f"{key}.{i}", out)
    else:
        out[key] = value


def differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return dotted key -> the value of each run, for the keys in which they differ.

    The seed is not among them. A key that a run lacks has :data:`ABSENT`.
    """
    settings = [settings_of(run) for run in runs]
    keys = dict.fromkeys(key for one in settings for key in one)
    table = {key: [one.get(key, ABSENT) for one in settings] for key in keys if key != SEED}
    return {
        key: values
        for key, values in table.items()
        if any(differences({"": values[0]}, {"": value}) for value in values[1:])
    }


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return key -> its last parts, as many as tell it from the others.

    >>> short_keys(["train_cfg.max_epochs", "param_scheduler.1.end", "param_scheduler.0.end"])
    {'train_cfg.max_epochs': 'max_epochs', 'param_scheduler.1.end': '1.end', \
'param_scheduler.0.end': '0.end'}
    """
    parts = {key: key.split(".") for key in keys}
    out = {}
    for key, own in parts.items():
        for depth in range(1, len(own) + 1):
            tail = own[-depth:]
            is_number = tail[0].isdigit()
            if sum(other[-depth:] == tail for other in parts.values()) == 1 and not (
                is_number and depth == 1
            ):
                break
        out[key] = ".".join(tail)
    return out


def said(value: Any) -> str:
    """Return a value of a config as a reader takes it in."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(said(v) for v in value)}]"
    return "none" if value is None else str(value)


def remarks(runs: Sequence[Run]) -> list[str]:
    """Return what else differs between runs, a sentence each: code, packages, machine, state."""
    out = []
    codes = {r.name: r.record.setting.code for r in runs}
    unclean = [name for name, code in codes.items() if code is None or not code.clean]
    if len({c.revision for c in codes.values() if c}) > 1:
        shown = ", ".join(f"{n} {c.revision[:10] if c else 'unknown'}" for n, c in codes.items())
        out.append(f"Trained by different revisions of the code: {shown}.")
    if unclean:
        out.append(f"Code not of a commit, or changed since: {', '.join(unclean)}.")
    for what, of_run in (
        ("versions of packages", lambda r: r.record.setting.versions),
        ("machines, so that times do not compare", lambda r: r.record.setting.hardware),
        ("numbers of processes", lambda r: r.record.setting.processes),
    ):
        values = [of_run(run) for run in runs]
        if any(value != values[0] for value in values[1:]):
            others = [r.name for r, v in zip(runs, values, strict=True) if v != values[0]]
            out.append(f"Different {what}: {runs[0].name} against {', '.join(others)}.")
    for run in runs:
        if run.record.status in ("running", "stopped"):
            why = f" ({run.record.error})" if run.record.error else ""
            out.append(f"{run.name} did not finish its training: {run.record.status}{why}.")
        for session in run.record.sessions:
            if session.changed:
                keys = ", ".join(list(session.changed)[:3])
                out.append(f"{run.name} was resumed under other settings ({keys}).")
        changed = run.record.tests[-1].changed if run.split == "test" else {}
        if changed:
            keys = ", ".join(f"{key} {said(v[-1])}" for key, v in list(changed.items())[:3])
            out.append(f"{run.name} was tested under other settings than trained ({keys}).")
    return out
