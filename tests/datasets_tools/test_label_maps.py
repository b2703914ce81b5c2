"""Label maps of LIP, ATR and CIHP, on PNGs a few pixels wide."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_tools.category_map import MAPS, CategoryTable
from datasets_tools.pairs import MIN_INSTANCE_PX
from datasets_tools.report import BadRow
from datasets_tools.sources.label_maps import KINDS, read_label_map
from fashion_mmdet.commands import main
from fashion_mmdet.core import rle
from fashion_mmdet.core.ontology import CLASSES

TABLES = {kind: CategoryTable.read(MAPS / f"{kind}.csv") for kind in KINDS}
SIZE_HW = (40, 60)
Boxes = dict[int, list[tuple[int, int, int, int]]]


def label_map(boxes: Boxes) -> np.ndarray:
    """Return a map with boxes (y0, y1, x0, x1) of each value."""
    map_HW = np.zeros(SIZE_HW, np.uint8)
    for value, spans in boxes.items():
        for y0, y1, x0, x1 in spans:
            map_HW[y0:y1, x0:x1] = value
    return map_HW


def save(root: Path, name: str, boxes: Boxes, humans: Boxes | None = None) -> None:
    for folder in ("maps", "humans", "photos"):
        (root / folder).mkdir(exist_ok=True)
    Image.fromarray(label_map(boxes)).save(root / "maps" / f"{name}.png")
    Image.new("RGB", SIZE_HW[::-1]).save(root / "photos" / f"{name}.jpg")
    if humans is not None:
        Image.fromarray(label_map(humans)).save(root / "humans" / f"{name}.png")


def convert(root: Path, kind: str, *words: str) -> int:
    humans = ["--humans", str(root / "humans")] if kind == "cihp" else []
    return main([
        "data", "convert", "label-maps", kind, "--maps", str(root / "maps"), *humans,
        "--images", str(root / "photos"), "--out", str(root / "all.json"), *words,
    ])  # fmt: skip


def converted(root: Path, kind: str, *words: str) -> dict[str, Any]:
    assert convert(root, kind, *words) == 0
    return json.loads((root / "all.json").read_text())


def names_of(coco: dict[str, Any]) -> list[str]:
    return [CLASSES[annotation["category_id"]] for annotation in coco["annotations"]]


def png(bits: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG of 8 x 1 pixels; ``rows`` begins with the filter byte."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    palette = chunk(b"PLTE", bytes(3 * 2**bits)) if colour == 3 else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + head + palette + body + chunk(b"IEND", b"")


# --- the tables


@pytest.mark.parametrize(("kind", "count"), [("lip", 20), ("atr", 18), ("cihp", 20)])
def test_map_holds_each_label_once_and_parts_no_shoes(kind: str, count: int):
    table = TABLES[kind]
    assert sorted(table.name_of_id()) == list(range(count)) and len(table.rows) == count
    for side in ("Left-shoe", "Right-shoe"):
        assert table.rows[side].category == "shoe" and not table.rows[side].is_pair
    body = {name for name, row in table.rows.items() if row.category is None}
    assert body >= {"Background", "Hair", "Face", "Left-arm", "Right-leg"}
    assert all(table.rows[name].note for name in body)


def test_map_labels_are_numbered_as_published():
    lip, atr, cihp = (TABLES[kind].name_of_id() for kind in ("lip", "atr", "cihp"))
    assert (lip[18], lip[19], atr[9], atr[10]) == ("Left-shoe", "Right-shoe") * 2
    assert (lip[10], cihp[10]) == ("Jumpsuits", "Torso-skin")
    assert {k: v for k, v in lip.items() if k != 10} == {k: v for k, v in cihp.items() if k != 10}
    assert TABLES["cihp"].rows["Torso-skin"].category is None
    assert {name for name, row in TABLES["lip"].rows.items() if row.is_pair} == {"Glove", "Socks"}


# --- convert


def test_convert_left_and_right_shoe_are_two_instances_though_they_touch(tmp_path: Path, capsys):
    save(tmp_path, "77_1", {
        2: [(0, 5, 20, 40)],  # hair
        5: [(5, 20, 20, 40)],
        18: [(30, 40, 20, 30)],
        19: [(30, 40, 30, 42)],
    })  # fmt: skip
    coco = converted(tmp_path, "lip")
    assert names_of(coco) == ["top, t-shirt, sweatshirt", "shoe", "shoe"]
    assert [a["source_name"] for a in coco["annotations"]][1:] == ["Left-shoe", "Right-shoe"]
    assert [a["bbox"] for a in coco["annotations"]][1:] == [[20, 30, 10, 10], [30, 30, 12, 10]]
    assert [a["area"] for a in coco["annotations"]] == [300, 100, 120]
    assert coco["images"] == [{"id": 1, "file_name": "77_1.jpg", "height": 40, "width": 60}]
    said = capsys.readouterr().out
    assert "'Hair' has no category of ours: 1 mask left out" in said and "Background" not in said


def test_convert_masks_are_the_pixels_of_the_map(tmp_path: Path):
    rng = np.random.default_rng(0)
    map_HW = rng.choice(np.array([0, 5, 6, 7, 12], np.uint8), SIZE_HW)
    save(tmp_path, "a", {})
    Image.fromarray(map_HW).save(tmp_path / "maps" / "a.png")
    coco = converted(tmp_path, "lip")
    assert len(coco["annotations"]) == 4
    for annotation in coco["annotations"]:
        label = {v: k for k, v in TABLES["lip"].name_of_id().items()}[annotation["source_name"]]
        np.testing.assert_array_equal(rle.decode(annotation["segmentation"]), map_HW == label)


def test_convert_pair_under_one_label_is_parted(tmp_path: Path):
    save(tmp_path, "a", {3: [(0, 10, 0, 10), (0, 10, 40, 52)]})
    coco = converted(tmp_path, "lip")
    assert names_of(coco) == ["glove", "glove"]
    assert [a["area"] for a in coco["annotations"]] == [100, 120]


def test_convert_atr_has_numbers_of_its_own(tmp_path: Path):
    save(tmp_path, "a", {8: [(0, 9, 0, 9)], 9: [(20, 30, 0, 9)], 16: [(0, 9, 20, 30)]})
    assert names_of(converted(tmp_path, "atr")) == ["belt", "shoe", "bag, wallet"]


def test_convert_crumb_is_counted_and_not_written(tmp_path: Path, capsys):
    assert MIN_INSTANCE_PX == 64
    save(tmp_path, "a", {1: [(0, 9, 0, 7)], 6: [(20, 28, 0, 8)]})
    assert names_of(converted(tmp_path, "lip")) == ["dress"]
    assert "1 mask under 64 px, not written" in capsys.readouterr().out


def test_convert_people_are_kept_apart(tmp_path: Path, capsys):
    # One stripe of upper clothes across two people, and a part of it on none.
    save(tmp_path, "0000006", {5: [(10, 20, 0, 60)], 19: [(30, 40, 0, 10)]},
         {1: [(0, 40, 0, 25)], 2: [(0, 40, 25, 50)]})  # fmt: skip
    coco = converted(tmp_path, "cihp")
    found = [(a["source_name"], a["person"], a["area"]) for a in coco["annotations"]]
    assert found == [
        ("Upper-clothes", 0, 100), ("Upper-clothes", 1, 250), ("Right-shoe", 1, 100),
        ("Upper-clothes", 2, 250),
    ]  # fmt: skip
    assert "1 mask on no person of the map of people" in capsys.readouterr().out


def test_convert_people_up_to_255_and_crumbs_by_person(tmp_path: Path, capsys):
    save(tmp_path, "a", {6: [(0, 10, 0, 20)]}, {254: [(0, 10, 0, 14)], 255: [(0, 10, 14, 20)]})
    (annotation,) = converted(tmp_path, "cihp")["annotations"]
    assert (annotation["person"], annotation["area"]) == (254, 140)
    assert "1 mask under 64 px" in capsys.readouterr().out


def test_convert_cihp_without_its_map_of_people_is_wrong_usage(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["data", "convert", "label-maps", "cihp", "--maps", "x", "--out", "y"])
    assert stop.value.code == 2 and "--humans" in capsys.readouterr().err


def test_convert_show_map_prints_the_table_of_the_kind(capsys):
    with pytest.raises(SystemExit):
        main(["data", "convert", "label-maps", "atr", "--show-map"])
    said = capsys.readouterr().out
    assert "Left-shoe,shoe,9," in said and "Glove" not in said


def test_convert_table_without_ids_is_refused(tmp_path: Path, capsys):
    save(tmp_path, "a", {6: [(0, 10, 0, 20)]})
    (tmp_path / "mine.csv").write_text("name,category\nBackground,\nDress,dress\n")
    assert convert(tmp_path, "lip", "--map", str(tmp_path / "mine.csv")) == 1
    assert "got 0 ids for 2 names" in capsys.readouterr().err


def test_convert_table_of_ones_own_gives_other_label_maps_a_meaning(tmp_path: Path):
    save(tmp_path, "a", {200: [(0, 10, 0, 20)], 255: [(20, 30, 0, 20)]})
    (tmp_path / "mine.csv").write_text("name,category,id\nnone,,0\ncape,cape,200\nvoid,,255\n")
    coco = converted(tmp_path, "lip", "--map", str(tmp_path / "mine.csv"))
    assert names_of(coco) == ["cape"]


# --- faults of files


def fault_label(root: Path) -> None:
    save(root, "b", {20: [(0, 10, 0, 20)]}, {})


def fault_size(root: Path) -> None:
    Image.new("L", (59, 40)).save(root / "humans" / "b.png")


def fault_missing_map(root: Path) -> None:
    (root / "humans" / "b.png").unlink()


def fault_missing_photo(root: Path) -> None:
    (root / "photos" / "b.jpg").unlink()


def fault_size_differs_from_photo(root: Path) -> None:
    Image.new("RGB", (61, 40)).save(root / "photos" / "b.jpg")


def fault_kind_of_PNG(root: Path) -> None:
    Image.new("RGB", (60, 40)).save(root / "maps" / "b.png")


def fault_unreadable(root: Path) -> None:
    whole = (root / "maps" / "b.png").read_bytes()
    (root / "maps" / "b.png").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "fault",
    [
        fault_label,
        fault_size,
        fault_missing_map,
        fault_missing_photo,
        fault_size_differs_from_photo,
        fault_kind_of_PNG,
        fault_unreadable,
    ],
)
def test_convert_bad_photo_is_named_and_left_out(tmp_path: Path, capsys, fault):
    for name in "ab":
        save(tmp_path, name, {6: [(0, 10, 0, 20)]}, {1: [(0, 40, 0, 60)]})
    fault(tmp_path)
    assert [i["file_name"] for i in converted(tmp_path, "cihp")["images"]] == ["a.jpg"]
    said = capsys.readouterr().err
    kind = fault.__name__.removeprefix("fault_").replace("_", " ")
    assert f"skipped ({kind}): " in said and "b.png: " in said


@pytest.mark.parametrize(
    ("bits", "colour", "said"),
    [(16, 0, "16-bit grey"), (4, 0, "4-bit grey"), (1, 0, "1-bit grey"), (8, 2, "8-bit RGB"),
     (8, 4, "8-bit grey with alpha"), (16, 6, "16-bit RGB with alpha"), (8, 9, "8-bit unknown")],
)  # fmt: skip
def test_read_label_map_of_another_kind_is_refused(
    tmp_path: Path, bits: int, colour: int, said: str
):
    samples = {0: 1, 2: 3, 4: 2, 6: 4}.get(colour, 1)
    path = tmp_path / "a.png"
    path.write_bytes(png(bits, colour, bytes(1 + bits * samples)))
    with pytest.raises(BadRow, match=f"8-bit grey or palette expected, got {said}"):
        read_label_map(path)


@pytest.mark.parametrize(
    ("bits", "colour", "row", "wanted"),
    [
        (8, 0, bytes(range(8)), list(range(8))),
        (8, 3, bytes(range(8)), list(range(8))),
        (4, 3, b"\x01\x23\x45\x67", list(range(8))),
        (1, 3, b"\x55", [0, 1] * 4),
    ],
)
def test_read_label_map_gives_the_numbers_as_stored(
    tmp_path: Path, bits: int, colour: int, row: bytes, wanted: list[int]
):
    path = tmp_path / "a.png"
    path.write_bytes(png(bits, colour, b"\0" + row))
    map_HW = read_label_map(path)
    assert map_HW.dtype == np.uint8 and map_HW.tolist() == [wanted]


def test_read_label_map_cut_short_gives_all_pixels_or_none(tmp_path: Path):
    map_HW = np.random.default_rng(0).integers(0, 20, SIZE_HW).astype(np.uint8)
    Image.fromarray(map_HW).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    refused = 0
    for end in range(0, len(whole), 16):
        (tmp_path / "a.png").write_bytes(whole[:end])
        try:
            np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), map_HW)
        except BadRow:
            refused += 1
    assert refused > len(whole) // 16 - 4  # all but those that lack a checksum alone


@pytest.mark.parametrize("content", [b"", b"no PNG", b"\x89PNG\r\n\x1a\n"])
def test_read_label_map_that_is_no_png_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadRow, match="a PNG file expected"):
        read_label_map(tmp_path / "a.png")
