"""``fashion data ...``: hands over to the tool in ``datasets_tools``; imports no torch."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

#: words after ``fashion data`` -> (module with ``add_arguments`` and ``run``, one-line help)
TOOLS: dict[str, tuple[str, str]] = {
    "convert imaterialist2019": (
        "datasets_tools.imaterialist",
        "train.csv and label_descriptions.json to COCO",
    ),
    "convert ccp": ("datasets_tools.ccp", "Clothing Co-Parsing's label maps to COCO"),
    "shoe-types": (
        "datasets_tools.shoe_types",
        "turn 'shoe' masks into canvasshoes, high-heels, sandals by a list",
    ),
    "split": ("datasets_tools.split", "part a COCO file into train, val and test"),
    "make-demo": ("datasets_tools.make_demo", "draw a small set in iMaterialist's format"),
}


def main(argv: Sequence[str]) -> int:
    """Run one tool; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="fashion data",
        description="Data tools. All of them write beside and rename, and none needs torch.",
        epilog="Example: fashion data convert ccp ~/ccp --out data/ccp/annotations/all.json",
    )
    groups: dict[str, argparse._SubParsersAction] = {
        "": parser.add_subparsers(metavar="TOOL", required=True)
    }
    # Only the chosen tool's module is imported, so that `fashion data` answers at once.
    wanted = " ".join(argv[:2])
    for words, (module_name, summary) in TOOLS.items():
        *outer, last = words.split()
        group = " ".join(outer)
        if group not in groups:
            held = groups[""].add_parser(group, help=f"{group} a source to COCO")
            groups[group] = held.add_subparsers(metavar="SOURCE", required=True)
        tool = groups[group].add_parser(last, help=summary)
        if wanted == words or wanted.startswith(f"{words} ") or argv[:1] == [words]:
            module = importlib.import_module(module_name)
            module.add_arguments(tool)
            tool.set_defaults(run=module.run)
    args = parser.parse_args(list(argv))
    return args.run(args)
