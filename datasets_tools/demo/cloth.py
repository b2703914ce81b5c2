"""The demo's cloth: colours that go together, and patterns as functions of place.

A pattern is laid in figure units (1 = the figure's height), so that it sits on the wearer and
grows with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import Colour, Texture

#: Our own attributes, by id: what a pattern is called in ``label_descriptions.json``.
ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("plain (pattern)", "textile pattern"),
    ("stripe", "textile pattern"),
    ("check", "textile pattern"),
    ("dot", "textile pattern"),
    ("floral", "textile pattern"),
    ("denim", "textile finishing"),
    ("knit", "textile finishing"),
    ("short (length)", "length"),
    ("knee (length)", "length"),
    ("maxi (length)", "length"),
)
ATTRIBUTE_IDS: dict[str, int] = {name: i for i, (name, _) in enumerate(ATTRIBUTES)}


def rgb(code: str) -> Colour:
    """Return the colour of a hex code such as ``"c4573a"``, 0..255."""
    red, green, blue = bytes.fromhex(code)
    return float(red), float(green), float(blue)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return ``a`` with ``share`` of it replaced by ``b``."""
    red, green, blue = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return red, green, blue


def tone(colour: Colour, factor: float) -> Colour:
    """Return ``colour`` darker (factor < 1) or lighter (factor > 1)."""
    if factor < 1:
        return mix(colour, (0.0, 0.0, 0.0), 1 - factor)
    return mix(colour, (255.0, 255.0, 255.0), factor - 1)


BRIGHT = tuple(map(rgb, "c4573a d98c3f e0b04c 4f8a6b 2f6f7e 3b5b92 8c4a6b b23a48 d77a7d".split()))
LIGHT = tuple(map(rgb, "f4efe6 e8ddcb dfe6ea f2d7cf d9e3d0 f0dfae cfd8e8 ffffff".split()))
DARK = tuple(map(rgb, "22262e 2c3445 3a2f2b 31413a 4a2f3a 4b4f56 5b4636".split()))
MUTED = tuple(map(rgb, "b58a5a 8a5a3c 56606b 2b3648 6b2e34 c9b79c 3f5a4d 9a948a".split()))
DENIM = tuple(map(rgb, "3d5a80 557ba6 2b3f5c 86a3c3".split()))
LEATHER = tuple(map(rgb, "7a4a2b 2b2523 a8683a 8f2f3a c9a36a 35505a".split()))


@dataclass(frozen=True)
class Cloth:
    """A material: pattern name, two colours, the pattern's period (figure units) and turn."""

    pattern: str
    base: Colour
    accent: Colour
    period: float = 0.035
    turn_deg: float = 0.0

    @property
    def attribute(self) -> int:
        """The id of the attribute that names the pattern."""
        return ATTRIBUTE_IDS["plain (pattern)" if self.pattern == "plain" else self.pattern]

    def texture(self, origin_xy: tuple[float, float], height_px: float) -> Texture:
        """Return the material as a :data:`~.canvas.Texture` on a figure at ``origin_xy``."""
        c, s = np.cos(np.radians(self.turn_deg)), np.sin(np.radians(self.turn_deg))
        weave = _WEAVES[self.pattern]
        base, accent = np.array((self.base, self.accent), np.float32)

        def colour(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            u = (x - origin_xy[0]) / (height_px * self.period)
            v = (y - origin_xy[1]) / (height_px * self.period)
            share = weave(u * c - v * s, u * s + v * c).astype(np.float32)[:, None]
            return base + (accent - base) * share

        return colour


def _plain(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.zeros_like(u)


def _stripe(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return v % 1 < 0.42


def _check(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bands = (u % 1 < 0.5) * 0.45 + (v % 1 < 0.5) * 0.45
    return np.where((np.abs(u % 1 - 0.25) < 0.06) | (np.abs(v % 1 - 0.25) < 0.06), 1.0, bands)


def _dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    across = u + 0.5 * (np.floor(v) % 2)
    return np.hypot(across % 1 - 0.5, v % 1 - 0.5) < 0.27


def _floral(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    row = np.floor(v)
    across = u + 0.5 * (row % 2)
    x, y = across % 1 - 0.5, v % 1 - 0.5
    turn = 2.4 * np.floor(across) + 1.7 * row  # no two flowers stand alike
    petals = 0.29 + 0.13 * np.cos(5 * (np.arctan2(y, x) + turn))
    radius = np.hypot(x, y)
    return np.where(radius < 0.11, 0.35, radius < petals)


def _denim(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    twill = 0.5 + 0.5 * np.sin((u + v) * 22)
    wash = 0.5 + 0.5 * np.sin(u * 1.3 + 2 * np.sin(v * 0.8))
    return 0.16 * twill + 0.22 * wash


def _knit(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    wale = np.abs((u * 2) % 1 - 0.5)
    return 0.42 * (0.5 + 0.5 * np.sin(2 * np.pi * (v * 2.2 + wale * 1.4)))


_WEAVES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": _plain,
    "stripe": _stripe,
    "check": _check,
    "dot": _dot,
    "floral": _floral,
    "denim": _denim,
    "knit": _knit,
}


def pick(rng: np.random.Generator, choices: dict[str, float]) -> str:
    """Return one key of ``choices``, with chances in proportion to the values."""
    weights = np.array(list(choices.values()), np.float64)
    return list(choices)[int(rng.choice(len(weights), p=weights / weights.sum()))]


def one_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Return one of ``colours``, slightly varied."""
    picked = colours[int(rng.integers(len(colours)))]
    return tone(picked, float(rng.uniform(0.9, 1.1)))


def cut_cloth(
    rng: np.random.Generator, patterns: dict[str, float], grounds: tuple[Colour, ...]
) -> Cloth:
    """Return a random material: a pattern by chance, a ground and an accent that shows on it."""
    pattern = pick(rng, patterns)
    if pattern == "denim":
        base = one_of(rng, DENIM)
        return Cloth(pattern, base, tone(base, 1.45))
    base = one_of(rng, grounds)
    if pattern == "knit":
        return Cloth(pattern, base, tone(base, 0.62), 0.03)
    bright = np.mean(base) > 165
    accent = one_of(rng, BRIGHT + DARK[:3] if bright else LIGHT)
    period = float({"stripe": 0.036, "check": 0.05, "dot": 0.034, "floral": 0.055}.get(pattern, 1))
    turn = 90.0 if pattern == "stripe" and rng.random() < 0.35 else float(rng.uniform(-4, 4))
    return Cloth(pattern, base, accent, period * float(rng.uniform(0.85, 1.25)), turn)
