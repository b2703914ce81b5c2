"""What the README says was measured is what the committed record holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record() -> dict[str, float]:
    path = REPO / "docs" / "results" / "mask_rcnn_r50_ccp_cpu" / "test.json"
    return json.loads(path.read_text(encoding="utf-8"))


def cells(start: str) -> list[str]:
    line = next(line for line in README.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_results_row_is_the_record(record: dict[str, float]) -> None:
    names = ("bbox_mAP", "bbox_mAP_50", "segm_mAP", "segm_mAP_50")
    assert cells("| [`mask_rcnn_r50_ccp_cpu`]")[2:6] == [
        f"{100 * record[f'coco/{name}']:.1f}" for name in names
    ]


def test_every_super_category_is_the_record(record: dict[str, float]) -> None:
    groups = [k.partition("AP_super/")[2] for k in record if k.startswith("coco/segm_AP_super/")]
    assert groups
    for group in groups:
        assert cells(f"| {group} |")[1:] == [
            f"{100 * record[f'coco/{kind}_AP_super/{group}']:.1f}" for kind in ("bbox", "segm")
        ]


def test_demo_figures_are_the_records() -> None:
    recipe = (REPO / "configs/demo/mask_rcnn_r18_demo.py").read_text(encoding="utf-8")
    for kind, places in (("segm", (README, recipe)), ("bbox", (recipe,))):
        figures = []
        for seed in range(3):
            path = REPO / "docs" / "results" / "demo" / f"seed{seed}.json"
            record = json.loads(path.read_text(encoding="utf-8"))
            figures.append(f"{100 * record[f'coco/{kind}_mAP_50']:.1f}")
        for text in places:
            assert re.search(rf"\b{figures[0]}, {figures[1]}(,| and) {figures[2]}\b", text)


def test_files_and_recipes_that_the_readme_names_exist() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"configs/[\w/]+\.py", README)
    assert named
    for name in set(named) - {"configs/mine.py"}:  # the reader's own
        assert (REPO / name).exists(), name
