"""The pages in a real browser: photos load, filters work, nothing of a file becomes HTML."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from chromium import HOSTILE, dumper, reported
from PIL import Image

from datasets_tools import browse, stats
from datasets_tools.stats import summary, tables

pytestmark = pytest.mark.slow

CLASSES = ("shoe", "hat", HOSTILE)
SIDES_PX = {"small": 20, "medium": 60, "large": 150}
BROKEN = 3


@pytest.fixture(scope="module")
def coco() -> dict:
    """70 photos, so two pages; class, size and source follow from the number."""
    images, annotations = [], []
    for number in range(1, 71):
        images.append(
            {"id": number * 10, "file_name": f"sub/Photo {number:02d}.jpg", "height": 200,
             "width": 160, "source": ("ccp", "imat", "ccp+imat")[number % 3]}
        )  # fmt: skip
        for k, side in enumerate(SIDES_PX.values()):
            if number % (k + 2) == 0:
                polygon = [5, 5, 5 + side, 5, 5 + side, 5 + side, 5, 5 + side]
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number * 10,
                     "category_id": (number + k) % 3, "segmentation": [polygon]}
                )  # fmt: skip
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


FINDINGS = [
    {"kind": "empty mask", "severity": "error", "message": "m", "image_id": 50, "where": "w"},
    {"kind": "empty mask", "severity": "error", "message": "m", "image_id": 640, "where": "w"},
    {"kind": HOSTILE, "severity": "warning", "message": HOSTILE, "image_id": 50, "where": HOSTILE},
    {"kind": "whole file", "severity": "note", "message": HOSTILE, "where": "w"},
]


@pytest.fixture(scope="module")
def page(coco, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    (folder / "photos" / "sub").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (20, 16, 3), dtype=np.uint8)
    for number, entry in enumerate(coco["images"], start=1):
        picture = Image.fromarray(noise).resize((160, 200))
        picture.save(folder / "photos" / entry["file_name"])
        if number == BROKEN:
            (folder / "photos" / entry["file_name"]).write_text("no photo")
    return browse.write_page(
        coco, folder / "photos", folder / "out", findings=FINDINGS, title=HOSTILE, size_px=128
    ).index


@pytest.fixture
def opened(tmp_path):
    return dumper(tmp_path / "profile")


def count(coco: dict, *, label=None, size=None, source=None, text="") -> int:
    """Count the photos that fit, from the file alone."""
    n_shown = 0
    for entry in coco["images"]:
        masks = [a for a in coco["annotations"] if a["image_id"] == entry["id"]]
        right_px = None if size is None else 5 + SIDES_PX[size]
        fits_mask = any(
            label in (None, a["category_id"]) and right_px in (None, a["segmentation"][0][2])
            for a in masks
        )
        n_shown += (
            (fits_mask or (label is None and size is None))
            and (source is None or source in entry["source"].split("+"))
            and text.lower() in entry["file_name"].lower()
        )
    return n_shown


def test_browse_page_in_chromium_loads_its_pictures(page, opened):
    dom = opened(page)
    said = reported(dom)
    assert said["ready"] == "true" and said["failed"] == "0"
    assert (said["shown"], said["cards"]) == ("70", "60")
    # Lazy: those in sight and near, at least the 42 in the window, and never the broken one.
    assert 42 <= int(said["loaded"]) <= 59
    widths = re.findall(r'<img[^>]*data-natural-width="(\d+)"', dom)
    assert set(widths) == {"102"} and len(widths) == int(said["loaded"])
    assert dom.count("UnidentifiedImageError</div>") == 0
    assert len(re.findall(r'<div class="reason">[^<]*Photo 03.jpg', dom)) == 1


def test_browse_page_without_photos_in_chromium_says_so(coco, opened, tmp_path):
    (tmp_path / "photos").mkdir()
    note = "Nothing was found: 70 images."
    page = browse.write_page(coco, tmp_path / "photos", tmp_path / "out", notes=[note], limit=0)
    dom = opened(page.index)
    said = reported(dom)
    assert (said["ready"], said["shown"], said["cards"]) == ("true", "0", "0")
    assert f'<div class="said">{note}</div>' in dom
    assert re.search(r'<div id="empty">No photos are shown.</div>', dom)
    assert "as asked for" not in dom
    assert "contact sheet" not in dom.partition("<script")[0]


def test_browse_page_in_chromium_shows_advice_and_extent_of_the_contact_sheet(
    coco, page, opened, tmp_path
):
    about = {kind: {"meaning": "It is", "advice": f"Do {HOSTILE}"} for kind in ("empty mask",)}
    photos = page.parent.parent / "photos"
    own = browse.write_page(coco, photos, tmp_path / "out", findings=FINDINGS, about=about)
    body = opened(own.index).partition("<script")[0]
    (advice,) = re.findall(r'<div class="faint">(It is. Do [^<]*)</div>', body)
    assert advice.startswith("It is. Do &lt;/script&gt;&lt;img")
    assert ">contact sheet (48 of 70 photos, evenly spread)</a>" in body


@pytest.mark.parametrize(
    ("fragment", "wanted"),
    [
        ("#class=shoe", {"label": 0}),
        ("#class=shoe&size=small", {"label": 0, "size": "small"}),
        ("#size=large", {"size": "large"}),
        ("#source=imat&class=hat", {"source": "imat", "label": 1}),
        ("#q=PHOTO%200", {"text": "photo 0"}),
        ("#class=zebra", {"label": 9}),
        ("#class=%3C%2Fscript%3E%3Cimg%20src%3Dx%20onerror%3D%27document.title%3D1%27%3E%C3%A9%20"
         "%26amp%3B%20a%2Bb%3Dc", {"label": 2}),
    ],
)  # fmt: skip
def test_browse_page_in_chromium_filters_as_the_file_says(page, opened, coco, fragment, wanted):
    dom, n_photos = opened(page, fragment=fragment), count(coco, **wanted)
    said = reported(dom)
    assert int(said["shown"]) == n_photos
    assert int(said["cards"]) == min(n_photos, 60) == dom.count('class="card"')
    assert (n_photos == 0) == (wanted.get("label") == 9)


def test_browse_page_in_chromium_filters_by_finding_and_turns_pages(page, opened):
    dom = opened(page, fragment="#finding=empty+mask")
    assert re.findall(r'class="card" data-number="(\d+)"', dom) == ["5", "64"]
    assert "4 findings" in dom and "1 finding of no photo in the file" in dom
    dom = opened(page, fragment="#page=2")
    assert re.findall(r'data-number="(\d+)"', dom) == [str(n) for n in range(61, 71)]


def test_browse_page_in_chromium_opens_a_photo_with_its_masks_and_findings(page, opened, coco):
    dom = opened(page, fragment="#photo=64")
    masks = [a for a in coco["annotations"] if a["image_id"] == 640]
    assert len(masks) == 2 and reported(dom)["open"] == "64"
    assert dom.count("<path ") == dom.count('type="checkbox"') == 2
    assert re.search(r'large/000064.jpg"[^>]*data-natural-width="160"', dom)
    assert '<b class="error">error: empty mask</b>' in dom
    dom = opened(page, fragment="#photo=3")
    assert dom.count("<path ") == 0 and dom.count('<div class="reason">') == 2


def test_browse_page_in_chromium_hostile_texts_are_shown_as_text(page, opened):
    dom = opened(page, fragment="#photo=5")
    assert '<img src="x"' not in dom and 'onerror="' not in dom
    assert "<title>&lt;/script&gt;&lt;img" in dom
    assert "warning: &lt;/script&gt;&lt;img" in dom


def test_browse_page_in_chromium_obeys_keys_and_clicks(page, opened, tmp_path):
    driver = """<script>
    const said = [], body = document.body;
    const press = (key) => dispatchEventTo(document.activeElement, key);
    const dispatchEventTo = (element, key) =>
      element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const hidden = () => document.querySelectorAll('path[style*="none"]').length;
    const wait = () => new Promise((resolve) => setTimeout(resolve, 200));
    (async () => {
      await wait(); press("ArrowRight"); await wait(); said.push(body.dataset.open);
      press("ArrowLeft"); await wait(); said.push(body.dataset.open);
      document.querySelector("aside input").click(); said.push(hidden());
      document.querySelector("aside .link").click(); said.push(hidden());
      document.querySelector("aside .link").click(); said.push(hidden());
      document.querySelector("#close").click(); await wait();
      said.push(body.dataset.open === undefined, document.querySelector("dialog").open);
      press("ArrowRight"); await wait(); said.push(location.hash, body.dataset.cards);
      document.querySelector("[name=size]").value = "large";
      document.querySelector("[name=size]").dispatchEvent(new Event("input"));
      await wait(); said.push(location.hash, body.dataset.shown);
      document.querySelector("[type=reset]").click();
      await wait(); said.push(location.hash, body.dataset.shown);
      body.dataset.driven = said.join(" ");
    })();
    </script></body>"""
    # The page's own policy lets no other script run.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    driven = page.with_name("driven.html")
    driven.write_text(text.replace("</body>", driver))
    said = reported(opened(driven, fragment="#photo=12"))["driven"].split()
    assert said[:2] == ["13", "12"]  # one photo on, and back
    assert said[2:5] == ["1", "3", "0"]  # masks hidden: one, all, none
    assert said[5:7] == ["true", "false"]  # closed
    assert said[7:9] == ["#page=2", "10"]
    assert said[9:11] == ["#size=large", "17"]
    assert said[11:] == ["#", "70"] or said[11:] == ["70"]


def test_stats_page_in_chromium_shows_all_its_plots(coco, opened, tmp_path):
    coco = json.loads(json.dumps(coco))
    measured = tables.measure(coco, "all.json")
    found = summary.compute(measured, {}, stats.ANCHORS_PX, stats.SIZE)
    stats.write(measured, {}, found, tmp_path / "out", "all.json")
    page = tmp_path / "out" / "index.html"
    script = (
        "<script>for (const image of document.images) image.loading = 'eager';"
        "addEventListener('load', () => { document.body.dataset.widths ="
        " [...document.images].map((image) => image.naturalWidth).join(' '); });</script>"
    )
    page.write_text(page.read_text().replace("</main>", f"{script}</main>"))
    widths = [int(width) for width in reported(opened(page))["widths"].split()]
    assert len(widths) == 7 and min(widths) > 500
