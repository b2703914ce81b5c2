"""Photos of every kind that a folder may hold: each is read right, or told by a message."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.inference import photos
from fashion_mmdet.inference.photos import read_photo

#: left half red, right half blue; the upper rows darker, so that every turn can be told
RGB = np.zeros((40, 60, 3), np.uint8)
RGB[:, :30, 0], RGB[:, 30:, 2] = 200, 200
RGB[:10] //= 2


def saved(path: Path, image: Image.Image, kind: str, **options: object) -> Path:
    image.save(path, kind, **options)
    return path


def off(path: Path, expected_rgb: np.ndarray) -> float:
    """Return the mean difference from what is expected."""
    found = read_photo(path).image_bgr[..., ::-1]
    assert found.shape == expected_rgb.shape and found.dtype == np.uint8
    return float(np.abs(found.astype(int) - expected_rgb).mean())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG", "GIF"])
def test_plain_photo_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    assert off(saved(tmp_path / "a", Image.fromarray(RGB), kind), RGB) < 6
    assert read_photo(tmp_path / "a").notes == ()


def test_cmyk_photo_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    assert off(path, RGB) < 8


def test_sixteen_bits_become_eight_by_their_high_byte(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1].astype(np.uint16) * 257)
    assert off(tmp_path / "a.png", RGB) == 0
    grey = np.tile(np.arange(60, dtype=np.uint16) * 1000, (40, 1))
    cv2.imwrite(str(tmp_path / "g.png"), grey)
    expected = np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)
    assert off(tmp_path / "g.png", expected) < 1


def test_grey_photo_gets_three_channels(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    path = saved(tmp_path / "a.png", Image.fromarray(grey), "PNG")
    assert off(path, np.repeat(grey[..., None], 3, axis=2)) == 0


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    rgba[20:, :, 3] = 0
    path = saved(tmp_path / "a.png", Image.fromarray(rgba), "PNG")
    expected = RGB.copy()
    expected[20:] = 255
    assert off(path, expected) == 0
    assert read_photo(path).notes == ("transparent parts laid on white",)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_photo_is_turned_as_training_reads_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB), "JPEG", exif=exif, quality=95)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]  # as mmcv does
    assert off(path, expected) == 0
    assert (expected.shape[:2] == (60, 40)) == (orientation >= 5)
    assert "turned as EXIF says" in read_photo(path).notes[0]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    path = tmp_path / "a"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    assert off(path, RGB) < 6
    assert "of several frames the first is taken" in read_photo(path).notes


def test_wrong_suffix_is_read_by_content_and_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB), "PNG")
    assert off(path, RGB) == 0
    assert "another format than its suffix" in read_photo(path).notes[0]


def test_photo_of_one_pixel_is_read(tmp_path: Path) -> None:
    assert (
        read_photo(saved(tmp_path / "a.png", Image.new("RGB", (1, 1)), "PNG")).image_bgr.size == 3
    )


def broken(kind: str) -> bytes:
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, kind)
    return content.getvalue()[: len(content.getvalue()) // 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"<!DOCTYPE html><html>404</html>", "a page of HTML"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "got HEIC"),
        (b"GIF89a", "a damaged file"),
        (b"\xff\xd8\xff\xe0" + bytes(range(200)), "damaged"),
        (broken("JPEG"), "a whole photo expected, got a damaged one"),
        (broken("PNG"), "a whole photo expected, got a damaged one"),
        (broken("WEBP"), "damaged"),
    ],
)
def test_what_is_no_photo_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "รูป ถ่าย.jpg"
    path.write_bytes(content)
    with pytest.raises(FashionError, match=message) as raised:
        read_photo(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_photo_of_too_many_pixels_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "MOST_PIXELS", 100)
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), "PNG")
    with pytest.raises(FashionError, match="at most 100 pixels expected, got 40 x 60"):
        read_photo(path)


def test_pipe_and_folder_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path):
        with pytest.raises(FashionError, match="a photo expected, got a folder, a pipe"):
            read_photo(path)
    with pytest.raises(FashionError, match="found no file"):
        read_photo(tmp_path / "gone.jpg")
