"""Inert stand-ins for what mmengine pickles into a checkpoint beside tensors.

A file written by plain mmengine holds ``HistoryBuffer`` objects (numpy arrays, and the class's
methods by way of ``builtins.getattr``), numpy numbers, and now and then a ``ConfigDict``.
``torch.load(weights_only=True)`` refuses all of these; allowing the real ones would allow a file
to fetch any attribute of anything. Here each pickled name is answered by a stand-in that checks
and keeps values and calls nothing; :func:`settle` then turns what was kept into the real objects.

torch takes an allow-list of objects and reads the pickled name off them (``__module__`` and
``__name__``, later ``__qualname__``), in torch 2.5 as in the newest, so a stand-in carries the
name it answers for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

_SIMPLE_DTYPE = re.compile(r"\|?(b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})")


def _named(target: Any, pickled_name: str) -> Any:
    """Give ``target`` the name under which it is found in a pickle."""
    target.__module__, _, target.__name__ = pickled_name.rpartition(".")
    target.__qualname__ = target.__name__
    return target


def _function(call: Callable[..., Any], pickled_name: str) -> Callable[..., Any]:
    return _named(lambda *args: call(*args), pickled_name)


class _Dtype:
    """Stands for ``numpy.dtype``: numbers, booleans and strings, no objects, no records."""

    def __init__(self, spec: Any = None, *_flags: Any) -> None:
        if not isinstance(spec, str) or not _SIMPLE_DTYPE.fullmatch(spec):
            raise UnpicklingError(f"numpy.dtype of a number or string expected, got {spec!r}")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, then what describes records, which there are none of)
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError("numpy.dtype state expected, got something else")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``; its content is decoded by ``numpy.frombuffer``."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        # (version, shape, dtype, Fortran order?, raw bytes)
        _version, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise UnpicklingError("numpy.ndarray of plain numbers expected, got another kind")
        flat = np.frombuffer(raw, dtype.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C").copy(order="K")


class _Buffer:
    """Stands for mmengine's ``HistoryBuffer``; keeps its state, forgets its methods."""

    state: dict[str, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise UnpicklingError("HistoryBuffer state expected, got something else")
        self.state = state


def _reconstruct(cls: Any, *_shape_and_code: Any) -> _Array:
    if cls is not _Array:
        raise UnpicklingError(f"numpy array rebuild of ndarray expected, got {cls!r}")
    return _Array()


def _scalar(dtype: Any, raw: Any = b"") -> np.generic:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise UnpicklingError("numpy scalar of a plain number expected, got another kind")
    (value,) = np.frombuffer(raw, dtype.dtype)
    return value


def _getattr(owner: Any, name: Any) -> None:
    """Stands for ``builtins.getattr``: a method of HistoryBuffer, which nobody needs, or refusal.

    mmengine pickles the buffer's statistics methods; a real buffer has them already.
    """
    if owner is not _Buffer or not isinstance(name, str):
        raise UnpicklingError(f"GLOBAL builtins.getattr was called on {owner!r}")


def _bytes() -> bytes:
    """Stands for ``builtins.bytes``, by which the empty bytes of an empty array are pickled."""
    return b""


def _config_dict(*args: Any) -> dict[str, Any]:
    return dict(*args)


def _multiarray(name: str, call: Callable[..., Any]) -> list[Callable[..., Any]]:
    """numpy 1 and numpy 2 pickle under different paths."""
    return [_function(call, f"{path}.multiarray.{name}") for path in ("numpy.core", "numpy._core")]


STAND_INS = [
    _named(_Dtype, "numpy.dtype"),
    _named(_Array, "numpy.ndarray"),
    _named(_Buffer, "mmengine.logging.history_buffer.HistoryBuffer"),
    _function(_getattr, "builtins.getattr"),
    _function(_bytes, "builtins.bytes"),
    _function(_config_dict, "mmengine.config.config.ConfigDict"),
    *_multiarray("_reconstruct", _reconstruct),
    *_multiarray("scalar", _scalar),
]
"""The exact allow-list: everything beyond torch's own that a checkpoint may name."""


def settle(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Replace every stand-in inside ``value`` by the real object it stands for.

    Dictionaries and lists are changed in place (a state dict carries ``_metadata``).

    Raises:
        UnpicklingError: for a stand-in that the file left without content.
    """
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, dict):
        seen[id(value)] = value
        for key, item in value.items():
            value[key] = settle(item, seen)  # same keys: the size does not change
    elif isinstance(value, list):
        seen[id(value)] = value
        value[:] = [settle(item, seen) for item in value]
    elif isinstance(value, tuple) and type(value) is tuple:
        return tuple(settle(item, seen) for item in value)
    elif isinstance(value, (_Dtype, _Array, _Buffer)):
        seen[id(value)] = _real(value, seen)
        return seen[id(value)]
    return value


def _real(stand_in: _Dtype | _Array | _Buffer, seen: dict[int, Any]) -> Any:
    if isinstance(stand_in, _Dtype):
        return stand_in.dtype
    if isinstance(stand_in, _Array):
        if stand_in.array is None:
            raise UnpicklingError("numpy.ndarray with content expected, got an empty shell")
        return stand_in.array
    if stand_in.state is None:
        raise UnpicklingError("HistoryBuffer with content expected, got an empty shell")
    state = settle(stand_in.state, seen)
    log, count = state.get("_log_history"), state.get("_count_history")
    if not isinstance(log, np.ndarray) or not isinstance(count, np.ndarray):
        raise UnpicklingError("HistoryBuffer with two arrays expected, got another content")
    return HistoryBuffer(log, count, int(state.get("max_length", 1_000_000)))
