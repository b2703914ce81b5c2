"""The state of the random number generators of this process, as plain values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from fashion_mmdet.core.errors import CheckpointError


def rng_state() -> dict[str, Any]:
    """Return the state of Python's, numpy's, torch's and, if in use, CUDA's global generators.

    Everything is a tensor, a number or a string; about 16 kB.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators back where :func:`rng_state` found them.

    CUDA generators are put back only where there are as many devices as there were.

    Raises:
        CheckpointError: for a state that is no such thing; the generators may then be mixed.
    """
    try:
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
        torch.set_rng_state(state["torch"].cpu())  # a resume loads everything to the GPU
        if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"rng_state: the state of the random generators expected, got something else "
            f"({type(error).__name__}: {error}). Resume from another checkpoint."
        ) from None
