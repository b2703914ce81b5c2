"""What the README says was measured is what the committed record holds."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from fashion_mmdet.commands import main

REPO = Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")


def test_results_table_is_what_the_records_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    (command,) = re.findall(r"`(fashion compare docs/results/[^`]+)`", README)
    words = shlex.split(command)[1:]
    assert len(words) >= 6, "five runs of four recipes at least"
    assert main([*words, "--update", "README.md", "--check"]) == 0


def test_sweep_of_the_docs_is_what_its_records_give() -> None:
    from fashion_mmdet.sweeps.finalists import compare_finals
    from fashion_mmdet.sweeps.record import read_record
    from fashion_mmdet.sweeps.report import results_markdown

    kept = REPO / "docs" / "results" / "sweeps" / "ccp_cpu"
    record = read_record(kept)
    assert len(record.trials) >= 8
    assert {"done", "pruned"} <= {trial.outcome for trial in record.trials}
    assert any(trial.attempts > 1 for trial in record.trials), "it was interrupted and resumed"
    comparison, why_none = compare_finals(kept, record)
    assert comparison is not None, why_none
    made = results_markdown(record, comparison)
    assert (kept / "results.md").read_text(encoding="utf-8") == made
    assert made.strip() in (REPO / "docs" / "sweeps.md").read_text(encoding="utf-8")


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


def test_no_document_holds_a_placeholder() -> None:
    for path in [REPO / "README.md", *REPO.glob("docs/**/*.md")]:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"\b[A-Z]+_(?:NOTE|SENTENCE|COMMANDS)\b|\bTODO\b", text), path
        for name in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / name.strip()).exists(), f"{path}: {name}"


def test_files_and_recipes_that_the_readme_names_exist() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"configs/[\w/]+\.py", README)
    assert named
    for name in set(named) - {"configs/mine.py"}:  # the reader's own
        assert (REPO / name).exists(), name


def test_tuning_of_the_docs_is_what_its_evidence_gives() -> None:
    from fashion_mmdet.core.operating_point import read_operating_point
    from fashion_mmdet.tuning.source import read_source
    from fashion_mmdet.tuning.tune import tune

    page = (REPO / "docs" / "predict.md").read_text(encoding="utf-8")
    kept = REPO / "docs" / "results" / "ccp" / "mask_rcnn_r50_ccp_cpu_val"
    source = read_source(kept, None)
    for metric in ("f1", "imat2019", "ap"):
        tuned = tune(source, metric)
        for gain in tuned.gains:
            assert f"| {metric} | {' | '.join(gain.row())} |" in page
        assert f"| {metric} | {tuned.point.in_words()} |" in page
    written, _ = read_operating_point(kept / "operating_point.json", source.evidence.classes)
    assert written == tune(source, "f1").point


def test_augmented_tests_of_the_docs_are_what_the_records_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPO)
    page = (REPO / "docs" / "predict.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"`(fashion compare docs/results/[^`]+)`", page)
    words = shlex.split(command)[1:]
    assert {"_tta", "_ensemble"} <= {f"_{word.rpartition('_')[2]}" for word in words}
    assert main([*words, "--update", "docs/predict.md", "--check"]) == 0
