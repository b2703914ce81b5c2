"""``AutocastOptimWrapper``: mixed precision on a GPU and on a CPU, one class for both."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(AmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``, which also runs on a CPU.

    On a GPU it is the parent, unchanged: autocast to ``dtype`` with loss scaling. On a CPU,
    where the parent refuses to be built, it is autocast to bfloat16; that type has the range of
    float32, so the loss is not scaled. It pays only on a CPU that computes in it (AMX); elsewhere
    a step takes longer than in float32. Weights and optimizer state stay float32 on both, and a
    checkpoint of one resumes on the other.

    Args:
        loss_scale: ``"dynamic"``, a number, or arguments of torch's ``GradScaler``; used on a
            GPU only.
        dtype: ``"float16"`` (a GPU's default) or ``"bfloat16"`` (all that a CPU has).
        **kwargs: as for mmengine's ``OptimWrapper`` (``optimizer``, ``clip_grad``, ...).
    """

    def __init__(
        self,
        loss_scale: str | float | dict[str, Any] = "dynamic",
        dtype: str | torch.dtype | None = None,
        **kwargs: Any,
    ) -> None:
        if get_device() != "cpu":
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
            return
        OptimWrapper.__init__(self, **kwargs)
        # What the parent's methods read. A disabled scaler hands everything through.
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.cast_dtype = torch.bfloat16
        if dtype not in (None, "bfloat16", torch.bfloat16):
            print_log(
                f"AutocastOptimWrapper: a CPU autocasts to bfloat16 only, {dtype} is not used.",
                logger="current",
                level=logging.WARNING,
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume; a checkpoint written on a CPU has no loss scale to restore."""
        if not state_dict.get("loss_scaler"):
            state_dict.pop("loss_scaler", None)
        super().load_state_dict(state_dict)
