"""Whether a COCO file is that of a cache (``fashion data cache``), and not of the originals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fashion_mmdet.core.errors import FashionError


def refuse_cached(coco: Mapping[str, Any], where: str) -> None:
    """Refuse to take a part of the file of a cache (``fashion data cache``).

    Its photos and masks are of the working size: scored against the part, a model would be held
    to shrunken masks, and nothing would tell when the originals have changed.

    Raises:
        FashionError: if ``info.cached_from`` says that the file is one.
    """
    info = coco.get("info")
    made_from = info.get("cached_from") if isinstance(info, dict) else None
    if made_from is None:
        return
    source = made_from.get("annotations") if isinstance(made_from, dict) else None
    raise FashionError(
        f"{where}: annotations of the originals expected, got those of a cache, whose photos and "
        f"masks are resized. Take the part of {source or 'the originals'}"
        f"{' (seen from the cache)' if source else ''}, and make a cache of the part."
    )
