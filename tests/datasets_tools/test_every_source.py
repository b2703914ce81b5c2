"""One dress on one photo, in the format of every source: the same mask comes out, and passes check.

The rectangle covers x 10 to 40 and y 20 to 70 of a photo of 64 x 96 px. Sources that draw pixels
give it exactly; YOLO-seg fills the outline itself, which adds a pixel on two sides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from fashion_mmdet.commands import main
from fashion_mmdet.commands.data import TOOLS
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.ontology import CLASSES, category

WIDTH, HEIGHT = 64, 96
CORNERS = [10, 20, 40, 20, 40, 70, 10, 70]
BOX = [10.0, 20.0, 30.0, 50.0]
PAIRS = [[x, y] for x, y in zip(CORNERS[0::2], CORNERS[1::2], strict=True)]
DRESS = category("dress").id


def label_map(value: int) -> np.ndarray:
    map_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    map_HW[20:70, 10:40] = value
    return map_HW


def dump(path: Path, value: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def coco(name: str) -> dict:
    return {
        "images": [{"id": 7, "file_name": "1.jpg", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 0, "name": "bag"}, {"id": 3, "name": name}],
        "annotations": [{"id": 5, "image_id": 7, "category_id": 3, "segmentation": [CORNERS],
                         "bbox": BOX, "area": 1500, "iscrowd": 0, "attribute_ids": []}],
    }  # fmt: skip


def kaggle(root: Path, columns: str, fields: str) -> list[str]:
    runs = " ".join(f"{x * HEIGHT + 20 + 1} 50" for x in range(10, 40))
    (root / "train.csv").write_text(
        f"ImageId,EncodedPixels,Height,Width,{columns}\n1.jpg,{runs},{HEIGHT},{WIDTH},{fields}\n"
    )
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES[:46])]
    labels = {"categories": categories, "attributes": [{"id": 2, "name": "maxi"}]}
    return [str(root / "train.csv"), "--descriptions", dump(root / "labels.json", labels)]


def ccp(root: Path) -> list[str]:
    from datasets_tools.category_map import CategoryTable
    from datasets_tools.sources.ccp import MAP_PATH

    names = CategoryTable.read(MAP_PATH).name_of_id()
    (root / "annotations/pixel-level").mkdir(parents=True)
    (root / "photos/1.jpg").rename(root / "photos/0001.jpg")
    number = next(i for i, name in names.items() if name == "dress")
    savemat(root / "annotations/pixel-level/0001.mat", {"groundtruth": label_map(number)})
    cells = np.array([names[i] for i in range(len(names))], dtype=object)
    savemat(root / "label_list.mat", {"label_list": cells})
    return [str(root)]


def deepfashion2(root: Path) -> list[str]:
    item = {"category_id": 13, "category_name": "sling dress", "segmentation": [CORNERS],
            "bounding_box": [10, 20, 40, 70], "style": 1, "scale": 2, "occlusion": 1, "zoom_in": 1,
            "viewpoint": 2, "landmarks": [0, 0, 0]}  # fmt: skip
    dump(root / "annos/1.json", {"source": "user", "pair_id": 1, "item1": item})
    return [str(root / "annos")]


def maps(root: Path, value: int, **folders: int) -> list[str]:
    words = []
    for option, number in {"maps": value, **folders}.items():
        (root / option).mkdir()
        Image.fromarray(label_map(number)).save(root / option / "1.png")
        words += [f"--{option}", str(root / option)]
    return words


def labelme(root: Path) -> list[str]:
    shape = {"label": "dress", "points": PAIRS, "shape_type": "polygon", "group_id": None}
    dump(root / "json/1.json", {"version": "5.0", "shapes": [shape], "imagePath": "1.jpg",
                                "imageHeight": HEIGHT, "imageWidth": WIDTH})  # fmt: skip
    return [str(root / "json")]


def via(root: Path) -> list[str]:
    shape = {"name": "polygon", "all_points_x": CORNERS[0::2], "all_points_y": CORNERS[1::2]}
    region = {"shape_attributes": shape, "region_attributes": {"garment": "dress"}}
    entry = {"filename": "1.jpg", "size": 1, "regions": [region], "file_attributes": {}}
    return [dump(root / "via.json", {"1.jpg1": entry})]


def yolo(root: Path) -> list[str]:
    (root / "labels").mkdir()
    points = " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in PAIRS)
    (root / "labels/1.txt").write_text(f"1 {points}\n")
    (root / "data.yaml").write_text("nc: 2\nnames: [shoe, dress]\n")
    return [str(root / "labels"), "--data", str(root / "data.yaml")]


#: words after ``convert`` -> what makes the source's files and returns its arguments
SOURCES: dict[str, Callable[[Path], list[str]]] = {
    "imaterialist2019": lambda root: kaggle(root, "ClassId", f"{DRESS}_2"),
    "imaterialist2020": lambda root: kaggle(root, "ClassId,AttributesIds", f'{DRESS},"2"'),
    "fashionpedia": lambda root: [
        dump(root / "f.json", coco("dress") | {"attributes": [],
             "categories": [{"id": 0, "name": "shoe"}, {"id": 3, "name": "dress"}]})
    ],
    "coco": lambda root: [dump(root / "c.json", coco("dress") | {
        "categories": [{"id": 0, "name": "shoe"}, {"id": 3, "name": "dress"}]})],
    "ccp": ccp,
    "deepfashion2": deepfashion2,
    "modanet": lambda root: [dump(root / "m.json", coco("dress"))],
    "label-maps lip": lambda root: maps(root, 6),
    "label-maps atr": lambda root: maps(root, 7),
    "label-maps cihp": lambda root: maps(root, 6, humans=1),
    "yolo-seg": yolo,
    "labelme": labelme,
    "via": via,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos/1.jpg")
    return tmp_path


def test_every_source_is_here() -> None:
    converters = {tool.split()[1] for tool in TOOLS if tool.startswith("convert ")}
    assert {name.split()[0] for name in SOURCES} == converters


@pytest.mark.parametrize("name", SOURCES)
def test_source_gives_the_same_dress_and_passes_check(name: str, root: Path, capsys) -> None:
    words = ["data", "convert", *name.split(), *SOURCES[name](root)]
    if name != "ccp":
        words += ["--images", str(root / "photos")]
    out = root / "out" / "annotations" / "all.json"
    assert main([*words, "--out", str(out)]) == 0, capsys.readouterr()
    (instance,) = (converted := read_coco(out))["annotations"]
    names = {entry["id"]: entry["name"] for entry in converted["categories"]}
    assert names[instance["category_id"]] == "dress"
    if name == "yolo-seg":
        assert instance["bbox"] == [10, 20, 31, 51] and instance["area"] == 31 * 51
    else:
        assert instance["bbox"] == BOX and instance["area"] == 30 * 50
    code = main(["data", "check", str(out), "--images", str(root / "photos")])
    text = capsys.readouterr().out
    assert code == 0 and "0 errors, 0 warnings" in text, text


def test_check_is_not_blind_here(root: Path, capsys) -> None:
    faulty = coco("dress")
    faulty["annotations"][0]["area"] = 3
    path = dump(root / "a.json", faulty)
    main(["data", "check", path, "--images", str(root / "photos")])
    assert "0 errors, 0 warnings" not in capsys.readouterr().out
