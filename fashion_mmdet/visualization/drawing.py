"""Instances on a photo: filled, outlined, boxed and named. Torch-free.

One hand draws them all: the pictures of a training, of ``fashion show`` and of ``fashion predict``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.ontology import CLASSES, PALETTE
from fashion_mmdet.core.prediction import Prediction

from .crops import Crop, crop_of_code
from .labels import Colour, Label, Placed, font_px, place_labels, write_labels

_BOX_COVERS = 0.65  # of the photo under the thin line of a box
_MOST_BOX_PX = 1 << 20  # how far out of the picture a box may reach: pencils count in 32 bits


@dataclass(frozen=True)
class Instance:
    """What is to be drawn of one instance, in px of the picture.

    Attributes:
        name: of its class.
        score: 0..1, written behind the name; None for none, as of ground truth.
        colour: RGB of its class.
        box_xyxy: (4,) numbers.
        crop: its mask; None where there are boxes only.
    """

    name: str
    score: float | None
    colour: Colour
    box_xyxy: np.ndarray
    crop: Crop | None = None

    @property
    def area_px(self) -> float:
        """Of the mask, or of the box where there is none."""
        if self.crop is not None:
            return float(np.count_nonzero(self.crop.bitmap_HW))
        x0, y0, x1, y1 = self.box_xyxy
        return float((x1 - x0) * (y1 - y0))


def draw_prediction(
    image_HW3: np.ndarray,
    prediction: Prediction,
    *,
    palette: Sequence[Sequence[int]] | None,
    alpha: float = 0.45,
    max_side_px: int = 1600,
    min_side_px: int = 640,
    boxes: bool = True,
) -> np.ndarray:
    """Return a picture of what was found on a photo.

    Args:
        image_HW3: (H, W, 3) uint8, RGB, the photo that the prediction is of.
        prediction: all of it is drawn; choose before.
        palette: an RGB colour for each of the prediction's classes; None for :func:`palette_of`
            them.
        alpha: how much of the colour covers the photo, 0..1.
        max_side_px: longest side of the picture; a larger photo is shrunk to it.
        min_side_px: longest side that a small photo is enlarged to, lest names cover it.
        boxes: draw the boxes, too.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        AnnotationError: for a photo of another size than the prediction's.

    >>> found = Prediction(("dress",), (2, 3), [0], [0.9], [[0, 0, 1, 2]],
    ...                    [{"size": [2, 3], "counts": "024"}])
    >>> draw_prediction(np.zeros((2, 3, 3), np.uint8), found, palette=None).shape
    (427, 640, 3)
    """
    require_photo_of(image_HW3, prediction, "draw_prediction")
    colours = palette_of(prediction.classes) if palette is None else palette
    picture = fit(image_HW3, max_side_px, min_side_px)
    size_hw = picture.shape[:2]
    boxes_xyxy = scaled(prediction.boxes_xyxy, image_HW3.shape[:2], size_hw)
    instances = [
        Instance(name, score, _rgb(colours[label]), box, crop_of_code(code, size_hw))
        for name, label, score, box, code in zip(
            prediction.names, prediction.labels.tolist(), prediction.scores.tolist(), boxes_xyxy,
            prediction.rles, strict=True,
        )
    ]  # fmt: skip
    return draw_instances(picture, instances, alpha, boxes)


def draw_instances(
    picture: np.ndarray, instances: Sequence[Instance], alpha: float, boxes: bool = True
) -> np.ndarray:
    """Return a copy of ``picture`` with instances on it.

    They lie like cuts of coloured paper, the smaller above the larger: of each pixel one instance
    is seen, so that colours do not mix and a hundred detections of one dress do not drown it.

    Args:
        picture: (H, W, 3) uint8, RGB.
        instances: in px of it.
        alpha: how much of the colour covers the picture, 0..1.
        boxes: draw the boxes of those with masks, too.
    """
    # Not by the longest side: a panorama a few pixels high would be all rims.
    width_px = max(1, round((picture.shape[0] * picture.shape[1]) ** 0.5 / 340))
    colours_N3 = np.array([i.colour for i in instances], dtype=np.uint8).reshape(-1, 3)
    seen_HW, is_rim_HW = _stacked(instances, picture.shape[:2], width_px)
    out = picture.copy()
    filled = np.nonzero(seen_HW >= 0)
    share = np.where(is_rim_HW[filled], np.float32(1), np.float32(alpha))
    _blend(out, filled, colours_N3[seen_HW[filled]], share)
    _draw_boxes(out, instances, colours_N3, width_px, boxes)
    return write_labels(out, _placed(instances, seen_HW), font_px(seen_HW.shape, len(instances)))


def labels_of(instances: Sequence[Instance], size_hw: tuple[int, int]) -> list[Placed]:
    """Return where :func:`draw_instances` writes what on a picture of ``size_hw``."""
    return _placed(instances, _stacked(instances, size_hw, 1)[0])


def palette_of(classes: Sequence[str]) -> list[Colour]:
    """Return an RGB colour for each class, 0..255, as all pages and pictures have it.

    A name of the ontology has the ontology's colour; any other takes one by its position.

    >>> palette_of(["no such thing", "shoe"]) == [PALETTE[0], PALETTE[23]]
    True
    """
    known = dict(zip(CLASSES, PALETTE, strict=True))
    return [known.get(name, PALETTE[n % len(PALETTE)]) for n, name in enumerate(classes)]


def fit(image_HW3: np.ndarray, max_side_px: int, min_side_px: int) -> np.ndarray:
    """Return a copy whose longest side is within the two bounds."""
    height, width = image_HW3.shape[:2]
    longest = max(height, width)
    factor = min(max_side_px / longest, max(1.0, min_side_px / longest))
    if factor == 1:
        return image_HW3.copy()
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(image_HW3), size_wh, interpolation=how)


def scaled(
    boxes_xyxy: np.ndarray, from_hw: tuple[int, ...], to_hw: tuple[int, ...]
) -> np.ndarray:
    """Return (N, 4) boxes of one size of a picture on another, px."""
    # Per axis: rounding makes the two differ by a fraction of a pixel.
    factor = np.array(to_hw[1::-1]) / from_hw[1::-1]
    return np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4) * np.tile(factor, 2)


def require_photo_of(image_HW3: np.ndarray, prediction: Prediction, where: str) -> None:
    """Raise :class:`AnnotationError` unless the photo has the size that a prediction is of."""
    if image_HW3.shape != (*prediction.size_hw, 3):
        raise AnnotationError(
            f"{where}: the photo that the prediction is of, of shape {(*prediction.size_hw, 3)}, "
            f"expected, got {image_HW3.shape}. Was it turned by its EXIF orientation?"
        )


def _stacked(
    instances: Sequence[Instance], size_hw: tuple[int, int], width_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay instances on each other, the largest first.

    Returns:
        Of each pixel, the position of the instance that is seen there, -1 for none, (H, W) int16;
        and whether it is of that one's rim, ``width_px`` wide and all inside, (H, W) bool.
    """
    seen_HW = np.full(size_hw, -1, dtype=np.int16)
    is_rim_HW = np.zeros(size_hw, dtype=bool)
    core = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width_px + 1,) * 2)
    for n in _largest_first(instances):
        crop = instances[n].crop
        if crop is None or not crop.bitmap_HW.size:
            continue
        # What lies outside of the bitmap is outside of the mask.
        inner_HW = cv2.erode(crop.bitmap_HW, core, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        inside = crop.bitmap_HW.astype(bool)
        seen_HW[crop.at][inside] = n
        is_rim_HW[crop.at][inside] = inner_HW[inside] == 0
    return seen_HW, is_rim_HW


def _largest_first(instances: Sequence[Instance]) -> list[int]:
    return np.argsort([-instance.area_px for instance in instances], kind="stable").tolist()


def _blend(
    picture: np.ndarray,
    at: tuple[np.ndarray, ...],
    colours_P3: np.ndarray,
    covers: np.ndarray | np.float32,
) -> None:
    """Cover the pixels ``at`` with colours, each by a share of 0..1."""
    share = np.atleast_1d(covers)[:, None]
    below = picture[at].astype(np.float32)
    picture[at] = np.rint(below + share * (colours_P3 - below)).astype(np.uint8)


def _draw_boxes(
    picture: np.ndarray,
    instances: Sequence[Instance],
    colours_N3: np.ndarray,
    width_px: int,
    beside_masks: bool,
) -> None:
    """Draw boxes: thin and faint beside masks, bold where there is nothing else."""
    line_HW = np.full(picture.shape[:2], -1, dtype=np.int16)
    for n in _largest_first(instances):
        x0, y0, x1, y1 = _whole(instances[n].box_xyxy)
        if instances[n].crop is None:
            cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), instances[n].colour, width_px + 1)
        elif beside_masks:
            cv2.rectangle(line_HW, (x0, y0), (x1 - 1, y1 - 1), n, max(1, width_px // 2))
    if beside_masks:
        lined = np.nonzero(line_HW >= 0)
        _blend(picture, lined, colours_N3[line_HW[lined]], np.float32(_BOX_COVERS))


def _whole(box_xyxy: np.ndarray) -> tuple[int, int, int, int]:
    edges = np.clip(np.rint(np.nan_to_num(box_xyxy)), -_MOST_BOX_PX, _MOST_BOX_PX)
    x0, y0, x1, y1 = edges.astype(int).tolist()
    return x0, y0, x1, y1


def _placed(instances: Sequence[Instance], seen_HW: np.ndarray) -> list[Placed]:
    """Place the labels: the highest scores first, and where there are none, the largest."""
    order = sorted(
        range(len(instances)),
        key=lambda n: (-(instances[n].score or 0.0), -instances[n].area_px),
    )
    labels = []
    for n in order:
        each = instances[n]
        labels.append(Label(each.name, each.score, each.colour, _whole(each.box_xyxy), n))
    return place_labels(labels, seen_HW)


def _rgb(colour: Sequence[int]) -> Colour:
    r, g, b = (int(v) for v in colour)
    return r, g, b
