"""Images through a pipeline, transform by transform: where instances get lost, and how much memory.

The position of an instance stands in the place of its label, which every transform that filters
instances carries along.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from fashion_mmdet.commands.traced_dataset import Fate

_LABELS, _FLAGS = "gt_bboxes_labels", "gt_ignore_flags"


class Course:
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


def memory(course: Course, loader: Any) -> dict[str, int]:
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
