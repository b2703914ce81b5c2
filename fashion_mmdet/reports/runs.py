"""A run as a report sees it: its record, and the evidence of one evaluation of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import Evidence, read_evidence
from fashion_mmdet.core.run_record import RunRecord, read_run

_AP_TOLERANCE = 1e-6
#: What is looked for, the better one first.
SPLITS = ("test", "val")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        path: its work dir.
        name: the work dir's name, made longer where two runs share it.
        record: ``run.json``.
        split: ``"test"`` or ``"val"``: which evaluation is looked at, the newest of it.
        evidence: how each detection of it fared, and the detections.
        metrics: its figures, None where one was not finite.
        images_per_s: its speed, loading and encoding included; None where it was too short to say.
        checkpoint: what was evaluated: the tested file's name, or the epoch of the validation.
    """

    path: Path
    name: str
    record: RunRecord
    split: str
    evidence: Evidence
    metrics: dict[str, Any]
    images_per_s: float | None
    checkpoint: str

    @property
    def kind(self) -> str:
        """``"segm"`` where masks were scored, else ``"bbox"``."""
        return "segm" if "segm" in self.evidence.matches else "bbox"

    @property
    def overlap_kind(self) -> str:
        """What can be overlapped anew: ``"bbox"`` where the masks were not kept."""
        return self.kind if self.evidence.found.counts is not None else "bbox"


def read_runs(work_dirs: Sequence[str | os.PathLike[str]], split: str | None = None) -> list[Run]:
    """Read runs for a report.

    Args:
        work_dirs: one or more, each another.
        split: ``"test"`` or ``"val"``; None takes test where every run has it, else val.

    Raises:
        FashionError: for a folder without a record, or without the evidence of that split.
    """
    paths = [Path(work_dir) for work_dir in work_dirs]
    there: dict[Path, Path] = {}
    for path in paths:
        if (same := there.setdefault(path.resolve(), path)) is not path:
            raise FashionError(f"{path}: another run than {same} expected, got the same folder.")
    records = [read_run(path) for path in paths]
    if split is None:
        split = next((s for s in SPLITS if all(_has(p, r, s) for p, r in zip(paths, records,
                     strict=True))), "test")  # fmt: skip
    names = _names(paths)
    return [
        _run(path, name, record, split)
        for path, name, record in zip(paths, names, records, strict=True)
    ]


def _has(path: Path, record: RunRecord, split: str) -> bool:
    name = f"evidence_{split}.npz"
    return name in record.evaluation and (path / name).is_file()


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as many of the folders above as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _run(path: Path, name: str, record: RunRecord, split: str) -> Run:
    if not _has(path, record, split):
        config = record.config_file or "CONFIG"
        saved = max(path.glob("*.pth"), key=lambda p: p.stat().st_mtime, default=None)
        how = (
            f"It has no checkpoint yet (training: {record.status}); train it first."
            if split == "test" and saved is None
            else f"Run `fashion test {config} {saved} --work-dir {path}`."
            if split == "test"
            else "A validation during training leaves it."
        )
        raise FashionError(
            f"{path}: an evaluation on the {split} set (evidence_{split}.npz) expected, found "
            f"none in the record. {how}"
        )
    evidence = read_evidence(path / f"evidence_{split}.npz")
    if split == "test":
        test = record.tests[-1] if record.tests else None
        hashes = [file.sha256 for file in test.data] if test else []
        metrics, rate = (test.metrics, test.images_per_s) if test else ({}, None)
        checkpoint = Path(test.checkpoint).name if test and test.checkpoint else "last weights"
    else:
        val = record.validations[-1] if record.validations else None
        hashes = [file.sha256 for file in record.data.get("val", ())]
        metrics, rate = (val.metrics, val.images_per_s) if val else ({}, None)
        checkpoint = f"epoch {val.epoch}" if val and val.epoch else "last weights"
    if evidence.sha256 not in hashes:
        raise FashionError(
            f"{path}: evidence_{split}.npz of the evaluation in run.json expected, got one of "
            f"other annotations ({evidence.sha256[:12]}). Evaluate again with `fashion test`."
        )
    _require_same_figures(path, split, evidence, metrics)
    return Run(path, name, record, split, evidence, metrics, rate, checkpoint)


def _require_same_figures(
    path: Path, split: str, evidence: Evidence, metrics: Mapping[str, Any]
) -> None:
    """Refuse evidence of another evaluation than the one in the record: a write was cut short."""
    for kind, matches in evidence.matches.items():
        recorded = metrics.get(f"coco/{kind}_mAP")
        if recorded is None:  # a metric of another name
            continue
        ap = float(mean_ap(average_precisions(matches, len(evidence.classes)))[0])
        if abs(ap - float(recorded)) > _AP_TOLERANCE:
            raise FashionError(
                f"{path}: evidence_{split}.npz with the {kind} AP of run.json, {recorded:.4f}, "
                f"expected, got {ap:.4f}: they are of two evaluations. Evaluate again with "
                "`fashion test`."
            )
