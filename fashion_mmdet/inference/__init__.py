"""From photos to what a trained model finds on them: reading, predicting, keeping, writing.

``Predictor`` is imported when it is asked for: the rest of the room needs no torch.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name != "Predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .predictor import Predictor

    return Predictor
