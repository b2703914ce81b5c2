"""RunRecordHook on real runs: what run.json says, and that it stops none of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fashion_mmdet.core.curves import average_precisions, mean_ap
from fashion_mmdet.core.evidence import read_evidence
from fashion_mmdet.core.run_record import RunRecord, read_run, write_run

pytestmark = pytest.mark.mm

REPO = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def build(run: Path, epochs: int = 2, **more: Any) -> Any:
    """Build a toy run of four iterations an epoch, with the hook."""
    from toy_runner import build as build_toy

    hooks = [dict(type="RunRecordHook"), *more.pop("custom_hooks", [])]
    return build_toy(run, epochs=epochs, validate=True, custom_hooks=hooks, **more)


def stopped_after(epoch: int, run: Path, epochs: int = 4) -> RunRecord:
    from toy_runner import StopBefore, Stopped

    with pytest.raises(Stopped):
        build(run, epochs, custom_hooks=[StopBefore(epoch)]).train()
    return read_run(run)


def test_record_of_a_training_tells_how_it_went(tmp_path: Path) -> None:
    build(tmp_path / "a.run", epochs=4).train()
    record = read_run(tmp_path / "a.run")
    assert (record.name, record.status, record.error) == ("a.run", "finished", None)
    assert [(v.epoch, v.iter) for v in record.validations] == [(1, 4), (2, 8), (3, 12), (4, 16)]
    assert [v.metrics["toy/score"] for v in record.validations] == [0.3, 0.7, 0.5, 0.9]
    (session,) = record.sessions
    assert (session.from_iter, session.to_iter, session.to_epoch) == (0, 16, 4)
    # 16 batches of 2, of which the first ten are not timed.
    assert session.timed_images == 12 and 0 < session.timed_s < session.wall_s
    assert record.images_per_s == session.timed_images / session.timed_s
    assert record.ended_utc is not None and record.peak_rss_mib and record.peak_rss_mib > 50
    assert record.seed == 1 and record.parameters.total == 7 and record.compute is None
    assert [(p.iter, p.count) for p in record.losses] == [(i, 1) for i in range(1, 17)]
    assert all(p.losses["loss"] > 0 for p in record.losses)
    assert record.initialisation == ("no checkpoint; all random",)
    assert record.setting.processes == 1 and record.setting.launcher == "none"
    assert record.setting.versions["torch"] and record.setting.versions["mmengine"]
    assert record.overrides is None and record.data == {"train": (), "val": (), "test": ()}


def test_record_is_there_while_the_run_runs(tmp_path: Path) -> None:
    from mmengine.hooks import Hook

    seen = []

    class Look(Hook):
        def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            seen.append(read_run(tmp_path))

    build(tmp_path, custom_hooks=[Look()]).train()
    assert {record.status for record in seen} == {"running"}
    assert [len(record.validations) for record in seen] == [0] * 4 + [1] * 4


def test_record_of_a_run_without_validation_counts_its_epochs(tmp_path: Path) -> None:
    from mmengine.hooks import Hook

    seen = []

    class Look(Hook):
        def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            seen.append(read_run(tmp_path).sessions[0])

    runner = build(tmp_path, custom_hooks=[Look()])
    runner._val_loop = None
    runner.train()
    assert [s.to_epoch for s in seen] == [0] * 4 + [1] * 4
    assert seen[4].wall_s > seen[3].wall_s and seen[4].ended_utc is None


def test_record_of_a_run_that_an_error_ends_says_its_last_line(tmp_path: Path) -> None:
    record = stopped_after(1, tmp_path)
    assert (record.status, record.error) == ("stopped", "Stopped")
    assert len(record.validations) == 1 and record.ended_utc is not None


def test_record_of_an_interrupted_run_says_so_without_a_token(tmp_path: Path) -> None:
    from mmengine.hooks import Hook

    class Fail(Hook):
        def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            raise KeyboardInterrupt("Caught\n\nin hf_" + "a" * 30 + "\n")

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, custom_hooks=[Fail()]).train()
    assert read_run(tmp_path).error == "KeyboardInterrupt: in ***"


def test_resumed_run_extends_the_record(tmp_path: Path) -> None:
    before = stopped_after(2, tmp_path)
    build(tmp_path, epochs=4, resume=True).train()
    record = read_run(tmp_path)
    assert record.status == "finished" and record.error is None
    assert record.started_utc == before.started_utc
    assert [v.epoch for v in record.validations] == [1, 2, 3, 4]
    assert record.validations[:2] == before.validations
    first, second = record.sessions
    assert first == before.sessions[0] and first.error == "Stopped"
    assert second.resumed_from and second.resumed_from.endswith("epoch_2.pth")
    assert (second.from_epoch, second.to_epoch) == (2, 4) and second.changed == {}
    assert record.wall_s == first.wall_s + second.wall_s
    assert record.initialisation == ("no checkpoint; all random",), "of its beginning"
    assert not list(tmp_path.glob("run_*.json"))


def test_resume_from_before_a_validation_drops_it_and_says_so(tmp_path: Path) -> None:
    from toy_runner import log_text

    stopped_after(3, tmp_path)
    (tmp_path / "epoch_3.pth").unlink()
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_2.pth"))
    from toy_runner import StopBefore, Stopped

    with pytest.raises(Stopped):
        build(tmp_path, 4, resume=True, custom_hooks=[StopBefore(2)]).train()
    assert [v.epoch for v in read_run(tmp_path).validations] == [1, 2]
    assert "1 validation(s) after" in log_text(tmp_path)


def test_resume_on_another_machine_or_seed_is_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_runner import log_text

    stopped_after(2, tmp_path)
    monkeypatch.setenv("FASHION_DATA", "elsewhere")
    build(tmp_path, epochs=4, resume=True).train()
    changed = read_run(tmp_path).sessions[1].changed
    assert changed["environment.FASHION_DATA"][1] == "elsewhere"
    assert "got another environment.FASHION_DATA" in log_text(tmp_path)


def test_new_run_in_a_used_work_dir_keeps_the_earlier_record_aside(tmp_path: Path) -> None:
    before = stopped_after(1, tmp_path)
    build(tmp_path, epochs=1).train()
    (kept,) = tmp_path.glob("run_*.json")
    assert json.loads(kept.read_text())["error"] == before.error == "Stopped"
    assert len(read_run(tmp_path).sessions) == 1


def test_resume_from_another_work_dir_begins_a_record(tmp_path: Path) -> None:
    stopped_after(2, tmp_path / "one")
    stopped_after(1, tmp_path / "two")
    build(tmp_path / "two", 4, resume=True, load_from=str(tmp_path / "one/epoch_2.pth")).train()
    record = read_run(tmp_path / "two")
    (session,) = record.sessions
    assert session.from_epoch == 2 and [v.epoch for v in record.validations] == [3, 4]
    assert session.resumed_from == str(tmp_path / "one/epoch_2.pth")
    assert record.initialisation[0].startswith("resumed from ")


def test_damaged_record_is_told_of_kept_and_begun_anew(tmp_path: Path) -> None:
    from toy_runner import log_text

    stopped_after(2, tmp_path)
    (tmp_path / "run.json").write_text("{")
    build(tmp_path, epochs=4, resume=True).train()
    assert read_run(tmp_path).sessions[0].from_epoch == 2
    (kept,) = tmp_path.glob("run_*.json")
    assert kept.read_text() == "{" and "A new record is begun" in log_text(tmp_path)


def test_test_adds_its_figures_to_the_record_of_the_training(tmp_path: Path) -> None:
    build(tmp_path, epochs=1).train()
    before = read_run(tmp_path)
    for _ in range(2):
        build(tmp_path, tests=True, load_from=str(tmp_path / "epoch_1.pth")).test()
    after = read_run(tmp_path)
    assert [t.metrics["toy/score"] for t in after.tests] == [0.3, 0.3]
    weights = tmp_path / "epoch_1.pth"
    assert after.tests[0].checkpoint == str(weights)
    assert after.tests[0].checkpoint_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert all(t.changed == {} for t in after.tests)
    assert after.sessions == before.sessions and after.status == "finished"
    assert after.initialisation == before.initialisation and not list(tmp_path.glob("run_*"))


def test_test_where_nothing_was_trained_leaves_a_record_of_its_own(tmp_path: Path) -> None:
    build(tmp_path / "trained", epochs=1).train()
    weights = str(tmp_path / "trained/epoch_1.pth")
    build(tmp_path / "tested", tests=True, load_from=weights).test()
    record = read_run(tmp_path / "tested")
    assert record.status == "tested" and record.sessions == () and len(record.tests) == 1
    assert record.initialisation == (f"loaded from {weights}: 3 of the model's 3 tensors",)


def test_test_of_a_run_that_has_trained_names_no_checkpoint(tmp_path: Path) -> None:
    build(tmp_path / "before", epochs=1).train()
    weights = str(tmp_path / "before/epoch_1.pth")
    runner = build(tmp_path / "run", epochs=1, tests=True, load_from=weights)
    runner.train()
    runner.test()
    (test,) = read_run(tmp_path / "run").tests
    assert test.checkpoint is None and test.metrics["toy/score"] == 0.3


def test_test_during_a_training_is_kept_by_it(tmp_path: Path) -> None:
    from mmengine.hooks import Hook

    class Test(Hook):
        def before_train_epoch(self, runner: Any) -> None:
            if runner.epoch == 1:
                weights = str(tmp_path / "epoch_1.pth")
                build(tmp_path, tests=True, load_from=weights).test()

    build(tmp_path, custom_hooks=[Test()]).train()
    record = read_run(tmp_path)
    assert len(record.tests) == 1 and len(record.validations) == 2


def test_record_that_cannot_be_written_is_one_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    from toy_runner import log_text

    (tmp_path / "run.json").mkdir()
    build(tmp_path, epochs=2).train()
    assert (tmp_path / "epoch_2.pth").is_file()
    assert log_text(tmp_path).count("the record of this run expected") == 1


def test_metric_that_is_not_a_number_is_null_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy_runner

    monkeypatch.setitem(toy_runner.SCORES, 1, float("nan"))
    build(tmp_path, epochs=1).train()
    (validation,) = read_run(tmp_path).validations
    assert validation.metrics["toy/score"] is None and validation.nonfinite == ("toy/score",)


def test_run_by_iteration_is_counted_by_iteration(tmp_path: Path) -> None:
    runner = build(tmp_path)
    runner._train_loop = dict(type="IterBasedTrainLoop", max_iters=14, val_interval=4)
    runner.train()
    record = read_run(tmp_path)
    assert [(v.epoch, v.iter) for v in record.validations] == [(0, 4), (0, 8), (0, 12), (0, 14)]
    assert record.sessions[0].timed_images == 8 and record.sessions[0].to_iter == 14


def test_every_process_but_the_main_one_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_mmdet.hooks import run_record

    monkeypatch.setattr(run_record, "is_main_process", lambda: False)
    build(tmp_path, epochs=1).train()
    assert not (tmp_path / "run.json").exists()


def test_clock_leaves_pauses_and_the_first_ten_batches_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from fashion_mmdet.hooks import clock

    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    counted = clock.Clock()
    for batch in range(14):
        if batch == 12:
            now[0] += 1000.0  # a validation
        counted.start() if batch in (0, 12) else None
        now[0] += 100.0 if batch < 10 else 0.5
        counted.tick(2)
    assert (counted.images, counted.seconds, counted.images_per_s) == (8, 2.0, 4.0)
    assert clock.Clock().images_per_s is None


@pytest.mark.parametrize(
    ("inputs", "images"), [([1, 2, 3], 3), ([(1, 2), (3, 4), (5, 6)], 2), ([[1], [2]], 1), ([], 0)]
)
def test_photos_of_a_batch_are_counted_once_whatever_the_views(inputs: Any, images: int) -> None:
    from fashion_mmdet.hooks.run_record import _n_images

    assert _n_images({"inputs": inputs}) == images
    assert _n_images(inputs) == 0


@pytest.mark.parametrize("members", [{}, {"members": ["a"]}])
def test_record_of_a_test_with_augmentation_says_what_was_wrapped_around_the_model(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    from mmengine.config import Config

    plain = {"model": {"type": "Toy", "depth": 18}, "tta_model": {"type": "Twice"}}
    around = {"type": "Twice", **members}
    for work_dir, before in ((tmp_path / "new", None), (tmp_path / "run", plain)):
        if before:
            runner = build(work_dir, epochs=1)
            runner.cfg = Config(before)
            runner.train()
        runner = build(work_dir, tests=True)
        runner.cfg = Config({**plain, "model": {**around, "module": plain["model"]}})
        runner.test()
        record = read_run(work_dir)
        assert record.config["model"] == plain["model"]
        assert record.tests[-1].changed == {"model.tta": ("<absent>", around)}


class KeepsMetric:
    """Stands for a metric that keeps evidence: what of it a metric does not know is the matter."""

    def __init__(self, made_with: dict[str, Any]) -> None:
        self.made_with = made_with

    def evidence(self) -> Any:
        sys.path.insert(0, str(REPO / "tests/tuning"))
        from made_evidence import middling

        return replace(middling(3), made_with=self.made_with)


@pytest.mark.parametrize(
    ("n_views", "members", "said"),
    [
        (None, None, {}),
        (1, ["b run/x.pth"], {"views": 1, "members": ["b run/x.pth"]}),
        (6, [], {"views": 6, "members": []}),
        (2, None, {"views": 2, "members": []}),
    ],
)
def test_evidence_of_a_test_says_how_many_views_and_which_models_voted(
    tmp_path: Path, n_views: int | None, members: list[str] | None, said: dict[str, Any]
) -> None:
    from types import SimpleNamespace

    from torch import nn

    from fashion_mmdet.hooks.run_record import RunRecordHook, _keep_evidence

    build(tmp_path, tests=True).test()
    model = nn.Linear(1, 1)
    if members is not None:
        model.member_names = members
    point = {"point": {"score": 0.4}}
    for made_with in ({}, point):
        evaluator = SimpleNamespace(metrics=[KeepsMetric(made_with)])
        runner = SimpleNamespace(
            model=model, work_dir=str(tmp_path), val_evaluator=evaluator, world_size=1
        )
        hook = RunRecordHook()
        hook.before_test_epoch(runner)
        inputs = [1, 2] if n_views is None else [[1, 2]] * n_views
        hook.after_test_iter(runner, 0, {"inputs": inputs})
        _keep_evidence(runner, "val", evaluator, hook._views)
        found = read_evidence(tmp_path / "evidence_val.npz")
        assert found.made_with == {**made_with, **said}
    # The next evaluation is its own.
    hook.before_val_epoch(runner)
    assert hook._views is None


def test_test_with_several_views_leaves_that_in_its_evidence(tmp_path: Path) -> None:
    from toy_runner import ToyMetric, ToyModel

    class Keeps(ToyMetric):
        evidence = KeepsMetric({}).evidence

    class Twice(ToyModel):
        member_names = ["b run/x.pth"]

        def test_step(self, data: Any) -> Any:
            return [{"score": 0.0} for _ in data["inputs"][0]]

    runner = build(tmp_path, tests=True, model=Twice())
    runner.test_evaluator.metrics[:] = [Keeps()]
    runner.test_dataloader.collate_fn = lambda samples: {"inputs": [[0] * len(samples)] * 3}
    runner.test()
    found = read_evidence(tmp_path / "evidence_test.npz")
    assert found.made_with == {"views": 3, "members": ["b run/x.pth"]}


def test_files_of_sets_within_sets_are_found_built_or_not() -> None:
    from types import SimpleNamespace

    from fashion_mmdet.hooks.run_facts import _ann_files

    one = dict(data_root="data/", ann_file="a.json")
    wrapped = dict(dataset=dict(datasets=[one, dict(ann_file="/b.json", data_root="data/")]))
    assert list(_ann_files(wrapped)) == ["data/a.json", "/b.json"]
    built = SimpleNamespace(datasets=[SimpleNamespace(ann_file="data/a.json", data_root="data/")])
    assert list(_ann_files(built)) == ["data/a.json"]
    assert list(_ann_files(SimpleNamespace())) == list(_ann_files(None)) == []


def call(words: list[Any], root: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env.update(FASHION_DATA=str(root / "data"), OMP_NUM_THREADS="1",
               WANDB_API_KEY="0123456789abcdef" * 2 + "01234567")  # fmt: skip
    done = subprocess.run(
        [str(w) for w in words], cwd=root, env=env, text=True, timeout=600, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_record_of_a_config_that_lies_in_the_work_dir_claims_no_overrides(tmp_path: Path) -> None:
    """mmengine writes the merged config over the file, which then differs in nothing."""
    from mmengine.config import Config
    from toy_runner import build as build_toy

    path = tmp_path / "of_mim.py"
    path.write_text("a = 1\n")
    for work_dir, said in ((tmp_path / "run", {"a": 2}), (tmp_path, None)):
        runner = build_toy(work_dir, epochs=1, custom_hooks=[dict(type="RunRecordHook")])
        runner.cfg = Config.fromfile(str(path))
        runner.cfg.merge_from_dict({"a": 2})
        runner.train()
        assert read_run(work_dir).overrides == said


@pytest.mark.slow
def test_mim_train_and_fashion_test_leave_one_whole_record(tmp_path: Path) -> None:
    raw, ann = tmp_path / "data/demo/raw", tmp_path / "data/demo/annotations"
    for words in (
        ["make-demo", "--out", raw, "--images", "12", "--size", "96", "128"],
        ["convert", "imaterialist2019", raw / "train.csv", "--descriptions",
         raw / "label_descriptions.json", "--images", raw / "train", "--out", ann / "shoe.json"],
        ["shoe-types", ann / "shoe.json", raw / "shoe_types.csv", "--out", ann / "all.json"],
        ["split", ann / "all.json", "--fractions", "0.5", "0.25", "0.25", "--out", ann],
    ):  # fmt: skip
        call([BIN / "fashion", "data", *words], tmp_path)
    (ann / "test.txt").unlink()
    config = REPO / "configs/demo/mask_rcnn_r18_demo.py"
    run = tmp_path / "run"
    options = ["train_dataloader.num_workers=0", "train_dataloader.persistent_workers=False",
               "train_dataloader.batch_size=2", "train_cfg.max_epochs=1",
               "param_scheduler.1.end=1"]  # fmt: skip
    call([BIN / "mim", "train", "mmdet", config, "--gpus", "0", "--work-dir", run,
          "--cfg-options", *options], tmp_path)  # fmt: skip
    record = read_run(run)
    assert record.name == "mask_rcnn_r18_demo" and record.status == "finished"
    assert record.overrides == {
        "train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": False,
        "train_dataloader.batch_size": 2, "train_cfg.max_epochs": 1, "param_scheduler.1.end": 1,
    }  # fmt: skip
    assert record.config["train_cfg"]["max_epochs"] == 1
    for split, images in (("train", 6), ("val", 3), ("test", 3)):
        (file,) = record.data[split]
        path = ann / f"{split}.json"
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert file.images == images
        assert file.instances == len(json.loads(path.read_text())["annotations"]) > 0
        ids = path.with_suffix(".txt")
        assert file.id_list_sha256 == (
            None if split == "test" else hashlib.sha256(ids.read_bytes()).hexdigest()
        )
    assert "coco/segm_mAP" in record.validations[0].metrics
    assert record.parameters.total > 1e6
    # 160 x 224 px through half a ResNet-18 and two-layer heads for a thousand proposals.
    assert record.compute and 1 < record.compute.gflops < 20
    assert record.setting.environment["FASHION_DATA"] == str(tmp_path / "data")
    text = (run / "run.json").read_text()
    assert "0123456789abcdef" * 2 + "01234567" not in text

    # Without --work-dir: the evidence belongs to the run whose checkpoint is tested.
    said = call([BIN / "fashion", "test", config, run / "epoch_1.pth", "--cfg-options",
                 "model.test_cfg.rcnn.max_per_img=90"], tmp_path)  # fmt: skip
    assert f"record and evidence are in {run}" in said
    after = read_run(run)
    (test,) = after.tests
    assert "coco/segm_mAP" in test.metrics and test.checkpoint == str(run / "epoch_1.pth")
    assert test.changed == {"model.test_cfg.rcnn.max_per_img": (100, 90)}
    assert test.data == record.data["test"] and after.overrides == record.overrides
    assert after.evaluation == ("evidence_val.npz", "evidence_test.npz")
    for split, metrics in (("val", record.validations[0].metrics), ("test", test.metrics)):
        evidence = read_evidence(run / f"evidence_{split}.npz")
        assert evidence.sha256 == record.data[split][0].sha256 and evidence.predicted.all()
        assert evidence.photos and all(
            (Path(evidence.photos) / name).is_file() for name in evidence.file_names.values()
        )
        ap_BKT = average_precisions(evidence.matches["segm"], len(evidence.classes))
        assert mean_ap(ap_BKT)[0] == pytest.approx(metrics["coco/segm_mAP"], abs=1e-12)
    write_run(run, after)
    assert read_run(run).tests == after.tests
