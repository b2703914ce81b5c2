"""Pages in a real browser: what the tests of pages and of reports share."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: A name from a file that would be HTML where it is not escaped.
HOSTILE = "</script><img src=x onerror='document.title=1'>é &amp; a+b=c"


def dumper(profile: Path) -> Callable[..., str]:
    """Return ``opened(page, *flags, fragment="")``: the DOM that a browser makes of a page.

    The test is skipped, with a word, where there is no browser.
    """
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}) on PATH")

    def opened(page: Path, *flags: str, fragment: str = "") -> str:
        words = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--virtual-time-budget=8000", "--window-size=1400,3000",
            *flags, "--dump-dom", page.as_uri() + fragment,
        ]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return opened


def reported(dom: str) -> dict[str, str]:
    """Return what the page says of itself in the data attributes of its body."""
    (body,) = re.findall(r"<body[^>]*>", dom)
    return dict(re.findall(r'data-([a-z]+)="([^"]*)"', body))
