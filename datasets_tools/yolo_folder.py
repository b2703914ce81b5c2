"""The folder of a YOLO segmentation set: how one of ours is known, and what is never replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from datasets_tools.folders import holds_photos
from datasets_tools.name_lists import SPLITS
from fashion_mmdet.core import ontology
from fashion_mmdet.core.errors import FashionError

#: What an export holds.
CONTENT = frozenset(("images", "labels", "data.yaml"))
_MARK = "# made by: fashion data export yolo-seg"


def split_paths(paths: Sequence[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return split -> file: by the files' names, or one file of any name as ``train``.

    Raises:
        FashionError: for other names of several files, or one given twice.
    """
    if len(paths) == 1 and Path(paths[0]).stem not in SPLITS:
        return {SPLITS[0]: Path(paths[0])}
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.stem not in SPLITS or path.stem in found:
            raise FashionError(
                f"{path}: one file each of {', '.join(f'{s}.json' for s in SPLITS)}, or a single "
                "one of another name, expected, got another. Make them with fashion data split."
            )
        found[path.stem] = path
    return {split: found[split] for split in SPLITS if split in found}


def check_out(
    out: Path, force: bool, inputs: Sequence[str | os.PathLike[str]], splits: Collection[str]
) -> None:
    """Refuse a folder that is not new, not empty and not an earlier export to be replaced.

    Args:
        out: the folder to make.
        force: an earlier export may be replaced.
        inputs: files and folders that must not lie in it.
        splits: what is to be exported; an earlier export of others is not replaced.

    Raises:
        FashionError: for what is in the way; it is named.
    """
    if out.is_symlink():
        raise FashionError(f"{out}: a folder to make expected, got a link. Name where it leads to.")
    for given in inputs:
        if Path(given).resolve().is_relative_to(out.resolve()):
            raise FashionError(
                f"{out}: a folder without the inputs expected, got one with {given}. Choose "
                "another --out."
            )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    yaml = out / "data.yaml"
    is_ours = out.is_dir() and set(os.listdir(out)) <= CONTENT and yaml.is_file()
    if not is_ours or not yaml.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        raise FashionError(
            f"{out}: a new folder, or an earlier export, expected, got something else. Choose "
            "another --out."
        )
    foreign = next(_foreign(out, splits), None)
    if foreign is not None:
        raise FashionError(
            f"{foreign}: nothing but an earlier export of {', '.join(splits)}, its photos links, "
            "expected in a folder to replace, found a file of yours, a copied photo or the like. "
            f"--force deletes none: remove {out} yourself, or choose another --out."
        )
    if not force:
        raise FashionError(f"{out}: a new folder expected, it exists already. Use --force.")


def refuse_among_photos(out: Path, images_dir: str | os.PathLike[str]) -> None:
    """Refuse an ``out`` among the photos themselves, by whatever links it is reached.

    A root that holds folders of photos, and none itself, may hold the set too.

    Raises:
        FashionError: where ``out`` would be made in a folder of photos at or below ``images_dir``.
    """
    root = Path(images_dir).resolve()
    for folder in out.resolve().parents:
        if folder.is_relative_to(root) and holds_photos(folder):
            raise FashionError(
                f"{out}: a folder apart from the photos expected, got one among those of {folder}. "
                "Choose another --out."
            )


def _foreign(out: Path, splits: Collection[str]) -> Iterator[Path]:
    """Yield what lies in an export and was not made by one of ``splits``."""
    for kind in ("images", "labels"):
        if (out / kind).is_symlink() or not (out / kind).is_dir():
            if os.path.lexists(out / kind):
                yield out / kind
            continue
        for path in sorted((out / kind).iterdir()):
            if kind == "labels" and path.suffix == ".cache" and path.is_file():
                continue  # Ultralytics makes it of the labels, and again when they change
            if path.name not in splits or path.is_symlink() or not path.is_dir():
                yield path
            elif kind == "images":
                yield from (link for link in sorted(path.iterdir()) if not link.is_symlink())
            else:
                links = out / "images" / path.name
                named = {link.stem for link in links.iterdir()} if links.is_dir() else set()
                for label in sorted(path.iterdir()):
                    is_text = label.is_file() and not label.is_symlink() and label.suffix == ".txt"
                    if not is_text or label.stem not in named:
                        yield label


def data_yaml(splits: Iterable[str]) -> str:
    """Return the text of ``data.yaml``: folders of the splits, and the 49 names."""
    # No 'path': Ultralytics then takes the folder of this file, and the set can be moved.
    lines = [_MARK, *(f"{split}: images/{split}" for split in splits), "names:"]
    # A JSON text is a YAML text as well.
    lines += [f"  {i}: {json.dumps(name)}" for i, name in enumerate(ontology.CLASSES)]
    return "\n".join(lines) + "\n"
