"""LoadPhoto names the photo that it cannot take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_mmdet.core.errors import AnnotationError

pytestmark = pytest.mark.mm


def photo(path: Path, exif: bool = False) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    extra = {}
    if exif:
        tags = picture.getexif()
        tags[0x0112] = 6  # turn by 90 degrees
        extra["exif"] = tags
    picture.save(path, **extra)
    return path


def load(path: Path, **keys: int):
    from fashion_mmdet.transforms import LoadPhoto

    return LoadPhoto()({"img_path": str(path), **keys})


def test_photo_of_its_annotated_size_loads(tmp_path: Path) -> None:
    loaded = load(photo(tmp_path / "a.jpg"), height=30, width=50)
    assert loaded["img"].shape == (30, 50, 3) and loaded["ori_shape"] == (30, 50)


def test_photo_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"a\.jpg: a photo of 40 x 30 px expected"):
        load(photo(tmp_path / "a.jpg"), height=30, width=40)


def test_photo_turned_by_exif_says_so(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="EXIF"):
        load(photo(tmp_path / "a.jpg", exif=True), height=30, width=50)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_unreadable_photo_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = photo(tmp_path / "b.jpg")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"b\.jpg: a readable photo expected"):
        load(path)


def test_truncated_photo_is_refused_by_name(tmp_path: Path) -> None:
    path = photo(tmp_path / "c.jpg")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(AnnotationError, match=r"c\.jpg"):
        load(path, height=30, width=50)
