"""What ``fashion data cache`` prints of its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class CacheReport:
    """What a cache holds, and what was done for it.

    Attributes:
        n_photos: photos in the cache.
        n_made: those made by this run; the others were there.
        source_bytes: size of the photos' files at their own size.
        cached_bytes: size of those in the cache.
        n_masks: annotations in the cache.
        dropped: reason -> annotations left out.
        annotation_bytes: size of the annotation file, before and in the cache.
        seconds: wall time.
    """

    n_photos: int = 0
    n_made: int = 0
    source_bytes: int = 0
    cached_bytes: int = 0
    n_masks: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    annotation_bytes: tuple[int, int] = (0, 0)
    seconds: float = 0.0

    def lines(self, out: Path) -> Iterator[str]:
        """Yield the report as printed; the summary comes last."""
        for reason, count in self.dropped.most_common():
            yield f"note: {count:,} annotations left out: {reason}"
        before, after = self.annotation_bytes
        yield f"annotations: {self.n_masks:,} kept, {_mb(before)} before, {_mb(after)} in the cache"
        yield (
            f"photos: {self.n_photos:,}, {_mb(self.source_bytes)} before, "
            f"{_mb(self.cached_bytes)} in the cache"
        )
        yield (
            f"{out}: {self.n_made:,} photos made, {self.n_photos - self.n_made:,} were there, "
            f"{self.seconds:.1f} s"
        )


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
