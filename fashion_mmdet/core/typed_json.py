"""Plain JSON into frozen dataclasses, every value of the type that its field declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from .errors import FashionError, did_you_mean

T = TypeVar("T")


def from_json(kind: type[T], value: Any, where: str) -> T:
    """Return ``value`` as an instance of the dataclass ``kind``.

    A field may be a str, int, float, bool, None, ``Any``, a ``Literal``, another dataclass,
    ``tuple[X, ...]`` (from a list), ``dict[str, X]`` or a union of one of them with None.
    ``dataclasses.asdict`` is the way back.

    Args:
        kind: a dataclass whose annotations can be resolved.
        value: what ``json.load`` gave.
        where: what to name in an error, e.g. the file.

    Raises:
        FashionError: naming the place in ``value`` where a key is missing, is not known, or holds
            a value of another type.
    """
    return typing.cast(T, _convert(kind, value, where))


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (one for one in arguments if one is not type(None))
        return _convert(kind, value, where)
    if origin is typing.Literal:
        return value if value in arguments else _refuse(where, _names(arguments), value)
    if origin is tuple:
        if not isinstance(value, list):
            _refuse(where, "a list", value)
        return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(where, "an object", value)
        return {k: _convert(arguments[1], v, f"{where}: {k}") for k, v in value.items()}
    if dataclasses.is_dataclass(kind):
        return _instance(kind, value, where)
    if type(value) is int and kind in (int, float) and abs(value) > _MOST_WHOLE:
        # A float overflows at 310 digits, and none of these numbers has more than 19.
        _refuse(where, f"{_WORDS[kind]} of at most 2**63 in size", value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # a bool is an int to isinstance
        _refuse(where, _WORDS[kind], value)
    return value


def _instance(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        _refuse(where, "an object", value)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise FashionError(
            f"{where}: the keys of a {kind.__name__} expected, got {unknown[0]!r}."
            f"{did_you_mean(unknown[0], hints) or ' Was it written by another version?'}"
        )
    for field in dataclasses.fields(kind):
        if field.name not in value:
            raise FashionError(
                f"{where}: the key {field.name!r} expected, got none. Is the file complete?"
            )
    return kind(**{k: _convert(hints[k], v, f"{where}: {k}") for k, v in value.items()})


_MOST_WHOLE = 2**63
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _names(values: tuple[Any, ...]) -> str:
    return " or ".join(map(repr, values))


def _refuse(where: str, wanted: str, value: Any) -> typing.NoReturn:
    text = repr(value)
    got = text if len(text) <= 60 else f"{text[:57]}..."
    raise FashionError(f"{where}: {wanted} expected, got {got}. Was the file changed by hand?")
