"""Reads checkpoints without running what is inside them.

A checkpoint is a pickle, and a pickle is a program; the configuration text that mmengine stores
in it is Python that ``Runner.resume`` and an inferencer built from weights alone would execute.
Registered with mmengine's ``CheckpointLoader`` for every prefix, this module makes stock configs,
``mim test`` and ``DetInferencer`` read a file as tensors and plain values, or refuse it.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import pickletools
import re
import urllib.parse
import warnings
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, BinaryIO

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import serialization

from .stand_ins import STAND_INS, settle

MapLocation = str | torch.device | dict[str, str] | Callable[..., Any] | None

_DO_NOT = (
    "Do not load it unless you know who made it; if you do, save its state_dict anew with "
    "torch.save where it was made."
)


class CheckpointError(ValueError):
    """A checkpoint that is missing, truncated, foreign or unsafe to read."""


def read_checkpoint(
    path: str | os.PathLike[str], map_location: MapLocation = None
) -> dict[str, Any]:
    """Read a checkpoint file as tensors and plain values; no code of the file's choosing runs.

    What may be in it: what ``torch.load(weights_only=True)`` takes by itself, and mmengine's
    log history, numpy arrays and numbers, and ``ConfigDict`` (returned as ``dict``). What the
    process has added with ``torch.serialization.add_safe_globals`` does not count here.

    Configuration text (``meta['cfg']``, ``meta['config']``, ``runtime_info['cfg']`` of the
    message hub) is moved to ``meta['cfg_text']``, where nothing executes it.

    Args:
        path: a file written by ``torch.save``, in its zip format or the older one.
        map_location: as for ``torch.load``.

    Raises:
        CheckpointError: in one line, for anything else.
    """
    where = os.fspath(path)
    file = os.path.expanduser(where)
    if not where:
        raise CheckpointError(
            "checkpoint: the path of a file expected, got an empty one. Is last_checkpoint empty?"
        )
    if not os.path.isfile(file):
        found = "a folder" if os.path.isdir(file) else "no file"
        raise CheckpointError(f"{where}: a checkpoint file expected, got {found}. Check the path.")
    if not os.path.getsize(file):
        raise CheckpointError(f"{where}: a checkpoint expected, got an empty file. Use another.")
    with open(file, "rb") as stream:
        return _read(stream, where, map_location)


def _read(stream: BinaryIO, where: str, map_location: MapLocation) -> dict[str, Any]:
    try:
        with _only(STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle protocol that is refused just after
            checkpoint = torch.load(stream, map_location=map_location, weights_only=True)
        checkpoint = settle(checkpoint)
    except Exception as error:  # a broken pickle can raise anything at all
        raise _refusal(stream, where, error) from None
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f"{where}: a checkpoint, which is a dictionary, expected, got "
            f"{type(checkpoint).__name__}. Use another file."
        )
    _set_config_text_aside(checkpoint, where)
    return checkpoint


@contextlib.contextmanager
def _only(allowed: list[Any]) -> Iterator[None]:
    """Make torch's allow-list exactly ``allowed`` for a while.

    Somebody's earlier ``add_safe_globals([getattr])``, a well-known and unsafe remedy for this
    very problem, would otherwise compete with the stand-in of that name.
    """
    before = serialization.get_safe_globals()
    serialization.clear_safe_globals()
    serialization.add_safe_globals(allowed)
    try:
        yield
    finally:
        added = [g for g in serialization.get_safe_globals() if g not in allowed]
        serialization.clear_safe_globals()
        serialization.add_safe_globals([*before, *added])


def _refusal(stream: BinaryIO, where: str, error: Exception) -> CheckpointError:
    """Word what went wrong, naming the function that the file wanted called if there is one."""
    text = str(error)
    if "TorchScript" in text or ".tar format" in text:
        kind = "a TorchScript archive" if "TorchScript" in text else "a tar file of torch 0.1"
        return CheckpointError(f"{where}: a checkpoint expected, got {kind}. Use a state_dict.")
    if "map_location" in text:
        return CheckpointError(
            f"{where}: a checkpoint that fits this machine's devices expected, got "
            f"'{text.partition('. ')[0]}'. Use map_location='cpu'."
        )
    named = re.search(r"GLOBAL (\S+) (?:was|whose)", text)
    foreign = named.group(1) if named else _foreign_call(stream)
    if foreign:
        foreign = f"builtins.{foreign}" if hasattr(builtins, foreign) else foreign
        return CheckpointError(
            f"{where}: a checkpoint of tensors and plain values expected, got a pickle that calls "
            f"{foreign}. {_DO_NOT}"
        )
    reason = text.partition("WeightsUnpickler error: ")[2] or text
    reason = reason.strip().partition("\n")[0].partition(". ")[0]
    if " expected, got " in reason:  # a stand-in's own words
        return CheckpointError(f"{where}: {reason}. {_DO_NOT}")
    return CheckpointError(
        f"{where}: a whole checkpoint expected, got something that cannot be read to its end "
        f"({type(error).__name__}: {reason}). It is truncated or no checkpoint; use another, or "
        "download it again."
    )


def _foreign_call(stream: BinaryIO) -> str | None:
    """Name the first global of a pickle that neither torch nor the stand-ins answer for.

    Walks the opcodes without running any; gives up, with None, where they make no sense.
    """
    known = {f"{s.__module__}.{s.__name__}" for s in STAND_INS} | {"collections.OrderedDict"}
    strings: list[str] = []
    with contextlib.suppress(Exception):
        stream.seek(0)
        if zipfile.is_zipfile(stream):
            archive = zipfile.ZipFile(stream)
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            stream = BytesIO(archive.read(name))
        else:
            stream.seek(0)
        for _ in range(5):  # the older format is a magic number, a version, a note and the object
            for opcode, argument, _position in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    name = argument.replace(" ", ".").replace("__builtin__.", "builtins.")
                elif opcode.name == "STACK_GLOBAL":
                    name = ".".join(strings[-2:])
                else:
                    if isinstance(argument, str):
                        strings.append(argument)
                    continue
                if name not in known and not name.startswith(("torch.", "_codecs.")):
                    return name
    return None


def _set_config_text_aside(checkpoint: dict[str, Any], where: str) -> None:
    """Move configuration text from where mmengine executes it to ``meta['cfg_text']``.

    Even text without a call in it is unsafe to run: ``type='os.system'`` makes one.
    """
    meta, hub = checkpoint.get("meta"), checkpoint.get("message_hub")
    info = hub.get("runtime_info") if isinstance(hub, dict) else None
    texts = [
        holder.pop(key)
        for holder, key in ((meta, "cfg"), (meta, "config"), (info, "cfg"))
        if isinstance(holder, dict) and key in holder
    ]
    if not texts:
        return
    if not isinstance(meta, dict):
        meta = checkpoint["meta"] = {}
    meta.setdefault("cfg_text", texts[0])
    print_log(
        f"{where}: the configuration text inside is kept as meta['cfg_text'] and is not run. "
        "A model is built from a config file.",
        logger="current",
    )


def load_from_local(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Load a local file; mmengine's loader for a path without a prefix."""
    return read_checkpoint(filename, map_location)


def load_from_http(
    filename: str,
    map_location: MapLocation = None,
    model_dir: str | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Download once into torch's hub folder, then load; rank 0 downloads, the others wait."""
    folder = model_dir or os.path.join(torch.hub.get_dir(), "checkpoints")
    name = os.path.basename(urllib.parse.urlparse(filename).path)
    if not name:
        raise CheckpointError(f"{filename}: the address of a file expected, got a folder's.")
    file = os.path.join(folder, name)
    rank, _world_size = get_dist_info()
    if rank == 0 and not os.path.exists(file):
        os.makedirs(folder, exist_ok=True)
        print_log(f"Downloading {filename} to {file}", logger="current")
        try:
            progress = os.isatty(0) if progress is None else progress
            torch.hub.download_url_to_file(filename, file, progress=progress)
        except OSError as error:  # urllib's errors are OSErrors
            raise CheckpointError(
                f"{filename}: a download expected, got '{error}'. Check the address and the "
                f"network, put the file at {file} yourself, or name one that you have "
                "(fashion-mmdet's configs: FASHION_WEIGHTS, FASHION_BACKBONE)."
            ) from None
    barrier()
    return read_checkpoint(file, map_location)


def load_from_torchvision(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Load ``torchvision://resnet50`` and the like."""
    return load_from_http(_address(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Load ``open-mmlab://resnet50_caffe`` and the like."""
    renamed = get_deprecated_model_names()
    prefix, _, name = filename.partition("://")
    address = _address(f"{prefix}://{renamed.get(name, name)}", get_external_models())
    if not address.startswith(("http://", "https://")):
        raise CheckpointError(f"{filename}: a web address expected, got {address!r}.")
    return load_from_http(address, map_location)


def load_from_mmcls(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Load the backbone of ``mmcls://resnet50`` and the like."""
    checkpoint = load_from_http(_address(filename, get_mmcls_models()), map_location)
    weights = checkpoint.get("state_dict", checkpoint)
    prefix = "backbone."
    backbone = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    return {"state_dict": backbone}


def load_from_ceph(
    filename: str, map_location: MapLocation = None, backend: str = "petrel"
) -> dict[str, Any]:
    """Load from ``s3://`` or ``petrel://`` through mmengine's backend for them."""
    data = get_file_backend(filename, backend_args={"backend": backend}).get(filename)
    return _read(BytesIO(data), filename, map_location)


def load_from_pavi(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Refuse ``pavi://``: its client, which is not public, reads the file by itself."""
    raise CheckpointError(f"{filename}: a file or web address expected, got pavi://. Download it.")


def _address(filename: str, addresses: dict[str, str]) -> str:
    name = filename.partition("://")[2]
    if name not in addresses:
        raise CheckpointError(
            f"{filename}: one of mmengine's {len(addresses)} names expected, got {name!r}. "
            f"For example: {', '.join(sorted(addresses)[:3])}."
        )
    return addresses[name]


def install() -> None:
    """Register the loaders for every prefix that mmengine has one for."""
    for prefixes, loader in (
        ("", load_from_local),
        (["http://", "https://"], load_from_http),
        (["modelzoo://", "torchvision://"], load_from_torchvision),
        (["open-mmlab://", "openmmlab://"], load_from_openmmlab),
        ("mmcls://", load_from_mmcls),
        ([r"(\S+\:)?s3://", r"(\S+\:)?petrel://"], load_from_ceph),
        ("pavi://", load_from_pavi),
    ):
        CheckpointLoader.register_scheme(prefixes=prefixes, loader=loader, force=True)
