"""The one module that imports every room of registered classes.

Configs name it in ``custom_imports``; after it, every type they name by string is known.
"""

import fashion_mmdet.datasets
import fashion_mmdet.engine
import fashion_mmdet.evaluation
import fashion_mmdet.hooks
import fashion_mmdet.transforms
import fashion_mmdet.visualization  # noqa: F401
