"""Checks that no photo that is trained on is scored."""

from __future__ import annotations

import functools
import os.path as osp
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.utils import is_abs

from fashion_mmdet.core.coco import read_coco
from fashion_mmdet.core.errors import ConfigError, FashionError

_OFF = "To overfit on purpose, switch this check off: default_hooks.leak_check=None."


@HOOKS.register_module()
class LeakCheckHook(Hook):
    """Stops a training whose photos are among those that validation or test scores.

    A photo is known by its file. A set that is a cache (``fashion data cache``) stands for the
    photos that it is made of; where their folder is not on this machine, their names are compared.
    Copies of a photo under another name are not seen (``fashion data dedupe`` finds them).

    One process compares, from names alone, and all of them stop.

    Raises:
        ConfigError: naming how many photos, the first, and the files that both sets are read from.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Compare the sets of a run that trains; one that only scores has nothing to compare."""
        dataset = _built(runner, "train")
        if dataset is None:
            return
        fault = [_compare(runner, dataset) if is_main_process() else ""]
        broadcast_object_list(fault)
        if fault[0]:
            raise ConfigError(fault[0])


@dataclass(frozen=True)
class _Photos:
    """The photos of a dataset.

    Attributes:
        said: what the dataset is read from, for messages.
        folder: that ``names`` are relative to; None where it is not on this machine.
        names: file names.
    """

    said: str
    folder: str | None
    names: list[str]

    def keys(self, by_name: bool) -> dict[str, str]:
        """Return what a photo is known by -> its path, for messages."""
        folder = self.folder or ""
        if by_name:
            return {osp.normpath(name): osp.join(folder, name) for name in self.names}
        real = functools.cache(osp.realpath)  # of folders, which are few
        paths = [osp.join(folder, name) for name in self.names]
        return {osp.join(real(osp.dirname(p)), osp.basename(p)): p for p in paths}


def _compare(runner: Runner, trained: Any) -> str:
    """Return the fault, or ``""``; say in the log what was compared."""
    train = list(_photos_of(trained))
    counts = []
    for split in ("val", "test"):
        try:
            scored = list(_scored(runner, split))
        except FashionError as error:  # a test set is not needed to train
            runner.logger.warning(f"leak check: {split} is not compared with train: {error}")
            continue
        for one in scored:
            for other in train:
                by_name = other.folder is None
                mine, theirs = other.keys(by_name), one.keys(by_name)
                common = [path for key, path in theirs.items() if key in mine]
                if common:
                    return (
                        f"train_dataloader: photos that {split}_dataloader does not score "
                        f"expected, got {len(common)} of its {len(theirs)}; the first is "
                        f"{common[0]}. Training reads {other.said}, {split} reads {one.said}. A "
                        "score on photos that were trained on says nothing of others: name another "
                        f"ann_file. {_OFF}"
                    )
        if scored:
            counts.append(f"{sum(len(one.names) for one in scored)} of {split}")
    if train and counts:
        n_trained = sum(len(one.names) for one in train)
        runner.logger.info(
            f"leak check: none of {n_trained} photos of train among {' and '.join(counts)}."
        )
    return ""


def _scored(runner: Runner, split: str) -> Iterator[_Photos]:
    """Yield the photos that ``split`` scores; a run that trains builds no loop for its test."""
    dataset = _built(runner, split)
    if dataset is not None:
        yield from _photos_of(dataset)
        return
    loader = getattr(runner, f"_{split}_dataloader")  # as given: a config, or built by the caller
    yield from _photos_of(loader["dataset"] if isinstance(loader, Mapping) else loader)


def _built(runner: Runner, split: str) -> Any:
    """Return the dataset of a loop that is built, else None."""
    loader = getattr(getattr(runner, f"_{split}_loop"), "dataloader", None)
    return getattr(loader, "dataset", None)


def _photos_of(dataset: Any) -> Iterator[_Photos]:
    """Yield the photos of a dataset, built or a config, or of those that it holds in any way."""
    is_config = isinstance(dataset, Mapping)
    get = dataset.get if is_config else functools.partial(_attribute, dataset)
    parts = get("datasets") or get("dataset")
    if parts:
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            yield from _photos_of(part)
    elif is_config:
        if get("ann_file"):
            yield _read(get("ann_file"), get("data_root") or "", get("data_prefix") or {})
    elif hasattr(dataset, "photos_dir"):
        said = dataset.ann_file
        if dataset.cache is not None:
            said += f", a cache of {dataset.cache.annotations}"
        yield _Photos(said, dataset.photos_dir, dataset.photos)
    elif hasattr(dataset, "get_data_info"):
        names = [dataset.get_data_info(i).get("img_path", "") for i in range(len(dataset))]
        yield _Photos(dataset.ann_file, "", [name for name in names if name])


def _attribute(dataset: Any, name: str) -> Any:
    return getattr(dataset, name, None)


def _read(ann_file: str, data_root: str, data_prefix: Mapping[str, str]) -> _Photos:
    """Read the names from an annotation file, the paths joined as mmengine joins them."""
    path, folder = (
        part if is_abs(part) else osp.join(data_root, part)
        for part in (ann_file, data_prefix.get("img") or "")
    )
    names = [image["file_name"] for image in read_coco(path)["images"]]
    return _Photos(path, folder, names)
