"""What an evaluation leaves beside its figures: enough to compute them again, image by image.

One file of numpy's ``.npz``, read without torch and without pickles: how each detection and
instance fared, from which come intervals, comparisons and curves (:mod:`.bootstrap`,
:mod:`.curves`); and the detections and instances themselves, masks as run-length codes, for the
causes of errors (:mod:`.error_causes`), for pictures and for thresholds. No second run of the model
is needed for any of it.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO

import numpy as np

from .errors import AnnotationError, FashionError
from .files import atomic_open
from .matching import AREAS, IOU_THRESHOLDS, MAX_DETECTIONS, Matches
from .operating_point import checked_point
from .shapes import ARRAY_NAMES, GRID_NAMES, Shapes, pack, require_within, unpack

_VERSION = 2
#: All that the readers of zip, of numpy's arrays and of JSON throw at a damaged file.
_UNREADABLE = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    MemoryError, RuntimeError, SyntaxError, tokenize.TokenError, struct.error, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
#: Most bytes that a file may unpack to: many times the evidence of 10,000 photos, and more than
#: twice that with grids.
_MOST_BYTES = 2 << 30
#: ... and for each of its own; zlib itself reaches 1032, with nothing but zeros.
_MOST_RATIO = 1000
#: pycocotools counts pixels in 32 bits.
_MOST_PIXELS = 2**31 - 1
_OVERLAP_KINDS = ("bbox", "segm")
#: What made_with may hold -> what stands for it where it does not.
_MADE_WITH: dict[str, Any] = {"point": {}, "views": 1, "members": []}
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
        predicted: (I,) bool, whether the model saw the photo; the instances of one that it did not
            see count as missed.
        truth: the instances, crowds among them.
        found: the detections, all that were scored; the score is the mask's where there are masks.
        matches: what was overlapped (``"bbox"``, ``"segm"``) -> how it fared.
        mask_threshold: the probability from which on a pixel is of a detection's mask; None where
            that is not known.
        made_with: what sets the detections apart from all those of one model that saw each photo
            once, as plain JSON: ``point``, the operating point that has cut them, as a dict; with
            test-time augmentation or an ensemble ``views``, how many of a photo each model saw, and
            ``members``, names of the further models that voted. Empty for a plain test, and where
            it is not known.
    """

    classes: tuple[str, ...]
    annotations: str
    sha256: str
    photos: str | None
    file_names: Mapping[int, str]
    image_ids: np.ndarray
    size_hw: np.ndarray
    predicted: np.ndarray
    truth: Shapes
    found: Shapes
    matches: Mapping[str, Matches]
    mask_threshold: float | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict)


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
    if evidence.mask_threshold is not None:
        head["mask_threshold"] = evidence.mask_threshold
    if evidence.made_with:
        head["made_with"] = dict(evidence.made_with)
    text = json.dumps(head, ensure_ascii=False).encode("utf-8", "backslashreplace")
    arrays: dict[str, Any] = {"head": np.frombuffer(text, dtype=np.uint8)}
    parts = {"truth": pack(evidence.truth), "found": pack(evidence.found)}
    parts |= {kind: matches.arrays() for kind, matches in evidence.matches.items()}
    parts["images"] = {name: getattr(evidence, name) for name in sorted(_IMAGE_ARRAYS)}
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
        with open(path, "rb") as stream:
            parts = _read_arrays(path, stream)
        head = json.loads(parts["head"][""].tobytes().decode("utf-8"))
        if head.get("version") != _VERSION:
            raise AnnotationError(
                f"{path}: evidence of version {_VERSION} expected, got "
                f"{head.get('version')!r}. Evaluate again with `fashion test`."
            )
        _check_kinds(path, head["matches"])
        _check_mask_threshold(path, head.get("mask_threshold"))
        _check_made_with(path, head.get("made_with", {}), tuple(map(str, head["classes"])))
        images, n_labels = parts["images"], len(head["classes"])
        _check_images(path, images)
        shapes = {
            part: unpack(parts[part], images["size_hw"], n_labels, f"{path}: {part}")
            for part in ("truth", "found")
        }
        matches = {
            kind: Matches(**{f.name: parts[kind][f.name] for f in fields(Matches)})
            for kind in head["matches"]
        }
        for kind, found in matches.items():
            _check(path, kind, found, n_labels)
            _check_order(f"{path}: {kind}", found, shapes["truth"], shapes["found"], n_labels)
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
            predicted=images["predicted"],
            truth=shapes["truth"],
            found=shapes["found"],
            matches=matches,
            mask_threshold=head.get("mask_threshold"),
            made_with=head.get("made_with", {}),
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


def _read_arrays(
    path: str | os.PathLike[str], stream: BinaryIO
) -> dict[str, dict[str, np.ndarray]]:
    """Return part -> name -> array of all members that evidence has; others are not read.

    A file of a few MB may unpack to terabytes, or claim an array of as many; so numpy gets to see
    only what has been read with a bound, and is as long as it claims.
    """
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        most = min(_MOST_BYTES, _MOST_RATIO * os.fstat(stream.fileno()).st_size)
        if total > most:
            raise AnnotationError(
                f"{path}: at most {most:,} bytes of evidence expected, got {total:,} unpacked. "
                "Is the file from someone you trust? Evaluate again with `fashion test`."
            )
        parts: dict[str, dict[str, np.ndarray]] = {}
        for member in members:
            part, _, name = member.filename.removesuffix(".npy").partition("/")
            if name in _MEMBERS.get(part, ()):
                parts.setdefault(part, {})[name] = _array(archive, member)
    return parts


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others are unpacked without a bound.
        raise zipfile.BadZipFile(f"compression {member.compress_type}")
    with archive.open(member) as packed:
        # Not read(): that takes what is there, however little was announced.
        content = io.BytesIO(packed.read(member.file_size))
    shape, _, dtype = _HEADERS[np.lib.format.read_magic(content)](content)
    n_bytes = content.getbuffer().nbytes - content.tell()
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != n_bytes:
        raise ValueError(f"{shape} of {dtype} in {n_bytes} bytes")
    content.seek(0)
    return np.lib.format.read_array(content, allow_pickle=False)


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _check_kinds(path: str | os.PathLike[str], kinds: Any) -> None:
    if not isinstance(kinds, list) or not kinds or not all(k in _OVERLAP_KINDS for k in kinds):
        text = repr(kinds)
        raise AnnotationError(
            f"{path}: matches of {' or '.join(map(repr, _OVERLAP_KINDS))} expected, got "
            f"{text if len(text) <= 60 else f'{text[:57]}...'}. Evaluate again with `fashion test`."
        )


def _check_mask_threshold(path: str | os.PathLike[str], threshold: Any) -> None:
    if threshold is None:
        return
    if not isinstance(threshold, float) or not 0 < threshold <= 1:
        raise AnnotationError(
            f"{path}: a mask_threshold over 0 and at most 1 expected, got {threshold!r:.40}. "
            "Evaluate again with `fashion test`."
        )


def _check_made_with(path: str | os.PathLike[str], given: Any, classes: Sequence[str]) -> None:
    if not isinstance(given, dict) or not set(given) <= set(_MADE_WITH):
        raise AnnotationError(
            f"{path}: made_with: an object of {', '.join(_MADE_WITH)} expected, got "
            f"{given!r:.60}. Evaluate again with `fashion test`."
        )
    point, views, members = (given.get(name, default) for name, default in _MADE_WITH.items())
    if not isinstance(point, dict):
        raise AnnotationError(
            f"{path}: made_with: an operating point expected, got {point!r:.40}. "
            "Evaluate again with `fashion test`."
        )
    checked_point(point, classes, f"{path}: made_with: point")
    if not isinstance(views, int) or isinstance(views, bool) or views < 1:
        raise AnnotationError(
            f"{path}: made_with: at least 1 view expected, got {views!r:.40}. "
            "Evaluate again with `fashion test`."
        )
    if not isinstance(members, list) or not all(isinstance(name, str) for name in members):
        raise AnnotationError(
            f"{path}: made_with: a list of members' names expected, got {members!r:.40}. "
            "Evaluate again with `fashion test`."
        )


def _check_images(path: str | os.PathLike[str], images: Mapping[str, np.ndarray]) -> None:
    ids, size_hw = images["image_ids"], images["size_hw"]
    if "predicted" not in images:
        raise AnnotationError(
            f"{path}: evidence that says which photos the model saw expected, got an earlier "
            "release's, which does not. Evaluate again: `fashion test CONFIG CHECKPOINT`, with "
            "`--split val` for the validation set."
        )
    predicted = images["predicted"]
    is_whole = ids.dtype.kind in "iu" and size_hw.dtype.kind in "iu" and predicted.dtype == bool
    fits = ids.ndim == 1 and size_hw.shape == (ids.size, 2) and predicted.shape == ids.shape
    if not is_whole or not fits or (ids[1:] <= ids[:-1]).any():
        raise AnnotationError(
            f"{path}: rising image ids and their sizes expected, got {ids.shape} of {ids.dtype} "
            f"and {size_hw.shape} of {size_hw.dtype}. Evaluate again with `fashion test`."
        )
    for height_px, width_px in size_hw.tolist():
        if min(height_px, width_px) < 1 or height_px * width_px > _MOST_PIXELS:
            raise AnnotationError(
                f"{path}: photos of at least 1 px a side and at most {_MOST_PIXELS} px in all "
                f"expected, got {height_px} x {width_px}. Evaluate again with `fashion test`."
            )


_IMAGE_ARRAYS = {"image_ids", "size_hw", "predicted"}
#: Part -> names of its arrays; the head is an array without a name.
_MEMBERS: dict[str, set[str]] = {
    "head": {""}, "images": _IMAGE_ARRAYS, "truth": set(ARRAY_NAMES),
    "found": {*ARRAY_NAMES, *GRID_NAMES},
    **{kind: {f.name for f in fields(Matches)} for kind in _OVERLAP_KINDS},
}  # fmt: skip


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
    require_within(found.det_score, 0, 1, f"{path}: {kind}/det_score")


def _check_order(where: str, met: Matches, truth: Shapes, found: Shapes, n_labels: int) -> None:
    """Refuse matches in another order than is promised, or of others than truth and found.

    All figures, intervals and pairs rest on that order.
    """
    det = _keys(met.det_image, met.det_label, n_labels)
    _, starts, counts = np.unique(det, return_index=True, return_counts=True)
    same = det[1:] == det[:-1]
    falls = not (np.diff(met.det_score)[same] > 0).any()
    _require(
        f"{where}/det_score", (det[1:] >= det[:-1]).all() and falls,
        "detections by image, then label, then falling score", "another order",
    )  # fmt: skip
    place = np.arange(det.size) - np.repeat(starts, counts)
    _require(
        f"{where}/det_rank", np.array_equal(met.det_rank, place),
        "places from 0 in each image and label", "others",
    )  # fmt: skip
    there = _keys(met.gt_image, met.gt_label, n_labels)
    _require(
        f"{where}/gt_label", (there[1:] >= there[:-1]).all(),
        "instances by image, then label", "another order",
    )  # fmt: skip
    _require(
        f"{where}/gt_label",
        np.array_equal(np.sort(_keys(truth.image, truth.label, n_labels)), there),
        f"the {len(truth)} instances of truth by image and label", f"{there.size} that differ",
    )  # fmt: skip
    groups, n_found = np.unique(_keys(found.image, found.label, n_labels), return_counts=True)
    agrees = np.array_equal(np.unique(det), groups)
    agrees = agrees and np.array_equal(np.minimum(n_found, MAX_DETECTIONS), counts)
    _require(
        f"{where}/det_label", agrees,
        f"the {len(found)} detections of found, at most {MAX_DETECTIONS} an image and label",
        f"{det.size} that differ",
    )  # fmt: skip


def _keys(image: np.ndarray, label: np.ndarray, n_labels: int) -> np.ndarray:
    """Return one int64 for each image and label, rising with both."""
    return image.astype(np.int64) * n_labels + label.astype(np.int64)


def _require(where: str, holds: Any, wanted: str, got: str) -> None:
    if not holds:
        raise AnnotationError(
            f"{where}: {wanted} expected, got {got}. Evaluate again with `fashion test`."
        )
