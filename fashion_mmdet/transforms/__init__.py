"""Registered data transforms."""

from .loading import LoadPhoto

__all__ = ["LoadPhoto"]
