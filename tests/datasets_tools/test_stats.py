"""``fashion data stats``: what is counted belongs to the name of its own id."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools import stats
from datasets_tools.stats import plots, style, summary, tables
from fashion_mmdet.commands import main
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import FashionError

NAMES = {3: "hat", 11: "umbrella", 7: "shoe", 20: "dress"}  # ids neither sorted nor dense


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def coco_of(*masks: tuple[int, int, int], n_images: int = 3) -> dict:
    """Masks as (image id, category id, side in px), each in its own column of the photo."""
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 100, "width": 200}
            for i in range(1, n_images + 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in NAMES.items()],
        "annotations": [
            {
                "id": number, "image_id": image_id, "category_id": category_id,
                "segmentation": square(10, 10, side), "bbox": [0, 0, 1, 1], "area": 1.0,
            }
            for number, (image_id, category_id, side) in enumerate(masks, start=1)
        ],
    }  # fmt: skip


#: "umbrella" (id 11), the second of the list, has none
COCO = coco_of((1, 3, 10), (1, 7, 20), (1, 7, 40), (2, 7, 20), (2, 20, 80))


@pytest.fixture
def measured() -> tables.Measured:
    return tables.measure(COCO, "all.json")


def run(*words: str | Path) -> int:
    return main(["data", "stats", *map(str, words)])


def write(path: Path, coco: dict) -> Path:
    path.write_text(json.dumps(coco))
    return path


def test_class_table_with_a_class_absent_in_the_middle_moves_no_other(measured):
    table = tables.class_table(measured, np.ones(5))
    assert list(table.index) == [3, 11, 7, 20]
    assert dict(zip(table.name, table.instances, strict=True)) == {
        "hat": 1, "umbrella": 0, "shoe": 3, "dress": 1,
    }  # fmt: skip
    assert table.images.to_dict() == {3: 1, 11: 0, 7: 2, 20: 1}
    assert table.photo_share[20] == 80 * 80 / 20_000 and np.isnan(table.photo_share[11])
    assert [*table.loc[7, ["small", "medium", "large"]]] == [2, 1, 0]


@pytest.mark.parametrize("draw", [plots.classes, plots.long_tail, plots.anchors_by_class])
def test_plot_with_a_class_absent_in_the_middle_names_every_bar_by_its_id(measured, draw):
    table = tables.class_table(measured, [1, 1, 0.4, 0.4, 1])
    with style.use(style.LIGHT):
        axes = draw(table, style.LIGHT).axes[0]
    is_lying = draw is not plots.long_tail
    labels = axes.get_yticklabels() if is_lying else axes.get_xticklabels()
    bars = [bar.get_width() if is_lying else bar.get_height() for bar in axes.patches]
    column = table.poor_anchors if draw is plots.anchors_by_class else table.instances
    wanted = {table.name[i]: column[i] for i in (3, 7, 20)}
    assert dict(zip([label.get_text() for label in labels], bars, strict=True)) == wanted
    colours = {name: ontology.PALETTE[ontology.category(name).id] for name in wanted}
    for label, bar in zip(labels, axes.patches, strict=True):
        rgb = tuple(round(255 * value) for value in bar.get_facecolor()[:3])
        assert rgb == colours[label.get_text()]


def test_cooccurrence_with_an_absent_class_counts_images_by_id(measured):
    pairs = tables.cooccurrence(measured)
    assert pairs.loc[[3, 7, 20], [3, 7, 20]].to_numpy().tolist() == [
        [1, 1, 0], [1, 2, 1], [0, 1, 1],
    ]  # fmt: skip
    assert not pairs[11].any() and list(pairs.index) == list(pairs.columns) == [3, 11, 7, 20]


def test_cooccurrence_plot_with_an_absent_class_names_rows_by_id(measured):
    with style.use(style.DARK):
        pairs = tables.cooccurrence(measured)
        axes = plots.cooccurrence(pairs, measured.categories.name, style.DARK).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    shares = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert names == ["shoe", "hat", "dress"]
    assert shares[0, 1] == 0.5 and shares[1, 0] == 1 and shares[1, 2] == 0


def test_measure_stated_area_and_box_are_not_used(measured):
    code = rle.to_rle(square(10, 10, 20), 100, 200, "")
    row = measured.instances.iloc[1]
    assert (row.area_px, row.w_px, row.h_px) == (rle.area_px(code), 20, 20)


def test_measure_crowd_and_broken_masks_are_left_out_and_counted():
    coco = coco_of((1, 3, 10), (1, 3, 10), (1, 3, 10), (2, 7, 5))
    coco["annotations"][0]["iscrowd"] = 1
    coco["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]
    del coco["annotations"][2]["segmentation"]
    found = tables.measure(coco, "all.json")
    assert found.left_out == {"crowd regions": 1, "annotations without a usable mask": 2}
    assert len(found.instances) == 1


def test_measure_without_a_mask_is_refused():
    with pytest.raises(FashionError, match="all.json: at least one instance with a mask"):
        tables.measure(coco_of(), "all.json")


def test_per_image_counts_images_without_instances(measured):
    assert tables.per_image(measured).to_dict() == {1: 3, 2: 2, 3: 0}


def test_long_tail_of_known_counts_names_the_classes_of_80_percent():
    masks = [(1, 7, 5)] * 5 + [(1, 3, 5)] * 3 + [(1, 20, 5)] * 2
    measured = tables.measure(coco_of(*masks), "all.json")
    tail, n_head = tables.long_tail(tables.class_table(measured, np.ones(10)))
    assert list(tail.name) == ["shoe", "hat", "dress"] and n_head == 2


def test_best_anchor_iou_of_known_boxes_is_as_computed_by_hand():
    coco = coco_of((1, 3, 32), (1, 3, 16))
    coco["images"][0].update(height=800, width=1333)  # kept as it is: scale 1
    # One box centred on the grid of step 4: the anchor of 32 px fits. One of 16 px, at the
    # corner of the photo: its best anchor has four times its area.
    coco["annotations"][0]["segmentation"] = square(48, 48, 32)
    coco["annotations"][1]["segmentation"] = square(64, 64, 16)
    fit = tables.best_anchor_iou(tables.measure(coco, "a"), (32, 64), (1333, 800))
    assert fit.scale.tolist() == [1, 1]
    np.testing.assert_allclose(fit.iou, [1, 0.25])
    np.testing.assert_allclose(fit.side_px, [32, 16])


@pytest.mark.mm
def test_best_anchor_iou_of_random_boxes_agrees_with_mmdet():
    torch = pytest.importorskip("torch")
    from mmdet.models.task_modules.prior_generators import AnchorGenerator
    from mmdet.structures.bbox import bbox_overlaps

    rng = np.random.default_rng(0)
    strides, size_hw = [4, 8, 16, 32, 64], (811, 1219)
    xy0 = rng.integers(0, 700, (60, 2))
    boxes_xywh = np.concatenate([xy0, rng.integers(3, 110, (60, 2))], axis=1)
    generator = AnchorGenerator(strides=strides, ratios=[0.5, 1.0, 2.0], scales=[8])
    padded_hw = [-(-side // 32) * 32 for side in size_hw]
    maps = [(-(-padded_hw[0] // s), -(-padded_hw[1] // s)) for s in strides]
    anchors = torch.cat(generator.grid_priors(maps, device="cpu"))
    corners = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    theirs = bbox_overlaps(torch.tensor(corners).float(), anchors).max(1).values.numpy()
    coco = coco_of()
    coco["images"][0].update(height=size_hw[0], width=size_hw[1])
    for number, (x, y, w, h) in enumerate(boxes_xywh.tolist(), start=1):
        polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        coco["annotations"].append(
            {"id": number, "image_id": 1, "category_id": 3, "segmentation": polygon}
        )
    measured = tables.measure(coco, "a")
    assert measured.instances[["x_px", "y_px", "w_px", "h_px"]].to_numpy().tolist() == (
        boxes_xywh.tolist()
    )
    ours = tables.best_anchor_iou(measured, (32, 64, 128, 256, 512), (size_hw[1], size_hw[0]))
    np.testing.assert_allclose(ours.iou, theirs, atol=1e-5)


def test_split_table_of_parts_with_other_ids_is_matched_by_name(measured):
    part = coco_of((1, 7, 10), (2, 7, 10), (2, 20, 10))
    swap = {7: 20, 20: 7}
    for entry in part["annotations"]:
        entry["category_id"] = swap[entry["category_id"]]
    for entry in part["categories"]:
        entry["id"] = swap.get(entry["id"], entry["id"])
    images, instances = tables.split_table(measured, {"train": tables.measure(part, "t")})
    assert images.train.to_dict() == {3: 0, 11: 0, 7: 2, 20: 1}
    assert instances.train.sum() == 3


def test_split_table_of_a_foreign_part_is_refused(measured):
    part = coco_of((1, 7, 10))
    part["categories"].append({"id": 99, "name": "zebra"})
    with pytest.raises(FashionError, match="val: the categories .* got 'zebra'"):
        tables.split_table(measured, {"val": tables.measure(part, "v")})


def test_notes_of_splits_that_share_photos_name_them(measured):
    part = tables.measure(coco_of((1, 7, 10), n_images=2), "t")
    said = "\n".join(summary.notes(measured, {"train": part, "val": part}))
    assert "photos of val that are in train too: 2 (1.jpg, ...)" in said
    assert "photos without any instance: 1" in said


def test_stats_plot_of_a_name_with_dollars_is_written(measured, tmp_path):
    table = tables.class_table(measured, np.ones(5)).replace({"name": {"dress": r"a $\frac$"}})
    with style.use(style.DARK):
        size_px = stats._save(plots.long_tail(table, style.DARK), tmp_path / "plots" / "a.png")
    with Image.open(tmp_path / "plots" / "a.png") as picture:
        assert picture.size == tuple(round(1.5 * side) for side in size_px)


def test_stats_writes_page_plots_and_numbers_that_agree(tmp_path, monkeypatch, capsys):
    def save(drawn, path):  # what is drawn, but without the seconds of drawing it
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return 900, 400

    monkeypatch.setattr(stats, "_save", save)
    coco = json.loads(json.dumps(COCO))
    coco["categories"][3]["name"] = "<b>$dress$ & co</b>"
    path = write(tmp_path / "all.json", coco)
    parts = [write(tmp_path / "train.json", coco), write(tmp_path / "val.json", coco)]
    out = tmp_path / "out"
    assert run(path, "--split", *parts, "--out", out, "--anchors", "32", "64") == 0
    page = (out / "index.html").read_text()
    found = re.findall(r'(?:src|srcset|href)="([^"#]+)"', page)
    assert len(found) == 2 * 8 + 1 and all((out / name).is_file() for name in found)
    assert {*json.loads((out / "stats.json").read_text())["plots"], "stats.json"} == set(found)
    assert "<b>$dress" not in page and "&lt;b&gt;$dress$ &amp; co" in page
    numbers = json.loads((out / "stats.json").read_text())
    assert [(c["id"], c["name"], c["instances"]) for c in numbers["classes"]][:3] == [
        (3, "hat", 1), (11, "umbrella", 0), (7, "shoe", 3),
    ]  # fmt: skip
    assert numbers["classes"][1]["area_px"] is None
    assert numbers["anchors"]["sizes_px"] == [32, 64]
    assert {"ids": [3, 7], "names": ["hat", "shoe"], "images": 1} in numbers["cooccurrence"]
    train = {c["id"]: c["instances"] for c in numbers["splits"]["train"]["classes"]}
    assert train == {3: 1, 11: 0, 7: 3, 20: 1}
    assert "photos of val that are in train too: 3" in page
    assert capsys.readouterr().out.splitlines()[-1].endswith("5 instances, 3 of 4 classes")


def test_stats_over_an_earlier_page_needs_force_and_removes_its_plots(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(stats, "_drawings", lambda *_: iter(()))  # slow
    path, out = write(tmp_path / "all.json", COCO), tmp_path / "out"
    stale, mine = out / "plots" / "splits.png", out / "plots" / "splits.dark.png"
    stale.parent.mkdir(parents=True)
    for file in (stale, mine, out / "index.html"):
        file.write_text("old")
    (out / "stats.json").write_text('{"plots": ["plots/splits.png", "../all.json"]}')
    assert run(path, "--out", out) == 1
    assert "Use --force" in capsys.readouterr().err and stale.exists()
    assert run(path, "--out", out, "--force") == 0
    assert not stale.exists() and (out / "index.html").read_text() != "old"
    assert mine.read_text() == "old" and path.exists()


@pytest.mark.parametrize("said", [None, "7", '{"plots": 7}', "no JSON"])
def test_stats_force_removes_no_plot_that_no_earlier_run_lists(said, tmp_path, monkeypatch):
    monkeypatch.setattr(stats, "_drawings", lambda *_: iter(()))
    path, mine = write(tmp_path / "all.json", COCO), tmp_path / "out/plots/classes.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    if said is not None:
        (tmp_path / "out/stats.json").write_text(said)
    assert run(path, "--out", tmp_path / "out", "--force") == 0
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("link", [False, True])
def test_stats_folder_of_photos_is_refused_with_and_without_force(link, tmp_path, capsys):
    path, photos = write(tmp_path / "all.json", COCO), tmp_path / "photos"
    photos.mkdir()
    (photos / "1.jpg").touch()
    (photos / "stats.json").write_text('{"mine": 1}')
    out = tmp_path / "link" if link else photos
    if link:
        out.symlink_to(photos)
    for force in ([], ["--force"]):
        assert run(path, "--out", out, *force) == 1
        said = capsys.readouterr().err
        assert "found 1 (1.jpg) in it. Choose another --out" in said and "--force" not in said
    assert sorted(p.name for p in photos.iterdir()) == ["1.jpg", "stats.json"]


def test_stats_folder_of_an_earlier_run_keeps_what_else_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(stats, "_drawings", lambda *_: iter(()))
    path, out = write(tmp_path / "all.json", COCO), tmp_path / "out"
    (out / "plots").mkdir(parents=True)
    (out / "plots" / "areas.png").write_text("old")
    (out / "stats.json").write_text('{"plots": ["plots/areas.png"]}')
    (out / "notes.txt").write_text("mine")
    assert run(path, "--out", out, "--force") == 0
    assert (out / "notes.txt").read_text() == "mine" and (out / "index.html").is_file()


@pytest.mark.parametrize("name", ["stats.json", "plots/classes.png", "plots/boxes.dark.png"])
def test_stats_file_in_the_way_needs_force(name, tmp_path, capsys):
    path, mine = write(tmp_path / "all.json", COCO), tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert run(path, "--out", tmp_path / "out") == 1
    assert "Use --force" in capsys.readouterr().err
    assert mine.read_text() == "mine" and len(list(mine.parent.iterdir())) == 1


def test_stats_name_that_is_no_utf8_is_shown_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(stats, "_drawings", lambda *_: iter(()))
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    try:
        write(path, COCO)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert run(path, "--split", path, "--out", tmp_path / "out") == 0
    assert r"caf\udce9.json" in (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert list(json.loads((tmp_path / "out/stats.json").read_text())["splits"]) == [r"caf\udce9"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.json", "--out", "o", "--force"], "found no file"),
        (["a/x.json", "--split", "a/x.json", "b/x.json", "--out", "o", "--force"], "x.json twice"),
        (["o/stats.json", "--out", "o", "--force"], "another file than the input"),
    ],
)
def test_stats_fault_is_one_line_and_nothing_is_written(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.json", "b/x.json", "o/stats.json"):
        Path(name).parent.mkdir()
        write(Path(name), COCO)
    assert run(*words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert [p.name for p in Path("o").iterdir()] == ["stats.json"]
