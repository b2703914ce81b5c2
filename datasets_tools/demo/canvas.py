"""A small vector canvas that knows, pixel by pixel, which instance it shows.

Shapes are polygons in output pixels (floats), painted back to front on a grid three times as
fine. Beside the colours the canvas keeps two id buffers: ``owner``, the garment or accessory
visible at a pixel, and ``part``, the garment part (sleeve, collar, pocket) that lies on it. A
part therefore belongs to two masks, its own and its garment's, as in iMaterialist (Fashion)
2019, and no other masks overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

#: Sub-pixels per output pixel and axis. Odd, so that one of them lies in the pixel's centre.
SUPERSAMPLE = 3
#: ``owner`` of what is no instance: the backdrop, and skin and hair.
BACKDROP, BODY = 0, 1

#: Colour as a function of output pixel coordinates: ``(x_HW, y_HW) -> rgb_HW3``, 0..255.
Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]
Colour = tuple[float, float, float]
#: ``(N, 2)``: x and y of every point.
Points = Sequence[Sequence[float]] | np.ndarray


@dataclass(frozen=True)
class Instance:
    """What one mask shows: category name, attribute ids and, for a shoe, its type."""

    category: str
    attributes: tuple[int, ...] = ()
    shoe_type: str | None = None


class Canvas:
    """A picture in the making; ``size_wh`` is its size in output pixels."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self.size_wh = size_wh
        width, height = (side * SUPERSAMPLE for side in size_wh)
        self.rgb = np.full((height, width, 3), 255, np.float32)
        self.owner = np.zeros((height, width), np.int16)
        self.part = np.zeros((height, width), np.int16)
        self._instances: dict[int, Instance] = {}

    def add(self, instance: Instance) -> int:
        """Register ``instance`` and return the id to paint it with."""
        number = BODY + 1 + len(self._instances)
        self._instances[number] = instance
        return number

    def paint(
        self,
        polygons: Sequence[np.ndarray],
        texture: Texture | Colour,
        *,
        owner: int | None = None,
        part: int = 0,
        within: int | None = None,
        shade_px: float = 0.0,
        cast_px: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        """Paint the union of ``polygons`` (each ``(N, 2)``, x and y in output pixels).

        Args:
            polygons: outlines; they may leave the picture.
            texture: one colour, or a function of the pixel coordinates.
            owner: the instance now visible here, or ``BODY``; ``None`` leaves owners and parts
                as they are (drawing on what is there).
            part: the garment part this is, if any; with ``owner=None`` it joins the owners
                that are there.
            within: paint only where this owner is visible.
            shade_px: width of the shadow along the shape's lower right edge.
            cast_px: length of the shadow thrown on the garments and skin underneath.
            alpha: opacity.
        """
        found = self._rasterise(polygons, pad=2 + int(np.ceil(cast_px * SUPERSAMPLE)))
        if found is None:
            return
        rows, columns, mask = found
        rgb, owners = self.rgb[rows, columns], self.owner[rows, columns]
        parts = self.part[rows, columns]
        if within is not None:
            mask &= owners == within
        if cast_px:
            shadow = _shifted(mask, cast_px * SUPERSAMPLE) & ~mask & (owners != BACKDROP)
            rgb[np.nonzero(shadow)] *= np.array((0.80, 0.78, 0.80), np.float32)
        y, x = at = np.nonzero(mask)  # indices beat a mask here: most shapes fill little
        if callable(texture):
            colours = texture(
                (x + columns.start + 0.5) / SUPERSAMPLE, (y + rows.start + 0.5) / SUPERSAMPLE
            )
        else:
            colours = np.array(texture, np.float32)
        rgb[at] = colours if alpha == 1 else rgb[at] + (colours - rgb[at]) * np.float32(alpha)
        if shade_px:
            edge = mask & ~_shifted(mask, -shade_px * SUPERSAMPLE)
            rgb[np.nonzero(edge)] *= np.array((0.84, 0.83, 0.86), np.float32)
        if owner is not None:
            owners[at] = owner
            parts[at] = part
        elif part:
            parts[at] = part

    def fade(self, top: Colour, low: Colour, y0: float = 0.0, y1: float = 1.0) -> None:
        """Fill the rows from ``y0`` to ``y1`` (shares of the height) with a gradient."""
        first, last = (round(y * self.rgb.shape[0]) for y in (y0, y1))
        share = np.linspace(0, 1, last - first, dtype=np.float32)[:, None]
        start, end = np.array((top, low), np.float32)
        self.rgb[first:last] = (start + (end - start) * share)[:, None]

    def picture(self) -> np.ndarray:
        """Return the picture as ``(H, W, 3)`` uint8 RGB at the output size."""
        small = cv2.resize(self.rgb, self.size_wh, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)

    def masks(self) -> list[tuple[Instance, np.ndarray]]:
        """Return every instance that is visible with its ``(H, W)`` bool mask, in paint order.

        A pixel belongs to what its centre shows, so masks part at the pixel without a gap.
        """
        centre = slice(SUPERSAMPLE // 2, None, SUPERSAMPLE)
        owner, part = self.owner[centre, centre], self.part[centre, centre]
        seen = set(np.unique(owner).tolist()) | set(np.unique(part).tolist())
        return [
            (instance, (owner == number) | (part == number))
            for number, instance in self._instances.items()
            if number in seen
        ]

    def _rasterise(
        self, polygons: Sequence[np.ndarray], pad: int
    ) -> tuple[slice, slice, np.ndarray] | None:
        fine = [np.asarray(p, np.float64) * SUPERSAMPLE - 0.5 for p in polygons]
        height, width = self.owner.shape
        low = np.floor(np.min([p.min(axis=0) for p in fine], axis=0)).astype(int) - pad
        high = np.ceil(np.max([p.max(axis=0) for p in fine], axis=0)).astype(int) + pad + 1
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, (width, height))
        if x0 >= x1 or y0 >= y1:
            return None
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for points in fine:
            fixed = np.rint((points - (x0, y0)) * 16).astype(np.int32)  # shift=4: 1/16 px
            cv2.fillPoly(mask, [fixed], 1, shift=4)
        return slice(y0, y1), slice(x0, x1), mask.view(bool)


def _shifted(mask: np.ndarray, by: float) -> np.ndarray:
    """Return ``mask`` moved right and (half as far) down by ``by`` sub-pixels."""
    dx, dy = round(by), round(by / 2)
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size_wh = mask.shape[::-1]
    moved = cv2.warpAffine(mask.view(np.uint8), move, size_wh, flags=cv2.INTER_NEAREST)
    return moved.view(bool)


# --- outlines; every function works in whatever unit its arguments have --------------------


def smooth(points: Points, closed: bool = False, steps: int = 6) -> np.ndarray:
    """Return a Catmull-Rom curve through ``points`` with ``steps`` samples per segment."""
    p = np.asarray(points, np.float64)
    if closed:
        p = np.concatenate([p[-1:], p, p[:2]])
    else:
        p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    curve = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-2:-1]])


def ribbon(
    points: Points,
    half_width: float | Sequence[float] | np.ndarray,
    round_start: bool = False,
    round_end: bool = False,
) -> np.ndarray:
    """Return the outline of a band along a smooth line; half widths are spread evenly over it."""
    centre = smooth(points)
    given = np.atleast_1d(np.asarray(half_width, np.float64))
    half = np.interp(np.linspace(0, 1, len(centre)), np.linspace(0, 1, len(given)), given)
    along = np.gradient(centre, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * half[:, None]
    # On the inside of a sharp bend the offset line runs back over itself; what comes closer to
    # the middle than the band is wide is such a loop, and would leave a hole.
    sides = []
    for side in (centre + normal, centre - normal):
        away = np.linalg.norm(side[:, None] - centre[None], axis=2)
        sides.append(side[(away > 0.9 * half).all(axis=1)])
    sides[1] = sides[1][::-1]
    if round_end:
        sides.insert(1, _cap(centre[-1], along[-1], half[-1]))
    if round_start:
        sides.append(_cap(centre[0], -along[0], half[0]))
    return np.concatenate(sides)


def _cap(at: np.ndarray, forward: np.ndarray, radius: float) -> np.ndarray:
    turn = np.linspace(np.pi / 2, -np.pi / 2, 9)[1:-1, None]
    sideways = np.array([-forward[1], forward[0]])
    return at + radius * (np.cos(turn) * forward + np.sin(turn) * sideways)


def ellipse(x: float, y: float, rx: float, ry: float, turn_deg: float = 0.0) -> np.ndarray:
    """Return an ellipse's outline, turned clockwise by ``turn_deg`` (y points down)."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    px, py = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + px * c - py * s, y + px * s + py * c], axis=1)


def box(x0: float, y0: float, x1: float, y1: float, corner: float = 0.0) -> np.ndarray:
    """Return a rectangle's outline, its corners cut by ``corner``."""
    k = corner
    if not k:
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
    outline = [
        (x0 + k, y0), (x1 - k, y0), (x1, y0 + k), (x1, y1 - k),
        (x1 - k, y1), (x0 + k, y1), (x0, y1 - k), (x0, y0 + k),
    ]  # fmt: skip
    return np.array(outline, np.float64)
