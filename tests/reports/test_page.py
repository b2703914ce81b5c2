"""The page of a report: all texts escaped, nothing fetched, every kind of section there."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import pytest
from PIL import Image

from fashion_mmdet.reports.page import Picture, Pictures, Plot, Table, render

HOSTILE = "</script><img src=x onerror='alert(1)'>\"&amp; {{body}}"


def picture(kind: str, size_wh=(60, 40), colour=(200, 30, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size_wh, colour).save(stream, format=kind)
    return stream.getvalue()


@pytest.fixture
def sections():
    png = picture("PNG")
    return [
        Plot("A plot", "how to read it", png, picture("PNG", colour=(0, 0, 0))),
        Table("A table", "in percent", ["run", "AP"], [["one", "3.5"], ["two", "12.0"]]),
        Pictures("Photos", "look", [Picture(picture("JPEG"), "0001.jpg")]),
    ]


def test_render_hostile_texts_are_all_escaped():
    sections = [
        Plot(HOSTILE, HOSTILE, picture("PNG"), picture("PNG")),
        Table(HOSTILE, HOSTILE, [HOSTILE, "AP"], [[HOSTILE, HOSTILE]]),
        Pictures(HOSTILE, HOSTILE, [Picture(picture("JPEG"), HOSTILE)]),
    ]
    page = render(HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, [HOSTILE], sections)
    assert "<img src=x" not in page and "onerror='" not in page
    # title twice, lead, figure and its name, note; of each section title, text and link, of the
    # plot its alternative text, of the table a head and two cells, of the picture two captions.
    assert page.count("&lt;/script&gt;&lt;img src=x") == 6 + 3 * 3 + 1 + 3 + 2
    assert page.count("</script>") == 1


def test_render_half_characters_can_be_written_as_utf_8():
    assert "run\\udcff" in render("run\udcff", "", {}, [], []).encode("utf-8").decode("utf-8")


def test_render_refers_to_nothing_outside(sections):
    page = render("Report", "lead", {"runs": "2"}, ["a note"], sections)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page, re.IGNORECASE)
    sources = re.findall(r'(?:src|srcset|href)="([^"]*)"', page)
    assert sources and all(s.startswith(("data:image/", "#s")) for s in sources)


def test_render_policy_allows_its_own_script_and_data_pictures_alone(sections):
    page = render("Report", "lead", {}, [], sections)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'", "img-src": "data:", "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip


def test_render_every_kind_of_section_is_there_and_linked(sections):
    page = render("Report", "lead", {"runs": "2"}, ["mind this"], sections)
    assert re.findall(r'<a href="#(s\d)">([^<]*)</a>', page) == [
        ("s1", "A plot"), ("s2", "A table"), ("s3", "Photos")
    ]  # fmt: skip
    assert re.findall(r'<section id="(s\d)">', page) == ["s1", "s2", "s3"]
    assert page.count('<th scope="col"') == page.count("<th scope") == 2
    assert re.findall(r"<th[^>]*><button", page) and "<dt>runs</dt><dd>2</dd>" in page
    assert "<li>mind this</li>" in page
    assert re.search(r'<source srcset="data:image/png[^>]*dark', page)
    assert page.count('width="60" height="40"') == 2
    assert '<td class=left>one</td><td>3.5</td>' in page


def test_render_broad_pictures_get_a_broad_grid():
    def grid(size_wh) -> str:
        items = [Picture(picture("JPEG", size_wh), "c")]
        return re.findall(r'<div class="(grid[^"]*)">', render("", "", {}, [],
                          [Pictures("p", "", items)]))[0]  # fmt: skip

    assert grid((80, 50)) == "grid broad" and grid((50, 80)) == "grid"


def test_render_without_anything_is_a_page():
    page = render("Report", "", {}, [], [Pictures("Photos", "", []), Table("t", "", ["a"], [])])
    assert "No pictures." in page and page.endswith("</html>\n")
    assert "{{" not in page
