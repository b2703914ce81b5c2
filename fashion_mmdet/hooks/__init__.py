"""Hooks and optimizer wrappers; importing the package registers them."""

from .autocast import AutocastOptimWrapper
from .checkpoint import FashionCheckpointHook, latest_checkpoint
from .class_check import (
    ClassCheckHook,
    require_heads,
    require_same_classes,
    trained_classes,
)
from .finite_loss import FiniteLossHook
from .heads_first import HeadsFirstHook
from .leak_check import LeakCheckHook
from .run_record import RunRecordHook
from .weights_report import WeightsReportHook, initialisation, require_whole

__all__ = [
    "AutocastOptimWrapper",
    "ClassCheckHook",
    "FashionCheckpointHook",
    "FiniteLossHook",
    "HeadsFirstHook",
    "LeakCheckHook",
    "RunRecordHook",
    "WeightsReportHook",
    "initialisation",
    "latest_checkpoint",
    "require_heads",
    "require_same_classes",
    "require_whole",
    "trained_classes",
]
