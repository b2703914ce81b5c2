"""``FashionVisualizationHook``: the same few validation photos, drawn at every validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class FashionVisualizationHook(Hook):
    """Draw ground truth beside predictions for ``count`` validation photos.

    mmdet's ``DetVisualizationHook`` decodes one photo per batch whether it draws it or not,
    draws others at each epoch, and draws every photo of a test. Here the photos are spread
    evenly over the validation set and stay the same, so that progress can be seen; a test draws
    none (``fashion show`` does). A picture that fails is said once and stops nothing.

    Args:
        count: how many photos; 0 for none.
        score_thr: predictions below are not drawn.
    """

    def __init__(self, count: int = 8, score_thr: float = 0.3) -> None:
        self.count = count
        self.score_thr = score_thr
        self._failed = False

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Draw the first photo of the batch if it is one of the chosen."""
        batches = len(runner.val_dataloader)
        chosen = np.linspace(0, batches, min(self.count, batches), endpoint=False).astype(int)
        if batch_idx not in chosen or self._failed:
            return
        sample = outputs[0]
        try:
            image = mmcv.imfrombytes(get(sample.img_path), channel_order="rgb")
            runner.visualizer.add_datasample(
                f"val_{sample.img_id}",
                image,
                data_sample=sample,
                pred_score_thr=self.score_thr,
                step=runner.iter,
            )
        except Exception as error:  # a picture is not worth a run
            self._failed = True
            runner.logger.warning(
                f"{sample.img_path}: a picture of its predictions expected, got "
                f"{type(error).__name__}: {error}. No more pictures are drawn in this run."
            )
