"""FashionCheckpointHook on a real runner: plain files, nothing lost, bit-equal resumes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fashion_mmdet.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.mm

TESTS = Path(__file__).resolve().parent.parent


def run_python(code: str, *args: object, compat: bool = True) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    env["FASHION_COMPAT"] = "1" if compat else "0"
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def same(left: dict, right: dict) -> bool:
    import torch

    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Four epochs with validation, without a stop."""
    from toy_runner import build

    runner = build(tmp_path_factory.mktemp("whole") / "run", epochs=4, validate=True)
    runner.train()
    return runner


# ---- what is in the file ------------------------------------------------------------------


def test_hook_checkpoint_loads_as_weights_only_without_us(uninterrupted):
    done = run_python(
        """
        import sys, torch
        c = torch.load(sys.argv[1], weights_only=True)
        assert not any(m.startswith(("mmengine", "fashion_mmdet.compat.ch")) for m in sys.modules)
        print(c["meta"]["epoch"], len(c["message_hub"]["log_scalars"]["train/loss"]["log"]))
        """,
        Path(uninterrupted.work_dir) / "epoch_4.pth",
        compat=False,
    )
    assert done.stdout.split() == ["4", "16"], done.stderr


def test_hook_value_without_plain_form_is_left_out_and_named(tmp_path):
    import torch
    from toy_runner import build, log_text

    runner = build(tmp_path / "run", epochs=1)
    runner.message_hub.update_info("a_function", print)
    runner.message_hub.update_info("a_number", np.float32(0.5))
    runner.train()
    checkpoint = torch.load(tmp_path / "run" / "epoch_1.pth", weights_only=True)
    info = checkpoint["message_hub"]["runtime_info"]
    assert "a_function" not in info and info["a_number"] == 0.5
    assert checkpoint["meta"]["dataset_meta"]["palette"] == [[1, 2, 3], [4, 5, 6]]
    assert "runtime_info.a_function: builtin_function_or_method" in log_text(tmp_path / "run")


def test_plain_nested_values_become_builtin_types():
    import collections
    import enum

    import torch
    from mmengine.config import ConfigDict

    from fashion_mmdet.hooks.plain import plain

    class Name(str, enum.Enum):
        BEST = "best"

    state = collections.OrderedDict(w=torch.ones(2))
    state._metadata = {"": {"version": 1}}
    dropped: list[str] = []
    result = plain(
        {
            "cfg": ConfigDict(a=dict(b=(1, np.int64(2)))),
            "where": Path("a/b"),
            "name": Name.BEST,
            np.int64(3): {np.float64(1.0)},
            "state": state,
            "list": [1, object()],
        },
        dropped,
        "meta",
    )
    assert result["cfg"] == {"a": {"b": (1, 2)}}
    assert type(result["cfg"]["a"]) is dict and type(result["cfg"]["a"]["b"][1]) is int
    assert result["where"] == "a/b" and type(result["name"]) is str and result["name"] == "best"
    assert result[3] == {1.0} and result["list"] == [1, None]
    assert result["state"]["w"] is state["w"] and result["state"]._metadata == state._metadata
    assert dropped == ["meta.list[1]: object"]


# ---- resuming -----------------------------------------------------------------------------


def test_hook_resume_with_random_augmentation_is_bit_equal(uninterrupted, tmp_path):
    from toy_runner import build, train_until, weights

    train_until(2, tmp_path / "run", epochs=4, validate=True)
    random.seed(99), np.random.seed(99)  # a new process would not be where this one is
    runner = build(tmp_path / "run", epochs=4, validate=True, resume=True)
    runner.train()

    assert (runner.epoch, runner.iter) == (4, 16)
    assert same(weights(runner), weights(uninterrupted))
    for name in ("train/loss", "train/lr"):
        ours, whole = (r.message_hub.get_scalar(name).data[0] for r in (runner, uninterrupted))
        assert np.array_equal(ours, whole) and len(whole) == 16


def test_hook_resume_without_rng_state_is_not_bit_equal(uninterrupted, tmp_path):
    """Negative control: it is the saved state that makes the test above pass."""
    import torch
    from toy_runner import build, train_until, weights

    train_until(2, tmp_path / "run", epochs=4, validate=True)
    path = tmp_path / "run" / "epoch_2.pth"
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["rng_state"]
    torch.save(checkpoint, path)
    runner = build(tmp_path / "run", epochs=4, validate=True, resume=True)
    runner.train()
    assert not same(weights(runner), weights(uninterrupted))


def test_hook_validation_does_not_change_training(uninterrupted, tmp_path):
    from toy_runner import build, weights

    runner = build(tmp_path / "run", epochs=4, validate=False)
    runner.train()
    assert same(weights(runner), weights(uninterrupted))


def test_hook_load_from_takes_weights_and_not_the_random_state(uninterrupted, tmp_path):
    from toy_runner import build

    path = Path(uninterrupted.work_dir) / "epoch_4.pth"
    runner = build(tmp_path / "run", epochs=1, load_from=str(path))
    runner.train()
    assert runner.epoch == 1 and len(runner.message_hub.get_scalar("train/loss").data[0]) == 4


def test_rng_state_restored_gives_the_same_numbers():
    import torch

    from fashion_mmdet.hooks.rng import rng_state, set_rng_state

    def draw():
        return random.random(), random.gauss(0, 1), np.random.randn(3).tolist(), torch.rand(3)

    random.gauss(0, 1)  # leaves a cached second number, which is part of the state
    state = rng_state()
    first = draw()
    set_rng_state(state)
    second = draw()
    assert first[:3] == second[:3] and torch.equal(first[3], second[3])
    with pytest.raises(CheckpointError, match="rng_state"):
        set_rng_state({"python": [3, torch.zeros(4), None]})


def test_hook_newer_history_format_is_refused():
    from fashion_mmdet.hooks.plain import unpack_history

    with pytest.raises(CheckpointError, match="newer fashion-mmdet"):
        unpack_history({"history_format": 99, "log_scalars": {}})


# ---- which checkpoint ---------------------------------------------------------------------


@pytest.mark.parametrize("pointer", ["missing", "empty", "truncated", "elsewhere"])
def test_hook_resume_with_bad_last_checkpoint_takes_newest_readable(pointer, tmp_path):
    from toy_runner import build, log_text

    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    run = tmp_path / "run"
    build(run, epochs=3).train()
    if pointer == "missing":
        (run / "last_checkpoint").unlink()
    elif pointer == "empty":
        (run / "last_checkpoint").write_text("")
    elif pointer == "elsewhere":
        (run / "last_checkpoint").write_text("/nowhere/epoch_9.pth")
    data = (run / "epoch_3.pth").read_bytes()
    (run / "epoch_3.pth").write_bytes(data[: len(data) // 2])
    assert latest_checkpoint(run) == run / "epoch_2.pth"

    runner = build(run, epochs=4, resume=True)  # a stock Runner, as `mim train --resume` builds
    runner.train()
    assert len(runner.message_hub.get_scalar("train/loss").data[0]) == 16
    assert f"Resuming from {run / 'epoch_2.pth'}" in log_text(run)


def test_latest_checkpoint_damaged_in_the_middle_is_not_readable(tmp_path):
    from toy_runner import build

    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    build(tmp_path, epochs=2).train()
    path = tmp_path / "epoch_2.pth"
    data = bytearray(path.read_bytes())
    middle = data.index(b"train/loss")
    data[middle : middle + 5] = b"xxxxx"
    path.write_bytes(data)
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch_1.pth"


def test_latest_checkpoint_moved_run_is_found_in_its_new_place(tmp_path):
    from toy_runner import build

    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    build(tmp_path / "old", epochs=2).train()
    (tmp_path / "old").rename(tmp_path / "new")
    assert latest_checkpoint(tmp_path / "new") == tmp_path / "new" / "epoch_2.pth"


def test_latest_checkpoint_none_readable_raises_none_there_is_none(tmp_path):
    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text("epoch_1.pth")
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "epoch_1.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="got 1 that cannot.*epoch_1.pth"):
        latest_checkpoint(tmp_path)


# ---- best checkpoints, removals -----------------------------------------------------------


def pth(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.pth"))


def test_hook_keeps_best_and_newest_only(tmp_path):
    from toy_runner import build

    run = tmp_path / "run"
    best = dict(validate=True, save_best="toy/score", rule="greater", max_keep_ckpts=1)
    build(run, epochs=3, **best).train()
    assert pth(run) == ["best_toy_score_epoch_2.pth", "epoch_3.pth"]


def test_hook_saves_new_before_removing_old(tmp_path, monkeypatch):
    from mmengine.fileio.backends import backends
    from toy_runner import build

    run, seen = tmp_path / "run", []
    backend = backends["local"]
    put = backend.put

    def spy(self, obj, filepath):
        seen.append((Path(filepath).name, pth(run)))
        put(self, obj, filepath)

    monkeypatch.setattr(backend, "put", spy)
    best = dict(validate=True, save_best="toy/score", rule="greater", max_keep_ckpts=1)
    build(run, epochs=2, **best).train()
    there = dict(reversed(seen))  # the first save under each name
    assert "epoch_1.pth" in there["epoch_2.pth"]
    assert "best_toy_score_epoch_1.pth" in there["best_toy_score_epoch_2.pth"]
    assert pth(run) == ["best_toy_score_epoch_2.pth", "epoch_2.pth"]


def test_hook_best_saved_again_under_its_own_name_survives(tmp_path):
    """A resume from before the best epoch saves the best checkpoint under the same name."""
    from toy_runner import build

    run = tmp_path / "run"
    best = dict(validate=True, save_best="toy/score", rule="greater")
    runner = build(run, epochs=1, **best)
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == "FashionCheckpointHook")
    runner.message_hub.update_info("best_score", 0.1)
    hook._save_best_checkpoint(runner, {"toy/score": 0.2})
    assert "best_toy_score_epoch_1.pth" in pth(run)


def test_hook_hostile_file_list_removes_nothing_outside(tmp_path):
    import torch
    from toy_runner import build, log_text

    run, victims = tmp_path / "run", [tmp_path / "mine.txt", tmp_path / "epoch_x.pth"]
    best = dict(validate=True, save_best="toy/score", rule="greater", max_keep_ckpts=1)
    build(run, epochs=1, **best).train()
    for victim in victims:
        victim.write_text("precious")
    checkpoint = torch.load(run / "epoch_1.pth", weights_only=True)
    info = checkpoint["message_hub"]["runtime_info"]
    info.update(best_ckpt=str(victims[0]), best_score=0.0, keep_ckpt_ids=["/../../epoch_x", 1])
    torch.save(checkpoint, run / "epoch_1.pth")
    build(run, epochs=2, resume=True, **best).train()
    assert [v.read_text() for v in victims] == ["precious", "precious"]
    assert "best_ckpt: a file in" in log_text(run) and "keep_ckpt_ids" in log_text(run)


def test_hook_save_best_unknown_metric_names_the_valid_ones(tmp_path):
    from toy_runner import build

    runner = build(tmp_path, epochs=1, validate=True, save_best="toy/scroe", rule="greater")
    with pytest.raises(ConfigError, match="toy/score.*got 'toy/scroe'.*Did you mean"):
        runner.train()


# ---- kill -9 ------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys, traceback
    from pathlib import Path
    import torch
    from toy_runner import build

    def train(run, hook, point):
        saves = []

        def second_save(*args, **kwargs):
            saves.append(1)
            return len(saves) == 2

        module, name, due = {
            "serialise": (torch, "save", second_save),
            "flush": (os, "fsync", lambda fd: any(run.glob(".epoch_2.pth*"))),
            "rename": (os, "replace", lambda src, dst: Path(dst).name == "epoch_2.pth"),
            "point": (os, "replace", lambda src, dst: Path(dst).name == "last_checkpoint"
                      and (run / "epoch_2.pth").exists()),
            "remove": (os, "remove", lambda path: True),
        }[point]
        real = getattr(module, name)

        def real_or_kill(*args, **kwargs):
            if due(*args, **kwargs):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(module, name, real_or_kill)
        build(run, epochs=4, hook=hook, max_keep_ckpts=1).train()

    for folder in sys.argv[1:]:  # HOOK/POINT
        child = os.fork()  # of a process that has imported all that it needs
        if child == 0:
            try:
                train(Path(folder) / "run", *Path(folder).parts[-2:])
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        print("ended:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
POINTS = ["serialise", "flush", "rename", "point", "remove"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder HOOK/POINT/run for each run that was killed at that point of its second save."""
    root = tmp_path_factory.mktemp("killed")
    cases = [root / "FashionCheckpointHook" / point for point in POINTS]
    cases.append(root / "CheckpointHook" / "serialise")
    done = run_python(KILLED, *cases)
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended: ")]
    assert ended == [f"ended: {-signal.SIGKILL}"] * len(cases), done.stderr
    return root


@pytest.mark.parametrize("point", POINTS)
def test_hook_killed_while_saving_resumes_bit_equal(point, uninterrupted, killed):
    from toy_runner import build, weights

    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    run = killed / "FashionCheckpointHook" / point / "run"
    expected = "epoch_2.pth" if point == "remove" else "epoch_1.pth"
    assert latest_checkpoint(run) == run / expected

    for part in run.glob(".*.part"):
        os.utime(part, (0, 0))  # a fresh one might be another run's
    runner = build(run, epochs=4, resume=True, max_keep_ckpts=1)
    runner.train()
    assert same(weights(runner), weights(uninterrupted))
    assert not list(run.glob(".*.part"))


def test_hook_leaves_fresh_and_foreign_unfinished_files_alone(tmp_path):
    from toy_runner import build

    run = tmp_path / "run"
    run.mkdir()
    fresh, foreign = run / ".epoch_1.pth.abc.part", run / ".my_download.zip.part"
    for path in (fresh, foreign):
        path.write_bytes(b"x")
    os.utime(foreign, (0, 0))
    build(run, epochs=1).train()
    assert fresh.exists() and foreign.exists()


def test_resume_of_a_copied_work_dir_takes_its_own_checkpoint(tmp_path):
    import shutil

    from toy_runner import build

    from fashion_mmdet.hooks.checkpoint import latest_checkpoint

    build(tmp_path / "run", epochs=1).train()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert latest_checkpoint(tmp_path / "copy") == tmp_path / "copy" / "epoch_1.pth"


def test_resume_from_weights_alone_is_refused(tmp_path):
    import torch
    from toy_runner import ToyModel, build

    from fashion_mmdet.core.errors import CheckpointError

    path = tmp_path / "weights.pth"
    torch.save({"state_dict": ToyModel().state_dict()}, path)
    runner = build(tmp_path / "run", epochs=1, resume=True, load_from=str(path))
    with pytest.raises(CheckpointError, match="FASHION_WEIGHTS"):
        runner.train()


def test_stock_hook_killed_while_saving_loses_everything(killed):
    """Negative control: the stock hook, killed at the same place, has removed the old one."""
    run = killed / "CheckpointHook" / "serialise" / "run"
    assert run.is_dir() and pth(run) == []
