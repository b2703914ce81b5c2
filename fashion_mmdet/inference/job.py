"""The work of ``fashion predict``: photos in, a ledger and files out, bounded in memory.

Photos are read and brought to size in threads while the network works on those before them, and
pictures are drawn and written in another thread. What is in flight is bounded, so memory is that
of a few photos, however many there are.
"""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.prediction import Prediction

from .inputs import Source
from .ledger import Entry, Ledger
from .outputs import (
    CUTOUTS,
    PICTURES,
    Palette,
    drawn,
    n_cutouts,
    n_with_pixels,
    picture_path,
    remove_outputs,
    write_cutouts_of,
    write_picture,
)
from .photos import LoadedPhoto, read_photo
from .predictor import Predictor
from .videos import SUFFIX, Video, even, write_video

_In, _Out = TypeVar("_In"), TypeVar("_Out")
#: Threads that read photos.
_READERS = 2
#: Photos between two fsyncs of the ledger: what a power cut may cost. A kill costs none.
_SYNC_EVERY = 16
#: Errors of the system that concern all files, not one photo's.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@dataclass(frozen=True)
class Wanted:
    """Which files are written for each photo."""

    pictures: bool
    cutouts: bool


@dataclass
class Tally:
    """What came of it, to be said at the end."""

    n_new: int = 0
    n_known: int = 0
    failed: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    of_class: Counter[str] = field(default_factory=Counter)
    without: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Task:
    """One photo on its way: what it is, how it is read, and what is known of it by now."""

    entry: Entry
    load: Callable[[], LoadedPhoto]
    photo: LoadedPhoto | None = None
    item: Any = None


def run(
    predictor: Predictor,
    sources: Iterable[Source],
    ledger: Ledger,
    out_dir: Path,
    wanted: Wanted,
    *,
    every: int = 1,
    batch_size: int = 1,
) -> Tally:
    """Predict what the ledger does not know yet, and write the files of each photo.

    Args:
        predictor: the model.
        sources: photos and videos.
        ledger: open; it gets an entry for each photo, after the files of the photo.
        out_dir: the folder of the files.
        wanted: which.
        every: of a video, each so-manieth frame.
        batch_size: photos that the network sees at once.
    """
    sources = list(sources)
    # Of videos it is not known; what is known already is passed in no time.
    total = None if any(source.is_video for source in sources) else len(sources)
    tally = Tally()
    tasks = _tasks(sources, ledger, out_dir, wanted, every, tally)
    with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as writer:
        ready = _ahead(readers, partial(_read, predictor), tasks, _READERS + batch_size)
        found = _through_network(predictor, ready, batch_size)
        written = _ahead(writer, partial(_write, predictor, out_dir, wanted), found, 2)
        # None: hidden unless stderr is a terminal
        with tqdm(total=total, unit="photo", disable=None) as bar:
            for n, entry in enumerate(written, start=1):
                bar.update(n + tally.n_known - bar.n)
                if entry.prediction is None:
                    _remove_stale(ledger, entry, out_dir)
                ledger.append(entry)
                _count(tally, entry)
                if n % _SYNC_EVERY == 0:
                    ledger.sync()
    return tally


def _remove_stale(ledger: Ledger, entry: Entry, out_dir: Path) -> None:
    """Remove what an earlier run has drawn of a photo that cannot be read any more."""
    known = ledger.get(entry.source, entry.frame)
    if known is not None and known.prediction is not None and entry.frame is None:
        remove_outputs(out_dir, [known.name])


def entries_of(sources: Iterable[Source], ledger: Ledger, every: int = 1) -> Iterator[Entry]:
    """Yield the entries of the sources, in their order and called as now; of videos the frames."""
    for source in sources:
        whole = os.path.abspath(source.path)
        numbers: list[int | None] = [None]
        if source.is_video:
            numbers = [number for number in ledger.frames_of(whole) if number % every == 0]
        for number in numbers:
            known = ledger.get(whole, number)
            if known is not None:
                at = "" if number is None else f"#{number:06d}"
                yield replace(known, file_name=f"{source.file_name}{at}", image_id=source.image_id)


def write_videos(
    sources: Iterable[Source], ledger: Ledger, out_dir: Path, every: int, palette: Palette
) -> list[str]:
    """Write each video again with what was found on it; return the files, below ``out_dir``."""
    written = []
    for source in sources:
        if not source.is_video:
            continue
        frames = _drawn_frames(source, ledger, every, palette)
        path = picture_path(out_dir, source.name).with_name(
            f"{os.path.basename(source.name)}{SUFFIX}"
        )
        try:
            fps = Video(source.path, every).fps
        except FashionError:
            continue
        if write_video(path, frames, fps):
            written.append(os.path.relpath(path, out_dir))
    return written


def _drawn_frames(
    source: Source, ledger: Ledger, every: int, palette: Palette
) -> Iterator[np.ndarray]:
    whole = os.path.abspath(source.path)
    for number, frame_bgr in Video(source.path, every).frames():
        entry = ledger.get(whole, number)
        if frame_bgr is not None and entry is not None and entry.prediction is not None:
            yield even(drawn(frame_bgr, entry.prediction, palette))


def folders(out_dir: Path, wanted: Wanted) -> list[str]:
    """Return the folders of files for each photo."""
    wishes = ((wanted.pictures, PICTURES), (wanted.cutouts, CUTOUTS))
    return [f"{name}/" for is_wanted, name in wishes if is_wanted and (out_dir / name).is_dir()]


def _tasks(
    sources: Iterable[Source],
    ledger: Ledger,
    out_dir: Path,
    wanted: Wanted,
    every: int,
    tally: Tally,
) -> Iterator[_Task]:
    """Yield what is to be done: photos that are not known, or that lack a file."""
    for source in sources:
        if source.is_video:
            yield from _frames(source, ledger, every, tally)
            continue
        entry = Entry(
            os.path.abspath(source.path), source.file_name, source.name, source.image_id,
            _stamp(source.path),
        )  # fmt: skip
        if entry in ledger:
            known = ledger.get(entry.source)
            assert known is not None
            entry = replace(known, file_name=source.file_name, image_id=source.image_id)
            if not _lacks_files(entry, out_dir, wanted):
                tally.n_known += 1
                _count(tally, entry, is_new=False)
                continue
        yield _Task(entry, partial(read_photo, source.path))


def _frames(source: Source, ledger: Ledger, every: int, tally: Tally) -> Iterator[_Task]:
    whole = os.path.abspath(source.path)
    entry = Entry(whole, source.file_name, source.name, source.image_id, _stamp(source.path))

    def is_known(number: int) -> bool:
        return replace(entry, frame=number) in ledger

    n_read = 0
    try:
        video = Video(source.path, every)
        for number, frame_bgr in video.frames(skip=is_known):
            n_read = number + 1
            if frame_bgr is None:
                tally.n_known += 1
                known = ledger.get(whole, number)
                if known is not None:
                    _count(tally, known, is_new=False)
                continue
            of_frame = replace(
                entry, frame=number, file_name=f"{source.file_name}#{number:06d}",
                name=f"{source.name}/{number:06d}",
            )  # fmt: skip
            yield _Task(of_frame, partial(LoadedPhoto, frame_bgr))
        if n_read + every <= video.n_promised:
            tally.notes[
                f"frames of {source.file_name} read, of {video.n_promised:,} that its header "
                "promises: was it cut short?"
            ] += n_read
    except FashionError as error:
        yield _Task(replace(entry, error=str(error)), partial(_fail, error))


def _fail(error: FashionError) -> LoadedPhoto:
    raise error


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _lacks_files(entry: Entry, out_dir: Path, wanted: Wanted) -> bool:
    if wanted.pictures and not picture_path(out_dir, entry.name).is_file():
        return True
    return wanted.cutouts and n_cutouts(out_dir, entry.name) < n_with_pixels(entry.prediction)


def _read(predictor: Predictor, task: _Task) -> _Task:
    """Read a photo and prepare it; in a thread. What is wrong with it goes into the entry."""
    try:
        photo = task.load()
        entry = replace(task.entry, notes=photo.notes)
        item = None
        if entry.prediction is None:
            item = predictor.prepare(photo.image_bgr, task.entry.file_name)
        return replace(task, entry=entry, photo=photo, item=item)
    except FashionError as error:
        return replace(task, entry=replace(task.entry, error=str(error)))


def _through_network(
    predictor: Predictor, tasks: Iterable[_Task], batch_size: int
) -> Iterator[_Task]:
    """Yield the tasks with their predictions, in order."""
    waiting: list[_Task] = []
    n_items = 0
    for task in tasks:
        waiting.append(task)
        n_items += task.item is not None
        # Those that need no network wait for a few at most: each holds a decoded photo.
        if n_items == batch_size or len(waiting) >= batch_size + _READERS or not n_items:
            yield from _forward(predictor, waiting)
            waiting, n_items = [], 0
    yield from _forward(predictor, waiting)


def _forward(predictor: Predictor, tasks: list[_Task]) -> Iterator[_Task]:
    given = [task.item for task in tasks if task.item is not None]
    found = iter(_predictions(predictor, given))
    for task in tasks:
        if task.item is None:
            yield task
            continue
        result = next(found)
        if isinstance(result, str):
            where = task.entry.file_name
            entry = replace(task.entry, error=f"{where}: {result}")
        else:
            entry = replace(task.entry, prediction=result, error=None)
        yield replace(task, entry=entry, item=None)


def _predictions(predictor: Predictor, items: list[Any]) -> list[Prediction | str]:
    """Return what is found on each, or why nothing can be said; a full GPU is tried one by one."""
    if not items:
        return []
    try:
        return list(predictor.forward(items))
    except (RuntimeError, MemoryError) as error:
        # Of a CPU without memory torch says so in a plain RuntimeError.
        is_full = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not is_full and "allocate memory" not in str(error):
            raise
        if len(items) == 1:
            return [
                "a photo that fits the memory of the device expected, got one that does not. "
                "Give --device cpu, or a smaller photo."
            ]
    torch.cuda.empty_cache()
    return [one for item in items for one in _predictions(predictor, [item])]


def _write(predictor: Predictor, out_dir: Path, wanted: Wanted, task: _Task) -> Entry:
    """Write the files of one photo; in a thread."""
    entry, photo = task.entry, task.photo
    if entry.prediction is None or photo is None or entry.frame is not None:
        return entry
    try:
        if wanted.pictures:
            path = picture_path(out_dir, entry.name)
            write_picture(path, photo.image_bgr, entry.prediction, predictor.palette)
        if wanted.cutouts:
            write_cutouts_of(out_dir, entry.name, photo.image_bgr, entry.prediction)
    except (FashionError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        said = error if isinstance(error, FashionError) else f"{entry.file_name}: {error}"
        return replace(entry, prediction=None, error=f"{said} Its files could not be written.")
    return entry


def _count(tally: Tally, entry: Entry, *, is_new: bool = True) -> None:
    tally.notes.update(entry.notes)
    if entry.prediction is None:
        tally.failed.append(entry.error or "")
        tqdm.write(f"left out: {entry.error}", file=sys.stderr)
        return
    tally.n_new += is_new
    tally.of_class.update(entry.prediction.names)
    if not len(entry.prediction):
        tally.without.append(entry.file_name)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[_In], _Out], given: Iterable[_In], n_ahead: int
) -> Iterator[_Out]:
    """Yield ``work`` of each, in order, while the next ``n_ahead`` are worked on in ``pool``."""
    waiting: deque[Future[_Out]] = deque()
    try:
        for one in given:
            waiting.append(pool.submit(work, one))
            if len(waiting) > n_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
