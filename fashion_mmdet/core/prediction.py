"""What a model found on one photo, as arrays and run-length codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import AnnotationError
from .rle import decode


@dataclass(frozen=True, repr=False)
class Prediction:
    """The N garments and parts that a model found on one photo, in falling score.

    Attributes:
        classes: class names in label order.
        size_hw: height and width of the photo as it is seen, EXIF orientation applied, in px.
        labels: (N,) int64, positions in ``classes``.
        scores: (N,) float64 in 0..1, falling.
        boxes_xyxy: (N, 4) float64, px of the photo.
        rles: the N masks as compressed COCO codes of the photo's size.

    >>> found = Prediction(("dress", "shoe"), (2, 3), [1], [0.9], [[0, 0, 1, 2]],
    ...                    [{"size": [2, 3], "counts": "024"}])
    >>> found.names, found.masks_NHW.shape, int(found.masks_NHW.sum())
    (('shoe',), (1, 2, 3), 2)
    """

    classes: tuple[str, ...]
    size_hw: tuple[int, int]
    labels: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    rles: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        for name, dtype, shape in (
            ("labels", np.int64, (-1,)), ("scores", np.float64, (-1,)),
            ("boxes_xyxy", np.float64, (-1, 4)),
        ):  # fmt: skip
            array = np.asarray(getattr(self, name), dtype=dtype).reshape(shape)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "rles", tuple(self.rles))
        n = len(self.rles)
        if not self.labels.size == self.scores.size == len(self.boxes_xyxy) == n:
            raise AnnotationError(
                f"Prediction: as many labels, scores and boxes as the {n} masks expected, got "
                f"{self.labels.size}, {self.scores.size} and {len(self.boxes_xyxy)}."
            )

    def __len__(self) -> int:
        return len(self.rles)

    def __repr__(self) -> str:
        shown = [f"{n} {s:.2f}" for n, s in zip(self.names[:5], self.scores[:5], strict=True)]
        more = ", ..." if len(self) > 5 else ""
        return f"Prediction({len(self)} found: {', '.join(shown)}{more})"

    @property
    def names(self) -> tuple[str, ...]:
        """The class name of each."""
        return tuple(self.classes[label] for label in self.labels.tolist())

    @property
    def masks_NHW(self) -> np.ndarray:
        """(N, height, width) bool; made anew at each call, so keep it while you need it.

        A hundred masks of a 6-megapixel photo are 600 MB; :meth:`mask` makes one.
        """
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for n in range(len(self)):
            masks[n] = self.mask(n)
        return masks

    def mask(self, n: int) -> np.ndarray:
        """Return (height, width) bool, the mask of one."""
        return decode(dict(self.rles[n])).astype(bool)

    def take(self, which: Sequence[int] | np.ndarray) -> Prediction:
        """Return those at the positions ``which``, in that order."""
        at = np.asarray(which, dtype=np.int64).reshape(-1)
        return Prediction(
            self.classes, self.size_hw, self.labels[at], self.scores[at], self.boxes_xyxy[at],
            tuple(self.rles[n] for n in at.tolist()),
        )  # fmt: skip
