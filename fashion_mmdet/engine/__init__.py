"""The runner."""

from .runner import FashionRunner

__all__ = ["FashionRunner"]
