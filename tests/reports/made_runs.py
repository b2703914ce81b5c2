"""Work dirs of runs that were never run: photos, truth and models of a chosen skill, by seed."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fashion_mmdet.core.average_precision import average_precision, checked
from fashion_mmdet.core.evidence import Evidence, write_evidence
from fashion_mmdet.core.files import sha256_of
from fashion_mmdet.core.ground_truth import read_ground_truth
from fashion_mmdet.core.loss_curve import LossPoint
from fashion_mmdet.core.matching import match
from fashion_mmdet.core.ontology import CLASSES
from fashion_mmdet.core.provenance import Code, DataFile, Hardware
from fashion_mmdet.core.rle import area_px, encode_mask
from fashion_mmdet.core.run_record import (
    SCHEMA,
    Compute,
    Parameters,
    RunRecord,
    ScoredTest,
    Session,
    Setting,
    Validation,
    write_run,
)
from fashion_mmdet.core.shapes import to_shapes

LABELS = (0, 6, 10, 23, 33)  # a few classes, of several super-categories
HEIGHT, WIDTH = 90, 70
CONFIG: dict[str, Any] = {
    "model": {"backbone": {"type": "ResNet", "depth": 18}},
    "train_dataloader": {"batch_size": 4, "dataset": {"data_root": "data/", "type": "X"}},
    "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.0005}},
    "train_cfg": {"max_epochs": 3},
    "work_dir": "work_dirs/x",
}
SETTING = Setting(
    Code("a" * 40, True), {"torch": "2.14.1"}, Hardware("a processor", 2, 8000), "none", 1, {}
)


def make_truth(folder: Path, n_images: int = 30, seed: int = 0) -> Path:
    """Write photos and ``test.json``; return the latter's path."""
    rng = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True)
    images, annotations = [], []
    for i in range(n_images):
        photo = np.full((HEIGHT, WIDTH, 3), 120, dtype=np.uint8)
        for _ in range(rng.integers(1, 5)):
            x, y, w, h = (int(v) for v in rng.integers([2, 2, 8, 8], [45, 60, 24, 28]))
            label = int(rng.choice(LABELS))
            photo[y : y + h, x : x + w] = rng.integers(0, 255, 3)
            annotations.append({
                "id": len(annotations) + 1, "image_id": i + 1, "category_id": label,
                "segmentation": encode_mask(_box(x, y, w, h)), "iscrowd": 0,
            })  # fmt: skip
        name = f"photo {i + 1:03d}.jpg"
        Image.fromarray(photo).save(folder / "photos" / name)
        images.append({"id": i + 1, "file_name": name, "height": HEIGHT, "width": WIDTH})
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES)]
    path = folder / "test.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def _box(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[max(y, 0) : max(y + h, 1), max(x, 0) : max(x + w, 1)] = True
    return mask


def detections(truth: Any, skill: float, seed: int) -> list[dict[str, Any]]:
    """Return what a model of a skill of 0 to 1 finds: shifted, missed, confused and false."""
    rng = np.random.default_rng(seed)
    found = []
    for instance in truth.annotations:
        if rng.random() > 0.4 + 0.6 * skill:
            continue
        x, y, w, h = (int(v) for v in instance["bbox"])
        dx, dy = (int(v) for v in np.rint(rng.normal(0, 5 * (1 - skill), 2)))
        wrong = rng.random() > 0.6 + 0.4 * skill
        label = int(rng.choice(LABELS)) if wrong else instance["category_id"]
        found.append((instance["image_id"], label, (x + dx, y + dy, w, h), rng.beta(6, 2)))
        if rng.random() > 0.8:
            found.append((instance["image_id"], label, (x + 1, y, w, h), rng.beta(2, 3)))
    for image_id in truth.size_hw_of:
        if rng.random() > skill:
            x, y = (int(v) for v in rng.integers(0, 40, 2))
            found.append((image_id, int(rng.choice(LABELS)), (x, y, 12, 12), rng.beta(2, 4)))
    out = []
    for image_id, label, (x, y, w, h), score in found:
        mask = encode_mask(_box(x, y, w, h))
        if area_px(mask):
            x, y = max(x, 0), max(y, 0)
            out.append({"image_id": image_id, "label": label, "score": float(score),
                        "bbox": [x, y, w, h], "segmentation": mask})  # fmt: skip
    return out


def evidence_of(path: Path, skill: float, seed: int) -> tuple[Evidence, dict[str, float]]:
    """Return the evidence and the figures of a model of that skill."""
    truth = read_ground_truth(path, CLASSES, masks=True)
    found = detections(truth, skill, seed)
    position = {image_id: n for n, image_id in enumerate(sorted(truth.size_hw_of))}
    figures, matches, ready = {}, {}, []
    for kind in ("bbox", "segm"):
        ready = checked(truth, found, kind)
        matches[kind] = match(truth.size_hw_of, truth.annotations, ready, kind)
        for name, value in average_precision(truth, found, kind).summary.items():
            figures[f"coco/{kind}_{name}"] = value
    evidence = Evidence(
        classes=truth.classes, annotations=path.name, sha256=sha256_of(path),
        photos=str(path.parent / "photos"), file_names=truth.file_names,
        image_ids=np.array(sorted(position)),
        size_hw=np.array([truth.size_hw_of[i] for i in sorted(position)]),
        predicted=np.ones(len(position), bool),
        truth=to_shapes(truth.annotations, position, "category_id"),
        found=to_shapes(ready, position, "label"), matches=matches,
    )  # fmt: skip
    return evidence, figures


def make_run(
    folder: Path, truth: Path, skill: float, seed: int = 0, split: str = "test", **changes: Any
) -> Path:
    """Write a work dir; ``changes`` are dotted keys of its config, dots as ``__``."""
    evidence, figures = evidence_of(truth, skill, 1000 * seed + round(100 * skill))
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        node = config
        *above, last = key.split("__")
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    data = DataFile(str(truth), evidence.sha256, len(evidence.image_ids), 9, None, None)
    train = DataFile("train.json", "e" * 64, 100, 400, None, None)
    losses = tuple(LossPoint(10 * i, 10, {"loss": 3.0 / i, "loss_mask": 1.0 / i})
                   for i in range(1, 13))  # fmt: skip
    validations = tuple(
        Validation(e, 40 * e, {k: v * e / 3 for k, v in figures.items()}, (), 5.0)
        for e in (1, 2, 3)
    )
    session = Session("2026-11-28T00:00:00Z", "2026-11-28T00:10:00Z", None, 600.0, None, 0, 0, 3,
                      120, 400, 100.0 + 50 * skill, 900.0, None, {})  # fmt: skip
    test = ScoredTest(
        "work/epoch_3.pth", hashlib.sha256(str(folder).encode()).hexdigest(),
        "2026-11-28T00:11:00Z", 30.0, figures, (), 6.0 - 4 * skill, (data,), SETTING, {},
    )  # fmt: skip
    record = RunRecord(
        SCHEMA, "recipe", "finished", None, "2026-11-28T00:00:00Z", "", None, 0.0, None, None, None,
        "configs/recipe.py", config, {}, seed,
        {"train": (train,), "val": (data,), "test": (data,)}, SETTING, ("no checkpoint",),
        Parameters(round(1e7 * (1 + skill)), 10**7), Compute(16.0 + 10 * skill, (441, 288)),
        (session,), losses, validations, (test,), (f"evidence_{split}.npz",),
    )  # fmt: skip
    folder.mkdir(parents=True)
    write_run(folder, record)
    write_evidence(folder / f"evidence_{split}.npz", evidence)
    return folder
