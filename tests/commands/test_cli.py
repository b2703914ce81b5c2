"""The command line: its surface is frozen, and a user's mistake is one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_mmdet.commands import COMMANDS, main, run
from fashion_mmdet.commands.data import TOOLS
from fashion_mmdet.core.errors import FashionError


def test_commands_are_these() -> None:
    assert list(COMMANDS) == [
        "env", "demo", "data", "train", "test", "predict", "sweep", "tune", "compare", "analyze",
        "show",
    ]  # fmt: skip


def test_data_tools_are_these() -> None:
    sources = [
        "imaterialist2019", "imaterialist2020", "fashionpedia", "coco", "ccp", "deepfashion2",
        "modanet", "label-maps", "yolo-seg", "labelme", "via",
    ]  # fmt: skip
    assert set(TOOLS) == {f"convert {name}" for name in sources} | {
        "check", "merge", "filter", "sample", "export yolo-seg", "export imaterialist",
        "submission", "check-submission", "shoe-types", "split", "dedupe", "stats", "browse",
        "cache", "make-demo",
    }  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["data", "convert", "--help"],
                                   ["compare", "--help"], ["analyze", "--help"],
                                   ["sweep", "--help"],
                                   *[[*f"data {tool}".split(), "--help"] for tool in TOOLS]])
def test_help_is_printed(words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "usage: fashion" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["trian"], ["compare"], ["analyze"], ["data"],
                                   ["data", "convert"],
                                   ["data", "convert", "modanet"], ["data", "split"]])
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


@pytest.mark.parametrize("words", [[], ["data"], ["data", "convert"]])
def test_command_without_its_word_prints_the_help(
    words: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    wanted = capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2 and capsys.readouterr().err == wanted


@pytest.mark.parametrize("words", [[], ["data"], ["data", "convert"], ["env"], ["demo"],
                                   *[[*f"data {tool}".split()] for tool in TOOLS]])
def test_help_says_what_it_is_for_and_ends_with_an_example(
    words: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    usage, about, *_, example = capsys.readouterr().out.strip().split("\n\n")
    assert about.endswith(".") and ":" not in about
    assert example.startswith("Example: ") and " ".join(["fashion", *words]) in example


@pytest.mark.parametrize("tool", TOOLS)
def test_example_of_a_data_tool_can_be_parsed(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, example = TOOLS[tool]
    taken = []
    monkeypatch.setattr(f"{module}.run", lambda args: taken.append(args) or 0)
    assert main(["data", *tool.split(), *example.split()]) == 0 and len(taken) == 1


@pytest.mark.mm
def test_example_of_test_takes_the_checkpoint_of_its_config(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["test", "--help"])
    config, checkpoint = re.search(
        r"fashion test\s+(\S+)\s+(\S+)", capsys.readouterr().out.partition("Example:")[2]
    ).groups()
    assert Path(checkpoint).parent == Path("work_dirs") / Path(config).stem


def test_fault_of_the_user_is_one_line_and_exit_1(capsys: pytest.CaptureFixture) -> None:
    def fail(argv: list[str]) -> int:
        raise FashionError("a.json: a file expected, found none. Check the path.")

    assert run(fail, []) == 1
    assert capsys.readouterr().err == (
        "error: a.json: a file expected, found none. Check the path.\n"
    )


def test_fault_of_the_disk_is_one_line_and_exit_1(capsys: pytest.CaptureFixture) -> None:
    def fail(argv: list[str]) -> int:
        raise OSError(28, "No space left on device", "out.json")

    assert run(fail, []) == 1
    assert capsys.readouterr().err == "error: out.json: No space left on device.\n"


def test_fault_passed_on_by_a_loader_worker_loses_its_traceback(
    capsys: pytest.CaptureFixture,
) -> None:
    def fail(argv: list[str]) -> int:
        raise FashionError(
            "Caught FashionError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            "call last):\n  File ...\nfashion_mmdet.core.errors.FashionError: a.jpg: broken.\n"
        )

    assert run(fail, []) == 1
    assert capsys.readouterr().err == "error: a.jpg: broken.\n"


def test_bug_of_ours_keeps_its_traceback() -> None:
    def fail(argv: list[str]) -> int:
        raise ValueError("not worded for users")

    with pytest.raises(ValueError, match="not worded"):
        run(fail, [])


def test_data_tool_started_from_the_shell_imports_no_torch(tmp_path) -> None:
    code = (
        "import sys; from fashion_mmdet.commands import main\n"
        "code = main(['data', 'split', 'gone.json', '--fractions', '.8', '.1', '.1', '--out', 'x'])"
        "\nassert code == 1 and 'torch' not in sys.modules, code"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_command_that_a_cluster_stops_leaves_no_half_file(tmp_path) -> None:
    script = (
        "import os, signal, sys\n"
        "from fashion_mmdet import commands\n"
        "from fashion_mmdet.commands import env\n"
        "from fashion_mmdet.core.files import atomic_open\n"
        "def work(argv):\n"
        "    with atomic_open(argv[0]) as stream:\n"
        "        stream.write('half')\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "env.main = work\n"
        "sys.exit(commands.main(['env', sys.argv[1]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "a.txt"], timeout=60)
    assert done.returncode == 128 + 15
    assert list(tmp_path.iterdir()) == []
