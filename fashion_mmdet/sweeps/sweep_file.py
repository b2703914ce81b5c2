"""Reads a sweep file: W&B's format, in which parameters are config keys.

The same file serves ``wandb sweep`` and ``wandb agent``; see
https://docs.wandb.ai/guides/sweeps/define-sweep-configuration.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from fashion_mmdet.core.errors import ConfigError, did_you_mean
from fashion_mmdet.core.files import unreadable

from .parameters import Parameter, read_parameters

METHODS = ("grid", "random", "bayes")
GOALS = ("maximize", "minimize")
_KEYS = ("name", "description", "project", "entity", "program", "command", "method", "metric",
         "parameters", "early_terminate", "run_cap")  # fmt: skip
_TERMINATE_KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")
_ARGUMENTS = ("args", "args_no_hyphens", "args_no_boolean_flags", "args_no_equals", "args_json")
_MACRO = re.compile(r"\$\{([^}]*)\}")
#: in a command, what stands for a variable of the environment
ENVVAR = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_MOST_BYTES = 1_000_000
_MOST_NODES = 200_000


@dataclass(frozen=True)
class Pruning:
    """When a trial that does worse than others is stopped (``early_terminate``).

    W&B's hyperband compares the trials that came to a rung, the ``rungs`` of which grow by
    ``eta``, and stops those that are not among the best 1 / ``eta`` of them: asynchronous
    successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934).

    Attributes:
        first: validations before a trial may be stopped.
        eta: one of so many goes on.
    """

    first: int
    eta: int


@dataclass(frozen=True)
class Sweep:
    """A sweep file.

    Attributes:
        file: as it was named.
        definition: its content, plain.
        name: ``name``, or the file's name.
        program: the config file.
        command: of a trial, with W&B's macros.
        method: how values are chosen.
        metric: name of the figure of a validation that is searched on.
        goal: whether it is to be large or small.
        parameters: what is tried.
        pruning: None where every trial runs to its end.
        run_cap: how many trials; None where the file does not say.
        project, entity: W&B's; None for the config's, and the user's own.
    """

    file: str
    definition: dict[str, Any]
    name: str
    program: str
    command: tuple[str, ...]
    method: Literal["grid", "random", "bayes"]
    metric: str
    goal: Literal["maximize", "minimize"]
    parameters: tuple[Parameter, ...]
    pruning: Pruning | None
    run_cap: int | None
    project: str | None
    entity: str | None

    def searched(self) -> list[Parameter]:
        """Return the parameters of which more than one value is tried."""
        return [one for one in self.parameters if not one.is_constant]


def read_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read and check a sweep file; its parameters are held against the config elsewhere.

    Raises:
        ConfigError: naming the key and what was expected there.
    """
    name = os.fspath(path)
    return sweep_of(_load(name), name)


def sweep_of(given: Mapping[str, Any], where: str) -> Sweep:
    """Return the sweep of a file's content; ``where`` names it in errors."""
    for key in given:
        if key not in _KEYS:
            raise ConfigError(
                f"{where}: keys of a sweep file expected, got {key!r}."
                f"{did_you_mean(key, _KEYS) or ' Valid: ' + ', '.join(_KEYS) + '.'}"
            )
    for key in ("program", "command", "method", "metric", "parameters"):
        if key not in given:
            raise ConfigError(f"{where}: the key {key!r} expected, got none. {_ADVICE[key]}")
    method = _one_of(given["method"], METHODS, f"{where}: method")
    metric = _mapping(given["metric"], ("name", "goal"), f"{where}: metric")
    goal = _one_of(metric.get("goal"), GOALS, f"{where}: metric.goal")
    program = _text(given["program"], f"{where}: program")
    sweep = Sweep(
        file=where,
        definition=json.loads(json.dumps(given)),
        name=study_name(given.get("name", Path(where).stem), f"{where}: name"),
        program=program,
        command=_command(given["command"], f"{where}: command"),
        method=method,
        metric=_text(metric.get("name"), f"{where}: metric.name"),
        goal=goal,
        parameters=read_parameters(given["parameters"], f"{where}: parameters"),
        pruning=_pruning(given.get("early_terminate"), f"{where}: early_terminate"),
        run_cap=_count(given.get("run_cap"), f"{where}: run_cap"),
        project=_optional(given.get("project"), f"{where}: project"),
        entity=_optional(given.get("entity"), f"{where}: entity"),
    )
    if not sweep.searched():
        raise ConfigError(
            f"{where}: parameters: two values to choose from expected, got constants."
        )
    if method == "grid":
        for one in sweep.searched():
            if not one.grid():
                raise ConfigError(
                    f"{where}: parameters.{one.key}: values, or a range of whole numbers or with "
                    f"q (q_uniform), expected for the method grid, got {one.distribution}."
                )
    return sweep


_ADVICE = {
    "program": "It is the config that is trained: program: configs/fashion/mask_rcnn_r50.py",
    "command": "For example: [${env}, fashion, train, ${program}, --cfg-options, "
    "${args_no_hyphens}]",
    "method": "One of grid, random, bayes.",
    "metric": "For example: metric: {name: coco/segm_mAP, goal: maximize}",
    "parameters": "They are config keys and what to try for them.",
}


def expand(
    command: Sequence[str], program: str, values: Mapping[str, Any], environment: Mapping[str, str]
) -> list[str]:
    """Return a trial's command with W&B's macros filled in, as ``wandb agent`` does it.

    ``${interpreter}`` is this Python, and a variable of the environment that is not set stays
    its own name.

    >>> expand(["${env}", "fashion", "${args_no_hyphens}"], "c.py", {"a.b": 1}, {})
    ['/usr/bin/env', 'fashion', 'a.b=1']
    """
    pairs = [f"{key}={value}" for key, value in values.items()]
    fill = {
        "env": ["/usr/bin/env"],
        "interpreter": [sys.executable],
        "program": [program],
        "args": [f"--{pair}" for pair in pairs],
        "args_no_hyphens": pairs,
        "args_no_boolean_flags": [
            f"--{key}" if value is True else f"--{key}={value}"
            for key, value in values.items()
            if value is not False
        ],
        "args_no_equals": [
            word for key, value in values.items() for word in (f"--{key}", str(value))
        ],
        "args_json": [json.dumps(dict(values))],
    }
    out: list[str] = []
    for word in command:
        name = word[2:-1] if word.startswith("${") and word.endswith("}") else None
        if name in fill:
            out += fill[name]
        else:
            out.append(ENVVAR.sub(lambda m: environment.get(m[1], m[1]), word))
    return out


class _Loader(yaml.SafeLoader):
    """YAML without code, in which a key that comes twice is an error and not the last of them."""


def _no_twins(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (str, int, float)) and key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} comes twice", key_node.start_mark
            )
        if isinstance(key, (str, int, float)):
            seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _no_twins(loader, node, deep=True),
)


def _load(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a sweep file (YAML in UTF-8)") from None
    if len(text) > _MOST_BYTES:
        raise ConfigError(f"{path}: a sweep file expected, got more than {_MOST_BYTES:,} letters.")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
        _require_small(value)
        json.dumps(value, allow_nan=False)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}: YAML expected, got a fault{place}: {problem}.") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: plain values expected, got {error}.") from None
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{path}: keys and values (method, metric, parameters, ...) expected, got "
            f"{value!r:.60}. The files in configs/sweeps are examples."
        )
    return value


def _require_small(value: Any) -> None:
    """Raise ValueError for what is small as a text, and by its aliases endless when written out."""
    left, n_nodes = [value], 0
    while left:
        n_nodes += 1
        if n_nodes > _MOST_NODES:
            raise ValueError(f"more than {_MOST_NODES:,} of them, by aliases")
        node = left.pop()
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _command(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"{where}: a list of words expected, got {given!r:.80}. {_ADVICE['command']}"
        )
    for word in given:
        if isinstance(word, bool) or not isinstance(word, (str, int, float)) or "\0" in str(word):
            raise ConfigError(f"{where}: texts expected, got {word!r:.60}.")
    words = [str(word) for word in given]
    _require_plain_command(words, where)
    macros = [name for word in words for name in _MACRO.findall(word)]
    known = ("env", "interpreter", "program", *_ARGUMENTS)
    for word in words:
        found = [name for name in _MACRO.findall(word) if not name.startswith("envvar:")]
        if found and word != f"${{{found[0]}}}":
            raise ConfigError(
                f"{where}: a macro as a word of its own expected, as W&B fills it in, got {word!r}."
            )
    for name in macros:
        if name not in known and not name.startswith("envvar:"):
            raise ConfigError(
                f"{where}: W&B's macros expected, got ${{{name}}}.{did_you_mean(name, known)}"
            )
    if not any(name in _ARGUMENTS for name in macros):
        raise ConfigError(
            f"{where}: ${{args_no_hyphens}} expected, which stands for what is tried, got none. "
            f"{_ADVICE['command']}"
        )
    if "program" not in macros:
        raise ConfigError(
            f"{where}: ${{program}} expected, which stands for the config, got none. "
            f"{_ADVICE['command']}"
        )
    return tuple(words)


def _require_plain_command(words: Sequence[str], where: str) -> None:
    """Refuse what sets the config past the parameters, and would be in no record of a trial."""
    for word in words:
        key, is_pair, _ = word.partition("=")
        is_option = is_pair and not key.startswith(("-", "$")) and "." in key
        if word == "--amp" or (is_option and not key.startswith("wandb.")):
            key = "optim_wrapper.type" if word == "--amp" else key
            raise ConfigError(
                f"{where}: no config keys but wandb's expected, got {word!r}. Put it into the "
                f"parameters, as {key}: {{value: ...}}: what all trials have belongs there."
            )


def _pruning(given: Any, where: str) -> Pruning | None:
    if given is None:
        return None
    found = _mapping(given, _TERMINATE_KEYS, where)
    _one_of(found.get("type"), ("hyperband",), f"{where}.type")
    if found.get("strict"):
        raise ConfigError(f"{where}.strict: nothing or false expected, got {found['strict']!r}.")
    numbers = {name: _count(found.get(name), f"{where}.{name}")
               for name in ("min_iter", "max_iter", "s", "eta")}  # fmt: skip
    eta = numbers["eta"] or 3
    if eta < 2:
        raise ConfigError(f"{where}.eta: a whole number from 2 on expected, got {eta}.")
    if numbers["min_iter"]:
        return Pruning(numbers["min_iter"], eta)
    if numbers["max_iter"] and numbers["s"]:
        # W&B's rungs are max_iter / eta, max_iter / eta ** 2, ... , s of them.
        first = max(1, numbers["max_iter"] // eta ** numbers["s"])
        return Pruning(first, eta)
    raise ConfigError(
        f"{where}: min_iter, or max_iter and s, expected, got {dict(found)!r:.80}. They count "
        "validations."
    )


def _one_of(given: Any, valid: Sequence[str], where: str) -> Any:
    if given not in valid:
        raise ConfigError(
            f"{where}: {' or '.join(map(repr, valid))} expected, got {given!r}."
            f"{did_you_mean(given, valid)}"
        )
    return given


def _mapping(given: Any, valid: Sequence[str], where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: {', '.join(valid)} expected, got {given!r:.80}.")
    for key in given:
        if key not in valid:
            raise ConfigError(
                f"{where}: {', '.join(valid)} expected, got {key!r}.{did_you_mean(key, valid)}"
            )
    return given


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"{where}: a text expected, got {given!r}.")
    return given


def _optional(given: Any, where: str) -> str | None:
    return None if given is None else _text(given, where)


def study_name(given: Any, where: str) -> str:
    """Return a name that can also be a folder's.

    Raises:
        ConfigError: for what could not.
    """
    text = _text(given, where)
    if not re.fullmatch(r"[\w][\w .+-]{0,99}", text) or text.endswith((" ", ".", " finals")):
        raise ConfigError(
            f"{where}: letters, digits, and '_-+. ' after the first expected, at most 100, for it "
            f"also names a folder; got {text!r:.120}."
        )
    return text


def _count(given: Any, where: str) -> int | None:
    if given is None:
        return None
    if type(given) is not int or not 1 <= given <= 1_000_000:
        raise ConfigError(f"{where}: a whole number from 1 on expected, got {given!r}.")
    return given
