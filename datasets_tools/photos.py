"""Find photos by name inside one folder and read their sizes from the header alone."""

from __future__ import annotations

import os
import posixpath
import warnings
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import looked_up_from

#: Suffixes of photos, in the order of preference where one name has several.
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
#: Other pictures that photos are often saved as; named where one is found in a photo's place.
_UNREAD_SUFFIXES = (".webp", ".gif", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff", ".jfif")
#: Folders below the one of the photos that are listed to tell where a missing photo is.
_MOST_FOLDERS = 1000
#: Pixels of the largest photo: Pillow refuses more as a decompression bomb.
MOST_PIXELS = 2 * 89_478_485
_EXIF_ORIENTATION = 0x0112
_FLIPPED = (2, 3, 4)  # mirrored or upside down: the size stays
_TURNED = (5, 6, 7, 8)  # a quarter turn: height and width change places


def has_suffix(name: str) -> bool:
    """Return whether ``name`` ends like a photo, in any case."""
    return name.lower().endswith(PHOTO_SUFFIXES)


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened photo; 1 (upright) where it is none of 1 to 8."""
    found = image.getexif().get(_EXIF_ORIENTATION, 1)
    return int(found) if found in _FLIPPED or found in _TURNED else 1


@dataclass(frozen=True)
class Photo:
    """What the header of a photo says.

    Attributes:
        file_name: name relative to the folder, as it is on the disk.
        stored_hw: height and width as stored; (0, 0) if there is a fault.
        orientation: EXIF orientation, 1 if there is none.
        fault: (kind, message) if the photo is missing or its header cannot be read.
    """

    file_name: str
    stored_hw: tuple[int, int] = (0, 0)
    orientation: int = 1
    fault: tuple[str, str] | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width as training sees them.

        mmcv reads photos through OpenCV with ``IMREAD_COLOR``, which applies the EXIF
        orientation; so masks must lie on the turned photo.
        """
        height_px, width_px = self.stored_hw
        return (width_px, height_px) if self.orientation in _TURNED else (height_px, width_px)

    @property
    def is_flipped(self) -> bool:
        """Whether loading mirrors the photo or turns it by half, which no size can show."""
        return self.orientation in _FLIPPED

    def disagrees(self, size_hw: tuple[int, int]) -> tuple[str, str] | None:
        """Return (kind, message) unless a mask of ``size_hw`` fits the photo as it is loaded."""
        if size_hw == self.size_hw:
            return None
        wanted = f"{self.size_hw[0]} x {self.size_hw[1]}"
        got = f"{size_hw[0]} x {size_hw[1]}"
        if size_hw == self.stored_hw:
            return "EXIF orientation", (
                f"a mask of the photo as it is loaded, {wanted}, expected, got {got}, the size "
                f"before the EXIF orientation {self.orientation} of {self.file_name} is applied. "
                "Remove the orientation tag from the photo."
            )
        if size_hw == self.size_hw[::-1]:
            return "size swapped", (
                f"height x width {wanted} of {self.file_name} expected, got {got}. "
                "Were Height and Width swapped?"
            )
        return "size differs from photo", (
            f"height x width {wanted} of {self.file_name} expected, got {got}. "
            "Was the photo resized? Masks belong to the original."
        )


class _Listing(NamedTuple):
    """The pictures of one folder: stem -> names of photos, stem -> name of another picture."""

    photos: dict[str, list[str]]
    others: dict[str, str]


class PhotoFinder:
    """Finds photos below ``root`` by name, with or without a suffix of any case.

    Each folder is listed once; names must have been checked by :func:`core.files.inside`.

    Raises:
        FashionError: if ``root`` is no folder.
    """

    def __init__(self, root: str | os.PathLike[str] | None) -> None:
        if root is None or not Path(root).is_dir():
            is_file = root is not None and Path(root).exists()
            raise FashionError(
                f"{root}: the folder of the photos expected, found "
                f"{'a file' if is_file else 'none'}. Check the path."
                f"{'' if root is None else looked_up_from(root)}"
            )
        self._root = Path(root)
        self._listings: dict[str, _Listing] = {}
        self._unread: dict[str, str] = {}  # folder that could not be listed -> why
        self._below: dict[str, list[str]] | None = None

    def find(self, name: str) -> Photo:
        """Return the header of the photo ``name``, else of one that differs in its suffix."""
        stem = os.path.splitext(name)[0] if has_suffix(name) else name
        folder, base = os.path.split(stem)
        found = self._listing(folder).photos.get(base, [])
        if not found:
            return Photo(name, fault=self._missing(stem))
        base = os.path.basename(name)
        return self._read(os.path.join(folder, base if base in found else found[0]))

    def _missing(self, stem: str) -> tuple[str, str]:
        """Return kind and message of a photo that is not there; what is near it is named."""
        wanted = f"a photo {stem!r} with {', '.join(PHOTO_SUFFIXES)} in {self._root} expected"
        folder, base = os.path.split(stem)
        plain, suffix = os.path.splitext(base)
        other_stem = plain if suffix.lower() in _UNREAD_SUFFIXES else base
        listing, why = self._listing(folder), self._unread.get(posixpath.normpath(folder))
        if why:
            return "unreadable folder", (
                f"{wanted}, got '{why}' for the folder. Mend the name, or let the folder be read."
            )
        other = listing.others.get(other_stem)
        if other:
            return "photo of another format", (
                f"{wanted}, got {other}, whose format is not read. Save it as JPEG or PNG."
            )
        below = self.root_below(stem)
        if below:
            return "missing photo", (
                f"{wanted}, found it below, in {below.relative_to(self._root)}. Give the folder "
                f"that names start from: {below}."
            )
        return "missing photo", f"{wanted}, found none. Is the folder complete?"

    def root_below(self, stem: str) -> Path | None:
        """Return the folder below the root in which ``stem``, a name without suffix, is found."""
        folder, base = os.path.split(stem)
        inner = f"/{folder}" if folder else ""
        below = next((f for f in self._folders_of(base) if f.endswith(inner)), None)
        return self._root / below.removesuffix(inner) if below else None

    def _folders_of(self, stem: str) -> list[str]:
        """Return the folders below the root that have a photo ``stem``, the nearest to it first."""
        if self._below is None:
            self._below = {}
            queue, n_left = deque(self._folders_in("")), _MOST_FOLDERS
            while queue and n_left:
                folder, n_left = queue.popleft(), n_left - 1
                for known in self._listing(folder).photos:
                    self._below.setdefault(known, []).append(folder)
                queue += self._folders_in(folder)
        return self._below.get(stem, [])

    def _folders_in(self, folder: str) -> list[str]:
        try:
            with os.scandir(self._root / folder) as entries:
                # Links may lead round in a circle.
                inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        readable = sorted(e.name for e in inner if os.access(e.path, os.R_OK | os.X_OK))
        return [posixpath.join(folder, name) for name in readable]

    def _listing(self, folder: str) -> _Listing:
        folder = posixpath.normpath(folder)
        if folder not in self._listings:
            try:
                names = sorted(os.listdir(self._root / folder))
            except (FileNotFoundError, NotADirectoryError):
                names = []
            except OSError as error:  # a name too long, a folder that may not be read
                names, self._unread[folder] = [], error.strerror or "an error"
            listing = _Listing({}, {})
            for suffix in PHOTO_SUFFIXES:
                for name in names:
                    if name.lower().endswith(suffix):
                        listing.photos.setdefault(name[: -len(suffix)], []).append(name)
            for name in names:
                if name.lower().endswith(_UNREAD_SUFFIXES):
                    listing.others.setdefault(os.path.splitext(name)[0], name)
            self._listings[folder] = listing
        return self._listings[folder]

    def _read(self, name: str) -> Photo:
        if not (self._root / name).is_file():  # a pipe would be waited for, for ever
            what = f"a file expected, got {name}, a pipe, a folder or a dead link. Fetch it again."
            return Photo(name, fault=("unreadable photo", what))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large photos: nothing is decoded here
                with Image.open(self._root / name, formats=("JPEG", "PNG")) as image:
                    size_hw = image.height, image.width
                    orientation = exif_orientation(image)
        # Pillow's readers raise many types on a damaged header (struct.error, SyntaxError, ...).
        except Exception as error:  # noqa: BLE001
            message = (
                f"a JPEG or PNG photo expected, got {name} ({type(error).__name__}). "
                "Fetch the photo again."
            )
            return Photo(name, fault=("unreadable photo", message))
        return Photo(name, size_hw, orientation)
