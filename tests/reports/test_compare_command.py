"""``fashion compare``: the command it names, names from elsewhere, and what is refused early."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_runs import make_run, make_truth  # noqa: E402

from fashion_mmdet.commands import analyze as analyze_command  # noqa: E402
from fashion_mmdet.commands import main  # noqa: E402
from fashion_mmdet.reports import compare as reports  # noqa: E402
from fashion_mmdet.reports import texts  # noqa: E402
from fashion_mmdet.reports.marked import BEGIN, END  # noqa: E402
from fashion_mmdet.reports.runs import read_runs  # noqa: E402

WORST = "=a\x1b[31m|b <!-- x --> [y](z) `c`\n_d_"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of runs")
    truth = make_truth(folder / "set", n_images=14)
    make_run(folder / "base", truth, 0.5)
    make_run(folder / "-dash", truth, 0.8, train_cfg__max_epochs=6)
    make_run(folder / "val", truth, 0.5, split="val")
    return folder


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"# A\n\n{BEGIN}\n{END}\n")
    return path


def code_of(words: list[str]) -> int:
    try:
        return main(["compare", *words])
    except SystemExit as stop:
        return stop.code  # type: ignore[return-value]


def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "compare", lambda *_, **__: pytest.fail("measured first"))


def test_table_names_the_command_that_gives_the_same_table(
    place: Path, readme: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(place)
    options = ["--split", "test", "--draws", "150", "--seed", "7", "--train-data-may-differ"]
    assert code_of([*options, "--update", str(readme), "--", "base", "-dash"]) == 0
    text = readme.read_text()
    told = "fashion compare --split test --train-data-may-differ --draws 150 --seed 7 -- base -dash"
    assert f"`{told}`" in text
    words = shlex.split(told)[2:]
    assert code_of(["--update", str(readme), "--check", *words]) == 0
    assert code_of(["--update", str(readme), "--check", "base"]) == 1
    assert f"Run `fashion compare base --update {readme}`." in capsys.readouterr().err
    other = readme.with_name("my notes.md")
    other.write_text(f"{BEGIN}\n{END}\n")
    assert code_of(["base", "--check", "--update", str(other), "--draws", "150"]) == 1
    error = capsys.readouterr().err
    assert f"Run `fashion compare base --draws 150 --update '{other}'`." in error
    again = shlex.split(error.split("`")[1])[2:]
    assert code_of(again) == 0 and code_of([*again, "--check"]) == 0


def test_shell_command_comes_back_from_a_shell_as_it_was(tmp_path: Path) -> None:
    odd = os.fsdecode(b"a'b\\c\n\x1b\xff d")
    options = {"--out": "-o", "--force": True, "--split": None, "--keep": "é `x`"}
    told = texts.shell_command("compare", [odd, "-x"], options)
    assert told.isprintable() and "\n" not in told
    script = f"fashion() {{ printf '%s\\0' \"$@\"; }}; {told}"
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    expected = ["compare", "--out=-o", "--force", "--keep", "é `x`", "--", odd, "-x"]
    assert out.split(b"\0")[:-1] == [os.fsencode(word) for word in expected]


def test_work_dirs_stand_on_both_sides_of_options(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    seen = []

    def stop(runs, **_):
        seen.extend(run.name for run in runs)
        raise SystemExit(0)

    monkeypatch.setattr(reports, "compare", stop)
    for words in (["base", "--out", "c", "./-dash"], ["base", "--out", "c", "--", "-dash"]):
        assert code_of(words) == 0
    assert seen == ["base", "-dash"] * 2
    assert code_of(["base", "--out", "--", "-dash"]) == 2, "-- is no value"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "-1"], "a whole number from 0 on expected, got '-1'"),
        (["--seed", "x"], "a whole number from 0 on expected, got 'x'"),
        (["--draws", "x"], "100 to 100000 expected, got 'x'"),
        (["--out", ""], "argument --out: a name expected, got none"),
        (["--update", ""], "argument --update: a name expected, got none"),
        (["--keep", ""], "argument --keep: a name expected, got none"),
        (["--images", ""], "argument --images: a name expected, got none"),
        ([""], "WORK_DIR: a name expected, got none"),
        (["--", ""], "WORK_DIR: a name expected, got none"),
    ],
)
def test_wrong_usage_is_said_in_a_line_and_is_2(words: list[str], said: str, capsys) -> None:
    assert code_of(["nowhere", *words]) == 2
    assert said in capsys.readouterr().err


def test_faults_of_update_and_out_are_said_before_measuring(
    place: Path, readme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    no_measuring(monkeypatch)

    def said(*words: str) -> str:
        assert code_of([str(place / "base"), *words]) == 1
        return capsys.readouterr().err

    assert "found no file" in said("--update", str(tmp_path / "none.md"))
    (tmp_path / "bare.md").write_text("text\n")
    assert "got 0 and 0" in said("--update", str(tmp_path / "bare.md"))
    assert "got 0 and 0" in said("--update", str(tmp_path / "bare.md"), "--check")
    readme.chmod(0o440)
    assert "mode 0440" in said("--update", str(readme))
    for name in reports.FILES:
        out = tmp_path / f"out of {name}"
        out.mkdir()
        (out / name).symlink_to(out / "nothing")
        assert f"{out / name}: a new file expected" in said("--out", str(out))
        (out / name).unlink()
        (out / name).mkdir()
        assert "found a folder" in said("--out", str(out), "--force")
        (out / name).rmdir()
        os.mkfifo(out / name)
        assert "a device or the like" in said("--out", str(out), "--force")
    assert "found a file of that name" in said("--out", str(readme))


def test_keep_never_overwrites_the_run_itself(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    no_measuring(monkeypatch)
    assert code_of([str(place / "base"), "--keep", str(place), "--force"]) == 1
    assert "another file than the input expected" in capsys.readouterr().err
    (tmp_path / "base" / "evidence_test.npz").mkdir(parents=True)
    assert code_of([str(place / "base"), "--keep", str(tmp_path), "--force"]) == 1
    assert "found a folder" in capsys.readouterr().err


def test_leftovers_of_killed_runs_go(place: Path, readme: Path, tmp_path: Path, capsys) -> None:
    old = [tmp_path / f".{name}.abcd_123.part" for name in ("README.md", "run.json")]
    old[1] = tmp_path / "keep" / "base" / old[1].name
    old[1].parent.mkdir(parents=True)
    for path in old:
        path.write_text("half")
        os.utime(path, (time.time() - 7200,) * 2)
    words = [str(place / "base"), "--draws", "100", "--update", str(readme)]
    assert code_of([*words, "--check"]) == 1
    words += ["--keep", str(tmp_path / "keep")]
    assert all(path.exists() for path in old), "--check writes nothing"
    assert code_of(words) == 0
    assert not any(path.exists() for path in old)
    assert "leftover of a killed run" in capsys.readouterr().err


def test_names_from_elsewhere_do_not_reach_markdown_csv_or_the_terminal(
    place: Path, tmp_path: Path, readme: Path, capsys
) -> None:
    for name in (WORST, os.fsdecode(b"\xff")):
        shutil.copytree(place / "base", tmp_path / name)
        words = [str(tmp_path / name), str(place / "-dash"), "--draws", "100"]
        if name == WORST:
            words[0] += f"\n{BEGIN}"
            (tmp_path / name).rename(words[0])
        assert code_of([*words, "--update", str(readme)]) == 0
        said = capsys.readouterr().out
        assert "\x1b" not in said and said.encode()
        text = readme.read_text(encoding="utf-8")
        assert "\x1b" not in text and text.count(f"\n{BEGIN}\n") == text.count(f"\n{END}\n") == 1
        assert code_of([*words, "--update", str(readme), "--check"]) == 0
    assert r"| \\udcff |" in text
    found = reports.compare(read_runs([words[0], place / "-dash"]), n_draws=100)
    assert r"\\udcff" in reports.report_markdown(found, "c").encode("utf-8", "replace").decode()


def test_inline_escapes_all_that_markdown_would_take() -> None:
    assert texts.inline(WORST) == r"=a \[31m\|b \<\!-- x --\> \[y\](z) \`c\` \_d\_"
    assert texts.inline(r"\&~#*") == r"\\\&\~\#\*"
    assert [texts.inline(t) for t in ("- a", "1. a", "+", "-a", "1.5")] == [
        r"\- a", r"1\. a", r"\+", "-a", "1.5"
    ]  # fmt: skip
    assert BEGIN not in texts.inline(f"x\n{BEGIN}\n")
    assert texts.code("a ``b`` c") == "```a ``b`` c```" and texts.code("`\n") == "`` ` ``"


def test_markdown_figures_keep_their_brackets_and_words_do_not() -> None:
    table = texts.markdown(["run [a]", "AP [95 %]"], [["mask_r [x]", "1.0 [0.5, 2.0]"]])
    assert (
        table == "| run \\[a\\] | AP [95 %] |\n|---|---:|\n| mask\\_r \\[x\\] | 1.0 [0.5, 2.0] |\n"
    )


@pytest.mark.slow
def test_report_of_odd_names_holds_no_formula_and_names_its_command(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    shutil.copytree(place / "base", tmp_path / "=1+1\x1b|<b>")
    shutil.copytree(place / "-dash", tmp_path / os.fsdecode(b"@x\xff"))
    monkeypatch.chdir(tmp_path)
    photos = str(place / "set" / "photos")
    runs = ["=1+1\x1b|<b>", os.fsdecode(b"@x\xff")]
    old = [Path(name, ".report.html.abcd_123.part") for name in "re"]
    for path in old:
        path.parent.mkdir()
        path.write_text("half")
        os.utime(path, (time.time() - 7200,) * 2)
    assert code_of([*runs, "--draws", "100", "--out", "r", "--images", photos]) == 0
    assert "\x1b" not in capsys.readouterr().out
    report = Path("r/report.md").read_text(encoding="utf-8")
    assert f"--draws 100 --out r --images '{photos}'" in report
    assert "\x1b" not in report and r"=1+1 \|\<b\>" in report
    for name in ("runs.csv", "pairs.csv"):
        with open(Path("r") / name, encoding="utf-8", newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert "'=1+1\x1b|<b>" in cells and "'@x\\udcff" in cells
        assert not any(c.startswith(("=", "@")) for c in cells)
    assert main(["analyze", "--out", "e", "--images", photos, "--", runs[0]]) == 0
    assert "\x1b" not in capsys.readouterr().out
    report = Path("e/report.md").read_text(encoding="utf-8")
    assert report.startswith("# Errors of =1+1 \\|\\<b\\>\n") and "\x1b" not in report
    assert main(["analyze", "--out", "f", "--images", photos, "--", runs[1]]) == 0
    assert not any(path.exists() for path in old), "leftovers of killed runs"


@pytest.mark.parametrize("option", ["--out", "--images", "work dir"])
def test_analyze_of_an_empty_name_is_wrong_usage(option: str, capsys) -> None:
    words = {"--out": ["a", "--out", ""], "--images": ["a", "--out", "b", "--images", ""],
             "work dir": ["", "--out", "b"]}  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        analyze_command.main(words[option])
    assert stop.value.code == 2 and "a name expected, got none" in capsys.readouterr().err


def test_analyze_command_of_a_folder_with_a_dash_is_taken_again(tmp_path: Path) -> None:
    told = texts.shell_command("analyze", ["-a"], {"--out": "o", "--score": "0.3"})
    assert told == "fashion analyze --out o --score 0.3 -- -a"
    assert main(shlex.split(told)[1:]) == 1  # no run there, which is not wrong usage
