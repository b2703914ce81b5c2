"""Cut-outs: what is in them, what is not, and where they are written."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fashion_mmdet.core import rle
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.prediction import Prediction

pytestmark = pytest.mark.mm


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(1, 256, (60, 40, 3), dtype=np.uint8)


def disc(size_hw=(60, 40)):
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return ((y - 30) ** 2 + (x - 18) ** 2 <= 100).astype(np.uint8)  # 21 x 21 px from (20, 8)


def found(masks, classes=("dress",), labels=None, scores=None):
    n = len(masks)
    return Prediction(
        classes, masks[0].shape, labels or [0] * n, scores or [0.87] * n, [[0, 0, 1, 1]] * n,
        tuple(rle.encode_mask(m) for m in masks),
    )  # fmt: skip


def test_cutout_has_the_photo_inside_the_mask_and_nothing_outside(photo):
    from fashion_mmdet.visualization import cutout

    cut = cutout(photo, rle.encode_mask(disc()))
    mask_HW = disc()[20:41, 8:29]
    assert cut.shape == (21, 21, 4) and cut.dtype == np.uint8
    np.testing.assert_array_equal(cut[..., 3], mask_HW * 255)
    np.testing.assert_array_equal(cut[mask_HW == 1][:, :3], photo[20:41, 8:29][mask_HW == 1])
    assert (cut[mask_HW == 0] == 0).all()  # no background under alpha 0


def test_cutout_margin_is_as_wide_where_the_photo_ends(photo):
    from fashion_mmdet.visualization import cutout

    mask_HW = np.zeros((60, 40), np.uint8)
    mask_HW[:4, 30:] = 1
    cut = cutout(photo, rle.encode_mask(mask_HW), margin_px=3)
    assert cut.shape == (4 + 6, 10 + 6, 4)
    np.testing.assert_array_equal(cut[3:7, 3:13, :3], photo[:4, 30:])
    assert cut[..., 3].sum() == 40 * 255
    assert (cut[:3] == 0).all() and (cut[:, 13:] == 0).all()


def test_cutout_feathered_is_soft_at_the_edge_and_the_same_mask(photo):
    from fashion_mmdet.visualization import cutout

    mask_HW = np.zeros((60, 40), np.uint8)
    mask_HW[10:20, 5:25] = 1
    alpha = cutout(photo, rle.encode_mask(mask_HW), feather=True, margin_px=1)[..., 3]
    # Of 3 x 3 pixels, a corner has 4 in the mask, an edge 6.
    assert (alpha[1, 1], alpha[1, 5], alpha[5, 5]) == (113, 170, 255)
    assert ((alpha > 0) == np.pad(np.ones((10, 20), bool), 1)).all()
    round_alpha = cutout(photo, rle.encode_mask(disc()), feather=True)[..., 3]
    np.testing.assert_array_equal(round_alpha > 0, disc()[20:41, 8:29] == 1)
    thin = np.zeros((60, 40), np.uint8)
    thin[7, 7] = 1
    assert cutout(photo, rle.encode_mask(thin), feather=True)[..., 3].tolist() == [[28]]


def test_cutout_of_another_size_is_refused(photo):
    from fashion_mmdet.visualization import cutout, write_cutouts

    code = rle.encode_mask(disc().T.copy())
    with pytest.raises(AnnotationError, match=r"\(40, 60, 3\) expected, got \(60, 40, 3\)"):
        cutout(photo, code)
    with pytest.raises(AnnotationError, match=r"expected, got \(60, 40, 3\)"):
        write_cutouts("nowhere", "a", photo, found([disc().T.copy()]))


def test_cutouts_are_named_by_number_class_and_score(photo, tmp_path):
    from fashion_mmdet.visualization import cutout, write_cutouts

    nothing = np.zeros((60, 40), np.uint8)
    prediction = found(
        [disc(), nothing, disc()], ("top, t-shirt, sweatshirt", "shoe"), [0, 1, 1],
        [0.996, 0.5, 0.07],
    )  # fmt: skip
    paths = write_cutouts(tmp_path, "photos/7", photo, prediction)
    assert [str(p.relative_to(tmp_path)) for p in paths] == [
        "photos/7/01_top-t-shirt-sweatshirt_100.png", "photos/7/03_shoe_7.png",
    ]  # fmt: skip
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(paths)
    with Image.open(paths[1]) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), cutout(photo, prediction.rles[2]))


def test_cutouts_never_leave_their_folder(photo, tmp_path):
    from fashion_mmdet.visualization import write_cutouts

    folder = tmp_path / "cut"
    for stem in ("../a", "a/../../b", "/etc/a", "", "a\0b"):
        with pytest.raises(FashionError, match="inside"):
            write_cutouts(folder, stem, photo, found([disc()]))
    names = ("../../x", "/abs", "..", "a/b\\c", "\0", "\u0e01 " * 90, "CON: <x>|?*", "_-_")
    paths = write_cutouts(folder, "a", photo, found([disc()] * 8, names, list(range(8))))
    assert len(set(paths)) == 8 and all(p.parent == folder / "a" for p in paths)
    assert [p.name for p in paths[:4]] == [
        "01_x_87.png", "02_abs_87.png", "03_class_87.png", "04_a-b-c_87.png",
    ]  # fmt: skip
    assert all(len(p.name.encode()) < 200 for p in paths)
    assert {p for p in tmp_path.rglob("*.png")} == set(paths)


def test_cutouts_interrupted_leave_no_half_of_a_file(photo, tmp_path, monkeypatch):
    from fashion_mmdet.visualization import write_cutouts

    def broken(self, stream, format):
        stream.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OSError, match="no space"):
        write_cutouts(tmp_path, "a", photo, found([disc()]))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
