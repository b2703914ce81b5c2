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

from .weights_report import bare

#: Parts of a detector whose ``num_classes`` counts the classes (an RPN's is always 1).
_HEADS = {"bbox_head", "mask_head", "point_head", "mask_iou_head"}
_OFF = "If it is right as it is, switch this check off: default_hooks.class_check=None."


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
                require_heads(bare(runner), classes, name)
                for source, checkpoint in _members(runner):
                    require_same_classes(trained_classes(checkpoint) or classes, classes, source)
            elif classes != first[1]:
                raise ConfigError(
                    f"{name}_dataloader: the classes of {first[0]}_dataloader expected, got "
                    f"others: {_first_difference(first[1], classes)}. Set the same "
                    f"metainfo.classes in all dataloaders. {_OFF}"
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
    if not isinstance(meta, dict):
        return None
    dataset = meta.get("dataset_meta")
    # mmdet 3 writes the first, its release candidates the second, mmdet 2 the third.
    for place, key in ((dataset, "classes"), (dataset, "CLASSES"), (meta, "CLASSES")):
        names = place.get(key) if isinstance(place, dict) else None
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def require_same_classes(theirs: Sequence[str], ours: Sequence[str], source: str) -> None:
    """Raise :class:`CheckpointError` unless both name the same classes in the same order."""
    if tuple(theirs) != tuple(ours):
        raise CheckpointError(
            f"{source}: a checkpoint trained on the {len(ours)} classes of this config expected, "
            f"got one of {len(theirs)}: {_first_difference(theirs, ours)}. Use the config that "
            f"it was trained with. {_OFF}"
        )


def require_heads(model: nn.Module, classes: Sequence[str], where: str) -> None:
    """Raise :class:`ConfigError` unless every head has ``len(classes)`` classes.

    Heads that predict one mask for all classes, and models whose classes are things and stuff,
    are not asked.
    """
    if hasattr(model, "panoptic_fusion_head"):
        return
    for name, module in model.named_modules():
        if not _HEADS & set(name.split(".")) or getattr(module, "class_agnostic", False):
            continue
        count = getattr(module, "num_classes", None)
        if count not in (None, len(classes)):
            raise ConfigError(
                f"model.{name}.num_classes: {len(classes)} expected, as {where}_dataloader has "
                f"{len(classes)} classes (metainfo.classes), got {count}. Set num_classes in the "
                f"box head and in the mask head. {_OFF}"
            )


def _members(runner: Runner) -> list[tuple[str, dict[str, Any]]]:
    """Return file and checkpoint of the further models of an ensemble (``MaskTTAModel``)."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return getattr(model, "member_checkpoints", [])


def _built_classes(runner: Runner) -> dict[str, tuple[str, ...]]:
    """Return split -> class names of the datasets that this run has built."""
    out = {}
    for name in ("train", "val", "test"):
        loader = getattr(getattr(runner, f"_{name}_loop"), "dataloader", None)
        metainfo = getattr(getattr(loader, "dataset", None), "metainfo", {})
        # Datasets joined by mmdet's ConcatDataset have one each where they differ in anything.
        several = metainfo if isinstance(metainfo, (list, tuple)) else [metainfo]
        named = [tuple(one["classes"]) for one in several if one.get("classes") is not None]
        for i, classes in enumerate(named):
            out[f"{name}[{i}]" if i else name] = classes
    return out


def _first_difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    for i in range(max(len(theirs), len(ours))):
        one, other = (repr(names[i][:80]) if i < len(names) else "none" for names in (theirs, ours))
        if one != other:
            return f"class {i} is {one} there and {other} here"
    return "none"
