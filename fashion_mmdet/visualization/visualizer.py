"""``FashionVisualizer``: ground truth beside predictions, one colour per category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.visualization import DetLocalVisualizer, get_palette
from mmengine.dist import master_only
from mmengine.registry import VISUALIZERS

from .crops import Crop, crop_of_bitmap, crop_of_code
from .drawing import Instance, draw_instances, fit, palette_of, scaled
from .labels import Colour


@VISUALIZERS.register_module()
class FashionVisualizer(DetLocalVisualizer):
    """mmdet's visualizer with another hand.

    The stock one jitters colours at random (the dress left and the dress right differ, and the
    training's random numbers are used up), covers parts by the garment they sit on, and takes
    half a minute for a 6-megapixel photo. Here a category keeps its colour from
    ``dataset_meta['palette']``, the largest instance is drawn first, no name covers another, and
    the picture is made no larger than is looked at. The hand is that of ``fashion predict``:
    :func:`.drawing.draw_instances`.

    Args:
        name: what mmengine knows this instance by.
        alpha: how much of the colour covers the photo, 0..1.
        max_side_px: longest side of one photo in the picture; a larger photo is shrunk to it.
        min_side_px: longest side that a small photo is enlarged to, lest names cover it.
        **kwargs: as for ``DetLocalVisualizer`` (``vis_backends``, ``save_dir``).
    """

    def __init__(
        self,
        name: str = "visualizer",
        alpha: float = 0.45,
        max_side_px: int = 1024,
        min_side_px: int = 640,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, alpha=alpha, **kwargs)
        self.max_side_px = max_side_px
        self.min_side_px = min_side_px

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Any = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw ground truth (left) and predictions (right); show, write or hand to the backends.

        Args:
            name: what the backends call the picture.
            image: (height, width, 3) uint8, RGB, of the size that boxes and masks are in.
            data_sample: a ``DetDataSample`` with ``gt_instances``, ``pred_instances`` or both.
            draw_gt: draw the ground truth, where there is some.
            draw_pred: draw the predictions, where there are some.
            show: open a window; the backends get no picture then.
            wait_time: how long the window stays, in seconds; 0 is until a key is pressed.
            out_file: write here; the backends get no picture then.
            pred_score_thr: predictions below are not drawn.
            step: what the backends file the picture under.
        """
        panels = []
        if data_sample is not None:
            data_sample = data_sample.cpu()
            if draw_gt and "gt_instances" in data_sample:
                panels.append(self._panel(image, data_sample.gt_instances))
            if draw_pred and "pred_instances" in data_sample:
                found = data_sample.pred_instances
                panels.append(self._panel(image, found[found.scores >= pred_score_thr]))
        if not panels:
            panels.append(fit(image, self.max_side_px, self.min_side_px))
        picture = np.concatenate(panels, axis=1)
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(picture[..., ::-1], out_file)
        elif not show:
            self.add_image(name, picture, step)

    def _panel(self, image: np.ndarray, instances: Any) -> np.ndarray:
        panel = fit(image, self.max_side_px, self.min_side_px)
        labels = [int(v) for v in instances.labels]
        names, colours = self._names_and_colours(labels)
        scores = [float(s) for s in instances.scores] if "scores" in instances else None
        boxes = instances.bboxes
        boxes_xyxy = scaled(getattr(boxes, "tensor", boxes), image.shape, panel.shape)
        masks = instances.masks if "masks" in instances else None
        crops = [None] * len(labels) if masks is None else _crops(masks, panel.shape[:2])
        drawn = [
            Instance(
                names[label], None if scores is None else scores[n], colours[label], box, crop
            )
            for n, (label, box, crop) in enumerate(zip(labels, boxes_xyxy, crops, strict=True))
        ]
        return draw_instances(panel, drawn, self.alpha)

    def _names_and_colours(self, labels: list[int]) -> tuple[Sequence[str], list[Colour]]:
        """Return them for every label that there is."""
        classes, palette = (self.dataset_meta.get(key) for key in ("classes", "palette"))
        names = classes or [str(label) for label in range(max(labels, default=0) + 1)]
        if isinstance(palette, str):  # "random" or a dataset's name, as mmdet's inferencer gives
            palette = get_palette(palette, len(names))
        if not palette:
            return names, palette_of(names)
        return names, [tuple(int(v) for v in colour) for colour in palette]


def _crops(masks: Any, size_hw: tuple[int, int]) -> list[Crop]:
    """Return masks of any of mmdet's kinds, and run-length codes, on a picture of ``size_hw``."""
    if isinstance(masks, (BitmapMasks, PolygonMasks)):
        masks = masks.to_ndarray()
    elif isinstance(masks, torch.Tensor):
        masks = masks.numpy()
    return [
        crop_of_code(mask, size_hw) if isinstance(mask, Mapping) else crop_of_bitmap(mask, size_hw)
        for mask in masks
    ]
