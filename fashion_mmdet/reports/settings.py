"""In which settings runs differ, and whether they may be compared at all."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.provenance import DataFile
from fashion_mmdet.core.run_record import ABSENT, differences

from .runs import Run

#: Top-level keys that say where a run writes or how it is watched, not what is trained.
_NOT_OF_THE_RECIPE = {
    "work_dir", "load_from", "resume", "launcher", "wandb", "visualizer", "vis_backends",
    "log_level", "log_processor", "experiment_name", "custom_imports", "runner_type",
    "test_evaluator", "val_evaluator",
}  # fmt: skip
#: Split -> the loader of the other one, which the figures do not come from.
_OTHER_LOADER = {"test": "val_dataloader", "val": "test_dataloader"}
#: Variables of our config files that a run reads under another key.
_VARIABLES = {"backbone_weights", "data_root", "place", "train_pipeline", "test_pipeline",
              "num_classes", "_base_", "tta_model", "tta_pipeline"}  # fmt: skip
#: Where the same data may lie on another machine; the data's hashes are compared instead.
_PLACES = {"data_root", "ann_file"}
_PIPELINE = "test_dataloader.dataset.pipeline"
SEED = "randomness.seed"
TRAIN_DATA = "training data"
_FOLDERS = re.compile(r"(?:\w+:)?/?(?:[^\s/]+/)+(?=[^\s/])")


def require_comparable(runs: Sequence[Run], other_train_data: bool = False) -> None:
    """Refuse runs whose figures do not answer the same question.

    Args:
        runs: as read.
        other_train_data: runs may have been trained on other photos or labels.

    Raises:
        FashionError: naming what differs, and which runs.
    """
    first = runs[0]
    if not set.intersection(*(set(run.evidence.matches) for run in runs)):
        kinds = "; ".join(f"{run.name}: {', '.join(run.evidence.matches)}" for run in runs)
        raise FashionError(
            f"{first.path}: runs that were all scored by boxes, or all by masks, expected, got "
            f"{kinds}. Set the same metric in test_evaluator and test again."
        )
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
        if not np.array_equal(run.evidence.predicted, first.evidence.predicted):
            n_first, n_run = (int(r.evidence.predicted.sum()) for r in (first, run))
            raise FashionError(
                f"{run.path}: runs that predicted the same photos expected, got one of {n_run} and "
                f"{first.path} of {n_first}{' that differ' if n_first == n_run else ''}. Test both "
                "on the whole set, without test_dataloader.dataset.indices."
            )
        if run.evidence.classes != first.evidence.classes:
            only = sorted(set(run.evidence.classes) ^ set(first.evidence.classes))
            raise FashionError(
                f"{run.path}: the {len(first.evidence.classes)} classes of {first.path} expected, "
                f"got {len(run.evidence.classes)}{f' ({only[0]!r} in one only)' if only else ''}. "
                "Models of other classes, or of another order, are not compared."
            )
        if not other_train_data and (got := _other_training(first, run)):
            raise FashionError(
                f"{run.path}: runs trained on the same set as {first.path} expected, got {got}. "
                "If the data is what you compare, add --train-data-may-differ."
            )


def _other_training(first: Run, run: Run) -> str | None:
    """Return how the training data differ; None where they do not, or one is not known."""
    one, other = training_hashes(first), training_hashes(run)
    if one is None or other is None or one == other:
        return None
    files = run.record.data["train"]
    return ", ".join(f"{f.images} images of {f.file} ({(_origin(f) or '?')[:12]})" for f in files)


def _votes(changed: dict[str, Any]) -> dict[str, str]:
    """Take the test-time augmentation out of what was changed for a test, and return it in words.

    The views are a pipeline of their own, which would fill a cell step by step.
    """
    around = changed.pop("model.tta", None)
    if not isinstance(around, Mapping):
        return {}
    out, steps = {}, changed.pop(_PIPELINE, None) or ()
    for step in steps:
        if isinstance(step, Mapping) and step.get("type") == "TestTimeAug":
            n_views = math.prod(len(options) for options in step.get("transforms", ()))
            if n_views > 1:
                out["views"] = str(n_views)
    members = around.get("members") or ()
    if members:
        named = (m.get("config", "") if isinstance(m, Mapping) else str(m) for m in members)
        out["votes with"] = ", ".join(os.path.basename(os.path.dirname(name)) for name in named)
    return out


def training_hashes(run: Run) -> tuple[str, ...] | None:
    """Return what the run was trained on; None where that is not known.

    A cache of resized photos counts as the annotations that it was made of.
    """
    hashes = [_origin(file) for file in run.record.data.get("train", ())]
    known = [name for name in hashes if name is not None]
    return tuple(sorted(known)) if known and len(known) == len(hashes) else None


def _origin(file: DataFile) -> str | None:
    return file.made_of_sha256 or file.sha256


def settings_of(run: Run) -> dict[str, Any]:
    """Return the recipe of a run as dotted key -> value, the seed under :data:`SEED`."""
    record = run.record
    out: dict[str, Any] = {}
    for key, value in record.config.items():
        if key not in _NOT_OF_THE_RECIPE | _VARIABLES | {_OTHER_LOADER[run.split]}:
            _flatten(value, key, out)
    out[SEED] = record.seed
    out["processes"] = record.setting.processes
    if record.sessions:
        out["weights from"] = without_folders("; ".join(record.initialisation))
    out[TRAIN_DATA] = " + ".join(name[:12] for name in training_hashes(run) or ("not known",))
    out["evaluated"] = run.checkpoint
    if record.status in ("stopped", "running"):
        out["training"] = record.status
    if run.split == "test":
        changed = {key: values[-1] for key, values in record.tests[-1].changed.items()}
        out.update(_votes(changed))
        out.update({f"tested with {key}": value for key, value in changed.items()})
    return out


def without_folders(text: str) -> str:
    """Return ``text`` with the names of its files alone: the same file may lie anywhere.

    >>> without_folders("backbone from /a/b/resnet18.pth, the rest random")
    'backbone from resnet18.pth, the rest random'
    """
    return _FOLDERS.sub("", text)


def _flatten(value: Any, key: str, out: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in _PLACES:
                _flatten(part, f"{key}.{name}", out)
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for i, part in enumerate(value):
            _flatten(part, f"{key}.{i}", out)
    elif key.endswith((".checkpoint", "data_prefix.img")) and isinstance(value, str):
        out[key] = without_folders(value.rstrip("/"))
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
        if any(not are_same(values[0], value) for value in values[1:])
    }


def are_same(one: Any, other: Any) -> bool:
    """Return whether two values of a setting are the same: 1 is 1.0, and is not True."""
    return not differences({"": one}, {"": other})


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


def cautions(runs: Sequence[Run]) -> list[str]:
    """Return what makes the figures themselves doubtful, a sentence each."""
    out = []
    if partial := partly_predicted(runs[0]):
        out.append(partial)
    for run in runs:
        record = run.record
        if record.status in ("running", "stopped"):
            why = f" ({record.error})" if record.error else ""
            out.append(f"{run.name} did not finish its training: {record.status}{why}.")
        if training_hashes(run) is None:
            out.append(f"What {run.name} was trained on is not known.")
    return out


def partly_predicted(run: Run) -> str | None:
    """Return a sentence on a set of which the model saw a part; None where it saw all."""
    predicted_I = run.evidence.predicted
    if predicted_I.all():
        return None
    return (
        f"Only {int(predicted_I.sum()):,} of {predicted_I.size:,} photos were predicted; the "
        "instances of the others count as missed, so AP is far too low."
    )


def remarks(runs: Sequence[Run]) -> list[str]:
    """Return what else differs between runs, a sentence each: code, packages, machine, tests."""
    out = []
    for when, of_run in (("Trained", lambda r: r.record.setting), ("Evaluated", _evaluated_in)):
        settings = [of_run(run) for run in runs]
        codes = [setting.code.revision[:10] if setting.code else "unknown" for setting in settings]
        if len(set(codes)) > 1:
            shown = ", ".join(f"{r.name} {code}" for r, code in zip(runs, codes, strict=True))
            out.append(f"{when} by different revisions of the code: {shown}.")
        unclean = [
            run.name
            for run, setting in zip(runs, settings, strict=True)
            if setting.code is None or not setting.code.clean
        ]
        if unclean:
            out.append(f"{when} by code that is of no commit, or changed since: {_few(unclean)}.")
        for what, values in (
            ("versions of packages", [setting.versions for setting in settings]),
            ("machines, so that times do not compare", [setting.hardware for setting in settings]),
        ):
            others = [r.name for r, v in zip(runs, values, strict=True) if v != values[0]]
            if others:
                out.append(f"{when} with different {what}: {runs[0].name} against {_few(others)}.")
    for run in runs:
        record = run.record
        for session in record.sessions:
            if session.changed:
                out.append(f"{run.name} was resumed with other {_few(list(session.changed))}.")
        if run.split == "test" and record.tests[-1].changed:
            changed = {key: values[-1] for key, values in record.tests[-1].changed.items()}
            pairs = [f"{key} {said(v)}" for key, v in (_votes(changed) | changed).items()]
            out.append(f"{run.name} was tested under other settings than trained: {_few(pairs)}.")
    return out


def _evaluated_in(run: Run) -> Any:
    """Return the code, packages and machine that the evidence was made with."""
    return (run.record.tests[-1] if run.split == "test" else run.record).setting


def _few(names: Sequence[str], count: int = 3) -> str:
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
