"""What ``fashion data merge`` says at its end: counts by source, and where the photos are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets_tools.merge_parts import Part
from datasets_tools.report import counted

#: What :attr:`MergeReport.counts` calls photos that several files have.
JOINED = "photos that several files have, joined"


@dataclass
class MergeReport:
    """What a merge wrote.

    Attributes:
        n_images: source -> images.
        n_annotations: source -> annotations.
        n_per_category: category -> source -> annotations.
        counts: what was joined or left out -> how many.
    """

    n_images: Counter[str] = field(default_factory=Counter)
    n_annotations: Counter[str] = field(default_factory=Counter)
    n_per_category: dict[str, Counter[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield the report as printed, a line at a time."""
        names = list(self.n_images)
        yield f"{'instances':40}" + "".join(f" {name:>12}" for name in names)
        for name, n in self.n_per_category.items():
            yield f"  {name:38}" + "".join(f" {n[source]:12,}" for source in names)
        for what, count in sorted((+self.counts).items()):
            yield f"note: {what}: {count:,}"
        for name in names:
            yield (
                f"{name}: {counted(self.n_images[name], 'image')}, "
                f"{counted(self.n_annotations[name], 'mask')}"
            )

    def total(self) -> str:
        """Return the merged set in one line."""
        return (
            f"{counted(self.n_images.total() - self.counts[JOINED], 'image')}, "
            f"{counted(self.n_annotations.total(), 'mask')} of "
            f"{counted(len(self.n_per_category), 'category', 'categories')}"
        )


def photos_lines(
    parts: Sequence[Part], out: str | os.PathLike[str], root: str | None
) -> Iterator[str]:
    """Yield what a config must say so that the photos of the merged file are found.

    Args:
        parts: what was merged.
        out: the merged file; ``data_root`` of the recipes is its folder, but for ``annotations``.
        root: the folder that the file names start from; None where nothing tells it.
    """
    folder = Path(out).absolute().parent
    data_root = folder.parent if folder.name == "annotations" else folder
    base = Path(os.environ.get("FASHION_DATA", "data")).absolute()
    named = f"{data_root}/"
    if data_root.is_relative_to(base):
        inner = data_root.relative_to(base).as_posix()
        named = "{{$FASHION_DATA:data}}/" + (f"{inner}/" if inner != "." else "")
    if root is not None:
        yield f"photos: file names start from {root}"
        prefix = os.path.relpath(os.path.abspath(root), data_root).replace(os.sep, "/")
        # ".." behind a link is another folder.
        if os.path.realpath(root) != os.path.realpath(data_root / prefix):
            prefix = os.path.abspath(root)
        prefix += "/"
    else:
        folders = ", ".join(f"{part.folder}/" for part in parts if part.folder)
        if folders:
            what = f"a folder that is yet to be made: one that holds, or links, {folders}"
        elif len(parts) > 1:
            what = "a folder that is yet to be made: one with the photos of all"
        else:
            what = f"the folder that those of {parts[0].path} start from"
        yield f"photos: file names start from {what}"
        prefix = "FOLDER/"
    yield f'in a config: data_root="{named}", data_prefix=dict(img="{prefix}")'
