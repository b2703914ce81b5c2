"""``fashion data browse``: what is drawn, what is told, and what cannot get into the page."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_tools.browse import cards
from datasets_tools.browse import page as page_of
from datasets_tools.cache.folder import locked
from fashion_mmdet.commands import main
from fashion_mmdet.core import ontology, rle
from fashion_mmdet.core.errors import FashionError

HW = (60, 40)
HOSTILE = "</script><img src=x onerror=alert(1)><!-- \ud800 é"


def photo(path: Path, size_hw: tuple[int, int] = HW, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_hw[::-1], (200, 200, 200)).save(path, quality=95, **options)
    return path


def square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def coco_of(n_images: int, annotations: tuple[dict, ...] = ()) -> dict:
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": HW[0], "width": HW[1]}
            for i in range(1, n_images + 1)
        ],
        "categories": [{"id": 7, "name": "shoe"}, {"id": 3, "name": "hat"}],
        "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, start=1)],
    }


def shoe(**changes) -> dict:
    return {"image_id": 1, "category_id": 7, "segmentation": square(10, 10, 20), **changes}


def write_page(*words, **options) -> Path:
    return page_of.write_page(*words, **options).index


def data_of(page: Path, name: str = "data") -> dict:
    text = page.read_text(encoding="ascii", errors="surrogateescape")
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    return json.loads(found[1])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        photo(tmp_path / "photos" / f"{number}.jpg")
    return tmp_path / "photos"


def run(*words: str | Path) -> int:
    return main(["data", "browse", *map(str, words)])


@pytest.mark.parametrize("form", ["polygon", "code"])
def test_write_page_mask_is_drawn_where_it_is_and_nowhere_else(form, photos, tmp_path):
    polygon = square(10, 20, 24)
    mask = polygon if form == "polygon" else rle.to_rle(polygon, *HW, "")
    page = write_page(coco_of(1, (shoe(segmentation=mask),)), photos, tmp_path / "out")
    thumb = np.asarray(Image.open(page.parent / "page_files/thumb/000001.jpg")).astype(int)
    plain = np.asarray(Image.open(page.parent / "page_files/large/000001.jpg")).astype(int)
    assert thumb.shape == (*HW, 3) and abs(plain - 200).max() < 4
    colour = np.array(ontology.PALETTE[ontology.category("shoe").id])
    wanted = 200 + 0.42 * (colour - 200)
    middle = thumb[22:26, 12:15]  # inside, off the outline and the name
    assert abs(middle - wanted).max() < 25 and abs(thumb[:8] - 200).max() < 12
    (path,) = data_of(page, "paths")[0]
    xy = np.array(re.findall(r"\d+", path), dtype=int).reshape(-1, 2)
    assert xy.min(0).tolist() == [10, 20] and xy.max(0).tolist() == [33, 43]
    (shape,) = data_of(page)["photos"][0]["shapes"]
    assert (shape["area"], shape["size"], shape["fault"]) == (24 * 24, "small", None)


def test_write_page_mask_with_a_hole_keeps_it_in_the_outline(photos, tmp_path):
    mask_HW = np.zeros(HW, bool)
    mask_HW[10:50, 5:35] = True
    mask_HW[20:30, 10:20] = False
    coco = coco_of(1, (shoe(segmentation=rle.encode_mask(mask_HW)),))
    page = write_page(coco, photos, tmp_path / "out")
    assert data_of(page, "paths")[0][0].count("Z") == 2


def test_write_page_hostile_texts_stay_data(photos, tmp_path):
    coco = coco_of(1, (shoe(id=HOSTILE),))
    coco["categories"][0]["name"] = HOSTILE
    coco["images"].append({"id": HOSTILE, "file_name": HOSTILE, "source": HOSTILE})
    finding = {"kind": HOSTILE, "severity": "error", "message": HOSTILE, "where": HOSTILE}
    page = write_page(
        coco, photos, tmp_path / "out", title=HOSTILE, findings=[{**finding, "image_id": 1}]
    )
    tags: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            assert not any(name.startswith("on") for name, _ in attrs)

    Reader().feed(page.read_text())
    assert tags.count("script") == 3 and "img" not in tags
    data = data_of(page)
    assert data["classes"][0]["name"] == data["title"] == data["findings"][0]["kind"] == HOSTILE
    assert data["photos"][1]["file"] == HOSTILE and data["photos"][1]["fault"]


def test_page_script_is_the_one_that_the_policy_allows(photos, tmp_path):
    page = write_page(coco_of(1), photos, tmp_path / "out").read_text()
    script = page.split("<script>")[1].split("</script>")[0]
    digest = page_of.base64.b64encode(page_of.hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", script)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jpg", "found no file"),
        ("../1.jpg", "a file name inside"),
        ("text.jpg", "UnidentifiedImageError"),
        ("short.jpg", "truncated"),
        (None, "a file name inside"),
    ],
)
def test_write_page_photo_that_cannot_be_read_is_shown_with_the_reason(
    name, message, photos, tmp_path
):
    (photos / "text.jpg").write_text("no photo")
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "whole.jpg")
    (photos / "short.jpg").write_bytes((photos / "whole.jpg").read_bytes()[:9000])
    coco = coco_of(2, (shoe(image_id=2),))
    coco["images"][1]["file_name"] = name
    page = write_page(coco, photos, tmp_path / "out")
    good, bad = data_of(page)["photos"]
    assert good["fault"] is None and message in bad["fault"]
    assert bad["shapes"][0]["area"] == 400 and str(tmp_path) not in page.read_text()
    assert not (page.parent / "page_files/thumb/000002.jpg").exists()
    assert (page.parent / "sheet.jpg").is_file()


def test_write_page_photo_turned_by_exif_is_shown_as_training_loads_it(photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(photos / "1.jpg", HW[::-1], exif=exif)
    (one,) = data_of(write_page(coco_of(1), photos, tmp_path / "out"))["photos"]
    assert one["size"] == [HW[1], HW[0]] and one["warning"] is None


def test_write_page_photo_of_another_size_says_so(photos, tmp_path):
    photo(photos / "1.jpg", (30, 20))
    (one,) = data_of(write_page(coco_of(1, (shoe(),)), photos, tmp_path / "out"))["photos"]
    assert "the photo is 30 x 20 (height x width), the file says 60 x 40" in one["warning"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segmentation": [[1, 2, 3]]}, "polygons of three or more points"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "a mask of the image's size"),
        ({"segmentation": None}, "no mask"),
        ({"segmentation": 7}, "expected, got 7"),
        ({"segmentation": {"size": list(HW), "counts": [2400]}}, "the mask is empty"),
    ],
)
def test_write_page_broken_mask_is_told_and_its_box_is_drawn(changes, message, photos, tmp_path):
    coco = coco_of(1, (shoe(bbox=[5, 6, 10, 20], **changes),))
    page = write_page(coco, photos, tmp_path / "out")
    (shape,) = data_of(page)["photos"][0]["shapes"]
    assert message in shape["fault"] and shape["area"] is None
    assert data_of(page, "paths") == [["M5 6H15V26H5Z"]]


def test_write_page_file_with_every_fault_is_drawn_all_the_same(photos, tmp_path):
    coco = coco_of(2, (shoe(), shoe(category_id=99), shoe(image_id=55), shoe(bbox=["a"] * 4)))
    coco["images"] += [
        {"id": 1, "file_name": "2.jpg", "height": "60", "width": None},
        {"id": [3], "file_name": 7, "height": 10**9, "width": 10**9},
        {},
        "junk",
    ]
    coco["categories"] += [{"id": None}, {"id": {}, "name": "shoe"}, 5]
    coco["annotations"] += [{}, None, shoe(id=float("nan"), bbox=[float("inf")] * 4)]
    data = data_of(write_page(coco, photos, tmp_path / "out"))
    assert [len(one["shapes"]) for one in data["photos"]] == [4, 0, 0, 0, 0]
    assert data["classes"][-1]["name"] == "unknown category 99"
    assert data["notes"] == [
        "Not shown, for it is no object of JSON: 1 image.",
        "Not shown, for it is no object of JSON: 1 annotation.",
        "Of no photo of the file: 2 annotations.",
    ]
    assert write_page({}, photos, tmp_path / "empty").is_file()


def test_collect_findings_go_to_the_photo_of_id_annotation_or_name():
    coco = coco_of(3, (shoe(image_id=2),))
    coco["images"].append({"id": 1, "file_name": "again.jpg"})
    places = [
        {"image_id": 3}, {"annotation_id": 1}, {"file_name": "1.jpg"}, {"image_id": 99}, {},
        {"image_id": 1, "file_name": "again.jpg"},
    ]  # fmt: skip
    found = cards.collect(coco, [{"kind": "k", **place} for place in places], None)
    assert [card.findings for card in found.cards] == [[2], [1], [0], [5]]
    assert found.loose == [3, 4]


def test_collect_with_a_limit_keeps_the_gravest_in_the_order_of_the_file():
    findings = [
        {"kind": "a", "severity": "warning", "image_id": 5},
        {"kind": "b", "severity": "error", "image_id": 4},
        {"kind": "c", "severity": "note", "image_id": 3},
    ]
    found = cards.collect(coco_of(6), findings, 3)
    assert [card.image_id for card in found.cards] == [3, 4, 5]
    assert [card.image_id for card in cards.collect(coco_of(6), findings, 4).cards] == [1, 3, 4, 5]
    assert found.notes == ["3 of 6 photos are shown, as asked for."]


def test_collect_source_of_a_merged_photo_is_each_of_its_sources():
    coco = coco_of(2)
    coco["images"][0]["source"] = "ccp+imat"
    assert [card.sources for card in cards.collect(coco, [], None).cards] == [["ccp", "imat"], []]


def test_write_page_again_leaves_no_picture_of_the_earlier_one(photos, tmp_path):
    out = tmp_path / "out"
    write_page(coco_of(3), photos, out)
    (out / "page_files/thumb/mine.jpg").touch()
    write_page(coco_of(1), photos, out)
    assert sorted(p.name for p in (out / "page_files/thumb").iterdir()) == [
        "000001.jpg", "mine.jpg",
    ]  # fmt: skip


def test_write_page_photos_in_its_own_folder_are_not_touched(tmp_path):
    source = photo(tmp_path / "out/page_files/thumb/000001.jpg")
    before = source.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(source.parent)
    for images_dir in (source.parent, link, tmp_path / "out/page_files"):
        with pytest.raises(FashionError, match="a folder of photos outside"):
            write_page(coco_of(1), images_dir, tmp_path / "out")
    assert source.read_bytes() == before


@pytest.mark.parametrize("linked", ["page_files", "page_files/large", "page_files/thumb"])
def test_write_page_folder_that_is_a_link_is_refused_and_nothing_removed(linked, tmp_path):
    mine = photo(tmp_path / "photos/000001.jpg")
    photo(tmp_path / "other/1.jpg")
    link = tmp_path / "out" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(mine.parent)
    for images_dir in (mine.parent, tmp_path / "other"):
        with pytest.raises(FashionError, match="a folder of the page expected, got a link"):
            write_page(coco_of(1), images_dir, tmp_path / "out")
    assert mine.is_file()


def test_write_page_jpegs_that_no_page_has_named_stay(photos, tmp_path):
    mine = photo(tmp_path / "out/page_files/large/7.jpg")
    write_page(coco_of(1), photos, tmp_path / "out")
    assert mine.is_file()


@pytest.mark.parametrize("stated_hw", [(46_340, 46_340), (6000, 6000), (8000, 30_000)])
def test_write_page_masks_at_a_size_beyond_reason_are_not_decoded(
    stated_hw, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(rle, "decode", lambda code: pytest.fail(f"decoded {code['size']}"))
    coco = coco_of(1, (shoe(),))
    coco["images"][0] |= {"height": stated_hw[0], "width": stated_hw[1]}
    page = write_page(coco, photos, tmp_path / "out")
    (entry,) = data_of(page)["photos"]
    assert f"{HW[0]} x {HW[1]} (height x width), the file says" in entry["fault"]
    assert f"{stated_hw[0]} x {stated_hw[1]}: masks of that size are not drawn" in entry["fault"]


@pytest.mark.parametrize(
    "value", [10**400, float("inf"), float("nan"), "1"], ids=["401 digits", "inf", "nan", "text"]
)
def test_write_page_box_of_no_usable_number_is_no_box(value, photos, tmp_path):
    page = write_page(
        coco_of(1, (shoe(segmentation=None, bbox=[1, 2, value, 4]),)), photos, tmp_path / "out"
    )
    (shape,) = data_of(page)["photos"][0]["shapes"]
    assert shape["fault"] == "no mask" and data_of(page, "paths") == [[""]]


def test_browse_with_findings_and_limit_writes_the_page(photos, tmp_path, capsys):
    path, found, out = tmp_path / "all.json", tmp_path / "found.json", tmp_path / "out"
    path.write_text(json.dumps(coco_of(3, (shoe(),))))
    found.write_text(json.dumps({"findings": [{"kind": "k", "severity": "error", "image_id": 3}]}))
    words = [path, "--images", photos, "--out", out, "--findings", found, "--limit", "2"]
    assert run(*words, "--size", "64") == 0
    assert [one["id"] for one in data_of(out / "index.html")["photos"]] == [1, 3]
    assert "index.html: 2 photos" in capsys.readouterr().out
    assert run(*words) == 1
    assert "Use --force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.json", "--images", "photos"], "found no file"),
        (["all.json", "--images", "gone"], "the folder of the photos expected"),
        (["all.json", "--images", "photos", "--findings", "bad.json"], "a list of findings"),
        (["sheet/sheet.jpg", "--images", "photos", "--out", "sheet"], "another file than the"),
    ],
)
def test_browse_fault_is_one_line_and_nothing_is_written(
    words, message, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("sheet").mkdir()
    for name in ("all.json", "sheet/sheet.jpg"):
        Path(name).write_text(json.dumps(coco_of(1)))
    Path("bad.json").write_text('{"findings": 7}')
    assert run("--out", "out", *words, "--force") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not Path("out").exists() and len(list(Path("sheet").iterdir())) == 1


def browse(coco: dict, images: Path, out: Path, *words: str) -> int:
    path = out.parent / "all.json"
    path.write_text(json.dumps(coco))
    return run(path, "--images", images, "--out", out, *words)


def test_browse_photos_that_cannot_be_read_are_counted_and_named(photos, tmp_path, capsys):
    (photos / "2.jpg").unlink()
    assert browse(coco_of(3), photos, tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "warning: 1 of 3 photos could not be drawn, e.g. 2.jpg: " in out
    assert "3 photos; open it" in out
    assert browse(coco_of(1), photos, tmp_path / "out", "--force") == 0
    assert "warning" not in capsys.readouterr().out


def test_browse_of_no_photo_that_can_be_drawn_writes_nothing_and_keeps_an_earlier_page(
    photos, tmp_path, capsys
):
    (tmp_path / "empty").mkdir()
    assert browse(coco_of(2), tmp_path / "empty", tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert "got none that can be drawn of 2: 1.jpg: a photo expected, found no file." in message
    assert "Is --images right? Nothing was written." in message
    assert not (tmp_path / "out").exists()
    assert browse(coco_of(2), photos, tmp_path / "out") == 0
    before = sorted(path for path in (tmp_path / "out").rglob("*"))
    assert browse(coco_of(2), tmp_path / "empty", tmp_path / "out", "--force") == 1
    assert sorted(path for path in (tmp_path / "out").rglob("*")) == before
    assert browse({**coco_of(1), "images": []}, tmp_path / "empty", tmp_path / "none") == 0


def test_browse_of_the_folder_above_the_photos_says_where_they_lie(photos, tmp_path, capsys):
    assert browse(coco_of(2), photos.parent, tmp_path / "out") == 1
    assert f"It lies below: give --images {photos}." in capsys.readouterr().err


def test_browse_with_findings_draws_a_faulty_file_and_counts_the_rest(photos, tmp_path, capsys):
    coco = coco_of(3, (shoe(), shoe(category_id=99), shoe(image_id=55), shoe(image_id=2)))
    coco["annotations"][1]["id"] = 1
    coco["images"] += [{"id": 1, "file_name": "2.jpg", "height": 60, "width": 40}, "junk"]
    found = tmp_path / "found.json"
    about = {
        "k": {"meaning": "what it is", "advice": "Do it.", "fix": "that"},
        "of no finding": {},
        "x": 3,
    }
    found.write_text(json.dumps({"findings": [{"kind": "k", "image_id": 3}], "kinds": about}))
    assert browse(coco, photos, tmp_path / "strict") == 1
    capsys.readouterr()
    assert browse(coco, photos, tmp_path / "out", "--findings", str(found)) == 0
    data = data_of(tmp_path / "out/index.html")
    assert [len(one["shapes"]) for one in data["photos"]] == [2, 1, 0, 0]
    assert data["classes"][-1]["name"] == "unknown category 99"
    assert data["about"] == {"k": {"meaning": "what it is", "advice": "Do it. --fix: that."}}
    out = capsys.readouterr().out
    assert "note: Of no photo of the file: 1 annotation." in out
    assert "note: Not shown, for it is no object of JSON: 1 image." in out


@pytest.mark.parametrize("content", ["[]", '{"images": {}}', "{"])
def test_browse_with_findings_of_what_is_no_coco_file_is_refused(content, photos, tmp_path, capsys):
    path, found = tmp_path / "all.json", tmp_path / "found.json"
    path.write_text(content)
    found.write_text("[]")
    out = tmp_path / "out"
    assert run(path, "--images", photos, "--out", out, "--findings", found) == 1
    assert capsys.readouterr().err.startswith(f"error: {path}: ") and not out.exists()


def test_browse_contact_sheet_of_some_photos_says_so(photos, tmp_path, capsys):
    coco = coco_of(49)
    for entry in coco["images"]:
        entry["file_name"] = "1.jpg"
    assert browse(coco, photos, tmp_path / "out") == 0
    told = "48 of 49 photos, evenly spread"
    assert f"{tmp_path}/out/sheet.jpg: {told}\n" in capsys.readouterr().out
    assert data_of(tmp_path / "out/index.html")["sheet"] == told
    with Image.open(tmp_path / "out/sheet.jpg") as sheet:
        foot = np.asarray(sheet.convert("L"))[-25:-5]
    assert (foot < 128).any()  # the same words, below the photos
    coco["images"].pop()
    assert browse(coco, photos, tmp_path / "out", "--force") == 0
    assert told not in capsys.readouterr().out
    assert data_of(tmp_path / "out/index.html")["sheet"] == ""
    with Image.open(tmp_path / "out/sheet.jpg") as sheet:
        assert (np.asarray(sheet.convert("L"))[-8:] > 200).all()


def test_browse_into_the_folder_of_the_photos_is_refused(photos, tmp_path, capsys):
    mine = photo(photos / "sheet.jpg")
    before = mine.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(photos)
    for out in (photos, link):
        assert browse(coco_of(1), photos, out, "--force") == 1
        assert "another folder than that of the photos" in capsys.readouterr().err
    assert mine.read_bytes() == before and not (photos / "index.html").exists()


def test_browse_into_a_folder_with_photos_of_the_set_is_refused(photos, tmp_path, capsys):
    mine = photo(photos / "look" / "sheet.jpg")
    before = mine.read_bytes()
    coco = coco_of(3)
    coco["images"][2]["file_name"] = "./look//sheet.jpg"
    assert browse(coco, photos, photos / "look", "--force", "--limit", "1") == 1
    assert "a folder without photos of the set expected" in capsys.readouterr().err
    assert mine.read_bytes() == before and len(list(mine.parent.iterdir())) == 1
    assert browse(coco, photos, photos / "pages") == 0


def test_write_page_while_another_run_is_at_work_there_is_refused(photos, tmp_path):
    page = write_page(coco_of(1), photos, tmp_path / "out")
    before = page.read_bytes()
    with locked(tmp_path / "out"), pytest.raises(FashionError, match="another run is at work"):
        write_page(coco_of(3), photos, tmp_path / "out")
    assert page.read_bytes() == before
    write_page(coco_of(3), photos, tmp_path / "out")
