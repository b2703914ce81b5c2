"""Photos, decoded in full: what is missing, damaged, turned, of another size or colour.

A photo whose name differs from its image's in suffix or case alone is looked at all the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from datasets_tools.photos import Photo, PhotoFinder, exif_orientation
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import inside

from .annotations import Survey
from .near_names import NearNames
from .values import decodable

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True)
class Speed:
    """How many photos were decoded, of how many bytes, in how many seconds."""

    n_photos: int
    n_bytes: int
    seconds: float

    def text(self) -> str:
        """Return the line to print."""
        megabytes = self.n_bytes / 1e6
        rate = megabytes / max(self.seconds, 1e-9)
        return (
            f"photos: {self.n_photos:,} decoded in {self.seconds:.1f} s, {megabytes:,.1f} MB, "
            f"{rate:,.1f} MB/s"
        )


def check_photos(
    survey: Survey, images_dir: str | os.PathLike[str], workers: int, progress: bool = False
) -> Speed:
    """Decode every photo of the survey's images, ``workers`` at a time.

    Decoders release Python's lock, so threads use all cores and nothing is sent between
    processes.

    Raises:
        FashionError: if ``images_dir`` is no folder.
    """
    finder = PhotoFinder(images_dir)
    near = NearNames(images_dir, (survey.data["images"][i] for i in survey.images.values()))
    places = []
    for index in survey.images.values():
        with contextlib.suppress(FashionError):  # a name that leaves: the survey has found it
            name = survey.data["images"][index]["file_name"]
            path = inside(images_dir, name, "")
            found_name = None if os.path.exists(path) else near.of(name)
            places.append((index, inside(images_dir, found_name or name, ""), found_name))
    hidden = None if progress else True  # None: hidden unless stderr is a terminal
    start, n_bytes = time.perf_counter(), 0
    # OpenCV's own threads would fight with ours.
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            looks = pool.map(lambda item: _look(item[1], survey.data["images"][item[0]]), places)
            bar = tqdm(looks, total=len(places), unit="photo", desc="photos", disable=hidden)
            for (index, path, found_name), (faults, size) in zip(places, bar, strict=True):
                n_bytes += size
                bar.set_postfix_str(f"{n_bytes / 1e6 / (time.perf_counter() - start):.1f} MB/s")
                for kind, message in faults:
                    if kind == "photo missing":
                        name = survey.data["images"][index]["file_name"]
                        message += near.hint(name) + _found_below(finder, name)
                    survey.add(kind, message, "images", index)
                if found_name is not None:
                    message = f"a photo of this name expected, found {decodable(path.name)} alone."
                    more = {"found_name": found_name}
                    survey.add("photo under another name", message, "images", index, **more)
    finally:
        cv2.setNumThreads(cv2_threads)
    return Speed(len(places), n_bytes, time.perf_counter() - start)


def _look(path: Path, image: dict) -> tuple[list[tuple[str, str]], int]:
    """Return (kind, message) for all that is wrong with one photo, and its size in bytes."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
        return [("photo unreadable", "a file expected, got a folder, a pipe or the like.")], 0
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return [("photo missing", "a photo of this name expected, found none.")], 0
    except OSError as error:
        return [("photo unreadable", f"a readable file expected, got: {error.strerror}.")], 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large photos: nothing is decoded here
            with Image.open(io.BytesIO(raw)) as opened:
                size_hw = opened.height, opened.width
                photo = Photo(path.name, size_hw, exif_orientation(opened))
                mode, is_clear = opened.mode, "transparency" in opened.info
    # Pillow's readers raise many types on a damaged file (struct.error, SyntaxError, ...).
    except Exception as error:  # noqa: BLE001
        return [("photo unreadable", f"a photo expected, got {type(error).__name__}.")], len(raw)
    fault = _undecodable(raw)
    if fault:
        return [fault], len(raw)
    faults = _of_size(photo, (image["height"], image["width"]))
    faults += _of_colour(mode, _bits(raw), is_clear)
    return faults, len(raw)


def _found_below(finder: PhotoFinder, file_name: str) -> str:
    below = finder.root_below(os.path.splitext(file_name)[0])
    return f" It lies below: give --images {below}." if below else ""


def _undecodable(raw: bytes) -> tuple[str, str] | None:
    """Return the finding of a photo whose pixels are not all there.

    OpenCV, the decoder of training, is asked first. Releases before 5 fill what a JPEG lacks
    with grey and say nothing, so one without its end marker is given to Pillow too.
    """
    try:
        stops = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) is None
    except cv2.error:
        stops = True
    if not stops and (raw[:2] != _JPEG_START or raw.rstrip(b"\0")[-2:] == _JPEG_END):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(raw)) as opened:
                opened.load()
    except Exception as error:  # noqa: BLE001
        message = f"a whole photo expected, got {type(error).__name__}: {str(error)[:80]}."
        return "photo truncated", message
    if stops:
        return "photo unreadable", "a photo that OpenCV decodes expected, got one that it refuses."
    return None


def _of_size(photo: Photo, size_hw: tuple[int, int]) -> list[tuple[str, str]]:
    fault = photo.disagrees(size_hw)
    if fault and fault[0] == "EXIF orientation":
        return [("photo turned by EXIF", fault[1])]
    if fault:
        return [("photo of another size", fault[1])]
    if photo.orientation != 1:
        return [("photo with EXIF orientation", f"none expected, got {photo.orientation}.")]
    return []


def _bits(raw: bytes) -> int:
    """Return the bits a channel of a PNG, 8 for other formats.

    Pillow opens 16-bit colour as 8-bit, so the header is read here. Source: section 11.2.1 (IHDR)
    of the PNG specification, https://www.w3.org/TR/png/#11IHDR
    """
    return raw[24] if raw[:8] == b"\x89PNG\r\n\x1a\n" and len(raw) > 24 else 8


def _of_colour(mode: str, bits: int, is_clear: bool) -> list[tuple[str, str]]:
    kinds = []
    if bits > 8 or mode.startswith(("I", "F")):
        kinds.append("photo of 16 bit")
    if mode in ("RGBA", "LA", "PA") or is_clear:
        kinds.append("photo with alpha")
    if mode in ("1", "L", "LA") or mode.startswith("I"):
        kinds.append("photo grey")
    if mode in ("CMYK", "YCCK"):
        kinds.append("photo CMYK")
    return [(kind, f"8-bit RGB expected, got {mode}, {bits} bit.") for kind in kinds]
