"""A trial as a config of its own: a short file with its page of the lab notebook, to be trained.

The file gives exactly the config that the trial ran: ``_base_`` is the swept config, and below it
is what the trial set, nested as mmengine merges it. What ``_base_`` cannot say is written whole:
a list of which one item was changed.
"""

from __future__ import annotations

import keyword
import math
import os
import re
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.reports.texts import one_line

from .figures import Measure, alike_said, counts_said, measure_of, searched, settings_said
from .finalists import AS_IT_IS, Finalist, finalists_of
from .record import SweepRecord, Trial, trial_name

_WIDTH = 100
_INDENT = 4
_DELETE = "_delete_"  # mmengine's word for: replace the base's dict, merge nothing
# A name that would hide what the file is written with, or that mmengine keeps for itself.
_RESERVED = {"dict", "float", "_base_", "_delete_", "_deprecation_", "filename", "text",
             "pretty_text", "env_variables"}  # fmt: skip


def leaf_text(
    record: SweepRecord, trial: Trial, config: Mapping[str, Any], out_path: str | os.PathLike[str]
) -> str:
    """Return the config file of a trial.

    Args:
        record: of the sweep.
        trial: one of it.
        config: the swept config resolved, as ``Config.fromfile(record.program).to_dict()`` has it.
        out_path: where the file is to lie; ``_base_`` is relative to its folder.

    Raises:
        ConfigError: for a value or a key that cannot be written as plain Python, or that cannot be
            merged into the config.
    """
    merged = overrides_of(trial.values, config)
    lines = [_docstring(record, trial, Path(out_path)), ""]
    lines += [f"_base_ = {_text(_base(record.program, Path(out_path)), len('_base_ = '), 0)}", ""]
    for name, value in merged.items():
        if not _is_name(name) or name in _RESERVED or name.startswith("__"):
            raise ConfigError(
                f"{name!r}: a key of the config that can be assigned to in a config file expected."
            )
        lines.append(f"{name} = {_literal(value, len(name) + 3, 0, name)}")
    return "\n".join(lines) + "\n"


def overrides_of(values: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a leaf sets: the values nested, with lists of the config written whole.

    Args:
        values: dotted config key -> value, as ``Config.merge_from_dict`` takes it.
        config: the resolved config that they are merged into.

    Raises:
        ConfigError: where mmengine cannot merge them.
    """
    nested: dict[str, Any] = {}
    for key, value in values.items():
        node = nested
        *above, last = key.split(".")
        for name in above:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: a key beside the others expected, got a part of one.")
        node[last] = value
    order = [*(name for name in config if name in nested), *nested]  # as a reader expects them
    return {
        name: _over(nested[name], config[name], name) if name in config else nested[name]
        for name in dict.fromkeys(order)
    }


def _over(value: Any, held: Any, where: str) -> Any:
    """Return what is to be written over ``held``; a list that is changed within, whole."""
    if not isinstance(value, dict) or value.get(_DELETE):
        return value
    if isinstance(held, list):
        return _merged(value, held, where)
    if not isinstance(held, Mapping):
        raise ConfigError(
            f"{where}: a dict in the config expected, to set {', '.join(map(str, value))} of it, "
            f"got {held!r:.60}."
        )
    return {
        name: _over(one, held[name], f"{where}.{name}") if name in held else one
        for name, one in value.items()
    }


def _merged(value: Any, held: Any, where: str) -> Any:
    """Return ``held`` with ``value`` merged into it, as mmengine does it for ``--cfg-options``."""
    if not isinstance(value, dict):
        return value
    if isinstance(held, list):
        out: Any = list(held)
        for name, one in value.items():
            if not name.isdigit() or int(name) >= len(held) or not isinstance(one, dict):
                raise ConfigError(
                    f"{where}.{name}: keys of one of the {len(held)} items of a list expected. To "
                    "change an item that is no dict, give the whole list."
                )
            out[int(name)] = _merged(one, held[int(name)], f"{where}.{name}")
        return out
    if not isinstance(held, Mapping):
        raise ConfigError(f"{where}: a dict in the config expected, got {held!r:.60}.")
    out = dict(held)
    for name, one in value.items():
        replaces = name not in held or not isinstance(one, dict) or one.get(_DELETE)
        if replaces and name in held and isinstance(one, dict):
            one = {key: part for key, part in one.items() if key != _DELETE}
        out[name] = one if replaces else _merged(one, held[name], f"{where}.{name}")
    return out


def _base(program: str, out: Path) -> str:
    """Return the swept config's path from the leaf's folder, with forward slashes.

    From a folder that is a link to another place it is absolute: nothing else is found.
    """
    relative = os.path.relpath(program, out.parent)
    if os.path.realpath(os.path.join(out.parent, relative)) != os.path.realpath(program):
        # Behind a linked folder ".." is another one to the system, and mmengine goes both ways.
        relative = os.path.abspath(program)
    path = Path(relative).as_posix()
    if "::" in path:
        raise ConfigError(
            f"{path}: a path without '::' expected, which mmengine takes for one into a package."
        )
    return path


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text)


def _literal(value: Any, column: int, indent: int, where: str) -> str:
    """Return ``value`` as Python, on one line where it fits, else one part a line.

    Args:
        value: of plain types.
        column: where on its line it begins.
        indent: of that line.
        where: dotted key, for errors.
    """
    flat = _flat(value, where)
    # 1 for a comma behind it.
    if column + len(flat) + 1 <= _WIDTH:
        return flat
    if isinstance(value, str):
        return _text(value, column, indent)
    deeper = indent + _INDENT
    if isinstance(value, Mapping) and value:
        is_call = all(map(_is_name, value))
        parts = []
        for name, part in value.items():
            head = f"{name}=" if is_call else f"{_flat(name, where)}: "
            parts.append(f"{head}{_literal(part, deeper + len(head), deeper, f'{where}.{name}')}")
        ends = ("dict(", ")") if is_call else ("{", "}")
    elif isinstance(value, (list, tuple)) and value:
        parts = [_literal(p, deeper, deeper, f"{where}.{n}") for n, p in enumerate(value)]
        ends = ("[", "]") if isinstance(value, list) else ("(", ")")
    else:
        return flat
    inner = "".join(f"{' ' * deeper}{part},\n" for part in parts)
    return f"{ends[0]}\n{inner}{' ' * indent}{ends[1]}"


def _flat(value: Any, where: str) -> str:
    """Return ``value`` as Python on one line; plain values only, so that no code comes of it."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if type(value) is str:
        return _quoted(value)
    if type(value) is int:
        return repr(value)
    if type(value) is float:
        return repr(value).replace("e+", "e") if math.isfinite(value) else f'float("{value}")'
    if type(value) is list:
        return f"[{', '.join(_flat(v, f'{where}.{n}') for n, v in enumerate(value))}]"
    if type(value) is tuple:
        inner = ", ".join(_flat(v, f"{where}.{n}") for n, v in enumerate(value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        if any(type(name) not in (str, int) for name in value):
            raise ConfigError(f"{where}: texts or whole numbers as keys expected.")
        pairs = {name: _flat(part, f"{where}.{name}") for name, part in value.items()}
        if all(map(_is_name, pairs)):
            return f"dict({', '.join(f'{name}={part}' for name, part in pairs.items())})"
        return f"{{{', '.join(f'{_flat(n, where)}: {part}' for n, part in pairs.items())}}}"
    raise ConfigError(
        f"{where}: plain values (numbers, texts, lists, dicts) expected, to be written into a "
        f"config, got {value!r:.60} (a {type(value).__name__})."
    )


def _quoted(text: str) -> str:
    """Return a text as a literal, as ``ruff format`` quotes it, that mmengine leaves alone."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    out = []
    for character in text:
        if character == "\\" or character == quote:
            out.append(f"\\{character}")
        elif character.isprintable():
            out.append(character)
        else:
            # Lone halves of characters, too, have no other form in a file.
            out.append(character.encode("unicode_escape", "surrogatepass").decode("ascii"))
    return f"{quote}{_no_macros(''.join(out))}{quote}"


def _no_macros(text: str) -> str:
    """Return the source of a text with ``{{`` written so that mmengine fills nothing in there."""
    return re.sub(r"(?<=\{)\{", r"\\x7b", text)


def _text(text: str, column: int, indent: int) -> str:
    """Return a text as a literal; one that does not fit, as pieces in brackets."""
    flat = _quoted(text)
    if column + len(flat) + 1 <= _WIDTH:
        return flat
    room, pieces, start = _WIDTH - indent - _INDENT - 2, [], 0
    while start < len(text):
        end = start + 1
        # A piece grows by what it takes as source, where a character may be ten.
        while end < len(text) and len(_quoted(text[start : end + 1])) <= room:
            end += 1
        blank = text.rfind(" ", start + 1, end)
        if end < len(text) and blank > start:
            end = blank + 1
        pieces.append(_quoted(text[start:end]))
        start = end
    inner = "".join(f"{' ' * (indent + _INDENT)}{piece}\n" for piece in pieces)
    return f"(\n{inner}{' ' * indent})"


def _docstring(record: SweepRecord, trial: Trial, out: Path) -> str:
    measure, parameters = measure_of(record), searched(record)
    name = trial_name(trial.number)
    settings = settings_said(trial.values, parameters)
    title = f"{name} of the sweep {record.name}{': ' if settings else ''}{settings}."
    n_done = len(record.ranked())
    day = (trial.ended_utc or record.updated_utc)[:10]
    place = next((n for n, t in enumerate(record.ranked(), 1) if t.number == trial.number), None)
    rank = f"number {place} of the {n_done} that ran to their end" if place else trial.outcome
    origin = (
        f"Chosen in the sweep of {record.file} over {record.program} ({counts_said(record)}), in "
        f"which it was {rank}. What it sets is below; all else is the swept config's."
    )
    measured = (
        f"Measured {day} on the validation set, at the last validation of one run: {measure.name} "
        f"{measure.said(trial.metric)}, after {trial.wall_s / 60:.0f} minutes on "
        f"{_hardware(record)}. It was chosen by that value, which flatters."
    )
    if alike := alike_said(record):
        origin += (
            f" All trials had {alike}: where that made them small, take it out here; a schedule of "
            "more steps may want another choice."
        )
    finals = _finals(record, name, measure)
    out_said = os.path.relpath(out) if out.is_absolute() else str(out)
    parts = [_wrapped(title, _WIDTH - 3), f"    fashion train {shlex.quote(one_line(out_said))}"]
    parts += [_wrapped(text) for text in (origin, measured, *finals)]
    return _escaped(parts)


def _finals(record: SweepRecord, name: str, measure: Measure) -> list[str]:
    of_name = {one.name: one for one in finalists_of(record) if one.metrics}
    own = of_name.get(name)
    if own is None:
        return []
    base = next((one for one in of_name.values() if one.is_baseline), None)
    held = f"; {AS_IT_IS} has {_over_seeds(base, measure)}" if base else ""
    return [f"Trained anew: {measure.name} {_over_seeds(own, measure)}{held}."]


def _over_seeds(one: Finalist, measure: Measure) -> str:
    seeds = sorted(one.metrics)
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{one.mean_said(measure)} over {word} {', '.join(map(str, seeds))}"


def _hardware(record: SweepRecord) -> str:
    machine = record.hardware
    if machine.gpus:
        return one_line(machine.gpus[0].name)
    return f"{machine.cores} cores of {one_line(machine.cpu)}"


def _wrapped(text: str, width: int = _WIDTH) -> str:
    return textwrap.fill(one_line(text), width, break_on_hyphens=False)


def _escaped(paragraphs: list[str]) -> str:
    """Return paragraphs as a docstring's source, no line of it too long."""
    source = _source("\n\n".join(paragraphs))
    for width in (90, 60, 24):
        if max(map(len, source.splitlines())) <= _WIDTH:
            break
        # What is escaped takes more room; so does a long path in the command's line.
        rewrapped = [
            p if p.startswith("    ") and len(p) <= width else _wrapped(p, width)
            for p in paragraphs
        ]
        source = _source("\n\n".join(rewrapped))
    return source


def _source(text: str) -> str:
    # Escaped backslashes first; then no three quotes and no braces of a macro are left.
    body = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{_no_macros(body)}\n"""'
