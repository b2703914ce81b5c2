"""Photos to pictures and COCO results: this repository, mmdet's DetInferencer, torchvision.

    python benchmarks/predict.py work_dirs/mask_rcnn_r50_ccp_cpu photos/ --photos 10

Each photo is enlarged to the size asked for (6 megapixels by default) and saved as JPEG; then each
way, in a process of its own and in turns, reads them, finds up to 100 instances on each, and writes
a picture of each and COCO results with masks:

* ours: what ``fashion predict --pictures --coco --score 0`` does;
* DetInferencer: the same weights in mmdet's own mask head, drawn by its own visualizer;
* torchvision: ``maskrcnn_resnet50_fpn`` at the same size of the network's input, its masks drawn by
  ``draw_segmentation_masks`` and encoded by pycocotools. Its weights are random, and every box is
  let through: what counts is the work, which is that of 100 instances.

The time is that of the whole, less loading the model and, told apart, less the network (everything
up to the grids of the mask head for the two of mmdet; all but pasting for torchvision). The memory
is the process's peak, and by how much it grew beyond the model's. Prints Markdown; exits with 1 if
ours is not twice as fast as DetInferencer, end to end.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from fashion_mmdet.core.provenance import hardware, peak_rss_mib

WAYS = ("ours", "DetInferencer", "torchvision")
LEAST_RATIO = 2


class Watch:
    """Adds up the seconds that a function takes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return watched


def make_photos(source: Path, folder: Path, count: int, megapixels: float) -> None:
    """Save ``count`` photos of ``source``, enlarged, to ``folder``."""
    paths = sorted(p for p in source.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in paths[:: max(1, len(paths) // count)][:count]:
        image = cv2.imread(str(path))
        factor = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
        large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{path.stem}.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 92])


def ours(run: str, photos: Path, out: Path) -> tuple[Callable[[], int], Watch]:
    """Return what is timed, and the watch on the network within it."""
    from fashion_mmdet.core.operating_point import OperatingPoint
    from fashion_mmdet.inference import job, outputs
    from fashion_mmdet.inference.inputs import find_sources
    from fashion_mmdet.inference.ledger import Ledger
    from fashion_mmdet.inference.names import named_apart
    from fashion_mmdet.inference.predictor import Predictor

    predictor = Predictor(run, point=OperatingPoint(score=0.0), device="cpu")
    watch = _on_network(predictor._model)

    def work() -> int:
        sources = find_sources([str(photos)])
        sources.all = named_apart(sources.all, {})
        with Ledger(out / "predictions.jsonl", {}, predictor.classes) as ledger:
            tally = job.run(predictor, sources.all, ledger, out, job.Wanted(True, False))
            entries = job.entries_of(sources.all, ledger)
            outputs.write_results(out, entries, predictor.classes, None)
        return sum(tally.of_class.values())

    return work, watch


def det_inferencer(run: str, photos: Path, out: Path) -> tuple[Callable[[], int], Watch]:
    """As :func:`ours`, by mmdet's inferencer with its own mask head and visualizer."""
    from mmdet.apis import DetInferencer

    from fashion_mmdet.core.trained import find_trained
    from fashion_mmdet.inference.configs import read_config

    trained = find_trained(run)
    cfg = read_config(trained.config)
    cfg.model.roi_head.mask_head.type = "FCNMaskHead"
    cfg.visualizer = {"type": "DetLocalVisualizer", "name": "stock", "vis_backends": []}
    # It looks for this key to make a pipeline of arrays.
    inferencer = DetInferencer(cfg, str(trained.checkpoint), device="cpu", show_progress=False)
    watch = _on_network(inferencer.model)

    def work() -> int:
        inferencer(str(photos), out_dir=str(out), no_save_pred=False, pred_score_thr=0.0)
        found = (json.loads(p.read_text()) for p in (out / "preds").glob("*.json"))
        return sum(len(one["scores"]) for one in found)

    return work, watch


def _on_network(model: torch.nn.Module) -> Watch:
    """Watch all of a model of mmdet but the pasting and encoding of its masks."""
    watch, pasting = Watch(), Watch()
    model.roi_head.test_cfg.score_thr = 0.0  # up to 100 instances on every photo
    head = model.roi_head.mask_head
    head.predict_by_feat = pasting.on(head.predict_by_feat)
    model.test_step = watch.on(model.test_step)
    watch.on_top = pasting  # type: ignore[attr-defined]
    return watch


def torchvision_way(run: str, photos: Path, out: Path) -> tuple[Callable[[], int], Watch]:
    """As :func:`ours`, by torchvision's model, transforms and drawing."""
    from pycocotools import mask as coco_mask
    from torchvision.io import read_image, write_jpeg
    from torchvision.models.detection import maskrcnn_resnet50_fpn
    from torchvision.utils import draw_segmentation_masks

    from fashion_mmdet.core.trained import find_trained
    from fashion_mmdet.inference.configs import read_config
    from fashion_mmdet.inference.models import inner_dataset

    resize = next(
        step for step in inner_dataset(read_config(find_trained(run).config)).pipeline
        if step["type"] == "Resize"
    )  # fmt: skip
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=50, box_score_thresh=0.0,
        min_size=min(resize["scale"]), max_size=max(resize["scale"]),
    ).eval()  # fmt: skip
    watch, pasting = Watch(), Watch()
    model.transform.postprocess = pasting.on(model.transform.postprocess)
    model.forward = watch.on(model.forward)
    watch.on_top = pasting  # type: ignore[attr-defined]

    def work() -> int:
        results: list[dict[str, Any]] = []
        for number, path in enumerate(sorted(photos.iterdir())):
            image = read_image(str(path))
            with torch.inference_mode():
                found = model([image / 255])[0]
            masks = found["masks"][:, 0] > 0.5
            write_jpeg(draw_segmentation_masks(image, masks, alpha=0.5), str(out / path.name))
            codes = coco_mask.encode(np.asfortranarray(masks.permute(1, 2, 0).byte().numpy()))
            for code, box, score in zip(codes, found["boxes"], found["scores"], strict=True):
                code["counts"] = code["counts"].decode()
                results.append(
                    {"image_id": number, "bbox": box.tolist(), "score": float(score),
                     "segmentation": code}
                )  # fmt: skip
        (out / "results.json").write_text(json.dumps(results))
        return len(results)

    return work, watch


def only(way: str, run: str, photos: Path) -> None:
    """Go one way, in this process, and print what it took as JSON."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    logging.disable(logging.WARNING)
    make = {"ours": ours, "DetInferencer": det_inferencer, "torchvision": torchvision_way}[way]
    with tempfile.TemporaryDirectory() as out:
        work, watch = make(run, photos, Path(out))
        before = peak_rss_mib() or 0.0
        start = time.perf_counter()
        n_found = work()
        seconds = time.perf_counter() - start
    network = watch.seconds - watch.on_top.seconds  # type: ignore[attr-defined]
    after = peak_rss_mib() or 0.0
    told = {"seconds": seconds, "network": network, "found": n_found, "peak": after,
            "grown": after - before}  # fmt: skip
    print("told " + json.dumps(told))


def main() -> None:
    """Go every way in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a work dir of a Mask R-CNN")
    parser.add_argument("source", type=Path, help="a folder of photos")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--megapixels", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        only(args.only, args.run, args.source)
        return
    told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        make_photos(args.source, Path(folder), args.photos, args.megapixels)
        n_photos = len(list(Path(folder).iterdir()))
        call = partial(subprocess.run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(args.rounds):
            for way in WAYS:
                words = [sys.executable, __file__, args.run, folder, "--only", way]
                done = call(words, check=True)
                line = next(x for x in done.stdout.splitlines() if x.startswith("told "))
                told[way].append(json.loads(line.removeprefix("told ")))
    sys.exit(0 if report(told, n_photos, args) >= LEAST_RATIO else 1)


def report(
    told: dict[str, list[dict[str, float]]], n_photos: int, args: argparse.Namespace
) -> float:
    """Print the table; return how many times as fast as DetInferencer ours is."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    print(
        f"{hardware().cpu}, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}, Python "
        f"{platform.python_version()}, torch {torch.__version__}; {n_photos} photos of "
        f"{args.megapixels:g} megapixels, {args.rounds} rounds, medians\n"
    )
    middle = {
        way: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for way, rounds in told.items()
    }
    columns = ("", "instances a photo", "s a photo", "of it the network", "the rest", "peak, MiB")
    print(f"| {' | '.join(columns)} | grown by, MiB |\n|---|{'---:|' * len(columns)}")
    for way, of in middle.items():
        whole, network = of["seconds"] / n_photos, of["network"] / n_photos
        print(
            f"| {way} | {of['found'] / n_photos:.0f} | {whole:.2f} | {network:.2f} | "
            f"{whole - network:.2f} | {of['peak']:,.0f} | {of['grown']:,.0f} |"
        )
    own = middle["ours"]
    ratios = {way: middle[way]["seconds"] / own["seconds"] for way in WAYS[1:]}
    print("\nours is " + ", ".join(f"{r:.1f} times as fast as {w}" for w, r in ratios.items()))
    return ratios["DetInferencer"]


if __name__ == "__main__":
    main()
