"""Merging COCO files: names, ids, origins."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from datasets_tools.merge import merge
from datasets_tools.merge_parts import Part
from fashion_mmdet.commands import data
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
OTHER = [[6, 1, 9, 1, 9, 5, 6, 5]]


def annotation(number: int, image_id: int, category_id: int, segmentation=SQUARE, **keys) -> dict:
    box, area = [1, 1, 4, 4], 16
    return {
        "id": number, "image_id": image_id, "category_id": category_id, "bbox": box, "area": area,
        "iscrowd": 0, "segmentation": segmentation, **keys,
    }  # fmt: skip


def image(number: int, name: str, **keys) -> dict:
    return {"id": number, "file_name": name, "height": 10, "width": 12, **keys}


def save(path: Path, images: list, annotations: list, names: dict[int, str], **keys) -> Path:
    categories = [{"id": number, "name": name} for number, name in names.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {"images": images, "annotations": annotations, "categories": categories, **keys}
        )
    )
    return path


@pytest.fixture
def a_json(tmp_path: Path) -> Path:
    """Ids of its own: category 7 is a dress, image 50 has two masks."""
    annotations = [annotation(900, 50, 7), annotation(901, 50, 3, OTHER, attribute_ids=[4])]
    return save(
        tmp_path / "a.json", [image(50, "x.jpg")], annotations, {3: "shoe", 7: "dress"},
        attributes=[{"id": 4, "name": "mini"}],
    )  # fmt: skip


@pytest.fixture
def b_json(tmp_path: Path) -> Path:
    """The same numbers for other categories, and a photo of the same name."""
    annotations = [annotation(900, 51, 7), annotation(3, 50, 3)]
    images = [image(50, "x.jpg"), image(51, "y.jpg")]
    return save(tmp_path / "b.json", images, annotations, {7: "shoe", 3: "dress"})


def merged(*words: object) -> dict:
    *files, out = words
    assert data.main(["merge", *map(str, files), "--out", str(out), "--force"]) == 0
    return read_coco(out)


def rows(coco: dict) -> list[tuple]:
    names = {c["id"]: c["name"] for c in coco["categories"]}
    photos = {i["id"]: i["file_name"] for i in coco["images"]}
    return [
        (a["id"], photos[a["image_id"]], names[a["category_id"]], a["source"], a["source_id"])
        for a in coco["annotations"]
    ]


def test_merge_prefix_goes_by_name_and_renumbers(a_json, b_json, tmp_path, capsys):
    coco = merged(f"mine={a_json}", b_json, "--prefix", tmp_path / "all.json")
    assert [c["name"] for c in coco["categories"]] == list(CLASSES)
    assert [(i["id"], i["file_name"], i["source"], i["source_id"]) for i in coco["images"]] == [
        (1, "mine/x.jpg", "mine", 50), (2, "b/x.jpg", "b", 50), (3, "b/y.jpg", "b", 51),
    ]  # fmt: skip
    assert rows(coco) == [
        (1, "mine/x.jpg", "dress", "mine", 900),
        (2, "mine/x.jpg", "shoe", "mine", 901),
        (3, "b/y.jpg", "shoe", "b", 900),
        (4, "b/x.jpg", "dress", "b", 3),
    ]
    assert [s["name"] for s in coco["info"]["sources"]] == ["mine", "b"]
    out = capsys.readouterr().out
    assert "mine: 1 image, 2 masks" in out and "3 images, 4 masks of 2 categories" in out


def test_merge_same_name_is_refused_unless_joined(a_json, b_json, tmp_path):
    out = tmp_path / "all.json"
    with pytest.raises(FashionError, match=r"images\[0\].*'x.jpg', which .*a.json has too"):
        merged(a_json, b_json, out)
    assert not out.exists()
    coco = merged(a_json, b_json, "--join", out)
    assert [(i["file_name"], i["source"]) for i in coco["images"]] == [
        ("x.jpg", "a+b"), ("y.jpg", "b"),
    ]  # fmt: skip
    # b's dress on x.jpg has the pixels of a's.
    assert [row[1:] for row in rows(coco)] == [
        ("x.jpg", "dress", "a", 900), ("x.jpg", "shoe", "a", 901), ("y.jpg", "shoe", "b", 900),
    ]  # fmt: skip


def test_merge_same_pixels_of_another_category_stay(a_json, tmp_path):
    shoe = save(tmp_path / "b.json", [image(1, "x.jpg")], [annotation(1, 1, 0)], {0: "shoe"})
    assert len(merged(a_json, shoe, "--join", tmp_path / "all.json")["annotations"]) == 3


def test_merge_joined_photo_of_another_size_is_refused(a_json, tmp_path):
    other = image(1, "x.jpg") | {"height": 11}
    path = save(tmp_path / "b.json", [other], [annotation(1, 1, 0)], {0: "shoe"})
    with pytest.raises(FashionError, match="10 x 12 of 'x.jpg'.*got 11 x 12"):
        merged(a_json, path, "--join", tmp_path / "all.json")


def test_merge_name_twice_in_one_file_is_refused(tmp_path):
    path = save(tmp_path / "a.json", [image(1, "x.jpg"), image(2, "x.jpg")], [], {0: "shoe"})
    with pytest.raises(FashionError, match=r"images\[1\].*'x.jpg' twice"):
        merged(path, "--join", tmp_path / "all.json")


def test_merge_root_finds_photos_of_each_folder(a_json, b_json, tmp_path):
    for name in ("one/train", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for photo in ("x.jpg", "y.jpg"):
            (tmp_path / "data" / name / photo).touch()
    root = tmp_path / "data"
    words = ["--root", root, "--images", f"a={root}/one/train", "--images", f"b={root}/two"]
    coco = merged(a_json, b_json, *words, tmp_path / "all.json")
    names = [i["file_name"] for i in coco["images"]]
    assert names == ["one/train/x.jpg", "two/x.jpg", "two/y.jpg"]
    words[-1] = f"b={root}/one/train"  # one folder: one photo, without --join
    coco = merged(a_json, b_json, *words, tmp_path / "all.json")
    assert [i["source"] for i in coco["images"]] == ["a+b", "b"]


def test_merge_folders_that_are_swapped_are_refused(a_json, b_json, tmp_path):
    for name in ("one/x.jpg", "two/y.jpg", "two/z.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [image(50, "z.jpg"), image(51, "y.jpg")]
    b_json.write_text(json.dumps(json.loads(b_json.read_text()) | {"images": names}))
    out = tmp_path / "all.json"
    words = ["--root", tmp_path, "--images", f"a={tmp_path}/two", "--images", f"b={tmp_path}/one"]
    with pytest.raises(FashionError, match=r"found 0 of 1, .* x.jpg is in the folder given for b"):
        merged(a_json, b_json, *words, out)
    assert not out.exists()


def test_merge_photo_that_is_missing_is_counted(b_json, tmp_path, capsys):
    (tmp_path / "two").mkdir()
    words = [b_json, "--root", tmp_path, "--images", f"b={tmp_path}/two", tmp_path / "all.json"]
    with pytest.raises(FashionError, match=r"found 0 of 2.*--images b=DIR"):
        merged(*words)
    (tmp_path / "two" / "x.jpg").touch()
    merged(*words)
    assert f"note: photos of b that are not in {tmp_path}/two: 1" in capsys.readouterr().out


def test_merge_of_one_file_speaks_of_no_others(a_json, tmp_path, capsys):
    assert merged(a_json, tmp_path / "o.json")["info"]["description"].startswith("1 set on 49")
    said = capsys.readouterr().out
    assert f"from the folder that those of {a_json} start from" in said and "of all" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "a=."], "both or neither"),
        (["--root", "in", "--images", "a=in"], "got none for b"),
        (["--root", "in", "--images", "c=in"], "name of a, b expected, got 'c'"),
        (["--root", "in", "--images", "a=in", "--images", "b=out"], "outside"),
        (["--root", "in", "--images", "a=in", "--images", "b=gone"], "found none"),
        (["a=b.json"], "'a' twice"),
        (["..=b.json"], "as its name expected"),
        (["c="], "one of the two"),
    ],
)
def test_merge_wrong_words_are_refused(a_json, b_json, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    with pytest.raises(FashionError, match=message):
        merged(a_json, b_json, *words, "all.json")


def test_merge_unknown_category_names_the_nearest(a_json, tmp_path):
    path = save(tmp_path / "b.json", [image(1, "z.jpg")], [annotation(1, 1, 0)], {0: "snadals"})
    with pytest.raises(OntologyError, match="'snadals' .1 annotations.*'sandals'"):
        merged(a_json, path, tmp_path / "all.json")


def test_merge_unknown_category_without_annotations_is_said(a_json, tmp_path, capsys):
    path = save(tmp_path / "b.json", [], [], {0: "snadals"})
    merged(a_json, path, tmp_path / "all.json")
    assert "categories of b that are none of ours, unused: 1" in capsys.readouterr().out


def test_merge_photo_outside_is_refused(a_json, tmp_path):
    path = save(tmp_path / "b.json", [image(1, "../z.jpg")], [], {0: "shoe"})
    with pytest.raises(FashionError, match="'../z.jpg'"):
        merged(a_json, path, tmp_path / "all.json")


def test_merge_tables_that_agree_stay_and_others_go_apart(a_json, b_json, tmp_path):
    out = tmp_path / "all.json"
    table = [{"id": 4, "name": "mini"}]
    assert merged(a_json, b_json, "--prefix", out)["attributes"] == table
    coco = json.loads(b_json.read_text())
    b_json.write_text(json.dumps(coco | {"attributes": table}))
    assert merged(a_json, b_json, "--prefix", out)["attributes"] == table
    b_json.write_text(json.dumps(coco | {"attributes": [{"id": 4, "name": "maxi"}]}))
    apart = merged(a_json, b_json, "--prefix", out)
    assert "attributes" not in apart
    assert apart["source_tables"]["a"]["attributes"][0]["name"] == "mini"
    assert apart["source_tables"]["b"]["attributes"][0]["name"] == "maxi"


def test_merge_of_merges_keeps_the_origin(a_json, b_json, tmp_path):
    b_json.write_text(json.dumps(json.loads(b_json.read_text()) | {"attributes": []}))
    merged(a_json, b_json, "--prefix", tmp_path / "ab.json")
    coco = merged(tmp_path / "ab.json", tmp_path / "all.json")
    assert coco["images"][0]["source"] == "ab/a" and coco["images"][0]["source_id"] == 50
    assert set(coco["source_tables"]) == {"ab/a", "ab/b"}


def test_merge_licences_are_joined_and_renumbered(tmp_path):
    mit, cc = {"name": "MIT", "url": "m"}, {"name": "CC BY", "url": "c"}
    images = [image(1, "x.jpg", license=1), image(2, "y.jpg", license=9)]
    save(tmp_path / "a.json", images, [], {0: "shoe"}, licenses=[{"id": 1, **mit}])
    licences = [{"id": 1, **cc}, {"id": 2, **mit}]
    images = [image(1, "v.jpg", license=1), image(2, "w.jpg", license=2)]
    save(tmp_path / "b.json", images, [], {0: "shoe"}, licenses=licences)
    parts = [Part(name, tmp_path / f"{name}.json") for name in "ab"]
    report = merge(parts, tmp_path / "all.json")
    coco = read_coco(tmp_path / "all.json")
    assert coco["licenses"] == [{"id": 1, **mit}, {"id": 2, **cc}]
    assert [i["license"] for i in coco["images"]] == [1, None, 2, 1]
    assert report.counts["images of a licence that their file does not list"] == 1


def test_merge_annotation_without_mask_or_box_is_said_or_completed(tmp_path, capsys):
    bare = annotation(2, 1, 0)
    del bare["bbox"], bare["area"]
    path = save(
        tmp_path / "a.json", [image(1, "x.jpg")], [annotation(1, 1, 0, []), bare], {0: "shoe"}
    )
    (only,) = merged(path, tmp_path / "all.json")["annotations"]
    assert only["bbox"] == [1, 1, 4, 4] and only["area"] == 16
    assert "annotations left out, without a mask: 1" in capsys.readouterr().out


def test_merge_own_input_and_old_output_are_kept(a_json, b_json):
    with pytest.raises(FashionError, match="another file than the input"):
        merged(a_json, b_json, "--prefix", a_json)
    with pytest.raises(FashionError, match="--force"):
        data.main(["merge", str(a_json), "--out", str(b_json)])


@pytest.mark.parametrize("crowds", [(1, 0), (0, 1)])
def test_merge_crowd_and_instance_of_the_same_pixels_are_two(tmp_path, crowds):
    files = [
        save(tmp_path / f"{name}.json", [image(1, "x.jpg")], [annotation(1, 1, 3, iscrowd=crowd)],
             {3: "shoe"})
        for name, crowd in zip("ab", crowds, strict=True)
    ]  # fmt: skip
    coco = merged(*files, "--join", tmp_path / "o.json")
    assert [a["iscrowd"] for a in coco["annotations"]] == list(crowds)


def test_merge_other_spelling_of_a_name_is_the_same_photo(tmp_path):
    files = [
        save(tmp_path / f"{number}.json", [image(1, name)], [annotation(1, 1, 3)], {3: "shoe"})
        for number, name in enumerate(["s/x.jpg", "./s//x.jpg"])
    ]
    coco = merged(*files, "--join", tmp_path / "o.json")
    assert [i["file_name"] for i in coco["images"]] == ["s/x.jpg"]
    assert len(coco["annotations"]) == 1


def test_merge_file_whose_name_is_no_utf8_is_named_with_its_bytes_escaped(tmp_path):
    given = [image(1, "x.jpg")], [annotation(1, 1, 3)], {3: "shoe"}
    try:
        odd = save(tmp_path / "\udcff.json", *given)
    except (OSError, UnicodeEncodeError):
        pytest.skip("a file system of UTF-8 alone")
    coco = merged(f"a={odd}", tmp_path / "o.json")
    assert coco["info"]["sources"][0]["file"] == r"\udcff.json"


def test_merge_folder_whose_name_is_no_utf8_is_refused(a_json, tmp_path):
    try:
        (tmp_path / "\udcff").mkdir()
    except (OSError, UnicodeEncodeError):
        pytest.skip("a file system of UTF-8 alone")
    words = [str(a_json), "--root", str(tmp_path), "--images", f"a={tmp_path}/\udcff"]
    with pytest.raises(FashionError, match="a folder named in UTF-8 expected"):
        data.main(["merge", *words, "--out", str(tmp_path / "o.json")])


def said_config(text: str) -> tuple[str, str]:
    """Return data_root and the photos' prefix of the line for a config."""
    found = re.search(r'in a config: data_root="(.*)", data_prefix=dict\(img="(.*)"\)', text)
    assert found
    return found[1], found[2]


@pytest.mark.parametrize(
    ("out", "data_root", "prefix"),
    [
        ("d/both/all.json", "{{$FASHION_DATA:data}}/both/", "../"),
        ("d/both/annotations/all.json", "{{$FASHION_DATA:data}}/both/", "../"),
        ("d/all.json", "{{$FASHION_DATA:data}}/", "./"),
        ("else/all.json", "{tmp}/else/", "../d/"),
        ("link/all.json", "{tmp}/link/", "{tmp}/d/"),
    ],
)
def test_merge_says_where_a_config_finds_the_photos(
    a_json, b_json, tmp_path, monkeypatch, capsys, out, data_root, prefix
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_DATA", "d")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/er")
    for folder, name in (("p", "x.jpg"), ("q", "x.jpg"), ("q", "y.jpg")):
        (tmp_path / "d" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / folder / name).touch()
    words = ["--root", "d", "--images", "a=d/p", "--images", "b=d/q"]
    coco = merged(a_json, b_json, *words, out)
    said = said_config(capsys.readouterr().out)
    assert said == tuple(text.replace("{tmp}", str(tmp_path)) for text in (data_root, prefix))
    folder = os.path.join(said[0].replace("{{$FASHION_DATA:data}}", "d"), said[1])
    assert all(os.path.isfile(os.path.join(folder, i["file_name"])) for i in coco["images"])


def test_merge_without_a_root_says_which_folder_is_to_be_made(a_json, b_json, tmp_path, capsys):
    merged(a_json, b_json, "--prefix", tmp_path / "all.json")
    said = capsys.readouterr().out
    assert "one that holds, or links, a/, b/" in said and said_config(said)[1] == "FOLDER/"
    merged(a_json, b_json, "--join", tmp_path / "all.json")
    assert "one with the photos of all" in capsys.readouterr().out


def test_merge_file_of_a_cache_is_refused(a_json: Path, tmp_path: Path):
    coco = json.loads(a_json.read_text())
    a_json.write_text(json.dumps({**coco, "info": {"cached_from": {"annotations": "../a.json"}}}))
    with pytest.raises(FashionError, match="got those of a cache"):
        merge([Part("a", a_json)], tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
