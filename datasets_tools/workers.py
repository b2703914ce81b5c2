"""Work shared between processes, with results in the order of the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fashion_mmdet.core.errors import FashionError

_MOST_WORKERS = 61  # Windows waits for no more
_AHEAD = 3  # items for each worker: enough that none waits, little enough to hold in memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def n_cores() -> int:
    """Return how many cores this process may use; a cluster gives a job fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order, a few items ahead of what was taken.

    Args:
        function: of a module's top level, or a partial of one, for it is sent to the workers.
        items: what to work on; small, for each is sent.
        workers: processes that work; 1 works in this one.

    Raises:
        FashionError: if a worker was killed.
    """
    if workers < 2:
        yield from map(function, items)
        return
    workers = min(workers, _MOST_WORKERS)
    # Not forked: a fork copies the locks of the progress bar's thread as they happen to stand.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _initialise)
    try:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise FashionError(
            f"the {workers} worker processes: each to live to the end expected, got one that was "
            "killed, perhaps for want of memory. Run again with --workers 1."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _initialise() -> None:
    """Let the parent alone answer to Ctrl-C, and end with it even where it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
