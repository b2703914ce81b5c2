"""The demo's shoes, bags, hats and glasses.

Four kinds of footwear are told apart by what the pictures show: canvas shoes (rubber sole, toe
cap, laces), high-heels (steep instep, a heel with a gap before it), sandals (straps with skin
between) and plain shoes or boots. In iMaterialist's files they are all ``shoe``; the type is kept
beside. Soles, straps and heels are thick: a mask one pixel wide cannot be learnt at this size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import BODY, Instance, box, ellipse, ribbon, smooth
from .cloth import BRIGHT, DARK, LEATHER, Cloth, Colour, mix, one_of, pick, rgb, tone
from .figures import SIDES, Figure

RUBBER = rgb("f3efe6")
#: Top of a bag worn across the chest, figure units.
HIP_BAG = 0.46


def paint_shoes(f: Figure, kind: str, rng: np.random.Generator) -> None:
    """Paint a pair of shoes of ``kind``: canvasshoes, high-heels, sandals, shoe or boot."""
    painter = {
        "canvasshoes": _canvas_shoe, "high-heels": _high_heel, "sandals": _sandal,
        "shoe": _plain_shoe, "boot": _boot,
    }[kind]  # fmt: skip
    colours = BRIGHT + DARK[:2] if kind in ("canvasshoes", "high-heels") else LEATHER + DARK[:1]
    colour = one_of(rng, colours)
    shoe_type = kind if kind in ("canvasshoes", "high-heels", "sandals") else None
    for side in sorted(SIDES, key=lambda s: f.ankles[s][1]):
        painter(f, side, colour, f.canvas.add(Instance("shoe", (), shoe_type)))


def _foot(f: Figure, side: int, points: Sequence[Sequence[float]]) -> np.ndarray:
    """Place points given from the ankle, x towards the toes, y down."""
    x, y = f.ankles[side]
    return np.array([(x + f.toes[side] * px, y + py) for px, py in points])


def _canvas_shoe(f: Figure, side: int, colour: Colour, owner: int) -> None:
    upper = [(-0.03, -0.022), (0.02, -0.024), (0.036, 0.006), (0.07, 0.016), (0.088, 0.034),
             (0.084, 0.05), (-0.03, 0.05), (-0.034, 0.02)]  # fmt: skip
    f.paint([_foot(f, side, upper)], colour, owner, cast=0.006)
    cap = [(0.06, 0.014), (0.08, 0.022), (0.09, 0.036), (0.086, 0.05), (0.06, 0.05)]
    sole = [(-0.036, 0.04), (0.09, 0.04), (0.092, 0.058), (-0.034, 0.06)]
    f.paint([_foot(f, side, cap)], RUBBER, owner)
    f.paint([_foot(f, side, sole)], RUBBER, owner)
    stripe = _foot(f, side, [(-0.034, 0.049), (0.03, 0.048), (0.09, 0.049)])
    f.line(stripe, 0.006, tone(colour, 0.7))
    for x, y in ((0.022, -0.008), (0.034, 0.006), (0.047, 0.015)):
        lace = _foot(f, side, [(x - 0.012, y + 0.018), (x + 0.008, y)])
        f.line(lace, 0.0075, RUBBER, within=owner)


def _high_heel(f: Figure, side: int, colour: Colour, owner: int) -> None:
    foot = [(-0.018, -0.03), (0.016, -0.03), (0.05, 0.012), (0.09, 0.044), (0.06, 0.05),
            (-0.02, 0.0)]  # fmt: skip
    f.paint([_foot(f, side, foot)], f.skin, BODY)
    pump = [(-0.034, -0.02), (-0.014, -0.014), (0.02, 0.014), (0.046, 0.0), (0.08, 0.018),
            (0.108, 0.044), (0.11, 0.06), (0.052, 0.06), (0.026, 0.044), (0.0, 0.032),
            (-0.034, 0.03)]  # fmt: skip
    heel = [(-0.036, -0.01), (0.002, 0.02), (-0.004, 0.062), (-0.032, 0.062)]
    f.paint([_foot(f, side, pump), _foot(f, side, heel)], colour, owner, cast=0.005)
    f.line(_foot(f, side, [(0.058, 0.014), (0.084, 0.03), (0.1, 0.046)]), 0.007, tone(colour, 1.4),
           within=owner)  # fmt: skip


def _sandal(f: Figure, side: int, colour: Colour, owner: int) -> None:
    foot = [(-0.024, -0.02), (0.016, -0.026), (0.034, 0.004), (0.066, 0.022), (0.086, 0.04),
            (0.08, 0.05), (-0.026, 0.05), (-0.029, 0.02)]  # fmt: skip
    f.paint([_foot(f, side, foot)], f.skin, BODY, cast=0.005)
    sole = [(-0.034, 0.038), (0.04, 0.037), (0.092, 0.038), (0.092, 0.06), (-0.034, 0.063)]
    straps = [
        [(-0.031, -0.004), (0.02, -0.014), (0.03, -0.004), (0.016, 0.01), (-0.031, 0.013)],
        [(0.02, -0.014), (0.04, 0.004), (0.03, 0.044), (0.004, 0.044), (0.008, 0.01)],
        [(0.05, 0.012), (0.074, 0.026), (0.072, 0.044), (0.046, 0.044)],
    ]
    f.paint([_foot(f, side, shape) for shape in (sole, *straps)], colour, owner)
    edge = _foot(f, side, [(-0.032, 0.056), (0.03, 0.055), (0.09, 0.054)])
    f.line(edge, 0.008, tone(colour, 0.6), within=owner)


def _plain_shoe(f: Figure, side: int, colour: Colour, owner: int) -> None:
    upper = [(-0.029, -0.014), (0.018, -0.016), (0.04, 0.012), (0.078, 0.02), (0.1, 0.044),
             (0.096, 0.054), (-0.03, 0.054)]  # fmt: skip
    sole = [(-0.033, 0.048), (0.1, 0.05), (0.099, 0.058), (0.0, 0.056),
            (-0.004, 0.062), (-0.033, 0.062)]  # fmt: skip
    f.paint([_foot(f, side, upper)], colour, owner, shade=0.006, cast=0.006)
    f.paint([_foot(f, side, sole)], tone(colour, 0.45), owner)
    seam = _foot(f, side, [(0.045, 0.014), (0.052, 0.032), (0.048, 0.05)])
    f.line(seam, 0.005, tone(colour, 0.6))


def _boot(f: Figure, side: int, colour: Colour, owner: int) -> None:
    _, knee, ankle = f.leg(side)
    top = (knee[0] * 0.5 + ankle[0] * 0.5, knee[1] * 0.5 + ankle[1] * 0.5)
    shaft = ribbon([top, ankle, (ankle[0], ankle[1] + 0.03)], [0.032 * f.limb, 0.0235, 0.026])
    upper = [(-0.028, -0.01), (0.022, -0.02), (0.044, 0.012), (0.078, 0.02), (0.098, 0.044),
             (0.094, 0.05), (-0.03, 0.05)]  # fmt: skip
    sole = [(-0.034, 0.046), (0.098, 0.048), (0.098, 0.06), (0.01, 0.06), (0.0, 0.064),
            (-0.034, 0.064)]  # fmt: skip
    f.paint([shaft, _foot(f, side, upper)], colour, owner, shade=0.009, cast=0.006)
    f.paint([_foot(f, side, sole)], tone(colour, 0.4), owner)


# --- bags ------------------------------------------------------------------------------------


def paint_bag(f: Figure, kind: str, side: int, rng: np.random.Generator) -> None:
    """Paint a bag: ``hand`` (held), ``tote`` (from a shoulder) or ``cross`` (over the chest).

    Strap and handle are drawn on what they cross and are no part of the mask: they would stretch
    its box over half the figure.
    """
    owner = f.canvas.add(Instance("bag, wallet"))
    colour = one_of(rng, LEATHER + BRIGHT)
    w, h = float(rng.uniform(0.055, 0.078)), float(rng.uniform(0.09, 0.125))
    if kind == "hand":
        x, y = f.wrists[side][0] + side * 0.004, f.wrists[side][1] + 0.085
        strap = ribbon([(x - w * 0.55, y + 0.01), (x - w * 0.3, y - 0.06), (x, y - 0.075),
                        (x + w * 0.3, y - 0.06), (x + w * 0.55, y + 0.01)], 0.0055)  # fmt: skip
    elif kind == "tote":
        x, y = side * (f.shoulder + 0.028), 0.4
        w, h = w * 1.1, h * 1.3
        strap = ribbon([(x - side * w * 0.5, y + 0.02), (side * (f.shoulder - 0.04), 0.2),
                        (x + side * 0.01, y + 0.02)], 0.0065)  # fmt: skip
    else:
        x, y = f.axis(HIP_BAG) + side * f.hip * 0.95, HIP_BAG
        strap = ribbon([(-side * 0.05, 0.18), (f.axis(0.3), 0.31), (x, y + 0.02)], 0.0065)
    cut = w * float(rng.uniform(0.0, 0.25))
    body = np.array([(x - w + cut, y), (x + w - cut, y), (x + w, y + h), (x - w, y + h)])
    f.paint([strap], tone(colour, 0.68), None, cast=0.006)
    f.paint([body], colour, owner, shade=0.014, cast=0.012)
    if kind == "tote":
        motif = tone(colour, 1.55)
        f.paint([ellipse(x, y + h * 0.55, w * 0.4, w * 0.4)], motif, None, within=owner, alpha=0.8)
    else:
        flap = smooth([(x - w + cut, y), (x - w * 0.8, y + h * 0.4), (x, y + h * 0.52),
                       (x + w * 0.8, y + h * 0.4), (x + w - cut, y)])  # fmt: skip
        f.paint([flap], tone(colour, 0.82), None, within=owner)
        clasp = box(x - 0.009, y + h * 0.42, x + 0.009, y + h * 0.6)
        f.paint([clasp], rgb("e8c877"), None, within=owner)


# --- on head and neck ------------------------------------------------------------------------


def paint_hat(f: Figure, rng: np.random.Generator) -> None:
    """Paint a beanie, a brimmed hat, a cap or a bucket hat, tilted a little."""
    owner = f.canvas.add(Instance("hat"))
    kind = pick(rng, {"beanie": 1, "brim": 1.2, "cap": 1, "bucket": 0.8})
    colour = one_of(rng, BRIGHT + DARK + LEATHER)
    dark = tone(colour, 0.62)
    if kind == "beanie":
        dome = [(-0.057, 0.045), (-0.05, -0.005), (-0.02, -0.034), (0.02, -0.034), (0.05, -0.005),
                (0.057, 0.045)]  # fmt: skip
        knit = Cloth("knit", colour, tone(colour, 0.62), 0.03)
        f.paint([smooth(dome)], knit, owner, shade=0.012)
        f.paint([box(-0.06, 0.026, 0.06, 0.056, 0.008)], tone(colour, 1.18), owner, cast=0.008)
        f.paint([ellipse(0, -0.04, 0.018, 0.016)], tone(colour, 1.3), owner)
    elif kind == "brim":
        wide = float(rng.uniform(0.09, 0.12))
        crown = [(-0.05, 0.036), (-0.046, -0.03), (-0.016, -0.04), (0, -0.034), (0.016, -0.04),
                 (0.046, -0.03), (0.05, 0.036)]  # fmt: skip
        f.paint([ellipse(0, 0.034, wide, 0.02)], colour, owner, cast=0.014)
        f.paint([np.array(crown)], tone(colour, 1.06), owner, shade=0.012)
        f.paint([box(-0.05, 0.01, 0.05, 0.032)], dark, owner)
    elif kind == "cap":
        side = int(rng.choice(SIDES))
        dome = [(-0.056, 0.046), (-0.052, 0.0), (-0.026, -0.024), (0.026, -0.024), (0.052, 0.0),
                (0.056, 0.046)]  # fmt: skip
        peak = [(side * -0.02, 0.04), (side * 0.05, 0.036), (side * 0.108, 0.052),
                (side * 0.1, 0.062), (side * 0.03, 0.056)]  # fmt: skip
        f.paint([smooth(dome)], colour, owner, shade=0.012)
        f.paint([smooth(peak, closed=True)], dark, owner, cast=0.01)
        f.line([(0, -0.022), (0.004, 0.01), (0.004, 0.044)], 0.004, dark, within=owner)
    else:
        f.paint([np.array([(-0.048, 0.02), (-0.038, -0.026), (0.038, -0.026), (0.048, 0.02)])],
                colour, owner, shade=0.012)  # fmt: skip
        flare = [(-0.048, 0.016), (0.048, 0.016), (0.08, 0.056), (0.0, 0.064), (-0.08, 0.056)]
        f.paint([np.array(flare)], tone(colour, 0.84), owner, cast=0.01)


def paint_glasses(f: Figure, rng: np.random.Generator) -> None:
    """Paint round or square glasses with tinted lenses."""
    owner = f.canvas.add(Instance("glasses"))
    frame = one_of(rng, DARK[:3] + (LEATHER[0],))
    lens = mix(frame, one_of(rng, (rgb("26303a"), rgb("6e5a48"), rgb("86b3c4"))), 0.75)
    round_ones = rng.random() < 0.5
    shapes, panes = [], []
    for side in SIDES:
        x, y = side * 0.0255, 0.081
        if round_ones:
            shapes.append(ellipse(x, y, 0.0235, 0.0215))
            panes.append(ellipse(x, y, 0.018, 0.016))
        else:
            shapes.append(box(x - 0.0245, y - 0.018, x + 0.0245, y + 0.018, 0.006))
            panes.append(box(x - 0.019, y - 0.0125, x + 0.019, y + 0.0125, 0.004))
    shapes.append(box(-0.052, 0.07, 0.052, 0.078))
    f.paint(shapes, frame, owner, cast=0.005)
    f.paint(panes, lens, None)
    for side in SIDES:
        x = side * 0.0255
        glint = [(x - 0.008, 0.086), (x, 0.08), (x + 0.006, 0.074)]
        f.line(glint, 0.005, tone(lens, 1.6), alpha=0.7)
