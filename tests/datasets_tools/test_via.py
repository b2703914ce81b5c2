"""VGG Image Annotator's converter, on files made from the format's description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fashion_mmdet.commands import data
from fashion_mmdet.core.errors import FashionError

XS, YS = [10, 20, 20, 10], [10, 10, 20, 20]


def region(label="dress", kind="polygon", **attributes) -> dict:
    shape = {"name": kind, "all_points_x": XS, "all_points_y": YS}
    return {"shape_attributes": shape, "region_attributes": {"type": label, **attributes}}


def entry(regions, name: str = "a.jpg") -> dict:
    file_attributes = {"caption": "a dress"}
    return {"filename": name, "size": 999, "regions": regions, "file_attributes": file_attributes}


def save(folder: Path, regions, *, project: bool = False, **more: dict) -> Path:
    entries = {"a.jpg999": entry(regions), **more}
    path = folder / "via.json"
    wrapped = {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}}
    path.write_text(json.dumps(wrapped if project else entries))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (60, 40)).save(tmp_path / name)
    return tmp_path


def converted(path: Path, *words: str) -> dict:
    out = path.with_name("out.json")
    words = ("convert", "via", str(path), "--images", str(path.parent), "--out", str(out), *words)
    assert data.main(words) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_via_project_and_export_list_and_object_give_the_same(folder, project, as_list):
    regions = [region(), region("shoe")]
    path = save(folder, regions if as_list else dict(enumerate(regions)), project=project)
    coco = converted(path)
    names = {c["id"]: c["name"] for c in coco["categories"]}
    assert [names[a["category_id"]] for a in coco["annotations"]] == ["dress", "shoe"]
    assert coco["annotations"][0]["segmentation"] == [[10, 10, 20, 10, 20, 20, 10, 20]]
    assert coco["annotations"][0]["area"] == 100
    assert coco["images"] == [
        {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60,
         "file_attributes": {"caption": "a dress"}},
    ]  # fmt: skip
    assert data.main(["check", str(folder / "out.json"), "--images", str(folder)]) == 0


@pytest.mark.parametrize("kind", ["rect", "circle", "ellipse", "polyline", "point", None])
def test_via_shape_that_is_no_mask_is_a_bad_row(folder, capsys, kind):
    coco = converted(save(folder, [region(), region("shoe", kind)]))
    assert len(coco["annotations"]) == 1
    out = capsys.readouterr().out
    assert f"1 no mask: {kind}" in out and "'a.jpg999': region 1" in out


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ({}, "no label"),
        ("text", "no label"),
        (region(""), "no label"),
        (region() | {"shape_attributes": {"name": "polygon", "all_points_x": XS}}, "points"),
        (
            region() | {"shape_attributes": {"name": "polygon", "all_points_x": XS,
                                             "all_points_y": [1]}},
            "points",
        ),
        (
            region() | {"shape_attributes": {"name": "polygon", "all_points_x": ["x"] * 4,
                                             "all_points_y": YS}},
            "mask",
        ),
    ],
)  # fmt: skip
def test_via_broken_region_is_a_bad_row(folder, capsys, broken, kind):
    assert len(converted(save(folder, [region("shoe"), broken]))["annotations"]) == 1
    assert f"skipped 1 bad row: 1 {kind}" in capsys.readouterr().out


def test_via_ticked_boxes_are_refused(folder):
    path = save(folder, [region({"dress": True})])
    with pytest.raises(FashionError, match="got ticked boxes .dress.*dropdown"):
        converted(path)
    assert not (folder / "out.json").exists()


def test_via_several_keys_ask_for_one_and_the_others_are_kept(folder):
    path = save(folder, [region(colour="red")])
    with pytest.raises(FashionError, match="'type' .1 regions., 'colour' .1 regions.*--key"):
        converted(path)
    with pytest.raises(FashionError, match="'typ'. Did you mean 'type'"):
        converted(path, "--key", "typ")
    (annotation,) = converted(path, "--key", "type")["annotations"]
    assert annotation["region_attributes"] == {"colour": "red"}


def test_via_bad_names_and_a_photo_twice_are_bad_rows(folder, capsys):
    more = {
        "http1": entry([region()], "https://example.org/b.jpg"),
        "up": entry([region()], "../b.jpg"),
        "none": entry([region()], None),
        "twice": entry([region()]),
        "good": entry([region()], "b.jpg"),
    }
    assert len(converted(save(folder, [region()], **more))["images"]) == 2
    out = capsys.readouterr().out
    assert "2 image name" in out and "1 photo twice" in out and "1 no name" in out


@pytest.mark.parametrize("text", ["{}", "[]", '{"images": [], "annotations": []}', '{"a": {}}'])
def test_via_other_json_is_refused(folder, text):
    path = folder / "via.json"
    path.write_text(text)
    with pytest.raises(FashionError, match="a VIA 2 project"):
        converted(path)


def test_via_without_labels_or_photos_is_refused(folder):
    with pytest.raises(FashionError, match="Define a region attribute"):
        converted(save(folder, []))
    with pytest.raises(FashionError, match="do not state"):
        converted(save(folder, [region()]), "--no-check-photos")


@pytest.mark.parametrize(("name", "said"), [("via.csv", "as JSON"), ("cvat.xml", "COCO 1.0")])
def test_via_other_exports_are_refused_with_what_to_export(folder, name, said):
    (folder / name).write_text("filename,region_count\n")
    with pytest.raises(FashionError, match=f"a JSON file expected, got a .*{said}"):
        converted(folder / name)
