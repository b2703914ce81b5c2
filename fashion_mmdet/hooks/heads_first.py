"""Training the heads first: the backbone rests for some epochs, then joins in."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


@HOOKS.register_module()
class HeadsFirstHook(Hook):
    """Freeze the backbone for the first ``epochs`` epochs, then train what the model trains.

    "Heads" is all but the backbone: FPN, RPN, box and mask heads, as in Matterport's Mask R-CNN
    (``layers='heads'``). Parameters that the model itself keeps frozen (``frozen_stages``) stay
    so afterwards. Works across a resume, because it looks at the epoch and not at a state.

    With several processes set ``find_unused_parameters=True``: the wrapper was built while the
    backbone still wanted gradients.

    Args:
        epochs: number of epochs that the backbone rests, at least 1.
    """

    def __init__(self, epochs: int = 1) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"HeadsFirstHook: epochs >= 1 expected, got {epochs!r}.")
        self.epochs = epochs
        self._resting: list[Any] = []

    def before_train_epoch(self, runner: Any) -> None:
        """Freeze or release, by the number of the epoch that begins (0-based)."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if runner.epoch < self.epochs:
            if not self._resting:
                self._resting = [p for p in model.backbone.parameters() if p.requires_grad]
                runner.logger.info(
                    f"heads first: {len(self._resting)} backbone tensors rest until epoch "
                    f"{self.epochs + 1}."
                )
            for parameter in self._resting:
                parameter.requires_grad_(False)
        elif self._resting:
            for parameter in self._resting:
                parameter.requires_grad_(True)
            self._resting = []
            runner.logger.info("heads first: the backbone joins in.")
