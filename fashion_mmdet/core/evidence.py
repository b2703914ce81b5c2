"""What an evaluation leaves beside its figures: enough to compute them again, image by image.

A file of some hundred kilobytes, numpy's ``.npz``, read without torch and without pickles. From it
come intervals, comparisons and curves (:mod:`.bootstrap`, :mod:`.curves`), with no second run of
the model and no masks.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .errors import AnnotationError, FashionError
from .files import atomic_open
from .matching import AREAS, IOU_THRESHOLDS, Matches

_VERSION = 1
_UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile,
)  # fmt: skip
_KINDS = {"i": "iu", "f": "f", "b": "b"}


@dataclass(frozen=True)
class Evidence:
    """How every detection and instance of one evaluation fared.

    Attributes:
        classes: class names in label order.
        annotations: the annotation file's name.
        sha256: of the annotation file, by which two evaluations are known to be of one set.
        file_names: image id -> file name of the photo.
        matches: what was overlapped (``"bbox"``, ``"segm"``) -> how it fared.
    """

    classes: tuple[str, ...]
    annotations: str
    sha256: str
    file_names: Mapping[int, str]
    matches: Mapping[str, Matches]


def write_evidence(path: str | os.PathLike[str], evidence: Evidence) -> None:
    """Write ``evidence`` to ``path``, atomically."""
    head = {
        "version": _VERSION,
        "classes": list(evidence.classes),
        "annotations": evidence.annotations,
        "sha256": evidence.sha256,
        "file_names": {str(key): name for key, name in evidence.file_names.items()},
        "matches": list(evidence.matches),
    }
    text = json.dumps(head, ensure_ascii=False).encode("utf-8", "backslashreplace")
    arrays: dict[str, Any] = {"head": np.frombuffer(text, dtype=np.uint8)}
    for kind, matches in evidence.matches.items():
        arrays.update({f"{kind}/{name}": array for name, array in matches.arrays().items()})
    with atomic_open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_evidence(path: str | os.PathLike[str]) -> Evidence:
    """Read what :func:`write_evidence` wrote; nothing in the file is run.

    Raises:
        FashionError: for a file that is missing, damaged, or no evidence.
    """
    try:
        # numpy closes nothing that it could not open.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes().decode("utf-8"))
            if head.get("version") != _VERSION:
                raise AnnotationError(
                    f"{path}: evidence of version {_VERSION} expected, got "
                    f"{head.get('version')!r}. Evaluate again with `fashion test`."
                )
            matches = {
                kind: Matches(**{
                    field.name: archive[f"{kind}/{field.name}"] for field in fields(Matches)
                })
                for kind in head["matches"]
            }
        for kind, found in matches.items():
            _check(path, kind, found, len(head["classes"]))
        return Evidence(
            classes=tuple(map(str, head["classes"])),
            annotations=str(head["annotations"]),
            sha256=str(head["sha256"]),
            file_names={int(key): str(name) for key, name in head["file_names"].items()},
            matches=matches,
        )
    except FileNotFoundError:
        raise FashionError(
            f"{path}: the evidence of an evaluation expected, found no file. Run `fashion test`."
        ) from None
    except FashionError:
        raise
    except _UNREADABLE as error:
        raise FashionError(
            f"{path}: the evidence of an evaluation expected, got another or a damaged file "
            f"({type(error).__name__}). Evaluate again with `fashion test`."
        ) from None


def _check(path: str | os.PathLike[str], kind: str, found: Matches, n_labels: int) -> None:
    """Refuse arrays that do not belong together, before anything is indexed by them."""
    n_found, n_there = found.det_score.shape, found.gt_label.shape
    n_images = found.image_ids.size
    areas = (len(AREAS),)
    shapes = {
        "image_ids": (n_images,), "det_image": n_found, "det_label": n_found, "det_rank": n_found,
        "det_score": n_found, "hit_DA": n_found + areas, "void_DA": n_found + areas,
        "gt_image": n_there, "gt_label": n_there, "gt_void_GA": n_there + areas,
    }  # fmt: skip
    types = {"det_score": "f", "gt_void_GA": "b"}
    for name, shape in shapes.items():
        array = getattr(found, name)
        is_kind = array.dtype.kind in _KINDS[types.get(name, "i")]
        if not is_kind or array.shape != shape:
            raise AnnotationError(
                f"{path}: {kind}/{name} of shape {shape} expected, got {array.shape} of "
                f"{array.dtype}. Evaluate again with `fashion test`."
            )
    for name, below in (
        ("det_image", n_images), ("gt_image", n_images), ("det_label", n_labels),
        ("gt_label", n_labels), ("hit_DA", 1 << IOU_THRESHOLDS.size),
        ("void_DA", 1 << IOU_THRESHOLDS.size),
    ):  # fmt: skip
        array = getattr(found, name)
        if array.size and (array.min() < 0 or array.max() >= below):
            raise AnnotationError(
                f"{path}: {kind}/{name} of 0 to {below - 1} expected, got {array.min()} to "
                f"{array.max()}. Evaluate again with `fashion test`."
            )
