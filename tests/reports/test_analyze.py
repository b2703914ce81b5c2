"""Analysis of a run: what it says is what the figures say, and all of it is written or nothing."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from made_runs import make_run, make_truth  # noqa: E402

from fashion_mmdet.commands import analyze as command  # noqa: E402
from fashion_mmdet.commands import run as run_command  # noqa: E402
from fashion_mmdet.core.curves import average_precisions  # noqa: E402
from fashion_mmdet.core.error_causes import ERRORS, Cause, Fate  # noqa: E402
from fashion_mmdet.core.errors import FashionError  # noqa: E402
from fashion_mmdet.core.shapes import Shapes  # noqa: E402
from fashion_mmdet.reports.analyze import (  # noqa: E402
    FILES,
    analyze,
    cause_table,
    class_table,
    errors_csv,
    write_report,
)
from fashion_mmdet.reports.analyze_pictures import pictures_of, worst  # noqa: E402
from fashion_mmdet.reports.analyze_words import class_pairs, mend_first, where  # noqa: E402
from fashion_mmdet.reports.runs import read_runs  # noqa: E402
from fashion_mmdet.reports.texts import inline  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("of runs")
    truth = make_truth(folder / "set")
    make_run(folder / "a run", truth, 0.5)
    make_run(folder / "of val", truth, 0.7, split="val")
    return folder


@pytest.fixture(scope="module")
def found(place: Path):
    return analyze(read_runs([place / "a run"])[0])


def test_analyze_errors_csv_adds_up_to_the_counts(found) -> None:
    rows = list(csv.DictReader(io.StringIO(errors_csv(found))))
    assert [row["class"] for row in rows] == list(found.run.evidence.classes)
    for error in ERRORS:
        total = sum(int(row[error.name.lower()]) for row in rows)
        assert total == found.causes.counts[error] > 0
    for row in rows:
        parts = sum(int(row[key]) for key in ("right", "cls", "loc", "both", "dupe", "bkg"))
        assert parts == int(row["detections"])
        assert (row["ap50"] == "") == (row["instances"] == "0")
    assert sum(int(row["instances"]) for row in rows) == len(found.run.evidence.truth)
    ap50 = average_precisions(found.run.evidence.matches["segm"], len(rows))[0, :, 0]
    np.testing.assert_allclose(
        [float(row["ap50"] or "nan") for row in rows], ap50, rtol=0, atol=1e-6
    )


def test_analyze_tables_show_classes_that_have_something(found) -> None:
    _, rows = class_table(found)
    instances = [int(row[1].replace(",", "")) for row in rows]
    assert len(rows) == 5 and instances == sorted(instances, reverse=True)
    head, rows = cause_table(found)
    assert head[-1] == "mask AP50, points to gain" and len(rows) == len(ERRORS) + 2
    assert int(rows[-1][2]) == (found.causes.fate_G != Fate.FOUND).sum()


def test_mend_first_names_the_dearest_cause_first(found) -> None:
    said = mend_first(found)
    cost = found.causes.cost
    dearest = sorted(ERRORS, key=lambda error: -cost[error])
    assert len(said) == 3
    for text, error in zip(said, dearest, strict=False):
        assert f"{100 * cost[error]:.1f} points higher" in text
        assert f"{found.causes.counts[error]:,} errors" in text
    true, taken, count = class_pairs(found)[0]
    classes = found.run.evidence.classes
    assert f"{classes[true]} taken for {classes[taken]} ({count})" in where(found, Cause.CLS)
    assert sum(n for _, _, n in class_pairs(found)) == found.causes.counts[Cause.CLS]


def test_mend_first_of_a_faultless_run_says_so(found) -> None:
    nothing = {"cost": dict.fromkeys(ERRORS, 0.0), "counts": dict.fromkeys(ERRORS, 0)}
    free = dataclasses.replace(found.causes, ap50=1.0, **nothing)
    assert mend_first(dataclasses.replace(found, causes=free)) == [
        "No cause of errors costs AP50 noticeably."
    ]


def only(run, kept):
    """Return a run of which these detections alone are left."""
    evidence = run.evidence
    arrays = {f.name: getattr(evidence.found, f.name) for f in dataclasses.fields(evidence.found)}
    given = arrays.pop("counts")
    few = Shapes(
        **{name: None if array is None else array[kept] for name, array in arrays.items()},
        counts=tuple(given[n] for n in kept),
    )
    return dataclasses.replace(run, evidence=dataclasses.replace(evidence, found=few))


def test_mend_first_of_a_run_without_detections_says_so(found) -> None:
    said = mend_first(analyze(only(found.run, [])))
    assert said == ["The model finds nothing at all. Train it longer, or see the learning rate."]


def test_mend_first_where_no_cause_alone_costs_anything_names_the_commonest(found) -> None:
    lone = np.flatnonzero(found.causes.cause_D == Cause.BKG)[:1].tolist()
    measured = analyze(only(found.run, lone))
    assert measured.causes.ap50 == 0 and set(measured.causes.cost.values()) == {0.0}
    said = mend_first(measured)
    assert said[0].startswith("Missed (not found at all): ") and "alone" in said[0]
    assert len(said) == 2 and said[1].startswith("Background (")


def test_worst_has_the_highest_scores_one_a_photo(found) -> None:
    evidence, causes = found.run.evidence, found.causes
    for error in (Cause.LOC, Cause.BKG, Cause.DUPE):
        order = worst(found, error)
        scores = evidence.found.score[order]
        assert (np.diff(scores) <= 0).all() and (causes.cause_D[order] == error).all()
        assert scores[0] == evidence.found.score[causes.cause_D == error].max()
        images = evidence.found.image[order]
        assert len(set(images.tolist())) == len(images)
    missed = worst(found, Cause.MISSED)
    areas = evidence.truth.area_px[missed]
    assert (np.diff(areas) <= 0).all() and (causes.fate_G[missed] == Fate.MISSED).all()


def test_pictures_show_each_cause_with_class_score_and_overlap(found) -> None:
    grids, notes = pictures_of(found, None)
    assert [grid.title for grid in grids][0] == "Examples: class" and len(grids) == len(ERRORS)
    assert notes == []
    for grid in grids:
        assert 0 < len(grid.items) <= 8
        for item in grid.items:
            with Image.open(io.BytesIO(item.jpeg)) as picture:
                assert max(picture.size) == 300
            missed = grid.title == "Examples: missed"
            pattern = (
                r", \d+ px, not found; photo" if missed else r" 0\.\d\d.*IoU \d\.\d\d.*; photo"
            )
            assert re.search(pattern, item.caption), item.caption


def test_pictures_of_missing_photos_are_counted_and_said(found, tmp_path: Path) -> None:
    grids, notes = pictures_of(found, str(tmp_path))
    assert grids == []
    assert re.fullmatch(
        r"\d+ photo\(s\) not shown: no such file\. Say where the photos are with --images\.",
        notes[0],
    )


@pytest.mark.slow
def test_write_report_has_all_in_it_and_fetches_nothing(found, tmp_path: Path) -> None:
    paths, remarks = write_report(tmp_path / "out", found, "fashion analyze 'a run'")
    assert [path.name for path in paths] == list(FILES)
    page = paths[0].read_text(encoding="utf-8")
    text = html.unescape(page)
    for title in ("What the errors cost", "Errors by class", "What is taken for what",
                  "Score thresholds", "Calibration", "Examples: background"):  # fmt: skip
        assert title in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    report = paths[1].read_text(encoding="utf-8")
    for said in (*mend_first(found), *remarks):
        assert inline(said) in report and said in text
    assert f"mask AP50 {100 * found.causes.ap50:.1f} %" in report
    assert "Best F1 at a score of" in remarks[0] and "--split val" in remarks[0]


def test_analyze_run_without_masks_is_measured_by_boxes(found) -> None:
    evidence = found.run.evidence
    bare = dataclasses.replace(
        evidence, matches={"bbox": evidence.matches["bbox"]},
        truth=dataclasses.replace(evidence.truth, counts=None),
        found=dataclasses.replace(evidence.found, counts=None),
    )  # fmt: skip
    by_boxes = analyze(dataclasses.replace(found.run, evidence=bare))
    assert by_boxes.what == "box AP50" and 0 < by_boxes.causes.ap50 < 1
    grids, _ = pictures_of(by_boxes, None)
    assert all(grid.items for grid in grids)


def test_analyze_set_without_instances_is_refused(found) -> None:
    truth = found.run.evidence.truth
    crowds = dataclasses.replace(truth, is_crowd=np.ones(len(truth), bool))
    evidence = dataclasses.replace(found.run.evidence, truth=crowds)
    with pytest.raises(FashionError, match="instances to be found expected, got none in test.json"):
        analyze(dataclasses.replace(found.run, evidence=evidence))


@pytest.mark.slow
def test_command_writes_and_says_what_to_mend(place: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    argv = [str(place / "a run"), "--out", str(out), "--score", "0.3"]
    assert run_command(command.main, argv) == 0
    said = capsys.readouterr().out
    assert "What to mend first:\n1. " in said and "mask AP50" in said
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    again = f"fashion analyze '{place / 'a run'}' --out {out} --score 0.3"
    assert again in (out / "report.md").read_text(encoding="utf-8")
    assert "at scores from 0.3 on" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_command_does_not_overwrite_without_force(place: Path, tmp_path: Path, capsys) -> None:
    argv = [str(place / "of val"), "--out", str(tmp_path)]
    (tmp_path / "errors.csv").write_text("mine")
    assert run_command(command.main, argv) == 1
    assert "errors.csv: a new file expected" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["errors.csv"]
    assert run_command(command.main, [*argv, "--force"]) == 0
    assert (tmp_path / "errors.csv").read_text().startswith("class,instances")
    assert "(test.json, val)" in capsys.readouterr().out


@pytest.mark.slow
def test_command_finds_moved_photos(place: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(place / "set" / "photos", tmp_path / "moved")
    for path in sorted((tmp_path / "moved").iterdir())[:3]:
        path.write_bytes(b"no photo")
    argv = [str(place / "a run"), "--out", str(tmp_path / "out"), "--images"]
    assert run_command(command.main, [*argv, str(tmp_path / "moved")]) == 0
    assert "photo(s) not shown: not a readable photo." in capsys.readouterr().out
    assert run_command(command.main, [*argv, str(tmp_path / "nowhere"), "--force"]) == 1
    assert "--images: a folder of photos expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}/nothing"], "nothing"),
        (["{}/of val", "--split", "test"], "an evaluation on the test set"),
    ],
)
def test_command_of_a_wrong_folder_says_so_in_a_line(
    place: Path, tmp_path: Path, capsys, words: list[str], said: str
) -> None:
    argv = [*(word.format(place) for word in words), "--out", str(tmp_path / "out")]
    assert run_command(command.main, argv) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("score", ["1.5", "nan", "half"])
def test_command_of_a_wrong_score_is_wrong_usage(place: Path, score: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main([str(place / "a run"), "--out", "x", "--score", score])
    assert stopped.value.code == 2 and "--score" in capsys.readouterr().err
