"""Hashes of photos, of what they look like and of their bytes, in parallel and kept in a file.

The look is the 256-bit perceptual hash of ``imagehash.phash`` (the signs of the 16 x 16 lowest
frequencies against their median), of the photo as training sees it, EXIF orientation applied.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from datasets_tools.report import BadRow, BadRows
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import (
    inside,
    read_json,
    require_writable,
    shown,
    write_json,
)

#: Side of the grid of frequencies: 16 x 16 = 256 bits.
HASH_SIZE = 16
N_BITS = HASH_SIZE**2
# JPEG decoders scale down for nearly nothing; four times the 64 px that the hash is made of
# leaves the bits as they are but for 2 to 4 of 256.
_DECODED_PX = 256
#: What is in a file of hashes; another way to hash must have another name.
_KIND = f"phash{HASH_SIZE} of {_DECODED_PX} px and sha256"
_CHUNK = 512


@dataclass(frozen=True)
class PhotoHash:
    """What a photo looks like (``phash``, 64 hex digits) and what its bytes are (``sha256``)."""

    phash: str
    sha256: str

    def bits(self) -> np.ndarray:
        """Return the look as bool, (256,)."""
        return np.unpackbits(np.frombuffer(bytes.fromhex(self.phash), np.uint8)).astype(bool)


def hash_photo(path: str | os.PathLike[str]) -> PhotoHash:
    """Hash one photo, JPEG or PNG.

    Raises:
        BadRow: for a photo that is missing or cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadRow(
            "missing photo",
            f"{path}: a photo expected, got: {error.strerror}. Is the folder complete?",
        ) from None
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            image.draft("L", (_DECODED_PX, _DECODED_PX))
            look = imagehash.phash(ImageOps.exif_transpose(image), HASH_SIZE).hash
    # Pillow's readers raise many types on a damaged file (struct.error, SyntaxError, ...).
    except Exception as error:  # noqa: BLE001
        raise BadRow(
            "unreadable photo",
            f"{path}: a JPEG or PNG photo expected, got one that cannot be read "
            f"({type(error).__name__}). Fetch the photo again.",
        ) from None
    return PhotoHash(np.packbits(look).tobytes().hex(), hashlib.sha256(content).hexdigest())


class HashFile:
    """Hashes of earlier runs: folder -> file name -> size, time of change, hashes.

    An entry holds as long as the photo has the size (bytes) and the time of change (ns) that it
    had when it was hashed.

    Args:
        path: the JSON file; None keeps nothing.

    Raises:
        FashionError: for a file that is no file of hashes, or of another kind of hash.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = path
        self._folders: dict[str, dict[str, list[Any]]] = {}
        self._changed = False
        if path is None:
            return
        require_writable(path)
        if Path(path).exists():
            self._folders = _checked(path, read_json(path))

    def get(self, folder: str, name: str, stat: os.stat_result) -> PhotoHash | None:
        """Return the hashes of a photo that has not changed since, or None."""
        entry = self._folders.get(folder, {}).get(name)
        if entry is None or entry[:2] != [stat.st_size, stat.st_mtime_ns]:
            return None
        return PhotoHash(*entry[2:])

    def put(self, folder: str, name: str, stat: os.stat_result, hashes: PhotoHash) -> None:
        """Keep the hashes of a photo that was ``stat`` before it was read."""
        names = self._folders.setdefault(folder, {})
        names[name] = [stat.st_size, stat.st_mtime_ns, hashes.phash, hashes.sha256]
        self._changed = True

    def save(self) -> None:
        """Write the file, if there is one and something is new."""
        if self._path is not None and self._changed:
            write_json(self._path, {"kind": _KIND, "folders": self._folders})


def hash_photos(
    images_dir: str | os.PathLike[str],
    names: Iterable[str],
    bad: BadRows,
    hashes_path: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> dict[str, PhotoHash]:
    """Hash photos on all cores; those that cannot be read are bad rows and have no entry.

    Args:
        images_dir: folder of the photos.
        names: file names below it.
        bad: the ledger for photos that are missing or damaged.
        hashes_path: file in which hashes are kept, see :class:`HashFile`. What was hashed before
            a stop is kept too.
        progress: show a progress bar where stderr is a terminal.

    Returns:
        File name -> hashes, in the order of ``names``.

    Raises:
        FashionError: if there is no such folder, a name leaves it, or ``hashes_path`` is another
            kind of file; AnnotationError for one bad row too many, or if most photos cannot be
            read.
    """
    folder = Path(images_dir)
    if not folder.is_dir():
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check the path."
        )
    paths = {name: inside(folder, name, "images") for name in names}
    found: dict[str, PhotoHash] = {}
    kept, whole = HashFile(hashes_path), shown(os.path.realpath(folder))

    def one(name: str) -> PhotoHash | BadRow:
        try:
            stat = os.stat(paths[name])
            known = kept.get(whole, name, stat)
            if known is None:
                known = hash_photo(paths[name])
                kept.put(whole, name, stat, known)
            return known
        except OSError as error:
            return BadRow(
                "missing photo",
                f"{paths[name]}: a photo expected, got: {error.strerror}. Is the folder complete?",
            )
        except BadRow as row:
            return row

    todo = list(paths)
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    # Threads: nearly all the time goes into decoding, resizing and sha256, which free the lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(
        total=len(todo), desc="hash", unit="photo", disable=hidden
    ) as bar:
        try:
            for start in range(0, len(todo), _CHUNK):
                chunk = todo[start : start + _CHUNK]
                for name, result in zip(chunk, pool.map(one, chunk), strict=True):
                    bar.update()
                    if isinstance(result, BadRow):
                        bad.add(result.kind, str(result))
                    else:
                        found[name] = result
        finally:
            pool.shutdown(cancel_futures=True)
            kept.save()
    if 2 * len(found) < len(todo):
        raise AnnotationError(
            f"{images_dir}: at least half of {len(todo):,} photos that can be read expected, got "
            f"{len(found):,} ({bad.kinds()}). Among so few no near-duplicate is found; mend the "
            "photos, or give their folder."
        )
    return found


def _checked(path: str | os.PathLike[str], data: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the folders of a file of hashes as read from JSON."""
    if not isinstance(data, Mapping) or data.get("kind") != _KIND:
        got = data.get("kind") if isinstance(data, Mapping) else type(data).__name__
        raise FashionError(
            f"{path}: a file of hashes ({_KIND}) expected, got {got!r}. Choose another --hashes."
        )
    folders = data.get("folders")
    if not isinstance(folders, dict) or not all(
        isinstance(names, dict) and all(map(_is_entry, names.values()))
        for names in folders.values()
    ):
        raise FashionError(
            f"{path}: for each photo its size, time of change and two hashes expected, got "
            "something else. Remove the file; it will be made afresh."
        )
    return folders


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and [type(value) for value in entry] == [int, int, str, str]
        and len(entry[2]) == N_BITS // 4
        and len(entry[3]) == 64
        and set(entry[2] + entry[3]) <= set("0123456789abcdef")
    )
