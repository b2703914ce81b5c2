"""Metrics, registered with mmdet."""

from .fashion_metric import FashionMetric

__all__ = ["FashionMetric"]
