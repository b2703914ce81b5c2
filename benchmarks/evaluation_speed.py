"""What a test of large photos costs after the network: mmdet's way, and this repository's.

    python benchmarks/evaluation_speed.py
    python benchmarks/evaluation_speed.py --images 30      # a look, in about two minutes

Both ways get the same made output of a mask head, photo by photo and in turn, so that what else the
machine does meets both:

* stock: mmdet's ``FCNMaskHead`` pastes bitmaps of the photo's size, ``CocoMetric`` encodes and
  scores them;
* ours: ``EncodedMaskHead`` pastes and encodes within the boxes, ``FashionMetric`` scores, with all
  of its figures and the evidence written.

The photos have truths of smooth outlines and 100 detections each: jittered truths with noisy grids,
and false ones. Each comes from its own seed, so nothing large is kept. The peak of memory is taken
in a process of its own for each way. Prints Markdown; exits with 1 if the figures differ by more
than 1e-9 or ours is not five times as fast.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from tqdm import tqdm

import fashion_mmdet.register  # noqa: F401
from fashion_mmdet.core.evidence import write_evidence
from fashion_mmdet.core.files import write_json
from fashion_mmdet.core.ontology import CLASSES
from fashion_mmdet.core.paste import paste_mask
from fashion_mmdet.core.rle import measure
from fashion_mmdet.evaluation import FashionMetric
from fashion_mmdet.models import EncodedMaskHead

STAGES = ("masks", "process", "compute")
GRID = 28
INSTANCES = 8
TEST_CFG = ConfigDict(mask_thr_binary=0.5)
NAMES = [f"coco/{kind}_mAP{end}" for kind in ("bbox", "segm")
         for end in ("", "_50", "_75", "_s", "_m", "_l")]  # fmt: skip
LEAST_RATIO = 5
MOST_APART = 1e-9


class _Recording(coco_metric.COCOeval):
    """pycocotools' evaluation, of which CocoMetric shows three digits; here with all of them."""

    recorded: ClassVar[list[Any]] = []

    def summarize(self) -> None:
        super().summarize()
        self.recorded.append(self.stats[:6].copy())


class Photos:
    """Made photos of one size: what is on them, and what a network found.

    Args:
        size_hw: height and width in px.
        n_detections: on each photo.
    """

    def __init__(self, size_hw: tuple[int, int], n_detections: int) -> None:
        self.size_hw = size_hw
        self.n_detections = n_detections
        # As the recipe scales photos: 1333 x 800 at most.
        self.scale = min(1333 / max(size_hw), 800 / min(size_hw), 1.0)
        share_K = 1 / np.arange(1, len(CLASSES) + 1)
        self.share_K = share_K / share_K.sum()

    def truth(self, image_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return labels (N,), boxes (N, 4) xyxy in px and logits (N, 28, 28) of what is there."""
        rng = np.random.default_rng((image_id, 0))
        n = max(1, rng.poisson(INSTANCES))
        labels = rng.choice(len(CLASSES), size=n, p=self.share_K)
        return labels, self._boxes(rng, n), _smooth(rng, n)

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return what is there as COCO annotations without ids."""
        found = []
        for label, box_xyxy, logits in zip(*self.truth(image_id), strict=True):
            code = paste_mask(_sigmoid(logits), box_xyxy, *self.size_hw)
            area, box_xywh = measure(code)
            found.append({
                "image_id": image_id, "category_id": int(label) + 1, "segmentation": code,
                "bbox": box_xywh, "area": area, "iscrowd": 0,
            })  # fmt: skip
        return found

    def found(self, image_id: int) -> tuple[InstanceData, torch.Tensor]:
        """Return boxes, labels and scores, and the mask head's output (N, 49, 28, 28)."""
        rng = np.random.default_rng((image_id, 1))
        labels, boxes, logits = self.truth(image_id)
        # Half are near something, as far as there is enough to be near to.
        near = np.sort(rng.integers(len(labels), size=self.n_detections // 2))
        n_false = self.n_detections - near.size
        extent = boxes[near, 2:] - boxes[near, :2]
        moved = boxes[near] + rng.normal(0, 0.06, (near.size, 4)) * np.tile(extent, 2)
        boxes = np.concatenate([moved, self._boxes(rng, n_false)])
        low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
        boxes = np.clip(np.concatenate([low, high], axis=1), 0, np.tile(self.size_hw[::-1], 2))
        noisy = logits[near] + 0.7 * _smooth(rng, near.size) + rng.normal(0, 0.3, (near.size, 1, 1))
        others = rng.choice(len(CLASSES), size=self.n_detections, p=self.share_K)
        mistaken = rng.random(near.size) < 0.15
        right = np.where(mistaken, others[: near.size], labels[near])
        scores = np.concatenate([rng.beta(3, 2, near.size), rng.beta(1, 5, n_false)])
        found = InstanceData(
            bboxes=torch.tensor(boxes * self.scale, dtype=torch.float32),
            labels=torch.tensor(np.concatenate([right, others[near.size :]])),
            scores=torch.tensor(scores, dtype=torch.float32),
        )
        of_label = np.concatenate([noisy, _smooth(rng, n_false)])
        preds = torch.zeros((self.n_detections, len(CLASSES), GRID, GRID))
        preds[torch.arange(self.n_detections), found.labels] = torch.tensor(
            of_label, dtype=torch.float32
        )
        return found, preds

    def _boxes(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return (N, 4) boxes: 4 % of the photo on the mean, half of them below 2.5 %."""
        share = np.minimum(rng.lognormal(np.log(0.025), 1.18, n), 0.5)
        aspect = np.exp(rng.normal(0, 0.5, n))
        area = share * self.size_hw[0] * self.size_hw[1]
        size_N2 = np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect)], axis=1)
        whole = np.array(self.size_hw[::-1])
        size_N2 = np.minimum(size_N2, 0.98 * whole)
        corner = rng.random((n, 2)) * (whole - size_N2)
        return np.concatenate([corner, corner + size_N2], axis=1)


def _smooth(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return (N, 28, 28) logits: a blob with an uneven outline, high within and low outside."""
    coarse = torch.tensor(rng.normal(0, 1.5, (n, 1, 6, 6)))
    wavy = torch.nn.functional.interpolate(coarse, size=(GRID, GRID), mode="bicubic")[:, 0].numpy()
    at = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    return wavy + 8 * (0.9 - np.hypot(at[:, None], at))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


class Way:
    """A mask head and a metric, and the seconds that each stage has taken.

    Args:
        head: a mask head of 49 classes.
        metric: a metric that has its classes.
    """

    def __init__(self, head: FCNMaskHead, metric: Any) -> None:
        self.head, self.metric = head, metric
        metric.dataset_meta = {"classes": CLASSES}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.kept: list[Any] = []

    def take(self, photos: Photos, image_id: int, found: InstanceData, preds: torch.Tensor) -> None:
        """Make the masks of a photo and hand them to the metric."""
        meta = {"scale_factor": (photos.scale, photos.scale), "ori_shape": photos.size_hw}
        given = found.clone()
        given.bboxes = given.bboxes.clone()  # the head scales them in place
        start = time.perf_counter()
        (made,) = self.head.predict_by_feat((preds,), [given], [meta], TEST_CFG, rescale=True)
        middle = time.perf_counter()
        sample = {"img_id": image_id, "ori_shape": photos.size_hw, "pred_instances": made.to_dict()}
        self.metric.process({}, [sample])
        self.seconds["masks"] += middle - start
        self.seconds["process"] += time.perf_counter() - middle

    def figures(self, n_images: int, evidence: Path | None = None) -> dict[str, float]:
        """Score what was taken; also write the evidence, where a file for it is given."""
        self.kept = list(self.metric.results)  # evaluate() drops them
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            figures = self.metric.evaluate(n_images)
        if evidence is not None:
            write_evidence(evidence, self.metric.evidence())
        self.seconds["compute"] += time.perf_counter() - start
        return figures


def make_way(name: str, path: Path) -> Way:
    """Return the way ``"stock"`` or ``"ours"``, scored against the file."""
    if name == "stock":
        metric = CocoMetric(str(path), metric=["bbox", "segm"])
        return Way(FCNMaskHead(num_classes=len(CLASSES)), metric)
    return Way(EncodedMaskHead(num_classes=len(CLASSES)), FashionMetric(str(path)))


def write_truth(path: Path, photos: Photos, image_ids: range) -> list[int]:
    """Write the annotation file of the photos; return the areas of the masks in px."""
    height, width = photos.size_hw
    annotations = [a for i in image_ids for a in photos.annotations(i)]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    write_json(path, {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": height, "width": width}
                   for i in image_ids],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
    })  # fmt: skip
    return [annotation["area"] for annotation in annotations]


def flipped(stock: Way, ours: Way) -> tuple[int, int, int]:
    """Return how many masks the two ways have, how many differ, and by how many pixels in all."""
    n_masks = n_other = n_pixels = 0
    for (_, there), here in zip(stock.kept, ours.kept, strict=True):
        for one, other in zip(there["masks"], here["masks"], strict=True):
            n_masks += 1
            if one["counts"].decode() != other["counts"]:
                n_other += 1
                joint = coco_mask.merge([one, other], intersect=True)
                areas = coco_mask.area([one, other, joint]).astype(int)
                n_pixels += int(areas[0] + areas[1] - 2 * areas[2])
    return n_masks, n_other, n_pixels


def on_codes_of(stock: Way, path: Path) -> dict[str, float]:
    """Return FashionMetric's figures of the very masks that CocoMetric encoded."""
    metric = FashionMetric(str(path))
    metric.dataset_meta = {"classes": CLASSES}
    for _, result in stock.kept:
        found = {key: torch.from_numpy(result[key]) for key in ("bboxes", "labels", "scores")}
        masks = [{**mask, "counts": mask["counts"].decode()} for mask in result["masks"]]
        sample = {"img_id": result["img_id"], "pred_instances": {**found, "masks": masks}}
        metric.process({}, [sample])
    return metric.evaluate(len(stock.kept))


def largest_difference(figures: dict[str, float]) -> float:
    """Return how far the figures are from what pycocotools computed."""
    exact = [value for stats in _Recording.recorded for value in stats]
    return max(abs(e - figures[n]) for n, e in zip(NAMES, exact, strict=True) if e > -1)


def peak_mib(args: argparse.Namespace, name: str) -> tuple[int, int]:
    """Return the peaks of resident memory of a process of one way: before a photo, and at last."""
    run = subprocess.run(
        [sys.executable, __file__, "--images", str(args.memory_images), "--detections",
         str(args.detections), "--size", *map(str, args.size), "--only", name],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    before, after = json.loads(run.stdout.splitlines()[-1])
    return before, after


def only(name: str, photos: Photos, image_ids: range) -> None:
    """Go one way alone, as the child process does, and print its peaks of memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.json"
        write_truth(path, photos, image_ids)
        way = make_way(name, path)
        photos.found(image_ids[0])
        before = _peak_mib()
        for image_id in image_ids:
            way.take(photos, image_id, *photos.found(image_id))
        way.figures(len(image_ids), Path(folder) / "evidence.npz" if name == "ours" else None)
    print(json.dumps([before, _peak_mib()]))


def _peak_mib() -> int:
    """Return this process's peak; getrusage would give the parent's, where that was larger."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) // 1024


def main() -> None:
    """Go both ways, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000, help="photos (default: 1000)")
    parser.add_argument("--detections", type=int, default=100, help="on each (default: 100)")
    parser.add_argument("--size", type=int, nargs=2, default=(2000, 3000), metavar=("H", "W"),
                        help="of a photo in px (default: 2000 3000)")  # fmt: skip
    parser.add_argument("--memory-images", type=int, default=20, metavar="N",
                        help="photos for the peak of memory (default: 20)")  # fmt: skip
    parser.add_argument("--only", choices=("stock", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    MMLogger.get_instance("benchmark").setLevel(logging.WARNING)
    photos, image_ids = Photos(tuple(args.size), args.detections), range(1, args.images + 1)
    if args.only:
        only(args.only, photos, image_ids)
        return
    coco_metric.COCOeval = _Recording
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.json"
        areas = write_truth(path, photos, image_ids)
        ways = {name: make_way(name, path) for name in ("stock", "ours")}
        with torch.no_grad():
            for image_id in tqdm(image_ids, desc="photos"):
                made = photos.found(image_id)
                # In turn, and each as often first.
                for name in sorted(ways, reverse=image_id % 2 == 0):
                    ways[name].take(photos, image_id, *made)
        stock, ours = ways["stock"], ways["ours"]
        stock.figures(args.images)
        figures = ours.figures(args.images, Path(folder) / "evidence.npz")
        size_mib = (Path(folder) / "evidence.npz").stat().st_size / 2**20
        same = largest_difference(on_codes_of(stock, path))
    apart = largest_difference(figures)
    n_masks, n_other, n_pixels = flipped(stock, ours)
    peaks = {name: peak_mib(args, name) for name in ways}
    ratio = sum(stock.seconds.values()) / sum(ours.seconds.values())
    share = np.mean(areas) / (args.size[0] * args.size[1])
    print(
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__} with "
        f"one thread, numpy {np.__version__}; {args.images} photos of {args.size[0]} x "
        f"{args.size[1]} px with {len(areas)} instances (mean mask {100 * share:.1f} % of a photo) "
        f"and {n_masks} detections\n\n"
        "| seconds | mmdet | here | times faster |\n|---|---|---|---|"
    )
    for stage, said in zip(
        STAGES, ("masks from the head's grids", "`process`", "`compute_metrics`"), strict=True
    ):
        one, other = stock.seconds[stage], ours.seconds[stage]
        print(f"| {said} | {one:.1f} | {other:.1f} | {one / other:.1f} |")
    totals = [sum(way.seconds.values()) for way in ways.values()]
    print(f"| together | {totals[0]:.1f} | {totals[1]:.1f} | {ratio:.1f} |")
    print(
        f"| peak memory, MiB, {args.memory_images} photos | {peaks['stock'][1]} | "
        f"{peaks['ours'][1]} | |\n"
        f"| of which before the first photo | {peaks['stock'][0]} | {peaks['ours'][0]} | |\n\n"
        f"coco/segm_mAP {100 * figures['coco/segm_mAP']:.2f}, coco/bbox_mAP "
        f"{100 * figures['coco/bbox_mAP']:.2f}. Masks that differ: {n_other} of {n_masks}, by "
        f"{n_pixels} px in all. Largest difference of {len(NAMES)} figures to pycocotools: "
        f"{apart:.1e}; on the very masks that mmdet pasted: {same:.1e}. Evidence: "
        f"{size_mib:.1f} MiB."
    )
    if max(apart, same) > MOST_APART or ratio < LEAST_RATIO:
        sys.exit(f"figures equal to {MOST_APART} and {LEAST_RATIO} times the speed expected")


if __name__ == "__main__":
    main()
