"""Says, once at the start, what the model's weights came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseModule, BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner
from torch import nn

from fashion_mmdet.core.errors import CheckpointError

_MAX_GROUPS = 8


@HOOKS.register_module()
class WeightsReportHook(Hook):
    """Logs where the weights came from: a file, a resumed run, or nothing.

    ``load_from`` skips what does not fit, so a run with a wrong file, or with none, trains on
    without an error and ends with a low AP. The report counts the model's tensors: loaded,
    skipped for their shape, and absent from the file, by part of the model.

    Raises:
        CheckpointError: for a file of which nothing fits; for one that leaves a part of the model
            random where it is to be scored or resumed; for a resumed run whose backbone would be
            frozen otherwise than before (FASHION_WEIGHTS and FASHION_BACKBONE decide that too).
    """

    priority = "LOW"

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._filled: set[str] = set()
        self._told = False
        self._trained = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what is frozen with the weights; see ``after_load_checkpoint``."""
        checkpoint.setdefault("meta", {})["frozen"] = _frozen_settings(bare(runner))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the file with the model; the report follows when the loop starts."""
        model, source = bare(runner), _source(runner)
        weights = checkpoint.get("state_dict", checkpoint)
        self._lines, self._filled = compare(model, weights)
        if not self._filled:
            raise CheckpointError(
                f"{source}: weights of this model expected, got a file of {len(weights)} "
                "tensors of which none fits. Does the checkpoint belong to this config?"
            )
        if not runner._resume:
            return
        if self._gaps(model):
            raise CheckpointError(_not_whole(source, self._lines[1:]))
        meta = checkpoint.get("meta")
        before = meta.get("frozen") if isinstance(meta, dict) else None
        now = _frozen_settings(model)
        if before is not None and before != now:
            raise CheckpointError(
                f"{source}: a run that froze its backbone as this config does ({now}) expected, "
                f"got {before}. Set FASHION_WEIGHTS and FASHION_BACKBONE, of which 'none' freezes "
                "nothing, as at the run's start."
            )

    def before_train(self, runner: Runner) -> None:
        self._trained = True
        self._tell(runner)

    def before_val(self, runner: Runner) -> None:
        self._require_weights(runner)

    def before_test(self, runner: Runner) -> None:
        self._require_weights(runner)

    def _require_weights(self, runner: Runner) -> None:
        """Tell, and refuse to score a model of which a part is random and was not trained here."""
        if not self._trained and self._filled and self._gaps(bare(runner)):
            raise CheckpointError(_not_whole(_source(runner), self._lines[1:]))
        self._tell(runner)

    def _gaps(self, model: nn.Module) -> bool:
        return len(self._filled) < n_tensors(model)

    def _tell(self, runner: Runner) -> None:
        if self._told:
            return
        self._told = True
        model = bare(runner)
        if not self._trained and not self._filled:
            runner.logger.warning("weights: nothing was loaded: what is scored is random.")
            return
        if self._filled:
            verb = "resumed from" if runner._resume else "loaded from"
            lines = [f"weights: {verb} {_source(runner)}: {self._lines[0]}", *self._lines[1:]]
            if self._trained and self._gaps(model):
                lines.append(f"those start from: {initialisation(model)}")
            runner.logger.info("\n  ".join(lines))
        else:
            is_random = not any(True for _ in _init_cfgs(model))
            say = runner.logger.warning if is_random else runner.logger.info
            say(f"weights: no checkpoint; {initialisation(model)}.")
        stuck = frozen_and_random(model, self._filled)
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
    have, want = _shapes(weights), _shapes(model.state_dict())
    loaded = [k for k in want if have.get(k) == want[k]]
    misfit = [k for k in want if k in have and have[k] != want[k]]
    absent = [k for k in want if k not in have]
    unused = [k for k in have if k not in want]
    lines = [f"{len(loaded)} of the model's {len(want)} tensors"]
    if misfit or absent:
        lines[0] += f"; {len(misfit) + len(absent)} are not filled"
    for group, count in _groups(misfit):
        example = next(k for k in misfit if k.startswith(group))
        lines.append(
            f"skipped for shape: {group} ({count}; {example.rpartition('.')[2]} is "
            f"{list(have[example])} in the file, {list(want[example])} in the model)"
        )
    lines += [f"not in the file: {group} ({count})" for group, count in _groups(absent)]
    lines += [f"not in the model: {group} ({count})" for group, count in _groups(unused)]
    return lines, set(loaded)


def require_whole(model: nn.Module, weights: dict[str, Any], source: str) -> None:
    """Raise :class:`CheckpointError` unless the file fills every tensor of the model.

    What is left random still predicts something, and its figures look like those of a model.
    """
    lines, filled = compare(model, weights)
    if len(filled) < n_tensors(model):
        raise CheckpointError(_not_whole(source, lines[1:]))


def n_tensors(model: nn.Module) -> int:
    """Return how many tensors of the model a file has to fill."""
    return len(_shapes(model.state_dict()))


def _not_whole(source: str, gaps: list[str]) -> str:
    return (
        f"{source}: weights for the whole model expected, got some that leave a part of it random: "
        f"{'; '.join(gaps)}. Use the config that the checkpoint was trained with."
    )


def _shapes(weights: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {
        k.removeprefix("module."): tuple(getattr(v, "shape", ()))
        for k, v in weights.items()
        if not k.endswith("num_batches_tracked")
    }


def frozen_and_random(model: nn.Module, filled: set[str]) -> list[str]:
    """Return parameters that want no gradient and that neither a file nor ``init_cfg`` fills."""
    stuck = [
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad and name not in filled
    ]
    if stuck:  # a resumed run does not need the files of init_cfg any more: they may be gone
        pretrained = set().union(*(names for _, _, names in _pretrained(model)))
        stuck = [name for name in stuck if name not in pretrained]
    return stuck


def initialisation(model: nn.Module) -> str:
    """Say what the model starts from without a checkpoint: files of ``init_cfg``, and the rest."""
    parts = []
    for name, checkpoint, filled in _pretrained(model):
        module = model.get_submodule(name)
        wanted = [f"{name}.{k}" if name else k for k in _shapes(module.state_dict())]
        part = f"{name or 'model'} from {checkpoint}"
        gaps = [k for k in wanted if k not in filled]
        if gaps:
            part += f" ({len(filled)} of {len(wanted)} tensors; random: "
            part += ", ".join(f"{group} ({n})" for group, n in _groups(gaps, depth=2)) + ")"
        parts.append(part)
    return ", ".join([*parts, "the rest random" if parts else "all random"])


def _groups(names: Iterable[str], depth: int = 4) -> list[tuple[str, int]]:
    """Count names by module, by ever larger parts until the list is short."""
    names = list(names)
    for parts in range(depth, 0, -1):
        counts = Counter(".".join(name.split(".")[:-1][:parts]) or name for name in names)
        if len(counts) <= _MAX_GROUPS:
            break
    return list(counts.items())


def _init_cfgs(model: nn.Module) -> Iterator[tuple[str, nn.Module, dict[str, Any]]]:
    """Yield (name, module, init_cfg) of every module that starts from a file of its own."""
    for name, module in model.named_modules():
        init_cfg = getattr(module, "init_cfg", None)
        for cfg in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
            if isinstance(cfg, dict) and cfg.get("type") == "Pretrained":
                yield name, module, cfg


def _pretrained(model: nn.Module) -> list[tuple[str, str, set[str]]]:
    """Return (module, file, the model's tensors that it fills) for each ``Pretrained`` init_cfg.

    A module with an ``init_weights`` of its own (Swin) renames what it reads; it is taken to be
    filled whole.
    """
    found = []
    for name, module, cfg in _init_cfgs(model):
        want = _shapes(module.state_dict())
        have = want
        if getattr(type(module), "init_weights", BaseModule.init_weights) is (
            BaseModule.init_weights
        ):
            weights = CheckpointLoader.load_checkpoint(cfg["checkpoint"], map_location="cpu")
            weights = weights.get("state_dict", weights)
            prefix = f"{cfg['prefix'].rstrip('.')}." if cfg.get("prefix") else ""
            have = _shapes(
                {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
            )
        filled = {f"{name}.{k}" if name else k for k in want if have.get(k) == want[k]}
        found.append((name, cfg["checkpoint"], filled))
    return found


def _frozen_settings(model: nn.Module) -> dict[str, Any]:
    """Return what of the backbone stays as it was loaded."""
    backbone = getattr(model, "backbone", None)
    names = ("frozen_stages", "norm_eval")
    return {name: getattr(backbone, name) for name in names if hasattr(backbone, name)}


def bare(runner: Runner) -> nn.Module:
    """Return the model that a checkpoint is loaded into, without what is wrapped around it.

    That is torch's wrapper for several processes, one for test-time augmentation, or both.
    """
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _source(runner: Runner) -> str:
    if runner._load_from is not None:
        return str(runner._load_from)
    pointer = Path(runner.work_dir) / "last_checkpoint"
    return pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else "a checkpoint"
