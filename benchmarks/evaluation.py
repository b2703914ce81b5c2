"""``FashionMetric`` against mmdet's ``CocoMetric`` on the same detections of a real model.

    python benchmarks/evaluation.py configs/ccp/mask_rcnn_r50_ccp_cpu.py epoch_4.pth

Runs the config's test set through the model once and gives every sample to both metrics. Prints,
in Markdown, how far their figures are apart (1e-9 is allowed), the time that each takes, and the
negative control: with the labels permuted the figures must drop.
"""

from __future__ import annotations

import argparse
import copy
import logging
import platform
import sys
import time
from typing import Any, ClassVar

import torch
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics import coco_metric
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

import fashion_mmdet.register  # noqa: F401
from fashion_mmdet.evaluation import FashionMetric


class _Recording(coco_metric.COCOeval):
    """pycocotools' evaluation, of which CocoMetric shows three digits; here with all of them."""

    recorded: ClassVar[list[Any]] = []

    def summarize(self) -> None:
        super().summarize()
        self.recorded.append(self.stats[:6].copy())


def main() -> None:
    """Predict once, score twice, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    args = parser.parse_args()
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(args.config)
    cfg.load_from, cfg.work_dir = args.checkpoint, "work_dirs/benchmark_evaluation"
    cfg.visualizer.vis_backends = []
    runner = Runner.from_cfg(cfg)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    runner.load_or_resume()
    loader = runner.build_dataloader(cfg.test_dataloader)
    classes = loader.dataset.metainfo["classes"]
    path = cfg.test_evaluator.ann_file
    coco_metric.COCOeval = _Recording
    metrics: dict[str, Any] = {
        "CocoMetric": CocoMetric(path, metric=["bbox", "segm"]),
        "FashionMetric": FashionMetric(path),
        "labels permuted": FashionMetric(path),
    }
    spent = dict.fromkeys(metrics, 0.0)
    for metric in metrics.values():
        metric.dataset_meta = {"classes": classes}
    runner.model.eval()
    n_found = 0
    with torch.no_grad():
        for batch in loader:
            samples = [sample.to_dict() for sample in runner.model.test_step(batch)]
            n_found += sum(len(sample["pred_instances"]["labels"]) for sample in samples)
            for name, metric in metrics.items():
                given = copy.deepcopy(samples)
                if name == "labels permuted":
                    for sample in given:
                        found = sample["pred_instances"]
                        found["labels"] = (found["labels"] + 1) % len(classes)
                start = time.perf_counter()
                metric.process({}, given)
                spent[name] += time.perf_counter() - start
    figures = {}
    for name, metric in metrics.items():
        start = time.perf_counter()
        figures[name] = metric.evaluate(len(loader.dataset))
        spent[name] += time.perf_counter() - start
    names = [f"coco/{kind}_mAP{end}" for kind in ("bbox", "segm")
             for end in ("", "_50", "_75", "_s", "_m", "_l")]  # fmt: skip
    stock, ours, control = figures.values()
    exact = [value for stats in _Recording.recorded for value in stats]
    apart = max(abs(e - ours[n]) for n, e in zip(names, exact, strict=True) if e > -1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{len(loader.dataset)} photos, {n_found} detections\n")
    print("| | CocoMetric | FashionMetric | labels permuted |\n|---|---|---|---|")
    for name in ("coco/bbox_mAP", "coco/segm_mAP", "coco/segm_mAP_50"):
        cells = (stock[name], ours[name], control[name])
        print(f"| {name} | {' | '.join(f'{100 * value:.2f}' for value in cells)} |")
    print(f"| time, s | {' | '.join(f'{seconds:.1f}' for seconds in spent.values())} |")
    print(f"\nlargest difference of {len(names)} figures: {apart:.1e}")
    if apart > 1e-9 or control["coco/segm_mAP"] > ours["coco/segm_mAP"] / 2:
        sys.exit("the metrics disagree, or the control did not drop")


if __name__ == "__main__":
    main()
