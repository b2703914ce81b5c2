"""Registered datasets."""

from .fashion_dataset import FashionDataset

__all__ = ["FashionDataset"]
