"""The one module that imports every room of registered classes.

Configs name it in ``custom_imports``; after it, every type they name by string is known.
"""

import fashion_mmdet.datasets  # noqa: F401
import fashion_mmdet.engine  # noqa: F401
import fashion_mmdet.evaluation  # noqa: F401
import fashion_mmdet.models  # noqa: F401
import fashion_mmdet.transforms  # noqa: F401
import fashion_mmdet.visualization  # noqa: F401
from fashion_mmdet.hooks import (
    initialisation,
    latest_checkpoint,
    require_heads,
    require_same_classes,
    require_whole,
    trained_classes,
)
from fashion_mmdet.models import with_tta

# For the commands, which import the rooms through here.
__all__ = [
    "initialisation",
    "latest_checkpoint",
    "require_heads",
    "require_same_classes",
    "require_whole",
    "trained_classes",
    "with_tta",
]
