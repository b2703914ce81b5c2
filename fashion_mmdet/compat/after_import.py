"""Runs a function of ours as soon as a named module of mmengine has been imported.

mmengine's extension points are calls (``CheckpointLoader.register_scheme``,
``register_backend``) that can only be made once the module that owns them exists. A config's
``custom_imports`` makes them too late for ``mim test`` and not at all for ``DetInferencer``;
importing mmengine at every ``import torch`` would be slow. So a finder waits for the two modules.
It finds nothing itself: the ordinary finders find, the ordinary loader runs the module, and then
ours is called. Imports neither torch nor mmengine.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULES = {
    "mmengine.runner.checkpoint": "fashion_mmdet.compat.checkpoints",
    "mmengine.fileio.backends.registry_utils": "fashion_mmdet.compat.file_backend",
}
"""Module of mmengine to wait for -> module of ours whose ``install()`` is then called."""


class _AfterImport(MetaPathFinder):
    """Lets the other finders answer, and has ``install()`` called once the module has run."""

    def __init__(self) -> None:
        self.half_imported: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        for name in [n for n in self.half_imported if not _running(n)]:
            self.half_imported.discard(name)  # first: the call below imports, and comes back here
            _install_for(name)
        if fullname not in MODULES:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                return _with_call(spec)
        return None


def _with_call(spec: ModuleSpec) -> ModuleSpec:
    """Make ``spec``'s loader call ours after the module has run; it stays the loader it was."""
    exec_module = spec.loader.exec_module  # type: ignore[union-attr]

    def exec_then_install(module: ModuleType) -> None:
        exec_module(module)
        _install_for(spec.name)

    spec.loader.exec_module = exec_then_install  # type: ignore[union-attr,method-assign]
    return spec


def _install_for(name: str) -> None:
    importlib.import_module(MODULES[name]).install()


def _running(name: str) -> bool:
    """Whether the module is in the middle of its own import."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def install() -> None:
    """Have the ``install()`` of :data:`MODULES` called when their time comes; idempotent.

    A module that was imported before gets the call at once; one that is half-way through its
    import (it may be the one that imports torch) gets it at the first import after its own.
    """
    if any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        return
    finder = _AfterImport()
    sys.meta_path.insert(0, finder)
    for name in MODULES:
        if _running(name):
            finder.half_imported.add(name)
        elif name in sys.modules:
            _install_for(name)
