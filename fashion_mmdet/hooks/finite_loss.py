"""Stops a training at its first loss that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from fashion_mmdet.core.errors import DivergedError


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends a run whose loss is nan or infinite, at that iteration, before anything is saved.

    Weights that such a loss has updated are lost, and every iteration after it is wasted; stock
    mmdet trains on. The losses are read where mmengine's ``RuntimeInfoHook`` has put them, as
    plain numbers, so that a GPU is not waited for a second time.

    Mixed precision is no exception. Its loss scaling makes *gradients* infinite now and then and
    skips those steps by itself; the loss that is logged is not scaled. One that is not finite has
    overflowed in the forward pass, which a smaller scale does not mend.

    With several processes each looks at its own losses, and torchrun ends the others.

    Raises:
        DivergedError: naming the iteration and the losses.
    """

    # After RuntimeInfoHook; before the logger and what saves checkpoints.
    priority = "NORMAL"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Look at the losses of this iteration."""
        bad = {
            name: value
            for name, value in _latest(runner, outputs).items()
            if not math.isfinite(value)
        }
        if not bad:
            return
        # The total is never finite where a part of it is not, and says less.
        names = [name for name in bad if name != "loss"] or list(bad)
        raise DivergedError(
            f"{runner.work_dir}: a finite loss expected, got {bad[names[0]]} at iteration "
            f"{runner.iter + 1} ({', '.join(names)}). Lower optim_wrapper.optimizer.lr"
            f"{_rate(runner)}, lengthen the warm-up (param_scheduler) or set "
            "optim_wrapper.clip_grad."
        )


def _latest(runner: Runner, outputs: Any) -> dict[str, float]:
    """Return loss -> value of this iteration, as the runner keeps it for its log."""
    if not isinstance(outputs, Mapping):
        return {}
    kept = runner.message_hub.log_scalars
    return {
        name: float(kept[f"train/{name}"].current() if f"train/{name}" in kept else value)
        for name, value in outputs.items()
        if "loss" in name
    }


def _rate(runner: Runner) -> str:
    rates = [rate for group in runner.optim_wrapper.get_lr().values() for rate in group]
    return f" (it was {max(rates):.3g})" if rates else ""
