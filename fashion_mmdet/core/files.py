"""Writing files so that a stop at any moment leaves the old file or the new one, never a half.

The order is always: write beside the target, flush, fsync, rename over it, fsync the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import FashionError


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it over ``path`` on a clean exit.

    On an exception the temporary file is removed and ``path`` keeps what it had.

    Args:
        path: the file to write; its folder is made.
        mode: ``"w"`` (UTF-8 text, ``\\n`` line ends) or ``"wb"``.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"atomic_open: mode 'w' or 'wb' expected, got {mode!r}.")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        # mkstemp makes files of mode 0600; give them what open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
        with os.fdopen(fd, mode, encoding=encoding, newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _fsync_folder(target.parent)


def _fsync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = None) -> None:
    """Write ``value`` as JSON to ``path``, atomically."""
    with atomic_open(path) as stream:
        json.dump(value, stream, indent=indent, ensure_ascii=False)
        stream.write("\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with atomic_open(path) as stream:
        stream.write(text)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON from ``path``; a missing, truncated or foreign file is a :class:`FashionError`."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        raise FashionError(
            f"{path}: a JSON file expected, found no file. Check the path."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FashionError(f"{path}: a readable JSON file expected, got {error}.") from None
    except json.JSONDecodeError as error:
        raise FashionError(
            f"{path}: JSON expected, got something else at line {error.lineno} column "
            f"{error.colno} ({error.msg}). Is the file complete?"
        ) from None


def inside(root: str | os.PathLike[str], name: str, where: str) -> Path:
    """Join ``name`` to ``root`` and refuse a result that leaves ``root``.

    Symbolic links inside ``root`` may point elsewhere (data disks are often linked in); it is
    ``..`` and absolute names, which come from annotation files, that are refused.
    """
    text = str(name)
    parts = text.replace("\\", "/").split("/")
    if not text or "\0" in text or os.path.isabs(text) or ".." in parts or ":" in parts[0]:
        raise FashionError(
            f"{where}: a file name inside {root} expected, got {text!r}. "
            "Names in annotation files are relative and stay inside the image folder."
        )
    return Path(root) / text


def require_writable(path: str | os.PathLike[str]) -> None:
    """Raise :class:`FashionError` where ``path`` cannot be written: before the work, not after."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FashionError(f"{path}: a place that can be written expected, {folder} cannot be.")


def refuse_overwrite(path: str | os.PathLike[str], force: bool) -> None:
    """Raise :class:`FashionError` if ``path`` exists and ``force`` is not set."""
    if Path(path).exists() and not force:
        raise FashionError(f"{path}: a new file expected, it exists already. Use --force.")
