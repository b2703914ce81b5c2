"""The photos of a report: instances and detections drawn onto them, whole or cut round a box."""

from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from datasets_tools.browse.drawing import Mask, paint, read_photo
from datasets_tools.browse.lettering import lettering
from datasets_tools.colours import rgb_of_id
from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import FashionError, MaskError
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.files import inside
from fashion_mmdet.core.shapes import Shapes

Colour = tuple[int, int, int]

_FILL = 0.3  # how much of a class's colour covers the photo
_GROUND, _INK = (22, 25, 31), (230, 232, 235)  # of title strips: at home on light and dark pages
_WHITE, _EDGE = (255, 255, 255), (0, 0, 0)
_MARGIN = 0.25  # of a cut, on each side, in sides of its box
_LEAST_CUT_PX = 48  # a button alone, much enlarged, tells nobody what it is
_OVER_PX = 8  # drawn beyond a cut: there an outline would run along its edge
_FULL_SIZE_PX = 1 << 30  # asks the reader of JPEGs for all pixels
_QUALITY = 86


class Photos:
    """The photos of an evaluation, read one at a time.

    Args:
        evidence: names the photos and their sizes.
        folder: where they lie; None for where the evaluation found them.

    Attributes:
        missing: why photos could not be read -> how many; each photo counts once.
    """

    def __init__(self, evidence: Evidence, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = evidence.photos if folder is None else os.fspath(folder)
        self.missing: Counter[str] = Counter()
        self._evidence = evidence
        self._missed: set[int] = set()

    def read(self, image_index: int) -> np.ndarray | None:
        """Return a photo, upright, (H, W, 3) uint8 RGB; None where it cannot be read or is another.

        Args:
            image_index: position in ``evidence.image_ids``.
        """
        photo, fault = self._read(image_index)
        if fault is not None and image_index not in self._missed:
            self._missed.add(image_index)
            self.missing[fault] += 1
        return photo

    def _read(self, image_index: int) -> tuple[np.ndarray | None, str | None]:
        name = self._evidence.file_names.get(int(self._evidence.image_ids[image_index]))
        if self.folder is None:
            return None, "the folder of the photos is not known"
        if name is None:
            return None, "no file name in the evidence"
        try:
            path = inside(self.folder, name, "file_name")
        except FashionError:
            return None, "a file name that leaves the folder of the photos"
        try:
            photo, photo_hw = read_photo(Path(self.folder), name, _FULL_SIZE_PX)
        except FashionError:
            return None, "not a readable photo" if os.path.isfile(path) else "no such file"
        if list(photo_hw) != self._evidence.size_hw[image_index].tolist():
            return None, "another size than the annotations say"
        return np.asarray(photo), None


def panel(
    photo: np.ndarray | None,
    evidence: Evidence,
    image_index: int,
    shapes: Shapes,
    indices: Sequence[int],
    side_px: int,
) -> np.ndarray:
    """Return a photo with instances on it: filled lightly, outlined, named where there is room.

    Args:
        photo: (H, W, 3) uint8 RGB, from :meth:`Photos.read`; None draws on plain grey.
        evidence: what ``shapes`` are of.
        image_index: position of the photo in ``evidence.image_ids``.
        shapes: ``evidence.truth``, or detections, whose scores are written.
        indices: which of ``shapes``.
        side_px: longest side of the picture.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    size_hw = evidence.size_hw[image_index]
    picture = Image.fromarray(_resized(_ground(photo, size_hw), side_px))
    colours = class_colours(evidence.classes)
    masks, names = [], []
    for place, n in enumerate(int(n) for n in indices):
        label = int(shapes.label[n])
        masks.append(_mask(shapes, n, size_hw, picture.size, place))
        names.append((_named(evidence, shapes, n), colours[label]))
    return np.asarray(paint(picture, masks, names, _FILL))


def side_by_side(panels: Sequence[np.ndarray], titles: Sequence[str]) -> bytes:
    """Return a JPEG of pictures in a row, each below a strip with its title.

    Args:
        panels: (h, w, 3) uint8 RGB each.
        titles: one for each; cut where it is too long.
    """
    font_px = max(12, round(max(max(p.shape[:2]) for p in panels) / 36))
    strip, gap = 2 * font_px, max(2, font_px // 4)
    height = strip + max(p.shape[0] for p in panels)
    width = sum(p.shape[1] for p in panels) + gap * (len(panels) - 1)
    canvas = Image.new("RGB", (width, height), _GROUND)
    pen, left = ImageDraw.Draw(canvas), 0
    for picture, title in zip(panels, titles, strict=True):
        length, room = 80, picture.shape[1] - font_px
        text, font = lettering(title, length, font_px)
        while length > 1 and pen.textlength(text, font) > room:
            length -= 1
            text, font = lettering(title, length, font_px)
        pen.text((left + font_px // 2, strip / 2), text, _INK, font, anchor="lm")
        canvas.paste(Image.fromarray(picture), (left, strip))
        left += picture.shape[1] + gap
    return _jpeg(canvas)


def crop(
    photo: np.ndarray | None,
    evidence: Evidence,
    image_index: int,
    truth: Sequence[int],
    found: Sequence[int],
    around_xywh: Sequence[float],
    side_px: int,
) -> bytes:
    """Return a JPEG cut round a box: instances dashed in white, detections in their class's colour.

    Args:
        photo: as for :func:`panel`.
        evidence: names, instances and detections.
        image_index: position of the photo in ``evidence.image_ids``.
        truth: positions in ``evidence.truth``.
        found: positions in ``evidence.found``.
        around_xywh: the box, px; a margin is added.
        side_px: longest side of the picture.
    """
    size_hw = [int(v) for v in evidence.size_hw[image_index]]
    cut = _cut(around_xywh, size_hw)
    scale = side_px / max(cut[2] - cut[0], cut[3] - cut[1])
    over = math.ceil(_OVER_PX / scale)
    wide = (max(cut[0] - over, 0), max(cut[1] - over, 0),
            min(cut[2] + over, size_hw[1]), min(cut[3] + over, size_hw[0]))  # fmt: skip
    size_wh = tuple(max(1, round((wide[2 + i] - wide[i]) * scale)) for i in (0, 1))
    rows_columns = np.s_[wide[1] : wide[3], wide[0] : wide[2]]
    canvas = _to_size(_ground(photo, size_hw)[rows_columns], size_wh)
    colours, width_px = class_colours(evidence.classes), max(2, round(side_px / 160))
    for shapes, indices, dashes in ((evidence.found, found, False), (evidence.truth, truth, True)):
        for n in (int(n) for n in indices):
            bitmap = _bitmap(shapes, n, size_hw)
            solid = _to_size(bitmap[rows_columns] * np.uint8(255), size_wh) >= 128
            colour = _WHITE if dashes else colours[int(shapes.label[n])]
            _outline(canvas, solid, colour, width_px, dashes)
    left, top = (round((cut[i] - wide[i]) * scale) for i in (0, 1))
    width, height = (max(1, round((cut[2 + i] - cut[i]) * scale)) for i in (0, 1))
    return _jpeg(Image.fromarray(canvas[top : top + height, left : left + width]))


def class_colours(classes: Sequence[str]) -> list[Colour]:
    """Return the RGB colour of each class, 0 to 255, in label order; the same in all reports."""
    of_label = rgb_of_id([{"id": label, "name": name} for label, name in enumerate(classes)])
    return [of_label[label] for label in range(len(classes))]


def _named(evidence: Evidence, shapes: Shapes, n: int) -> str:
    name = evidence.classes[int(shapes.label[n])]
    if shapes is not evidence.truth:
        # The score must not be what a long name is cut off at.
        short = name if len(name) <= 30 else f"{name[:29].rstrip(' ,')}…"
        return f"{short} {shapes.score[n]:.2f}"
    return f"{name} (crowd)" if shapes.is_crowd[n] else name


def _mask(
    shapes: Shapes, n: int, size_hw: Sequence[int], size_wh: tuple[int, int], place: int
) -> Mask:
    """Return shape ``n`` on a picture of ``size_wh``; ``place`` is that of its name and colour."""
    x0, y0, x1, y1 = _edges(shapes.box_xywh[n], size_hw)
    by_x, by_y = size_wh[0] / int(size_hw[1]), size_wh[1] / int(size_hw[0])
    box = (round(x0 * by_x), round(y0 * by_y), round(x1 * by_x), round(y1 * by_y))
    alpha_HW = None
    bitmap_HW = _decoded(shapes, n, size_hw)
    if bitmap_HW is not None:
        alpha_HW = _to_size(bitmap_HW * np.uint8(255), size_wh)
        # The box of a detection is not that of its mask.
        ys, xs = np.flatnonzero(alpha_HW.any(axis=1)), np.flatnonzero(alpha_HW.any(axis=0))
        if ys.size:
            box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    return Mask(alpha_HW, box, int(shapes.area_px[n]), place)


def _decoded(shapes: Shapes, n: int, size_hw: Sequence[int]) -> np.ndarray | None:
    """Return the bitmap, (H, W) uint8 of 0 and 1; None where there is none, or a damaged one."""
    if shapes.counts is None:
        return None
    try:
        return rle.decode(shapes.rle(n, size_hw))
    except MaskError:
        return None


def _bitmap(shapes: Shapes, n: int, size_hw: Sequence[int]) -> np.ndarray:
    """Return the bitmap of a mask, else of the box."""
    bitmap_HW = _decoded(shapes, n, size_hw)
    if bitmap_HW is None:
        bitmap_HW = np.zeros(size_hw, dtype=np.uint8)
        x0, y0, x1, y1 = (max(0, round(v)) for v in _edges(shapes.box_xywh[n], size_hw))
        bitmap_HW[y0:y1, x0:x1] = 1
    return bitmap_HW


def _edges(box_xywh: Sequence[float], size_hw: Sequence[int]) -> list[float]:
    """Return x0, y0, x1, y1 of a box, none further out of the photo than its size.

    No pencil reaches a box at 1e300.
    """
    x, y, width, height = map(float, box_xywh)
    reach = np.array([size_hw[1], size_hw[0]] * 2, dtype=np.float64)
    edges = np.nan_to_num([x, y, x + width, y + height])
    return np.clip(edges, -reach, 2 * reach).tolist()  # type: ignore[no-any-return]


def _cut(around_xywh: Sequence[float], size_hw: Sequence[int]) -> tuple[int, int, int, int]:
    """Return a square (x0, y0, x1, y1) round a box; where the photo ends it is cut off or moved."""
    x0, y0, x1, y1 = _edges(around_xywh, size_hw)
    side = max((1 + 2 * _MARGIN) * max(x1 - x0, y1 - y0), _LEAST_CUT_PX)
    ends = []
    for middle, photo_px in (((x0 + x1) / 2, int(size_hw[1])), ((y0 + y1) / 2, int(size_hw[0]))):
        length = min(math.ceil(side), photo_px)
        start = min(max(round(middle - length / 2), 0), photo_px - length)
        ends.append((start, start + length))
    (left, right), (upper, lower) = ends
    return left, upper, right, lower


def _outline(
    canvas: np.ndarray, solid_HW: np.ndarray, colour: Colour, width_px: int, dashes: bool
) -> None:
    """Draw an outline with a dark edge, which keeps it visible on any photo."""
    lines, _ = cv2.findContours(solid_HW.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if dashes:
        on, period = 5 * width_px, 9 * width_px
        pieces = [
            line[start : start + on] for line in lines for start in range(0, len(line), period)
        ]
    else:
        pieces = list(lines)
    for width, rgb in ((width_px + 2, _EDGE), (width_px, colour)):
        cv2.polylines(canvas, pieces, not dashes, rgb, width, cv2.LINE_AA)


def _ground(photo: np.ndarray | None, size_hw: Sequence[int]) -> np.ndarray:
    return np.full((*map(int, size_hw), 3), 128, dtype=np.uint8) if photo is None else photo


def _resized(picture: np.ndarray, side_px: int) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = side_px / max(height, width)
    return _to_size(picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def _to_size(picture: np.ndarray, size_wh: tuple[int, ...]) -> np.ndarray:
    # Made smaller, every pixel counts; made larger, masks must not overshoot as cubics do.
    shrinks = size_wh[0] < picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture), size_wh, interpolation=how)


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=_QUALITY, optimize=True)
    return stream.getvalue()
