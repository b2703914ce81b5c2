"""A sweep's report: what it decides and says, its tables, files and plots, whatever came of it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import re
from html import unescape
from pathlib import Path

import pytest
from chromium import dumper, reported
from made_sweeps import EVIL, LR, MANY, make_final, make_sweep
from PIL import Image

from fashion_mmdet.reports.compare import compare
from fashion_mmdet.sweeps import decision as decisions
from fashion_mmdet.sweeps import finalists, report, tables
from fashion_mmdet.sweeps.axes import ValueAxis
from fashion_mmdet.sweeps.figures import head_figures, saved_validations, value_said
from fashion_mmdet.sweeps.finalists import compare_finals, finalists_of
from fashion_mmdet.sweeps.importance import importance_of
from fashion_mmdet.sweeps.plots import history_plot, plots_of
from fashion_mmdet.sweeps.record import BASELINE, trial_name

KEY = "optim_wrapper.optimizer.lr"
SWEEPS = {
    "one trial, one parameter": lambda: make_sweep("d", {KEY: LR}),
    "two": lambda: make_sweep("dd"),
    "eight": lambda: make_sweep("ddpdfrwd"),
    "all failed": lambda: make_sweep("fff"),
    "all pruned": lambda: make_sweep("ppp"),
    "none yet": lambda: make_sweep("ww"),
    "no trial": lambda: make_sweep(""),
    "all the same": lambda: make_sweep("dddd", constant=0.04),
    "all zero": lambda: make_sweep("dddd", constant=0.0),
    "a loss": lambda: make_sweep("ddpf", metric="loss/of it", goal="minimize"),
    "values of all kinds": lambda: make_sweep("ddddpf", MANY),
    "hostile": lambda: make_sweep(
        "ddpf",
        {EVIL: {"values": [EVIL, None, True, 1, "1", [1, {"a": EVIL}]]}, "b" * 90 + ".c": LR},
        metric=EVIL, reason=EVIL, last_lines=[EVIL, ""],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few draws of trials and of photos: what is said of them is of interest here."""
    monkeypatch.setattr(finalists, "compare", functools.partial(compare, n_draws=200))
    monkeypatch.setattr(report, "importance_of", lambda record: importance_of(record, n_draws=2))


def with_metrics(record, *metrics):
    trials = [
        dataclasses.replace(trial, metric=metric)
        for trial, metric in zip(record.trials, metrics, strict=True)
    ]
    return dataclasses.replace(record, trials=tuple(trials))


def with_value(record, number, **values):
    keys = {"lr": KEY, "batch_size": "train_dataloader.batch_size"}
    trials = list(record.trials)
    given = {**trials[number].values, **{keys[name]: v for name, v in values.items()}}
    trials[number] = dataclasses.replace(trials[number], values=given)
    return dataclasses.replace(record, trials=tuple(trials))


# What is decided


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (with_metrics(make_sweep("ddd"), 0.03, 0.051, 0.049),
         ["trial_001 (lr", "was best with mask AP 5.1", "trial_002, 4.9: 0.2", "may be noise"]),
        (with_metrics(make_sweep("dd", metric="loss", goal="minimize"), 0.5, 0.25),
         ["trial_001", "loss 0.25", "trial_000, 0.5: 0.25"]),
        (make_sweep("dp"), ["only trial that ran to its end"]),
        (make_sweep("pff"), ["Nothing to decide: no trial", "1 pruned, 2 failed"]),
        (make_sweep("pw"), ["Nothing to decide yet", "1 waiting"]),
        (make_sweep("ddr"), ["So far: "]),
        (make_sweep("ddd", constant=0.04), ["All 3 trials", "nothing to choose"]),
        (make_sweep("ddd", constant=0.0), ["No trial finds anything"]),
    ],
)  # fmt: skip
def test_decision_without_finals_says_what_was_best_and_how_little_that_says(record, words):
    said = decisions.decision(record, None)
    assert [word for word in words if word not in said] == []


def finals_record(base=(0.040, 0.041, 0.042), best=(0.047, 0.045, 0.049), **changes):
    finals = [make_final(BASELINE, s, v) for s, v in enumerate(base, 1)]
    finals += [make_final("trial_001", s, v) for s, v in enumerate(best, 1)]
    record = with_metrics(make_sweep("ddd"), 0.03, 0.055, 0.049)
    return dataclasses.replace(record, finals=tuple(finals), **changes)


def test_decision_of_means_alone_tells_them_and_no_more():
    said = decisions.decision(finals_record(), None)
    assert "trial_001 (lr" in said and "mask AP 4.7 ± 0.2 over 3 seeds" in said
    assert "the config as it is has 4.1 ± 0.1 over 3 seeds" in said
    assert "not said here" in said and "Take" not in said


def test_decision_of_means_that_are_no_better_keeps_the_config():
    said = decisions.decision(finals_record(best=(0.039, 0.040, None)), None)
    assert said.startswith("Keep the config as it is: trial_001")
    assert decisions.decision(finals_record(base=(None,)), None).endswith("to hold against it.")
    assert "only the config as it is" in decisions.decision(finals_record(best=(None,)), None)
    failed = finals_record(base=(None,), best=(None,))
    assert "The finals have not come to a figure." in decisions.decision(failed, None)


def test_notes_say_how_much_the_choice_flattered_itself():
    notes = decisions.notes_of(finals_record(), None)
    assert notes[0] == (
        "The best of 3 noisy trials flatters itself: over fresh seeds the finalists are 0.8 points "
        "lower, on the mean, than the values that chose them: trial_001 had 5.5 when chosen, "
        "4.7 ± 0.2 over 3 fresh seeds."
    )
    higher = decisions.notes_of(finals_record(best=(0.06, 0.061, 0.06)), None)[0]
    assert higher.startswith("The finalists are no worse over fresh seeds")
    losses = dataclasses.replace(
        finals_record(best=(0.06, 0.061, 0.06)),
        definition={**make_sweep().definition, "metric": {"name": "loss", "goal": "minimize"}},
    )
    assert "higher, on the mean" in decisions.notes_of(losses, None)[0]


def test_notes_say_what_the_figures_are_of():
    notes = " ".join(decisions.notes_of(make_sweep("ddpf"), None))
    for words in (
        "validation set", "test set is untouched", "one seed", "last validation",
        "1 trial(s) were stopped early", "1 trial(s) failed", "1 process(es) were lost",
    ):  # fmt: skip
        assert words in notes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": 1.0e-2}, "lr of trial_000, 0.01, is at the upper end of what was searched (1e-05"),
        ({"lr": 1.05e-5}, "at the lower end"),
        ({"lr": 5e-3}, None),  # of a range on a logarithmic scale that is a tenth from the end
        ({"batch_size": 8}, "batch_size of trial_000, 8, is at the upper end"),
        ({"batch_size": 4}, None),
    ],
)
def test_notes_say_where_the_best_lies_at_an_edge(values, words):
    record = with_value(make_sweep("d"), 0, **{"lr": 1e-3, "batch_size": 4, **values})
    said = decisions.edges_said(record, record.trials[0])
    assert len(said) == (words is not None)
    assert words is None or (words in said[0] and "widen" in said[0])


def test_edges_of_words_switches_and_two_choices_are_none():
    parameters = {"a.b": {"values": ["x", "y", "z"]}, "c": {"values": [True, False, None]},
                  "d": {"values": [1, 2]}, "e": {"distribution": "normal"}}  # fmt: skip
    record = make_sweep("d", parameters)
    assert decisions.edges_said(record, record.trials[0]) == []


# The finals, with the evidence of their runs


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Return ``made(skills, ...)``: a sweep's folder with runs of the finals, and its record."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "reports"))
    from made_runs import make_run, make_truth

    truth = make_truth(tmp_path / "a set", n_images=40)

    def made(skills, n_seeds=3, **of_baseline):
        """``skills``: finalist -> skill of its runs; ``of_baseline``: as of make_run."""
        finals = []
        for finalist, skill in skills.items():
            for seed in range(1, n_seeds + 1):
                final = make_final(finalist, seed, 0.0)
                run = tmp_path / "sweep" / final.work_dir
                lr = 0.0005 if finalist == BASELINE else 0.001 + 0.0001 * int(finalist[-1])
                changes = {"optim_wrapper__optimizer__lr": lr}
                changes |= of_baseline if finalist == BASELINE else {}
                make_run(run, truth, skill, seed, "val", **changes)
                from fashion_mmdet.core.run_record import read_run

                value = read_run(run).validations[-1].metrics["coco/segm_mAP"]
                finals.append(dataclasses.replace(final, metric=value))
        record = with_metrics(make_sweep("ddd"), 0.30, 0.55, 0.49)
        return tmp_path / "sweep", dataclasses.replace(record, finals=tuple(finals))

    return made


def test_decision_takes_a_finalist_that_is_better_than_the_config(swept):
    folder, record = swept({"trial_001": 0.95, BASELINE: 0.3, "trial_002": 0.35})
    found, why = compare_finals(folder, record)
    assert why is None and found is not None
    said = decisions.decision(record, found)
    assert re.match(
        r"Take trial_001 \(lr 0\.0005\): better than the config as it is by \+\d+\.\d \[\d+\.\d, "
        r"\d+\.\d\] points of mask AP on the validation set, 3 seeds each\.$", said,
    ), said  # fmt: skip
    chosen = decisions.chosen(record, found)
    assert chosen is not None and chosen.number == 1
    notes = " ".join(decisions.notes_of(record, found))
    assert "same 40 validation photos" in notes and "differ in more" not in notes


def test_notes_say_where_the_finalists_differ_in_more_than_was_searched(swept):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.5}, train_cfg__max_epochs=9)
    found, _ = compare_finals(folder, record)
    assert "tell of that as well: train_cfg.max_epochs." in " ".join(
        decisions.notes_of(record, found)
    )


def test_decision_keeps_the_config_where_no_finalist_can_be_told_from_it(swept):
    folder, record = swept({BASELINE: 0.6, "trial_001": 0.62, "trial_002": 0.6})
    found, _ = compare_finals(folder, record)
    said = decisions.decision(record, found)
    assert said.startswith("Keep the config as it is: none of the finalists can be told from it")
    assert decisions.chosen(record, found) is None


def test_decision_keeps_the_config_where_it_is_better_than_all(swept):
    folder, record = swept({BASELINE: 0.95, "trial_001": 0.3})
    found, _ = compare_finals(folder, record)
    assert decisions.decision(record, found) == (
        "Keep the config as it is: with these photos it is better than every finalist."
    )


def test_decision_of_one_seed_says_that_others_are_not_known(swept):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.95}, n_seeds=1)
    found, _ = compare_finals(folder, record)
    said = decisions.decision(record, found)
    assert "1 seed each" in said and "What other seeds would give is not known." in said


def test_decision_waits_where_other_seeds_might_turn_it(swept):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.95})
    found, _ = compare_finals(folder, record)
    noisy = [dataclasses.replace(pair, seed_noise=1.0) for pair in found.pairs]
    said = decisions.decision(record, dataclasses.replace(found, pairs=tuple(noisy)))
    assert said.startswith("Keep the config as it is for now: trial_001 was better by")
    assert "other seeds might turn that" in said


def test_report_of_a_record_without_its_runs_gives_means_and_says_so(swept, tmp_path):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.95})
    copied = tmp_path / "copied"
    report.write_report(copied, record)
    text = (copied / "report.md").read_text()
    assert "not compared photo by photo" in text and "Finalists against" not in text
    (folder / "finals" / "trial_001_seed2" / "evidence_val.npz").unlink()
    found, why = compare_finals(folder, record)
    assert found is None and "1 of 6 runs (trial\\_001\\_seed2)".replace("\\", "") in why


def test_finals_outside_of_the_sweeps_folder_are_not_read(swept):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.95})
    first = dataclasses.replace(record.finals[0], work_dir="../sweep/finals/baseline_seed1")
    found, why = compare_finals(
        folder, dataclasses.replace(record, finals=(first, *record.finals[1:]))
    )
    assert found is None and "inside" in why


def test_report_of_finals_shows_pairs_intervals_and_the_leaf(swept):
    folder, record = swept({BASELINE: 0.3, "trial_001": 0.95})
    paths = report.write_report(folder, record, "work_dirs/made/best.py")
    assert [path.name for path in paths] == ["report.html", "report.md", "trials.csv"]
    page, text = (path.read_text() for path in paths[:2])
    for said in (page, text.replace("\\", "")):
        assert "Take trial_001" in said and "work_dirs/made/best.py" in said
        assert "Finalists against each other" in said
    assert "Finalists with 95 % intervals" in page


def test_finalists_have_mean_spread_and_what_is_lacking():
    record = finals_record(base=(0.04, None, 0.05))
    base, best = finalists_of(record)
    assert base.is_baseline and base.lacking == {2: "failed"} and base.trial is None
    assert base.mean == pytest.approx(0.045) and base.spread == pytest.approx(0.00707, abs=1e-5)
    assert best.trial is record.trials[1] and best.spread == pytest.approx(0.002)
    head, rows = tables.finals_table(record)
    assert head[5:8] == ["seed 1", "seed 2", "seed 3"]
    assert rows[0][5:8] == ["4.0", "failed", "5.0"] and rows[1][1:5] == ["5.5", "4.7", "0.2", "3"]


# Tables, figures and files


def test_main_table_ranks_what_ran_to_its_end_and_names_what_did_not():
    record = with_metrics(make_sweep("dpfd"), 0.03, 0.06, None, 0.04)
    head, rows = tables.main_table(record)
    assert head == ["rank", "trial", "outcome", "lr", "batch_size", "class_agnostic",
                    "mask AP (%)", "validations", "minutes", "why"]  # fmt: skip
    assert [row[:3] for row in rows] == [
        ["1", "trial_003", "done"], ["2", "trial_000", "done"], ["–", "trial_001", "pruned"],
        ["–", "trial_002", "failed"],
    ]  # fmt: skip
    assert [row[6] for row in rows] == ["4.0", "3.0", "6.0", "–"]
    assert rows[0][7:] == ["4", "12.5", ""]
    assert rows[3][9].endswith("RuntimeError: loss is nan; started 2 times")


def test_main_table_of_a_minimized_metric_has_the_lowest_first():
    record = with_metrics(make_sweep("ddd", metric="loss", goal="minimize"), 0.5, 0.25, 1.0)
    head, rows = tables.main_table(record)
    assert [row[1] for row in rows] == ["trial_001", "trial_000", "trial_002"]
    assert "loss" in head and [row[6] for row in rows] == ["0.25", "0.5", "1"]


def test_head_figures_tell_best_counts_hours_and_what_pruning_saved():
    record = make_sweep("ddppf", n_validations=4)
    figures = head_figures(record)
    assert figures["trials done + pruned + failed"] == "2 + 2 + 1"
    assert figures["hours of all trials"] == "0.62"  # 2 x 750 s, 2 x 300 s, 150 s
    # 2 x 4 + 2 x 1 of 16 validations were run.
    assert saved_validations(record) == (10, 16)
    assert figures["validations saved by pruning"] == "38 %"
    assert figures["attempts interrupted"] == "1"


@pytest.mark.parametrize("outcomes", ["dd", "pp", "d", "f"])
def test_saved_validations_that_cannot_be_said_are_none(outcomes):
    assert saved_validations(make_sweep(outcomes)) is None


def test_saved_validations_of_trials_of_different_lengths_are_none():
    record = make_sweep("ddp")
    short = dataclasses.replace(record.trials[0], course=record.trials[0].course[:2])
    assert (
        saved_validations(dataclasses.replace(record, trials=(short, *record.trials[1:]))) is None
    )


def test_csv_holds_full_keys_values_courses_and_reasons():
    record = make_sweep("dpf", MANY)
    rows = list(csv.DictReader(io.StringIO(tables.trials_csv(record))))
    assert [row["outcome"] for row in rows] == ["done", "pruned", "failed"]
    assert [float(row[KEY]) for row in rows] == [t.values[KEY] for t in record.trials]
    assert rows[0]["coco/segm_mAP"] == str(record.trials[0].metric)
    assert rows[0]["course"].count(";") == 3 and rows[0]["rank"] == "1"
    assert rows[2]["reason"] == record.trials[2].reason
    assert rows[2]["last_lines"] == "RuntimeError: loss is nan"


def test_csv_of_formulas_gives_a_spreadsheet_none():
    record = make_sweep("f", {"a": {"values": ["=1+1", "@x"]}}, reason="=cmd()", last_lines=["+1a"])
    cells = [cell for row in csv.reader(io.StringIO(tables.trials_csv(record))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]


def test_report_names_what_all_trials_had_alike(tmp_path):
    record = make_sweep("dd", {KEY: LR, "train_dataloader.dataset.indices": {"value": 200}})
    report.write_report(tmp_path, record)
    assert "indices | constant: 200 |" in (tmp_path / "report.md").read_text("utf-8")
    assert "indices" not in tables.main_table(record)[0]


def test_results_markdown_is_a_short_table_and_the_decision():
    text = report.results_markdown(make_sweep("d" * 14))
    assert text.count("| trial\\_") == 10 and "The best 10 of 14 trials." in text
    assert "was best with mask AP" in text
    assert "| finalist |" in report.results_markdown(finals_record())


@pytest.mark.parametrize(
    ("value", "said"),
    [(1, "1"), ("1", "'1'"), (None, "none"), ("none", "'none'"), (True, "True"), ("", "''"),
     (0.0008144886, "0.0008145"), ([1, None], "[1, none]"), ("SGD", "SGD")],
)  # fmt: skip
def test_values_that_differ_are_said_differently(value, said):
    assert value_said(value) == said


def test_value_axis_places_choices_apart_and_numbers_on_their_scale():
    axis = ValueAxis("k", "k", (1, "1", True, None), 0.0, 1.0)
    assert [axis.place(v) for v in (1, "1", True, None)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    log = ValueAxis("k", "k", (), 1e-4, 1e-2, True)
    assert log.place(1e-3) == pytest.approx(0.5) and [t for _, t in log.ticks()] == [
        "0.0001", "0.001", "0.01",
    ]  # fmt: skip
    assert ValueAxis("k", "k", (), 2, 2).ticks() == [(0.5, "2")]
    assert all("." not in t for _, t in ValueAxis("k", "k", (), 2, 12, is_whole=True).ticks())


# Pages of every kind of sweep


@pytest.mark.parametrize("make", SWEEPS.values(), ids=SWEEPS)
def test_report_of_any_sweep_is_written_with_all_trials(make, tmp_path, recwarn):
    record = make()
    html, text, table = (p.read_text("utf-8") for p in report.write_report(tmp_path, record))
    for trial in record.trials:
        assert trial_name(trial.number) in html
        assert trial_name(trial.number).replace("_", "\\_") in text
    assert len(list(csv.reader(io.StringIO(table)))) == len(record.trials) + 1
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)], recwarn.list


def test_report_of_hostile_texts_shows_them_and_does_nothing_else(tmp_path):
    record = dataclasses.replace(SWEEPS["hostile"](), name=EVIL, file=EVIL, program=EVIL)
    html, text, table = (p.read_text("utf-8") for p in report.write_report(tmp_path, record))
    for said in (html, text, table):
        assert "\x1b" not in said and "\u202e" not in said
    assert "<img src=x" not in html and "&lt;img src=x" in html
    paragraphs, made = text.split("Made by `")
    assert "\n" not in made.rstrip("\n"), "a span of code, which shows what is in it"
    assert re.search(r"(?<!\\)<img", paragraphs) is None and "[a]" not in paragraphs
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in lines)
    head, rows = tables.main_table(record)
    for cell in [*head, *(c for row in rows for c in row), decisions.decision(record, None)]:
        assert "\x1b" not in cell and "\n" not in cell and "\u202e" not in cell


def test_report_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    report.write_report(tmp_path, make_sweep("dd"))
    before = [(tmp_path / name).read_bytes() for name in report.FILES]
    monkeypatch.setattr(report, "shown", lambda text: text if "<html" in text else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.write_report(tmp_path, make_sweep("ddd"))
    assert [(tmp_path / name).read_bytes() for name in report.FILES] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(report.FILES)


def test_report_of_one_record_is_the_same_each_time(tmp_path):
    record = make_sweep("dddpf")
    for name in ("one", "two"):
        report.write_report(tmp_path / name, record)
    for name in report.FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_plots_are_of_two_looks_and_one_size():
    for plot in plots_of(make_sweep(), None, "too few"):
        light, dark = (
            Image.open(io.BytesIO(png)).convert("RGB") for png in (plot.light_png, plot.dark_png)
        )
        assert light.size == dark.size and plot.text
        assert light.getpixel((2, light.height - 2)) == (255, 255, 255)
        assert max(dark.getpixel((2, dark.height - 2))) < 60


def test_plot_of_trials_marks_failed_and_pruned_unlike_done():
    orange, plots = (213, 94, 0), {}
    for outcomes in ("ddd", "ddf"):
        png = history_plot(make_sweep(outcomes)).light_png
        colours = Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 20)
        plots[outcomes] = {colour for _, colour in colours}
    assert orange in plots["ddf"] and orange not in plots["ddd"]
    hollow = history_plot(make_sweep("ddp")).light_png
    assert hollow != history_plot(make_sweep("ddd")).light_png


# In a browser


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_in_chromium_shows_its_plots_and_fetches_nothing(scheme, tmp_path):
    record = dataclasses.replace(SWEEPS["hostile"](), name=EVIL, file=EVIL, program=EVIL)
    (page, *_) = report.write_report(tmp_path, record)
    more = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    dom = dumper(tmp_path / "profile")(page, *more)
    said = reported(dom)
    assert said["images"] == str(dom.count('<figure class="plot"')) == "5"
    assert said["broken"] == "0"
    assert '<img src="x"' not in dom and 'onerror="' not in dom
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:|#)""", dom)
    assert "</script><img src=x" in unescape(unescape(dom))


@pytest.mark.slow
def test_report_in_chromium_fits_a_phone(tmp_path):
    (page, *_) = report.write_report(tmp_path, make_sweep("ddpf", MANY))
    driver = "<script>addEventListener('load', () => setTimeout(() => { document.body.dataset.wide"\
        " = document.documentElement.scrollWidth > innerWidth; }, 300));</script>"  # fmt: skip
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    page.write_text(text.replace("</body>", f"{driver}</body>"))
    dom = dumper(tmp_path / "profile")(page, "--window-size=500,900")
    assert reported(dom)["wide"] == "false"
