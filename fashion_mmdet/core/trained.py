"""Where a trained model lies: the checkpoint of a run, and the config on the disk beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from .errors import CheckpointError, ConfigError

_NUMBERED = re.compile(r"(?:epoch|iter)_\d+\.pth")


class Trained(NamedTuple):
    """A trained model's two files."""

    config: Path
    checkpoint: Path


def find_trained(
    run: str | os.PathLike[str], config: str | os.PathLike[str] | None = None, where: str = ""
) -> Trained:
    """Return the files of a run's folder, or of a checkpoint and the config beside it.

    Args:
        run: a work dir (its best checkpoint is taken, else its last) or a ``.pth`` file.
        config: the config, where it does not lie in that folder.
        where: what named it, for errors; ``"--ensemble"``.

    Raises:
        ConfigError: where there is no config, or more than one.
        CheckpointError: where there is no checkpoint.
    """
    path = Path(run)
    said = f"{where}: {path}" if where else str(path)
    if path.is_dir():
        folder, checkpoint = path, _checkpoint_of(path, said)
    elif path.is_file() and path.suffix == ".py":
        raise CheckpointError(
            f"{said}: the folder of a run or a checkpoint (.pth) expected, got a config. Give "
            "work_dirs/<config> where it was trained."
        )
    elif path.is_file():
        folder, checkpoint = path.parent, path
    else:
        raise CheckpointError(
            f"{said}: the folder of a run or a checkpoint (.pth) expected, found none. Check the "
            "path, e.g. work_dirs/mask_rcnn_r50."
        )
    if config is not None:
        if not Path(config).is_file():
            raise ConfigError(
                f"{config}: a config file (.py) expected, found none. Check the path."
            )
        return Trained(Path(config), checkpoint)
    configs = sorted(folder.glob("*.py"))
    if len(configs) != 1:
        got = ", ".join(p.name for p in configs[:5]) or "none"
        raise ConfigError(
            f"{said}: one config (.py) beside the checkpoint expected, got {got}. Leave the one "
            "there that it was trained with, or name it: --config FILE, or of a member "
            "dict(config='x.py', checkpoint='x.pth')."
        )
    return Trained(configs[0], checkpoint)


def _checkpoint_of(folder: Path, said: str) -> Path:
    """Return the best checkpoint, else the one that ``last_checkpoint`` names, else the newest."""
    best = [path for path in folder.glob("best_*.pth") if path.is_file()]
    if best:
        return max(best, key=_age)
    pointer = folder / "last_checkpoint"
    # By its name alone: a folder that was copied goes by its own.
    name = Path(pointer.read_text(encoding="utf-8").strip()).name if pointer.is_file() else ""
    if name and (folder / name).is_file():
        return folder / name
    numbered = [path for path in folder.glob("*.pth") if _NUMBERED.fullmatch(path.name)]
    if not numbered:
        raise CheckpointError(
            f"{said}: a checkpoint (best_*.pth, epoch_N.pth) expected, found none. Train first, or "
            "give the .pth file itself."
        )
    return max(numbered, key=_age)


def _age(path: Path) -> tuple[int, int]:
    """Return what the newest has most of; of two written at one moment the later epoch."""
    number = re.search(r"(\d+)\.pth$", path.name)
    return path.stat().st_mtime_ns, int(number[1]) if number else 0
