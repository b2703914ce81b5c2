"""Hooks and optimizer wrappers; importing the package registers them."""

from .autocast import AutocastOptimWrapper
from .checkpoint import FashionCheckpointHook, latest_checkpoint
from .heads_first import HeadsFirstHook
from .weights_report import WeightsReportHook

__all__ = [
    "AutocastOptimWrapper",
    "FashionCheckpointHook",
    "HeadsFirstHook",
    "WeightsReportHook",
    "latest_checkpoint",
]
