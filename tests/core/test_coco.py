"""COCO files: written whole or not at all, read with every entry checked, mapped by name."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from fashion_mmdet.core.coco import CategoryMap, map_categories, read_coco
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES, coco_categories

CODE = {"size": [2, 3], "counts": "02211"}


def add(writer, annotation_id, image_id=1, **changes):
    values = {"category_id": 23, "segmentation": CODE, "bbox": [0, 0, 3, 2], "area": 3} | changes
    writer.add_annotation(annotation_id=annotation_id, image_id=image_id, **values)


def write(path, n_annotations=2):
    with CocoWriter(path, coco_categories(), {"description": "test"}, {"attributes": []}) as writer:
        writer.add_image(image_id=1, file_name="é.jpg", height=2, width=3, extra={"licence": 4})
        for i in range(1, n_annotations + 1):
            add(writer, i, extra={"attribute_ids": [i]})
    return writer


def test_coco_writer_written_file_reads_back_with_extras(tmp_path):
    writer = write(tmp_path / "new" / "a.json")
    assert (writer.n_images, writer.n_annotations) == (1, 2)
    data = read_coco(tmp_path / "new" / "a.json")
    assert data["info"] == {"description": "test"} and data["attributes"] == []
    assert data["categories"] == coco_categories()
    assert data["images"] == [
        {"id": 1, "file_name": "é.jpg", "height": 2, "width": 3, "licence": 4}
    ]
    assert data["annotations"][1] == {
        "id": 2, "image_id": 1, "category_id": 23, "segmentation": CODE, "bbox": [0, 0, 3, 2],
        "area": 3, "iscrowd": 0, "attribute_ids": [2],
    }  # fmt: skip


def test_coco_writer_foreign_keys_named_as_its_own_arguments_are_kept(tmp_path):
    path = tmp_path / "a.json"
    top = {"path": "here", "self": 1, "info": "theirs", "images": ["theirs"]}
    with CocoWriter(path, coco_categories(), {}, top) as writer:
        image = {"image_id": "a", "extra": 1, "id": 9, "height": 9}
        writer.add_image(image_id=1, file_name="a.jpg", height=2, width=3, extra=image)
        add(writer, 1, iscrowd=1, extra={"annotation_id": "b", "extra": 2, "id": 9, "iscrowd": 0})
    data = read_coco(path)
    assert (data["path"], data["self"], data["info"]) == ("here", 1, {})
    (image,), (annotation,) = data["images"], data["annotations"]
    assert image == {
        "id": 1, "file_name": "a.jpg", "height": 2, "width": 3, "image_id": "a", "extra": 1,
    }  # fmt: skip
    assert (annotation["annotation_id"], annotation["extra"]) == ("b", 2)
    assert (annotation["id"], annotation["iscrowd"]) == (1, 1)


def test_coco_writer_nothing_added_gives_a_valid_empty_file(tmp_path):
    with CocoWriter(tmp_path / "a.json", coco_categories(), {}):
        pass
    assert read_coco(tmp_path / "a.json")["annotations"] == []


def test_coco_writer_numpy_numbers_become_plain_json(tmp_path):
    with CocoWriter(tmp_path / "a.json", coco_categories(), {}) as writer:
        writer.add_image(image_id=np.int64(1), file_name="a", height=np.int32(2), width=3)
        add(writer, np.int64(1), bbox=np.array([0.0, 0, 3, 2]), area=np.uint32(3))
    assert read_coco(tmp_path / "a.json")["annotations"][0]["bbox"] == [0, 0, 3, 2]


def faulty(writer, fault):
    writer.add_image(image_id=1, file_name="a.jpg", height=2, width=3)
    add(writer, 1)
    if fault == "exception":
        raise KeyboardInterrupt
    if fault == "image twice":
        writer.add_image(image_id=1, file_name="b.jpg", height=2, width=3)
    if fault == "annotation twice":
        add(writer, 1)
    if fault == "no image":
        add(writer, 2, image_id=9)
    if fault == "no category":
        add(writer, 2, category_id=49)
    if fault == "not a number":
        add(writer, 2, area=float("nan"))


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("exception", KeyboardInterrupt),
        ("image twice", AnnotationError),
        ("annotation twice", AnnotationError),
        ("no image", AnnotationError),
        ("no category", AnnotationError),
        ("not a number", ValueError),
    ],
)
def test_coco_writer_fault_leaves_nothing_or_the_older_file(tmp_path, fault, error, older):
    path = tmp_path / "a.json"
    if older:
        path.write_text("older")
    with pytest.raises(error), CocoWriter(path, coco_categories(), {}) as writer:
        faulty(writer, fault)
    assert [p.name for p in tmp_path.iterdir()] == (["a.json"] if older else [])
    assert not older or path.read_text() == "older"


def test_coco_writer_memory_does_not_grow_with_masks(tmp_path):
    with CocoWriter(tmp_path / "a.json", coco_categories(), {}) as writer:
        writer.add_image(image_id=1, file_name="a.jpg", height=2, width=3)
        tracemalloc.start()
        for i in range(2000):
            add(writer, i, segmentation={"size": [2, 3], "counts": "0" * 2000})
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (tmp_path / "a.json").stat().st_size > 4_000_000
    assert grown < 200_000


def skeleton(**changes):
    data = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 2, "width": 3}],
        "annotations": [
            {"id": 7, "image_id": 5, "category_id": 0},
            {"id": 8, "image_id": 5, "category_id": 0, "segmentation": CODE, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [{"id": 0, "name": "shoe"}],
    }
    for place, value in changes.items():
        name, _, key = place.partition("__")
        if not key:
            data[name] = value
        elif value is None:
            del data[name][-1][key]
        else:
            data[name][-1][key] = value
    return data


def test_read_coco_without_optional_keys_is_fine(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(skeleton()))
    assert read_coco(tmp_path / "a.json") == skeleton()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": {}}, "got dict for 'images'"),
        ({"annotations": None}, "got NoneType for 'annotations'"),
        ({"images__id": "5"}, r"images[0]: a whole number as 'id'"),
        ({"images__file_name": None}, "images[0]: a text as 'file_name' expected, got nothing"),
        ({"images__height": 0}, "images[0]: a whole number of at least 1 as 'height'"),
        ({"images__width": 3.5}, "images[0]: a whole number of at least 1 as 'width'"),
        ({"images": [{"id": 5, "file_name": "a", "height": 2, "width": 3}] * 2}, "images[1]: each"),
        ({"annotations": [3]}, "annotations[0]: an object"),
        ({"annotations__id": 7}, "annotations[1]: each id once expected, got 7"),
        ({"annotations__id": True}, "annotations[1]: a whole number"),
        ({"annotations__image_id": 6}, "annotations[1] (id 8): the image_id"),
        ({"annotations__category_id": 1}, "annotations[1] (id 8): the category_id"),
        ({"annotations__category_id": None}, "annotations[1]: a whole number as 'category_id'"),
        ({"annotations__segmentation": "x"}, "annotations[1]: polygons or a code"),
        ({"annotations__bbox": [1, 2, 3]}, "annotations[1]: four numbers"),
        ({"annotations__bbox": [1, 2, 3, float("inf")]}, "annotations[1]: four numbers"),
        ({"annotations__area": "12"}, "annotations[1]: a number"),
        ({"annotations__iscrowd": 2}, "annotations[1]: 0 or 1"),
        ({"categories__name": 3}, "categories[0]: a text"),
        ({"categories__supercategory": ["a"]}, "categories[0]: a text as 'supercategory'"),
        ({"annotations__area": 10**400}, "annotations[1]: a number"),
        ({"annotations__bbox": [1, 2, 3, 10**400]}, "annotations[1]: four numbers"),
        ({"annotations__id": 2**63}, "annotations[1]: a whole number"),
        ({"categories": [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]}, "categories[1]: each"),
    ],
)
def test_read_coco_faulty_entry_is_named(tmp_path, changes, said):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(skeleton(**changes)))
    with pytest.raises(AnnotationError) as caught:
        read_coco(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)


def test_read_coco_half_a_character_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(skeleton(images__file_name="a\ud800.jpg")))
    with pytest.raises(FashionError, match=r"a\.json: .*lone surrogate.*\\ud800"):
        read_coco(path)


@pytest.mark.parametrize("text", ["", "[]", '{"images": [', "null"])
def test_read_coco_not_a_coco_file_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FashionError):
        read_coco(tmp_path / "a.json")


def test_map_categories_shuffled_ids_and_order_go_by_name():
    entries = [{"id": 900 - i, "name": name} for i, name in enumerate(CLASSES)]
    entries = entries[20:] + entries[:20]
    found = map_categories(entries, CLASSES, "test")
    assert found.label_of_id == {900 - i: i for i in range(49)}
    assert found.unknown == {} and found.absent == ()


def test_map_categories_missing_and_foreign_names_shift_no_label():
    entries = [{"id": 0, "name": "sandals"}, {"id": 1, "name": "moccasin"}]
    found = map_categories(entries, ("shoe", "dress", "sandals"), "test")
    assert found == CategoryMap({0: 2}, {1: "moccasin"}, ("shoe", "dress"))


@pytest.mark.parametrize(
    "entries",
    [
        [{"id": 0, "name": "shoe"}, {"id": 1, "name": "shoe"}],
        [{"id": 0, "name": "shoe"}, {"id": 0, "name": "sock"}],
        [{"id": 0}],
        [{"id": 0, "name": 5}],
        [{"name": "shoe"}],
        [{"id": "0", "name": "shoe"}],
        ["shoe"],
    ],
)
def test_map_categories_ambiguous_or_malformed_entry_is_refused(entries):
    with pytest.raises(OntologyError, match=rf"^a\.json: categories\[{len(entries) - 1}\]: "):
        map_categories(entries, CLASSES, "a.json")


def test_map_categories_class_named_twice_is_refused():
    with pytest.raises(OntologyError, match="each class name once"):
        map_categories([], ("shoe", "shoe"), "test")


@pytest.mark.parametrize("where", ["annotation 1", "image 1", "a.json"])
def test_coco_writer_number_that_json_has_not_is_a_sentence_that_names_the_entry(tmp_path, where):
    nan = {"v": float("nan")}
    info = nan if where == "a.json" else {}
    with pytest.raises(FashionError, match=f"{where}: finite numbers expected"), CocoWriter(
        tmp_path / "a.json", coco_categories(), info
    ) as writer:  # fmt: skip
        image = nan if where == "image 1" else {}
        writer.add_image(image_id=1, file_name="a.jpg", height=2, width=3, extra=image)
        add(writer, 1, extra=nan if where == "annotation 1" else {})
    assert list(tmp_path.iterdir()) == []
