"""Masks as one line, and the set of links and texts that Ultralytics reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from datasets_tools import export_yolo as export_yolo_module
from datasets_tools.export_yolo import export_yolo
from datasets_tools.outlines import filled, outline
from fashion_mmdet.commands import data
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import FashionError, OntologyError

SIZE_HW = (61, 83)  # shares of such sides are no short decimals


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask of boxes (y0, y1, x0, x1)."""
    mask_HW = np.zeros(SIZE_HW, dtype=bool)
    for y0, y1, x0, x1 in boxes:
        mask_HW[y0:y1, x0:x1] = True
    return mask_HW


RING = drawn((5, 40, 10, 60)) & ~drawn((10, 20, 20, 40)) & ~drawn((25, 30, 20, 22))
TWO = drawn((5, 15, 5, 15), (5, 15, 20, 30))


# --- outline


def test_outline_one_part_is_exact_with_corners_alone():
    line = outline(drawn((5, 15, 20, 40)))
    assert sorted(map(tuple, line.tolist())) == [(20, 5), (20, 14), (39, 5), (39, 14)]


def test_outline_holes_are_said_without_loss():
    np.testing.assert_array_equal(filled(outline(RING), SIZE_HW), RING)


def test_outline_two_parts_are_joined_by_the_shortest_bridge():
    extra = (filled(outline(TWO), SIZE_HW) == 1) & ~TWO
    assert extra.sum() == 5  # from x = 14 to x = 20
    assert extra.any(axis=1).sum() == 1


@pytest.mark.parametrize("box", [(3, 4, 3, 4), (3, 4, 3, 9), (3, 9, 3, 4)])
def test_outline_dot_and_straight_line_have_three_points(box):
    line = outline(drawn(box))
    assert len(line) >= 3
    np.testing.assert_array_equal(filled(line, SIZE_HW), drawn(box))


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outline_loses_no_pixel_and_is_exact_for_one_part_without_holes(mask_HW):
    if not mask_HW.any():
        return
    filled_HW = filled(outline(mask_HW), mask_HW.shape) == 1
    assert not (mask_HW & ~filled_HW).any()
    n_parts = ndimage.label(mask_HW, structure=np.ones((3, 3)))[1]
    if n_parts == 1 and ndimage.binary_fill_holes(mask_HW).sum() == mask_HW.sum():
        np.testing.assert_array_equal(filled_HW, mask_HW)


# --- the set


def save_coco(path: Path, photos: dict[str, list[tuple[str, np.ndarray]]], **keys) -> Path:
    with CocoWriter(path, ontology.coco_categories(), {}) as writer:
        for image_id, (name, masks) in enumerate(photos.items(), start=1):
            writer.add_image(
                image_id=image_id, file_name=name, height=SIZE_HW[0], width=SIZE_HW[1]
            )
            for category, mask_HW in masks:
                code = rle.encode_mask(mask_HW)
                writer.add_annotation(
                    annotation_id=writer.n_annotations + 1, image_id=image_id,
                    category_id=ontology.category(category).id, segmentation=code,
                    bbox=rle.box_xywh(code), area=rle.area_px(code), **keys,
                )  # fmt: skip
    return path


@pytest.fixture
def photos_dir(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.png", "day/c.jpg", "a.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE_HW[::-1]).save(path)
    return tmp_path / "photos"


def as_ultralytics_reads(text: str) -> list[tuple[int, np.ndarray]]:
    """Return class and bitmap of each line: float32 shares, times the size, cut to whole pixels."""
    found = []
    for line in text.splitlines():
        number, *shares = line.split()
        points = np.array(shares, dtype=np.float32).reshape(-1, 2) * SIZE_HW[::-1]
        mask_HW = np.zeros(SIZE_HW, dtype=np.uint8)
        cv2.fillPoly(mask_HW, [np.asarray(points, dtype=np.int32)], color=1)
        found.append((int(number), mask_HW))
    return found


def test_export_yolo_lines_read_as_ultralytics_reads_give_the_masks(photos_dir, tmp_path, capsys):
    train = save_coco(
        tmp_path / "train.json",
        {"a.jpg": [("dress", RING), ("sandals", drawn((0, 61, 0, 83)))],
         "day/c.jpg": [("shoe", drawn((60, 61, 82, 83)))]},
    )  # fmt: skip
    val = save_coco(tmp_path / "val.json", {"b.png": [("shoe", TWO)]})
    out = tmp_path / "yolo"
    words = ["export", "yolo-seg", str(val), str(train), "--images", str(photos_dir)]
    assert data.main([*words, "--out", str(out)]) == 0
    files = sorted(str(p.relative_to(out)) for p in out.rglob("*") if not p.is_dir())
    assert files == [
        "data.yaml", "images/train/a.jpg", "images/train/day__c.jpg", "images/val/b.png",
        "labels/train/a.txt", "labels/train/day__c.txt", "labels/val/b.txt",
    ]  # fmt: skip
    assert (out / "images/train/day__c.jpg").samefile(photos_dir / "day/c.jpg")
    found = as_ultralytics_reads((out / "labels/train/a.txt").read_text())
    assert [number for number, _ in found] == [10, 48]
    np.testing.assert_array_equal(found[0][1], RING)
    assert found[1][1].all()
    (corner,) = as_ultralytics_reads((out / "labels/train/day__c.txt").read_text())
    assert corner[1][60, 82] == 1 and corner[1].sum() == 1
    settings_ = yaml.safe_load((out / "data.yaml").read_text())
    assert settings_ == {
        "train": "images/train", "val": "images/val", "names": dict(enumerate(ontology.CLASSES)),
    }  # fmt: skip
    said = capsys.readouterr().out
    # Three masks exact, and 200 of 205 pixels: a mean of 0.99390.
    assert "mean IoU 0.99390, least 0.976; 1 of 4 not identical" in said
    assert "images: 2 train, 1 val" in said


def test_export_yolo_one_file_is_train_and_asks_for_val(photos_dir, tmp_path):
    path = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]})
    report = export_yolo([path], photos_dir, tmp_path / "yolo")
    assert any("no val.json given" in line for line in report.lines())
    assert (tmp_path / "yolo" / "labels" / "train" / "a.txt").is_file()
    with pytest.raises(FashionError, match="a single one of another name"):
        export_yolo([path, path], photos_dir, tmp_path / "two")


def test_export_yolo_crowds_and_photos_without_mask_are_left_out_and_said(photos_dir, tmp_path):
    masks = {"a.jpg": [("dress", RING)], "b.png": []}
    path = save_coco(tmp_path / "all.json", masks, iscrowd=1)
    with pytest.raises(FashionError, match="at least one mask"):
        export_yolo([path], photos_dir, tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists() and not list(tmp_path.glob(".*"))
    coco = json.loads(path.read_text())
    coco["annotations"].append(coco["annotations"][0] | {"id": 2, "iscrowd": 0})
    path.write_text(json.dumps(coco))
    report = export_yolo([path], photos_dir, tmp_path / "yolo")
    assert report.counts["regions of many instances (iscrowd) left out"] == 1
    assert report.counts["images left out, without a mask"] == 1
    assert os.listdir(tmp_path / "yolo" / "images" / "train") == ["a.jpg"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda c: c["images"][0].update(file_name="gone.jpg"), "missing photo"),
        (lambda c: c["images"][0].update(height=83, width=61), "size swapped"),
        (lambda c: c["annotations"][0].update(segmentation=[]), "mask"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 1, 1.1, 1, 1, 1.1]]), "empty mask"),
    ],
)
def test_export_yolo_bad_photo_or_mask_is_a_bad_row(photos_dir, tmp_path, change, kind):
    path = save_coco(
        tmp_path / "all.json", {"a.jpg": [("dress", RING)], "b.png": [("shoe", TWO)]}
    )
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    report = export_yolo([path], photos_dir, tmp_path / "yolo")
    assert report.bad.counts == {kind: 1} and len(report.ious) == 1


def test_export_yolo_two_photos_of_one_label_file_are_refused(photos_dir, tmp_path):
    masks = {"a.jpg": [("dress", RING)], "a.png": [("dress", RING)]}
    path = save_coco(tmp_path / "all.json", masks)
    with pytest.raises(FashionError, match="'a.jpg' and 'a.png'.*a.txt"):
        export_yolo([path], photos_dir, tmp_path / "yolo")


def test_export_yolo_other_category_or_path_outside_is_refused(photos_dir, tmp_path):
    path = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]})
    text = path.read_text()
    path.write_text(text.replace('"dress"', '"dres"'))
    with pytest.raises(OntologyError, match="'dres' .1 annotations.*'dress'"):
        export_yolo([path], photos_dir, tmp_path / "yolo")
    path.write_text(text.replace("a.jpg", "../a.jpg"))
    with pytest.raises(FashionError, match="'../a.jpg'"):
        export_yolo([path], photos_dir, tmp_path / "yolo")


def test_export_yolo_force_replaces_an_export_and_nothing_else(photos_dir, tmp_path):
    path = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]})
    out = tmp_path / "yolo"
    export_yolo([path], photos_dir, out)
    with pytest.raises(FashionError, match="--force"):
        export_yolo([path], photos_dir, out)
    save_coco(path, {"b.png": [("dress", RING)]})
    export_yolo([path], photos_dir, out, force=True)
    assert os.listdir(out / "images" / "train") == ["b.png"]
    (out / "mine.txt").touch()
    with pytest.raises(FashionError, match="an earlier export"):
        export_yolo([path], photos_dir, out, force=True)
    with pytest.raises(FashionError, match="without the inputs"):
        export_yolo([path], photos_dir, photos_dir, force=True)
    assert (photos_dir / "a.jpg").is_file()


def test_export_yolo_copies_stay_where_the_photos_go(photos_dir, tmp_path, capsys):
    path = save_coco(tmp_path / "train.json", {"day/c.jpg": [("dress", RING)]})
    content = (photos_dir / "day/c.jpg").read_bytes()
    words = ["export", "yolo-seg", str(path), "--images", str(photos_dir), "--out"]
    assert data.main([*words, str(tmp_path / "links")]) == 0
    assert "links to" in capsys.readouterr().out
    assert data.main([*words, str(tmp_path / "copies"), "--photos", "copy"]) == 0
    assert "links" not in capsys.readouterr().out
    photos_dir.rename(tmp_path / "elsewhere")
    assert not (tmp_path / "links/images/train/day__c.jpg").exists()
    assert (tmp_path / "copies/images/train/day__c.jpg").read_bytes() == content


def test_export_yolo_copies_are_not_replaced_and_force_is_not_advised(photos_dir, tmp_path):
    path, out = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]}), tmp_path / "yolo"
    export_yolo([path], photos_dir, out, photos="copy")
    for force in (False, True):
        with pytest.raises(FashionError, match=r"a copied photo .* remove .*yolo yourself"):
            export_yolo([path], photos_dir, out, force=force)
    assert (out / "images/train/a.jpg").is_file()


def test_export_yolo_out_among_the_photos_is_refused_by_any_link(photos_dir, tmp_path):
    path = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]})
    (tmp_path / "link").symlink_to(photos_dir)
    for out in ("photos/yolo", "link/yolo", "photos/day/deep/yolo"):
        with pytest.raises(FashionError, match="a folder apart from the photos expected"):
            export_yolo([path], tmp_path / "link", tmp_path / out)
    assert sorted(p.name for p in photos_dir.iterdir()) == ["a.jpg", "a.png", "b.png", "day"]
    # A root of folders, as after a merge, holds photos in these alone.
    path = save_coco(tmp_path / "all.json", {"photos/a.jpg": [("dress", RING)]})
    export_yolo([path], tmp_path, tmp_path / "yolo")


@pytest.mark.parametrize(
    "name",
    [
        "images/mine.jpg", "images/train/mine.jpg", "images/val/mine.jpg", "images/train/sub/x",
        "labels/mine.txt", "labels/train/mine.txt", "labels/val/mine.txt", "labels/train/a.json",
    ],
)  # fmt: skip
def test_export_yolo_force_over_files_of_the_user_is_refused(photos_dir, tmp_path, name):
    path, out = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]}), tmp_path / "yolo"
    export_yolo([path], photos_dir, out)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    with pytest.raises(FashionError, match="nothing but an earlier export of train"):
        export_yolo([path], photos_dir, out, force=True)
    assert (out / name).read_text() == "mine" and (out / "labels/train/a.txt").is_file()


def test_export_yolo_force_over_a_split_that_is_not_written_is_refused(photos_dir, tmp_path):
    paths = [save_coco(tmp_path / f"{split}.json", {name: [("dress", RING)]})
             for split, name in (("train", "a.jpg"), ("val", "b.png"))]  # fmt: skip
    out = tmp_path / "yolo"
    export_yolo(paths, photos_dir, out)
    with pytest.raises(FashionError, match="images/val: nothing but an earlier export of train"):
        export_yolo(paths[:1], photos_dir, out, force=True)
    (out / "labels/train.cache").touch()  # Ultralytics' own
    export_yolo(paths, photos_dir, out, force=True)
    assert os.listdir(out / "images/val") == ["b.png"]


@pytest.mark.parametrize("there", [True, False])
def test_export_yolo_out_that_is_a_link_is_refused_before_the_work(photos_dir, tmp_path, there):
    path, out = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]}), tmp_path / "yolo"
    if there:
        (tmp_path / "far").mkdir()
    out.symlink_to(tmp_path / "far")
    with pytest.raises(FashionError, match="a folder to make expected, got a link"):
        export_yolo([path], photos_dir, out, force=True)
    assert out.is_symlink()


def test_export_yolo_file_that_comes_during_the_work_stays(photos_dir, tmp_path, monkeypatch):
    path, out = save_coco(tmp_path / "all.json", {"a.jpg": [("dress", RING)]}), tmp_path / "yolo"
    export_yolo([path], photos_dir, out)
    mine = out / "images/train/mine.jpg"
    monkeypatch.setattr(export_yolo_module, "data_yaml", lambda _: mine.write_text("mine") and "")
    with pytest.raises(FashionError, match="nothing but an earlier export"):
        export_yolo([path], photos_dir, out, force=True)
    assert mine.read_text() == "mine" and not list(tmp_path.glob(".yolo.*"))
