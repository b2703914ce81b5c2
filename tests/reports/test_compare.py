"""Comparison of runs: what is told apart, what is refused, and what the tables say."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_runs import make_run, make_truth  # noqa: E402

from fashion_mmdet.commands import main  # noqa: E402
from fashion_mmdet.core.errors import FashionError  # noqa: E402
from fashion_mmdet.core.run_record import read_run, write_run  # noqa: E402
from fashion_mmdet.reports import compare_table, marked, texts  # noqa: E402
from fashion_mmdet.reports.compare import compare, decision, results  # noqa: E402
from fashion_mmdet.reports.compare_pictures import pictures_of  # noqa: E402
from fashion_mmdet.reports.runs import read_runs  # noqa: E402
from fashion_mmdet.reports.settings import differing, short_keys  # noqa: E402

DRAWS = 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs on one set: two seeds of one recipe, and two better recipes."""
    folder = tmp_path_factory.mktemp("of runs")
    truth = make_truth(folder / "set")
    make_run(folder / "base", truth, 0.5)
    make_run(folder / "base_1", truth, 0.5, seed=1)
    make_run(folder / "longer", truth, 0.75, train_cfg__max_epochs=6)
    make_run(folder / "deeper", truth, 0.95, model__backbone__depth=50)
    return folder


def names_of(place: Path, *names: str) -> list[str]:
    return [str(place / name) for name in names]


def compared(place: Path, *names: str):
    return compare(read_runs(names_of(place, *names)), n_draws=DRAWS)


def test_seeds_of_a_recipe_are_gathered_and_better_ones_told(place: Path) -> None:
    found = compared(place, "base", "longer", "base_1", "deeper")
    assert [r.name for r in found.recipes] == ["base", "longer", "deeper"]
    assert [run.name for run in found.recipes[0].runs] == ["base", "base_1"]
    assert found.settings == {
        "model.backbone.depth": [18, 18, 50], "train_cfg.max_epochs": [3, 6, 3]
    }  # fmt: skip
    base = found.recipes[0]
    values = [one["segm", "mAP"].value for one in base.of_run]
    assert base.draws["segm", "mAP"].value == pytest.approx(np.mean(values), abs=1e-12)
    assert base.spread("segm") == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    said = {(p.first, p.second): p.verdict for p in found.pairs if p.kind == "segm"}
    assert said == {("base", "longer"): "better", ("base", "deeper"): "better",
                    ("longer", "deeper"): "better"}  # fmt: skip
    (seeds,) = [p for p in found.of_seeds if p.kind == "segm"]
    assert seeds.verdict == "not distinguishable"
    assert decision(found).startswith("Highest mask AP: deeper")
    assert "better than each of the others" in decision(found)


def test_figures_of_a_run_are_those_of_its_metric(place: Path) -> None:
    (run,) = read_runs(names_of(place, "longer"))
    found = compared(place, "longer")
    for kind in ("bbox", "segm"):
        for name in ("mAP", "mAP_50", "mAP_75"):
            value = found.recipes[0].draws[kind, name].value
            assert value == pytest.approx(run.metrics[f"coco/{kind}_{name}"], abs=1e-12)
    interval = found.recipes[0].interval("segm")
    assert interval.low < interval.value < interval.high


def test_verdict_turns_with_the_order_and_a_run_is_not_told_from_its_copy(
    place: Path, tmp_path: Path
) -> None:
    found = compared(place, "deeper", "base")
    assert [p.verdict for p in found.pairs] == ["worse", "worse"]
    (tmp_path / "copy").mkdir()
    for name in ("run.json", "evidence_test.npz"):
        (tmp_path / "copy" / name).write_bytes((place / "base" / name).read_bytes())
    record = read_run(tmp_path / "copy")
    record = dataclasses.replace(record, config={**record.config, "other": 1})
    write_run(tmp_path / "copy", record)
    runs = read_runs([place / "base", tmp_path / "copy"])
    for pair in compare(runs, n_draws=DRAWS).pairs:
        d = pair.difference
        assert (d.value, d.low, d.high) == (0, 0, 0) and d.verdict == "not distinguishable"


def test_seed_noise_tells_which_verdicts_other_seeds_might_turn(place: Path) -> None:
    found = compared(place, "base", "base_1", "deeper")
    (pair,) = [p for p in found.pairs if p.kind == "segm"]
    spread = found.recipes[0].spread("segm")
    assert spread and pair.seed_noise == pytest.approx(spread * np.sqrt(1 / 2 + 1))
    assert pair.freedom == 1
    # Of two seeds 12.7 deviations are asked for, of many not quite two.
    pair = dataclasses.replace(pair, seed_noise=pair.difference.value / 13)
    close = dataclasses.replace(pair, seed_noise=pair.difference.value / 12)
    assert (pair.is_within_seeds, close.is_within_seeds) == (False, True)
    assert dataclasses.replace(close, freedom=30).is_within_seeds is False
    (alone,) = [p for p in compared(place, "base", "deeper").pairs if p.kind == "segm"]
    assert alone.seed_noise is None and alone.is_within_seeds is None
    rows = compare_table.pair_table([pair, close, alone])[1]
    assert [row[-1] for row in rows] == ["would hardly turn it", "might turn it", "not known"]


def test_runs_of_other_data_classes_or_splits_are_refused_saying_why(
    place: Path, tmp_path: Path
) -> None:
    other = make_truth(tmp_path / "set", n_images=8, seed=5)
    make_run(tmp_path / "elsewhere", other, 0.5)
    with pytest.raises(FashionError, match=r"scored on the same test set expected, got 8 images"):
        compare(read_runs([place / "base", tmp_path / "elsewhere"]))
    make_run(tmp_path / "validated", place / "set/test.json", 0.5, split="val")
    with pytest.raises(FashionError, match=r"evaluation on the test set .* expected, found none"):
        read_runs([place / "base", tmp_path / "validated"])
    with pytest.raises(FashionError, match="another run than .* expected, got the same folder"):
        read_runs([place / "base", place / "../" / place.name / "base"])
    runs = read_runs(names_of(place, "base", "longer"))
    evidence = dataclasses.replace(runs[1].evidence, classes=("x", *runs[1].evidence.classes[1:]))
    with pytest.raises(FashionError, match="49 classes of .* expected, got 49 .*'shirt, blouse'"):
        compare([runs[0], dataclasses.replace(runs[1], evidence=evidence)])


def test_runs_trained_on_other_data_are_refused_unless_that_is_the_question(
    place: Path, tmp_path: Path
) -> None:
    make_run(tmp_path / "more", place / "set/test.json", 0.9)
    record = read_run(tmp_path / "more")
    (train,) = record.data["train"]
    data = {**record.data, "train": (dataclasses.replace(train, sha256="d" * 64, images=200),)}
    write_run(tmp_path / "more", dataclasses.replace(record, data=data))
    runs = read_runs([place / "base", tmp_path / "more"])
    with pytest.raises(FashionError, match=r"trained on the same set .* got 200 images of train"):
        compare(runs, n_draws=DRAWS)
    found = compare(runs, other_train_data=True, n_draws=DRAWS)
    assert found.settings == {"training data": ["e" * 12, "d" * 12]}
    cache = dataclasses.replace(train, sha256="d" * 64, made_of_sha256="e" * 64)
    write_run(tmp_path / "more", dataclasses.replace(record, data={**data, "train": (cache,)}))
    assert compare(read_runs([place / "base", tmp_path / "more"]), n_draws=DRAWS).settings == {}


def changed_run(place: Path, folder: Path, seed: int = 1, **of_record) -> Path:
    """Return a run of the recipe of ``base``, of another seed and something else in its record."""
    run = make_run(folder, place / "set/test.json", 0.5, seed=seed)
    value = json.loads((run / "run.json").read_text())
    for key, new in of_record.items():
        *above, last = key.split("__")
        node = value
        for name in above:
            node = node[int(name)] if isinstance(node, list) else node[name]
        node[last] = new
    (run / "run.json").write_text(json.dumps(value))
    return run


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"setting__processes": 8}, "processes"),
        ({"initialisation": ["loaded from a/other.pth: all"]}, "weights from"),
        ({"tests__0__checkpoint": "x/epoch_1.pth"}, "evaluated"),
        ({"status": "stopped"}, "training"),
        ({"tests__0__changed": {"model.nms": [0.5, 0.6]}}, "tested with model.nms"),
        ({"config__test_dataloader": {"scale": 9}}, "test_dataloader.scale"),
        (
            {"config__train_dataloader__dataset__data_prefix": {"img": "a/photos_nobg/"}},
            "train_dataloader.dataset.data_prefix.img",
        ),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_no_seeds(
    place: Path, tmp_path: Path, change: dict, setting: str
) -> None:
    found = compare(
        read_runs([place / "base", changed_run(place, tmp_path / "run", **change)]), n_draws=DRAWS
    )
    assert len(found.recipes) == 2 and list(found.settings) == [setting]


def test_runs_that_differ_in_nothing_that_matters_are_seeds(place: Path, tmp_path: Path) -> None:
    run = changed_run(
        place, tmp_path / "run", config__val_dataloader={"scale": 9}, config__wandb={"mode": "x"},
        config__optim_wrapper={"optimizer": {"type": "AdamW", "lr": 5e-4}},
        initialisation=["no checkpoint"],
    )  # fmt: skip
    assert len(compare(read_runs([place / "base", run]), n_draws=DRAWS).recipes) == 1


def test_validation_scale_is_a_setting_where_validations_are_compared(
    place: Path, tmp_path: Path
) -> None:
    runs = []
    for name, scale in (("one", 1), ("two", 2)):
        loader = {"val_dataloader": {"scale": scale}, "test_dataloader": {"scale": 3 * scale}}
        runs.append(make_run(tmp_path / name, place / "set/test.json", 0.5, seed=scale, split="val",
                             **loader))  # fmt: skip
    found = compare(read_runs(runs, "val"), n_draws=DRAWS)
    assert found.settings == {"val_dataloader.scale": [1, 2]}


def test_one_checkpoint_twice_is_refused_and_one_seed_twice_says_nothing_of_seeds(
    place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place / "base", tmp_path / "copy")
    with pytest.raises(FashionError, match="other weights than those of .* got the same"):
        compare(read_runs([place / "base", tmp_path / "copy"]), n_draws=DRAWS)
    again = make_run(tmp_path / "again", place / "set/test.json", 0.5)
    found = compare(read_runs([place / "base", again, place / "deeper"]), n_draws=DRAWS)
    assert len(found.recipes) == 2 and found.recipes[0].spread("segm") is None
    assert {pair.seed_noise for pair in found.pairs} == {None}
    assert any("not of different seeds" in note for note in found.notes)
    assert "what other seeds would give is not known" in decision(found)


def test_few_photos_have_no_interval_and_nothing_is_told_apart(tmp_path: Path) -> None:
    truth = make_truth(tmp_path / "set", n_images=19)
    runs = [make_run(tmp_path / name, truth, skill, lr=skill)
            for name, skill in (("bad", 0.3), ("good", 1.0))]  # fmt: skip
    found = compare(read_runs(runs), n_draws=DRAWS)
    for pair in found.pairs:
        d = pair.difference
        assert (d.low, d.high, d.verdict) == (-1, 1, "not distinguishable") and d.value > 0.3
    interval = found.recipes[0].interval("segm")
    assert (interval.low, interval.high) == (0, 1)
    assert any("too few for an interval" in note for note in found.cautions)


def test_unknown_training_data_is_never_the_same_and_is_said(place: Path, tmp_path: Path) -> None:
    unknown = changed_run(place, tmp_path / "run", data__train__0__sha256=None)
    found = compare(read_runs([place / "base", unknown]), n_draws=DRAWS)
    assert "What run was trained on is not known." in found.cautions
    assert found.settings == {"training data": ["e" * 12, "not known"]}


def test_runs_scored_by_boxes_alone_and_by_masks_alone_are_refused(place: Path) -> None:
    runs = read_runs(names_of(place, "base", "deeper"))
    only = [
        dataclasses.replace(
            run, evidence=dataclasses.replace(
                run.evidence, matches={kind: run.evidence.matches[kind]}
            ),
        )
        for run, kind in zip(runs, ("bbox", "segm"), strict=True)
    ]  # fmt: skip
    with pytest.raises(FashionError, match="all scored by boxes, or all by masks, expected"):
        compare(only)


def partly(run, n_predicted: int):
    """Return a run of which the first photos alone were predicted."""
    predicted = np.arange(len(run.evidence.image_ids)) < n_predicted
    return dataclasses.replace(
        run, evidence=dataclasses.replace(run.evidence, predicted=predicted)
    )


def test_runs_that_predicted_other_photos_are_refused_and_a_part_of_them_is_said(
    place: Path,
) -> None:
    runs = read_runs(names_of(place, "base", "deeper"))
    with pytest.raises(FashionError, match="predicted the same photos expected, got one of 9 and"):
        compare([runs[0], partly(runs[1], 9)])
    found = compare([partly(run, 9) for run in runs], n_draws=DRAWS)
    said = "Only 9 of 30 photos were predicted"
    assert said in found.cautions[0] and said in results(found, "c")
    pages, _ = pictures_of(found.recipes, "segm", None)
    shown = {picture.caption[:9] for page in pages for picture in page.items}
    assert shown <= {f"photo {n:03d}" for n in range(1, 10)} and shown


def test_decision_on_runs_that_find_nothing_names_none_the_best(place: Path) -> None:
    found = compared(place, "base", "deeper")
    nothing = [
        dataclasses.replace(
            recipe,
            draws={k: dataclasses.replace(d, value_K=d.value_K * 0)
                   for k, d in recipe.draws.items()},
        )
        for recipe in found.recipes
    ]  # fmt: skip
    assert decision(dataclasses.replace(found, recipes=tuple(nothing))).startswith("No run finds")


def test_evidence_and_record_of_different_moments_are_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "base", tmp_path / "mixed")
    shutil.copy(place / "deeper/evidence_test.npz", tmp_path / "mixed/evidence_test.npz")
    with pytest.raises(FashionError, match="AP of run.json, .* they are of two evaluations"):
        read_runs([tmp_path / "mixed"])


def test_evidence_of_another_evaluation_than_the_records_is_refused(
    place: Path, tmp_path: Path
) -> None:
    other = make_truth(tmp_path / "set", n_images=8, seed=5)
    run = make_run(tmp_path / "run", other, 0.5)
    good = make_run(tmp_path / "good", place / "set/test.json", 0.5)
    (run / "evidence_test.npz").write_bytes((good / "evidence_test.npz").read_bytes())
    with pytest.raises(FashionError, match="evidence_test.npz of the evaluation in run.json"):
        read_runs([run])


def test_notes_name_other_code_machines_and_runs_that_did_not_finish(
    place: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", place / "set/test.json", 0.5, train_cfg__max_epochs=9)
    record = read_run(run)
    setting = record.setting
    assert setting.code
    setting = dataclasses.replace(
        setting,
        code=dataclasses.replace(setting.code, revision="b" * 40, clean=False),
        hardware=dataclasses.replace(setting.hardware, cpu="another"),
    )
    test = dataclasses.replace(record.tests[0], changed={"model.test_cfg.score": (0.05, 0.5)})
    write_run(run, dataclasses.replace(record, setting=setting, status="stopped", tests=(test,)))
    value = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**value, "tests": [dataclasses.asdict(test)]}))
    found = compare(read_runs([place / "base", run]), n_draws=DRAWS)
    assert any("did not finish" in said for said in found.cautions)
    notes = " ".join([*found.cautions, *found.notes])
    for said in ("different revisions", "bbbbbbbbbb", "changed since: run", "Different machines",
                 "run did not finish", "tested under other settings", "model.test_cfg.score"):
        assert said.lower() in notes.lower(), said  # fmt: skip


def test_settings_leave_out_places_and_variables_and_keep_the_rest(
    place: Path, tmp_path: Path
) -> None:
    make_run(
        tmp_path / "moved", place / "set/test.json", 0.5, seed=3, work_dir="other",
        train_dataloader__dataset__data_root="/elsewhere/", backbone_weights="x.pth",
        optim_wrapper__optimizer__lr=0.001, model__test_cfg={"score_thr": 0.5},
    )  # fmt: skip
    found = differing(read_runs([place / "base", tmp_path / "moved"]))
    assert found == {"optim_wrapper.optimizer.lr": [0.0005, 0.001],
                     "model.test_cfg.score_thr": ["<absent>", 0.5]}  # fmt: skip
    assert short_keys(["a.lr", "b.lr", "c.1"]) == {"a.lr": "a.lr", "b.lr": "b.lr", "c.1": "c.1"}


def test_csv_holds_every_run_with_its_settings_and_figures(place: Path) -> None:
    found = compared(place, "base", "base_1", "longer")
    text = compare_table.runs_csv(found.recipes, found.kinds, found.settings)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["run"] for row in rows] == ["base", "base_1", "longer"]
    assert [row["recipe"] for row in rows] == ["base", "base", "longer"]
    assert [row["train_cfg.max_epochs"] for row in rows] == ["3", "3", "6"]
    for row in rows:
        assert float(row["segm_mAP_low"]) <= float(row["segm_mAP"]) <= float(row["segm_mAP_high"])
        assert float(row["gflops"]) > 10 and int(row["parameters"]) > 1e7
    pairs = list(csv.DictReader(io.StringIO(compare_table.pairs_csv(found.pairs))))
    assert {(row["first"], row["second"]) for row in pairs} == {("base", "longer")}


def test_markdown_cell_with_marks_stays_a_cell() -> None:
    table = texts.markdown(["a|b"], [["x\n*y* <z>"]])
    assert table.splitlines()[0] == r"| a\|b |"
    assert table.splitlines()[2] == r"| x \*y\* \<z\> |"


def test_table_between_markers_is_renewed_and_nothing_else_is_touched(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    before, after = "# Title \\1\n\n", "\nmore\n"
    readme.write_text(f"{before}{marked.BEGIN}\nold\n{marked.END}{after}")
    words = [*names_of(place, "base", "longer"), "--draws", str(DRAWS), "--update", str(readme)]
    assert main(["compare", *words, "--check"]) == 1
    assert "the table of these runs expected, found another" in capsys.readouterr().err
    assert main(["compare", *words]) == 0
    text = readme.read_text()
    assert text.startswith(before + marked.BEGIN) and text.endswith(marked.END + after)
    assert "| longer | max\\_epochs 6 |" in text and "old" not in text
    assert main(["compare", *words, "--check"]) == 0
    readme.write_text(text.replace("better", "worse"))
    assert main(["compare", *words, "--check"]) == 1
    assert "better" not in readme.read_text(), "--check writes nothing"
    both = f"{marked.BEGIN}\n{marked.END}\n"
    for broken in ("", marked.BEGIN, f"{marked.END}\n{marked.BEGIN}", both * 2):
        readme.write_text(broken)
        assert main(["compare", *words]) == 1
        assert readme.read_text() == broken
    assert "outside code, got 2 and 2" in capsys.readouterr().err


def test_results_name_the_set_and_the_command(place: Path) -> None:
    text = results(compared(place, "base", "base_1"), "fashion compare a b")
    assert "30 photos" in text and "`fashion compare a b`" in text
    assert "Seeds of one recipe, 1 pair(s): not distinguishable." in text


@pytest.mark.slow
def test_command_writes_its_report_and_overwrites_none(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "r")]
    words = [*names_of(place, "base", "deeper"), "--draws", str(DRAWS), *out]
    assert main(["compare", *words]) == 0
    names = {path.name for path in (tmp_path / "r").iterdir()}
    assert names == {"report.html", "report.md", "runs.csv", "pairs.csv"}
    report = (tmp_path / "r/report.md").read_text()
    assert "| deeper | depth 50 |" in report and "## Pairs" in report
    page = (tmp_path / "r/report.html").read_text()
    assert "http:" not in page and "https:" not in page and page.count("data:image/jpeg") >= 8
    assert "Highest mask AP: deeper" in capsys.readouterr().out
    assert main(["compare", *words]) == 1
    assert "Use --force" in capsys.readouterr().err
    assert main(["compare", *words, "--force"]) == 0


def test_what_is_kept_of_runs_is_small_and_compares_the_same(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*names_of(place, "base", "base_1", "deeper"), "--draws", str(DRAWS)]
    assert main(["compare", *words, "--keep", str(tmp_path)]) == 0
    kept = compare(read_runs([tmp_path / n for n in ("base", "base_1", "deeper")]), n_draws=DRAWS)
    found = compared(place, "base", "base_1", "deeper")
    assert results(kept, "c") == results(found, "c")
    size = (tmp_path / "base/evidence_test.npz").stat().st_size
    assert size < (place / "base/evidence_test.npz").stat().st_size
    assert kept.runs[0].overlap_kind == "bbox" and kept.runs[0].kind == "segm"
    assert main(["compare", *words, "--keep", str(tmp_path)]) == 1
    assert "it holds a run. Use --force" in capsys.readouterr().err
    assert main(["compare", *words, "--keep", str(tmp_path), "--force"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 1, "a work dir with the record of a run expected"),
        (["--check", "nowhere"], 2, "--check needs --update"),
        (["nowhere", "--draws", "5"], 2, "100 to 100000 expected"),
        ([], 2, "WORK_DIR"),
    ],
)
def test_command_says_what_is_wrong(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        got = main(["compare", *words])
    except SystemExit as stop:
        got = stop.code
    assert got == code and said in capsys.readouterr().err


@pytest.mark.slow
def test_comparing_needs_no_torch(place: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from fashion_mmdet.commands import main; "
        f"main(['compare', {str(place / 'base')!r}, '--draws', '100', '--out', {str(tmp_path)!r}]);"
        "sys.exit('torch' in sys.modules or 'mmengine' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
