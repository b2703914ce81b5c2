"""Find photos by name inside one folder and read their sizes from the header alone."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fashion_mmdet.core.errors import FashionError

#: Suffixes of photos, in the order of preference where one name has several.
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
_EXIF_ORIENTATION = 0x0112
_FLIPPED = (2, 3, 4)  # mirrored or upside down: the size stays
_TURNED = (5, 6, 7, 8)  # a quarter turn: height and width change places


def has_suffix(name: str) -> bool:
    """Return whether ``name`` ends like a photo, in any case."""
    return name.lower().endswith(PHOTO_SUFFIXES)


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


class PhotoFinder:
    """Finds photos below ``root`` by name, with or without a suffix of any case.

    Each folder is listed once; names must have been checked by :func:`core.files.inside`.

    Raises:
        FashionError: if ``root`` is no folder.
    """

    def __init__(self, root: str | os.PathLike[str] | None) -> None:
        if root is None or not Path(root).is_dir():
            raise FashionError(
                f"{root}: the folder of the photos expected, found none. Check the path."
            )
        self._root = Path(root)
        self._folders: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> Photo:
        """Return the header of the photo ``name``, else of one that differs in its suffix."""
        stem = os.path.splitext(name)[0] if has_suffix(name) else name
        folder, base = os.path.split(stem)
        found = self._folder(folder).get(base, [])
        if not found:
            message = (
                f"a photo {stem!r} with {', '.join(PHOTO_SUFFIXES)} in {self._root} expected, "
                "found none. Is the folder complete?"
            )
            return Photo(name, fault=("missing photo", message))
        base = os.path.basename(name)
        return self._read(os.path.join(folder, base if base in found else found[0]))

    def _folder(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._folders:
            by_stem: dict[str, list[str]] = {}
            path = self._root / folder
            names = sorted(os.listdir(path)) if path.is_dir() else []
            for suffix in PHOTO_SUFFIXES:
                for name in names:
                    if name.lower().endswith(suffix):
                        by_stem.setdefault(name[: -len(suffix)], []).append(name)
            self._folders[folder] = by_stem
        return self._folders[folder]

    def _read(self, name: str) -> Photo:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large photos: nothing is decoded here
                with Image.open(self._root / name, formats=("JPEG", "PNG")) as image:
                    size_hw = image.height, image.width
                    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        # Pillow's readers raise many types on a damaged header (struct.error, SyntaxError, ...).
        except Exception as error:  # noqa: BLE001
            message = (
                f"a JPEG or PNG photo expected, got {name} ({type(error).__name__}). "
                "Fetch the photo again."
            )
            return Photo(name, fault=("unreadable photo", message))
        turned = orientation in _TURNED or orientation in _FLIPPED
        return Photo(name, size_hw, orientation if turned else 1)
