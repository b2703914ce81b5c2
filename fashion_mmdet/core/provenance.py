"""Where a run's figures come from: data, code, packages, machine; and values without secrets.

Nothing here fails: what cannot be told is None. No host or user name is asked for.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fashion_mmdet

from .errors import FashionError
from .files import read_json, sha256_of

#: Packages whose versions can change a figure; a tuple names what may stand in, best first.
PACKAGES: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "mmengine": ("mmengine",),
    "mmdet": ("mmdet",),
    "mmcv": ("mmcv", "mmcv-lite"),
    "numpy": ("numpy",),
    "pycocotools": ("pycocotools",),
}
_ROOT = Path(__file__).resolve().parents[2]
_SECRET_NAME = re.compile(
    r"(?i)(^|_)((api|access|secret|private|auth)_?key(_id)?|secret|token|passw(or)?d|credentials?)$"
)
# W&B, GitHub, Hugging Face, AWS and OpenAI keys by their looks, and what logs in inside a URL.
_SECRET_TEXT = re.compile(
    r"\b[0-9a-f]{40}\b|\bwandb_v\d_\w+|\bgh[pousr]_\w{20,}|\bgithub_pat_\w+|\bhf_\w{20,}"
    r"|\bAKIA[0-9A-Z]{12,}|\bsk-[\w-]{20,}|(?<=://)[^/\s@]+(?=@)"
)
# What signs an address: https://host/file.pth?token=...
_SIGNED = re.compile(r"(?<=[\w/])\?[\w.%-]+=[^\s'\"]+")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class DataFile:
    """An annotation file, as it was when the run started.

    Attributes:
        file: its path, as the dataset names it.
        sha256: of its bytes; None where it could not be read.
        images: how many it lists, used or not; None where it is no COCO file.
        instances: how many annotations it holds, crowds included.
        id_list_sha256: of the ``train.txt``, ``val.txt`` or ``test.txt`` beside it.
        made_of_sha256: of the annotations that it was made of, where it is a cache.
    """

    file: str
    sha256: str | None
    images: int | None
    instances: int | None
    id_list_sha256: str | None
    made_of_sha256: str | None


@dataclass(frozen=True)
class Code:
    """The checkout that ran.

    Attributes:
        revision: commit id.
        clean: whether the files were those of the commit, with none beside them.
    """

    revision: str
    clean: bool


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name, and all of its memory in MiB."""

    name: str
    memory_mib: int


@dataclass(frozen=True)
class Hardware:
    """The machine.

    Attributes:
        cpu: the processor's model.
        cores: how many the process might use; a cluster gives a job fewer than there are.
        ram_mib: all of the machine's memory, in MiB.
        gpus: those that the process could see.
    """

    cpu: str
    cores: int
    ram_mib: int | None
    gpus: tuple[Gpu, ...] = ()


def code(root: Path = _ROOT) -> Code | None:
    """Return the commit checked out at ``root``, by default of this package.

    None where ``root`` is not the top of a git checkout with a commit: installed below somebody
    else's repository, the answer would be theirs.
    """

    def git(*arguments: str) -> str:
        # fsmonitor names a program, and a repository's own config may set it. Without the lock a
        # commit that is made at this moment is not disturbed.
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        return Code(git("rev-parse", "HEAD"), clean=not git("status", "--porcelain"))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def data_file(path: str, split: str) -> DataFile:
    """Return hashes and counts of an annotation file; None for what cannot be told of it.

    Args:
        path: a COCO file.
        split: whose id list is looked for beside it, as ``<split>.txt``.
    """
    digest = _sha256(path)
    images = instances = made_of = None
    if digest is not None:
        try:
            coco = read_json(path)
            images, instances = len(coco["images"]), len(coco["annotations"])
            made_of = coco["info"]["cached_from"]["sha256"]
        except (FashionError, KeyError, TypeError):
            pass  # it is no cache; or of another format, with a dataset that reads it
    id_list = os.path.join(os.path.dirname(path), f"{split}.txt")
    return DataFile(path, digest, images, instances, _sha256(id_list), made_of)


def _sha256(path: str) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None


def versions() -> dict[str, str | None]:
    """Return the versions of Python, of this package and of :data:`PACKAGES`; imports none."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "fashion_mmdet": fashion_mmdet.__version__,
    }
    for name, candidates in PACKAGES.items():
        found[name] = None
        for candidate in candidates:
            try:
                version = importlib.metadata.version(candidate)
            except importlib.metadata.PackageNotFoundError:
                continue
            found[name] = version if candidate == name else f"{version} ({candidate})"
            break
    return found


def hardware(gpus: tuple[Gpu, ...] = ()) -> Hardware:
    """Return the machine that this process runs on; torch knows the GPUs, this module does not."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    try:
        ram_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        ram_mib = None
    return Hardware(_cpu_model(), cores, ram_mib, gpus)


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def peak_rss_mib() -> float | None:
    """Return the most memory that this process has held, in MiB; its workers are not counted."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def environment() -> dict[str, str]:
    """Return this project's own variables, ``FASHION_*``, and no others."""
    return {k: masked(v, k) for k, v in sorted(os.environ.items()) if k.startswith("FASHION_")}


def masked(value: Any, name: str = "") -> Any:
    """Return a config value as plain JSON types, what looks like a secret as ``"***"``.

    Tuples become lists; a number that is not finite, and what has no plain form, its text.

    >>> masked({"lr": np.float64(0.02), "api_key": "abc", "url": "https://me:pw@host/x"})
    {'lr': 0.02, 'api_key': '***', 'url': 'https://***@host/x'}
    """
    if isinstance(value, Mapping):
        return {str(k): masked(v, str(k)) for k, v in value.items()}
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [masked(v, name) for v in value]
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_NAME.search(name):
        return "***"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    # Two runs of one config are to look alike, wherever their objects lie in memory.
    return masked_text(_ADDRESS.sub("", str(value)))


def masked_text(text: str) -> str:
    """Return ``text`` with what looks like a secret as ``***``."""
    return _SIGNED.sub("?***", _SECRET_TEXT.sub("***", text))
