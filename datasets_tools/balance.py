"""How far each class of a split is from its share, as figures, as Markdown and as JSON.

The *due share* of a part is the fraction that was asked for. A class is off by the difference
between the share of its photos that the part has and the due share, in percentage points (pp):
a class of 18 photos with none in a part of 10 % is off by 10 pp there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Balance:
    """Photos and instances of each class in each part; crowds do not count.

    Attributes:
        parts: names of the parts that are due anything.
        classes: names of the classes with an instance in any of them, the most frequent first.
        due_P: due share of each part, adding up to 1.
        n_images_P: photos of each part.
        images_CP: photos that show the class, (classes, parts).
        instances_CP: instances of the class, (classes, parts).
    """

    parts: tuple[str, ...]
    classes: tuple[str, ...]
    due_P: np.ndarray
    n_images_P: np.ndarray
    images_CP: np.ndarray
    instances_CP: np.ndarray

    @property
    def off_CP(self) -> np.ndarray:
        """Share of the class's photos less the due share, in percentage points."""
        return _off(self.images_CP, self.due_P)

    @property
    def absent(self) -> list[tuple[str, str]]:
        """(class, part) where the part has no photo of a class that others have."""
        return [(self.classes[c], self.parts[p]) for c, p in np.argwhere(self.images_CP == 0)]

    def figures(self) -> dict[str, float]:
        """Return what two draws are compared by; ``off`` in percentage points, of photos.

        The figures over instances say the same of what a score counts; no draw steers them, as
        a photo cannot be parted.
        """
        off_CP, off_instances_CP = abs(self.off_CP), abs(_off(self.instances_CP, self.due_P))
        sizes = _off(self.n_images_P[None], self.due_P)
        return {
            "mean off": float(off_CP.mean()) if off_CP.size else 0.0,
            "largest off": float(off_CP.max(initial=0.0)),
            "mean off, instances": float(off_instances_CP.mean()) if off_CP.size else 0.0,
            "largest off, instances": float(off_instances_CP.max(initial=0.0)),
            "classes absent from a part": float(len(self.absent)),
            "largest off, size of a part": float(abs(sizes).max(initial=0.0)),
        }

    def line(self) -> str:
        """Return the one line to print."""
        figures = self.figures()
        if not self.classes:
            return "shares of the classes: no instances"
        c, p = np.unravel_index(abs(self.off_CP).argmax(), self.off_CP.shape)
        return (
            f"shares of the classes: off by {figures['mean off']:.1f} pp on average, "
            f"{figures['largest off']:.1f} at most ({self.classes[c]} in {self.parts[p]}); "
            f"absent: {', '.join(f'{c} from {p}' for c, p in self.absent) or 'none'}"
        )


def measure(
    coco: Mapping[str, Any], lists: Mapping[str, Sequence[str]], due: Mapping[str, float]
) -> Balance:
    """Count the classes of a split.

    Args:
        coco: the COCO dictionary that was split.
        lists: part -> file names.
        due: part -> due share; parts that are due nothing are left out.
    """
    parts = tuple(part for part in lists if due[part] > 0)
    part_of = {name: index for index, part in enumerate(parts) for name in lists[part]}
    part_of_id = {i["id"]: part_of.get(i["file_name"]) for i in coco["images"]}
    category_of = {category["id"]: category["name"] for category in coco["categories"]}
    images: dict[str, set[int]] = {}
    instances: dict[str, np.ndarray] = {}
    for annotation in coco["annotations"]:
        image_id = annotation["image_id"]
        part = part_of_id[image_id]
        if part is not None and not annotation.get("iscrowd"):
            name = category_of[annotation["category_id"]]
            images.setdefault(name, set()).add(image_id)
            instances.setdefault(name, np.zeros(len(parts), dtype=int))[part] += 1
    classes = tuple(sorted(images, key=lambda name: (-len(images[name]), name)))
    images_CP = np.zeros((len(classes), len(parts)), dtype=int)
    for row, name in enumerate(classes):
        for image_id in images[name]:
            images_CP[row, part_of_id[image_id]] += 1
    total = sum(due[part] for part in parts)
    return Balance(
        parts=parts,
        classes=classes,
        due_P=np.array([due[part] / total for part in parts]),
        n_images_P=np.array([len(lists[part]) for part in parts]),
        images_CP=images_CP,
        instances_CP=np.array([instances[name] for name in classes]).reshape(images_CP.shape),
    )


def compare(draws: Mapping[str, Sequence[Balance]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return way of drawing -> figure -> mean, least and most over the seeds."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for way, balances in draws.items():
        figures = [balance.figures() for balance in balances]
        out[way] = {
            name: {
                "mean": float(np.mean([f[name] for f in figures])),
                "min": min(f[name] for f in figures),
                "max": max(f[name] for f in figures),
            }
            for name in figures[0]
        }
    return out


def as_json(origin: str, balance: Balance, draws: Mapping[str, Sequence[Balance]]) -> Any:
    """Return the report as JSON takes it."""
    off_CP = balance.off_CP
    return {
        "split": origin,
        "parts": {
            part: {"due": float(due), "images": int(n)}
            for part, due, n in zip(
                balance.parts, balance.due_P, balance.n_images_P, strict=True
            )
        },
        "classes": {
            name: {
                part: {
                    "images": int(balance.images_CP[c, p]),
                    "instances": int(balance.instances_CP[c, p]),
                    "off": float(off_CP[c, p]),
                }
                for p, part in enumerate(balance.parts)
            }
            for c, name in enumerate(balance.classes)
        },
        "figures": balance.figures(),
        "absent": [list(pair) for pair in balance.absent],
        "seeds": len(next(iter(draws.values()), ())),
        "compared": compare(draws),
    }


def as_markdown(
    origin: str, balance: Balance, draws: Mapping[str, Sequence[Balance]]
) -> Iterator[str]:
    """Yield the report as Markdown, a line at a time."""
    compared = compare(draws)
    if compared:
        n_seeds = len(next(iter(draws.values())))
        names = next(iter(compared.values()))
        yield f"Mean (least to most) of {n_seeds} seeds; pp = percentage points:"
        yield ""
        yield "| | " + " | ".join(compared) + " |"
        yield "|---|" + "---:|" * len(compared)
        for name in names:
            cells = [_range(way[name]) for way in compared.values()]
            yield f"| {_TITLES[name]} | " + " | ".join(cells) + " |"
        yield ""
    yield f"`{origin}`:"
    yield ""
    sizes = (
        f"{part} {n} ({100 * n / max(balance.n_images_P.sum(), 1):.1f} %, due {100 * due:.1f} %)"
        for part, n, due in zip(balance.parts, balance.n_images_P, balance.due_P, strict=True)
    )
    yield f"Photos: {', '.join(sizes)}."
    yield f"S{balance.line()[1:]}."
    yield ""
    yield "| class | photos | " + " | ".join(
        f"{part} (due {100 * due:.1f} %)"
        for part, due in zip(balance.parts, balance.due_P, strict=True)
    ) + " | largest off, pp |"
    yield "|---|---:|" + "---:|" * (len(balance.parts) + 1)
    for name, images_P, off_P in zip(
        balance.classes, balance.images_CP, balance.off_CP, strict=True
    ):
        cells = [f"{n} ({100 * n / images_P.sum():.1f} %)" for n in images_P]
        yield f"| {name} | {images_P.sum()} | {' | '.join(cells)} | {abs(off_P).max():.1f} |"


_TITLES = {
    "mean off": "a class is off its share of photos by, mean, pp",
    "largest off": "the class that is off most, pp",
    "mean off, instances": "a class is off its share of instances by, mean, pp",
    "largest off, instances": "the class that is off most, instances, pp",
    "classes absent from a part": "times that a class is absent from a part",
    "largest off, size of a part": "a part is off its size by at most, pp",
}


def _range(values: Mapping[str, float]) -> str:
    return f"{values['mean']:.2f} ({values['min']:.2f} to {values['max']:.2f})"


def _off(counts_CP: np.ndarray, due_P: np.ndarray) -> np.ndarray:
    totals = np.maximum(counts_CP.sum(axis=1, keepdims=True), 1)
    return 100 * (counts_CP / totals - due_P)
