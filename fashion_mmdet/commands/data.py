"""``fashion data ...``: hands over to the tool in ``datasets_tools``; imports no torch."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

#: words after ``fashion data`` -> (module with ``add_arguments`` and ``run``, one-line help, the
#: words that follow in an example)
TOOLS: dict[str, tuple[str, str, str]] = {
    "convert imaterialist2019": (
        "datasets_tools.sources.imaterialist",
        "the train.csv and label_descriptions.json of iMaterialist 2019 to COCO",
        "train.csv --descriptions label_descriptions.json --images train "
        "--out annotations/all.json",
    ),
    "convert imaterialist2020": (
        "datasets_tools.sources.imaterialist",
        "the same of 2020, with its attributes, to COCO",
        "train.csv --descriptions label_descriptions.json --images train "
        "--out annotations/all.json",
    ),
    "convert fashionpedia": (
        "datasets_tools.sources.fashionpedia",
        "Fashionpedia's instances and attributes to COCO with our categories",
        "instances_attributes_val2020.json --images test --out annotations/val.json",
    ),
    "convert coco": (
        "datasets_tools.sources.coco_export",
        "any COCO file, e.g. of CVAT or Label Studio, to COCO with our categories",
        "instances_default.json --images images --out annotations/all.json",
    ),
    "convert ccp": (
        "datasets_tools.sources.ccp",
        "Clothing Co-Parsing's label maps to COCO",
        "~/clothing-co-parsing --out data/ccp/annotations/all.json",
    ),
    "convert deepfashion2": (
        "datasets_tools.sources.deepfashion2",
        "DeepFashion2's JSON files to COCO",
        "train/annos --images train/image --out annotations/train.json",
    ),
    "convert modanet": (
        "datasets_tools.sources.modanet",
        "ModaNet's COCO file to COCO with our categories",
        "modanet2018_instances_train.json --images images --out annotations/all.json",
    ),
    "convert label-maps": (
        "datasets_tools.sources.label_maps",
        "label maps of LIP, ATR or CIHP to COCO",
        "cihp --maps Category_ids --humans Human_ids --images Images --out annotations/train.json",
    ),
    "convert yolo-seg": (
        "datasets_tools.sources.yolo_seg",
        "YOLO segmentation labels to COCO",
        "labels --images images --data data.yaml --out annotations/all.json",
    ),
    "check": (
        "datasets_tools.check",
        "find what is wrong with a COCO file and its photos, and mend it",
        "annotations/all.json --images train --html findings --fix annotations/fixed.json",
    ),
    "convert labelme": (
        "datasets_tools.sources.labelme",
        "LabelMe's JSON files, polygons and painted masks, to COCO",
        "photos --out annotations/all.json",
    ),
    "convert via": (
        "datasets_tools.sources.via",
        "a VGG Image Annotator 2 project or export to COCO",
        "project.json --images photos --out annotations/all.json",
    ),
    "merge": (
        "datasets_tools.merge",
        "merge COCO files on the 49 categories",
        "imat=imat.json ccp=ccp.json --root data --images imat=data/imaterialist/train "
        "--images ccp=data/ccp/photos --out all.json",
    ),
    "filter": (
        "datasets_tools.subset",
        "keep classes, sources or sizes of a COCO file",
        "all.json --classes dress skirt --min-area 1000 --out dresses.json",
    ),
    "sample": (
        "datasets_tools.sample",
        "draw photos of a COCO file by seed",
        "all.json --count 500 --seed 0 --out small.json",
    ),
    "export yolo-seg": (
        "datasets_tools.export_yolo",
        "write a YOLO segmentation set of COCO files",
        "train.json val.json --images photos --out yolo",
    ),
    "export imaterialist": (
        "datasets_tools.export_imaterialist",
        "write a COCO file as train.csv and label_descriptions.json",
        "all.json --out train.csv",
    ),
    "submission": (
        "datasets_tools.submission.results",
        "write COCO results as the CSV that iMaterialist 2019 takes as an entry",
        "results.json images.json --sample sample_submission.csv --out submission.csv",
    ),
    "check-submission": (
        "datasets_tools.submission.check_command",
        "find what is wrong with an entry to iMaterialist 2019 before it is handed in",
        "submission.csv --sample sample_submission.csv",
    ),
    "shoe-types": (
        "datasets_tools.shoe_types",
        "turn 'shoe' masks into canvasshoes, high-heels, sandals by a list",
        "annotations/shoe.json my_shoe_types.csv --out annotations/all.json",
    ),
    "split": (
        "datasets_tools.split",
        "part a COCO file into train, val and test, or into folds",
        "annotations/all.json --fractions 0.9 0.05 0.05 --stratify --out annotations",
    ),
    "dedupe": (
        "datasets_tools.dedupe",
        "find copies and near-duplicates within and between sets",
        "annotations/all.json --images photos --out annotations/groups.txt",
    ),
    "cache": (
        "datasets_tools.cache.tool",
        "resize photos and masks once to the size that training works at",
        "annotations/train.json --images train --size 1333 800 --out cache",
    ),
    "stats": (
        "datasets_tools.stats",
        "count, measure and plot what is in a COCO file",
        "annotations/all.json --split annotations/train.json annotations/val.json --out stats",
    ),
    "browse": (
        "datasets_tools.browse",
        "draw masks on photos, as a page with filters and a contact sheet",
        "annotations/all.json --images train --out browse",
    ),
    "make-demo": (
        "datasets_tools.make_demo",
        "draw a small set in iMaterialist's format",
        "--out data/demo --images 400",
    ),
}

#: First words of two -> what such tools do with their object.
_GROUPS = {"convert": "a source to COCO", "export": "COCO to the format of another tool"}


def _replay(*args: Any) -> dict[str, Any]:
    """Run a config's loader: mmdet's work, and so imported by ``check --config`` alone."""
    from fashion_mmdet.commands.replay import replay

    return replay(*args)


#: What tools get from this side of the import rule: words -> attributes of their arguments.
_HANDED: dict[str, dict[str, Any]] = {"check": {"replayer": _replay}}


def _example(words: str) -> str:
    return f"Example: fashion data {words} {TOOLS[words][2]}"


def main(argv: Sequence[str]) -> int:
    """Run one tool; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="fashion data",
        description="Data tools. All of them write beside and rename, and none needs torch.",
        epilog=_example("convert ccp"),
    )
    #: words after ``fashion data`` that want another one -> their parser
    unfinished = {"": parser}
    groups: dict[str, argparse._SubParsersAction] = {
        "": parser.add_subparsers(metavar="TOOL", required=True)
    }
    # Only the chosen tool's module is imported, so that `fashion data` answers at once.
    wanted = " ".join(argv[:2])
    for words, (module_name, summary, _) in TOOLS.items():
        *outer, last = words.split()
        group = " ".join(outer)
        if group not in groups:
            unfinished[group] = groups[""].add_parser(
                group,
                help=f"{group} {_GROUPS[group]}",
                description=f"{group.capitalize()} {_GROUPS[group]}. What cannot be used is "
                "reported by line, counted by kind and skipped.",
                epilog=_example(words),
            )
            groups[group] = unfinished[group].add_subparsers(metavar="FORMAT", required=True)
        tool = groups[group].add_parser(
            last,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=_example(words),
        )
        if wanted == words or wanted.startswith(f"{words} ") or argv[:1] == [words]:
            module = importlib.import_module(module_name)
            module.add_arguments(tool)
            tool.set_defaults(run=module.run, **_HANDED.get(words, {}))
    if " ".join(argv) in unfinished:
        parser.exit(2, unfinished[" ".join(argv)].format_help())
    args = parser.parse_args(list(argv))
    return args.run(args)
