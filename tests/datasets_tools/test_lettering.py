"""Text on pictures: an installed font that has it, or the characters by number."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from PIL import Image

from datasets_tools.browse import lettering as own
from fashion_mmdet.commands import main

THAI = "เสื้อ"
FONTS = f"{matplotlib.get_data_path()}/fonts/ttf"


@pytest.fixture
def installed(monkeypatch):
    """Return a function that sets which fonts the machine has."""

    def install(*paths: str) -> None:
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(paths))
        own._installed.cache_clear()
        own._font_with.cache_clear()

    yield install
    own._installed.cache_clear()
    own._font_with.cache_clear()


def test_lettering_of_known_letters_asks_for_no_other_font(monkeypatch):
    monkeypatch.setattr(own, "_installed", lambda: pytest.fail("looked for fonts"))
    text, font = own.lettering("Größe ж", 40, 12)
    assert (text, font.getname()[0]) == ("Größe ж", "DejaVu Sans")
    assert not own.is_escaped("Größe ж")


def test_lettering_without_a_font_writes_what_is_lacking_by_number(installed):
    installed()
    text, font = own.lettering(f"a{THAI}.jpg", 60, 12)
    assert text == "a\\u0e40\\u0e2a\\u0e37\\u0e49\\u0e2d.jpg" and own.is_escaped(THAI)
    assert font.getname()[0] == "DejaVu Sans"
    assert len(own.lettering(THAI * 9, 26, 12)[0]) == 26


def test_lettering_takes_an_installed_font_that_has_all_characters(installed):
    text = "a\u1d81"  # d with a palatal hook: in STIX, not in DejaVu Sans nor Computer Modern
    installed(f"{FONTS}/cmr10.ttf", f"{FONTS}/STIXGeneral.ttf")
    drawn, font = own.lettering(text, 40, 12)
    assert (drawn, font.getname()[0]) == (text, "STIXGeneral") and not own.is_escaped(text)
    # With a letter that it has not, what DejaVu Sans has is still written as it is.
    drawn, font = own.lettering(f"{text}ж{THAI[0]}", 40, 12)
    assert (drawn, font.getname()[0]) == ("a\\u1d81ж\\u0e40", "DejaVu Sans")


def test_lettering_never_takes_the_font_of_boxes_nor_a_broken_one(installed, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_text("no font")
    installed(str(broken), f"{FONTS}/LastResortHE-Regular.ttf")
    assert own.is_escaped(THAI)


def test_browse_names_of_no_installed_font_are_noted_once(installed, tmp_path, capsys):
    installed()
    photos, path = tmp_path / "photos", tmp_path / "all.json"
    photos.mkdir()
    names = [f"{THAI}{number}.jpg" for number in range(2)]
    for name in names:
        Image.new("RGB", (40, 60)).save(photos / name)
    images = [{"id": i, "file_name": n, "height": 60, "width": 40} for i, n in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    out: Path = tmp_path / "out"
    assert main(["data", "browse", str(path), "--images", str(photos), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.count("2 names have characters of no installed font, e.g. ") == 1
    assert "characters of no installed font" in (out / "index.html").read_text()
