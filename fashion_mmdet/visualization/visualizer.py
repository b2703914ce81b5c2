"""``FashionVisualizer``: ground truth beside predictions, one colour per category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmdet.visualization import DetLocalVisualizer, get_palette
from mmengine.dist import master_only
from mmengine.registry import VISUALIZERS
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


@VISUALIZERS.register_module()
class FashionVisualizer(DetLocalVisualizer):
    """mmdet's visualizer with another hand.

    The stock one jitters colours at random (the dress left and the dress right differ, and the
    training's random numbers are used up), covers parts by the garment they sit on, and takes
    half a minute for a 6-megapixel photo. Here a category keeps its colour from
    ``dataset_meta['palette']``, the largest instance is drawn first, and the picture is made no
    larger than is looked at.

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
        """Draw ground truth (left) and predictions (right); write, show or hand to the backends.

        Args:
            name: what the backends call the picture.
            image: (height, width, 3) uint8, RGB, of the size that boxes and masks are in.
            data_sample: a ``DetDataSample`` with ``gt_instances``, ``pred_instances`` or both.
            draw_gt: draw the ground truth, where there is some.
            draw_pred: draw the predictions, where there are some.
            show: open a window instead of handing the picture to the backends.
            wait_time: how long the window stays, in seconds; 0 is until a key is pressed.
            out_file: write here instead of handing the picture to the backends.
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
            panels.append(self._fit(image))
        picture = np.concatenate(panels, axis=1)
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        elif out_file is not None:
            mmcv.imwrite(picture[..., ::-1], out_file)
        else:
            self.add_image(name, picture, step)

    def _fit(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        longest = max(height, width)
        factor = min(self.max_side_px / longest, max(1.0, self.min_side_px / longest))
        if factor == 1:
            return image.copy()
        size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return cv2.resize(image, size_wh, interpolation=how)

    def _panel(self, image: np.ndarray, instances: Any) -> np.ndarray:
        classes = self.dataset_meta.get("classes")
        palette = self.dataset_meta.get("palette")
        panel = self._fit(image)
        labels = [int(v) for v in instances.labels]
        if isinstance(palette, str):  # "random" or a dataset's name, as mmdet's inferencer gives
            palette = get_palette(palette, len(classes) if classes else max(labels, default=0) + 1)
        colours = [tuple(palette[v]) if palette else (255, 64, 64) for v in labels]
        names = [classes[v] if classes else str(v) for v in labels]
        if "scores" in instances:
            names = [f"{n} {float(s):.2f}" for n, s in zip(names, instances.scores, strict=True)]
        boxes = instances.bboxes
        boxes = np.asarray(getattr(boxes, "tensor", boxes), dtype=np.float64).reshape(-1, 4)
        # Per axis: rounding makes the two differ by a fraction of a pixel.
        scale = np.array(panel.shape[1::-1]) / image.shape[1::-1]
        boxes_xyxy = np.rint(boxes * np.tile(scale, 2)).astype(int)
        masks = instances.masks if "masks" in instances else None
        return draw_instances(panel, boxes_xyxy, _masks(masks, panel.shape[:2]), names, colours,
                              self.alpha)


def draw_instances(
    image: np.ndarray,
    boxes_xyxy: np.ndarray,
    masks_NHW: np.ndarray | None,
    names: Sequence[str],
    colours: Sequence[Colour],
    alpha: float,
) -> np.ndarray:
    """Return a copy of ``image`` with instances on it, the largest first.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes_xyxy: (N, 4) integers, in pixels of ``image``.
        masks_NHW: (N, H, W) bool; without masks the boxes are drawn.
        names: N texts.
        colours: N RGB triples.
        alpha: how much of the colour covers the image.
    """
    out = image.copy()
    if masks_NHW is not None:
        sizes = masks_NHW.sum(axis=(1, 2))
    else:
        sizes = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    order = np.argsort(-sizes, kind="stable")
    for i in order:
        colour = tuple(int(v) for v in colours[i])
        if masks_NHW is None:
            x0, y0, x1, y1 = boxes_xyxy[i].tolist()
            cv2.rectangle(out, (x0, y0), (x1, y1), colour, 2)
            continue
        mask = masks_NHW[i]
        out[mask] = np.rint((1 - alpha) * out[mask] + alpha * np.array(colour))
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(out, contours, -1, colour, 2)
    return _write_names(out, [(names[i], boxes_xyxy[i], colours[i]) for i in order])


def _write_names(image: np.ndarray, entries: list[tuple[str, np.ndarray, Colour]]) -> np.ndarray:
    """Write each name at its box, moved down past the names that are there already."""
    height, width = image.shape[:2]
    font = ImageFont.load_default(size=max(11, round(max(height, width) / 70)))
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    taken: list[tuple[int, int, int, int]] = []
    for name, (x, y, _, _), colour in entries:
        text_width, line = (int(v) for v in draw.textbbox((0, 0), name, font=font, anchor="lt")[2:])
        text_width, line = text_width + 6, line + 6
        left = int(np.clip(x, 0, max(width - text_width, 0)))
        top = int(np.clip(y, 0, max(height - line, 0)))
        while top + 2 * line <= height and any(
            left < x1 and left + text_width > x0 and top < y1 and top + line > y0
            for x0, y0, x1, y1 in taken
        ):
            top += line
        taken.append((left, top, left + text_width, top + line))
        # Pillow draws the last pixel too.
        draw.rectangle((left, top, left + text_width - 1, top + line - 1), fill=tuple(colour))
        # Luminance after ITU-R BT.601: black text on light colours, white on dark ones.
        bright = np.dot(colour, (0.299, 0.587, 0.114)) > 140
        draw.text((left + 3, top + 3), name, font=font, anchor="lt",
                  fill=(0, 0, 0) if bright else (255, 255, 255))
    return np.asarray(canvas)


def _masks(masks: Any, size_hw: tuple[int, int]) -> np.ndarray | None:
    """Return masks of any of mmdet's kinds as (N, height, width) bool of the asked size."""
    if masks is None:
        return None
    if isinstance(masks, (BitmapMasks, PolygonMasks)):
        masks = masks.to_ndarray()
    elif isinstance(masks, torch.Tensor):
        masks = masks.numpy()
    height, width = size_hw
    out_NHW = np.zeros((len(masks), height, width), dtype=bool)
    for out_HW, mask in zip(out_NHW, masks, strict=True):
        mask_HW = np.asarray(mask)  # of a code, its bitmap
        rows = (np.arange(height) + 0.5) * mask_HW.shape[0] / height
        columns = (np.arange(width) + 0.5) * mask_HW.shape[1] / width
        out_HW[:] = mask_HW[rows.astype(int)[:, None], columns.astype(int)]
    return out_NHW
