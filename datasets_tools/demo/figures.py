"""The people of the demo pictures: build, pose, skin, face and hair.

Figure units: 1 is the figure's height, x is 0 on its axis, y is 0 at the crown and 1 at the
soles. Sides are -1 (left in the picture) and +1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .canvas import BODY, Canvas, Colour, Points, Texture, box, ellipse, ribbon, smooth
from .cloth import Cloth, mix, one_of, pick, rgb, tone

SIDES = (-1, 1)
Point = tuple[float, float]
SKINS = tuple(map(rgb, "f3d3bd e8bd9c d9a47c c08457 9a6240 74462c 573422".split()))
HAIRS = tuple(map(rgb, "1d1a1c 2e211b 4f3222 7a4b2a b4803f d9b56d 8f3d22 8c8a8d".split()))
INK = rgb("2a2226")

# Height of the joints, in figure units.
CHIN, NECK, SHOULDER, WAIST = 0.142, 0.165, 0.2, 0.36
HIP, CROTCH, KNEE, ANKLE = 0.47, 0.51, 0.72, 0.935
UPPER_ARM, FOREARM = 0.165, 0.15


@dataclass(frozen=True)
class Figure:
    """One person: where and how large on the canvas, build, pose, colours."""

    canvas: Canvas
    x_px: float
    y_px: float  # of the crown
    height_px: float
    lean: float  # sideways shift from soles to crown, figure units
    shoulder: float  # half widths
    waist: float
    hip: float
    limb: float  # 1 is a lean limb
    sway: float  # how far the hips are off the axis
    knees: dict[int, Point]
    ankles: dict[int, Point]
    toes: dict[int, int]  # the side each foot points to
    elbows: dict[int, Point]
    wrists: dict[int, Point]
    arms: dict[int, str]  # the name of each arm's gesture
    skin: Colour
    hair: Colour
    hair_style: str

    def to_px(self, points: np.ndarray) -> np.ndarray:
        """Map ``(N, 2)`` figure units to output pixels."""
        points = np.asarray(points, np.float64)
        x = points[:, 0] + self.lean * (1 - points[:, 1])
        place = np.stack([x, points[:, 1]], axis=1) * self.height_px
        return place + (self.x_px, self.y_px)

    def paint(
        self, polygons: Sequence[np.ndarray], fill: Cloth | Colour, owner: int | None, **how: Any
    ) -> None:
        """Paint shapes given in figure units; ``shade`` and ``cast`` are in figure units too."""
        texture: Texture | Colour
        if isinstance(fill, Cloth):
            texture = fill.texture((self.x_px, self.y_px), self.height_px)
        else:
            texture = fill
        for name in ("shade", "cast"):
            if name in how:
                how[f"{name}_px"] = how.pop(name) * self.height_px
        self.canvas.paint([self.to_px(p) for p in polygons], texture, owner=owner, **how)

    def line(self, points: Points, width: float, colour: Colour, **how: Any) -> None:
        """Draw a smooth line given in figure units."""
        self.paint([ribbon(points, width / 2)], colour, how.pop("owner", None), **how)

    def axis(self, y: float) -> float:
        """Return the x of the body's middle at height ``y``."""
        return float(np.interp(y, [0, NECK, HIP, 1], [0, 0, self.sway, self.sway]))

    def half(self, y: float, ease: float = 0.0) -> float:
        """Return the torso's half width at height ``y``, widened by ``ease``."""
        widths = [self.shoulder, self.shoulder * 0.9, self.waist, self.hip, self.hip * 0.98]
        return float(np.interp(y, [SHOULDER, 0.26, WAIST, HIP, CROTCH], widths)) + ease

    def leg(self, side: int) -> list[Point]:
        """Return the points of a leg: hip, knee, ankle."""
        hip = (self.axis(HIP) + side * self.hip * 0.52, HIP + 0.015)
        return [hip, self.knees[side], self.ankles[side]]

    def arm(self, side: int) -> list[Point]:
        """Return the line of an arm: shoulder, elbow and wrist, and the middles between them."""
        joint, elbow, wrist = _joint(side, self.shoulder), self.elbows[side], self.wrists[side]
        return [joint, _middle(joint, elbow), elbow, _middle(elbow, wrist), wrist]


def _joint(side: int, shoulder: float) -> Point:
    return side * (shoulder - 0.026), SHOULDER + 0.026


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def along(points: Points, share: float) -> list[Point]:
    """Return the first ``share`` (0..1) of a limb, densely enough to keep its bend."""
    p = smooth(points, steps=8)
    steps = np.linspace(0, share, 7) * (len(p) - 1)
    at = np.arange(len(p))
    return list(zip(np.interp(steps, at, p[:, 0]), np.interp(steps, at, p[:, 1]), strict=True))


def random_figure(
    canvas: Canvas, x_px: float, y_px: float, height_px: float, rng: np.random.Generator
) -> Figure:
    """Return a person with a random build, pose and colouring."""
    shoulder = float(rng.uniform(0.088, 0.112))
    weight = float(rng.uniform(0.92, 1.22))
    hip = shoulder * float(rng.uniform(0.82, 0.98)) * weight**0.6
    sway = float(rng.uniform(-0.018, 0.018))
    knees, ankles, toes = _stance(sway, hip, rng)
    elbows, wrists, arms = {}, {}, {}
    for side in SIDES:
        arms[side], elbows[side], wrists[side] = _gesture(side, shoulder, hip, sway, rng)
    return Figure(
        canvas, x_px, y_px, height_px, float(rng.uniform(-0.035, 0.035)),
        shoulder, shoulder * float(rng.uniform(0.66, 0.8)) * weight**0.6, hip, weight, sway,
        knees, ankles, toes, elbows, wrists, arms,
        one_of(rng, SKINS), one_of(rng, HAIRS),
        pick(rng, {"short": 3, "bob": 2, "long": 3, "bun": 2, "curls": 2, "bald": 0.5}),
    )  # fmt: skip


def _stance(
    sway: float, hip: float, rng: np.random.Generator
) -> tuple[dict[int, Point], dict[int, Point], dict[int, int]]:
    """Return knees, ankles and the way the toes point, by side."""
    kind = pick(rng, {"stand": 3, "apart": 2, "walk": 3, "cross": 1})
    spread = {"stand": 0.045, "apart": 0.1, "walk": 0.05, "cross": -0.02}[kind]
    spread += float(rng.uniform(-0.01, 0.02))
    same_way = int(rng.choice(SIDES))
    one_way = kind == "walk" or rng.random() < 0.35
    knees, ankles, toes = {}, {}, {}
    for side in SIDES:
        back = kind == "walk" and side == same_way  # the foot behind stands higher in the picture
        x = sway * 0.5 + side * spread
        ankles[side] = (x, ANKLE - (0.028 if back else 0.0) - float(rng.uniform(0, 0.008)))
        middle = (sway + side * hip * 0.52 + x) / 2
        knees[side] = (middle + side * float(rng.uniform(0.0, 0.014)), KNEE - (0.01 if back else 0))
        toes[side] = same_way if one_way else side
    return knees, ankles, toes


def _gesture(
    side: int, shoulder: float, hip: float, sway: float, rng: np.random.Generator
) -> tuple[str, Point, Point]:
    """Return the name of an arm's gesture, its elbow and its wrist."""
    kind = pick(rng, {"hang": 4, "hip": 2, "pocket": 1.5, "front": 1, "wave": 0.8})
    reach = {
        "hang": (shoulder + 0.028, 0.512),
        "hip": (hip + 0.012 + side * sway, 0.425),
        "pocket": (hip * 0.92 + side * sway, 0.47),
        "front": (-0.01, 0.395),
        "wave": (shoulder + 0.085, 0.075),
    }[kind]
    jitter = rng.uniform(-0.012, 0.012, 2)
    wrist = (side * (reach[0] + float(jitter[0])), reach[1] + float(jitter[1]))
    return kind, _elbow(_joint(side, shoulder), wrist, side), wrist


def _elbow(shoulder: Point, wrist: Point, side: int) -> Point:
    """Return where the elbow is when both arm bones keep their length and it points outward."""
    reach = np.subtract(wrist, shoulder)
    span = float(np.hypot(*reach))
    span_used = min(span, UPPER_ARM + FOREARM - 1e-3)
    forward = (UPPER_ARM**2 - FOREARM**2 + span_used**2) / (2 * span_used)
    outward = np.sqrt(max(UPPER_ARM**2 - forward**2, 0.0))
    unit = reach / span
    normals = np.array([[-unit[1], unit[0]], [unit[1], -unit[0]]])
    normal = normals[int(np.argmax(normals[:, 0] * side))]
    x, y = np.asarray(shoulder) + unit * forward + normal * outward
    return float(x), float(y)


# --- painting ----------------------------------------------------------------------------


def paint_legs(f: Figure) -> None:
    """Paint both bare legs and feet-less ankles."""
    k = f.limb
    for side in SIDES:
        hip, knee, ankle = f.leg(side)
        calf = ((knee[0] * 0.62 + ankle[0] * 0.38), knee[1] * 0.62 + ankle[1] * 0.38)
        widths = [0.048 * k, 0.0275 * k, 0.0285 * k, 0.015]
        f.paint([ribbon([hip, knee, calf, ankle], widths)], f.skin, BODY, shade=0.01, cast=0.008)


def paint_torso(f: Figure) -> None:
    """Paint the bare neck, shoulders and trunk."""
    ys = [SHOULDER, 0.26, WAIST, HIP]
    right = [(0.026, 0.172), *[(f.axis(y) + f.half(y) * 0.96, y) for y in ys]]
    left = [(-0.026, 0.172), *[(f.axis(y) - f.half(y) * 0.96, y) for y in ys]]
    f.paint([np.array(right + left[::-1])], f.skin, BODY)
    f.paint([box(-0.026, CHIN - 0.03, 0.026, 0.19)], f.skin, BODY)
    f.paint([ellipse(0.004, CHIN + 0.005, 0.026, 0.016)], tone(f.skin, 0.84), BODY)


def paint_arm(f: Figure, side: int) -> None:
    """Paint one bare arm with its hand."""
    k, points = f.limb, f.arm(side)
    f.paint(
        [ribbon(points, [0.024 * k, 0.0185 * k, 0.0135], round_start=True)],
        f.skin, BODY, shade=0.008, cast=0.01,
    )  # fmt: skip
    if f.arms[side] != "pocket":
        paint_hand(f, side)


def paint_hand(f: Figure, side: int) -> None:
    """Paint a hand, pointing on along its forearm."""
    (ex, ey), (wx, wy) = f.elbows[side], f.wrists[side]
    away = np.array([wx - ex, wy - ey])
    away /= np.linalg.norm(away) + 1e-9
    x, y = np.array([wx, wy]) + away * 0.017
    turn = float(np.degrees(np.arctan2(away[1], away[0])))
    thumb = np.array([wx, wy]) + away * 0.013 + np.array([-away[1], away[0]]) * 0.012 * side
    shapes = [ellipse(x, y, 0.025, 0.0155, turn), ellipse(thumb[0], thumb[1], 0.011, 0.006, turn)]
    f.paint(shapes, f.skin, BODY, shade=0.006)


def paint_head(f: Figure, rng: np.random.Generator) -> None:
    """Paint face and features, without the hair."""
    face = [
        (0, 0.01), (0.036, 0.022), (0.049, 0.056), (0.046, 0.095), (0.029, 0.13), (0, CHIN),
        (-0.029, 0.13), (-0.046, 0.095), (-0.049, 0.056), (-0.036, 0.022),
    ]  # fmt: skip
    ears = [ellipse(s * 0.049, 0.084, 0.008, 0.014) for s in SIDES]
    f.paint([smooth(face, closed=True), *ears], f.skin, BODY, shade=0.012, cast=0.008)
    look = float(rng.uniform(-0.008, 0.008))
    brow = mix(f.hair, INK, 0.4)
    for side in SIDES:
        x = look + side * 0.02
        f.paint([ellipse(x, 0.08, 0.0085, 0.0062)], mix(f.skin, rgb("fffdf8"), 0.5), None)
        f.paint([ellipse(x, 0.08, 0.005, 0.0066)], INK, None)
        f.line([(x - 0.01, 0.066), (x, 0.063), (x + 0.01, 0.066)], 0.005, brow)
        f.paint([ellipse(look + side * 0.03, 0.102, 0.009, 0.007)], rgb("d8685f"), None, alpha=0.22)
    f.line([(look, 0.085), (look + 0.005, 0.099), (look - 0.001, 0.101)], 0.004, tone(f.skin, 0.75))
    f.line(
        [(look - 0.012, 0.117), (look, 0.121), (look + 0.012, 0.116)],
        0.0065, mix(f.skin, rgb("a3303c"), 0.65),
    )  # fmt: skip


def paint_hair_behind(f: Figure) -> None:
    """Paint the hair that falls behind neck and shoulders."""
    dark = tone(f.hair, 0.85)
    if f.hair_style == "long":
        fall = [(0, 0), (0.058, 0.03), (0.066, 0.12), (0.074, 0.235), (0.0, 0.25),
                (-0.074, 0.235), (-0.066, 0.12), (-0.058, 0.03)]  # fmt: skip
        f.paint([smooth(fall, closed=True)], dark, BODY)
    elif f.hair_style == "bob":
        f.paint([box(-0.062, 0.03, 0.062, 0.152, 0.02)], dark, BODY)
    elif f.hair_style == "bun":
        f.paint([ellipse(0, -0.008, 0.027, 0.024)], dark, BODY)
    elif f.hair_style == "curls":
        puffs = [ellipse(0.056 * np.cos(t), 0.055 + 0.056 * np.sin(t), 0.03, 0.03)
                 for t in np.linspace(np.pi * 0.85, np.pi * 2.15, 9)]  # fmt: skip
        f.paint([ellipse(0, 0.05, 0.06, 0.056), *puffs], f.hair, BODY)


def paint_hair_front(f: Figure, parting: float) -> None:
    """Paint the hair over the forehead; ``parting`` is its x in figure units."""
    if f.hair_style == "bald":
        return
    low = {"short": 0.066, "bun": 0.062, "curls": 0.066}.get(f.hair_style, 0.1)
    cap = [
        (-0.053, low), (-0.054, 0.045), (-0.038, 0.008), (0, -0.006), (0.038, 0.008),
        (0.054, 0.045), (0.053, low), (0.044, 0.062), (0.03, 0.046), (parting, 0.038),
        (-0.03, 0.046), (-0.044, 0.062),
    ]  # fmt: skip
    f.paint([smooth(cap, closed=True)], f.hair, BODY, cast=0.006)
    shine = [(parting - 0.026, 0.018), (parting - 0.004, 0.01), (parting + 0.02, 0.014)]
    f.line(shine, 0.006, tone(f.hair, 1.25), within=BODY, alpha=0.5)
