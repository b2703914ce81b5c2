"""``fashion env``: what is installed, what runs the operators, and whether it will work."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

#: distribution -> versions that the configs and tests are known to work with, as (from, below)
PACKAGES: dict[str, tuple[str, str | None]] = {
    "torch": ("2.5", None),
    "torchvision": ("0.20", None),
    "mmengine": ("0.10.7", "0.11"),
    "mmdet": ("3.3", "3.4"),
    "mmcv": ("2.1", "2.2"),
    "openmim": ("0.3.9", None),
    "numpy": ("1.26", None),
    "opencv-python": ("4.8", None),
    "pandas": ("2.0", None),
    "pycocotools": ("2.0.7", None),
    "faster-coco-eval": ("1.8", None),
    "wandb": ("0.31", None),
    "setuptools": ("64", "81"),
}
_STANDS_IN = {"mmcv": ("mmcv", "mmcv-lite"), "opencv-python": ("opencv-python",
              "opencv-python-headless", "opencv-contrib-python")}
LOW_DISK_GIB = 5.0


def main(argv: Sequence[str]) -> int:
    """Print the report; exit code 1 where something is off."""
    parser = argparse.ArgumentParser(
        prog="fashion env",
        description="Print versions, operator backend, device, W&B state, free disk and the data "
        "found, then a verdict and what to do.",
        epilog="Example: FASHION_DATA=~/data fashion env",
    )
    parser.parse_args(argv)
    faults: list[str] = []
    rows = [("python", f"{platform.python_version()} ({sys.executable})")]
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        faults.append("Python 3.10 to 3.13 is needed. Make the environment with one of these.")
    rows += [_package(name, *bounds, faults) for name, bounds in PACKAGES.items()]
    rows += [("operators", _operators(faults)), ("device", _device(faults))]
    rows += [("wandb", _wandb(faults)), ("disk", _disk(faults)), ("data", _data())]
    for name, value in rows:
        print(f"{name:<16}{value}")
    print()
    if not faults:
        print("verdict: ready. Next, in the clone: make demo, or fashion train CONFIG --dry-run")
        return 0
    print(f"verdict: {len(faults)} thing(s) to mend:")
    for fault in faults:
        print(f"  - {fault}")
    return 1


def _package(name: str, low: str, below: str | None, faults: list[str]) -> tuple[str, str]:
    for candidate in _STANDS_IN.get(name, (name,)):
        try:
            found = importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
        wanted = f">={low}" + (f",<{below}" if below else "")
        if _numbers(found) < _numbers(low) or (below and _numbers(found) >= _numbers(below)):
            faults.append(f"{candidate} {found}: {wanted} expected. pip install '{name}{wanted}'")
        return name, found + (f" ({candidate})" if candidate != name else "")
    faults.append(f"{name} is not installed. pip install -r requirements.txt")
    return name, "missing"


def _numbers(version: str) -> tuple[int, ...]:
    out = []
    for part in version.split("+")[0].split("."):
        digits = "".join(c for c in part if c.isdigit())
        if not digits:
            break
        out.append(int(digits))
    return tuple(out)


def _operators(faults: list[str]) -> str:
    from fashion_mmdet.compat import operators_finder

    for name in ("FASHION_COMPAT", "TORCH_DEVICE_BACKEND_AUTOLOAD"):
        if os.environ.get(name) == "0":
            faults.append(
                f"{name}=0 turns off the operators and the safe reading of checkpoints. Unset it."
            )
            return "turned off"
    try:
        import mmcv.ops  # noqa: F401

        return operators_finder.backend()
    except Exception as error:  # whatever the import dies of is what the user has to know
        faults.append(
            f"mmcv's operators do not load ({type(error).__name__}: {error}). torch and "
            "torchvision must be a matching pair: pip install -r requirements.txt"
        )
        return "none"


def _device(faults: list[str]) -> str:
    try:
        import torch
    except Exception as error:
        faults.append(f"torch does not import ({error}). pip install -r requirements.txt")
        return "none"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{len(names)} x {names[0]}, {memory:.0f} GiB, CUDA {torch.version.cuda}"
    if shutil.which("nvidia-smi"):
        faults.append(
            "there is an NVIDIA driver, but torch sees no GPU: the driver is older than this "
            "torch's CUDA, or torch is a CPU build. Take another build: README, 'Another torch'."
        )
    return f"CPU, {os.cpu_count()} cores"


def _wandb(faults: list[str]) -> str:
    mode = os.environ.get("FASHION_WANDB", "off")
    if mode not in ("off", "offline", "online"):
        faults.append(f"FASHION_WANDB: off, offline or online expected, got {mode!r}.")
    logged_in = "WANDB_API_KEY" in os.environ or _in_netrc()
    return f"{mode} (FASHION_WANDB), {'logged in' if logged_in else 'not logged in'}"


def _in_netrc() -> bool:
    import netrc

    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _disk(faults: list[str]) -> str:
    free = shutil.disk_usage(os.getcwd()).free / 2**30
    if free < LOW_DISK_GIB:
        faults.append(
            f"{free:.1f} GiB free in {os.getcwd()}: {LOW_DISK_GIB:g} GiB or more expected for "
            "checkpoints. Make room or give --work-dir."
        )
    return f"{free:.1f} GiB free in {os.getcwd()}"


def _data() -> str:
    """Say which sets lie where the configs look, and the annotation files of each."""
    root = Path(os.environ.get("FASHION_DATA", "data"))
    sets: dict[str, list[str]] = {}
    for path in sorted(root.glob("*/annotations/*.json")):
        sets.setdefault(path.parts[-3], []).append(path.stem)
    found = ", ".join(f"{name} ({', '.join(stems)})" for name, stems in sets.items())
    return f"{found or 'no data yet'} in {root.absolute()} (FASHION_DATA)"
