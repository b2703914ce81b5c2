"""Every command of the docs is one that `fashion` takes: names, options, values."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from fashion_mmdet.commands import main
from fashion_mmdet.commands.data import TOOLS

REPO = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/data.md", "docs/predict.md")


def commands(page: str) -> list[str]:
    text = (REPO / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(fashion data [^`]+ --[^`]+)`", text)
    return [line.strip() for line in lines if line.strip().startswith("fashion data ")]


CASES = [(page, line) for page in PAGES for line in commands(page)]


def test_docs_commands_are_found() -> None:
    assert len([line for page, line in CASES if page == "docs/data.md"]) > 20


@pytest.mark.parametrize(("page", "line"), CASES)
def test_docs_command_is_taken_by_its_tool(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[2:]
    if "SOURCE" in words:  # the README's one line for all converters
        words = ["convert", "via", "x.json", *words[3:]]
    n_name = 2 if words[0] in ("convert", "export") else 1
    module = importlib.import_module(TOOLS[" ".join(words[:n_name])][0])
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    parser.parse_args(words[n_name:])  # exits for what it does not know


REPORTS = [
    (page, line)
    for page in ("README.md", "docs/evaluation.md")
    for line in re.findall(
        r"^fashion (?:compare|analyze) .+$", (REPO / page).read_text(encoding="utf-8"), re.MULTILINE
    )
]


def test_report_commands_are_found() -> None:
    assert {line.split()[1] for _, line in REPORTS} == {"compare", "analyze"}


SWEEPS = [
    (page, line.split("#")[0].strip())
    for page in ("README.md", "docs/sweeps.md")
    for line in re.findall(
        r"^fashion sweep .+$", (REPO / page).read_text(encoding="utf-8"), re.MULTILINE
    )
]


def test_sweep_commands_are_found() -> None:
    assert len(SWEEPS) >= 4


@pytest.mark.parametrize(("page", "line"), SWEEPS)
def test_sweep_command_of_the_docs_is_taken(page: str, line: str) -> None:
    from fashion_mmdet.commands.sweep import parser

    args = parser().parse_args(shlex.split(line)[2:])  # exits for what it does not know
    assert (REPO / args.file).is_file()


@pytest.mark.parametrize(("page", "line"), REPORTS)
def test_report_command_of_the_docs_is_taken(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there are no runs, which is 1; wrong usage exits with 2
    assert main(shlex.split(line, comments=True)[1:]) == 1


MODELS = [
    (page, line.split("  #")[0].strip())
    for page in ("README.md", "docs/predict.md")
    for line in re.findall(
        r"^fashion (?:predict|tune|test) .+$",
        (REPO / page).read_text(encoding="utf-8").replace("\\\n", " "),
        re.MULTILINE,
    )
]


def test_commands_of_a_trained_model_are_found() -> None:
    assert {line.split()[1] for _, line in MODELS} == {"predict", "tune", "test"}
    assert len([page for page, _ in MODELS if page == "docs/predict.md"]) >= 4


@pytest.mark.parametrize(("page", "line"), MODELS)
def test_command_of_a_trained_model_is_taken(page: str, line: str) -> None:
    name, *words = shlex.split(line)[1:]
    module = importlib.import_module(f"fashion_mmdet.commands.{name}")
    module.parser().parse_args(words)  # exits for what it does not know
