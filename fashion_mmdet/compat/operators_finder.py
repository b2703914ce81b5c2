"""Answers ``import mmcv._ext`` where mmcv has no compiled extension; imports no torch.

mmcv-lite is mmcv without its compiled module, so ``import mmdet.models`` stops at
``No module named 'mmcv._ext'``. A finder appended to ``sys.meta_path`` supplies the module from
:mod:`fashion_mmdet.compat.operators`. Being last, it is asked only when the ordinary path finder
has found nothing: a compiled mmcv wins by itself. Being a real finder with a real spec, it also
satisfies ``pkgutil.find_loader('mmcv._ext')``, by which mmengine and mmcv ask whether the
operators exist; a bare module put into ``sys.modules`` does not.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NoReturn

EXTENSION = "mmcv._ext"

SUPPORTED_OPERATORS = (
    "nms",
    "softnms",
    "roi_align_forward",
    "roi_align_backward",
    "roi_pool_forward",
    "roi_pool_backward",
    "deform_conv_forward",
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "modulated_deform_conv_forward",
    "modulated_deform_conv_backward",
    "sigmoid_focal_loss_forward",
    "sigmoid_focal_loss_backward",
    "ms_deform_attn_forward",
    "ms_deform_attn_backward",
    "get_compiler_version",
    "get_compiling_cuda_version",
)
"""The names of ``mmcv._ext`` that work without a compiled mmcv."""

_INSTEAD = {
    "bbox_overlaps": "mmdet.structures.bbox.bbox_overlaps computes the same in plain torch",
    "carafe": "FPN upsampling by 'nearest' or 'deconv' needs no such operator",
    "softmax_focal_loss": "FocalLoss with use_sigmoid=True works",
    "sync_bn": "the norm type 'SyncBN' is torch's own and works; 'MMSyncBN' is mmcv's",
}


class OperatorMissingError(NotImplementedError):
    """An operator of mmcv that neither a compiled mmcv nor this package provides."""


def missing_operator(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises :class:`OperatorMissingError` naming the operator ``name``.

    mmcv asserts at import that every operator's name exists, so a missing one may complain only
    when it is called.
    """
    instead = next((f" Or: {i}." for prefix, i in _INSTEAD.items() if name.startswith(prefix)), "")

    def raise_missing(*_args: object, **_kwargs: object) -> NoReturn:
        raise OperatorMissingError(
            f"mmcv operator '{name}': expected one of the operators that run without a compiled "
            f"mmcv ({', '.join(SUPPORTED_OPERATORS)}), got a call of '{name}'. Install a compiled "
            "mmcv 2.1: a prebuilt wheel for this torch, or, with a compiler, "
            f"`pip install mmcv==2.1.0 --no-build-isolation`.{instead}"
        )

    raise_missing.__name__ = name
    return raise_missing


def _extension_getattr(name: str) -> Callable[..., NoReturn]:
    """Module ``__getattr__`` of the stand-in: unknown operators, but not Python's own names."""
    if name.startswith("_"):
        raise AttributeError(f"module '{EXTENSION}' has no attribute '{name}'")
    return missing_operator(name)


class _OperatorsLoader(Loader):
    """Fills the module ``mmcv._ext``; only here is torch imported."""

    def exec_module(self, module: ModuleType) -> None:
        _require_torchvision()
        from . import operators, operators_deform

        functions = {**vars(operators), **vars(operators_deform)}
        for name in SUPPORTED_OPERATORS:
            setattr(module, name, functions[name])
        module.__doc__ = operators.__doc__
        module.__getattr__ = _extension_getattr  # type: ignore[method-assign]


class _OperatorsFinder(MetaPathFinder):
    """Finds ``mmcv._ext`` and nothing else."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, _OperatorsLoader(), origin=f"{__package__}.operators")


def install() -> None:
    """Append the finder to ``sys.meta_path``, once however often it is called."""
    if not any(isinstance(finder, _OperatorsFinder) for finder in sys.meta_path):
        sys.meta_path.append(_OperatorsFinder())


def backend() -> str:
    """Say where mmcv's operators come from, importing neither mmcv nor torch.

    Returns:
        ``'compiled mmcv'``, ``'torchvision'`` (this package's operators), or ``'none'`` where
        ``import mmcv.ops`` would fail.
    """
    mmcv = importlib.util.find_spec("mmcv")
    if mmcv is None:
        return "none"
    if PathFinder.find_spec(EXTENSION, mmcv.submodule_search_locations) is not None:
        return "compiled mmcv"
    installed = any(isinstance(finder, _OperatorsFinder) for finder in sys.meta_path)
    return "torchvision" if installed and importlib.util.find_spec("torchvision") else "none"


def _require_torchvision() -> None:
    """Turn the many ways in which a mismatched torchvision fails into one worded ImportError."""
    try:
        import torch
        import torchvision  # noqa: F401  (registers torch.ops.torchvision)

        _ = torch.ops.torchvision.roi_align
    except (ImportError, AttributeError, RuntimeError) as error:
        raise ImportError(
            f"{EXTENSION}: expected a torchvision whose compiled operators load beside this torch, "
            f"got {type(error).__name__}: {error}. Install the torchvision release that matches "
            "the torch build (both CPU or both CUDA, from the same index)."
        ) from error
