"""``predictions.jsonl``: what was found on each photo, a line a photo, as soon as it is known.

From it come all tables, without the network. A run that is killed loses the photos in hand and no
other; the line that was being written is cut off when the next one goes on. Two runs cannot write
one ledger: it is locked while it is open.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.prediction import Prediction
from fashion_mmdet.core.rle import to_rle

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE_NAME = "predictions.jsonl"
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """What is known of one photo, or of one frame of a video.

    Attributes:
        source: the file, absolute.
        file_name: what the photo is called in tables.
        name: what its outputs are called, without suffix.
        image_id: what a list calls it; None where it comes from none.
        stamp: size in bytes and time of the last change, by which another file is told.
        notes: what of the file was not plain.
        prediction: what was found; None where the photo could not be used.
        error: why not; None where it could.
        frame: number in a video; None for a photo.
    """

    source: str
    file_name: str
    name: str
    image_id: str | None
    stamp: tuple[int, int]
    notes: tuple[str, ...] = ()
    prediction: Prediction | None = None
    error: str | None = None
    frame: int | None = None


Key = tuple[str, int | None]
#: All that reading a line that is none of ours may raise.
_UNREADABLE = (ValueError, LookupError, TypeError, OverflowError, RecursionError)


def names_in(path: Path) -> list[str]:
    """Return what the outputs of a ledger's photos are called, as far as it can be read."""
    names = []
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        for line in stream:
            with contextlib.suppress(*_UNREADABLE):
                value = json.loads(line)
                # The frames of a video have one file together.
                of_video = value.get("frame") is not None
                names.append(value["name"].rpartition("/")[0] if of_video else value["name"])
    return list(dict.fromkeys(map(str, names)))


def point_in(path: Path) -> dict[str, Any] | None:
    """Return the operating point that a ledger was begun with; None where there is none to read."""
    try:
        with open(path, "rb") as stream:
            point = json.loads(stream.readline())["settings"]["operating point"]
    except (OSError, *_UNREADABLE):
        return None
    return point if isinstance(point, dict) else None


class Ledger:
    """The open ledger of one folder; a context manager.

    Args:
        path: the file; it is made with its folder.
        settings: what the predictions depend on. A ledger of others is not gone on with.
        classes: class names in label order.
        resume: go on with the ledger that is there.
        force: begin anew, over the one that is there.

    Raises:
        FashionError: where there is a ledger and neither ``resume`` nor ``force`` is set, it was
            made with other settings, another process has it open, or it is damaged.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        classes: tuple[str, ...],
        *,
        resume: bool = False,
        force: bool = False,
    ) -> None:
        self.path = path
        self.classes = classes
        self._at: dict[Key, tuple[int, tuple[int, int], bool]] = {}
        #: Absolute path -> what its outputs are called; of a video as a whole.
        self.names: dict[str, str] = {}
        head = {"fashion_predict": _VERSION, "classes": list(classes), "settings": dict(settings)}
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened without a change and locked before it is looked at: another may be writing.
        self._stream: IO[bytes] = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
            there = os.fstat(self._stream.fileno()).st_size > 0
            if there and not resume and not force:
                raise FashionError(
                    f"{path.parent}: a folder without predictions expected, it holds some "
                    f"({path.name}). Go on with --resume, or begin anew with --force."
                )
            if there and not force:
                self._read(head)
            else:
                self._stream.truncate(0)
                self._write(head)
                self.sync()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk has been told of by then
            self.sync()
        self._stream.close()

    def __contains__(self, entry: Entry) -> bool:
        """Whether the photo of ``entry`` has a prediction, and has not changed since."""
        _, stamp, is_found = self._at.get((entry.source, entry.frame), (0, (0, 0), False))
        return is_found and stamp == entry.stamp

    def append(self, entry: Entry) -> None:
        """Add one photo; of two entries for one photo the later counts."""
        at = self._stream.tell()
        self._write(_packed(entry))
        self._stream.flush()  # a kill takes what has not left the process
        self._note(entry.source, entry.frame, entry.name)
        found = entry.prediction is not None
        self._at[entry.source, entry.frame] = (at, entry.stamp, found)

    def _note(self, source: str, frame: int | None, name: str) -> None:
        self.names[source] = name if frame is None else name.rpartition("/")[0]

    def sync(self) -> None:
        """Bring all that was added to the disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def get(self, source: str, frame: int | None = None) -> Entry | None:
        """Return what is known of a photo or a frame; None where nothing is."""
        place = self._at.get((source, frame))
        if place is None:
            return None
        self._stream.flush()
        self._stream.seek(place[0])
        line = self._stream.readline()
        self._stream.seek(0, os.SEEK_END)
        return self._unpacked(json.loads(line))

    def frames_of(self, source: str) -> list[int]:
        """Return the numbers of the frames of a video that are known, rising."""
        return sorted(frame for path, frame in self._at if path == source and frame is not None)

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FashionError(
                f"{self.path}: predictions that no other process writes expected, got some that "
                "one does. Wait for it, or choose another --out."
            ) from None
        except OSError:  # a file system without locks
            pass

    def _write(self, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._stream.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def _read(self, head: Mapping[str, Any]) -> None:
        """Index the lines that are there, and cut off what a killed run left half written."""
        end = 0
        for number, line in enumerate(iter(self._stream.readline, b""), start=1):
            if not line.endswith(b"\n"):
                break
            try:
                value = json.loads(line)
                if number == 1:
                    self._require_same(value, head)
                else:
                    stamp = (int(value["stamp"][0]), int(value["stamp"][1]))
                    found = value.get("labels") is not None
                    source, frame = str(value["source"]), value.get("frame")
                    self._at[source, frame] = (end, stamp, found)
                    self._note(source, frame, str(value["name"]))
            except FashionError:
                raise
            except _UNREADABLE as error:
                raise self._damaged(number) from error
            end += len(line)
        if not end:
            raise self._damaged(1)
        self._stream.truncate(end)
        self._stream.seek(end)

    def _damaged(self, number: int) -> AnnotationError:
        return AnnotationError(
            f"{self.path}:{number}: a line of `fashion predict` expected, got another. The file "
            "was changed; begin anew with --force."
        )

    def _require_same(self, theirs: Any, ours: Mapping[str, Any]) -> None:
        if not isinstance(theirs, dict) or theirs.get("fashion_predict") != _VERSION:
            raise self._damaged(1)
        # As JSON gives it back: a tuple has become a list.
        ours = json.loads(json.dumps(ours))
        different = sorted(
            name
            for name in {*ours["settings"], *theirs.get("settings", {})}
            if ours["settings"].get(name) != theirs.get("settings", {}).get(name)
        )
        if ours["classes"] != theirs.get("classes"):
            different.append("classes")
        if different:
            raise FashionError(
                f"{self.path}: predictions of the same model and settings expected, got some of "
                f"another {', '.join(different)}. Go on as it was begun, choose another --out, or "
                "begin anew with --force."
            )

    def _unpacked(self, value: Mapping[str, Any]) -> Entry:
        where = f"{self.path}: {value.get('file_name')!r}"
        try:
            prediction = None
            if value.get("labels") is not None:
                height_px, width_px = (int(v) for v in value["size_hw"])
                size = [height_px, width_px]
                rles = tuple(
                    to_rle({"size": size, "counts": counts}, height_px, width_px, where)
                    for counts in value["counts"]
                )
                _require_sound(value, len(self.classes))
                prediction = Prediction(
                    self.classes, (height_px, width_px), value["labels"], value["scores"],
                    value["boxes_xyxy"], rles,
                )  # fmt: skip
            stamp = (int(value["stamp"][0]), int(value["stamp"][1]))
            return Entry(
                str(value["source"]), str(value["file_name"]), str(value["name"]),
                value["image_id"], stamp, tuple(value["notes"]), prediction, value.get("error"),
                value.get("frame"),
            )  # fmt: skip
        except FashionError:
            raise
        except _UNREADABLE as error:
            raise AnnotationError(
                f"{where}: a photo as `fashion predict` writes it expected, got another "
                f"({error}). The file was changed; begin anew with --force."
            ) from None


def _require_sound(value: Mapping[str, Any], n_classes: int) -> None:
    """Raise ValueError for labels, scores or boxes that no model gives."""
    labels, scores, boxes = value["labels"], value["scores"], value["boxes_xyxy"]
    if not all(type(label) is int and 0 <= label < n_classes for label in labels):
        raise ValueError("a label without a class")
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError("a score that is none")
    if not all(math.isfinite(edge) for box in boxes for edge in box):
        raise ValueError("a box without an end")


def _packed(entry: Entry) -> dict[str, Any]:
    value: dict[str, Any] = {
        "source": entry.source, "file_name": entry.file_name, "name": entry.name,
        "image_id": entry.image_id, "stamp": list(entry.stamp), "notes": list(entry.notes),
        **({} if entry.frame is None else {"frame": entry.frame}),
    }  # fmt: skip
    found = entry.prediction
    if found is None:
        return {**value, "error": entry.error}
    return {
        **value,
        "size_hw": list(found.size_hw),
        "labels": found.labels.tolist(),
        "scores": found.scores.tolist(),
        "boxes_xyxy": found.boxes_xyxy.tolist(),
        "counts": [rle["counts"] for rle in found.rles],
    }
