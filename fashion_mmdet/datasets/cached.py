"""What a training set that is a cache (``fashion data cache``) says of its originals."""

from __future__ import annotations

import os
import os.path as osp
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fashion_mmdet.core.errors import AnnotationError
from fashion_mmdet.core.files import sha256_of

_LEDGER = "photos.jsonl"  # what makes a folder a cache


@dataclass(frozen=True)
class Cache:
    """A cache, by the ``info.cached_from`` of its annotation file.

    Attributes:
        ann_file: its annotation file.
        annotations: the file that it is made of; may not be on this machine.
        photos: the folder of the original photos; None where it is not here, or not said.
        sha256: of ``annotations`` as they were.
    """

    ann_file: str
    annotations: str
    photos: str | None
    sha256: str

    @classmethod
    def of(cls, ann_file: str, info: Any) -> Cache | None:
        """Return the cache that ``ann_file`` is of; None where it is no cache.

        Args:
            ann_file: a COCO file.
            info: its ``info``.
        """
        said = info.get("cached_from") if isinstance(info, dict) else None
        folder = osp.realpath(osp.dirname(ann_file))
        # Without the ledger of a cache beside it, it is another file that took the info along.
        if not isinstance(said, dict) or not osp.isfile(osp.join(folder, _LEDGER)):
            return None
        source = osp.normpath(osp.join(folder, str(said.get("annotations"))))
        photos = said.get("photos")  # caches of before do not say it
        found = osp.normpath(osp.join(folder, photos)) if isinstance(photos, str) else ""
        is_here = bool(found) and osp.isdir(found)
        return cls(ann_file, source, found if is_here else None, str(said.get("sha256")))

    def refuse_stale(self) -> bool:
        """Refuse a cache of annotations that were changed after it.

        Returns:
            False where there is nothing to compare with: the cache alone is on this machine.
        """
        if not osp.isfile(self.annotations):
            return False
        if sha256_of(self.annotations) != self.sha256:
            raise AnnotationError(
                f"{self.ann_file}: a cache of {self.annotations} as it is now expected, got one of "
                "an earlier state. Run `fashion data cache` again, or unset FASHION_CACHE."
            )
        return True

    def warnings(
        self, images: Iterable[Mapping[str, Any]], transforms: Iterable[Any]
    ) -> Iterator[str]:
        """Yield what is odd about training from this cache with this pipeline.

        Args:
            images: the ``images`` of its annotation file.
            transforms: the transforms of the training pipeline, built.
        """
        made_of, expected = map(osp.basename, (self.annotations, self.ann_file))
        if made_of != expected:
            yield (
                f"a cache of {expected} expected, got one of {made_of} ({self.annotations}): these "
                "are the photos that are trained on."
            )
        size = largest_scale(transforms)
        if size is None:
            return
        factors = [_enlarged_by(image, size) for image in images]
        enlarged = [factor for factor in factors if factor > 1]
        if enlarged:
            yield (
                f"photos as large as the pipeline resizes them to, {size.width_px} x "
                f"{size.height_px} px, expected, got those of a cache that is smaller: "
                f"{len(enlarged)} of {len(factors)} were shrunk for it and are enlarged again, up "
                f"to {max(enlarged):.1f} times, which blurs them. Make a cache for this recipe: "
                f"{self._command(size)}"
            )

    def _command(self, size: Scale) -> str:
        edges = size.width_px, size.height_px
        # Squashed photos need both sides as long as asked for, whatever their shape.
        long_px = max(edges) if size.keeps_ratio else 8 * max(edges)
        short_px = min(edges) if size.keeps_ratio else max(edges)
        photos = shlex.quote(_near(self.photos)) if self.photos else "PHOTOS"
        return (
            f"fashion data cache {shlex.quote(_near(self.annotations))} --images {photos} --size "
            f"{long_px} {short_px} --out {shlex.quote(_near(osp.dirname(self.ann_file)))} --force"
        )


class Scale(NamedTuple):
    """What a transform resizes to.

    Attributes:
        width_px: or, where the shape is kept, the limit of the longer side if it is the larger.
        height_px: likewise.
        keeps_ratio: whether a photo keeps its shape.
    """

    width_px: int
    height_px: int
    keeps_ratio: bool


def largest_scale(transforms: Iterable[Any]) -> Scale | None:
    """Return the largest size that a pipeline resizes to.

    Sizes are read from ``scale`` (one, or the two that one is drawn between, times the end of
    ``ratio_range``) and ``scales`` (a choice), as mmcv's and mmdet's transforms name them, also in
    transforms within transforms. None for a pipeline that names none.
    """
    found: list[Scale] = []
    for transform in transforms:
        inner = getattr(transform, "transforms", None)
        if isinstance(inner, (list, tuple)):
            nested = largest_scale(inner)
            found += [nested] if nested else []
            continue
        given = getattr(transform, "scales", None) or getattr(transform, "scale", None)
        sizes = given if isinstance(given, list) else [given]
        factor = max(getattr(transform, "ratio_range", None) or (1,))
        resize = getattr(transform, "resize", transform)  # what mmcv's random ones are shells of
        for size in sizes:
            size = (size, size) if isinstance(size, int) else size
            if isinstance(size, tuple) and len(size) == 2:
                width_px, height_px = (int(side * factor) for side in size)
                keeps_ratio = bool(getattr(resize, "keep_ratio", True))
                found.append(Scale(width_px, height_px, keeps_ratio))
    return max(found, key=lambda scale: (min(scale[:2]), max(scale[:2])), default=None)


def other_place(ann_file: str, data_root: str) -> str:
    """Return what to do where ``FASHION_CACHE`` leads to no ``ann_file``; ``""`` if it is not it.

    A cache within the data set's folder is named from there; whoever completes the path in a shell
    names it from the working directory.
    """
    value = os.environ.get("FASHION_CACHE")
    if not value or osp.normpath(osp.dirname(ann_file)) != osp.normpath(osp.join(data_root, value)):
        return ""
    said = (
        f"FASHION_CACHE={shlex.quote(value)} is looked up from the data set's folder "
        f"({data_root.rstrip('/')})."
    )
    parts = osp.normpath(value).split(os.sep)
    tails = [osp.join(data_root, *parts[i:]) for i in range(1, len(parts))]
    for folder in [value, *tails]:
        if osp.isfile(osp.join(folder, osp.basename(ann_file))):
            near = osp.relpath(folder, data_root)
            near = osp.abspath(folder) if near.startswith(os.pardir) else near
            return f"{said} Did you mean FASHION_CACHE={shlex.quote(near)}?"
    return f"{said} Make that cache (fashion data cache), or unset FASHION_CACHE."


def _enlarged_by(image: Mapping[str, Any], size: Scale) -> float:
    """Return the factor by which a photo that was shrunk is enlarged, 1 where it is not."""
    width_px, height_px = image["width"], image["height"]
    original = image.get("ori_size")
    if not isinstance(original, list) or original == [height_px, width_px]:
        return 1.0  # as small as the photo itself: the originals would be enlarged as much
    factors = size.width_px / width_px, size.height_px / height_px
    if size.keeps_ratio:
        short_px, long_px = sorted((width_px, height_px))
        factors = (min(max(size[:2]) / long_px, min(size[:2]) / short_px),) * 2
    # A pixel more is rounding.
    grown = [f for f, px in zip(factors, (width_px, height_px), strict=True) if px * (f - 1) > 1]
    return max(grown, default=1.0)


def _near(path: str) -> str:
    """Return ``path`` from the working directory, if it is below that."""
    near = osp.relpath(path)
    return path if near.startswith(os.pardir) else near
