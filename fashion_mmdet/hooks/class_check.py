"""Checks that datasets, heads and checkpoint speak of the same classes, in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from fashion_mmdet.core.errors import CheckpointError, ConfigError

#: Parts of a detector whose ``num_classes`` counts the classes (an RPN's is always 1).
_HEADS = {"bbox_head", "mask_head"}


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Stops a run whose labels would mean one thing here and another there.

    A label is a position in ``metainfo.classes``. Stock mmdet trains and scores on without a
    word where the heads have another number of classes, where validation names them in another
    order than training, or where a checkpoint was trained on other names.

    Raises:
        ConfigError: for heads or datasets of this run that disagree.
        CheckpointError: for a checkpoint to score or resume that names other classes. One to
            start from may have others (its classifier is then skipped for its shape); where
            their number is the same, so that the classifier is loaded, a warning says so.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Compare the datasets that are built with each other and with the heads."""
        first = None
        for name, classes in _built_classes(runner).items():
            if first is None:
                first = (name, classes)
                require_heads(_bare(runner), classes, name)
            elif classes != first[1]:
                raise ConfigError(
                    f"{name}_dataloader: the classes of {first[0]}_dataloader expected, got "
                    f"others: {_first_difference(first[1], classes)}. Set the same "
                    "metainfo.classes in all dataloaders."
                )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the classes that the checkpoint was trained on with those of this run."""
        built = _built_classes(runner)
        theirs = trained_classes(checkpoint)
        if theirs is None or not built:
            return
        ours = next(iter(built.values()))
        if runner._resume or "train" not in built:
            require_same_classes(theirs, ours, str(runner._load_from or "the checkpoint"))
        elif theirs != ours and len(theirs) == len(ours):
            runner.logger.warning(
                f"weights: {runner._load_from} was trained on other classes of the same number: "
                f"{_first_difference(theirs, ours)}. Its classifier is loaded all the same."
            )


def trained_classes(checkpoint: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that a checkpoint of mmengine was trained on; None if unsaid."""
    meta = checkpoint.get("meta")
    dataset = meta.get("dataset_meta") if isinstance(meta, dict) else None
    classes = dataset.get("classes") if isinstance(dataset, dict) else None
    return tuple(classes) if isinstance(classes, (list, tuple)) else None


def require_same_classes(theirs: Sequence[str], ours: Sequence[str], source: str) -> None:
    """Raise :class:`CheckpointError` unless both name the same classes in the same order."""
    if tuple(theirs) != tuple(ours):
        raise CheckpointError(
            f"{source}: a checkpoint trained on the {len(ours)} classes of this config expected, "
            f"got one of {len(theirs)}: {_first_difference(theirs, ours)}. Use the config that "
            "it was trained with."
        )


def require_heads(model: nn.Module, classes: Sequence[str], where: str) -> None:
    """Raise :class:`ConfigError` unless every head has ``len(classes)`` classes."""
    for name, module in model.named_modules():
        count = getattr(module, "num_classes", None)
        if _HEADS & set(name.split(".")) and count not in (None, len(classes)):
            raise ConfigError(
                f"model.{name}.num_classes: {len(classes)} expected, as {where}_dataloader has "
                f"{len(classes)} classes (metainfo.classes), got {count}. Set "
                "num_classes in the box head and in the mask head."
            )


def _built_classes(runner: Runner) -> dict[str, tuple[str, ...]]:
    """Return split -> class names of the datasets that this run has built."""
    out = {}
    for name in ("train", "val", "test"):
        loader = getattr(getattr(runner, f"_{name}_loop"), "dataloader", None)
        classes = getattr(getattr(loader, "dataset", None), "metainfo", {}).get("classes")
        if classes is not None:
            out[name] = tuple(classes)
    return out


def _first_difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    for i in range(max(len(theirs), len(ours))):
        one, other = (repr(names[i]) if i < len(names) else "none" for names in (theirs, ours))
        if one != other:
            return f"class {i} is {one} there and {other} here"
    return "none"


def _bare(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
