"""mmengine's local file backend, writing so that a stop leaves the old file or the new one.

mmengine writes a checkpoint with ``open(path, 'wb')``: a killed process or a full disk leaves a
truncated file where a good one may have been. ``save_checkpoint`` serialises in memory and gives
the bytes to the registered backend, so a backend of ours (``register_backend`` with ``force``,
mmengine's own extension point) covers checkpoints, dumped predictions and drawn images alike.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from mmengine.fileio.backends.local_backend import LocalBackend
from mmengine.fileio.backends.registry_utils import register_backend

PART = ".part"
"""Suffix of the unfinished file that a killed process can leave, beside its target and hidden."""


class AtomicLocalBackend(LocalBackend):
    """mmengine's ``LocalBackend`` whose writes are whole or not at all."""

    def put(self, obj: bytes, filepath: str | os.PathLike[str]) -> None:
        """Write bytes: beside the target, flushed to the disk, then renamed over it.

        Raises:
            OSError: of the same number as the cause (``ENOSPC`` for a full disk). What was at
                ``filepath`` is untouched and nothing is left beside it.
        """
        target = Path(os.path.realpath(filepath))  # a link keeps pointing where it did
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}")
        try:
            with open(part, "xb") as stream:
                stream.write(obj)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(part)
            if isinstance(error, OSError) and error.errno is not None:
                raise OSError(
                    error.errno,
                    f"{target}: {len(obj) / 2**20:.1f} MiB to be written, got "
                    f"'{error.strerror}'. What was there before is untouched; mend the cause and "
                    "resume.",
                ) from error
            raise
        _fsync_folder(target.parent)

    def put_text(self, obj: str, filepath: str | os.PathLike[str], encoding: str = "utf-8") -> None:
        """Write text as :meth:`put` writes bytes."""
        self.put(obj.encode(encoding), filepath)


def _fsync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def install() -> None:
    """Register the backend in place of mmengine's, for the name and the prefix it had."""
    register_backend("local", AtomicLocalBackend, force=True, prefixes="")
