"""``fashion data submission``: COCO results, part by part of their images, to the CSV."""

from __future__ import annotations

import argparse
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tqdm import tqdm

from datasets_tools.cached import read_originals
from datasets_tools.report import BadRow, BadRows, add_max_bad_rows, say, short, sweep
from fashion_mmdet.core import rle
from fashion_mmdet.core.coco import map_categories
from fashion_mmdet.core.errors import AnnotationError, FashionError, MaskError
from fashion_mmdet.core.files import read_json, refuse_overwrite, refuse_own_input
from fashion_mmdet.core.prediction import Prediction

from .ids import read_ids
from .rules import EMPTY_CLASS, EMPTY_RUNS, MIN_AREA_PX, add_size
from .writing import SubmissionPhoto, write_submission


def photos_of_results(
    results: Any,
    coco: Mapping[str, Any],
    where: str,
    *,
    least_score: float,
    bad: BadRows,
    below: Counter[str] | None = None,
) -> Iterator[SubmissionPhoto]:
    """Yield every image of a COCO file with its part of COCO results, in the file's order.

    Args:
        results: objects with ``image_id``, ``category_id``, ``score`` and ``segmentation``.
        coco: the file that the ids are of, as :func:`.core.coco.read_coco` returns it.
        where: the file of the results, for messages.
        least_score: lower ones are left out.
        bad: takes the results that cannot be used.
        below: counts what is left out for its score.
    """
    if not isinstance(results, list):
        raise AnnotationError(
            f"{where}: a list of results expected, got {type(results).__name__}. See 'results "
            "format' of COCO; `fashion predict --coco` writes it."
        )
    name_of_id = map_categories(coco["categories"], (), where).unknown
    classes = tuple(name_of_id.values())
    label_of_id = {category_id: label for label, category_id in enumerate(name_of_id)}
    found_of: dict[int, list[int]] = {image["id"]: [] for image in coco["images"]}
    for index, result in enumerate(results):
        place = f"{where}: [{index}]"
        try:
            _require_result(result, found_of, label_of_id, place)
        except BadRow as error:
            bad.add(error.kind, str(error))
            continue
        if result["score"] >= least_score:
            found_of[result["image_id"]].append(index)
        elif below is not None:
            below[f"results left out, of a score below {least_score:g}"] += 1
    for image in coco["images"]:
        size_hw = image["height"], image["width"]
        labels, scores, boxes_xyxy, masks = [], [], [], []
        for index in found_of[image["id"]]:
            result = results[index]
            try:
                mask = rle.to_rle(result.get("segmentation"), *size_hw, f"{where}: [{index}]")
            except MaskError as error:
                bad.add("mask", str(error))
                continue
            x, y, width, height = rle.measure(mask)[1]
            labels.append(label_of_id[result["category_id"]])
            scores.append(result["score"])
            boxes_xyxy.append([x, y, x + width, y + height])
            masks.append(mask)
        found = Prediction(classes, size_hw, labels, scores, boxes_xyxy, masks)  # type: ignore[arg-type]
        yield SubmissionPhoto(posixpath.basename(image["file_name"].replace("\\", "/")), found)


def _require_result(
    result: Any, image_ids: Mapping[int, Any], category_ids: Mapping[int, Any], where: str
) -> None:
    """Raise BadRow for what is no result of these images and categories."""
    if not isinstance(result, dict):
        raise BadRow("no object", f"{where}: an object expected, got {short(result)}. Remove it.")
    for key, known in (("image_id", image_ids), ("category_id", category_ids)):
        number = result.get(key)
        if type(number) is not int or number not in known:
            raise BadRow(
                f"unknown {key}",
                f"{where}: the {key} of an entry of the annotations expected, got "
                f"{short(number)}. Do the two files belong together?",
            )
    score: Any = result.get("score")
    if type(score) not in (int, float) or not 0 <= score <= 1:
        raise BadRow(
            "score", f"{where}: a score from 0 to 1 expected, got {short(score)}. Mend it."
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fashion data submission``."""
    parser.add_argument("results", metavar="RESULTS.json", help="COCO results with masks")
    parser.add_argument(
        "annotations",
        metavar="ANN.json",
        help="the COCO file of their images and categories; annotations may be an empty list",
    )
    parser.add_argument("--out", required=True, metavar="CSV", help="the submission to write")
    parser.add_argument(
        "--sample",
        metavar="CSV",
        help="sample_submission.csv: every image that must have a row, in the order of the rows",
    )
    parser.add_argument(
        "--score", type=float, default=0.5, metavar="S", help="least score (default: 0.5)"
    )
    parser.add_argument(
        "--min-area",
        type=int,
        default=MIN_AREA_PX,
        metavar="PX",
        help=f"least area of a mask, in px of the grid (default: {MIN_AREA_PX})",
    )
    add_size(parser)
    parser.add_argument(
        "--empty-class",
        type=int,
        default=EMPTY_CLASS,
        metavar="ID",
        help=f"ClassId of the row '{EMPTY_RUNS}' of an image without a mask (default: "
        f"{EMPTY_CLASS}, shoe)",
    )
    add_max_bad_rows(parser)
    parser.add_argument("--force", action="store_true", help="overwrite --out")


def run(args: argparse.Namespace) -> int:
    """Write the submission as ``args`` say and print the summary; return the exit code."""
    if not 0 <= args.score <= 1:
        raise FashionError(f"--score: a number from 0 to 1 expected, got {args.score:g}.")
    inputs = [args.results, args.annotations, *([args.sample] if args.sample else [])]
    refuse_own_input(args.out, *inputs)
    refuse_overwrite(args.out, args.force)
    sweep(args.out)
    ids = read_ids(args.sample) if args.sample else None
    coco = read_originals(args.annotations)
    bad = BadRows(args.max_bad_rows, args.results)
    below: Counter[str] = Counter()
    photos = photos_of_results(
        read_json(args.results), coco, args.results,
        least_score=args.score, bad=bad, below=below,
    )  # fmt: skip
    report = write_submission(
        args.out,
        # None: hidden unless stderr is a terminal
        tqdm(photos, total=len(coco["images"]), unit="image", disable=None),
        size_px=args.size,
        min_area_px=args.min_area,
        empty_class=args.empty_class,
        ids=ids,
        force=args.force,
    )
    report.counts.update(below)
    for line in (*bad.summary(), *report.lines()):
        say(line)
    say(report.summary())
    return 0
