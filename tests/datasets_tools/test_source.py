"""From a reader to a COCO file: photos, names, masks, and what is said of the rest."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from datasets_tools import convert
from datasets_tools import report as report_module
from datasets_tools.category_map import CategoryTable, MapRow
from datasets_tools.convert import write_coco
from datasets_tools.photos import MOST_PIXELS
from datasets_tools.report import BadRow, BadRows
from datasets_tools.source import SourceImage, SourceMask
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import AnnotationError, FashionError, OntologyError
from fashion_mmdet.core.ontology import CLASSES

HEIGHT_PX, WIDTH_PX = 40, 60
SIZE_HW = (HEIGHT_PX, WIDTH_PX)


def table(**categories):
    rows = {"boots": "shoe", "gown": "dress", "phone": None, **categories}
    return CategoryTable("t.csv", {n: MapRow(n, c, is_pair=n == "pair") for n, c in rows.items()})


def square(x, y, side=10.0):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def mask(name="boots", segmentation=None, **more):
    return SourceMask(name, segmentation or square(2.0, 3.0), "a.json: m", **more)


def image(name="a.jpg", *masks, where=None, size_hw=SIZE_HW, **more):
    return SourceImage(name, list(masks), where or f"a.json: {name}", size_hw, **more)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.JPG"):
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "photos" / name, "JPEG")
    return tmp_path


def write(folder, images, known=None, **options):
    out = folder / "out" / "all.json"
    options = {"images_dir": folder / "photos", "info": {"description": "x"}, **options}
    report = write_coco(iter(images), known or table(), out, where="a.json", **options)
    return report, read_coco(out)


def test_write_coco_names_boxes_areas_and_extras_are_written(folder):
    report, data = write(
        folder,
        [
            image("a", mask(extra={"source_id": 9}), mask("gown", square(20.0, 5.0, 4.0))),
            image("sub/b.jpg", mask(iscrowd=1), extra={"source_id": 5}),
        ],
        attributes=[{"id": 1, "name": "x"}],
    )
    assert [c["name"] for c in data["categories"]] == list(CLASSES)
    assert data["attributes"] == [{"id": 1, "name": "x"}]
    assert data["info"] == {"description": "x", "photos_checked": True}
    assert data["images"] == [
        {"id": 1, "file_name": "a.jpg", "height": 40, "width": 60},
        {"id": 2, "file_name": "sub/b.JPG", "height": 40, "width": 60, "source_id": 5},
    ]
    boots, gown, crowd = data["annotations"]
    assert boots == {
        "id": 1, "image_id": 1, "category_id": CLASSES.index("shoe"), "source_id": 9,
        "segmentation": square(2.0, 3.0), "bbox": [2.0, 3.0, 10.0, 10.0], "area": 100,
        "iscrowd": 0, "source_name": "boots",
    }  # fmt: skip
    assert gown["category_id"] == CLASSES.index("dress") and gown["area"] == 16
    assert (crowd["image_id"], crowd["iscrowd"]) == (2, 1)
    assert report.n_images == 2 and report.n_masks == 3 and not report.bad.total
    assert report.masks_per_class["shoe"] == 2 and report.notes == ()


def test_write_coco_codes_of_every_form_become_compressed_text(folder):
    mask_HW = np.zeros(SIZE_HW, np.uint8)
    mask_HW[5:9, 7:10] = 1
    code = rle.encode_mask(mask_HW)
    runs = [int(n) for n in np.diff(np.flatnonzero(np.diff(mask_HW.T.ravel(), prepend=2)))]
    raw = {"size": list(SIZE_HW), "counts": [*runs, mask_HW.size - sum(runs)]}
    _, data = write(folder, [image("a", mask(segmentation=raw), mask("gown", code))])
    for annotation in data["annotations"]:
        assert annotation["segmentation"] == code
        assert annotation["bbox"] == [7, 5, 3, 4] and annotation["area"] == 12


def test_write_coco_name_without_category_is_counted_and_empty_photos_left_out(folder):
    report, data = write(
        folder, [image("a", mask(), mask("phone")), image("sub/b", mask("phone")), image("gone")]
    )
    assert len(data["images"]) == 1
    assert "'phone' has no category of ours: 2 masks left out" in report.notes
    assert "2 photos left out: no mask of our categories" in report.notes


def test_write_coco_unknown_name_stops_and_names_the_nearest(folder):
    with pytest.raises(OntologyError, match="Did you mean 'boots'"):
        write(folder, [image("a", mask()), image("sub/b", mask("boot"))])
    assert not list((folder / "out").iterdir())


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (mask(segmentation=[[1, 2, 3, 4]]), "mask", "three or more points"),
        (mask(segmentation={"size": [60, 40], "counts": [2400]}), "mask", "swapped"),
        (SourceMask("boots", None, "a.json: m"), "mask", "got None"),
        (SourceMask("boots", [], "a.json: m"), "mask", "empty list"),
        (mask(segmentation={"size": [40, 60], "counts": [2400]}), "empty mask", "one pixel"),
        (mask(segmentation=square(-20.0, 1.0)), "empty mask", "outside"),
        (mask(segmentation=square(2.0, 3.0)), "duplicate mask", "same pixels"),
        (BadRow("made", "a.json: m: made"), "made", "made"),
    ],
)
def test_write_coco_bad_mask_is_named_counted_and_skipped(folder, capsys, bad, kind, said):
    report, data = write(folder, [image("a", mask(), bad, mask("gown"))])
    assert dict(report.bad.counts) == {kind: 1}
    (message,) = report.bad.first[kind]
    assert message.startswith("a.json: m: ") and said in message
    assert f"skipped ({kind}): {message}" in capsys.readouterr().err
    assert [a["id"] for a in data["annotations"]] == [1, 2]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (image("../photos/a", mask()), "image name"),
        (image("/etc/a", mask()), "image name"),
        (image("", mask()), "image name"),
        (image("gone", mask()), "missing photo"),
        (image("torn", mask()), "unreadable photo"),
        (image("sub/b", mask(), size_hw=(60, 40)), "size swapped"),
        (image("sub/b", mask(), size_hw=(80, 120)), "size differs from photo"),
        (image("a.jpg", mask(), where="a.json: first"), "photo twice"),
        (BadRow("made", "a.json: made"), "made"),
    ],
)
def test_write_coco_bad_photo_is_left_out_with_its_masks(folder, bad, kind):
    (folder / "photos" / "torn.jpg").write_bytes(b"no photo")
    report, data = write(folder, [image("a", mask(), where="a.json: first"), bad])
    assert dict(report.bad.counts) == {kind: 1} and len(data["images"]) == 1
    (message,) = report.bad.first[kind]
    assert message.startswith("a.json: ")
    expected = () if kind == "made" else ("1 mask of photos that cannot be used, left out",)
    assert report.notes == expected


def test_write_coco_polygon_left_out_beside_good_ones_is_counted(folder):
    report, data = write(folder, [image("a", mask(segmentation=[*square(2.0, 3.0), [1, 2]]))])
    assert data["annotations"][0]["segmentation"] == square(2.0, 3.0)
    assert "1 polygon left out of masks that have others" in report.notes


def test_write_coco_pairs_are_parted_left_first_and_keep_their_extras(folder):
    known = table(pair="shoe")
    both = [*square(30.0, 3.0), *square(2.0, 3.0)]
    report, data = write(
        folder,
        [
            image("a", mask("pair", both, extra={"source_id": 4}), mask("pair", both)),
            image("sub/b", mask("pair"), mask("boots", both)),
        ],
        known,
        max_bad_rows=1,
    )
    # The second of the same pixels is the duplicate; of one part, and of no pair, one mask is made.
    assert [a["bbox"][0] for a in data["annotations"]] == [2, 30, 2, 2]
    assert [a.get("source_id") for a in data["annotations"]] == [4, 4, None, None]
    assert [type(a["segmentation"]) for a in data["annotations"]] == [dict, dict, list, list]
    assert "1 pair parted into left and right" in report.notes
    assert "1 pair left as one" in report.notes
    _, data = write(folder, [image("a", mask("pair", both, iscrowd=1))], known, force=True)
    assert [a["bbox"] for a in data["annotations"]] == [[2, 3, 38, 10]]


def test_write_coco_turned_photo_size_is_that_as_loaded_and_doubt_is_said(folder):
    for name, orientation in (("turned.jpg", 6), ("flipped.jpg", 2)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(folder / "photos" / name, exif=exif)
    stated = [image("turned", mask(), size_hw=(60, 40)), image("turned", mask(), size_hw=(40, 60))]
    report, data = write(folder, stated)
    assert dict(report.bad.counts) == {"EXIF orientation": 1} and len(report.notes) == 1
    assert (data["images"][0]["height"], data["images"][0]["width"]) == (60, 40)
    for doubtful in (image("turned", mask(), size_hw=None), image("flipped", mask())):
        report, _ = write(folder, [doubtful], force=True)
        assert "1 photo with an EXIF orientation, e.g. " in report.notes[0]


def test_write_coco_unchecked_photos_keep_their_names(folder):
    options = {"images_dir": None, "check_photos": False}
    names = ["gone", "x.webp", "deep/gone.png", "../a"]
    report, data = write(folder, [image(name, mask()) for name in names], **options)
    assert [i["file_name"] for i in data["images"]] == ["gone.jpg", "x.webp", "deep/gone.png"]
    assert dict(report.bad.counts) == {"image name": 1}
    assert data["info"]["photos_checked"] is False
    with pytest.raises(FashionError, match="a.json: a: the size of the photo expected.*--images"):
        write(folder, [image("a", mask(), size_hw=None)], force=True, **options)


def test_write_coco_counts_of_the_reader_are_read_at_the_end(folder):
    counts = {"boxes ignored": 0}

    def reader():
        yield image("a", mask())
        counts["landmarks ignored"] = 1200

    report, _ = write(folder, reader(), counts=counts)
    assert report.notes == ("1,200 landmarks ignored",)


def test_write_coco_bad_rows_beyond_the_limit_or_no_mask_write_nothing(folder):
    bad = [BadRow("made", "a.json: made")] * 2
    write(folder, [image("a", mask()), *bad], max_bad_rows=2)
    older = (folder / "out" / "all.json").read_bytes()
    with pytest.raises(AnnotationError, match="at most 1 bad row"):
        write(folder, [image("a", mask()), *bad], max_bad_rows=1, force=True)
    for none in ([], [image("a", mask("phone"))], bad):
        with pytest.raises(AnnotationError, match="at least one mask"):
            write(folder, none, force=True)
    assert (folder / "out" / "all.json").read_bytes() == older
    assert len(list((folder / "out").iterdir())) == 1


def test_write_coco_never_writes_over_files_inputs_or_photos(folder):
    write(folder, [image("a", mask())])
    out = folder / "out" / "all.json"
    with pytest.raises(FashionError, match="--force"):
        write(folder, [image("a", mask())])
    with pytest.raises(FashionError, match="another file than the input"):
        write(folder, [image("a", mask())], force=True, inputs=[out])
    with pytest.raises(FashionError, match="the name of a .json file expected"):
        write_coco([], table(), folder / "photos" / "a.jpg", images_dir=folder / "photos",
                   info={}, where="a.json", force=True)  # fmt: skip


def arguments(folder, *words):
    parser = argparse.ArgumentParser()
    convert.add_source_arguments(parser, "ccp")
    (folder / "my.csv").write_text("name,category\nboots,shoe\n")
    common = ["--out", str(folder / "all.json"), "--map", str(folder / "my.csv")]
    return parser.parse_args([*common, *words])


def test_run_source_prints_the_report(folder, capsys):
    args = arguments(folder, "--images", str(folder / "photos"))
    code = convert.run_source(
        args, [image("a", mask())], info={}, where="a.json", counts={"x y": 3}, licenses=[]
    )
    out = capsys.readouterr().out.splitlines()
    assert code == 0 and "note: 3 x y" in out
    assert out[-1].startswith(f"{folder / 'all.json'}: 1 image, 1 mask")
    assert json.loads((folder / "all.json").read_text())["licenses"] == []


def test_run_source_without_photos_asks_for_them_or_takes_the_stated_sizes(folder):
    with pytest.raises(FashionError, match="--no-check-photos"):
        convert.run_source(arguments(folder), [], info={}, where="a.json")
    args = arguments(folder, "--no-check-photos")
    assert convert.run_source(args, [image("a", mask())], info={}, where="a.json") == 0


def test_run_source_keeps_the_users_table(folder):
    args = arguments(folder, "--no-check-photos", "--force")
    args.out = args.map
    with pytest.raises(FashionError, match="another file than the input"):
        convert.run_source(args, [image("a", mask())], info={}, where="a.json")


@pytest.mark.parametrize("crowds", [(1, 0), (0, 1)])
def test_write_coco_crowd_and_instance_of_the_same_pixels_are_two(folder, crowds):
    report, data = write(folder, [image("a.jpg", *(mask(iscrowd=flag) for flag in crowds))])
    assert [a.get("iscrowd", 0) for a in data["annotations"]] == list(crowds)
    assert not report.bad.total


@pytest.mark.parametrize("check_photos", [True, False])
def test_write_coco_other_spelling_of_a_name_is_the_same_photo(folder, check_photos):
    images = [image(name, mask()) for name in ("sub/b.JPG", "./sub//b.JPG")]
    report, data = write(folder, images, check_photos=check_photos)
    assert [i["file_name"] for i in data["images"]] == ["sub/b.JPG"]
    assert report.bad.counts == {"photo twice": 1}


def test_write_coco_names_that_are_no_utf8_are_shown_or_bad_rows(folder):
    images = [image("a.jpg", mask()), image("\udcff.jpg", mask())]
    report, data = write(folder, images, check_photos=False, info={"source": "\udcff.json"})
    assert data["info"]["source"] == r"\udcff.json"
    assert report.bad.counts == {"image name": 1}


def test_write_coco_photo_of_more_pixels_than_pillow_opens_is_a_bad_row(folder):
    big = image("big.jpg", mask(), size_hw=(13_378, 13_378))
    report, data = write(folder, [big, image("a.jpg", mask())], check_photos=False)
    assert dict(report.bad.counts) == {"size": 1}
    assert "at most 178,956,970 pixels expected, got height x width 13378 x 13378" in str(
        report.bad.first["size"]
    )
    assert [entry["file_name"] for entry in data["images"]] == ["a.jpg"]
    assert 13_377**2 < MOST_PIXELS == 2 * Image.MAX_IMAGE_PIXELS < 13_378**2


def test_bad_rows_are_each_printed_once_and_each_kind_is_named_at_the_end(capsys, monkeypatch):
    bad = BadRows(100, "t.csv")
    monkeypatch.setattr(report_module, "_MOST_PRINTED", 6)
    for line in range(2, 9):
        bad.add("overlap", f"t.csv:{line}: runs apart expected, got x: y. Mend it.")
    bad.add("size", "in.json: images[3] (id 4): a size expected, got none. Mend it.")
    assert capsys.readouterr().err.splitlines() == [
        *(
            f"skipped (overlap): t.csv:{line}: runs apart expected, got x: y. Mend it."
            for line in range(2, 8)
        ),
        "skipped: more of them, which are counted alone",
    ]
    assert bad.summary() == [
        "skipped 8 bad rows: 7 overlap (first: t.csv:2), 1 size (first: in.json: images[3] (id 4))"
    ]


def test_write_coco_classes_without_a_mask_are_a_number_and_the_first(folder):
    report, _ = write(folder, [image("a", mask())])
    (line,) = [line for line in report.summary().splitlines() if "without" in line]
    assert line == (
        "classes without a mask: 48 (shirt, blouse; top, t-shirt, sweatshirt; sweater; ...)"
    )


@pytest.mark.parametrize(("name", "said"), [("all", "all.json."), ("out", "out/all.json.")])
def test_write_coco_name_without_json_is_refused(folder, name, said):
    (folder / "out").mkdir()
    with pytest.raises(FashionError, match=rf"a \.json file expected, got .*{said}$"):
        write_coco([], table(), folder / name, images_dir=None, info={}, where="a.json")


def test_write_coco_folder_that_is_a_file_is_named(folder):
    (folder / "annotations").touch()
    with pytest.raises(FashionError, match=r"a folder .*annotations expected, found a file"):
        write_coco(iter([image("a", mask())]), table(), folder / "annotations" / "all.json",
                   images_dir=folder / "photos", info={}, where="a.json")  # fmt: skip


def test_write_coco_photos_that_are_no_folder_say_where_they_were_looked_for(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "notes").touch()
    for name, said in (("gone", "found none"), ("notes", "found a file")):
        with pytest.raises(FashionError, match=rf"{said}\. .* looked up from {folder}\.$"):
            write(folder, [], images_dir=name)
