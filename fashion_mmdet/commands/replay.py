"""What a config's loader does with each instance of a file: for ``fashion data check --config``.

The config's train dataset is built on the file and run image by image, transform by transform,
with mmdet's own code. Every instance is followed from the file to the model by its annotation
id: while the dataset reads (in a subclass that notes what became of which annotation), and
through the transforms, where its position stands in the place of its label, which every
transform that filters instances carries along.
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import Config
from tqdm import tqdm

from fashion_mmdet.commands.configs import load_config
from fashion_mmdet.commands.options import register
from fashion_mmdet.core.errors import ConfigError

#: verdict -> kind of finding in the catalogue of ``fashion data check``; None: nothing to say
VERDICTS: dict[str, str | None] = {
    "kept": None,
    "ignored": "loader ignores",
    "dropped": "loader drops",
    "relabelled": "loader relabels",
}
_LABELS, _FLAGS = "gt_bboxes_labels", "gt_ignore_flags"
_EMPTY = "its mask has no pixel left, its box trains alone"


@dataclass
class Fate:
    """What became of one annotation; ``why`` is empty where there is nothing to say.

    Attributes:
        annotation_id: its id in the file.
        image_id: its image's.
        file_name: its photo.
        category: its category's name in the file.
        verdict: one of :data:`VERDICTS`.
        why: the reason, and who decided: the dataset, ``filter_cfg`` or a transform.
        stage: how far it was followed: ``dataset``, or ``pipeline`` where its image was run.
    """

    annotation_id: int
    image_id: int
    file_name: str
    category: str
    verdict: str = "dropped"
    why: str = ""
    stage: str = "dataset"


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
        :class:`Fate` each) and ``memory`` (bytes; see :func:`memory`).
    """
    cfg = load_config(argparse.Namespace(config=config, cfg_options=None))
    register(cfg)
    given = _dataset_of(cfg)
    place = {"where": os.path.basename(ann_file)}
    try:
        dataset = _build(given, ann_file, images_dir)
    # Whatever stops the dataset would stop training, with a traceback or without.
    except Exception as error:  # noqa: BLE001
        refused = f"{given['type']} stops with {type(error).__name__}: {error}"
        return {
            "lines": [f"replay of {config}: the dataset refuses the file"],
            "findings": [("loader refuses", refused, place)],
        }
    course = _Course(dataset)
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


def _build(given: dict[str, Any], ann_file: str, images_dir: str) -> Any:
    """Build the dataset on our file, as a subclass that notes what becomes of annotations."""
    base = DATASETS.get(given["type"])
    keys = {key: value for key, value in given.items() if key != "type"}
    keys.update(
        data_root="",
        ann_file=os.path.abspath(ann_file),
        data_prefix={"img": os.path.join(os.path.abspath(images_dir), "")},
        serialize_data=False,
        test_mode=False,
    )
    if hasattr(base, "_image_record"):
        keys["check_photos"] = False  # the check has found those that are missing
        return type(base.__name__, (_TracedFashion, base), {})(**keys)
    return type(base.__name__, (_TracedCoco, base), {})(**keys)


class _Traced:
    """Notes, beside the dataset's own work, what becomes of each annotation."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.fates: dict[int, Fate] = {}
        self.names: dict[int, str] = {}
        super().__init__(*args, **kwargs)

    def meet(self, annotation: dict[str, Any], image: dict[str, Any], why: str) -> None:
        """Enter an annotation as dropped for the reason ``why``, until it is known better."""
        category = self.names.get(annotation["category_id"], str(annotation["category_id"]))
        self.fates[annotation["id"]] = Fate(
            annotation["id"], annotation["image_id"], image["file_name"], category, why=why
        )

    def settle(self, annotation_id: int, instance: dict[str, Any] | None, why: str) -> None:
        """Enter what the dataset made of an annotation, and mark the instance with its id."""
        fate = self.fates[annotation_id]
        fate.why = why
        if instance is not None:
            instance["annotation_id"] = annotation_id
            fate.verdict = "ignored" if instance["ignore_flag"] else "kept"

    def filter_data(self) -> list[dict[str, Any]]:
        """Filter as the dataset does; instances of images that go are dropped by filter_cfg."""
        kept = super().filter_data()  # type: ignore[misc]
        staying = {record["img_id"] for record in kept}
        self.n_filtered = len(self.data_list) - len(kept)  # type: ignore[attr-defined]
        for fate in self.fates.values():
            if fate.image_id not in staying and fate.verdict != "dropped":
                rule = self.filter_cfg  # type: ignore[attr-defined]
                fate.why = f"filter_cfg leaves its image out ({dict(rule or {})})"
                fate.verdict = "dropped"
        return kept


class _TracedFashion(_Traced):
    """On ``FashionDataset``, which says why in its own report."""

    report: Counter[str]

    def _map_categories(self, coco: dict[str, Any]) -> Any:
        self.names = {entry["id"]: entry["name"] for entry in coco["categories"]}
        return super()._map_categories(coco)  # type: ignore[misc]

    def _image_record(self, image: Any, annotations: Any, label_of: Any) -> Any:
        for annotation in annotations:
            self.meet(annotation, image, "left out: category not in metainfo.classes")
        return super()._image_record(image, annotations, label_of)  # type: ignore[misc]

    def _instance(self, annotation: dict[str, Any], height_px: int, width_px: int) -> Any:
        before = Counter(self.report)
        instance = super()._instance(annotation, height_px, width_px)  # type: ignore[misc]
        said = sorted(reason for reason in self.report - before)
        why = "; ".join(reason for reason in said if reason not in VERDICTS)
        self.settle(annotation["id"], instance, why)
        return instance


class _TracedCoco(_Traced):
    """On mmdet's ``CocoDataset`` and its kin, which drop without a word."""

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> Any:
        image = raw_data_info["raw_img_info"]
        self.names = {i: entry["name"] for i, entry in self.coco.cats.items()}  # type: ignore[attr-defined]
        record = super().parse_data_info({**raw_data_info, "raw_ann_info": []})  # type: ignore[misc]
        for annotation in raw_data_info["raw_ann_info"]:
            self.meet(annotation, image, "")
            alone = {**raw_data_info, "raw_ann_info": [annotation]}
            found = super().parse_data_info(alone)["instances"]  # type: ignore[misc]
            why = "" if found else self._reason(annotation)
            self.settle(annotation["id"], found[0] if found else None, why)
            record["instances"] += found
        return record

    def _reason(self, annotation: dict[str, Any]) -> str:
        """Name the rule of ``CocoDataset.parse_data_info`` that an annotation broke."""
        if annotation.get("ignore"):
            return "marked 'ignore'"
        if annotation["category_id"] not in self.cat_ids:  # type: ignore[attr-defined]
            return "category not in metainfo.classes"
        return "box under 1 px, outside the image, or area 0"


class _Course:
    """Runs images through the pipeline, and enters what becomes of each instance.

    Attributes:
        dataset: a traced dataset.
        emptied: fates of instances that the model gets with a mask of no pixel.
        failed: (image id, file name, message) where a transform stopped.
        sample_bytes: of each image, what it takes in a batch.
        peak_bytes: of each image, the most that photo and masks took between two transforms.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.emptied: list[Fate] = []
        self.failed: list[tuple[int, str, str]] = []
        self.sample_bytes: list[int] = []
        self.peak_bytes: list[int] = []

    def run(self, index: int) -> None:
        """Run one image of the dataset."""
        results = self.dataset.get_data_info(index)
        alive = [self.dataset.fates[i["annotation_id"]] for i in results["instances"]]
        for fate in alive:
            fate.stage = "pipeline"
        order = alive
        peak, labels_taken = 0, False
        for transform in self.dataset.pipeline.transforms:
            name = type(transform).__name__
            try:
                got = transform(results)
            # Whatever it is, training would stop at this image.
            except Exception as error:  # noqa: BLE001
                path = os.path.basename(results["img_path"])
                message = f"{name} stops with {type(error).__name__}: {error}"
                self.failed.append((results["img_id"], path, message))
                _drop(alive, f"{name} stops at its image")
                return
            if got is None:
                _drop(alive, f"{name} returns nothing: another image is taken in its place")
                return
            results = got
            peak = max(peak, nbytes([results.get(key) for key in ("img", "gt_masks")]))
            if _LABELS not in results:
                continue
            if not labels_taken:
                self._check_labels(order, results)
                results[_LABELS] = np.arange(len(order))
                labels_taken = True
            present = [order[position] for position in results[_LABELS].tolist()]
            here = set(map(id, present))
            _drop([fate for fate in alive if id(fate) not in here], f"dropped by {name}")
            alive = present
        self.peak_bytes.append(peak)
        self._arrive(order, results)

    def _check_labels(self, order: list[Fate], results: dict[str, Any]) -> None:
        """Compare labels and flags, as loaded, with the file's categories and flags."""
        classes = self.dataset.metainfo["classes"]
        for fate, label in zip(order, results[_LABELS].tolist(), strict=True):
            if classes[label] != fate.category:
                fate.verdict = "relabelled"
                fate.why = f"{fate.category!r} in the file trains as {classes[label]!r}"
        for fate, ignored in zip(order, results.get(_FLAGS, []), strict=False):
            if ignored and fate.verdict == "kept":
                fate.verdict = "ignored"
                fate.why = "LoadAnnotations cannot use its segmentation (see poly2mask)"

    def _arrive(self, order: list[Fate], results: dict[str, Any]) -> None:
        """Look at what the model gets."""
        sample = results.get("data_samples")
        taken = [results.get("inputs")]
        for name in ("gt_instances", "ignored_instances"):
            instances = getattr(sample, name, None)
            if instances is None:
                continue
            taken += [instances.get(key) for key in ("bboxes", "labels", "masks")]
            masks = instances.get("masks")
            if name == "ignored_instances" or masks is None:
                continue
            for position, area_px in zip(instances.labels.tolist(), masks.areas, strict=True):
                if not area_px:
                    self.emptied.append(order[position])
        self.sample_bytes.append(nbytes(taken))


def _drop(fates: list[Fate], why: str) -> None:
    for fate in fates:
        fate.verdict, fate.why = "dropped", why


def nbytes(value: Any) -> int:
    """Return the bytes of tensors, arrays and masks, in lists if need be; 0 for anything else."""
    if isinstance(value, (list, tuple)):
        return sum(map(nbytes, value))
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return int(value.nbytes)
    if isinstance(value, (BitmapMasks, PolygonMasks)):
        return nbytes(value.masks)
    tensor = getattr(value, "tensor", None)  # mmdet's boxes
    return nbytes(tensor) if isinstance(tensor, torch.Tensor) else 0


def memory(course: Any, loader: Any) -> dict[str, int]:
    """Return bytes: of a sample (mean, most), of the most while loading, of a worker, of all.

    A worker holds ``prefetch_factor`` batches (2, where the config leaves it at torch's default)
    of the largest sample, and one photo being loaded; without workers, one batch.
    """
    sizes = course.sample_bytes or [0]
    workers = int(loader.get("num_workers", 0))
    batches = int(loader.get("prefetch_factor") or 2) if workers else 1
    peak = max(course.peak_bytes, default=0)
    worker = batches * int(loader.get("batch_size", 1)) * max(sizes) + peak
    return {
        "sample_mean": round(sum(sizes) / len(sizes)),
        "sample_most": max(sizes),
        "loading_most": peak,
        "worker": worker,
        "all_workers": worker * max(workers, 1),
    }


def _spread(n_all: int, n_wanted: int) -> list[int]:
    if not n_wanted or n_wanted >= n_all:
        return list(range(n_all))
    return [position * n_all // n_wanted for position in range(n_wanted)]


def _findings(course: _Course, name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
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


def _lines(config: str, course: _Course, held: dict[str, int], n_run: int) -> Iterator[str]:
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
