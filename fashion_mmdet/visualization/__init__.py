"""Pictures and the W&B backend, registered with mmengine."""

from .pictures_hook import FashionVisualizationHook
from .visualizer import FashionVisualizer
from .wandb_backend import FashionWandbBackend

__all__ = ["FashionVisualizationHook", "FashionVisualizer", "FashionWandbBackend"]
