"""The files of Clothing Co-Parsing: which belong together, and what is in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat

from datasets_tools.photos import exif_orientation
from datasets_tools.report import BadRow, first_of
from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import looked_up_from


def read_label_list(path: str | os.PathLike[str]) -> list[str]:
    """Read ``label_list.mat``; position = value in the label maps.

    Raises:
        BadRow: for a missing or unreadable file, or one without ``label_list``.
    """
    cells = _read_mat(path, "label_list")
    names = [np.ravel(cell) for cell in cells.ravel()]
    if cells.dtype != object or not all(n.size == 1 and n.dtype.kind == "U" for n in names):
        raise BadRow(
            "label list",
            f"{path}: 'label_list' as a row of names expected, got {cells.dtype} of shape "
            f"{cells.shape}. Take the file of the original dataset.",
        )
    return [str(name[0]) for name in names]


def read_label_map(path: str | os.PathLike[str], n_labels: int) -> np.ndarray:
    """Read one ``NNNN.mat`` as uint8, (height, width), every value below ``n_labels``.

    Raises:
        BadRow: for a file that is no such map.
    """
    map_HW = _read_mat(path, "groundtruth")
    if map_HW.ndim != 2 or map_HW.dtype.kind not in "ui" or not map_HW.size:
        raise BadRow(
            "label map",
            f"{path}: 'groundtruth' as whole numbers of shape (height, width) expected, got "
            f"{map_HW.dtype} of shape {map_HW.shape}. Take the file of the original dataset.",
        )
    if map_HW.min() < 0 or map_HW.max() >= n_labels:
        raise BadRow(
            "label map",
            f"{path}: labels 0 to {n_labels - 1} expected, got {map_HW.min()} to {map_HW.max()}. "
            "Take the file and label_list.mat from the same release.",
        )
    return map_HW.astype(np.uint8)


def read_pair(root: Path, stem: str, n_labels: int) -> np.ndarray:
    """Return the label map of a photo; BadRow where the two cannot be used together."""
    map_path = root / "annotations" / "pixel-level" / f"{stem}.mat"
    map_HW = read_label_map(map_path, n_labels)
    photo = root / "photos" / f"{stem}.jpg"
    try:
        with Image.open(photo) as image:
            size_hw = image.size[::-1]
            orientation = exif_orientation(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRow(
            "photo", f"{photo}: a readable photo expected, got: {reason}. Is the file complete?"
        ) from None
    if orientation != 1:
        # Some readers turn such a photo and some do not; its map fits one of the two.
        raise BadRow(
            "orientation",
            f"{photo}: an upright photo expected, got EXIF orientation {orientation}. "
            "Save it upright.",
        )
    if size_hw != map_HW.shape:
        raise BadRow(
            "size",
            f"{photo}: the size of its label map, {map_HW.shape} (height, width), expected, got "
            f"{size_hw}. Take both from the same release.",
        )
    if not map_HW.any():
        raise BadRow(
            "unlabelled",
            f"{map_path}: labels expected, got background alone. The photo cannot be trained on.",
        )
    return map_HW


def link_photos(root: Path, out_path: Path) -> Path:
    """Make ``photos``, a symbolic link to ``root/photos``, and return it.

    It lies beside the folder ``annotations`` of ``out_path``, or beside ``out_path`` itself if
    its folder has another name. A right link, or the folder itself, is left as it is.

    Raises:
        FashionError: if something else is there, or the system allows no links.
    """
    source = (root / "photos").resolve()
    folder = out_path.absolute().parent
    link = (folder.parent if folder.name == "annotations" else folder) / "photos"
    if link.resolve() == source:
        return link
    if link.is_symlink() or link.exists():
        raise FashionError(
            f"{link}: a link to {source} expected, got something else. "
            "Remove it, or pass --photos none."
        )
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source, target_is_directory=True)
    except OSError as error:
        raise FashionError(
            f"{link}: a link to {source} could not be made ({error.strerror or error}). "
            "Copy the folder there and pass --photos none."
        ) from None
    return link


def require_dataset(root: Path) -> None:
    """Raise :class:`FashionError`, naming all that is missing, where ``root`` is another folder."""
    holds = {
        "photos": (root / "photos").is_dir(),
        "annotations/pixel-level": (root / "annotations" / "pixel-level").is_dir(),
        "label_list.mat": (root / "label_list.mat").is_file(),
    }
    missing = [name for name, is_there in holds.items() if not is_there]
    if missing:
        found = f"one without {' and '.join(missing)}" if root.is_dir() else "no folder"
        raise FashionError(
            f"{root}: a folder with photos, annotations/pixel-level and label_list.mat expected, "
            f"found {found}. Give the folder of Clothing Co-Parsing as downloaded."
            f"{'' if root.is_dir() else looked_up_from(root)}"
        )


def paired_stems(root: Path) -> tuple[list[str], list[str]]:
    """Return the numbers, as text, that have a photo and a label map; and notes on the others."""
    folders = {root / "photos": "jpg", root / "annotations" / "pixel-level": "mat"}
    found = []
    for folder, ending in folders.items():
        # Ids are made of the names, so nothing but a plain number is taken for a photo.
        matches = (re.fullmatch(rf"([0-9]{{4,9}})\.{ending}", n) for n in os.listdir(folder))
        found.append({match[1] for match in matches if match})
    photos, maps = found
    notes = []
    if maps - photos:
        notes.append(f"label maps without a photo NNNN.jpg: {first_of(sorted(maps - photos))}")
    if photos - maps:
        # The usual case: the dataset has 2098 photos and label maps of 1004.
        notes.append(f"photos without a label map: {first_of(sorted(photos - maps))}")
    return sorted(photos & maps, key=lambda stem: (int(stem), stem)), notes


def _read_mat(path: str | os.PathLike[str], variable: str) -> np.ndarray:
    try:
        # appendmat would look for NNNN.mat.mat where NNNN.mat is missing.
        content = loadmat(path, variable_names=[variable], appendmat=False)
    except Exception as error:
        # A damaged file makes SciPy's reader raise nearly anything, from zlib.error to TypeError.
        raise BadRow(
            "unreadable",
            f"{path}: a MATLAB 5 file expected, got {type(error).__name__}: {error}. "
            "Is the file complete?",
        ) from None
    if not isinstance(content.get(variable), np.ndarray):
        raise BadRow(
            "unreadable",
            f"{path}: the variable {variable!r} expected, found no such array. "
            "Take the file of the original dataset.",
        )
    return content[variable]
