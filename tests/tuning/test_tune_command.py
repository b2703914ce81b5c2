"""``fashion tune``: the file that it writes, and what is refused before any work."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "reports"))
from made_evidence import CLASSES, indifferent, middling  # noqa: E402
from made_runs import make_run, make_truth  # noqa: E402

from fashion_mmdet.commands import main  # noqa: E402
from fashion_mmdet.core.evidence import write_evidence  # noqa: E402
from fashion_mmdet.core.operating_point import read_operating_point  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A work dir with the evidence of its last validation."""
    root = tmp_path_factory.mktemp("a place")
    return make_run(root / "a run", make_truth(root / "a set", n_images=50), 0.6, split="val")


def test_tune_of_a_run_writes_a_point_with_where_it_is_from(run, tmp_path, capsys):
    out = tmp_path / "new" / "point.json"
    assert main(["tune", str(run), "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    about = told["about"]
    point, _ = read_operating_point(out, about["classes"])
    assert about["run"] == "a run" and about["checkpoint"] == "epoch_3.pth"
    assert about["metric"] == "f1" and len(about["annotations_sha256"]) == 64
    assert about["before"]["score"] == 0.5 and about["seed"] == 0
    gains = about["gains"]
    assert list(gains) == ["half it was chosen on", "other half"]
    assert sum(gain["photos"] for gain in gains.values()) == 50
    fair = gains["other half"]
    assert fair["gain"]["low"] <= fair["gain"]["value"] <= fair["gain"]["high"]
    assert fair["after"]["value"] - fair["before"]["value"] == pytest.approx(fair["gain"]["value"])
    printed = capsys.readouterr().out
    assert f"after: {point.in_words()}" in printed and "a run (epoch_3.pth)" in printed
    assert f"{100 * fair['gain']['value']:+.1f} [" in printed and "holds no grids" in printed
    assert printed.strip().endswith(str(out))


def test_tune_lies_beside_the_evidence_and_is_not_overwritten(run, capsys):
    assert main(["tune", str(run)]) == 0
    first = (run / "operating_point.json").read_text()
    assert main(["tune", str(run), "--metric", "imat2019"]) == 1
    assert "it exists already. Use --force." in capsys.readouterr().err
    assert (run / "operating_point.json").read_text() == first
    assert main(["tune", str(run), "--metric", "imat2019", "--force"]) == 0
    told = json.loads((run / "operating_point.json").read_text())
    assert told["about"]["metric"] == "imat2019"


def test_tune_of_evidence_alone_reports_on_another_set(tmp_path, capsys):
    val, test = tmp_path / "val.npz", tmp_path / "test.npz"
    write_evidence(val, middling(50))
    write_evidence(test, replace(middling(30, seed=9), sha256="b" * 64))
    out = tmp_path / "point.json"
    words = ["tune", "--evidence", str(val), "--report-on", str(test), "--out", str(out)]
    assert main([*words, "--metric", "ap", "--on-all"]) == 0
    about = json.loads(out.read_text())["about"]
    assert list(about["gains"])[2:] == ["chosen again on all", "test.npz"]
    assert about["gains"]["test.npz"]["photos"] == 30 and about["chosen_again_on_all"] is True
    assert about["run"] is None and about["checkpoint"] is None
    printed = capsys.readouterr().out
    assert "AP never gains by a score threshold" in printed and "not measured on them" in printed
    read_operating_point(out, CLASSES)


def test_tune_on_a_test_set_says_so(tmp_path, capsys):
    write_evidence(tmp_path / "e.npz", indifferent(50, 0))
    run = make_run(tmp_path / "run", make_truth(tmp_path / "set", n_images=40), 0.6, split="val")
    record = json.loads((run / "run.json").read_text())
    record["data"]["val"] = []
    (run / "run.json").write_text(json.dumps(record))
    assert main(["tune", str(run)]) == 0
    assert "is the run's test set" in capsys.readouterr().out
    # The run's record, but evidence that no figures of it are of.
    words = ["tune", str(run), "--evidence", str(tmp_path / "e.npz"), "--force"]
    assert main(words) == 0
    told = json.loads((run / "operating_point.json").read_text())
    assert told["about"]["checkpoint"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "the folder of a run expected, found none"),
        (["empty"], "the evidence of a validation (evidence_val.npz) expected, found none"),
        (["--evidence", "e.npz", "--out", "e.npz", "--force"], "another file than the input"),
        (["--evidence", "gone.npz"], "found no file"),
        (["--evidence", "e.npz", "--report-on", "e.npz"], "got the same (val.json, aaaaaaaaaaaa)"),
    ],
)
def test_tune_of_what_cannot_be_tuned_is_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_evidence(tmp_path / "e.npz", middling(30))
    assert main(["tune", *words]) == 1
    err = capsys.readouterr().err
    assert said in err and err.startswith("error: ") and len(err.splitlines()) == 1
    assert not (tmp_path / "operating_point.json").exists()


def test_tune_without_a_run_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["tune"])
    assert stop.value.code == 2 and "RUN or --evidence expected" in capsys.readouterr().err
