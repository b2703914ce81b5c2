"""The ledger of a cache: which photos are done, and what they were made from.

``photos.jsonl`` in the folder of the cache. Its first line says the settings and which annotation
file the cache is made of; then comes a line for each photo, written after the photo itself; and a
line for the whole, written after the annotation file. A line cut short by a kill is a line not
written.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from fashion_mmdet.core.files import atomic_open

LEDGER = "photos.jsonl"


@dataclass(frozen=True)
class Made:
    """A photo in the cache.

    Attributes:
        file_name: of the photo, as the annotation file has it.
        source_bytes: size of the photo's file.
        source_mtime_ns: when it was last changed.
        height: of the photo as loaded, px.
        width: of the photo as loaded, px.
        name: of the cached photo, in the cache's folder of photos.
        n_bytes: size of its file.
    """

    file_name: str
    source_bytes: int
    source_mtime_ns: int
    height: int
    width: int
    name: str
    n_bytes: int


_TYPES = {name: str if kind == "str" else int for name, kind in Made.__annotations__.items()}


@dataclass
class Ledger:
    """What ``photos.jsonl`` says.

    Attributes:
        settings: of the cache; None where there is no ledger, or none that can be read.
        photos: file name -> the photo made of it.
        whole: what the annotation file was made from; None unless the cache was finished.
        annotations: the file that the cache is made of, as seen from its folder; None where the
            ledger, of a version before, does not say.
    """

    settings: dict[str, Any] | None = None
    photos: dict[str, Made] = field(default_factory=dict)
    whole: dict[str, Any] | None = None
    annotations: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Read the ledger of a cache; lines that say nothing usable are passed over."""
        ledger = cls()
        try:
            lines = (folder / LEDGER).read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return ledger
        for line in lines:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(value, dict):
                continue
            if isinstance(value.get("settings"), dict):
                ledger.settings = value["settings"]
                made_of = value.get("annotations")
                ledger.annotations = made_of if isinstance(made_of, str) else None
            elif isinstance(value.get("whole"), dict):
                ledger.whole = value["whole"]
            elif value.keys() == _TYPES.keys() and all(
                type(value[key]) is kind for key, kind in _TYPES.items()
            ):
                ledger.photos[value["file_name"]] = Made(**value)
        return ledger


def write_ledger(folder: Path, ledger: Ledger) -> None:
    """Write a ledger of a cache that is not whole, in the place of the one that is there."""
    head = {"settings": ledger.settings, "annotations": ledger.annotations}
    with atomic_open(folder / LEDGER) as stream:
        stream.write(json.dumps(head) + "\n")
        for photo in ledger.photos.values():
            add_photo(stream, photo)


def add_photo(stream: IO[str], photo: Made) -> None:
    """Add the line of a photo that is in its place."""
    stream.write(json.dumps(asdict(photo)) + "\n")
    stream.flush()


def add_whole(folder: Path, whole: dict[str, Any]) -> None:
    """Add the line that closes a whole cache."""
    with open(folder / LEDGER, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"whole": whole}) + "\n")
