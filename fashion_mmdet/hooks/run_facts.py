"""What a runner can tell of its run before it begins: config, overrides, data, setting."""

from __future__ import annotations

import dataclasses
import os.path as osp
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.utils import is_abs
from torch.utils.flop_counter import FlopCounterMode

from fashion_mmdet.core.provenance import (
    DataFile,
    Gpu,
    code,
    data_file,
    environment,
    hardware,
    masked,
    versions,
)
from fashion_mmdet.core.run_record import (
    SCHEMA,
    Compute,
    Parameters,
    RunRecord,
    Setting,
    differences,
)

#: What ``--tta`` would use. It says nothing of a test: what was used is in its model and pipeline.
OF_TTA = ("tta_model", "tta_pipeline")
#: What a command sets by options of its own; the record has a place for each.
_OF_THE_COMMAND = ("work_dir", "launcher", "load_from", "resume")


def new_record(
    runner: Runner,
    status: Literal["running", "tested"],
    started_utc: str,
    data: dict[str, tuple[DataFile, ...]],
    lines: tuple[str, ...],
) -> RunRecord:
    """Return the record of a run of which no session, validation or test is known yet.

    Args:
        runner: with its model and its loops built.
        status: that the record starts with.
        started_utc: when.
        data: split -> its files.
        lines: what the weights come from.
    """
    filename = runner.cfg.filename
    return RunRecord(
        schema=SCHEMA,
        name=Path(filename).stem if filename else Path(runner.work_dir).name,
        status=status,
        error=None,
        started_utc=started_utc,
        updated_utc=started_utc,
        ended_utc=None,
        wall_s=0.0,
        images_per_s=None,
        peak_rss_mib=None,
        peak_cuda_mib=None,
        config_file=filename,
        config=masked(runner.cfg.to_dict()),
        overrides=_overrides(runner.cfg, runner.work_dir),
        seed=runner.seed,
        data=data,
        setting=setting(runner),
        initialisation=lines,
        parameters=_parameters(runner),
        compute=_compute(runner),
        sessions=(),
        losses=(),
        validations=(),
        tests=(),
        evaluation=(),
    )


def setting(runner: Runner) -> Setting:
    """Return what runs: code, packages, machine, processes."""
    gpus = []
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            of_gpu = torch.cuda.get_device_properties(i)
            gpus.append(Gpu(of_gpu.name, of_gpu.total_memory // 2**20))
    return Setting(
        code(), versions(), hardware(tuple(gpus)), runner.launcher, runner.world_size,
        environment(),
    )  # fmt: skip


def changes(before: RunRecord, now: RunRecord) -> dict[str, tuple[Any, Any]]:
    """Return dotted key -> (before, now), for the settings in which two sessions differ."""
    one, other = (
        {
            "config": _recipe(r.config),
            "seed": r.seed,
            "data": {k: [dataclasses.asdict(f) for f in files] for k, files in r.data.items()},
            **dataclasses.asdict(r.setting),
        }
        for r in (before, now)
    )
    return differences(one, other)


def changed_config(before: RunRecord, cfg: Config) -> dict[str, tuple[Any, Any]]:
    """Return dotted key -> (in the record, in ``cfg``), where a test would read another value.

    What only training reads, and where files lie, is left out: a test of a run may name its config
    file alone, on another machine.
    """
    one, other = (
        {k: config[k] for k in _OF_A_TEST if k in config}
        for config in (before.config, masked(cfg.to_dict()))
    )
    return {
        key: values
        for key, values in differences(one, other).items()
        if not key.startswith(_OF_TRAINING)
        and ".init_cfg" not in key
        and key.split(".")[-1] not in _PLACES
    }


#: Top-level keys that a test reads, and what of them it does not.
_OF_A_TEST = ("model", "test_dataloader", "test_cfg", "test_evaluator", "tta_model", "tta_pipeline")
_OF_TRAINING = ("model.train_cfg", "model.backbone.frozen_stages", "model.backbone.norm_eval")
_PLACES = ("data_root", "ann_file", "img")


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k not in _OF_THE_COMMAND}


def _overrides(cfg: Config, work_dir: str) -> dict[str, Any] | None:
    """Return where ``cfg`` differs from its file, read again; None where that cannot be.

    Under mim the options are merged before anything of ours sees them. Of a file that lies in the
    work dir, as those of ``mim gridsearch`` do, nothing is left: mmengine has by now written the
    merged config under that name.
    """
    if not cfg.filename or Path(cfg.filename).resolve().parent == Path(work_dir).resolve():
        return None
    try:
        plain = Config.fromfile(cfg.filename, import_custom_modules=False)
    except Exception:  # a config is a program: it can die of anything, or be gone by now
        return None
    one, other = (_recipe(masked(c.to_dict())) for c in (plain, cfg))
    return {key: now for key, (_, now) in differences(one, other).items()}


def _parameters(runner: Runner) -> Parameters:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return Parameters(sum(n for n, _ in counts), sum(n for n, trained in counts if trained))


def _compute(runner: Runner) -> Compute | None:
    """Count the multiply-adds of one image of the validation or test set; None where it fails."""
    loops = (getattr(runner, f"_{split}_loop") for split in ("val", "test"))
    loader = next((found for loop in loops if (found := _get(loop, "dataloader"))), None)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    was_training = model.training
    model.eval()
    try:
        batch = model.data_preprocessor(pseudo_collate([loader.dataset[0]]))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(batch["inputs"], batch["data_samples"], mode="tensor")
        size_hw = tuple(batch["data_samples"][0].img_shape[:2])
        return Compute(counter.get_total_flops() / 2e9, size_hw)
    except Exception as error:  # a model without such a mode, or operators that cannot be traced
        runner.logger.info(f"run.json: multiply-adds are not counted ({type(error).__name__}).")
        return None
    finally:
        model.train(was_training)


def data_files(runner: Runner, split: str) -> tuple[DataFile, ...]:
    """Return the annotation files of ``split``; a run that trains builds no loop for its test."""
    loop = getattr(runner, f"_{split}_loop")
    loader = getattr(loop, "dataloader", None) or getattr(runner, f"_{split}_dataloader")
    dataset = loader.get("dataset") if isinstance(loader, Mapping) else _get(loader, "dataset")
    return tuple(data_file(path, split) for path in dict.fromkeys(_ann_files(dataset)))


def _ann_files(dataset: Any) -> Iterator[str]:
    """Yield the annotation files of a dataset, built or a config, and of those that it holds."""
    parts = _get(dataset, "datasets") or _get(dataset, "dataset")
    if parts:
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            yield from _ann_files(part)
    elif path := _get(dataset, "ann_file"):
        is_config = isinstance(dataset, Mapping)
        if is_config and not is_abs(path):  # a built one has joined them
            path = osp.join(_get(dataset, "data_root") or "", path)
        yield str(path)


def _get(dataset: Any, name: str) -> Any:
    return dataset.get(name) if isinstance(dataset, Mapping) else getattr(dataset, name, None)


class Plain:
    """A runner whose config is the recipe, without what a test has wrapped around the model."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.cfg = runner.cfg.copy()
        if "module" in (runner.cfg.get("model") or {}):
            self.cfg.model = runner.cfg.model.module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def as_tested(cfg: Config) -> Config:
    """Return ``cfg`` with what is wrapped around its model, if anything is, as ``model.tta``.

    ``--tta`` puts the model into a larger one, so that every key of it would look changed.
    """
    found = cfg.copy()
    for key in OF_TTA:
        found.pop(key, None)
    model = cfg.get("model") or {}
    if "module" in model:
        around = {k: v for k, v in model.items() if k != "module"}
        found.model = ConfigDict(model.module, tta=around)
    return found
