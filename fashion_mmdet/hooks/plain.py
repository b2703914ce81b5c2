"""Turns what a runner wants to save into plain values, and the log history back.

"Plain" is what ``torch.load(weights_only=True)`` reads with nothing allow-listed: tensors,
numbers, strings, None, and lists, tuples, sets and dictionaries of them.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from fashion_mmdet.core.errors import CheckpointError

HISTORY_FORMAT = 1
"""Version of what :func:`pack_history` writes, kept beside it in the checkpoint."""

_AS_IT_IS = (torch.Tensor, torch.dtype, torch.Size, torch.device, bytes, bytearray, type(None))


class _Dropped:
    """Marks a value that has no plain form."""


def plain(value: Any, dropped: list[str], where: str = "") -> Any:
    """Return ``value`` with numpy, ``ConfigDict`` and the like turned into plain Python.

    Tensors are passed on untouched; an ``OrderedDict`` keeps its attributes (a state dict has
    ``_metadata``). A value without a plain form is left out of its dictionary, or becomes None
    in a list.

    Args:
        value: anything.
        dropped: receives ``"<path inside value>: <type>"`` for each value left out.
        where: path of ``value`` inside what is being saved.

    >>> names = []
    >>> plain({"lr": np.float64(0.02), "f": print}, names, "meta"), names
    ({'lr': 0.02}, ['meta.f: builtin_function_or_method'])
    """
    result = _plain(value, dropped, where)
    return None if result is _Dropped else result


def _plain(value: Any, dropped: list[str], where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, _AS_IT_IS):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # a subclass may print as something else
    for kind in (bool, int, float, complex):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, dropped, where)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        items = [plain(item, dropped, f"{where}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return tuple(items)
        return set(items) if isinstance(value, (set, frozenset)) else items
    dropped.append(f"{where}: {type(value).__name__}")
    return _Dropped


def _plain_mapping(value: Mapping[Any, Any], dropped: list[str], where: str) -> dict[Any, Any]:
    result: dict[Any, Any] = OrderedDict() if isinstance(value, OrderedDict) else {}
    for key, item in value.items():
        path = f"{where}.{key}" if where else str(key)
        plain_key, plain_item = _plain(key, dropped, path), _plain(item, dropped, path)
        if plain_key is not _Dropped and plain_item is not _Dropped:
            result[plain_key] = plain_item
    if isinstance(value, OrderedDict):
        result.__dict__.update(_plain(dict(value.__dict__), dropped, f"{where}.__dict__"))
    return result


def pack_history(log_scalars: Mapping[str, HistoryBuffer]) -> dict[str, Any]:
    """Return the buffers of a message hub as tensors (float64 or int64, shape (N,)) and a number.

    Tensors rather than lists: a run's history is some million numbers, which torch's safe
    unpickler would read one by one.
    """
    packed: dict[str, Any] = {}
    for name, buffer in log_scalars.items():
        log, count = (torch.from_numpy(np.array(side)) for side in buffer.data)
        packed[name] = {"log": log, "count": count, "max_length": int(buffer.max_length)}
    return packed


def unpack_history(message_hub: dict[str, Any]) -> None:
    """Turn what :func:`pack_history` wrote back into buffers, in place.

    A message hub of another origin is left as it is.

    Raises:
        CheckpointError: where the history was written by a newer version, or makes no sense.
    """
    written = message_hub.pop("history_format", None)
    if written is None:
        return
    if written != HISTORY_FORMAT:
        raise CheckpointError(
            f"checkpoint: log history in format {HISTORY_FORMAT} expected, got {written}. It was "
            "written by a newer fashion-mmdet; use that one."
        )
    for name, packed in message_hub["log_scalars"].items():
        try:
            log, count = (packed[side].cpu().numpy() for side in ("log", "count"))
            message_hub["log_scalars"][name] = HistoryBuffer(log, count, packed["max_length"])
        except (AttributeError, KeyError, TypeError, AssertionError) as error:
            raise CheckpointError(
                f"checkpoint: two equally long tensors as log history of {name!r} expected, got "
                f"something else ({type(error).__name__}). Resume from another checkpoint."
            ) from None
