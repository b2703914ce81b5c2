"""What an evaluation leaves beside its figures: enough to compute them again, image by image.

One file of numpy's ``.npz``, read without torch and without pickles: how each detection and
instance fared, from which come intervals, comparisons and curves (:mod:`.bootstrap`,
:mod:`.curves`); and the detections and instances themselves, masks as run-length codes, for the
causes of errors (:mod:`.error_causes`), for pictures and for thresholds. No second run of the model
is needed for any of it.
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
from .shapes import Shapes, pack, unpack

_VERSION = 2
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
        photos: the folder of the photos, as the run named it; None where it is not known.
        file_names: image id -> file name of the photo.
        image_ids: (I,) int64, rising.
        size_hw: (I, 2) int64, height and width of each photo in px.
        truth: the instances, crowds among them.
        found: the detections, all that were scored; the score is the mask's where there are masks.
        matches: what was overlapped (``"bbox"``, ``"segm"``) -> how it fared.
    """

    classes: tuple[str, ...]
    annotations: str
    sha256: str
    photos: str | None
    file_names: Mapping[int, str]
    image_ids: np.ndarray
    size_hw: np.ndarray
    truth: Shapes
    found: Shapes
    matches: Mapping[str, Matches]


def write_evidence(path: str | os.PathLike[str], evidence: Evidence) -> None:
    """Write ``evidence`` to ``path``, atomically."""
    head = {
        "version": _VERSION,
        "classes": list(evidence.classes),
        "annotations": evidence.annotations,
        "sha256": evidence.sha256,
        "photos": evidence.photos,
        "file_names": {str(key): name for key, name in evidence.file_names.items()},
        "matches": list(evidence.matches),
    }
    text = json.dumps(head, ensure_ascii=False).encode("utf-8", "backslashreplace")
    arrays: dict[str, Any] = {"head": np.frombuffer(text, dtype=np.uint8)}
    parts = {"truth": pack(evidence.truth), "found": pack(evidence.found)}
    parts |= {kind: matches.arrays() for kind, matches in evidence.matches.items()}
    parts["images"] = {"image_ids": evidence.image_ids, "size_hw": evidence.size_hw}
    for part, of_part in parts.items():
        arrays.update({f"{part}/{name}": array for name, array in of_part.items()})
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
            parts: dict[str, dict[str, np.ndarray]] = {}
            for name in archive.files:
                part, _, of_part = name.partition("/")
                parts.setdefault(part, {})[of_part] = archive[name]
        images, n_labels = parts["images"], len(head["classes"])
        _check_images(path, images)
        shapes = {
            part: unpack(parts[part], len(images["image_ids"]), n_labels, f"{path}: {part}")
            for part in ("truth", "found")
        }
        matches = {
            kind: Matches(**{field.name: parts[kind][field.name] for field in fields(Matches)})
            for kind in head["matches"]
        }
        for kind, found in matches.items():
            _check(path, kind, found, n_labels)
            if not np.array_equal(found.image_ids, images["image_ids"]):
                raise AnnotationError(
                    f"{path}: {kind}/image_ids equal to the file's own expected, got others. "
                    "Evaluate again with `fashion test`."
                )
        return Evidence(
            classes=tuple(map(str, head["classes"])),
            annotations=str(head["annotations"]),
            sha256=str(head["sha256"]),
            photos=None if head["photos"] is None else str(head["photos"]),
            file_names={int(key): str(name) for key, name in head["file_names"].items()},
            image_ids=images["image_ids"],
            size_hw=images["size_hw"],
            truth=shapes["truth"],
            found=shapes["found"],
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


def _check_images(path: str | os.PathLike[str], images: Mapping[str, np.ndarray]) -> None:
    ids, size_hw = images["image_ids"], images["size_hw"]
    is_whole = ids.dtype.kind in "iu" and size_hw.dtype.kind in "iu"
    fits = ids.ndim == 1 and size_hw.shape == (ids.size, 2) and set(images) == _IMAGE_ARRAYS
    if not is_whole or not fits or (np.diff(ids) <= 0).any() or (size_hw <= 0).any():
        raise AnnotationError(
            f"{path}: rising image ids and their sizes expected, got {ids.shape} of {ids.dtype} "
            f"and {size_hw.shape} of {size_hw.dtype}. Evaluate again with `fashion test`."
        )


_IMAGE_ARRAYS = {"image_ids", "size_hw"}


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
