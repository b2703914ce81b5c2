"""One photo from a file, whatever it is stored as, as the network is to see it.

Training reads photos with OpenCV: three channels of 8 bits, turned as EXIF says. So does this, and
what OpenCV does not do by itself is done here: a transparent background becomes white instead of
the colour that lies hidden under it, of an animation the first frame is taken, and a file that is
damaged, too large or no photo is told by a message.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

from datasets_tools.photos import MOST_PIXELS, exif_orientation
from fashion_mmdet.core.errors import FashionError

#: Suffix (lower case) -> what Pillow calls the format.
FORMAT_OF = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP",
    ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF",
}  # fmt: skip
#: The formats that are opened; MPO is the JPEG of a camera that adds a preview.
_FORMATS = (*dict.fromkeys(FORMAT_OF.values()), "MPO")
#: Of the largest file that is read; a photo of the most pixels is smaller in any format.
_MOST_BYTES = 2**30
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1", b"avif")
#: Pillow modes that hold 8 bits a channel, or fewer.
_PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr")


@dataclass(frozen=True)
class LoadedPhoto:
    """A photo.

    Attributes:
        image_bgr: (height, width, 3) uint8, contiguous, BGR as mmdet's pipelines take it.
        notes: what of the file is not plain, a few words each; to be counted.
    """

    image_bgr: np.ndarray
    notes: tuple[str, ...] = ()


def read_photo(path: str | os.PathLike[str]) -> LoadedPhoto:
    """Read the photo ``path``.

    Raises:
        FashionError: for a file that is missing, damaged, too large or no photo.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for, for ever
            raise FashionError(
                f"{path}: a photo expected, got a folder, a pipe or a device. Give a file."
            )
        with open(path, "rb") as stream:
            n_bytes = os.fstat(stream.fileno()).st_size
            if n_bytes > _MOST_BYTES:
                raise FashionError(
                    f"{path}: a photo of at most {_MOST_BYTES:,} bytes expected, got {n_bytes:,}."
                )
            content = stream.read()
    except FileNotFoundError:
        raise FashionError(f"{path}: a photo expected, found no file. Check the path.") from None
    except OSError as error:
        raise FashionError(
            f"{path}: a photo that can be read expected, got '{error.strerror or error}'. Mind "
            "its permissions."
        ) from None
    if not content:
        raise FashionError(f"{path}: a photo expected, got an empty file. Fetch it again.")
    notes, by_pillow = _look_at(path, content)
    image_bgr = None if by_pillow else _by_opencv(content)
    if image_bgr is None:
        image_bgr = _by_pillow(path, content)
    return LoadedPhoto(np.ascontiguousarray(image_bgr), notes)


def _look_at(path: str | os.PathLike[str], content: bytes) -> tuple[tuple[str, ...], bool]:
    """Read the header alone; return the notes, and whether Pillow must decode the photo."""
    header = content[:32]
    if header[4:8] == b"ftyp" and header[8:12] in _HEIF_BRANDS:
        raise FashionError(
            f"{path}: a JPEG, PNG, WebP, BMP, TIFF or GIF expected, got HEIC or AVIF, which is not "
            "read. Save it as JPEG."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large photos: see below
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width_px, height_px = image.size
                kind, mode = image.format or "", image.mode
                has_alpha = "A" in mode or "a" in mode or "transparency" in image.info
                n_frames = 1 if kind == "MPO" else getattr(image, "n_frames", 1)
                # Pillow decodes a whole PNG to look for EXIF behind its pixels.
                has_exif = kind != "PNG" or b"eXIf" in content
                orientation = exif_orientation(image) if has_exif else 1
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    # Pillow's readers raise many types on a damaged header (struct.error, SyntaxError, ...).
    except Exception:  # noqa: BLE001
        raise FashionError(
            f"{path}: a JPEG, PNG, WebP, BMP, TIFF or GIF expected, got another or a damaged file "
            f"({_seen(header)}). Fetch it again, or save it as JPEG."
        ) from None
    if height_px * width_px > MOST_PIXELS:
        raise _too_large(path, height_px, width_px)
    notes = []
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if FORMAT_OF.get(suffix, kind) != kind and kind != "MPO":
        notes.append("content is of another format than its suffix says")
    if orientation != 1:
        notes.append("turned as EXIF says; masks lie on the turned photo")
    if n_frames > 1:
        notes.append("of several frames the first is taken")
    if has_alpha:
        notes.append("transparent parts laid on white")
    return tuple(notes), has_alpha and mode in _PLAIN_MODES


def _too_large(path: str | os.PathLike[str], *size_hw: int) -> FashionError:
    got = f"{size_hw[0]:,} x {size_hw[1]:,}" if size_hw else "more"
    return FashionError(
        f"{path}: a photo of at most {MOST_PIXELS:,} pixels expected, got {got}. Shrink it."
    )


def _seen(header: bytes) -> str:
    if header.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is a page of HTML or XML"
    return "it begins with " + header[:4].hex(" ")


def _by_opencv(content: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError):
        return None


def _by_pillow(path: str | os.PathLike[str], content: bytes) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.mode not in _PLAIN_MODES:
                    raise FashionError(
                        f"{path}: a photo of 8 or 16 bits a channel expected, got Pillow's mode "
                        f"{image.mode!r}. Save it as JPEG or PNG."
                    )
                turned = ImageOps.exif_transpose(image)
                rgba = turned.convert("RGBA")
        on_white = Image.new("RGBA", rgba.size, "white")
        on_white.alpha_composite(rgba)
        return np.asarray(on_white)[..., 2::-1]
    except FashionError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, struct.error) as error:
        raise FashionError(
            f"{path}: a whole photo expected, got a damaged one ({str(error)[:80]}). Fetch it "
            "again."
        ) from None
