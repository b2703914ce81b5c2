"""A contact sheet: the first look at a set, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from datasets_tools.browse.lettering import label_font, lettering

_COLUMNS, _MOST = 8, 48
_NAME_PX, _NAME_LENGTH = 12, 26
_TILE_WH, _LINE_PX, _GAP_PX = (200, 262), 20, 10
_GROUND, _INK, _EMPTY = (255, 255, 255), (75, 85, 99), (236, 238, 241)


def contact_sheet(pictures: Sequence[tuple[str, Path | None]]) -> Image.Image:
    """Return up to 48 pictures, spread evenly over all, each above its name.

    Below them it says how many of how many, where they are not all.

    Args:
        pictures: name and thumbnail; None for a photo that cannot be read.
    """
    count = min(_MOST, len(pictures))
    shown = [pictures[i * len(pictures) // count] for i in range(count)]
    columns = min(_COLUMNS, max(count, 1))
    step_x, step_y = _TILE_WH[0] + _GAP_PX, _TILE_WH[1] + _LINE_PX + _GAP_PX
    rows = -(-max(count, 1) // columns)
    told = extent(len(pictures))
    foot_px = _LINE_PX if told else 0
    size_wh = columns * step_x + _GAP_PX, rows * step_y + _GAP_PX + foot_px
    sheet = Image.new("RGB", size_wh, _GROUND)
    pen = ImageDraw.Draw(sheet)
    for position, (name, path) in enumerate(shown):
        x = _GAP_PX + position % columns * step_x
        y = _GAP_PX + position // columns * step_y
        if path is None:
            pen.rectangle((x, y, x + _TILE_WH[0], y + _TILE_WH[1]), fill=_EMPTY)
            middle = (x + _TILE_WH[0] / 2, y + _TILE_WH[1] / 2)
            pen.text(middle, "cannot be read", _INK, label_font(_NAME_PX), anchor="mm")
        else:
            with Image.open(path) as thumb:
                thumb.thumbnail(_TILE_WH)
                left, top = (_TILE_WH[0] - thumb.width) // 2, _TILE_WH[1] - thumb.height
                sheet.paste(thumb, (x + left, y + top))
        text, font = lettering(name, _NAME_LENGTH, _NAME_PX)
        pen.text((x + _TILE_WH[0] / 2, y + _TILE_WH[1] + 12), text, _INK, font, anchor="mm")
    foot = _GAP_PX, sheet.height - _GAP_PX - foot_px / 2
    pen.text(foot, told, _INK, label_font(_NAME_PX), anchor="lm")
    return sheet


def extent(n_photos: int) -> str:
    """Return ``"48 of 150 photos, evenly spread"``, or ``""`` where a sheet shows all photos."""
    return f"{_MOST} of {n_photos:,} photos, evenly spread" if n_photos > _MOST else ""
