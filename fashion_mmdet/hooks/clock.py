"""Counts how many images a second go through."""

from __future__ import annotations

import time

_WARM_UP = 10  # batches: workers start, kernels are chosen, caches fill


class Clock:
    """Counts images and the seconds that they take, the first batches left out."""

    def __init__(self) -> None:
        self.images = 0
        self.seconds = 0.0
        self._to_skip = _WARM_UP
        self._since_s = 0.0

    @property
    def images_per_s(self) -> float | None:
        return self.images / self.seconds if self.seconds else None

    def start(self) -> None:
        """Begin, or go on after a pause that does not count."""
        self._since_s = time.perf_counter()

    def tick(self, images: int) -> None:
        """Count a batch, which is done now."""
        now = time.perf_counter()
        if self._to_skip:
            self._to_skip -= 1
        else:
            self.images += images
            self.seconds += now - self._since_s
        self._since_s = now
