"""Run-length codes of masks: Kaggle text, COCO dictionaries, polygons and bitmaps.

Two codes are in use, and both run down the columns first (Fortran order):

* *Kaggle*, as in the CSV files of iMaterialist: the text ``"start length start length ..."``,
  where ``start`` counts pixels from **one**.
* *COCO*, as in pycocotools: ``{"size": [height, width], "counts": ...}``, where counts are the
  lengths of alternating runs of 0 and 1, beginning with 0. *Compressed* counts are those
  lengths in a text of six-bit characters. Everything here returns compressed counts as ``str``,
  because mmdet trains an instance whose counts are ``bytes`` with no loss at all.

Every code from outside is checked before pycocotools sees it: its C code trusts the lengths,
and a hostile text makes it write past the end of the mask.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .errors import MaskError

# pycocotools counts pixels in 32 bits.
_MOST_PIXELS = 2**31 - 1
# Seven characters of five bits hold every difference of two such counts.
_MOST_CHARACTERS = 7
_DIGITS_AND_SPACE = b"0123456789 "


class RunLengthError(MaskError):
    """A fault in Kaggle's text; ``kind`` is its short name, for counting."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def kaggle_to_coco(text: str, height_px: int, width_px: int, where: str) -> dict[str, Any]:
    """Turn Kaggle's run-length text into a compressed COCO code, without drawing a bitmap.

    Args:
        text: ``"start length ..."``, starts counted from 1 down the columns, rising, with no
            pixel twice. Runs may touch; they are merged.
        height_px: height of the mask.
        width_px: width of the mask.
        where: what to name in an error, e.g. ``"train.csv:17"``.

    Returns:
        ``{"size": [height_px, width_px], "counts": <str>}``, byte for byte what
        ``pycocotools.mask.encode`` returns for the same mask.

    Raises:
        RunLengthError: for a text that is empty, holds anything but whole numbers, has a start
            without a length, or has runs that are empty, overlap or leave the mask.

    >>> kaggle_to_coco("1 2 5 1", 2, 3, "example")
    {'size': [2, 3], 'counts': '022OO'}
    """
    return kaggle_to_instance(text, height_px, width_px, where)[0]


def kaggle_to_instance(
    text: str, height_px: int, width_px: int, where: str
) -> tuple[dict[str, Any], int, list[float]]:
    """Do as :func:`kaggle_to_coco`; return the code, its area in px and its box xywh in px.

    While the runs are at hand the two cost little; the code would have to be parsed again.
    """
    _check_size(height_px, width_px, where)
    numbers = _whole_numbers(text, where)
    if numbers.size % 2:
        raise RunLengthError(
            "odd count",
            f"{where}: pairs 'start length' expected, got {numbers.size} numbers, an odd count. "
            "Was the row cut short?",
        )
    pixels = height_px * width_px
    starts = numbers[0::2] - 1
    ends = starts + numbers[1::2]
    counts = _alternate(starts, ends, pixels)
    # With every number within the mask, no sum above can have wrapped round.
    if numbers.max() > pixels or counts.min() < 0 or not counts[1::2].all():
        raise _bad_run(numbers, height_px, width_px, where)
    area, box = _measure_runs(starts, ends, height_px)
    return _from_counts(_canonical(counts), height_px, width_px), area, box


def coco_to_kaggle(rle: dict[str, Any]) -> str:
    """Turn a COCO code (compressed or not) into Kaggle's text; an empty mask gives ``""``.

    >>> coco_to_kaggle({"size": [2, 3], "counts": [0, 2, 2, 1, 1]})
    '1 2 5 1'
    """
    starts, ends = _runs(_counts(rle, "mask"))
    return " ".join(
        f"{start + 1} {end - start}"
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    )


def encode_mask(mask_HW: np.ndarray) -> dict[str, Any]:
    """Encode a bitmap as a compressed COCO code.

    Only the bounding box of the mask is turned to column order, so a small mask on a large photo
    costs little more than finding that box.

    Args:
        mask_HW: (height, width), bool or integer; what is not 0 belongs to the mask.

    Returns:
        The same bytes as ``pycocotools.mask.encode``, as ``str``.
    """
    mask_HW = np.asarray(mask_HW)
    if mask_HW.ndim != 2 or mask_HW.dtype.kind not in "biu":
        raise MaskError(
            f"encode_mask: a (height, width) array of bool or integers expected, got shape "
            f"{mask_HW.shape} of {mask_HW.dtype}. Threshold scores first."
        )
    height_px, width_px = mask_HW.shape
    _check_size(height_px, width_px, "encode_mask")
    rows = np.flatnonzero(mask_HW.any(axis=1))
    if not rows.size:
        return _from_counts(np.array([height_px * width_px]), height_px, width_px)
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask_HW[y0:y1].any(axis=0))
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    columns_WH = np.zeros((x1 - x0, y1 - y0 + 1), dtype=bool)
    columns_WH[:, :-1] = mask_HW[y0:y1, x0:x1].T != 0
    return encode_columns(columns_WH, x0, y0, height_px, width_px)


def encode_columns(
    columns_WH: np.ndarray, x0: int, y0: int, height_px: int, width_px: int
) -> dict[str, Any]:
    """Encode a part of a mask, outside of which there is nothing.

    Args:
        columns_WH: (width, height + 1) bool, contiguous: the part column by column, and a False
            after each, which ends a run in its own column; runs that really go on from one column
            to the next are joined again.
        x0: column of the image that the part begins in.
        y0: row likewise.
        height_px: height of the image.
        width_px: width of the image.
    """
    step = columns_WH.shape[1]
    flat = columns_WH.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat.size and flat[0]:
        edges = np.concatenate(([0], edges))
    column, row = np.divmod(edges, step)
    edges = (column + x0) * height_px + row + y0
    counts = _alternate(edges[0::2], edges[1::2], height_px * width_px)
    return _from_counts(_canonical(counts), height_px, width_px)


def decode(rle: dict[str, Any]) -> np.ndarray:
    """Return the bitmap of a COCO code: uint8 of 0 and 1, (height, width), Fortran order."""
    counts = _canonical(_counts(rle, "mask"))
    return coco_mask.decode(_from_counts(counts, *rle["size"]))


def area_px(rle: dict[str, Any]) -> int:
    """Return how many pixels the mask of a COCO code covers."""
    return int(_counts(rle, "mask")[1::2].sum())


def box_xywh(rle: dict[str, Any]) -> list[float]:
    """Return the bounding box ``[x, y, width, height]`` in pixels; all 0 for an empty mask."""
    return _measure(_canonical(_counts(rle, "mask")), int(rle["size"][0]))[1]


def measure(rle: dict[str, Any]) -> tuple[int, list[float]]:
    """Return :func:`area_px` and :func:`box_xywh` of a code that this module has returned.

    That code is known to be sound, so pycocotools may measure it, in C.
    """
    return int(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()


def runs(rle: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs of a COCO code: 0-based starts and ends (exclusive) down the columns, int64.

    They rise, none is empty and no two touch; an empty mask has none.

    >>> [edges.tolist() for edges in runs({"size": [2, 3], "counts": "022OO"})]
    [[0, 4], [2, 5]]
    """
    return _runs(_counts(rle, "mask"))


def from_runs(
    starts: np.ndarray, ends: np.ndarray, height_px: int, width_px: int
) -> dict[str, Any]:
    """Return the compressed code of runs as of :func:`runs`, which here may touch or be empty.

    Args:
        starts: 0-based, down the columns, int64.
        ends: likewise, exclusive; each run ends no later than the next one starts.
        height_px: height of the mask.
        width_px: width of the mask.
    """
    _check_size(height_px, width_px, "from_runs")
    counts = _alternate(starts, ends, height_px * width_px)
    return _from_counts(_canonical(counts), height_px, width_px)


def _measure(counts: np.ndarray, height_px: int) -> tuple[int, list[float]]:
    """Return area and box of canonical counts, in which no run is empty but perhaps the first."""
    edges = np.cumsum(counts)
    return _measure_runs(edges[0::2][: edges.size // 2], edges[1::2], height_px)


def _measure_runs(starts: np.ndarray, ends: np.ndarray, height_px: int) -> tuple[int, list[float]]:
    """Return area and box of rising runs of 1, 0-based, ends exclusive, none empty."""
    if not starts.size:
        return 0, [0.0, 0.0, 0.0, 0.0]
    # numpy divides by one number with vector instructions, but takes remainders one by one.
    last = ends - 1
    first_column, last_column = starts // height_px, last // height_px
    x0, x1 = int(first_column[0]), int(last_column[-1]) + 1
    # A run that goes on into the next column touches the lower edge and the upper.
    if (first_column != last_column).any():
        y0, y1 = 0, height_px
    else:
        y0 = int((starts - first_column * height_px).min())
        y1 = int((last - last_column * height_px).max()) + 1
    return int((ends - starts).sum()), [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]


def to_rle(segmentation: Any, height_px: int, width_px: int, where: str) -> dict[str, Any]:
    """Turn any ``segmentation`` of a COCO file into a checked, compressed code.

    Args:
        segmentation: polygons ``[[x0, y0, x1, y1, ...], ...]`` in pixels (all of them together
            are the mask), or a code whose counts are a list, ``str`` or ``bytes``.
        height_px: height of the image.
        width_px: width of the image.
        where: what to name in an error.

    Raises:
        MaskError: for anything that is not a mask of an image of this size.
    """
    _check_size(height_px, width_px, where)
    if isinstance(segmentation, (list, tuple)):
        return _from_polygons(segmentation, height_px, width_px, where)
    if not isinstance(segmentation, dict):
        raise MaskError(
            f"{where}: a list of polygons or a run-length code expected, got "
            f"{_short(segmentation)}. See 'segmentation' in the COCO data format."
        )
    counts = _counts(segmentation, where)
    if [int(v) for v in segmentation["size"]] != [height_px, width_px]:
        raise MaskError(
            f"{where}: a mask of the image's size [height, width] = [{height_px}, {width_px}] "
            f"expected, got {list(segmentation['size'])}. Were height and width swapped?"
        )
    return _from_counts(_canonical(counts), height_px, width_px)


def usable(
    segmentation: Any, height_px: int, width_px: int, where: str
) -> tuple[list[list[float]] | dict[str, Any] | None, list[str]]:
    """Return what of a ``segmentation`` is a mask, and a message for all that is not.

    Training and scoring both read masks through here, so that they cannot differ: of polygons
    the good ones stay when others are bad.

    Args:
        segmentation: as for :func:`to_rle`.
        height_px: height of the image.
        width_px: width of the image.
        where: what to name in the messages.

    Returns:
        Polygons or a compressed code that :func:`to_rle` takes, or None where nothing is left;
        and the messages, one for every polygon or code that is left out.
    """
    try:
        _check_size(height_px, width_px, where)
        if not isinstance(segmentation, (list, tuple)):
            return to_rle(segmentation, height_px, width_px, where), []
    except MaskError as error:
        return None, [str(error)]
    good, faults = _check_polygons(segmentation, height_px, width_px, where)
    return good or None, faults


def _whole_numbers(text: str, where: str) -> np.ndarray:
    """Parse digits and spaces into int64; a number too large comes out as 2**63 - 1."""
    if not isinstance(text, str) or not text.strip():
        raise RunLengthError(
            "no mask", f"{where}: pairs 'start length' expected, got no mask. Remove the row."
        )
    text = text.strip()
    # numpy's parser stops at what it cannot read and only warns, so it gets to see digits alone.
    if not text.isascii() or text.encode().translate(None, _DIGITS_AND_SPACE):
        words = text.split()
        junk = next((word for word in words if not (word.isascii() and word.isdigit())), text)
        raise RunLengthError(
            "junk numbers",
            f"{where}: whole numbers with spaces between expected, got {_short(junk)}. "
            "Is this column the run-length text?",
        )
    return np.fromstring(text, dtype=np.int64, sep=" ")


def _bad_run(numbers: np.ndarray, height_px: int, width_px: int, where: str) -> RunLengthError:
    """Name the first pair of Kaggle's text that breaks a rule, and the rule."""
    pixels = height_px * width_px
    pair = kind = wanted = advice = ""
    end = 0
    for index, (start, length) in enumerate(numbers.reshape(-1, 2).tolist(), start=1):
        pair = f"'{start} {length}' as pair {index}"
        if start < 1:
            kind, wanted = "start below 1", "a start of at least 1"
            advice = "Kaggle's starts count from one."
        elif length < 1:
            kind, wanted = "empty run", "a length of at least 1"
            advice = "Leave empty runs out."
        elif start - 1 + length > pixels:
            kind, wanted = "out of range", f"runs within {height_px} x {width_px} = {pixels} pixels"
            advice = "Are height and width those of this mask?"
        elif start <= end:
            kind, wanted = "overlap", "runs that rise and do not overlap"
            advice = f"The run before it ends at pixel {end}."
        if kind:
            break
        end = start - 1 + length
    return RunLengthError(kind, f"{where}: {wanted} expected, got {pair}. {advice}")


def _check_size(height_px: Any, width_px: Any, where: str) -> None:
    whole = all(isinstance(v, Integral) and not isinstance(v, bool) for v in (height_px, width_px))
    if not whole or height_px < 1 or width_px < 1 or height_px * width_px > _MOST_PIXELS:
        raise MaskError(
            f"{where}: a height and a width of at least 1 pixel (at most {_MOST_PIXELS} in all) "
            f"expected, got {_short(height_px)} x {_short(width_px)}. Give the image's size."
        )


def _counts(rle: dict[str, Any], where: str) -> np.ndarray:
    """Return the checked counts, int64, of a COCO code in any of its forms."""
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise MaskError(f"{where}: 'size' as [height, width] expected, got {_short(size)}. Add it.")
    _check_size(size[0], size[1], where)
    if isinstance(counts, (str, bytes)):
        values = _parse_compressed(counts, where)
    else:
        values = _parse_list(counts, where)
    pixels = int(size[0]) * int(size[1])
    if values.min() < 0 or values.max() > pixels or int(values.sum()) != pixels:
        raise MaskError(
            f"{where}: run lengths of at least 0 with the sum {size[0]} x {size[1]} = {pixels} "
            f"expected, got {values.size} with the sum {int(values.sum())} and the least "
            f"{int(values.min())}. The code belongs to another size, or is damaged."
        )
    return values


def _parse_list(counts: Any, where: str) -> np.ndarray:
    try:
        values = np.asarray(counts if isinstance(counts, (list, tuple, np.ndarray)) else None)
    except ValueError:  # lists of different lengths
        values = np.empty(0)
    if values.ndim != 1 or values.dtype.kind not in "iu" or not values.size:
        raise MaskError(
            f"{where}: 'counts' as text or a list of whole numbers expected, got "
            f"{_short(counts)}. See 'RLE' in the COCO data format."
        )
    # A uint64 beyond int64 becomes negative here, and is refused with the negative ones.
    return values.astype(np.int64)


def _parse_compressed(counts: str | bytes, where: str) -> np.ndarray:
    """Read pycocotools' text: five bits a character, low bits first, differences by two.

    Source: ``rleFrString`` in cocoapi's ``maskApi.c``, here with the checks that it lacks.
    """
    raw = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
    codes = np.frombuffer(raw, dtype=np.uint8) - np.uint8(48)  # wraps round below "0"
    if not codes.size or codes.max() > 63 or codes[-1] & 32:
        raise MaskError(
            f"{where}: 'counts' in pycocotools' characters '0' to 'o', complete, expected, got "
            f"{_short(counts)}. The text is damaged or cut short."
        )
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    width = last - first + 1
    if width.max() > _MOST_CHARACTERS:
        raise MaskError(
            f"{where}: numbers of at most {_MOST_CHARACTERS} characters in 'counts' expected, got "
            f"one of {int(width.max())}. The text is damaged."
        )
    bits = codes & 31
    values = bits[first].astype(np.int64)
    for place in range(1, int(width.max())):
        longer = np.flatnonzero(width > place)
        values[longer] += bits[first[longer] + place].astype(np.int64) << (5 * place)
    negative = np.flatnonzero(codes[last] & 16)
    values[negative] -= np.int64(1) << (5 * width[negative])
    # From the fourth on, each is the difference from the one two before.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _runs(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 0-based starts and ends (exclusive) of the runs of 1; none is empty, none touch."""
    edges = np.cumsum(counts)
    starts, ends = edges[0::2][: edges.size // 2], edges[1::2]
    kept = ends > starts
    starts, ends = starts[kept], ends[kept]
    apart = starts[1:] != ends[:-1]
    return (
        np.concatenate((starts[:1], starts[1:][apart])),
        np.concatenate((ends[:-1][apart], ends[-1:])),
    )


def _alternate(starts: np.ndarray, ends: np.ndarray, pixels: int) -> np.ndarray:
    """Return the counts of runs of 1 given by 0-based starts and ends (exclusive)."""
    edges = np.empty(2 * starts.size + 2, dtype=np.int64)
    edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, starts, ends, pixels
    return edges[1:] - edges[:-1]


def _canonical(counts: np.ndarray) -> np.ndarray:
    """Return the counts that pycocotools itself would write: none is 0, unless the first."""
    if counts[1:].all():
        return counts
    counts = _alternate(*_runs(counts), int(counts.sum()))
    return counts if counts[-1] else counts[:-1]


def _from_counts(counts: np.ndarray, height_px: int, width_px: int) -> dict[str, Any]:
    size = [int(height_px), int(width_px)]
    code = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)
    return {"size": size, "counts": code["counts"].decode("ascii")}


def _check_polygons(
    polygons: Any, height_px: int, width_px: int, where: str
) -> tuple[list[list[float]], list[str]]:
    """Return the polygons that can be drawn, and a message for every other or for none at all."""
    # pycocotools walks every edge pixel by pixel, so a coordinate of 1e9 would take all memory.
    reach = max(height_px, width_px)
    good: list[list[float]] = []
    faults: list[str] = []
    for number, polygon in enumerate(polygons, start=1):
        try:
            points = np.asarray(polygon)
        except ValueError:  # lists of different lengths
            points = np.empty(0)
        # The kind tells texts: numpy would read "50" as a number.
        if points.ndim != 1 or points.dtype.kind not in "iuf" or points.size < 6 or points.size % 2:
            faults.append(
                f"{where}: polygons of three or more points as [x0, y0, x1, y1, ...] expected, got "
                f"{_short(polygon)} as polygon {number}. Mend or remove it."
            )
        elif not np.isfinite(points).all() or points.min() < -reach or points.max() > 2 * reach:
            faults.append(
                f"{where}: polygon points in or near the image of {height_px} x {width_px} pixels "
                f"expected, got {_short(polygon)} as polygon {number}. "
                "Are the coordinates in pixels of this image?"
            )
        else:
            good.append(points.astype(np.float64).tolist())
    if not good and not faults:
        faults.append(
            f"{where}: at least one polygon expected, got an empty list. Remove the annotation."
        )
    return good, faults


def _from_polygons(polygons: Any, height_px: int, width_px: int, where: str) -> dict[str, Any]:
    checked, faults = _check_polygons(polygons, height_px, width_px, where)
    if faults:
        raise MaskError(faults[0])
    code = coco_mask.merge(coco_mask.frPyObjects(checked, height_px, width_px))
    return {"size": [int(height_px), int(width_px)], "counts": code["counts"].decode("ascii")}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
