"""One demo picture: a backdrop, one or two people, what they wear, and a camera's small flaws."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import accessories, wardrobe
from .backdrops import paint_backdrop
from .canvas import BACKDROP, Canvas, Instance, ellipse
from .cloth import BRIGHT, DARK, LIGHT, MUTED, cut_cloth, pick
from .figures import (
    HIP,
    SIDES,
    Figure,
    paint_arm,
    paint_hair_behind,
    paint_hair_front,
    paint_hand,
    paint_head,
    paint_legs,
    paint_torso,
    random_figure,
)

#: Share of the pictures with two people, and with one who is cut off below the waist.
TWO_PEOPLE, CLOSE_UP = 0.2, 0.08
#: A mask is kept when it covers at least this share of the picture (29 px of 160 x 224).
LEAST_SHARE = 0.0008

Masks = list[tuple[Instance, np.ndarray]]


def draw_scene(seed: int, index: int, size_wh: tuple[int, int]) -> tuple[np.ndarray, Masks]:
    """Draw picture ``index`` of ``seed``.

    Args:
        seed: picks the whole series.
        index: position in the series; the picture depends on nothing else.
        size_wh: width and height in pixels.

    Returns:
        The picture, ``(H, W, 3)`` uint8 RGB, and its instances with ``(H, W)`` bool masks.
    """
    rng = np.random.default_rng([seed, index])
    canvas = Canvas(size_wh)
    paint_backdrop(canvas, rng)
    for x_px, y_px, height_px in _places(size_wh, rng):
        _paint_person(random_figure(canvas, x_px, y_px, height_px, rng), rng)
    least_px = LEAST_SHARE * size_wh[0] * size_wh[1]
    masks = [(instance, mask) for instance, mask in canvas.masks() if mask.sum() >= least_px]
    return _photograph(canvas.picture(), rng), masks


def _places(size_wh: tuple[int, int], rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Return x, crown y and height in pixels for every person, the farthest first."""
    width, height = size_wh
    kind = rng.random()
    if kind < TWO_PEOPLE:
        tall = min(height * float(rng.uniform(0.76, 0.86)), width * 1.25)
        out = []
        for x in rng.permutation([0.28, 0.73]):
            mine = tall * float(rng.uniform(0.92, 1.04))
            ground = height * float(rng.uniform(0.92, 0.97))
            x_px = width * (x + float(rng.uniform(-0.04, 0.04)))
            out.append((x_px, ground - mine, mine))
        return sorted(out, key=lambda place: place[1] + place[2])
    x_px = width * float(rng.uniform(0.42, 0.58))
    if kind > 1 - CLOSE_UP:
        tall = min(height * float(rng.uniform(1.2, 1.45)), width * 2.0)
        return [(x_px, height * float(rng.uniform(0.08, 0.14)), tall)]
    tall = min(height * float(rng.uniform(0.76, 0.9)), width * 1.35)
    ground = height * float(rng.uniform(0.93, 0.98))
    return [(x_px, ground - tall, tall)]


@dataclass(frozen=True)
class Outfit:
    """What one person wears; garments that are not worn are ``None``."""

    upper: str | None  # "shirt", "top" or None under a dress
    lower: str  # "pants", "shorts", "skirt" or "dress"
    jacket: bool
    shoes: str
    bag: str | None
    hat: bool
    glasses: bool


def _random_outfit(rng: np.random.Generator) -> Outfit:
    lower = pick(rng, {"pants": 2.2, "shorts": 1.6, "skirt": 1.7, "dress": 1.6})
    upper = None if lower == "dress" else pick(rng, {"shirt": 1.1, "top": 1})
    jacket = bool(rng.random() < 1 / 3)
    shoes = {"canvasshoes": 1.2, "high-heels": 1.2, "sandals": 1.2, "shoe": 0.8}
    if lower != "pants":
        shoes["boot"] = 0.7
    return Outfit(
        upper, lower, jacket, pick(rng, shoes),
        pick(rng, {"hand": 1, "tote": 0.7, "cross": 0.8}) if rng.random() < 0.5 else None,
        bool(rng.random() < 0.32), bool(rng.random() < 0.36),
    )  # fmt: skip


def _paint_person(f: Figure, rng: np.random.Generator) -> None:
    outfit = _random_outfit(rng)
    _paint_ground_shadow(f)
    paint_hair_behind(f)
    paint_legs(f)
    accessories.paint_shoes(f, outfit.shoes, rng)
    paint_torso(f)
    worn = _paint_clothes(f, outfit, rng)
    bag_side = _free_side(f, rng)
    if outfit.bag == "cross":
        accessories.paint_bag(f, "cross", bag_side, rng)
    for side in SIDES:
        if outfit.bag == "hand" and side == bag_side:
            accessories.paint_bag(f, "hand", side, rng)
        paint_arm(f, side)
        wardrobe.paint_sleeve(f, worn, side)
        if worn.sleeve > 0.9 and f.arms[side] != "pocket":
            paint_hand(f, side)
    if outfit.bag == "tote":
        accessories.paint_bag(f, "tote", bag_side, rng)
    if outfit.jacket or outfit.upper == "shirt":
        wardrobe.paint_collar(f, worn, "stand" if outfit.jacket else "point")
    paint_head(f, rng)
    paint_hair_front(f, float(rng.uniform(-0.02, 0.02)))
    if outfit.glasses:
        accessories.paint_glasses(f, rng)
    if outfit.hat:
        accessories.paint_hat(f, rng)


def _paint_clothes(f: Figure, outfit: Outfit, rng: np.random.Generator) -> wardrobe.Worn:
    """Paint all garments but the sleeves; return the outermost one that has sleeves."""
    tucked = rng.random() < 0.5
    if outfit.lower == "dress":
        patterns = {"plain": 2, "floral": 1.6, "dot": 1.2, "stripe": 0.7, "check": 0.7}
        worn = wardrobe.paint_dress(f, cut_cloth(rng, patterns, BRIGHT + LIGHT + DARK[:2]), rng)
    elif tucked:
        worn = _paint_upper(f, outfit, HIP - 0.03, rng)
        _paint_lower(f, outfit, rng)
    else:
        _paint_lower(f, outfit, rng)
        worn = _paint_upper(f, outfit, float(rng.uniform(0.41, 0.5)), rng)
    if outfit.jacket:
        patterns = {"plain": 1.4, "denim": 1.2}
        cloth = cut_cloth(rng, patterns, DARK + MUTED[2:5] + BRIGHT[:4])
        gap = float(rng.choice([0.0, 0.03, 0.045]))
        worn = wardrobe.paint_jacket(f, cloth, float(rng.uniform(0.41, 0.48)), gap, rng)
    return worn


def _paint_upper(
    f: Figure, outfit: Outfit, hem_y: float, rng: np.random.Generator
) -> wardrobe.Worn:
    if outfit.upper == "shirt":
        patterns = {"plain": 1.6, "stripe": 1.2, "check": 1.2, "denim": 0.4}
        return wardrobe.paint_shirt(f, cut_cloth(rng, patterns, LIGHT + BRIGHT[3:6]), hem_y, rng)
    patterns = {"plain": 1.6, "stripe": 1, "dot": 0.7, "knit": 1}
    return wardrobe.paint_top(f, cut_cloth(rng, patterns, BRIGHT + LIGHT + DARK[:3]), hem_y, rng)


def _paint_lower(f: Figure, outfit: Outfit, rng: np.random.Generator) -> None:
    if outfit.lower == "pants":
        cloth = cut_cloth(rng, {"plain": 1.5, "denim": 1.4, "check": 0.4}, DARK + MUTED + LIGHT[:2])
        wardrobe.paint_pants(f, cloth, rng)
    elif outfit.lower == "shorts":
        patterns = {"plain": 1.5, "denim": 1, "stripe": 0.3}
        cloth = cut_cloth(rng, patterns, MUTED + BRIGHT + LIGHT[:3])
        wardrobe.paint_shorts(f, cloth, rng)
    else:
        patterns = {"plain": 1.6, "check": 0.9, "dot": 0.6, "floral": 0.8, "denim": 0.6}
        wardrobe.paint_skirt(f, cut_cloth(rng, patterns, BRIGHT + DARK + LIGHT[:3]), rng)


def _free_side(f: Figure, rng: np.random.Generator) -> int:
    """Return the side of an arm that hangs, if there is one: a bag is carried there."""
    hanging = [side for side in SIDES if f.arms[side] == "hang"]
    return int(rng.choice(hanging or SIDES))


def _paint_ground_shadow(f: Figure) -> None:
    x = (f.ankles[-1][0] + f.ankles[1][0]) / 2
    for half, alpha in ((0.2, 0.10), (0.14, 0.14)):
        f.paint([ellipse(x + 0.015, 0.99, half, half * 0.13)], (40.0, 34.0, 44.0), None,
                within=BACKDROP, alpha=alpha)  # fmt: skip


def _photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add what a camera adds: white balance, exposure, a vignette, grain."""
    height, width = picture.shape[:2]
    image = picture.astype(np.float32)
    warmth = float(rng.uniform(-0.04, 0.04))
    balance = np.array((1 + warmth, 1, 1 - warmth), np.float32)
    image *= balance * np.float32(rng.uniform(0.95, 1.08))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    image *= 1 - float(rng.uniform(0, 0.06)) * (x**2 + y**2)[..., None]
    grain = rng.normal(0, 1, (height, width, 1)).astype(np.float32)
    image += cv2.GaussianBlur(grain, (3, 3), 0)[..., None] * float(rng.uniform(1, 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
