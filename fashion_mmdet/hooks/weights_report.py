"""Says, once at the start, what the model's weights came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from fashion_mmdet.core.errors import CheckpointError

_MAX_GROUPS = 8


@HOOKS.register_module()
class WeightsReportHook(Hook):
    """Logs where the weights came from: a file, a resumed run, or nothing.

    ``load_from`` skips what does not fit, so a run with a wrong file, or with none, trains on
    without an error and ends with a low AP. The report counts the model's tensors: loaded,
    skipped for their shape, and absent from the file, by part of the model.
    """

    priority = "LOW"

    def __init__(self) -> None:
        self._report: str | None = None
        self._filled: set[str] = set()
        self._told = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the file with the model; the report follows when the loop starts."""
        weights = checkpoint.get("state_dict", checkpoint)
        lines, self._filled = compare(_bare(runner), weights)
        verb = "resumed from" if runner._resume else "loaded from"
        self._report = f"weights: {verb} {_source(runner)}: " + "\n  ".join(lines)
        if not self._filled:
            raise CheckpointError(
                f"{_source(runner)}: weights of this model expected, got a file of {len(weights)} "
                "tensors of which none fits. Does the checkpoint belong to this config?"
            )

    def before_train(self, runner: Runner) -> None:
        self._tell(runner)

    def before_val(self, runner: Runner) -> None:
        self._tell(runner)

    def before_test(self, runner: Runner) -> None:
        self._tell(runner)

    def _tell(self, runner: Runner) -> None:
        if self._told:
            return
        self._told = True
        report = self._report or (
            "weights: from nothing (no checkpoint, no COCO weights): "
            f"{_initialisation(_bare(runner))}."
        )
        (runner.logger.info if self._report else runner.logger.warning)(report)
        stuck = frozen_and_random(_bare(runner), self._filled)
        if stuck:
            runner.logger.warning(
                f"weights: {len(stuck)} frozen tensors start random and will never learn "
                f"({stuck[0]}, ...). Give weights that hold them, or set "
                "model.backbone.frozen_stages=-1."
            )


def compare(model: nn.Module, weights: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Compare a file's state dict with a model by name and shape.

    Args:
        model: the bare model.
        weights: name -> tensor; a leading ``module.`` is ignored, as mmengine ignores it.

    Returns:
        The lines of a report, and the names of the model's tensors that the file fills.
        Counters of batches (``num_batches_tracked``) are left out of the account.
    """
    have = {k.removeprefix("module."): tuple(getattr(v, "shape", ())) for k, v in weights.items()}
    want = {
        k: tuple(getattr(v, "shape", ()))
        for k, v in model.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    loaded = [k for k in want if have.get(k) == want[k]]
    misfit = [k for k in want if k in have and have[k] != want[k]]
    absent = [k for k in want if k not in have]
    unused = [k for k in have if k not in want and not k.endswith("num_batches_tracked")]
    lines = [f"{len(loaded)} of the model's {len(want)} tensors"]
    if misfit or absent:
        lines[0] += f"; {len(misfit) + len(absent)} start as initialised ({_initialisation(model)})"
    for group, count in _groups(misfit):
        example = next(k for k in misfit if k.startswith(group))
        lines.append(
            f"skipped for shape: {group} ({count}; {example.rpartition('.')[2]} is "
            f"{list(have[example])} in the file, {list(want[example])} in the model)"
        )
    lines += [f"not in the file: {group} ({count})" for group, count in _groups(absent)]
    lines += [f"not in the model: {group} ({count})" for group, count in _groups(unused)]
    return lines, set(loaded)


def frozen_and_random(model: nn.Module, filled: set[str]) -> list[str]:
    """Return parameters that want no gradient and that neither a file nor ``init_cfg`` fills."""
    pretrained = tuple(f"{name}." if name else "" for name, _cfg in _pretrained(model))
    return [
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
        and name not in filled
        and not (pretrained and name.startswith(pretrained))
    ]


def _groups(names: Iterable[str]) -> list[tuple[str, int]]:
    """Count names by module, by ever larger parts until the list is short."""
    names = list(names)
    for depth in (4, 3, 2, 1):
        counts = Counter(".".join(name.split(".")[:-1][:depth]) or name for name in names)
        if len(counts) <= _MAX_GROUPS:
            break
    return list(counts.items())


def _initialisation(model: nn.Module) -> str:
    """Name the modules with pretrained weights of their own; all else is random."""
    pretrained = [f"{name or 'model'} from {c.get('checkpoint')}" for name, c in _pretrained(model)]
    return ", ".join([*pretrained, "the rest random" if pretrained else "all random"])


def _pretrained(model: nn.Module) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, module in model.named_modules():
        init_cfg = getattr(module, "init_cfg", None)
        for cfg in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
            if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
                found.append((name, cfg))
    return found


def _bare(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _source(runner: Runner) -> str:
    if runner._load_from is not None:
        return str(runner._load_from)
    pointer = Path(runner.work_dir) / "last_checkpoint"
    return pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else "a checkpoint"
