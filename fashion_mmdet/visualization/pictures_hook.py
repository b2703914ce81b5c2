"""``FashionVisualizationHook``: a few photos at every validation; those of a test on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from matplotlib import pyplot
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside


@HOOKS.register_module()
class FashionVisualizationHook(Hook):
    """Draw ground truth beside predictions: some photos of a validation, all of a test if asked.

    mmdet's ``DetVisualizationHook`` decodes one photo per batch whether it draws it or not,
    and draws others at each epoch. Here the photos are spread evenly over the validation set and
    stay the same, so that progress can be seen. A test draws none, unless ``mim test --show-dir``
    or ``--show`` has set ``draw``: then all of them. A picture that fails is said once and stops
    nothing.

    Args:
        count: how many photos of a validation; 0 for none.
        score_thr: predictions below are not drawn.
        draw: draw the photos of a test. Validations are drawn whatever it says.
        show: open a window for each photo of a test; nothing goes to the backends then.
        wait_time: how long a window stays, in seconds; 0 is until a key is pressed.
        test_out_dir: folder for the pictures of a test, within ``work_dir/timestamp`` as mmdet has
            it; each keeps its photo's place below the folder of the photos. None: they go to the
            backends. Of several processes the first alone draws its share, as in mmdet.
    """

    def __init__(
        self,
        count: int = 8,
        score_thr: float = 0.3,
        draw: bool = False,
        show: bool = False,
        wait_time: float = 0.0,
        test_out_dir: str | None = None,
    ) -> None:
        self.count = count
        self.score_thr = score_thr
        self.draw = draw
        self.show = show
        self.wait_time = wait_time
        self.test_out_dir = test_out_dir
        self._failed = False
        self._photo_of: dict[str, str] = {}  # picture -> photo, of one test

    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Draw the first photo of the batch if it is one of the chosen."""
        batches = len(runner.val_dataloader)
        chosen = np.linspace(0, batches, min(self.count, batches), endpoint=False).astype(int)
        if batch_idx not in chosen or self._failed:
            return
        sample = outputs[0]
        self._draw(
            runner, sample, "No more pictures are drawn in this run.", f"val_{sample.img_id}",
            step=runner.iter,
        )  # fmt: skip

    def before_test_epoch(self, runner: Any) -> None:
        """Forget the pictures of the test before; look whether there can be windows."""
        self._photo_of = {}
        if self.draw and self.show and pyplot.get_backend().lower() == "agg":
            # mmengine would draw into nothing and wait for a key all the same.
            self.show = False
            self.draw = self.test_out_dir is not None
            runner.logger.warning(
                "--show: a display to open windows on expected, found none. No window is opened; "
                "--show-dir writes the pictures to files."
            )

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] = ()
    ) -> None:
        """Draw every photo of the batch, if that is asked for."""
        if not self.draw:
            return
        for sample in outputs:
            name = os.path.basename(sample.img_path) if self.show else f"test_{sample.img_id}"
            self._draw(
                runner, sample, "The test goes on; more failures are not told.", name,
                show=self.show, wait_time=self.wait_time, out_file=self._out_file(runner, sample),
            )  # fmt: skip

    def _out_file(self, runner: Any, sample: Any) -> str | None:
        """Return the picture's file: no other photo of this test has it."""
        if self.test_out_dir is None:
            return None
        # Written anew each time: mmdet's joins the folder to itself, batch after batch.
        folder = Path(runner.work_dir) / runner.timestamp / self.test_out_dir
        path = folder / _below(_photos_dir(runner), sample.img_path)
        if self._photo_of.setdefault(str(path), sample.img_path) != sample.img_path:
            path = path.with_name(f"{path.stem}_{sample.img_id}{path.suffix}")
            self._photo_of[str(path)] = sample.img_path
        return str(path)

    def _draw(self, runner: Any, sample: Any, what_now: str, name: str, **kwargs: Any) -> None:
        try:
            image = mmcv.imfrombytes(get(sample.img_path), channel_order="rgb")
            runner.visualizer.add_datasample(
                name, image, data_sample=sample, pred_score_thr=self.score_thr, **kwargs
            )
        except Exception as error:  # a picture is not worth a run
            if not self._failed:
                runner.logger.warning(
                    f"{sample.img_path}: a picture of its predictions expected, got "
                    f"{type(error).__name__}: {error}. {what_now}"
                )
            self._failed = True


def _photos_dir(runner: Any) -> str | None:
    """Return the folder that the test set's photos are named from; None where it is not told."""
    dataset: Any = getattr(runner.test_dataloader, "dataset", None)
    while hasattr(dataset, "dataset"):  # a wrapper around one
        dataset = dataset.dataset
    prefix = getattr(dataset, "data_prefix", None) or {}
    return prefix.get("img") or None


def _below(folder: str | None, photo: str) -> Path:
    """Return where ``photo`` lies below ``folder``; its name alone where it lies elsewhere."""
    name = os.path.basename(photo)
    if folder is None:
        return Path(name)
    try:
        below = os.path.relpath(photo, folder)
        inside(folder, below, photo)
    except (FashionError, ValueError):  # ValueError: on another drive
        return Path(name)
    return Path(below)
