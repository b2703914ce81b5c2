"""How fast a full-size iMaterialist 2019 is converted, against the floor and against the stock way.

    python benchmarks/convert_imaterialist.py --real-rows train_excerpt.csv --out /some/where

Makes a train.csv of 331,213 masks on 45,625 images, the numbers of the real one, with runs like
the real ones (a row of the real file has 4 to 37 kB), and measures in one run:

* the floor: merely reading the file's lines and parting their fields;
* ``fashion data convert imaterialist2019`` on it, and ``fashion data check`` on what that wrote:
  wall time and peak memory of each process;
* on real rows (``--real-rows``, rows of the real train.csv), what most scripts do, decoding each
  mask to a bitmap and encoding that with pycocotools, against the converter's run arithmetic.

The made file has a pool of masks that recur in other photos; parsing and checking a row costs the
same whether it was seen before or not. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pycocotools import mask as pycoco

from fashion_mmdet.core.files import atomic_open
from fashion_mmdet.core.ontology import CLASSES
from fashion_mmdet.core.rle import kaggle_to_coco

POOL = 400  # distinct masks; a photo of the set has at most 74


def make_pool(rng: np.random.Generator) -> list[tuple[str, int, int]]:
    """Return (runs, height, width): blobs with wavy edges on photos of 1 to 20 megapixels."""
    pool = []
    for _ in range(POOL):
        height = int(rng.integers(1200, 5300))
        width = int(height * rng.uniform(0.6, 0.8))
        n_columns = int(rng.integers(200, min(2400, width - 100)))
        first = int(rng.integers(0, width - n_columns))
        x = np.arange(n_columns)
        shape = np.sin(np.pi * (x + 0.5) / n_columns) ** 0.5
        wave = 1 + 0.1 * np.sin(x / rng.uniform(5, 40) + rng.uniform(0, 6))
        length = np.maximum(1, height * rng.uniform(0.1, 0.5) * shape * wave).astype(int)
        top = ((height - length) * rng.uniform(0.2, 0.8)).astype(int)
        start = (first + x) * height + top + 1
        if rng.random() < 0.5:  # a hole: two runs a column
            hole = length // 4 + 1
            start = np.stack([start, start + 2 * hole + 1], 1).ravel()
            rest = np.maximum(length - 2 * hole - 1, 1)
            length = np.stack([hole, rest], 1).ravel()
        pool.append((" ".join(map(str, np.stack([start, length], 1).ravel())), height, width))
    return pool


def make_csv(path: Path, n_images: int, n_masks: int) -> None:
    """Write the CSV; the same numbers give the same bytes."""
    rng = np.random.default_rng(0)
    pool = make_pool(rng)
    # All masks of a photo have its size, so a photo takes masks of one entry's size: each entry
    # is cut to a pool of its own by shifting it sideways.
    spread = rng.dirichlet(np.ones(n_images) * 4) * (n_masks - n_images)
    per_image = 1 + np.minimum(np.floor(spread).astype(int), 73)
    while per_image.sum() != n_masks:
        k = int(rng.integers(n_images))
        step = 1 if per_image.sum() < n_masks else -1
        if 1 <= per_image[k] + step <= 74:
            per_image[k] += step
    with atomic_open(path) as stream:
        stream.write("ImageId,EncodedPixels,Height,Width,ClassId\n")
        for i, count in enumerate(per_image.tolist()):
            text, height, width = pool[int(rng.integers(POOL))]
            for k in range(count):
                # Another class each time, and beyond 46 another mask: no row is a duplicate.
                runs = text if k < 46 else text.rpartition(" ")[0].rpartition(" ")[0]
                stream.write(f"{i:032x}.jpg,{runs},{height},{width},{k % 46}\n")


def seconds(function: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measured(words: list[str]) -> tuple[float, float]:
    """Run ``fashion WORDS``; return its wall time in s and the peak memory of its processes in MB.

    Memory is the sum of the processes' shares (PSS), looked at ten times a second.
    """
    start, peak_kb = time.perf_counter(), 0
    run = [sys.executable, "-m", "fashion_mmdet", *words]
    with subprocess.Popen(run, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None:
            peak_kb = max(peak_kb, session_kb(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(run)}: exit code {process.returncode}")
    return time.perf_counter() - start, peak_kb / 1024


def session_kb(session: int) -> int:
    """Return the memory of a session's processes in kB."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if os.getsid(int(entry.name)) == session:
                rollup = Path(entry.path, "smaps_rollup").read_text()
                total += int(rollup.partition("Pss:")[2].split()[0])
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return total


def read_only(path: Path) -> int:
    """Read all lines and part their fields: the least that a converter must do."""
    count = 0
    with open(path, "rb") as stream:
        for line in stream:
            count += len(line.decode().rstrip("\n").split(","))
    return count


def stock(text: str, height: int, width: int) -> dict:
    """Decode runs into a bitmap and encode it, as scripts usually do."""
    numbers = np.array(text.split(), dtype=np.int64)
    flat = np.zeros(height * width, np.uint8)
    for start, length in zip(numbers[::2] - 1, numbers[1::2], strict=True):
        flat[start : start + length] = 1
    return pycoco.encode(flat.reshape((height, width), order="F"))


def real_rows(path: Path) -> tuple[float, float, int]:
    """Return seconds a mask, stock and run arithmetic, and how many masks; results compared."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    masks = [(r[1], int(r[2]), int(r[3])) for r in rows]
    for text, height, width in masks:
        mine = kaggle_to_coco(text, height, width, "row")["counts"]
        theirs = stock(text, height, width)["counts"]
        assert (mine if isinstance(mine, bytes) else mine.encode()) == theirs
    slow = min(seconds(lambda: [stock(*m) for m in masks]) for _ in range(3))
    fast = min(seconds(lambda: [kaggle_to_coco(*m, "row") for m in masks]) for _ in range(20))
    return slow / len(masks), fast / len(masks), len(masks)


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--real-rows", type=Path, help="rows of the real train.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for the made files")
    parser.add_argument("--images", type=int, default=45_625)
    parser.add_argument("--masks", type=int, default=331_213)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"train_{args.images}_{args.masks}.csv"
    if not path.exists():
        print(f"making {path}", file=sys.stderr)
        make_csv(path, args.images, args.masks)
    descriptions = args.out / "label_descriptions.json"
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES[:46])]
    attributes = [{"id": 0, "name": "none"}]
    descriptions.write_text(json.dumps({"categories": categories, "attributes": attributes}))

    floor = seconds(lambda: read_only(path))
    words = [
        "data",
        "convert",
        "imaterialist2019",
        str(path),
        "--descriptions",
        str(descriptions),
        "--no-check-photos",
        "--out",
        str(args.out / "all.json"),
        "--force",
    ]
    whole, peak = measured(words)
    check_s, check_peak = measured(["data", "check", str(args.out / "all.json")])

    size = path.stat().st_size
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, numpy {np.__version__}\n"
    )
    print("| what | figure |\n|---|---|")
    print(
        f"| the made train.csv | {args.masks:,} masks, {args.images:,} images, "
        f"{size / 1e9:.2f} GB, {size / args.masks / 1e3:.1f} kB a row |"
    )
    print(f"| reading it only | {floor:.0f} s |")
    print(
        f"| converting it | {whole:.0f} s, {1e3 * whole / args.masks:.3f} ms a mask, "
        f"{whole / floor:.1f} x reading |"
    )
    print(f"| the COCO file it writes | {(args.out / 'all.json').stat().st_size / 1e9:.2f} GB |")
    print(f"| its peak memory, all processes | {peak:.0f} MB |")
    print(
        f"| checking the annotations (`fashion data check`) | {check_s:.0f} s, "
        f"{1e3 * check_s / args.masks:.2f} ms a mask, peak {check_peak:.0f} MB |"
    )
    if args.real_rows:
        slow, fast, n = real_rows(args.real_rows)
        print(f"| {n} real rows, bitmap and encode | {1e3 * slow:.2f} ms a mask |")
        print(
            f"| {n} real rows, run arithmetic with all checks | {1e3 * fast:.3f} ms a mask, "
            f"{slow / fast:.0f} x faster |"
        )
        print(
            f"| the whole conversion against bitmap and encode of real rows | "
            f"{slow / (whole / args.masks):.0f} x faster a mask |"
        )


if __name__ == "__main__":
    main()
