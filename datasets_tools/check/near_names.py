"""Photos that differ from the name an image gives in suffix or case alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datasets_tools.photos import has_suffix
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside

from .values import decodable

_MOST_NAMED = 3


class NearNames:
    """The files of a folder of photos, found by name without suffix and case.

    Each folder is listed once, when a name in it is asked for first.

    Args:
        images_dir: folder of the photos.
        images: the set's images; a photo that one of them names is not another's.
    """

    def __init__(
        self, images_dir: str | os.PathLike[str], images: Iterable[Mapping[str, Any]]
    ) -> None:
        self._root = Path(images_dir)
        self._names: set[str] = set()
        for image in images:
            with contextlib.suppress(FashionError):  # a name that leaves the folder names none
                inside(images_dir, image["file_name"], "")
                self._names.add(os.path.normpath(image["file_name"]))
        self._listings: dict[str, dict[str, list[str]]] = {}
        self._meaning: dict[str, set[str]] | None = None

    def of(self, file_name: str) -> str | None:
        """Return the one photo that can be meant by a name that is not there, else None.

        It must be the only photo of that stem, named by no image, and meant by no other name.
        """
        found = self._photos_near(file_name)
        if len(found) != 1 or found[0] in self._names:
            return None
        return found[0] if len(self._meant_by(found[0])) == 1 else None

    def hint(self, file_name: str) -> str:
        """Return ``" There is 0034.webp."``, the files of that stem, or ``""``."""
        folder, base = os.path.split(os.path.normpath(file_name))
        files = self._listing(folder).get(os.path.splitext(base)[0].casefold(), [])
        near = ", ".join(decodable(name) for name in files[:_MOST_NAMED])
        return f" There is {near}." if near else ""

    def _photos_near(self, file_name: str) -> list[str]:
        folder, base = os.path.split(os.path.normpath(file_name))
        stem = os.path.splitext(base)[0] if has_suffix(base) else base
        files = self._listing(folder).get(stem.casefold(), [])
        return [os.path.join(folder, name) for name in files if has_suffix(name)]

    def _meant_by(self, photo: str) -> set[str]:
        """Return the names of images that ``photo`` is near to."""
        if self._meaning is None:
            self._meaning = {}
            for name in self._names:
                for near in self._photos_near(name):
                    self._meaning.setdefault(near, set()).add(name)
        return self._meaning.get(photo, set())

    def _listing(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            try:
                with os.scandir(self._root / folder) as entries:
                    names = sorted(entry.name for entry in entries if entry.is_file())
            except OSError:  # no such folder, or none that can be read
                names = []
            for name in names:
                listing.setdefault(os.path.splitext(name)[0].casefold(), []).append(name)
            self._listings[folder] = listing
        return self._listings[folder]
