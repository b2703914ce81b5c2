"""Whether a COCO file is that of a cache (``fashion data cache``), and not of the originals."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError


def refuse_cached(coco: Mapping[str, Any], where: str) -> None:
    """Refuse the file of a cache (``fashion data cache``) where the originals' is needed.

    Its photos and masks are of the working size: scored against a part of it, a model would be
    held to shrunken masks, and nothing would tell when the originals have changed.

    Raises:
        FashionError: if ``info.cached_from`` says that the file is one.
    """
    info = coco.get("info")
    made_from = info.get("cached_from") if isinstance(info, dict) else None
    if made_from is None:
        return
    source = made_from.get("annotations") if isinstance(made_from, dict) else None
    seen_from = " (as seen from the cache)" if source else ""
    raise FashionError(
        f"{where}: annotations of the originals expected, got those of a cache, whose photos and "
        f"masks are resized. Give {source or 'those of the originals'}{seen_from}."
    )


def read_originals(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a COCO file as :func:`.core.coco.read_coco` does; that of a cache is refused."""
    coco = read_coco(path)
    refuse_cached(coco, os.fspath(path))
    return coco
