"""Videos: read frame by frame, and written again with what was found drawn on them."""

from __future__ import annotations

import math
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import shown

#: WebM with VP8: every browser plays it, and OpenCV's wheels can write it.
SUFFIX, _CODEC = ".webm", "VP80"
_FPS = 25.0


class Video:
    """A video file.

    Args:
        path: the file.
        every: each so-manieth frame is looked at.

    Raises:
        FashionError: for a file that is no video.
    """

    def __init__(self, path: str, every: int = 1) -> None:
        self.path = path
        self.every = every
        capture = self._open()
        fps = capture.get(cv2.CAP_PROP_FPS)
        #: Frames a second of what is looked at.
        self.fps = (fps if math.isfinite(fps) and 0 < fps <= 1000 else _FPS) / every
        capture.release()

    def frames(
        self, skip: Callable[[int], bool] = lambda number: False
    ) -> Iterator[tuple[int, np.ndarray | None]]:
        """Yield number and (H, W, 3) uint8 BGR of each frame; None of one that ``skip`` names."""
        capture = self._open()
        number = 0
        try:
            while capture.grab():
                if number % self.every == 0:
                    if skip(number):
                        yield number, None
                    else:
                        is_read, frame_bgr = capture.retrieve()
                        if is_read:
                            yield number, frame_bgr
                number += 1
        finally:
            capture.release()
        if not number:
            raise FashionError(f"{self.path}: a video with frames expected, got none.")

    @property
    def n_promised(self) -> int:
        """Frames that the header promises; 0 where it does not say."""
        capture = self._open()
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        return int(count) if 0 < count < 1e9 else 0

    def _open(self) -> cv2.VideoCapture:
        try:
            self.path.encode()  # OpenCV dies of a name that is no text
            is_file = stat.S_ISREG(os.stat(self.path).st_mode)  # of a pipe it waits for ever
        except UnicodeEncodeError:
            raise FashionError(
                f"{shown(self.path)}: a video whose name is UTF-8 expected, got other bytes. "
                "Rename it."
            ) from None
        except OSError:
            is_file = False
        capture = cv2.VideoCapture(self.path) if is_file else None
        if capture is None or not capture.isOpened():
            raise FashionError(
                f"{self.path}: a video expected, got a file that OpenCV cannot read as one."
            )
        return capture


def even(frame_bgr: np.ndarray) -> np.ndarray:
    """Return the frame less a last odd row or column, which the codec cannot hold."""
    height_px, width_px = (max(2, v // 2 * 2) for v in frame_bgr.shape[:2])
    return frame_bgr[:height_px, :width_px]


def write_video(path: Path, frames_bgr: Iterable[np.ndarray], fps: float) -> int:
    """Write frames of one size to ``path``, beside it first; return how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, part = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=SUFFIX, dir=path.parent)
    os.close(fd)
    writer, count = None, 0
    try:
        for frame_bgr in frames_bgr:
            if writer is None:
                size_wh = frame_bgr.shape[1], frame_bgr.shape[0]
                writer = cv2.VideoWriter(part, cv2.VideoWriter_fourcc(*_CODEC), fps, size_wh)
                if not writer.isOpened():
                    raise FashionError(
                        f"{path}: an OpenCV that writes {_CODEC} expected, got one that does not. "
                        "Install opencv-python from PyPI."
                    )
            writer.write(np.ascontiguousarray(frame_bgr))
            count += 1
        if writer is None:
            return 0
        writer.release()
        n_kept = sum(1 for _ in Video(part).frames())  # OpenCV is silent about a full disk
        if n_kept != count:
            raise FashionError(
                f"{path}: a video of {count} frames expected, got {n_kept} written. Is the disk "
                "full?"
            )
        with open(part, "rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
        return count
    finally:
        if writer is not None:
            writer.release()
        if os.path.exists(part):
            os.unlink(part)
