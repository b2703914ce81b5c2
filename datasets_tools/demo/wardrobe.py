"""The demo's garments and their parts: tops, shirts, jackets, dresses, bottoms.

Every function paints on a :class:`~datasets_tools.demo.figures.Figure` in figure units and
registers what it paints as an instance; parts (sleeve, collar, pocket) lie on their garment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .canvas import Instance, box, ribbon, smooth
from .cloth import ATTRIBUTE_IDS, Cloth, tone
from .figures import CROTCH, HIP, SHOULDER, SIDES, WAIST, Figure, along

_SHADE, _CAST = 0.014, 0.011


@dataclass(frozen=True)
class Worn:
    """A garment on a figure: its instance id, its cloth, how far its sleeves reach (0..1)."""

    owner: int
    cloth: Cloth
    sleeve: float
    ease: float = 0.0


def _register(f: Figure, category: str, cloth: Cloth, length: str | None = None) -> int:
    attributes: tuple[int, ...] = (cloth.attribute,)
    if length:
        attributes += (ATTRIBUTE_IDS[f"{length} (length)"],)
    return f.canvas.add(Instance(category, attributes))


def _side_line(f: Figure, side: int, ys: Sequence[float], ease: float) -> list[tuple[float, float]]:
    return [(f.axis(y) + side * f.half(y, ease), y) for y in ys]


def _fold(f: Figure, owner: int, cloth: Cloth, *lines: Sequence[Sequence[float]]) -> None:
    for line in lines:
        f.line(line, 0.006, tone(cloth.base, 0.62), within=owner, alpha=0.45)


# --- above the waist -------------------------------------------------------------------------


def paint_shirt(f: Figure, cloth: Cloth, hem_y: float, rng: np.random.Generator) -> Worn:
    """Paint a buttoned shirt: placket, one or two chest pockets; its collar comes later."""
    owner = _register(f, "shirt, blouse", cloth)
    ease = float(rng.uniform(0.006, 0.014))
    _trunk(f, owner, cloth, hem_y, ease, neck=(0.03, 0.012))
    seam = tone(cloth.base, 0.72)
    f.line([(0, 0.19), (f.axis(WAIST), WAIST), (f.axis(hem_y), hem_y)], 0.006, seam, within=owner)
    for y in np.arange(0.225, hem_y - 0.01, 0.04):
        f.paint([box(f.axis(y) + 0.006, y, f.axis(y) + 0.014, y + 0.008)], seam, None, within=owner)
    sides = SIDES if rng.random() < 0.4 else (int(rng.choice(SIDES)),)
    for side in sides:
        _pocket(f, owner, cloth, side * f.shoulder * 0.53, 0.255, 0.056, 0.066)
    return Worn(owner, cloth, float(rng.choice([0.42, 0.98, 0.98])), ease)


def paint_top(f: Figure, cloth: Cloth, hem_y: float, rng: np.random.Generator) -> Worn:
    """Paint a T-shirt or sweatshirt with a round or deep neckline."""
    owner = _register(f, "top, t-shirt, sweatshirt", cloth)
    ease = float(rng.uniform(0.0, 0.016))
    neck = ((0.04, 0.022), (0.05, 0.05), (0.036, 0.012))[int(rng.integers(3))]
    _trunk(f, owner, cloth, hem_y, ease, neck)
    _fold(f, owner, cloth, [(f.axis(0.34) - 0.02, 0.36), (f.axis(0.34) + f.waist, 0.34)])
    return Worn(owner, cloth, float(rng.choice([0.36, 0.4, 0.97])), ease)


def _trunk(
    f: Figure, owner: int, cloth: Cloth, hem_y: float, ease: float, neck: tuple[float, float]
) -> None:
    """Paint a closed garment body; ``neck`` is half width and depth of its neckline."""
    ys = [SHOULDER, 0.25, 0.3, WAIST, *([0.42] if hem_y > 0.44 else []), hem_y]
    right, left = (_side_line(f, side, ys, ease) for side in (1, -1))
    half, depth = neck
    hem = [(f.axis(hem_y), hem_y + 0.007)]
    opening = smooth([(-half, 0.176), (-half * 0.7, 0.176 + depth * 0.8), (0, 0.178 + depth),
                      (half * 0.7, 0.176 + depth * 0.8), (half, 0.176)])  # fmt: skip
    outline = np.concatenate([opening, right, hem, left[::-1]])
    f.paint([outline], cloth, owner, shade=_SHADE, cast=_CAST)


def paint_jacket(
    f: Figure, cloth: Cloth, hem_y: float, gap: float, rng: np.random.Generator
) -> Worn:
    """Paint the two front panels of a jacket; ``gap`` is half the opening's width."""
    owner = _register(f, "jacket", cloth)
    ease = float(rng.uniform(0.011, 0.018))
    for side in SIDES:
        outer = _side_line(f, side, [SHOULDER, 0.25, WAIST, hem_y], ease)
        low = f.axis(hem_y) + side * gap
        inner = [(low, hem_y + 0.004), (f.axis(WAIST) + side * gap, WAIST),
                 (side * max(gap, 0.004), 0.25), (side * 0.034, 0.172)]  # fmt: skip
        panel = np.array(outer + inner)
        f.paint([panel], cloth, owner, shade=_SHADE, cast=_CAST)
        edge = tone(cloth.base, 0.7)
        f.line([(low, hem_y), *inner[1:3]], 0.005, edge, within=owner, alpha=0.7)
        band = [outer[-1], (low, hem_y), (low, hem_y - 0.02), (outer[-1][0], hem_y - 0.02)]
        f.paint([np.array(band)], tone(cloth.base, 0.78), None, within=owner)
    y = hem_y - 0.1
    for side in SIDES:
        x = f.axis(y) + side * (f.half(y) * 0.62 + 0.008)
        _pocket(f, owner, cloth, x, y, 0.062, 0.062)
    if gap < 0.01:
        for y in (0.3, 0.37, 0.44):
            if y < hem_y - 0.03:
                dot = box(f.axis(y) + 0.008, y, f.axis(y) + 0.02, y + 0.012, 0.003)
                f.paint([dot], tone(cloth.base, 0.5), None, within=owner)
    return Worn(owner, cloth, 1.0, ease)


def paint_sleeve(f: Figure, worn: Worn, side: int) -> None:
    """Paint one sleeve of ``worn`` along the arm: both a part of its own and of the garment."""
    if worn.sleeve <= 0:
        return
    part = f.canvas.add(Instance("sleeve"))
    points = along(f.arm(side), worn.sleeve)
    e = worn.ease + 0.004
    k = f.limb**0.5
    full = np.interp(np.linspace(0, worn.sleeve, len(points)), [0, 0.5, 1],
                     [0.026 * k + e, 0.021 * k + e, 0.016 + e * 0.8])  # fmt: skip
    f.paint(
        [ribbon(points, full, round_start=True)],
        Cloth(worn.cloth.pattern, tone(worn.cloth.base, 0.95), worn.cloth.accent,
              worn.cloth.period, worn.cloth.turn_deg),
        worn.owner, part=part, shade=0.01, cast=_CAST,
    )  # fmt: skip
    cuff = [points[-2], points[-1]]
    f.paint([ribbon(cuff, full[-1] + 0.001)], tone(worn.cloth.base, 0.72), None,
            within=worn.owner, alpha=0.55)  # fmt: skip


def paint_collar(f: Figure, worn: Worn, kind: str) -> None:
    """Paint a collar: ``point`` (shirt) or ``stand`` (jacket)."""
    part = f.canvas.add(Instance("collar"))
    if kind == "point":
        leaf = [(0.002, 0.198), (0.034, 0.158), (0.052, 0.186), (0.044, 0.236)]
    else:
        leaf = [(0.01, 0.21), (0.032, 0.152), (0.054, 0.168), (0.05, 0.205), (0.026, 0.225)]
    shapes = [np.array([(side * x, y) for x, y in leaf]) for side in SIDES]
    light = np.mean(worn.cloth.base) < 70
    cloth = Cloth("plain", tone(worn.cloth.base, 1.22 if light else 0.84), worn.cloth.accent)
    for shape in shapes:
        f.paint([shape], cloth, worn.owner, part=part, cast=0.008)


def _pocket(
    f: Figure, owner: int, cloth: Cloth, x: float, y: float, width: float, height: float
) -> None:
    """Paint a patch pocket with a flap where ``owner`` is visible; (x, y) is its top middle."""
    part = f.canvas.add(Instance("pocket"))
    w = width / 2
    low, middle = y + height * 0.8, y + height / 2
    patch = [(x - w, y), (x + w, y), (x + w, low), (x, y + height), (x - w, low)]
    dark = np.mean(cloth.base) < 70
    fill, rim = (tone(cloth.base, k) for k in ((1.2, 1.4) if dark else (0.86, 0.66)))
    f.paint([np.array(patch)], rim, None, part=part, within=owner)
    inner = [(x + (px - x) * 0.82, middle + (py - middle) * 0.82) for px, py in patch]
    f.paint([np.array(inner)], fill, None, within=owner)
    f.paint([box(x - w, y, x + w, y + height * 0.24)], rim, None, within=owner)


# --- below the waist -------------------------------------------------------------------------


def paint_pants(f: Figure, cloth: Cloth, rng: np.random.Generator) -> Worn:
    """Paint long trousers, slim to wide, some with pockets on the thighs."""
    owner = _register(f, "pants", cloth, "maxi")
    reach = float(rng.uniform(0.88, 1.0))
    knee, hem = ((0.004, 0.008), (0.013, 0.02), (0.02, 0.038))[int(rng.integers(3))]
    _legs(f, owner, cloth, reach, knee, hem)
    if rng.random() < 0.45:
        _leg_pockets(f, owner, cloth, 0.6)
    return Worn(owner, cloth, 0.0)


def paint_shorts(f: Figure, cloth: Cloth, rng: np.random.Generator) -> Worn:
    """Paint shorts that end above the knee."""
    owner = _register(f, "shorts", cloth, "short")
    _legs(f, owner, cloth, float(rng.uniform(0.2, 0.42)), 0.012, float(rng.uniform(0.008, 0.018)))
    if rng.random() < 0.4:
        _leg_pockets(f, owner, cloth, 0.53)
    return Worn(owner, cloth, 0.0)


def _legs(f: Figure, owner: int, cloth: Cloth, reach: float, knee: float, hem: float) -> None:
    ys = [WAIST + 0.01, 0.42, HIP, CROTCH]
    right, left = (_side_line(f, side, ys, 0.007) for side in (1, -1))
    seat = np.array([*right, (f.axis(CROTCH), CROTCH + 0.03), *left[::-1]])
    shapes, k = [seat], f.limb
    for side in SIDES:
        points = along(f.leg(side), reach)
        shares = np.linspace(0, reach, len(points))
        skin = np.interp(shares, [0, 0.5, 0.75, 1], [0.05 * k, 0.031 * k, 0.028 * k, 0.02])
        shapes.append(ribbon(points, skin + np.interp(shares, [0, reach], [knee * 0.6, hem])))
    back, front = shapes[1:] if f.ankles[1][1] > f.ankles[-1][1] else shapes[:0:-1]
    f.paint([back], cloth, owner, shade=_SHADE, cast=_CAST)
    f.paint([seat, front], cloth, owner, shade=_SHADE, cast=_CAST)
    x = f.axis(CROTCH)
    band = [(*right[0],), (right[0][0], WAIST + 0.03), (left[0][0], WAIST + 0.03), (*left[0],)]
    f.paint([np.array(band)], tone(cloth.base, 0.8), None, within=owner, alpha=0.7)
    hem_x = (f.ankles[-1][0] + f.ankles[1][0]) / 2
    parting = [(x, CROTCH + 0.03), ((x + hem_x) / 2, 0.7), (hem_x, 0.94)]
    _fold(f, owner, cloth, [(x, WAIST + 0.03), (x, 0.45), (x, CROTCH + 0.03)])
    f.line(parting, 0.009, tone(cloth.base, 0.5), within=owner, alpha=0.8)  # where legs touch


def _leg_pockets(f: Figure, owner: int, cloth: Cloth, y: float) -> None:
    for side in SIDES:
        (hx, hy), (kx, ky), _ = f.leg(side)
        x = hx + (kx - hx) * (y - hy) / (ky - hy) + side * 0.016
        _pocket(f, owner, cloth, x, y, 0.06, 0.075)


def paint_skirt(f: Figure, cloth: Cloth, rng: np.random.Generator) -> Worn:
    """Paint a straight, flared or pleated skirt."""
    hem_y = float(rng.uniform(0.56, 0.82))
    owner = _register(f, "skirt", cloth, "short" if hem_y < 0.66 else "knee")
    _bell(f, owner, cloth, WAIST + 0.005, hem_y, float(rng.uniform(0.9, 1.9)), rng)
    x, half = f.axis(WAIST), f.half(WAIST, 0.008)
    band = box(x - half, WAIST + 0.003, x + half, WAIST + 0.03)
    f.paint([band], tone(cloth.base, 0.72), None, within=owner, alpha=0.8)
    return Worn(owner, cloth, 0.0)


def paint_dress(f: Figure, cloth: Cloth, rng: np.random.Generator) -> Worn:
    """Paint a dress: fitted bodice with straps or sleeves, and a skirt of any length."""
    hem_y = float(rng.uniform(0.6, 0.88))
    owner = _register(f, "dress", cloth, "short" if hem_y < 0.68 else "knee")
    _bell(f, owner, cloth, WAIST - 0.01, hem_y, float(rng.uniform(1.0, 2.1)), rng)
    sleeve = float(rng.choice([0.0, 0.3, 0.95]))
    ys = [SHOULDER, 0.25, 0.3, WAIST]
    right, left = (_side_line(f, side, ys, 0.004) for side in (1, -1))
    depth = float(rng.uniform(0.03, 0.075))
    half = 0.046
    if not sleeve:  # straps: the shoulders stay bare
        right[0], left[0] = (half + 0.018, 0.186), (-half - 0.018, 0.186)
    opening = [(-half, 0.18), (-half * 0.8, 0.18 + depth), (half * 0.8, 0.18 + depth), (half, 0.18)]
    if rng.random() < 0.5:
        opening = [(-half, 0.18), (0, 0.185 + depth), (half, 0.18)]
    bodice = np.concatenate([opening, right, left[::-1]])
    f.paint([bodice], cloth, owner, shade=_SHADE, cast=_CAST)
    x, w = f.axis(WAIST), f.half(WAIST, 0.006)
    sash = box(x - w, WAIST - 0.014, x + w, WAIST + 0.008)
    f.paint([sash], tone(cloth.base, 0.66), None, within=owner)
    return Worn(owner, cloth, sleeve, 0.004)


def _bell(
    f: Figure, owner: int, cloth: Cloth, top_y: float, hem_y: float, flare: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Paint a skirt from waist to hem, with folds; ``flare`` is the hem's width over the hip's."""
    x0, x1 = f.axis(top_y), f.axis(hem_y) + float(rng.uniform(-0.015, 0.015))
    # However narrow the cut, the hem reaches round both legs.
    knees = [abs(np.interp(hem_y, *np.transpose(f.leg(side))[::-1]) - x1) for side in SIDES]
    half = max(f.hip * flare, max(knees) + 0.036 * f.limb)
    hip = f.half(HIP, 0.01 + 0.02 * max(flare - 1, 0))
    right = [(x0 + f.half(top_y, 0.006), top_y), (f.axis(HIP) + hip, HIP), (x1 + half, hem_y)]
    left = [(x0 - f.half(top_y, 0.006), top_y), (f.axis(HIP) - hip, HIP), (x1 - half, hem_y)]
    waves = int(rng.integers(3, 6)) if flare > 1.25 else 1
    t = np.linspace(0, 1, 8 * waves + 1)
    depth = 0.004 if waves > 1 else 0.0
    hem = np.stack([x1 + half * (1 - 2 * t), hem_y + depth - depth * np.cos(2 * np.pi * waves * t)
                    + 0.014 * np.sin(np.pi * t)], axis=1)  # fmt: skip
    outline = np.concatenate([smooth(right, steps=5), hem[1:-1], smooth(left, steps=5)[::-1]])
    f.paint([outline], cloth, owner, shade=_SHADE * 1.3, cast=_CAST)
    folds = [[(x0 + (s - 0.5) * f.waist, top_y + 0.06), (x1 + half * (2 * s - 1), hem_y)]
             for s in np.linspace(0, 1, waves + 2)[1:-1]]  # fmt: skip
    _fold(f, owner, cloth, *folds)
