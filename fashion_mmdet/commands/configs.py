"""Reading a config for ``fashion train`` and ``fashion test``: from disk, checked, named."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from fashion_mmdet.commands.options import merge_options
from fashion_mmdet.core.errors import ConfigError
from fashion_mmdet.inference.configs import read_config


class _Options(DictAction):
    """mmengine's ``KEY=VALUE`` reader, which takes dicts too; see :func:`read_options`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            options = read_options(values)
        except ConfigError as error:
            parser.error(str(error))
        earlier = getattr(namespace, self.dest, None) or {}
        setattr(namespace, self.dest, {**earlier, **options})


def read_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts into dotted keys and values; of two for one key the last counts.

    >>> read_options(["train_cfg.max_epochs=3", "optim_wrapper={'optimizer': {'lr': 1e-05}}"])
    {'train_cfg.max_epochs': 3, 'optim_wrapper.optimizer.lr': 1e-05}

    Raises:
        ConfigError: for a text that is no such pair.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, found, text = pair.partition("=")
        if not found or not key:
            raise ConfigError(f"--cfg-options: KEY=VALUE expected, got {pair!r:.80}.")
        for leaf, value in flattened(key, read_value(key, text)):
            options.pop(leaf, None)  # its place in the order is that of its last mention
            options[leaf] = value
    return options


def read_value(key: str, text: str) -> Any:
    """Read the text of one value.

    As mmengine reads it, ``a,b`` and ``[a,b]`` being lists, with these differences: blanks within
    a text stay, a list with quoted texts in it is read as Python writes it, and so is a dict, or
    as JSON does. That is how a W&B agent passes them. A text that has a comma, or looks like a
    number, is told exactly by a dict around it: ``model={'name': '8,11'}``.

    Args:
        key: named in the error.
        text: what follows the first equals sign.

    Raises:
        ConfigError: for brackets that do not match, or a dict of anything but plain values.
    """
    text = text.strip()
    is_dict = "{" in text and text[0] in "{[("
    if is_dict or (text[:1] in "[(" and re.search("[\"']", text)):
        try:
            return _plain(_literal(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            if is_dict:
                raise ConfigError(
                    f"--cfg-options {key}: a dict as Python or JSON writes it expected, got "
                    f"{text!r:.80} ({_said(error)}). Quote names and texts in it."
                ) from None
    is_list = (text[:1], text[-1:]) in _BRACKETS
    opened = text[:1] in ("[", "(") and any(text.count(a) != text.count(b) for a, b in _BRACKETS)
    if not opened and not is_list and "," not in text:
        return DictAction._parse_int_float_bool(text.strip("'\""))
    try:
        if opened:
            raise ValueError
        return DictAction._parse_iterable(text)
    except (ValueError, AssertionError, RecursionError):
        raise ConfigError(
            f"--cfg-options {key}: a value with matching brackets expected, got {text!r:.80}. "
            f"Write a list as {key}=[1,2]."
        ) from None


_BRACKETS = (("[", "]"), ("(", ")"))


def flattened(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of every leaf below ``key``; a list is a leaf.

    >>> list(flattened("model", {"backbone": {"depth": 18}, "rpn_head": {"loss": [1, {"a": 2}]}}))
    [('model.backbone.depth', 18), ('model.rpn_head.loss', [1, {'a': 2}])]

    Raises:
        ConfigError: for a dict that holds nothing, and would change nothing.
    """
    if not isinstance(value, Mapping):
        yield key, value
        return
    if not value:
        raise ConfigError(
            f"--cfg-options {key}: a dict with something in it expected, got {{}}. Leave it out."
        )
    for name, item in value.items():
        yield from flattened(f"{key}.{name}", item)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        try:
            return json.loads(text)
        except ValueError:
            pass
        raise


def _plain(value: Any) -> Any:
    """Return ``value``, or raise ValueError where it has what no YAML file has."""
    if isinstance(value, dict):
        for name in value:
            if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
                raise ValueError(f"{name!r:.40} as a key")
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if not isinstance(value, (str, int, float, type(None))):
        raise ValueError(f"{value!r:.40}, of type {type(value).__name__}")
    return value


def _said(error: BaseException) -> str:
    text = str(error.msg if isinstance(error, SyntaxError) else error)
    if text.startswith("malformed node"):  # what follows is an address in memory
        return "a name or a call in it"
    return f"{text or type(error).__name__:.80}".splitlines()[0]


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_Options,
        metavar="KEY=VALUE",
        help="override config keys; an unknown key is refused; VALUE may be a list or a dict",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``train`` and ``test`` share, under mmdet's names."""
    parser.add_argument(
        "--work-dir",
        help="where logs and checkpoints go (work_dirs/<config>; below it <sweep>/<run> for a run "
        "that a W&B agent starts)",
    )
    add_config_options(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how the processes were started; on CPUs torchrun + pytorch uses gloo",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply ``--cfg-options``, ``--launcher`` and ``--work-dir``.

    Raises:
        ConfigError: where the file is missing, no config, or an override means nothing.
    """
    path = Path(args.config)
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"{path}: a config file (.py) expected, found none. The recipes are in configs/."
        )
    os.environ.setdefault("LOCAL_RANK", str(getattr(args, "local_rank", 0)))
    cfg = read_config(
        path,
        ("model", "train_dataloader", "test_dataloader"),
        "The files in configs/_base_ are bricks; take one that is built of them.",
    )
    merge_options(cfg, args.cfg_options)
    cfg.launcher = getattr(args, "launcher", "none")
    if getattr(args, "work_dir", None) is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", path.stem, *_agent_folders()))
    return cfg


def _agent_folders() -> tuple[str, ...]:
    """Return sweep and run id, as names of folders, where a W&B agent has started this process."""
    ids = [os.environ.get(name, "") for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID")]
    if not all(ids):
        return ()
    return tuple(re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64] for text in ids)
