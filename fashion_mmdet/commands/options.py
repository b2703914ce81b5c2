"""``--cfg-options``: overrides that are checked before anything is built.

mmengine merges a misspelt key without a word and trains as if nothing had been said. Here a
key must exist in the config, or be a parameter of the class that the config names there, and a
number, a switch or a dict of the config stays one.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from fashion_mmdet.core.errors import ConfigError, did_you_mean


def merge_options(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Check every dotted key of ``options`` and its value against ``cfg``, then merge them into it.

    Raises:
        ConfigError: naming the key, and the nearest valid ones, or the kind of value expected.
    """
    if not options:
        return
    register(cfg)
    for key, given in options.items():
        check_value(key, check_key(cfg, key), given)
    cfg.merge_from_dict(dict(options))


def register(cfg: Config) -> None:
    """Make the names of mmdet's registries known, so that classes can be looked up."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    scope = cfg.get("default_scope", "mmdet")
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != scope:
        name = f"{scope}-{time.monotonic_ns()}"  # the last one that is made is the current one
        DefaultScope.get_instance(name, scope_name=scope)


def check_key(cfg: Config, key: str, source: str = "--cfg-options") -> Any:
    """Return what ``cfg`` holds at the dotted ``key``; None where it leaves it at its default.

    Args:
        cfg: the config.
        key: as for ``--cfg-options``.
        source: what named the key, for errors.

    Raises:
        ConfigError: where the key means nothing in ``cfg``.
    """
    node: Any = cfg._cfg_dict
    parts = key.split(".")
    if parts[0] in node and parts[0] not in _top_level():
        raise ConfigError(
            f"{source} {key}: a key that a run reads expected, got {parts[0]!r}, a variable "
            "of the config files: they have used it already, so changing it here changes nothing."
            f" {_INSTEAD.get(parts[0], 'Set the keys that it went into.')}"
        )
    for depth, part in enumerate(parts):
        where = f"{source} {key}"
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f"{where}: an index from 0 to {len(node) - 1} expected at "
                    f"{'.'.join(parts[:depth])!r}, got {part!r}."
                )
            node = node[int(part)]
            continue
        if not isinstance(node, Mapping):
            raise ConfigError(
                f"{where}: {'.'.join(parts[:depth])!r} is the value {node!r} and has no {part!r} "
                "below it."
            )
        if part in node:
            node = node[part]
            continue
        if parts[depth - 1] == "custom_keys":
            return None  # names of parameters, which only the built model knows
        valid, complete = _accepted(node, parts[:depth])
        if part in valid or not complete:
            return None  # a parameter that the config leaves at its default
        prefix = ".".join(parts[:depth])
        raise ConfigError(
            f"{where}: {_what(node, prefix)} expected, got {part!r}."
            + (did_you_mean(part, valid) or f" Valid here: {', '.join(sorted(valid))}.")
        )
    return node


def check_value(key: str, held: Any, given: Any, source: str = "--cfg-options") -> None:
    """Raise :class:`ConfigError` where ``given`` is of a kind that cannot take ``held``'s place.

    Texts and lists may give way to anything, for many parameters take several kinds; so a number
    may become a list of numbers (a size), except in the optimizer, where ``lr=0,02`` is a slip.
    None, on either side, is a value left out.
    """
    if held is None or given is None:
        return
    where = f"{source} {key}:"
    if isinstance(held, Mapping) and not isinstance(given, Mapping):
        shown = ", ".join(f"{key}.{name}" for name in list(held)[:_SHOWN_KEYS])
        more = ", ..." if len(held) > _SHOWN_KEYS else ""
        raise ConfigError(
            f"{where} a dict expected, got {given!r}."
            + (f" Set what is in it: {shown}{more}." if shown else "")
        )
    if isinstance(held, bool) and not isinstance(given, bool):
        raise ConfigError(
            f"{where} true or false expected (the config has {held}), got {given!r}."
        )
    is_size = isinstance(given, (list, tuple)) and all(map(_is_number, given))
    if is_size and not key.startswith(("optim_wrapper.", "param_scheduler.", "train_cfg.")):
        return
    if _is_number(held) and not _is_number(given) and not key.endswith("loss_scale"):
        raise ConfigError(f"{where} a number expected (the config has {held}), got {given!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _what(node: Mapping[str, Any], prefix: str) -> str:
    if not prefix:
        return "a key of the config"
    owner = node.get("type")
    owner = owner if isinstance(owner, str) else getattr(owner, "__name__", None)
    return f"a key of {prefix!r}" + (f" ({owner})" if owner else "")


_SHOWN_KEYS = 8  # of a dict, in an error

#: names accepted where the config has a dict without a ``type``: last key -> names, or a
#: callable whose parameters they are
_UNTYPED: dict[str, Any] = {
    "train_dataloader": DataLoader.__init__,
    "val_dataloader": DataLoader.__init__,
    "test_dataloader": DataLoader.__init__,
    "randomness": Runner.set_randomness,
    "clip_grad": torch.nn.utils.clip_grad_norm_,
    "paramwise_cfg": {
        "custom_keys", "bias_lr_mult", "bias_decay_mult", "norm_decay_mult", "flat_decay_mult",
        "dwconv_decay_mult", "dcn_offset_lr_mult", "bypass_duplicate",
    },
    "auto_scale_lr": {"enable", "base_batch_size"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
}


#: variable of our config files -> what to set instead
_INSTEAD = {
    "data_root": "Set FASHION_DATA, or train_dataloader.dataset.data_root and its fellows.",
    "place": "Set FASHION_DATA, or train_dataloader.dataset.data_root and its fellows.",
    "train_pipeline": "Set train_dataloader.dataset.pipeline.",
    "test_pipeline": "Set test_dataloader.dataset.pipeline and val_dataloader.dataset.pipeline.",
    "num_classes": "Set model.roi_head.bbox_head.num_classes and mask_head's.",
    "backbone_weights": "Set FASHION_BACKBONE, or model.backbone.init_cfg.checkpoint.",
    "vis_backends": "Set visualizer.vis_backends.",
}


def _top_level() -> set[str]:
    """Return the top-level keys that mmengine's runner, mmdet's tools or ours read."""
    runner = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
    return runner | {
        "weights", "wandb", "runner_type", "custom_imports", "find_unused_parameters",
        "model_wrapper_cfg", "sync_bn", "compile", "tta_model", "tta_pipeline",
    }  # fmt: skip


def _accepted(node: Mapping[str, Any], path: list[str]) -> tuple[set[str], bool]:
    """Return the names valid in ``node``, and whether that list is complete."""
    valid = set(node)
    if not path:
        return _top_level(), True
    name = node.get("type")
    if name is None:
        known = _UNTYPED.get(path[-1], set())
        if callable(known):
            known = set(inspect.signature(known).parameters) - {"self", "parameters"}
        return valid | known, True
    found = _parameters(_lookup(name))
    if path == ["optim_wrapper"] and found is not None:
        found |= {"constructor", "paramwise_cfg"}  # read by build_optim_wrapper
    return (valid, False) if found is None else (valid | found, True)


def _lookup(name: Any) -> Any:
    if not isinstance(name, str):
        return name
    import mmdet.registry as registries
    import mmengine.registry as roots

    for module in (registries, roots):
        for value in vars(module).values():
            if isinstance(value, roots.Registry):
                # `get` would import a dotted name; only what is registered is looked at.
                for table in (value, *_parents(value)):
                    if name.split(".")[-1] in table.module_dict:
                        return table.module_dict[name.split(".")[-1]]
    return None


def _parents(registry: Any) -> list[Any]:
    out = []
    while registry.parent is not None:
        registry = registry.parent
        out.append(registry)
    return out


def _parameters(owner: Any) -> set[str] | None:
    """Return what ``owner(...)`` accepts by name; None where that cannot be known."""
    if owner is None:
        return None
    if not inspect.isclass(owner):
        names = inspect.signature(owner).parameters
        return None if _open(names) else set(names)
    found: set[str] = set()
    for cls in owner.__mro__:
        if "__init__" not in vars(cls) or cls is object:
            continue
        try:
            names = inspect.signature(cls.__init__).parameters
        except (TypeError, ValueError):
            return None
        found |= {n for n, p in names.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not _open(names):  # this class passes nothing on
            break
    return (found - {"self"}) | {"type", "_delete_", "_scope_"}


def _open(names: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind == p.VAR_KEYWORD for p in names.values())
