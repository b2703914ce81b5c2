"""Pictures and the W&B backend, registered with mmengine."""

from .cutouts import cutout, write_cutouts
from .drawing import draw_prediction, palette_of
from .pictures_hook import FashionVisualizationHook
from .visualizer import FashionVisualizer
from .wandb_backend import FashionWandbBackend

__all__ = [
    "FashionVisualizationHook",
    "FashionVisualizer",
    "FashionWandbBackend",
    "cutout",
    "draw_prediction",
    "palette_of",
    "write_cutouts",
]
