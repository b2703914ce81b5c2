"""Clothing Co-Parsing's converter, on label maps a few pixels wide and on real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from datasets_tools.category_map import CategoryTable
from datasets_tools.sources import ccp
from fashion_mmdet.commands import main as fashion
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import FashionError, OntologyError

TABLE = CategoryTable.read(ccp.MAP_PATH)
NAMES = [name for _, name in sorted(TABLE.name_of_id().items())]
SIZE_HW = (60, 80)


def label_map(**boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    """Return a label map with boxes (y0, y1, x0, x1) of the named labels (``_`` for ``-``)."""
    map_HW = np.zeros(SIZE_HW, dtype=np.uint8)
    for name, spans in boxes.items():
        for y0, y1, x0, x1 in spans:
            map_HW[y0:y1, x0:x1] = NAMES.index(name.replace("_", "-"))
    return map_HW


def save_photo(root: Path, stem: str, size_hw: tuple[int, int] = SIZE_HW, **options) -> None:
    Image.new("RGB", size_hw[::-1]).save(root / "photos" / f"{stem}.jpg", **options)


def save_map(root: Path, stem: str, map_HW: np.ndarray) -> None:
    savemat(root / "annotations" / "pixel-level" / f"{stem}.mat", {"groundtruth": map_HW})


def save_label_list(root: Path, names: list[str]) -> None:
    cells = np.empty((1, len(names)), dtype=object)
    cells[0] = names
    savemat(root / "label_list.mat", {"label_list": cells})


DRESS_AND_BAG = label_map(dress=[(5, 40, 30, 50)], bag=[(20, 30, 60, 72)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset of one photo, 0002: a dress, a bag, hair, a pair of shoes with a crumb."""
    folder = tmp_path / "ccp"
    (folder / "photos").mkdir(parents=True)
    (folder / "annotations" / "pixel-level").mkdir(parents=True)
    save_label_list(folder, NAMES)
    save_photo(folder, "0002")
    map_HW = label_map(
        dress=[(5, 40, 30, 50)],
        bag=[(20, 30, 60, 72)],
        hair=[(0, 5, 35, 45)],
        shoes=[(45, 57, 20, 32), (45, 55, 46, 58), (50, 52, 62, 64)],
    )
    save_map(folder, "0002", map_HW)
    return folder


def converted(root: Path, **options) -> tuple[dict, ccp.ConversionReport]:
    out = root.parent / "data" / "annotations" / "all.json"
    report = ccp.convert(root, out, photos="none", force=True, **options)
    return json.loads(out.read_text(encoding="utf-8")), report


def names_of(coco: dict) -> list[str]:
    names = {category["id"]: category["name"] for category in coco["categories"]}
    return [names[annotation["category_id"]] for annotation in coco["annotations"]]


# --- the table


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_convert_photo_of_no_known_orientation_is_upright_as_for_training(root: Path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save_photo(root, "0002", exif=exif)
    assert len(converted(root)[0]["images"]) == 1


def test_map_holds_59_names_once_with_known_categories_and_reasons():
    assert sorted(TABLE.name_of_id()) == list(range(59)) and len(TABLE.rows) == 59
    assert sum(row.category is None for row in TABLE.rows.values()) == 12
    for line in ccp.MAP_PATH.read_text(encoding="utf-8").splitlines()[1:]:
        assert ",,," not in line or line[-1] != ",", f"no reason given: {line}"


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("pumps", "high-heels"),
        ("sneakers", "shoe"),
        ("boots", "shoe"),
        ("suit", "jacket"),
        ("romper", "jumpsuit"),
        ("jumper", "top, t-shirt, sweatshirt"),
        ("leggings", "pants"),
        ("bracelet", None),
        ("skin", None),
    ],
)
def test_map_doubtful_names_are_decided(name: str, category: str | None):
    assert TABLE.rows[name].category == category


def test_map_pairs_are_footwear_gloves_and_socks():
    pairs = {row.category for row in TABLE.rows.values() if row.is_pair}
    assert pairs == {"shoe", "high-heels", "sandals", "glove", "sock"}


# --- convert


def test_convert_one_photo_gives_boxes_areas_and_stable_ids(root: Path):
    coco, report = converted(root)
    assert names_of(coco) == ["bag, wallet", "dress", "shoe", "shoe"]
    assert [a["id"] for a in coco["annotations"]] == [201, 202, 203, 204]
    assert [a["ccp_label"] for a in coco["annotations"]] == ["bag", "dress", "shoes", "shoes"]
    assert [a["area"] for a in coco["annotations"]] == [120, 700, 144, 124]
    assert [a["bbox"] for a in coco["annotations"]] == [
        [60, 20, 12, 10], [30, 5, 20, 35], [20, 45, 12, 12], [46, 45, 18, 10],
    ]
    assert coco["images"] == [
        {"id": 2, "file_name": "0002.jpg", "height": 60, "width": 80, "unmapped": {"hair": 50}}
    ]
    assert coco["categories"] == ontology.coco_categories()
    assert (report.n_images, report.n_masks, report.masks_per_class["shoe"]) == (1, 4, 2)
    assert "'hair' has no category: 50 px in 1 photo" in report.notes
    assert any(note.startswith("worn in pairs: 1 parted into left and") for note in report.notes)


def test_convert_two_names_of_one_category_stay_two_instances(root: Path):
    save_map(root, "0002", label_map(bag=[(0, 10, 0, 10)], purse=[(0, 10, 10, 20)]))
    assert names_of(converted(root)[0]) == ["bag, wallet"] * 2


def test_convert_speck_is_counted_and_not_written(root: Path):
    save_map(root, "0002", label_map(dress=[(0, 9, 0, 7)], bag=[(20, 28, 0, 8)]))
    coco, report = converted(root)
    assert names_of(coco) == ["bag, wallet"]
    assert "1 instance under 64 px, not written" in report.notes


def test_convert_twice_gives_the_same_bytes(root: Path):
    save_photo(root, "0010")
    save_map(root, "0010", DRESS_AND_BAG)
    outs = [root.parent / f"{name}.json" for name in "ab"]
    for out in outs:
        ccp.convert(root, out, photos="none")
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_convert_existing_file_needs_force(root: Path):
    out = root.parent / "all.json"
    out.write_text("old")
    with pytest.raises(FashionError, match="--force"):
        ccp.convert(root, out, photos="none")
    assert out.read_text() == "old"


def test_convert_that_fails_keeps_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch):
    out = root.parent / "data" / "all.json"
    out.parent.mkdir()
    out.write_text("old")
    monkeypatch.setattr(ccp.rle, "measure", lambda code: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ccp.convert(root, out, photos="none", force=True)
    assert out.read_text() == "old" and list(out.parent.iterdir()) == [out]


def test_convert_unknown_name_is_refused_with_the_nearest(root: Path):
    save_label_list(root, [name.replace("sandals", "sandal") for name in NAMES])
    with pytest.raises(OntologyError, match=r"'sandal'\. Did you mean 'sandals'"):
        converted(root)


def test_convert_name_given_twice_is_refused(root: Path):
    save_label_list(root, ["wallet" if name == "bag" else name for name in NAMES])
    with pytest.raises(OntologyError, match="'wallet' 2 times"):
        converted(root)


def test_convert_without_a_single_good_photo_writes_nothing(root: Path):
    save_map(root, "0002", label_map())
    with pytest.raises(FashionError, match="none that can be used"):
        ccp.convert(root, root.parent / "x" / "all.json")
    assert not any((root.parent / "x").iterdir())


def test_convert_follows_the_names_and_not_their_order(root: Path):
    expected = converted(root)[0]["annotations"]
    map_HW = loadmat(root / "annotations/pixel-level/0002.mat")["groundtruth"]
    # The list turned round behind 'null', and the label map with it: the same clothes.
    save_label_list(root, [NAMES[0], *NAMES[:0:-1]])
    save_map(root, "0002", np.where(map_HW == 0, 0, len(NAMES) - map_HW).astype(np.uint8))
    found = converted(root)[0]["annotations"]
    keys = ("category_id", "segmentation", "area", "bbox", "ccp_label")
    assert sorted(repr([a[key] for key in keys]) for a in found) == sorted(
        repr([a[key] for key in keys]) for a in expected
    )


def fault_size(root: Path) -> None:
    save_photo(root, "0003", size_hw=SIZE_HW[::-1])
    save_map(root, "0003", DRESS_AND_BAG)


def fault_orientation(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    save_photo(root, "0003", exif=exif)
    save_map(root, "0003", DRESS_AND_BAG)


def fault_photo(root: Path) -> None:
    (root / "photos" / "0003.jpg").write_bytes(b"no photo")
    save_map(root, "0003", DRESS_AND_BAG)


def fault_unlabelled(root: Path) -> None:
    save_photo(root, "0003")
    save_map(root, "0003", label_map())


def fault_unreadable(root: Path) -> None:
    save_photo(root, "0003")
    whole = (root / "annotations/pixel-level/0002.mat").read_bytes()
    (root / "annotations/pixel-level/0003.mat").write_bytes(whole[: len(whole) // 2])


def fault_label_map(root: Path) -> None:
    save_photo(root, "0003")
    save_map(root, "0003", np.full(SIZE_HW, 59, np.uint8))


@pytest.mark.parametrize(
    "fault",
    [
        fault_size,
        fault_orientation,
        fault_photo,
        fault_unlabelled,
        fault_unreadable,
        fault_label_map,
    ],
)
def test_convert_bad_photo_is_left_out_and_counted(root: Path, fault):
    fault(root)
    coco, report = converted(root)
    assert [image["id"] for image in coco["images"]] == [2]
    kind = fault.__name__.removeprefix("fault_").replace("_", " ")
    assert dict(report.bad.counts) == {kind: 1}
    assert "0003" in report.bad.first[kind][0]


def test_convert_more_bad_photos_than_allowed_writes_nothing(root: Path):
    fault_size(root)
    with pytest.raises(FashionError, match="at most 0 bad rows"):
        ccp.convert(root, root.parent / "x" / "all.json", max_bad_rows=0)
    assert not any((root.parent / "x").iterdir())


def test_convert_lonely_photos_and_maps_are_noted(root: Path):
    save_photo(root, "0005")
    save_map(root, "0006", DRESS_AND_BAG)
    notes = converted(root)[1].notes
    assert "label maps without a photo NNNN.jpg: 1 (0006)" in notes
    assert "photos without a label map: 1 (0005)" in notes


@pytest.mark.parametrize("stem", ["-0007", "0007 ", "$(id)", "0007\n", "٠٠٠٧", "12", "1e10"])
def test_convert_hostile_names_are_no_photos(root: Path, stem: str):
    save_photo(root, stem)
    save_map(root, stem, DRESS_AND_BAG)
    coco, _ = converted(root)
    assert [image["file_name"] for image in coco["images"]] == ["0002.jpg"]


def test_convert_one_number_written_two_ways_is_refused(root: Path):
    save_photo(root, "00002")
    save_map(root, "00002", DRESS_AND_BAG)
    with pytest.raises(FashionError, match="2"):
        converted(root)


@pytest.mark.parametrize("missing", ["photos", "annotations/pixel-level", "label_list.mat"])
def test_convert_incomplete_dataset_says_what_is_missing(root: Path, missing: str):
    path = root / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    with pytest.raises(FashionError, match=rf"found one without {missing}\. Give"):
        converted(root)


@pytest.mark.parametrize(("name", "found"), [("gone", "no folder"), ("x", "one without photos")])
def test_main_wrong_folder_says_what_it_should_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, name: str, found: str
):
    monkeypatch.chdir(tmp_path)
    Path("x").mkdir()
    assert fashion(["data", "convert", "ccp", name, "--out", "out/all.json"]) == 1
    said = capsys.readouterr().err
    holds = "with photos, annotations/pixel-level and label_list.mat"
    assert f"{name}: a folder {holds} expected, found {found}" in said
    assert "MATLAB" not in said and (str(tmp_path) in said) == (name == "gone")
    assert not Path("out").exists()


# --- photos


def test_convert_links_photos_where_configs_look(root: Path, tmp_path: Path):
    out = tmp_path / "data" / "ccp" / "annotations" / "all.json"
    for _ in range(2):  # the right link may be there already
        ccp.convert(root, out, force=True)
    link = tmp_path / "data" / "ccp" / "photos"
    assert link.is_symlink() and link.resolve() == (root / "photos").resolve()


def test_convert_into_the_dataset_itself_leaves_its_photos(root: Path):
    ccp.convert(root, root / "annotations" / "all.json")
    assert (root / "photos").is_dir() and not (root / "photos").is_symlink()


def test_convert_other_photos_in_the_way_are_kept(root: Path, tmp_path: Path):
    other = tmp_path / "data" / "photos"
    other.mkdir(parents=True)
    (other / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(FashionError, match="got something else.*--photos none"):
        ccp.convert(root, tmp_path / "data" / "annotations" / "all.json")
    assert (other / "mine.jpg").read_bytes() == b"mine"
    assert not (tmp_path / "data" / "annotations" / "all.json").exists()


def test_convert_where_links_are_refused_says_what_to_do(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_args, **_options):
        raise OSError("no privilege")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(FashionError, match="no privilege.*Copy the folder"):
        ccp.convert(root, tmp_path / "data" / "all.json")


# --- command line


def test_main_prints_a_summary_and_returns_zero(root: Path, tmp_path: Path, capsys):
    out = tmp_path / "all.json"
    words = ["data", "convert", "ccp", str(root), "--out", str(out), "--photos", "none"]
    assert fashion(words) == 0
    assert "1 image, 4 masks, 3 of 49 classes" in capsys.readouterr().out.splitlines()[-1]
    assert fashion(words) == 1
    assert "--force" in capsys.readouterr().err


# --- real data


@pytest.mark.parametrize("stem", ["0003", "0144", "0387", "0685", "0940"])
def test_convert_real_masks_add_up_to_the_label_map(shared_dir: Path, tmp_path: Path, stem: str):
    real = shared_dir / "data" / "ccp"
    photo = real / "photos" / f"{stem}.jpg"
    map_path = real / "annotations" / "pixel-level" / f"{stem}.mat"
    if not (photo.is_file() and map_path.is_file()):
        pytest.skip(f"no real photo {photo}")
    (tmp_path / "photos").mkdir()
    (tmp_path / "annotations" / "pixel-level").mkdir(parents=True)
    shutil.copy(real / "label_list.mat", tmp_path)
    shutil.copy(photo, tmp_path / "photos")
    shutil.copy(map_path, tmp_path / "annotations" / "pixel-level")
    ccp.convert(tmp_path, tmp_path / "annotations" / "all.json")
    coco = json.loads((tmp_path / "annotations" / "all.json").read_text())
    map_HW = loadmat(map_path)["groundtruth"]
    names = [str(cell[0]) for cell in loadmat(real / "label_list.mat")["label_list"].ravel()]
    mapped = {name for name, row in TABLE.rows.items() if row.category}
    found: dict[str, np.ndarray] = {}
    for annotation in coco["annotations"]:
        mask_HW = rle.decode(annotation["segmentation"]).astype(int)
        assert annotation["area"] == mask_HW.sum()
        assert annotation["area"] >= ccp.MIN_INSTANCE_PX
        label = annotation["ccp_label"]
        found[label] = found.get(label, np.zeros(map_HW.shape, int)) + mask_HW
    area_px = {name: int((map_HW == v).sum()) for v, name in enumerate(names) if v in map_HW}
    # 0003 holds specks of 'dress' (35 px) and 'jacket' (4 px).
    assert set(found) == {n for n in mapped if area_px.get(n, 0) >= ccp.MIN_INSTANCE_PX}
    for name, total_HW in found.items():
        # Equal to the label map, so of a pair no pixel is in both halves or in none.
        np.testing.assert_array_equal(total_HW, map_HW == names.index(name))
    unmapped = {n: px for n, px in area_px.items() if n not in mapped and n != "null"}
    assert coco["images"][0]["unmapped"] == unmapped
