"""Where the names of instances go on a picture, and how they are written there.

No label covers another. Torch-free.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1, the last two exclusive

_LONGEST = 30  # characters of a name; what is longer ends in an ellipsis, lest scores be cut off
_ELLIPSIS = "…"
_GAP_PX = 2  # between labels: two of one colour would read as one
_ORDER_COSTS = 0.04  # of a place after another
_FAR_COSTS = 3.0  # of a whole diagonal between a label and what it names
_NOTE, _EDGE = (30, 30, 30), (255, 255, 255)  # RGB
_HIDING_COSTS = 2.0  # of hiding the whole of one garment
_POLE_PX = 48  # side of the grid on which the middle of a mask is looked for


@dataclass(frozen=True)
class Label:
    """A name to be written, and what it names.

    Attributes:
        name: of the class.
        score: 0..1, written behind the name; None for none.
        colour: RGB of the class.
        box_xyxy: of the instance, whole px of the picture.
        mark: the number of the instance in the map of what is seen where.
    """

    name: str
    score: float | None
    colour: Colour
    box_xyxy: tuple[int, int, int, int]
    mark: int


@dataclass(frozen=True)
class Placed:
    """A label in its place.

    Attributes:
        text: what is written.
        colour: RGB of the ground it is written on.
        rectangle: x0, y0, x1, y1 in px of the picture, the last two exclusive.
        target: x, y of the pixel that a line leads to; None where the label is at its instance.
    """

    text: str
    colour: Colour
    rectangle: Rectangle
    target: tuple[int, int] | None = None


def place_labels(labels: Sequence[Label], seen_HW: np.ndarray) -> list[Placed]:
    """Find a place for each label: within the picture, and on no other label.

    The first have the choice. A label goes where it hides least of the garments: into the upper
    left corner of its box, above it, below, right, left, or onto the middle of the mask. Where
    other labels leave none of these, it goes to a free place nearby, and a line leads back. Once
    there is no such place, this label and all after it are left out, and ``+12 more`` stands in a
    corner.

    Args:
        labels: the most important first.
        seen_HW: (H, W) integers: of each pixel of the picture, the mark of the instance that is
            seen there; -1 for none.
    """
    height, width = seen_HW.shape
    font = _font(font_px(seen_HW.shape[:2], len(labels)))
    board = _Board(seen_HW)
    placed = _placed(labels, font, board)
    if len(placed) == len(labels):
        return placed
    # Once more, with room for the note: of the widest that it can become.
    note_wh = _size_of(f"+{len(labels)} more", font)
    corner = board.corner(note_wh)
    if corner is None:
        return placed
    board = _Board(seen_HW)
    board.take(corner)
    placed = _placed(labels, font, board)
    text = f"+{len(labels) - len(placed)} more"
    return [*placed, Placed(text, _NOTE, corner)]


def write_labels(picture: np.ndarray, placed: Sequence[Placed], font_size_px: int) -> np.ndarray:
    """Return a picture with labels on it: lines first, which no label is to be crossed by.

    Args:
        picture: (H, W, 3) uint8, RGB.
        placed: from :func:`place_labels`.
        font_size_px: from :func:`font_px`, as they were placed with.
    """
    if not placed:
        return picture
    lined = picture.copy()
    thin = max(2, round(font_size_px / 12))
    for label in placed:
        if label.target is not None:
            _lead(lined, label, thin)
    canvas = Image.fromarray(lined)
    pen, font = ImageDraw.Draw(canvas), _font(font_size_px)
    pad = _pad(font_size_px)
    for label in placed:
        x0, y0, x1, y1 = label.rectangle
        # Pillow draws the last pixel too.
        pen.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius=pad, fill=label.colour)
        pen.text((x0 + pad, (y0 + y1) / 2), label.text, _ink(label.colour), font, anchor="lm")
    return np.asarray(canvas)


def font_px(size_hw: tuple[int, int], n_labels: int) -> int:
    """Return the size of letters that suits a picture: smaller where many share it."""
    share = (20 / max(n_labels, 20)) ** 0.5
    return int(np.clip(round((size_hw[0] * size_hw[1]) ** 0.5 / 46 * max(share, 0.75)), 12, 40))


class _Board:
    """What of a picture is taken by labels, and what a place on it would hide."""

    def __init__(self, seen_HW: np.ndarray) -> None:
        self.seen_HW = seen_HW
        self.taken: list[Rectangle] = []
        marks, n_px = np.unique(seen_HW[seen_HW >= 0], return_counts=True)
        share_of = np.zeros(int(marks.max(initial=-1)) + 2)  # the last is of -1, no instance
        share_of[marks] = 1 / n_px
        # Of any rectangle, which share of each instance it hides, all in all.
        self._hidden = cv2.integral(share_of.astype(np.float32)[seen_HW])

    def take(self, rectangle: Rectangle) -> None:
        self.taken.append(rectangle)

    def is_free(self, rectangle: Rectangle) -> bool:
        x0, y0, x1, y1 = rectangle
        return not any(
            x0 < b[2] + _GAP_PX and b[0] < x1 + _GAP_PX
            and y0 < b[3] + _GAP_PX and b[1] < y1 + _GAP_PX
            for b in self.taken
        )  # fmt: skip

    def clipped(self, x: float, y: float, size_wh: tuple[int, int]) -> Rectangle:
        """Return the rectangle of that corner and size, moved into the picture."""
        height, width = self.seen_HW.shape
        left = int(min(max(x, 0), width - size_wh[0]))
        top = int(min(max(y, 0), height - size_wh[1]))
        return left, top, left + size_wh[0], top + size_wh[1]

    def hides(self, rectangle: Rectangle) -> float:
        x0, y0, x1, y1 = rectangle
        a = self._hidden
        return float(a[y1, x1] - a[y0, x1] - a[y1, x0] + a[y0, x0])

    def corner(self, size_wh: tuple[int, int]) -> Rectangle | None:
        """Return the corner of the picture where a note hides least; None where it has no room."""
        height, width = self.seen_HW.shape
        if size_wh[0] > width or size_wh[1] > height:
            return None
        ends = ((width, height), (0, height), (width, 0), (0, 0))
        return min((self.clipped(x, y, size_wh) for x, y in ends), key=self.hides)

    def nearest(self, target: tuple[int, int], size_wh: tuple[int, int]) -> Rectangle | None:
        """Return the free rectangle that is near ``target`` and hides little; None for none."""
        height, width = self.seen_HW.shape
        w, h = size_wh
        step = max(2, h // 3)
        xs = np.unique(np.append(np.arange(0, width - w + 1, step), width - w))
        ys = np.unique(np.append(np.arange(0, height - h + 1, step), height - h))
        free = np.ones((ys.size, xs.size), dtype=bool)
        for x0, y0, x1, y1 in self.taken:
            rows = slice(*np.searchsorted(ys, (y0 - _GAP_PX - h + 1, y1 + _GAP_PX)))
            columns = slice(*np.searchsorted(xs, (x0 - _GAP_PX - w + 1, x1 + _GAP_PX)))
            free[rows, columns] = False
        if not free.any():
            return None
        # From the target to the nearest edge of the label: it may well lie upon it.
        away_x = np.maximum(np.maximum(xs - target[0], target[0] - xs - w), 0)
        away_y = np.maximum(np.maximum(ys - target[1], target[1] - ys - h), 0)
        far = np.hypot(away_y[:, None], away_x) / np.hypot(height, width)
        a = self._hidden
        hides = a[np.ix_(ys + h, xs + w)] - a[np.ix_(ys, xs + w)]
        hides += a[np.ix_(ys, xs)] - a[np.ix_(ys + h, xs)]
        costs = np.where(free, _FAR_COSTS * far + _HIDING_COSTS * hides, np.inf)
        row, column = np.unravel_index(int(costs.argmin()), costs.shape)
        x, y = int(xs[column]), int(ys[row])
        return x, y, x + w, y + h

    def middle(self, mark: int, box_xyxy: tuple[int, int, int, int]) -> tuple[int, int]:
        """Return a pixel well inside what is seen of an instance and no label lies on, x and y."""
        x0, y0, x1, y1 = box_xyxy
        every = max(1, max(x1 - x0, y1 - y0) // _POLE_PX)
        inside = (self.seen_HW[y0:y1:every, x0:x1:every] == mark).astype(np.uint8)
        open_too = inside.copy()
        for a, b, c, d in self.taken:
            near = (-(-(max(v, 0)) // every) for v in (a - x0, b - y0, c - x0, d - y0))
            left, upper, right, lower = near
            open_too[upper:lower, left:right] = 0
        if open_too.any():
            inside = open_too
        if not inside.any():
            return (x0 + x1) // 2, (y0 + y1) // 2
        depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        return x0 + int(column) * every, y0 + int(row) * every


def _placed(
    labels: Sequence[Label], font: ImageFont.FreeTypeFont, board: _Board
) -> list[Placed]:
    height, width = board.seen_HW.shape
    out = []
    for label in labels:
        text = _text(label, font, width)
        size_wh = _size_of(text, font)
        if not text or size_wh[1] > height:
            break
        found = _place(label, size_wh, board)
        if found is None:
            break
        rectangle, target = found
        board.take(rectangle)
        out.append(Placed(text, label.colour, rectangle, target))
    return out


def _place(
    label: Label, size_wh: tuple[int, int], board: _Board
) -> tuple[Rectangle, tuple[int, int] | None] | None:
    """Return the rectangle of a label and what a line leads to, if any; None without room."""
    x0, y0, x1, y1 = box = _within(label.box_xyxy, board.seen_HW.shape)
    w, h = size_wh
    x, y = board.middle(label.mark, box)
    corners = (
        (x0, y0), (x0, y0 - h), (x0, y1), (x1, y0), (x0 - w, y0), (x - w / 2, y - h / 2),
    )  # fmt: skip
    best: tuple[float, Rectangle] | None = None
    for n, corner in enumerate(corners):
        rectangle = board.clipped(*corner, size_wh)
        if board.is_free(rectangle):
            costs = _HIDING_COSTS * board.hides(rectangle) + n * _ORDER_COSTS
            if best is None or costs < best[0]:
                best = costs, rectangle
    if best is not None:
        return best[1], None
    far = board.nearest((x, y), size_wh)
    return None if far is None else (far, (x, y))


def _within(
    box_xyxy: tuple[int, int, int, int], size_hw: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return a box cut off where the picture ends, at least a pixel wide and high."""
    height, width = size_hw
    x0, y0 = min(max(box_xyxy[0], 0), width - 1), min(max(box_xyxy[1], 0), height - 1)
    return x0, y0, min(max(box_xyxy[2], x0 + 1), width), min(max(box_xyxy[3], y0 + 1), height)


def _text(label: Label, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """Return what is written: shortened until it fits the picture; "" where nothing does."""
    name = _drawable(label.name)
    behind = "" if label.score is None else f" {label.score:.2f}"
    for length in (len(name), *range(min(_LONGEST, len(name) - 1), 0, -1)):
        if length > _LONGEST:
            continue
        short = name if length == len(name) else f"{name[: length - 1].rstrip(' ,')}{_ELLIPSIS}"
        if _size_of(short + behind, font)[0] <= width_px:
            return short + behind
    return ""


def _drawable(text: str) -> str:
    """Return a text on one line; what the font lacks by number, as in ``\\u0e01``."""
    known = _known()
    line = "".join(c if c.isprintable() else " " for c in text)
    return "".join(
        c if ord(c) in known else c.encode("ascii", "backslashreplace").decode() for c in line
    )


def _size_of(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    """Return width and height of a label, px."""
    pad = _pad(int(font.size))
    return int(np.ceil(font.getlength(text))) + 2 * pad, int(font.size) + 2 * pad


def _pad(size_px: int) -> int:
    return max(2, round(size_px / 4))


def _ink(colour: Colour) -> Colour:
    # Luminance after ITU-R BT.601: black text on light colours, white on dark ones.
    return (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else (255, 255, 255)


def _lead(picture: np.ndarray, label: Placed, width_px: int) -> None:
    """Draw a line from a label to what it names, with a light edge that shows it on any ground."""
    assert label.target is not None
    x0, y0, x1, y1 = label.rectangle
    x, y = label.target
    begin = (min(max(x, x0), x1 - 1), min(max(y, y0), y1 - 1))
    for more, colour in ((2, _EDGE), (0, label.colour)):
        cv2.line(picture, begin, (x, y), colour, width_px + more, cv2.LINE_AA)
        cv2.circle(picture, (x, y), width_px + 1 + more // 2, colour, -1, cv2.LINE_AA)


def _path() -> str:
    # It comes with matplotlib, and knows more letters than Pillow's own.
    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


@functools.lru_cache(maxsize=32)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_path(), size_px)


@functools.cache
def _known() -> frozenset[int]:
    return frozenset(FT2Font(_path()).get_charmap())
