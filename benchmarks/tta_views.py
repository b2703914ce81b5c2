"""What test-time augmentation brings and costs: AP and seconds a photo, by which views are taken.

    python benchmarks/tta_views.py configs/ccp/mask_rcnn_r50_ccp_cpu.py epoch_4.pth

Every photo of the validation set is predicted plain, with those views of the config's
``tta_pipeline`` that differ in the flip alone, in size alone, and with all; one after the other,
photo by photo, so that what else the machine does meets all of them. Loading and resizing is in the
time. Prints Markdown. Choose views by it, and report on the test set: ``fashion test --tta``.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import platform
import time
from typing import Any

import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from tqdm import tqdm

from fashion_mmdet.core.provenance import hardware
from fashion_mmdet.inference.models import load_model, metainfo_of
from fashion_mmdet.models import MaskTTAModel

FIGURES = ("coco/bbox_mAP", "coco/segm_mAP", "coco/segm_mAP_50")


def variants(pipeline: list[Any]) -> dict[str, list[Any]]:
    """Return name -> pipeline of views; of sizes and flips the first alone, or all."""
    out = {}
    for name, all_sizes, all_flips in (("flip", 0, 1), ("sizes", 1, 0), ("flip and sizes", 1, 1)):
        steps = copy.deepcopy(pipeline)
        sizes, flips, packs = steps[-1]["transforms"]
        sizes, flips = sizes if all_sizes else sizes[:1], flips if all_flips else flips[:1]
        steps[-1]["transforms"] = [sizes, flips, packs]
        out[f"{name}: {len(sizes) * len(flips)} views"] = steps
    return out


def main() -> None:
    """Predict the validation set every way, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--photos", type=int, help="the first so many alone")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    logging.disable(logging.WARNING)
    cfg = Config.fromfile(args.config)
    init_default_scope("mmdet")
    classes = metainfo_of(cfg)["classes"]
    model = load_model(cfg, args.checkpoint, classes, "cpu")
    augmented = MaskTTAModel(model).eval()

    given = copy.deepcopy(cfg.val_dataloader.dataset)
    ways: dict[str, tuple[Any, Any]] = {"plain": (model, DATASETS.build(given))}
    for name, pipeline in variants(cfg.tta_pipeline).items():
        ways[name] = (augmented, DATASETS.build({**given, "pipeline": pipeline}))
    metrics, seconds = {}, dict.fromkeys(ways, 0.0)
    for name in ways:
        metrics[name] = METRICS.build(cfg.val_evaluator)
        metrics[name].dataset_meta = ways[name][1].metainfo
    n_photos = min(len(ways["plain"][1]), args.photos or 10**9)
    for i in tqdm(range(n_photos), unit="photo", disable=None):
        for name, (network, dataset) in ways.items():
            start = time.perf_counter()
            with torch.inference_mode():
                found = network.test_step(pseudo_collate([dataset[i]]))
            seconds[name] += time.perf_counter() - start
            metrics[name].process({}, [sample.to_dict() for sample in found])

    print(
        f"{hardware().cpu}, {torch.get_num_threads()} thread, Python {platform.python_version()}, "
        f"torch {torch.__version__}; {n_photos} photos of {cfg.val_evaluator.ann_file}\n"
    )
    print("| views | box AP | mask AP | mask AP50 | s a photo | times plain |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in ways:
        figures = metrics[name].evaluate(n_photos)
        cells = [f"{100 * figures[key]:.1f}" for key in FIGURES]
        each = seconds[name] / n_photos
        times = seconds[name] / seconds["plain"]
        print(f"| {name} | {' | '.join(cells)} | {each:.2f} | {times:.1f} |")


if __name__ == "__main__":
    main()
