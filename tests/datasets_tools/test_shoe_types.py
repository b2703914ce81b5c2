"""Shoe types: a table turns shoes into their types, and nothing else."""

from __future__ import annotations

import json

import pytest

from datasets_tools.shoe_types import relabel_shoes
from fashion_mmdet.commands import main
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.coco_writer import CocoWriter
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.ontology import coco_categories

CODE = {"size": [2, 3], "counts": "02211"}
HEADER = "image,mask,shoe_type"
SHOE, SANDALS, HEELS = 23, 48, 47


@pytest.fixture
def annotations(tmp_path):
    """Two images; masks 1, 2 and 4 are shoes, 3 is a dress."""
    path = tmp_path / "all.json"
    with CocoWriter(path, coco_categories(), {"description": "test"}) as writer:
        for image_id, name in ((1, "a.jpg"), (2, "b.jpg")):
            writer.add_image(image_id=image_id, file_name=name, height=2, width=3)
        for number, image_id, category_id in ((1, 1, 23), (2, 1, 23), (3, 1, 10), (4, 2, 23)):
            writer.add_annotation(
                annotation_id=number, image_id=image_id, category_id=category_id,
                segmentation=CODE, bbox=[0, 0, 3, 2], area=3, extra={"attribute_ids": [number]},
            )  # fmt: skip
    return path


def table(tmp_path, rows, header=HEADER):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return path


def relabel(annotations, rows, **options):
    out = annotations.parent / "typed.json"
    report = relabel_shoes(annotations, table(annotations.parent, rows), out, **options)
    return report, {a["id"]: a for a in read_coco(out)["annotations"]}


def test_relabel_named_masks_change_and_all_else_stays(annotations):
    before = annotations.read_bytes()
    original = {a["id"]: a for a in read_coco(annotations)["annotations"]}
    report, found = relabel(annotations, ["a.jpg,1,sandals", "b,4,high-heels"])
    assert annotations.read_bytes() == before
    assert found[1] == original[1] | {"category_id": SANDALS, "shoe_type_from": "shoe"}
    assert found[4] == original[4] | {"category_id": HEELS, "shoe_type_from": "shoe"}
    assert found[2] == original[2] and found[3] == original[3]
    assert report.relabelled == {"canvasshoes": 0, "high-heels": 1, "sandals": 1}
    assert report.n_shoes == 1 and report.bad.total == 0
    assert report.summary().endswith(
        "2 shoes relabelled (0 canvasshoes, 1 high-heels, 1 sandals), 1 stay 'shoe', "
        "0 bad rows skipped"
    )


def test_relabel_image_by_id_and_json_table_work(annotations):
    labels = annotations.parent / "labels.json"
    labels.write_text(json.dumps([{"image": 2, "mask": 4, "shoe_type": "sandals"}]))
    report = relabel_shoes(annotations, labels, annotations.parent / "typed.json")
    assert report.relabelled["sandals"] == 1


def test_relabel_file_of_other_ids_goes_by_name_and_gains_the_types(annotations):
    data = read_coco(annotations)
    data["categories"] = [{"id": 23, "name": "shoe"}, {"id": 10, "name": "dress"},
                          {"id": 47, "name": "hat"}]  # fmt: skip
    annotations.write_text(json.dumps(data))
    relabel(annotations, ["a.jpg,1,sandals", "a.jpg,2,high-heels"])
    typed = read_coco(annotations.parent / "typed.json")
    name_of = {c["id"]: c["name"] for c in typed["categories"]}
    names = [name_of[a["category_id"]] for a in typed["annotations"]]
    assert names == ["sandals", "high-heels", "dress", "shoe"]
    assert len(name_of) == 6 and name_of[47] == "hat"


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ("c.jpg,1,sandals", "unknown image", "'c.jpg'"),
        ("a.jpg,9,sandals", "not a mask of the image", "none of that id"),
        ("a.jpg,4,sandals", "not a mask of the image", "another image"),
        ("a.jpg,one,sandals", "not a mask of the image", "'one'"),
        ("a.jpg,3,sandals", "not a shoe", "'dress'"),
        ("a.jpg,1,snadals", "unknown shoe type", "Did you mean 'sandals'?"),
        ("a.jpg,1,shoe", "unknown shoe type", "canvasshoes, high-heels, sandals"),
        ("a.jpg,1", "unknown shoe type", "''"),
        ("a.jpg,1,sandals,a.jpg,2", "number of fields", "'a.jpg,2'"),
    ],
)
def test_relabel_bad_row_is_named_and_skipped(annotations, row, kind, said):
    report, found = relabel(annotations, ["a.jpg,2,canvasshoes", row])
    assert dict(report.bad.counts) == {kind: 1}
    (message,) = report.bad.first[kind]
    assert message.startswith("labels.csv:3: ") and said in message
    assert sum(report.relabelled.values()) == 1 and report.n_shoes == 2


def test_relabel_mask_with_two_types_stays_a_shoe(annotations):
    rows = ["a.jpg,1,sandals", "a.jpg,1,high-heels", "a.jpg,2,sandals"]
    report, found = relabel(annotations, rows)
    assert dict(report.bad.counts) == {"two types for one mask": 1}
    assert "labels.csv:2" in report.bad.first["two types for one mask"][0]
    assert found[1]["category_id"] == SHOE and "shoe_type_from" not in found[1]


def test_relabel_same_row_twice_counts_once(annotations):
    report, _ = relabel(annotations, ["a.jpg,1,sandals", "a.jpg,1,sandals"])
    assert report.relabelled["sandals"] == 1 and report.bad.total == 0


def test_relabel_beyond_the_limit_writes_nothing(annotations):
    with pytest.raises(AnnotationError, match="--max-bad-rows"):
        relabel(annotations, ["a.jpg,1,sandals", "c,1,sandals"], max_bad_rows=0)
    assert {p.name for p in annotations.parent.iterdir()} == {"all.json", "labels.csv"}


def test_relabel_over_its_input_is_refused(annotations):
    before = annotations.read_bytes()
    with pytest.raises(FashionError, match="another file than the input"):
        relabel_shoes(annotations, table(annotations.parent, []), annotations)
    assert annotations.read_bytes() == before


def test_relabel_file_without_shoes_is_refused(annotations):
    data = read_coco(annotations)
    data["categories"][SHOE]["name"] = "boots"
    annotations.write_text(json.dumps(data))
    with pytest.raises(AnnotationError, match="category 'shoe' expected"):
        relabel(annotations, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "image,mask\na.jpg,1\n"),
        ("labels.csv", ""),
        ("labels.csv", None),
        ("labels.json", '{"image": 1}'),
        ("labels.json", "["),
        ("labels.txt", "image,mask,shoe_type\n"),
    ],
)
def test_relabel_unreadable_table_is_an_error_that_names_it(annotations, name, content):
    path = annotations.parent / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(FashionError, match=name.replace(".", r"\.")):
        relabel_shoes(annotations, path, annotations.parent / "typed.json")
    assert not (annotations.parent / "typed.json").exists()


def test_relabel_json_entry_without_keys_is_a_bad_row(annotations):
    labels = annotations.parent / "labels.json"
    good = '{"image": "a.jpg", "mask": 1, "shoe_type": "sandals"}'
    labels.write_text(f'[3, {{"image": "a.jpg"}}, {good}]')
    report = relabel_shoes(annotations, labels, annotations.parent / "typed.json")
    assert report.bad.first["unknown image"][0].startswith("labels.json[0]: ")
    assert report.bad.total == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["c.jpg,1,sandals", "a.jpg,3,sandals"], "(1 unknown image, 1 not a shoe)"),
        (["a.jpg,1,sandals", "a.jpg,1,high-heels"], "(1 two types for one mask)"),
        ([], "(the table has no rows)"),
    ],
)
def test_command_without_a_usable_row_is_an_error_and_writes_nothing(
    annotations, capsys, rows, said
):
    out = annotations.parent / "out" / "typed.json"
    labels = table(annotations.parent, rows)
    words = ["data", "shoe-types", str(annotations), str(labels), "--out", str(out)]
    assert main(words) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and said in printed.err.splitlines()[-1]
    assert not out.parent.exists()


def test_command_relabels_and_needs_force_to_overwrite(annotations, capsys):
    labels = table(annotations.parent, ["a.jpg,1,sandals"])
    out = annotations.parent / "typed.json"
    words = ["data", "shoe-types", str(annotations), str(labels), "--out", str(out)]
    assert main(words) == 0
    assert "1 shoe relabelled" in capsys.readouterr().out
    assert main(words) == 1
    assert "--force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


@pytest.mark.parametrize("separator", [";", "\t"])
def test_relabel_table_saved_by_excel_is_read_and_its_blank_rows_counted(annotations, separator):
    rows = [row.replace(",", separator) for row in ("a.jpg,1,sandals", ",,", "")]
    labels = table(annotations.parent, rows, HEADER.replace(",", separator))
    report = relabel_shoes(annotations, labels, annotations.parent / "out.json")
    assert report.relabelled["sandals"] == 1 and not report.bad.total
    assert "note: 1 blank row passed by" in report.summary()


def test_relabel_utf_16_and_folder_are_told_in_words(annotations):
    labels = annotations.parent / "labels.csv"
    labels.write_text(HEADER, encoding="utf-16")
    with pytest.raises(FashionError, match="got UTF-16. Save it as UTF-8, in Excel as 'CSV UTF-8'"):
        relabel_shoes(annotations, labels, annotations.parent / "out.json")
    (annotations.parent / "d.csv").mkdir()
    with pytest.raises(FashionError, match="d.csv: .*found a folder"):
        relabel_shoes(annotations, annotations.parent / "d.csv", annotations.parent / "out.json")
