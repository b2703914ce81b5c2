"""Writing files so that a stop at any moment leaves the old file or the new one, never a half.

The order is always: write beside the target, flush, fsync, rename over it, fsync the folder.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from .errors import FashionError

# A running tool touches its unfinished file or folder far more often than this.
_STALE_S = 3600
# Half of a pair of UTF-16 units: JSON can spell it, UTF-8 cannot.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextlib.contextmanager
def atomic_open(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it over ``path`` on a clean exit.

    On an exception the temporary file is removed and ``path`` keeps what it had. A symbolic link
    stays, and what it points to is replaced. A file that is replaced keeps its permissions.

    Args:
        path: the file to write; its folder is made.
        mode: ``"w"`` (UTF-8 text, ``\\n`` line ends) or ``"wb"``.

    Raises:
        FashionError: if ``path`` is there and no regular file (a folder, a device, a pipe).
    """
    with atomic_open_many([path], mode) as (stream,):
        yield stream


@contextlib.contextmanager
def atomic_open_many(
    paths: Iterable[str | os.PathLike[str]], mode: str = "w"
) -> Iterator[list[IO[Any]]]:
    """As :func:`atomic_open`, of files that belong together: all are new or none is.

    The bytes of every file are on the disk before the first is renamed, so that a full disk leaves
    all the older ones. Only a kill amid the renames, which write nothing, can part them.

    Args:
        paths: the files to write, each another.
        mode: as of :func:`atomic_open`, of all.

    Raises:
        FashionError: as :func:`atomic_open` does.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"atomic_open: mode 'w' or 'wb' expected, got {mode!r}.")
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(_part_beside(path, mode)) for path in paths]
        yield [stream for stream, _, _ in parts]
        for stream, _, _ in parts:
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
        for _, name, target in parts:
            os.replace(name, target)
    for folder in dict.fromkeys(target.parent for _, _, target in parts):
        _fsync_folder(folder)


@contextlib.contextmanager
def _part_beside(path: str | os.PathLike[str], mode: str) -> Iterator[tuple[IO[Any], str, Path]]:
    """Open a temporary file beside ``path``; on an exception it is closed and removed.

    Yields its stream, its name, and the name that it is to have.
    """
    target = Path(os.path.realpath(path))
    _refuse_file_in_the_way(path)
    older = _mode_of_file(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        # mkstemp makes files of mode 0600; give them what open() would have left or given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask if older is None else older)
        encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
        stream = os.fdopen(fd, mode, encoding=encoding, newline=newline)
        try:
            yield stream, name, target
        finally:
            with contextlib.suppress(OSError):  # a full disk has been told of by then
                stream.close()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = os.fspath(path)  # a full disk does not say which
        raise


def _mode_of_file(path: str | os.PathLike[str]) -> int | None:
    """Return the permissions of the file ``path``, None where there is nothing yet.

    Raises:
        FashionError: for what is there and is no regular file.
    """
    try:
        mode = os.lstat(os.path.realpath(path)).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise FashionError(
            f"{path}: a file to write expected, found a folder, a device or the like. "
            "Choose another name."
        )
    return mode & 0o777


def _fsync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = None) -> None:
    """Write ``value`` as JSON to ``path``, atomically; errors as of :func:`json_text`."""
    with atomic_open(path) as stream, _finite(os.fspath(path)):
        # Piece by piece: the text of a large set is as large as the set.
        json.dump(
            value, stream, indent=indent, ensure_ascii=False, allow_nan=False, default=_of_numpy
        )
        stream.write("\n")


def json_text(value: Any, where: str, indent: int | None = None) -> str:
    """Return ``value`` as JSON; what comes from numpy is taken for what it holds.

    Raises:
        FashionError: for NaN or an infinite number, which Python reads in a file and JSON has not.
    """
    with _finite(where):
        return json.dumps(
            value, indent=indent, ensure_ascii=False, allow_nan=False, default=_of_numpy
        )


@contextlib.contextmanager
def _finite(where: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(error, FashionError):
            raise
        raise FashionError(
            f"{where}: finite numbers expected, got NaN or Infinity, which JSON does not have. "
            "Mend the entry; `fashion data check` finds those of annotations, and --fix mends them."
        ) from None


def _of_numpy(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"JSON has no {type(value).__name__}")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically."""
    with atomic_open(path) as stream:
        stream.write(text)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON from ``path``; a missing, truncated or foreign file is a :class:`FashionError`."""
    try:
        with open(path, encoding="utf-8-sig") as stream:  # editors of Windows put a mark there
            text = stream.read()
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        near = error.object[max(error.start - 30, 0) : error.start + 10]
        raise FashionError(
            f"{path}: texts of whole characters expected, got half of one (a lone surrogate) in "
            f"{ascii(near)}. Mend the text."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "a JSON file in UTF-8") from None
    except json.JSONDecodeError as error:
        raise FashionError(
            f"{path}: JSON expected, got something else at line {error.lineno} column "
            f"{error.colno} ({error.msg}). Is the file complete?"
        ) from None
    except RecursionError:
        raise FashionError(
            f"{path}: JSON of a few levels expected, got lists or objects nested too deep to "
            "read. Is this the right file?"
        ) from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise FashionError(
            f"{path}: numbers that fit a computer expected, got one of thousands of digits. "
            "Is the file damaged?"
        ) from None


def unreadable(
    path: str | os.PathLike[str], error: OSError | UnicodeDecodeError, what: str
) -> FashionError:
    """Return the error to raise for a file of text in UTF-8 that cannot be read, in words.

    Args:
        path: the file.
        error: what opening or reading it raised.
        what: what was expected, ``"a CSV file in UTF-8"``.
    """
    if isinstance(error, FileNotFoundError):
        got = f"found no file. Check the path.{looked_up_from(path)}"
    elif isinstance(error, IsADirectoryError):
        got = "found a folder. Give the file in it."
    elif isinstance(error, PermissionError):
        got = "found one that you may not read. Mind its permissions."
    elif isinstance(error, OSError):
        got = f"got an error of the system: {error.strerror}. Check the path."
    else:
        is_utf_16 = error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        found = "UTF-16" if is_utf_16 else "bytes that are none"
        excel = ", in Excel as 'CSV UTF-8'" if "CSV" in what else ""
        got = f"got {found}. Save it as UTF-8{excel}."
    return FashionError(f"{path}: {what} expected, {got}")


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def shown(path: str | os.PathLike[str]) -> str:
    r"""Return ``path`` as text that UTF-8 can hold; a byte that is none of it becomes ``\udcff``.

    For what is written of a path: a system may name a file by any bytes, JSON may not.
    """
    return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def looked_up_from(path: str | os.PathLike[str]) -> str:
    """Return ``" Relative paths are looked up from FOLDER."``, or ``""`` for an absolute path.

    To end a message about a path that is not there: the working directory may be the wrong one.
    """
    return "" if os.path.isabs(path) else f" Relative paths are looked up from {os.getcwd()}."


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
    _refuse_file_in_the_way(path)
    _mode_of_file(path)
    folder = Path(os.path.realpath(path)).parent  # a link's target is what is written
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise FashionError(f"{path}: a place that can be written expected, {folder} cannot be.")


def _refuse_file_in_the_way(path: str | os.PathLike[str]) -> None:
    """Raise :class:`FashionError` where ``path`` is to lie in a folder that is a file."""
    # The first that is there, from below: all above it are folders then.
    above = next((p for p in Path(os.path.realpath(path)).parents if os.path.lexists(p)), None)
    if above is not None and not above.is_dir():
        raise FashionError(
            f"{path}: a folder {above} expected, found a file of that name. Move or rename the "
            "file, or choose another place."
        )


def refuse_overwrite(path: str | os.PathLike[str], force: bool) -> None:
    """Raise :class:`FashionError` if ``path`` is a folder, or exists and ``force`` is not set."""
    if Path(path).is_dir():  # force would not help
        raise FashionError(
            f"{path}: the name of a file to write expected, found a folder. Choose another name, "
            "e.g. of a file in it."
        )
    if os.path.lexists(path) and not force:  # a link to nothing is a name that is taken
        raise FashionError(f"{path}: a new file expected, it exists already. Use --force.")


def refuse_own_input(out: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Raise :class:`FashionError` if ``out`` is one of ``inputs``, by whatever name or link."""
    for given in inputs:
        with contextlib.suppress(OSError):  # one of the two is not there: they differ
            if os.path.samefile(out, given):
                raise FashionError(
                    f"{out}: another file than the input expected, got the same. The input is "
                    "kept as it is; choose another name to write to."
                )


def remove_stale_parts(
    target: str | os.PathLike[str], folder_of: frozenset[str] | None = None
) -> list[Path]:
    """Remove what killed runs left beside ``target``, and return what was removed.

    A leftover has the name that :func:`atomic_open` (or ``mkdtemp``) gives to the unfinished
    ``target``, and nothing in it has changed for an hour; anything else stays.

    Args:
        target: the file or folder that is to be made.
        folder_of: None for files; for folders, the names that one may hold. Folders with other
            content stay.
    """
    whole = Path(os.path.realpath(target))
    name = re.compile(re.escape(f".{whole.name}.") + r"[a-z0-9_]{8}\.part")
    removed = []
    with contextlib.suppress(OSError):  # no such folder, or another run was faster
        for entry in sorted(os.scandir(whole.parent), key=lambda e: e.name):
            if not name.fullmatch(entry.name) or not _is_leftover(entry, folder_of):
                continue
            if folder_of is None:
                os.unlink(entry.path)
            else:
                shutil.rmtree(entry.path)
            removed.append(Path(entry.path))
    return removed


def _is_leftover(entry: os.DirEntry[str], folder_of: frozenset[str] | None) -> bool:
    newest = entry.stat(follow_symlinks=False).st_mtime
    if folder_of is None:
        if not entry.is_file(follow_symlinks=False):
            return False
    else:
        if not entry.is_dir(follow_symlinks=False) or set(os.listdir(entry.path)) - folder_of:
            return False
        for place, folders, files in os.walk(entry.path):
            paths = [os.path.join(place, name) for name in folders + files]
            newest = max([newest, *(os.lstat(path).st_mtime for path in paths)])
    return time.time() - newest > _STALE_S
