"""A report in a real browser: its pictures show, its tables sort, and it fetches nothing."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from chromium import HOSTILE, dumper, reported
from PIL import Image

from fashion_mmdet.commands import main
from fashion_mmdet.reports import plots
from fashion_mmdet.reports.page import Picture, Pictures, Table, render

pytestmark = pytest.mark.slow

ROWS = [
    ["b run", "9.5 [8.0, 11.0]", "–", "1,200"],
    ["c run", "12.0 [11.1, 13.0]", "−3.5", "90"],
    ["a run", "–", "+0.2", "1,000"],
    [HOSTILE, "10.25", "-1.0", "15e3"],
]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A page with every kind of section."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="JPEG")
    sections = [
        plots.intervals_plot([("one", 0.3, 0.25, 0.33), (HOSTILE, 0.2, 0.18, 0.22)]),
        plots.size_bins(["one"], {"one": {"small": 0.1, "medium": 0.2, "large": None}}),
        Table("Results", HOSTILE, ["run", "AP", "difference", "instances"], ROWS),
        Pictures(HOSTILE, "look", [Picture(stream.getvalue(), HOSTILE)] * 3),
    ]
    path = tmp_path_factory.mktemp("report") / "index.html"
    text = render(HOSTILE, HOSTILE, {"runs": HOSTILE}, [HOSTILE], sections)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def opened(tmp_path):
    return dumper(tmp_path / "profile")


@pytest.fixture
def driven(page, opened):
    def run(steps: str, *more: str) -> list:
        """Run ``steps``, which push onto ``said``, in the page, and return what was said."""
        driver = (
            "<script>addEventListener('load', () => setTimeout(() => { const said = [];"
            f"{steps}; document.body.dataset.driven = JSON.stringify(said); }}, 300));</script>"
        )
        # The page's own policy lets no other script run.
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
        path = page.with_name("driven.html")
        path.write_text(text.replace("</body>", f"{driver}</body>"))
        return json.loads(unescape(reported(opened(path, *more))["driven"]))

    return run


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_in_chromium_shows_all_its_pictures_under_its_own_policy(page, opened, scheme):
    more = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    said = reported(opened(page, *more))
    assert said["images"] == "5" and said["broken"] == "0"


def test_report_in_chromium_counts_a_broken_picture(page, opened):
    broken = page.with_name("broken.html")
    broken.write_text(page.read_text().replace("data:image/jpeg;base64,", "data:image/jpeg,", 1))
    said = reported(opened(broken))
    assert said["images"] == "5" and said["broken"] == "1"


def test_report_in_chromium_hostile_texts_are_shown_as_text(page, opened):
    dom = opened(page)
    assert '<img src="x"' not in dom and 'onerror="' not in dom
    assert "<title>&lt;/script&gt;&lt;img" in dom


@pytest.mark.parametrize(
    ("column", "order", "states"),
    [
        # The highest number first; what is not known stays last either way.
        (1, [["c", "<", "b", "a"], ["b", "<", "c", "a"]], ["descending", "ascending"]),
        (2, [["a", "<", "c", "b"], ["c", "<", "a", "b"]], ["descending", "ascending"]),
        (3, [["<", "b", "a", "c"], ["c", "a", "b", "<"]], ["descending", "ascending"]),
        (0, [["<", "a", "b", "c"], ["c", "b", "a", "<"]], ["ascending", "descending"]),
    ],
)
def test_report_in_chromium_sorts_a_table_at_a_click(driven, column, order, states):
    said = driven(
        f"const head = document.querySelectorAll('th')[{column}];"
        "for (const turn of [0, 1]) { head.querySelector('button').click();"
        " said.push([...document.querySelectorAll('tbody tr')]"
        ".map((row) => row.cells[0].textContent[0]), head.getAttribute('aria-sort')); }"
    )
    assert said == [order[0], states[0], order[1], states[1]]


def test_report_in_chromium_enlarges_a_picture_at_a_click(driven):
    said = driven(
        "const dialog = document.querySelector('dialog'); said.push(dialog.open);"
        "document.querySelectorAll('.zoom')[1].click(); said.push(dialog.open,"
        " dialog.querySelector('img').src.slice(0, 23), dialog.querySelector('p').textContent);"
        "dialog.click(); said.push(dialog.open)"
    )
    assert said == [False, True, "data:image/jpeg;base64,", HOSTILE, False]


def test_report_in_chromium_fetches_nothing(driven):
    said = driven(
        "const of = performance.getEntriesByType('resource').map((entry) => entry.name);"
        "said.push(of.filter((name) => !name.startsWith('data:')), location.protocol)"
    )
    assert said == [[], "file:"]


def test_report_in_chromium_takes_the_dark_plot_on_a_dark_page(driven):
    steps = (
        "const image = document.querySelector('.plot img');"
        "said.push(matchMedia('(prefers-color-scheme: dark)').matches,"
        " image.currentSrc === document.querySelector('.plot source').srcset)"
    )
    assert driven(steps) == [False, False]
    assert driven(steps, "--blink-settings=preferredColorScheme=0") == [True, True]


def test_report_in_chromium_fits_a_phone(driven):
    # Headless windows are no narrower than 500 px; under 640 the page is that of a phone.
    said = driven(
        "said.push(document.documentElement.scrollWidth <= innerWidth, innerWidth < 640)",
        "--window-size=500,900",
    )
    assert said == [True, True]


@pytest.mark.parametrize("command", ["compare", "analyze"])
def test_report_of_a_command_in_chromium_shows_its_plots_and_photos(
    command, opened, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from made_runs import make_run, make_truth

    truth = make_truth(tmp_path / "a set")
    runs = [make_run(tmp_path / "one", truth, 0.5), make_run(tmp_path / "two", truth, 0.8, lr=1)]
    words = [str(run) for run in runs[: 1 if command == "analyze" else 2]]
    assert main([command, *words, "--out", str(tmp_path / "out")]) == 0
    page = tmp_path / "out" / "report.html"
    dom = opened(page)
    said = reported(dom)
    n_plots = dom.count('<figure class="plot"')
    n_photos = dom.count('src="data:image/jpeg')
    assert n_plots >= 4 and n_photos >= 6 and said["broken"] == "0"
    assert int(said["images"]) >= n_plots + n_photos - 1, "the enlarged one is empty at first"
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:|#)""", dom)
