"""Where the detections come from: the evidence, and which weights of a run it is of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.evidence import Evidence, read_evidence
from fashion_mmdet.core.operating_point import checked_point
from fashion_mmdet.core.run_record import FILE_NAME, RunRecord, read_run

EVIDENCE = "evidence_val.npz"
_AP_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Source:
    """Detections to tune on.

    Attributes:
        path: the evidence's file.
        evidence: what is in it.
        run: the run's name; None without one.
        checkpoint: ``"epoch 4"`` or a file's name; None where the record has no figures like those
            of the evidence.
        checkpoint_sha256: of the file, where the record has it.
        is_test: whether these annotations are the test set of the run's training.
    """

    path: Path
    evidence: Evidence
    run: str | None
    checkpoint: str | None
    checkpoint_sha256: str | None
    is_test: bool

    def about(self) -> dict[str, Any]:
        """Return what is to be said of it in a file."""
        return {
            "run": self.run,
            "checkpoint": self.checkpoint,
            "checkpoint_sha256": self.checkpoint_sha256,
            "annotations": self.evidence.annotations,
            "annotations_sha256": self.evidence.sha256,
            "made_with": dict(self.evidence.made_with),
        }


def read_source(
    run: str | os.PathLike[str] | None, evidence: str | os.PathLike[str] | None
) -> Source:
    """Read the evidence of a run, or another file.

    Args:
        run: a work dir; its newest validation's evidence is read.
        evidence: a file to read instead.

    Raises:
        FashionError: where there is no evidence, it is damaged, or a point has cut it already.
    """
    path = Path(evidence) if evidence is not None else Path(run or "") / EVIDENCE
    if evidence is None and not path.is_file():
        raise FashionError(
            f"{run}: the evidence of a validation ({EVIDENCE}) expected, found none. A validation "
            "during training leaves it; of another evaluation give its file as --evidence."
        )
    found = read_evidence(path)
    require_uncut(path, found)
    folder = Path(run) if run is not None else path.parent
    if run is None and not (folder / FILE_NAME).is_file():
        return Source(path, found, None, None, None, False)
    record = read_run(folder)
    name, digest = _weights(record, found)
    if name is None and path.parent != folder and (path.parent / FILE_NAME).is_file():
        name, digest = _weights(read_run(path.parent), found)  # of `fashion test --split val`
    of_split = {s: {file.sha256 for file in record.data.get(s, ())} for s in ("val", "test")}
    is_test = record.status != "tested" and found.sha256 in of_split["test"] - of_split["val"]
    return Source(path, found, folder.resolve().name, name, digest, is_test)


def require_uncut(where: str | os.PathLike[str], evidence: Evidence) -> None:
    """Refuse detections of which an operating point has left but some.

    What is chosen on those holds behind that point alone, and its gain leaves that point's out.

    Raises:
        FashionError: naming the point.
    """
    given = evidence.made_with.get("point")
    if given is not None:
        point = checked_point(given, evidence.classes, f"{where}: made_with: point")
        raise FashionError(
            f"{where}: evidence of all detections expected, got what a point has left of them "
            f"({point.in_words()}). Evaluate without one: `fashion test CONFIG CHECKPOINT --split "
            "val`."
        )


def _weights(record: RunRecord, evidence: Evidence) -> tuple[str | None, str | None]:
    """Return name and hash of what was evaluated, told by its figures: the newest that has them."""
    kind = "segm" if "segm" in evidence.matches else "bbox"
    ap_BKT = average_precisions(evidence.matches[kind], len(evidence.classes))
    ap = float(mean_ap(ap_BKT)[0])

    def has_them(metrics: dict[str, Any]) -> bool:
        recorded = metrics.get(f"coco/{kind}_mAP")
        return recorded is not None and abs(float(recorded) - ap) <= _AP_TOLERANCE

    for test in reversed(record.tests):
        of_these = evidence.sha256 in {file.sha256 for file in test.data}
        if of_these and has_them(test.metrics) and test.checkpoint:
            return Path(test.checkpoint).name, test.checkpoint_sha256
    if evidence.sha256 in {file.sha256 for file in record.data.get("val", ())}:
        for val in reversed(record.validations):
            if has_them(val.metrics):
                return (f"epoch {val.epoch}" if val.epoch else f"iteration {val.iter}"), None
    return None, None
