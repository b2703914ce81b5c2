"""The finder that runs a function of ours after a module's import; no torch, no mmengine."""

from __future__ import annotations

import importlib
import sys

import pytest

from fashion_mmdet.compat import after_import


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A waited-for module ``awaited_toy`` and a module of ours, ``ours_toy``."""
    (tmp_path / "awaited_toy.py").write_text("done = True\n")
    (tmp_path / "ours_toy.py").write_text(
        "import awaited_toy\ncalls = []\n"
        "def install():\n    calls.append(getattr(awaited_toy, 'done', False))\n"
    )
    (tmp_path / "other_toy.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(after_import, "MODULES", {"awaited_toy": "ours_toy"})
    before = sys.meta_path[:]
    monkeypatch.setattr(
        sys, "meta_path", [f for f in before if not isinstance(f, after_import._AfterImport)]
    )
    yield tmp_path
    for name in ("awaited_toy", "ours_toy", "other_toy"):
        sys.modules.pop(name, None)


def test_install_module_imported_later_calls_ours_after_its_body(modules):
    after_import.install()
    assert "ours_toy" not in sys.modules
    importlib.import_module("awaited_toy")
    assert sys.modules["ours_toy"].calls == [True]


def test_install_module_imported_before_calls_ours_at_once(modules):
    importlib.import_module("awaited_toy")
    after_import.install()
    assert sys.modules["ours_toy"].calls == [True]


def test_install_within_the_modules_own_import_waits_for_its_end(modules):
    (modules / "awaited_toy.py").write_text(
        "from fashion_mmdet.compat import after_import\n"
        "after_import.install()\nimport other_toy\ndone = True\n"
    )
    importlib.import_module("awaited_toy")
    assert "ours_toy" not in sys.modules
    importlib.import_module("colorsys")
    sys.modules.pop("other_toy")
    importlib.import_module("other_toy")
    assert sys.modules["ours_toy"].calls == [True]


def test_install_twice_adds_one_finder(modules):
    after_import.install()
    after_import.install()
    finders = [f for f in sys.meta_path if isinstance(f, after_import._AfterImport)]
    assert len(finders) == 1


def test_install_keeps_the_modules_own_loader(modules):
    after_import.install()
    module = importlib.import_module("awaited_toy")
    assert module.__loader__.get_source("awaited_toy") == "done = True\n"
