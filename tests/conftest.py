"""Fixtures that every tier shares, and the order of the files; imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: of several workers the last to end then has a short one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def repo_dir() -> Path:
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real data that is not part of the repository: ``$FASHION_SHARED``, else ``../shared``.

    A user's clone has none; what needs it is skipped, with the reason.
    """
    folder = Path(os.environ.get("FASHION_SHARED", REPO.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set FASHION_SHARED to its folder)")
    return folder
