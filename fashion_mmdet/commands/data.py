"""``fashion data ...``: hands over to the tool in ``datasets_tools``; imports no torch."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

#: words after ``fashion data`` -> (module with ``add_arguments`` and ``run``, one-line help, the
#: words that follow in an example)
TOOLS: dict[str, tuple[str, str, str]] = {
    "convert imaterialist2019": (
        "datasets_tools.sources.imaterialist",
        "train.csv and label_descriptions.json to COCO",
        "train.csv --descriptions label_descriptions.json --images train "
        "--out annotations/all.json",
    ),
    "convert ccp": (
        "datasets_tools.sources.ccp",
        "Clothing Co-Parsing's label maps to COCO",
        "~/clothing-co-parsing --out data/ccp/annotations/all.json",
    ),
    "shoe-types": (
        "datasets_tools.shoe_types",
        "turn 'shoe' masks into canvasshoes, high-heels, sandals by a list",
        "annotations/shoe.json my_shoe_types.csv --out annotations/all.json",
    ),
    "split": (
        "datasets_tools.split",
        "part a COCO file into train, val and test",
        "annotations/all.json --fractions 0.9 0.05 0.05 --out annotations",
    ),
    "make-demo": (
        "datasets_tools.make_demo",
        "draw a small set in iMaterialist's format",
        "--out data/demo --images 400",
    ),
}


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
                help=f"{group} a source to COCO",
                description=f"{group.capitalize()} a source to a COCO file. What cannot be used is "
                "reported by line, counted by kind and skipped.",
                epilog=_example(words),
            )
            groups[group] = unfinished[group].add_subparsers(metavar="SOURCE", required=True)
        tool = groups[group].add_parser(
            last,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=_example(words),
        )
        if wanted == words or wanted.startswith(f"{words} ") or argv[:1] == [words]:
            module = importlib.import_module(module_name)
            module.add_arguments(tool)
            tool.set_defaults(run=module.run)
    if " ".join(argv) in unfinished:
        parser.exit(2, unfinished[" ".join(argv)].format_help())
    args = parser.parse_args(list(argv))
    return args.run(args)
