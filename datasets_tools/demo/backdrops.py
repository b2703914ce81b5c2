"""The demo's backdrops: studio, arch, room, street and park, in quiet colours.

Coordinates are shares of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import BACKDROP, Canvas, Colour, box, ellipse, ribbon, smooth
from .cloth import mix, one_of, pick, rgb, tone

WALLS = tuple(map(rgb, "efe7dc e3dcd3 d9e0e2 e9d8cc d5dccf e6dfe8 cfd6dc f2ead8 c9bfb4".split()))
WOODS = tuple(map(rgb, "b98d62 a37a55 cfae86 8c6a50 c4b6a5".split()))
LEAVES = tuple(map(rgb, "5d7f62 7a9a73 47685a 94a97f".split()))
ACCENTS = tuple(map(rgb, "d9a48f e2bf85 a9bfae 9fb2c6 c99aa0 cbb8d0 e8cfa9".split()))


def paint_backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the canvas with a random backdrop."""
    kinds = {"studio": 3, "arch": 2, "room": 2.5, "street": 2.5, "park": 1.5}
    {"studio": _studio, "arch": _arch, "room": _room, "street": _street, "park": _park}[
        pick(rng, kinds)
    ](canvas, rng)


def _put(
    canvas: Canvas, polygons: Sequence[np.ndarray], colour: Colour, alpha: float = 1.0
) -> None:
    size = np.array(canvas.size_wh, np.float64)
    canvas.paint([p * size for p in polygons], colour, owner=BACKDROP, alpha=alpha)


def _disc(canvas: Canvas, x: float, y: float, radius: float) -> np.ndarray:
    """Return a true circle; ``radius`` is a share of the picture's width."""
    width, height = canvas.size_wh
    return ellipse(x, y, radius, radius * width / height)


def _studio(canvas: Canvas, rng: np.random.Generator) -> None:
    wall = one_of(rng, WALLS)
    canvas.fade(tone(wall, 1.12), wall)
    floor = float(rng.uniform(0.8, 0.9))
    canvas.fade(tone(wall, 0.94), tone(wall, 0.86), floor, 1.0)
    if rng.random() < 0.5:
        x = float(rng.uniform(0.2, 0.8))
        _put(canvas, [_disc(canvas, x, float(rng.uniform(0.3, 0.5)), float(rng.uniform(0.3, 0.5)))],
             tone(wall, 1.3), 0.5)  # fmt: skip


def _arch(canvas: Canvas, rng: np.random.Generator) -> None:
    wall, accent = one_of(rng, WALLS), one_of(rng, ACCENTS)
    canvas.fade(wall, tone(wall, 0.95))
    x, half = float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.26, 0.4))
    top = float(rng.uniform(0.22, 0.36))
    _put(canvas, [box(x - half, top, x + half, 0.88), _disc(canvas, x, top, half)], accent)
    _put(canvas, [_disc(canvas, float(rng.uniform(0.05, 0.95)), 0.16, 0.09)], one_of(rng, ACCENTS))
    canvas.fade(tone(accent, 0.84), tone(accent, 0.76), 0.87, 1.0)
    _plant(canvas, float(rng.choice([0.09, 0.9])), 0.9, float(rng.uniform(0.18, 0.3)), rng)


def _room(canvas: Canvas, rng: np.random.Generator) -> None:
    wall, wood = one_of(rng, WALLS), one_of(rng, WOODS)
    canvas.fade(tone(wall, 1.06), tone(wall, 0.96))
    floor = float(rng.uniform(0.78, 0.87))
    canvas.fade(wood, tone(wood, 0.85), floor, 1.0)
    for x in np.arange(-0.3, 1.4, 0.17):
        _put(canvas, [ribbon([(0.5 + (x - 0.5) * 0.8, floor), (x * 1.3 - 0.15, 1.01)], 0.003)],
             tone(wood, 0.75), 0.6)  # fmt: skip
    _put(canvas, [box(0, floor - 0.022, 1, floor)], tone(wall, 1.4))
    side = float(rng.choice([0.2, 0.8]))
    if rng.random() < 0.5:
        frame = box(side - 0.17, 0.1, side + 0.17, 0.46)
        _put(canvas, [frame], tone(wall, 1.6))
        _put(canvas, [box(side - 0.15, 0.115, side + 0.15, 0.445)], rgb("bcd3df"))
        _put(canvas, [box(side - 0.006, 0.11, side + 0.006, 0.45),
                      box(side - 0.15, 0.27, side + 0.15, 0.28)], tone(wall, 1.6))  # fmt: skip
    else:
        for dy in (0.12, 0.33):
            w, h = rng.uniform(0.09, 0.14), rng.uniform(0.06, 0.08)
            _put(canvas, [box(side - w, dy, side + w, dy + 2 * h)], tone(wood, 0.6))
            _put(canvas, [box(side - w + 0.015, dy + 0.01, side + w - 0.015, dy + 2 * h - 0.01)],
                 one_of(rng, ACCENTS))  # fmt: skip
    if rng.random() < 0.6:
        _plant(canvas, 1 - side, floor + 0.03, float(rng.uniform(0.2, 0.32)), rng)
    if rng.random() < 0.5:
        rug = ellipse(0.5, 0.94, 0.44, 0.05)
        _put(canvas, [rug], one_of(rng, ACCENTS))


def _plant(canvas: Canvas, x: float, y: float, tall: float, rng: np.random.Generator) -> None:
    leaf, pot = one_of(rng, LEAVES), one_of(rng, ACCENTS)
    for turn in np.linspace(-1.1, 1.1, 7):
        reach = tall * float(rng.uniform(0.75, 1.05))
        tip = (x + np.sin(turn) * reach * 0.8, y - 0.05 - np.cos(turn) * reach)
        bend = (x + np.sin(turn) * reach * 0.25, y - 0.05 - np.cos(turn) * reach * 0.6)
        _put(canvas, [ribbon([(x, y - 0.05), bend, tip], [0.006, 0.026, 0.003])],
             tone(leaf, float(rng.uniform(0.85, 1.15))))  # fmt: skip
    rim = [(x - 0.06, y - 0.06), (x + 0.06, y - 0.06)]
    foot = [(x + 0.04, y + 0.02), (x - 0.04, y + 0.02)]
    _put(canvas, [np.array(rim + foot)], pot)


def _street(canvas: Canvas, rng: np.random.Generator) -> None:
    sky = one_of(rng, tuple(map(rgb, "cfe0ea e9dccb d7d9e4 f0e2cf".split())))
    canvas.fade(sky, tone(sky, 1.25), 0, 0.7)
    kerb = float(rng.uniform(0.76, 0.85))
    x = -float(rng.uniform(0, 0.15))
    while x < 1:
        wide, roof = float(rng.uniform(0.24, 0.42)), float(rng.uniform(0.02, 0.4))
        house = one_of(rng, WALLS + ACCENTS)
        _put(canvas, [box(x, roof, x + wide, kerb)], tone(house, 0.93))
        _put(canvas, [box(x, roof, x + wide, roof + 0.014)], tone(house, 0.75))
        pane = mix(tone(house, 0.66), rgb("8fa3b5"), 0.6)
        across = max(2, int(wide / 0.12))
        for wy in np.arange(roof + 0.05, kerb - 0.2, 0.115):
            for i in range(across):
                wx = x + wide * (i + 0.5) / across
                _put(canvas, [box(wx - 0.028, wy, wx + 0.028, wy + 0.06)], pane)
        glass = box(x + 0.03, kerb - 0.16, x + wide - 0.03, kerb - 0.03)
        awning = np.array([(x + 0.015, kerb - 0.15), (x + wide - 0.015, kerb - 0.15),
                           (x + wide, kerb - 0.19 + 0.08), (x, kerb - 0.19 + 0.08)])  # fmt: skip
        _put(canvas, [glass], tone(pane, 0.8))
        _put(canvas, [awning], one_of(rng, ACCENTS))
        x += wide
    stone = one_of(rng, tuple(map(rgb, "c6c2bc b4b3b5 cfc6b8".split())))
    canvas.fade(stone, tone(stone, 0.88), kerb, 1.0)
    _put(canvas, [box(0, kerb, 1, kerb + 0.012)], tone(stone, 0.8))
    for i, y in enumerate((0.3, 0.66)):
        y = kerb + (1 - kerb) * y
        _put(canvas, [box(0, y, 1, y + 0.004)], tone(stone, 0.84 - 0.03 * i))
    if rng.random() < 0.5:
        x = float(rng.choice([0.08, 0.92]))
        _put(canvas, [box(x - 0.012, 0.1, x + 0.012, kerb + 0.05)], rgb("4a4f55"))
        _put(canvas, [_disc(canvas, x, 0.1, 0.045)], rgb("f6e7bd"))


def _park(canvas: Canvas, rng: np.random.Generator) -> None:
    sky = one_of(rng, tuple(map(rgb, "d5e6ee f3e3cf e4e6ef".split())))
    canvas.fade(sky, tone(sky, 1.35), 0, 0.75)
    _put(canvas, [_disc(canvas, float(rng.uniform(0.1, 0.9)), 0.16, 0.1)], rgb("fbe6b5"), 0.9)
    for level, shade in ((0.5, 1.35), (0.62, 1.12)):
        leaf = tone(one_of(rng, LEAVES), shade)
        ys = level + rng.uniform(-0.07, 0.07, 5)
        ridge = smooth(list(zip(np.linspace(-0.1, 1.1, 5), ys, strict=True)))
        _put(canvas, [np.concatenate([ridge, [(1.1, 1.0), (-0.1, 1.0)]])], leaf)
    for x in rng.uniform(0, 1, int(rng.integers(1, 4))):
        leaf, y = one_of(rng, LEAVES), float(rng.uniform(0.62, 0.72))
        crown = y - float(rng.uniform(0.22, 0.34))
        _put(canvas, [box(x - 0.016, crown, x + 0.016, y + 0.08)], rgb("7d5f49"))
        for dx, dy, radius in ((0, -0.03, 0.12), (-0.08, 0.03, 0.09), (0.08, 0.03, 0.09)):
            _put(canvas, [_disc(canvas, x + dx, crown + dy, radius)], leaf)
    path = one_of(rng, tuple(map(rgb, "e2d3b8 d6cdbf c9b79c".split())))
    canvas.fade(path, tone(path, 0.9), float(rng.uniform(0.8, 0.86)), 1.0)
