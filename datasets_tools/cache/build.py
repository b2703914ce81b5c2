"""Make a cache, or bring one up to date: what is missing or changed is done, and no more.

A cache is a folder with ``train.json``, ``photos/`` and the ledger (:mod:`.ledger`). The annotation
file goes first when anything is to be done, and comes back last, by a rename: where it is, the
cache is whole.
"""

from __future__ import annotations

import os
import posixpath
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from datasets_tools.cache.annotations import seen_from, write_annotations
from datasets_tools.cache.folder import (
    ANNOTATIONS,
    PART,
    PHOTOS,
    locked,
    named_when_full,
    refuse_other,
    refuse_own_inputs,
    refuse_scored,
)
from datasets_tools.cache.ledger import LEDGER, Ledger, Made, add_photo, add_whole, write_ledger
from datasets_tools.cache.report import CacheReport
from datasets_tools.cache.scale import Settings, name_in_cache, resize_photo, working_size_hw
from datasets_tools.cached import read_originals
from fashion_mmdet.core.errors import AnnotationError, FashionError
from fashion_mmdet.core.files import (
    atomic_open,
    inside,
    looked_up_from,
    require_writable,
    sha256_of,
)

_SHOWN = 5  # faults that are named


def make_cache(
    annotations: str | os.PathLike[str],
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    workers: int = 1,
    force: bool = False,
    progress: bool = False,
) -> CacheReport:
    """Make the cache ``out`` of a COCO file and its photos, or bring it up to date.

    All annotations are held in memory, as by training itself; of the photos, one for each worker.

    Args:
        annotations: the COCO file that training reads.
        images_dir: the folder of its photos.
        out: the folder of the cache; a new or empty one, or a cache.
        settings: what to make.
        workers: photos resized at a time.
        force: make a cache of other settings, or of another annotation file, anew.
        progress: show progress bars where stderr is a terminal.

    Raises:
        FashionError: for a folder that is no cache, or one of other settings or another file, or
            that holds the input; annotations by the name of those that are scored; a full disk;
            another run at work in the folder.
        AnnotationError: for photos that are missing, unreadable or of another size than annotated.
            All are looked at first; the good ones stay in the cache, which is not whole.
    """
    start = time.perf_counter()
    source, folder = Path(annotations), Path(out)
    if not Path(images_dir).is_dir():
        raise FashionError(
            f"{images_dir}: the folder of the photos expected, found none. Check --images."
            f"{looked_up_from(images_dir)}"
        )
    if not source.is_file():
        raise FashionError(
            f"{source}: a COCO file expected, found none. Check the path.{looked_up_from(source)}"
        )
    refuse_scored(source)
    refuse_own_inputs(folder, source, Path(images_dir))
    require_writable(folder / LEDGER)
    with named_when_full(folder), locked(folder):
        ledger = Ledger.read(folder)
        refuse_other(folder, ledger, settings, seen_from(folder, source), force)
        # Before the file is read: a change in between makes the cache stale, not wrong.
        made_of = {
            "annotations": seen_from(folder, source),
            "photos": seen_from(folder, Path(images_dir)),
            "sha256": sha256_of(source),
        }
        cache = _Cache(folder, Path(images_dir), settings, ledger, workers, progress)
        if not cache.is_whole(made_of):
            cache.refresh(source, made_of)
        report = cache.report()
    report.annotation_bytes = source.stat().st_size, (folder / ANNOTATIONS).stat().st_size
    report.seconds = time.perf_counter() - start
    return report


class _Cache:
    """A cache, its ledger, and where its photos come from."""

    def __init__(
        self,
        folder: Path,
        images_dir: Path,
        settings: Settings,
        ledger: Ledger,
        workers: int,
        progress: bool,
    ) -> None:
        self._folder, self._images_dir, self._settings = folder, images_dir, settings
        self._ledger, self._workers = ledger, workers
        self._progress = progress
        self._n_made = 0
        # One photo is written at a time: atomic_open reads the umask, which all threads share.
        self._writing = threading.Lock()

    def is_whole(self, made_of: dict[str, str]) -> bool:
        """Whether all is there, of these settings, of this annotation file, of these photos."""
        whole, path = self._ledger.whole, self._folder / ANNOTATIONS
        return (
            whole is not None
            and self._ledger.settings == self._settings.as_json()
            and whole.get("made_of") == made_of
            and path.is_file()
            and path.stat().st_size == whole.get("bytes")
            and len(self._ledger.photos) == whole.get("photos")
            and all(map(self._is_fresh, self._ledger.photos.values()))
        )

    def refresh(self, source: Path, made_of: dict[str, str]) -> None:
        """Do what is missing, remove what is no longer wanted, close the cache."""
        coco = read_originals(source)
        wanted = self._wanted(coco, source)
        (self._folder / ANNOTATIONS).unlink(missing_ok=True)
        is_same = self._ledger.settings == self._settings.as_json()
        fresh = {
            name: made
            for name, made in self._ledger.photos.items()
            if is_same
            and name in wanted
            and (made.height, made.width) == wanted[name]
            and self._is_fresh(made)
        }
        self._remove({made.name for made in self._ledger.photos.values()}, wanted)
        settings = self._settings.as_json()
        self._ledger = Ledger(settings, fresh, annotations=made_of["annotations"])
        write_ledger(self._folder, self._ledger)
        self._make_photos({n: size for n, size in wanted.items() if n not in fresh})
        n_masks, dropped = write_annotations(
            self._folder, coco, source, made_of, self._settings, self._progress
        )
        self._ledger.whole = {
            "made_of": made_of,
            "bytes": (self._folder / ANNOTATIONS).stat().st_size,
            "photos": len(self._ledger.photos),
            "masks": n_masks,
            "dropped": dropped,
        }
        add_whole(self._folder, self._ledger.whole)

    def report(self) -> CacheReport:
        """Return what the cache holds; it is whole."""
        whole, photos = self._ledger.whole or {}, self._ledger.photos.values()
        return CacheReport(
            n_photos=len(photos),
            n_made=self._n_made,
            source_bytes=sum(made.source_bytes for made in photos),
            cached_bytes=sum(made.n_bytes for made in photos),
            n_masks=whole.get("masks", 0),
            dropped=Counter(whole.get("dropped", {})),
        )

    def _wanted(self, coco: dict[str, Any], source: Path) -> dict[str, tuple[int, int]]:
        """Return file name -> (height, width) of the photos of the annotation file."""
        wanted: dict[str, tuple[int, int]] = {}
        maker_of: dict[str, str] = {}
        for image in coco["images"]:
            name, size_hw = image["file_name"], (image["height"], image["width"])
            where = f"{source}: image {image['id']}"
            inside(self._images_dir, name, where)
            if wanted.setdefault(name, size_hw) != size_hw:
                raise AnnotationError(
                    f"{where}: the size {wanted[name]} expected, which {name} has in an entry "
                    f"before, got {size_hw}. Mend the file."
                )
            cached = name_in_cache(name, size_hw, self._settings)
            if maker_of.setdefault(cached, name) != name:
                raise AnnotationError(
                    f"{where}: a name of its own in the cache expected, got {cached} for {name} "
                    f"and for {maker_of[cached]}. Rename one."
                )
        return wanted

    def _is_fresh(self, made: Made) -> bool:
        """Whether a cached photo is there, and its original is as it was then."""
        try:
            source = os.stat(inside(self._images_dir, made.file_name, LEDGER))
            cached = os.stat(inside(self._folder / PHOTOS, made.name, LEDGER))
        except OSError:
            return False
        is_same = (source.st_size, source.st_mtime_ns) == (made.source_bytes, made.source_mtime_ns)
        return is_same and cached.st_size == made.n_bytes

    def _remove(self, cached: set[str], wanted: dict[str, tuple[int, int]]) -> None:
        """Remove photos that are ours and no longer wanted, and what killed runs left."""
        names = {name_in_cache(name, size_hw, self._settings) for name, size_hw in wanted.items()}
        kept = {posixpath.normpath(name) for name in names}  # "./0.jpg" and "0.jpg" are one file
        for name in cached:
            if posixpath.normpath(name) not in kept:
                inside(self._folder / PHOTOS, name, LEDGER).unlink(missing_ok=True)
        known = {os.path.normpath(f"{PHOTOS}/{name}") for name in cached | names}
        known |= {ANNOTATIONS, LEDGER}
        for place, _, files in os.walk(self._folder):
            for name in files:
                part = PART.fullmatch(name)
                if part and os.path.relpath(os.path.join(place, part[1]), self._folder) in known:
                    os.unlink(os.path.join(place, name))

    def _make_photos(self, missing: dict[str, tuple[int, int]]) -> None:
        faults: list[str] = []
        hidden = None if self._progress else True  # None: hidden unless stderr is a terminal
        # Threads: OpenCV decodes, resizes and codes without Python's lock.
        with (
            open(self._folder / LEDGER, "a", encoding="utf-8") as stream,
            ThreadPoolExecutor(self._workers) as pool,
        ):
            jobs = [pool.submit(self._make_photo, *item, stream) for item in missing.items()]
            try:
                for job in tqdm(as_completed(jobs), total=len(jobs), unit="photo", disable=hidden):
                    try:
                        job.result()
                    except AnnotationError as error:
                        faults.append(str(error))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if faults:
            shown = sorted(faults)[:_SHOWN]
            more = [f"... and {len(faults) - _SHOWN} more."] if len(faults) > _SHOWN else []
            raise AnnotationError(
                f"{self._images_dir}: {len(missing)} photos to put into the cache expected, got "
                f"{len(faults)} that cannot be. Mend them or take them out of the annotations, "
                "and run again: the others are done.\n  " + "\n  ".join(shown + more)
            )

    def _make_photo(self, file_name: str, size_hw: tuple[int, int], ledger: IO[str]) -> None:
        path = self._images_dir / file_name
        try:
            stat = path.stat()
            content = path.read_bytes()
        except OSError as error:
            raise AnnotationError(
                f"{path}: a photo expected, got '{error.strerror}'. Is the folder complete?"
            ) from None
        new_hw = working_size_hw(size_hw, self._settings.size)
        small = resize_photo(content, size_hw, new_hw, self._settings, str(path))
        name = name_in_cache(file_name, size_hw, self._settings)
        made = Made(file_name, stat.st_size, stat.st_mtime_ns, *size_hw, name, len(small))
        with self._writing:
            with atomic_open(self._folder / PHOTOS / name, "wb") as stream:
                stream.write(small)
            add_photo(ledger, made)
            self._ledger.photos[file_name] = made
            self._n_made += 1
