"""Photos of a report: what is drawn where, and photos that cannot be read."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from datasets_tools.browse.lettering import lettering
from fashion_mmdet.core.evidence import Evidence
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.core.shapes import to_shapes
from fashion_mmdet.reports.drawing import Photos, class_colours, crop, panel, side_by_side

CLASSES = ("dress", "shoe", "made up")
HEIGHT_PX, WIDTH_PX = 120, 80
GREY = 90


def shape(label: int, box_xywh, score: float = 1.0) -> dict:
    x, y, width, height = box_xywh
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), dtype=bool)
    mask[y : y + height, x : x + width] = True
    return {"image_id": 7, "label": label, "category_id": label, "bbox": list(box_xywh),
            "area": int(mask.sum()), "score": score, "iscrowd": 0,
            "segmentation": encode_mask(mask)}  # fmt: skip


@pytest.fixture
def evidence(tmp_path) -> Evidence:
    """One photo, 7, with a dress and a shoe; the dress was found, lower by ten pixels."""
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX), (GREY,) * 3).save(tmp_path / "7.png")
    truth = [shape(0, (20, 20, 40, 60)), shape(1, (10, 95, 20, 15))]
    found = [shape(0, (20, 30, 40, 60), 0.875)]
    position = {7: 0, 8: 1}
    return Evidence(
        classes=CLASSES, annotations="test.json", sha256="0" * 64, photos=str(tmp_path),
        file_names={7: "7.png", 8: "8.png"}, image_ids=np.array([7, 8]),
        size_hw=np.array([[HEIGHT_PX, WIDTH_PX]] * 2), predicted=np.ones(2, bool),
        truth=to_shapes(truth, position, "category_id"), found=to_shapes(found, position, "label"),
        matches={"segm": match([7, 8], truth, found, "segm")},
    )  # fmt: skip


def opened(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour, by: int) -> np.ndarray:
    return (abs(pixels.astype(int) - np.array(colour)) <= by).all(axis=-1)


def test_photos_read_gives_the_photo_and_counts_what_is_missing_once(evidence):
    photos = Photos(evidence, None)
    photo = photos.read(0)
    assert photo.shape == (HEIGHT_PX, WIDTH_PX, 3) and photo.dtype == np.uint8
    assert (photo == GREY).all() and not photos.missing
    assert photos.read(1) is None and photos.read(1) is None
    assert photos.missing == {"no such file": 1}


def test_photos_read_turns_upright_as_training_does(evidence, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    lying = Image.new("RGB", (HEIGHT_PX, WIDTH_PX), (255, 0, 0))
    lying.paste((0, 0, 255), (0, 0, HEIGHT_PX // 2, WIDTH_PX))
    lying.save(tmp_path / "8.png", exif=exif)
    photo = Photos(evidence, tmp_path).read(1)
    assert photo.shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert (photo[5, 40] == (0, 0, 255)).all() and (photo[-5, 40] == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../secret.png", "a file name that leaves the folder of the photos"),
        ("/etc/hostname", "a file name that leaves the folder of the photos"),
        ("text.png", "not a readable photo"),
        ("small.png", "another size than the annotations say"),
        (None, "no file name in the evidence"),
    ],
)
def test_photos_read_what_is_no_such_photo_is_refused_with_the_reason(
    evidence, tmp_path, name, reason
):
    inner = tmp_path / "photos"
    inner.mkdir()
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "secret.png")  # would fit
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX - 1)).save(inner / "small.png")
    (inner / "text.png").write_text("no photo")
    names = {8: "8.png"} | ({7: name} if name else {})
    photos = Photos(replace(evidence, file_names=names), inner)
    assert photos.read(0) is None and photos.missing == {reason: 1}


def test_photos_without_a_folder_says_so(evidence):
    photos = Photos(replace(evidence, photos=None), None)
    assert photos.read(0) is None
    assert photos.missing == {"the folder of the photos is not known": 1}


def test_panel_fills_and_outlines_in_the_colour_of_the_class(evidence):
    photo = Photos(evidence, None).read(0)
    picture = panel(photo, evidence, 0, evidence.truth, [0], 240)
    assert picture.shape == (240, 160, 3) and picture.dtype == np.uint8
    colour = class_colours(CLASSES)[0]
    filled = 0.7 * GREY + 0.3 * np.array(colour)
    assert near(picture[60, 70], filled, 3)  # inside, away from the name
    assert near(picture[100, 38:43], colour, 12).any()  # the left edge is at 40
    assert (picture[10, 10] == GREY).all()  # outside
    assert (panel(photo, evidence, 0, evidence.truth, [], 240) == GREY).all()
    assert (photo == GREY).all()  # untouched


def test_panel_names_detections_with_scores_and_instances_without(evidence, monkeypatch):
    written = []

    def noting(text, length, size_px):
        written.append(text)
        return lettering(text, length, size_px)

    monkeypatch.setattr("datasets_tools.browse.drawing.lettering", noting)
    panel(None, evidence, 0, evidence.found, [0], 400)
    panel(None, evidence, 0, evidence.truth, [0, 1], 400)
    assert written == ["dress 0.88", "dress", "shoe"]


def test_panel_without_masks_draws_boxes(evidence):
    bare = replace(evidence.truth, counts=None)
    colour = class_colours(CLASSES)[0]
    picture = panel(None, evidence, 0, bare, [0], HEIGHT_PX)
    assert near(picture[20:40, 20], colour, 2).all()
    assert (picture[25, 25] == 128).all()  # not filled; plain grey without a photo


@pytest.mark.parametrize("box", [(1e308, -1e308, 1e308, 1e308), (np.nan, -np.inf, np.inf, 5)])
def test_panel_and_crop_of_an_odd_box_draw_what_is_in_the_photo(evidence, box):
    odd = np.array([box] * 2)
    bare = replace(evidence, truth=replace(evidence.truth, counts=None, box_xywh=odd))
    assert panel(None, bare, 0, bare.truth, [0, 1], HEIGHT_PX).shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert max(opened(crop(None, bare, 0, [0, 1], [], (5, 5, 9, 9), 200)).shape) == 200


def test_panel_damaged_mask_draws_its_box(evidence):
    damaged = replace(evidence.truth, counts=("0", evidence.truth.counts[1]))
    picture = panel(None, evidence, 0, damaged, [0], HEIGHT_PX)
    assert near(picture[20:40, 20], class_colours(CLASSES)[0], 2).all()


def test_side_by_side_puts_a_strip_above_each_picture():
    panels = [np.full((60, 90, 3), 250, np.uint8), np.full((100, 50, 3), 130, np.uint8)]
    picture = opened(side_by_side(panels, ["truth", "a very long name of a run " * 4]))
    strip = picture.shape[0] - 100
    assert picture.shape[1] == 90 + 50 + 3 and 20 <= strip <= 30
    assert near(picture[strip + 30, 40], (250,) * 3, 6) and near(picture[-5, 120], (130,) * 3, 6)
    assert picture[:strip].max() > 180 and np.median(picture[:strip]) < 40  # light on dark


def test_crop_is_cut_round_the_box_with_both_outlines(evidence):
    photo = Photos(evidence, None).read(0)
    picture = opened(crop(photo, evidence, 0, [0], [0], (20, 20, 40, 60), 320))
    assert max(picture.shape[:2]) == 320 and picture.shape[2] == 3
    white = near(picture, (255, 255, 255), 40)
    found = near(picture, class_colours(CLASSES)[0], 60)
    # The cut is the photo's width and rows 5 to 95, 320/90 times as large.
    scale = 320 / 90
    upper, lower = round((20 - 5) * scale), round((30 - 5) * scale)
    left, right = round(25 * scale), round(55 * scale)
    assert 0.3 < white[upper - 4 : upper + 5, left:right].any(axis=0).mean() < 0.8  # dashed
    assert found[lower - 4 : lower + 5, left:right].any(axis=0).mean() > 0.95
    assert near(picture[lower + 40, left + 20], (GREY,) * 3, 8)  # nothing is filled


@pytest.mark.parametrize(
    "around",
    [
        (0, 0, 1, 1),
        (79, 119, 1, 1),
        (-50, -50, 400, 400),
        (5, 5, 0, 0),
        (1e308, -1e308, 1e308, 1e308),
        (np.nan, 0, np.inf, 5),
    ],
)
def test_crop_at_the_edge_or_beyond_stays_in_the_photo(evidence, around):
    picture = opened(crop(None, evidence, 0, [0, 1], [], around, 200))
    assert max(picture.shape[:2]) == 200 and min(picture.shape[:2]) > 120


def test_crop_outline_does_not_run_along_the_cut(evidence):
    # A cut inside the dress: its outline is not in the picture.
    big = replace(evidence, truth=to_shapes([shape(0, (2, 2, 76, 116))], {7: 0}, "category_id"))
    picture = opened(crop(None, big, 0, [0], [], (35, 55, 10, 10), 200))
    assert abs(picture - 128).max() < 8


def test_class_colours_are_constant_by_name():
    assert class_colours(["shoe", "dress"]) == class_colours(["dress", "shoe"])[::-1]
