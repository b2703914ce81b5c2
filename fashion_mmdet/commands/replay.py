"""What a config's loader does with each instance of a file: for ``fashion data check --config``.

The config's train dataset is built on the file and run image by image, transform by transform,
with mmdet's own code. Every instance is followed from the file to the model by its annotation
id: while the dataset reads (:mod:`.traced_dataset`), and through the transforms
(:mod:`.replay_course`).
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from tqdm import tqdm

from fashion_mmdet.commands.configs import load_config
from fashion_mmdet.commands.options import register
from fashion_mmdet.commands.replay_course import Course, memory
from fashion_mmdet.commands.traced_dataset import VERDICTS, Fate, traced_dataset
from fashion_mmdet.core.errors import ConfigError

_EMPTY = "its mask has no pixel left, its box trains alone"


def replay(config: str, ann_file: str, images_dir: str, n_images: int) -> dict[str, Any]:
    """Run the loader of ``config`` on ``ann_file``; see ``datasets_tools.check.Replayer``.

    Args:
        config: path of the config.
        ann_file: the COCO file, in the place of the config's.
        images_dir: the folder of its photos.
        n_images: how many images go through the pipeline, evenly spread; 0: all. What the
            dataset does is told of all.

    Returns:
        ``lines`` to print, ``findings``, ``verdicts`` (verdict -> count), ``instances`` (a
        :class:`.Fate` each) and ``memory`` (bytes; see :func:`memory`).
    """
    cfg = load_config(argparse.Namespace(config=config, cfg_options=None))
    register(cfg)
    given = _dataset_of(cfg)
    place = {"where": os.path.basename(ann_file)}
    try:
        dataset = traced_dataset(given, ann_file, images_dir)
    # Whatever stops the dataset would stop training, with a traceback or without.
    except Exception as error:  # noqa: BLE001
        refused = f"{given['type']} stops with {type(error).__name__}: {error}"
        return {
            "lines": [f"replay of {config}: the dataset refuses the file"],
            "findings": [("loader refuses", refused, place)],
        }
    course = Course(dataset)
    indexes = _spread(len(dataset), n_images)
    random.seed(0)  # two replays of one file say the same
    np.random.seed(0)
    for index in tqdm(indexes, unit="image", desc="replay", disable=None):
        course.run(index)
    held = memory(course, cfg.train_dataloader)
    fates = list(dataset.fates.values())
    verdicts = Counter(fate.verdict for fate in fates)
    return {
        "lines": list(_lines(config, course, held, len(indexes))),
        "findings": list(_findings(course, place["where"])),
        "config": config,
        "images_run": len(indexes),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "instances": [vars(fate) for fate in fates],
        "memory": held,
    }


def _dataset_of(cfg: Config) -> dict[str, Any]:
    """Return the part of the config that reads the annotation file."""
    given = cfg.train_dataloader.dataset
    while "ann_file" not in given and isinstance(given.get("dataset"), dict):
        given = given.dataset  # of RepeatDataset and its kind, the one that they wrap
    if "ann_file" not in given or not _is_coco(DATASETS.get(given.type)):
        raise ConfigError(
            f"{cfg.filename}: a train dataset of COCO's kind and of one annotation file "
            f"expected, got {given.get('type')}. Replay its parts one by one."
        )
    return given.copy()


def _is_coco(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, CocoDataset)


def _spread(n_all: int, n_wanted: int) -> list[int]:
    if not n_wanted or n_wanted >= n_all:
        return list(range(n_all))
    return [position * n_all // n_wanted for position in range(n_wanted)]


def _findings(course: Course, name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (kind, message, place) of all that does not reach the model as it is in the file."""
    for image_id, path, message in course.failed:
        where = f"{name}: image {image_id}"
        yield "loader fails", message, {"where": where, "image_id": image_id, "file_name": path}
    for fate in course.dataset.fates.values():
        kind = VERDICTS[fate.verdict]
        if kind is not None:
            yield kind, f"{fate.why}.", _place(fate, name)
    for fate in course.emptied:
        yield "loader empties", f"{_EMPTY}.", _place(fate, name)


def _place(fate: Fate, name: str) -> dict[str, Any]:
    return {
        "where": f"{name}: annotation {fate.annotation_id}",
        "image_id": fate.image_id,
        "annotation_id": fate.annotation_id,
        "file_name": fate.file_name,
    }


def _lines(config: str, course: Course, held: dict[str, int], n_run: int) -> Iterator[str]:
    dataset = course.dataset
    fates = dataset.fates.values()
    yield (
        f"replay of {config}: {len(dataset):,} images in the dataset, {dataset.n_filtered:,} left "
        f"out by filter_cfg; {n_run:,} run through the pipeline"
    )
    verdicts = Counter(fate.verdict for fate in fates)
    shown = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in VERDICTS)
    yield f"    instances: {shown}"
    reasons = Counter((fate.verdict, fate.why) for fate in fates if fate.why)
    for (verdict, why), count in reasons.most_common(10):
        yield f"    {count:,} {verdict}: {why}"
    if len(reasons) > 10:
        yield f"    and {len(reasons) - 10} more reasons, see --json"
    mib = {key: f"{value / 2**20:,.1f} MiB" for key, value in held.items()}
    yield (
        f"    memory: {mib['sample_mean']} a sample on average, {mib['sample_most']} at most; "
        f"{mib['loading_most']} at most while loading; {mib['worker']} a worker, "
        f"{mib['all_workers']} all workers"
    )
