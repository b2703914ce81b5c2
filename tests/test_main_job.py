"""The main job as a user types it: mim and fashion, in processes of their own, on made photos.

Some of the short ``fashion`` commands are forked from one process, to import mmdet once.

No PYTHONPATH is set and the paths have a space in them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawn_set import draw

pytestmark = [pytest.mark.mm, pytest.mark.slow]

REPO = Path(__file__).resolve().parent.parent
CONFIG = str(REPO / "configs" / "demo" / "mask_rcnn_r18_demo.py")
BIN = Path(sys.executable).parent
#: two epochs of four iterations, deterministic: no worker processes, no shuffled leftovers
SHORT = [
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "train_dataloader.batch_size=2",
    "train_cfg.max_epochs=2",
    "train_cfg.val_interval=2",
    "param_scheduler.1.end=2",
    "default_hooks.logger.interval=1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in it: the demo's data as ``data/``, and an empty ``out/``."""
    root = tmp_path_factory.mktemp("main job")
    draw(root)
    return root


def environment(root: Path, **extra: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**env, "FASHION_DATA": str(root / "data"), "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{env['PATH']}", "WANDB_SILENT": "true", **extra}


def call(words: list, root: Path, code: int = 0, **extra: str) -> str:
    """Run a command in ``root``; assert its exit code; return all that it printed."""
    done = subprocess.run(
        [str(w) for w in words], cwd=root, env=environment(root, **extra), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False,
    )
    assert done.returncode == code, done.stdout[-4000:]
    return done.stdout


def losses(work_dir: Path) -> dict[int, float]:
    """Return iteration -> loss from all of a work dir's logs."""
    out = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "loss" in row:
                out[row["step"]] = row["loss"]
    return out


READY = """
import json, os, signal, sys, traceback
import mmdet.apis
import fashion_mmdet.register
from fashion_mmdet.commands import main

for line in sys.stdin:
    words, out, more = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        code = 70
        try:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o644), 1)
            os.dup2(1, 2)
            os.environ.update(more)
            code = main(words)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Fashion = Callable[..., str]


@pytest.fixture(scope="module")
def fashion(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fashion]:
    """``fashion`` for many short commands: as :func:`call`, each in a process of its own.

    Those are forked from one that has imported everything, which takes longer than the commands.
    """
    outs = tmp_path_factory.mktemp("outs")
    ready = subprocess.Popen(
        [sys.executable, "-c", READY], cwd=place, env=environment(place), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    assert ready.stdin and ready.stdout

    def run(*words: object, code: int = 0, **extra: str) -> str:
        out = outs / f"{len(list(outs.iterdir()))}.txt"
        ready.stdin.write(json.dumps([[str(w) for w in words], str(out), extra]) + "\n")
        ready.stdin.flush()
        ended = ready.stdout.readline()
        assert ended, "it has ended itself"
        text = out.read_text(encoding="utf-8")
        assert int(ended) == code, text[-4000:]
        return text

    with ready:
        yield run


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """The work dir of an uninterrupted ``mim train`` of two epochs, with W&B offline."""
    work_dir = place / "out" / "whole run"
    text = call(
        [BIN / "mim", "train", "mmdet", CONFIG, "--gpus", "0", "--work-dir", work_dir,
         "--cfg-options", *SHORT, "wandb.mode=offline"],
        place,
    )
    assert "weights: no checkpoint; all random" in text, "the log says what it starts from"
    assert (work_dir / "epoch_2.pth").is_file()
    return work_dir


def test_mim_train_killed_and_resumed_goes_on_as_if_never_stopped(
    place: Path, trained: Path
) -> None:
    work_dir = place / "out" / "killed"
    words = [str(BIN / "mim"), "train", "mmdet", CONFIG, "--gpus", "0", "--work-dir",
             str(work_dir), "--cfg-options", *SHORT]
    log = (place / "out" / "killed.log").open("w")
    running = subprocess.Popen(
        words, cwd=place, env=environment(place), stdout=log, stderr=log, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 300
        while not (work_dir / "last_checkpoint").is_file():
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        log.close()
    assert not (work_dir / "epoch_2.pth").is_file(), "it was killed before its end"

    text = call([*words[:7], work_dir, "--resume", *words[8:]], place)
    assert "resumed epoch: 1" in text
    whole, resumed = losses(trained), losses(work_dir)
    assert sorted(whole) == sorted(resumed)
    assert [resumed[step] for step in sorted(whole)] == [whole[step] for step in sorted(whole)]


def test_mim_test_evaluates_the_checkpoint(place: Path, trained: Path) -> None:
    text = call(
        [BIN / "mim", "test", "mmdet", CONFIG, "--checkpoint", trained / "epoch_2.pth",
         "--gpus", "0", "--work-dir", place / "out" / "mim test"],
        place,
    )
    assert "coco/segm_mAP_50" in text


def test_fashion_test_writes_the_same_figures(
    place: Path, trained: Path, fashion: Fashion
) -> None:
    out = place / "out" / "figures.json"
    fashion("test", CONFIG, trained / "epoch_2.pth", "--out", out,
            "--work-dir", place / "out" / "test")
    figures = json.loads(out.read_text())
    assert 0 <= figures["coco/segm_mAP"] <= 1 and 0 <= figures["coco/bbox_mAP_50"] <= 1


def test_checkpoint_loads_with_weights_only_and_nothing_allow_listed(
    place: Path, trained: Path
) -> None:
    code = "import sys, torch; torch.load(sys.argv[1], weights_only=True)['state_dict']"
    call([sys.executable, "-c", code, trained / "epoch_2.pth"], place, FASHION_COMPAT="0")


def test_fashion_show_draws_pictures(place: Path, trained: Path, fashion: Fashion) -> None:
    out = place / "out" / "pictures"
    fashion("show", CONFIG, trained / "epoch_2.pth", "--out", out, "--count", "2",
            "--score", "0.01")
    assert len(list(out.glob("*.png"))) == 2


def test_mim_run_browse_dataset_works(place: Path) -> None:
    out = place / "out" / "browse"
    call([BIN / "mim", "run", "mmdet", "browse_dataset", CONFIG, "--output-dir", out,
          "--not-show"], place)
    assert list(out.rglob("*.jpg"))


def test_det_inferencer_predicts_from_config_and_weights(place: Path, trained: Path) -> None:
    code = (
        "import sys; from mmdet.apis import DetInferencer\n"
        "photo = sys.argv[3]\n"
        "found = DetInferencer(sys.argv[1], sys.argv[2], device='cpu')(photo)\n"
        "assert 'masks' in found['predictions'][0], found\n"
    )
    photo = next((place / "data" / "demo" / "raw" / "train").glob("*.jpg"))
    call([sys.executable, "-c", code, CONFIG, trained / "epoch_2.pth", photo], place)


def test_two_torchrun_processes_train_over_gloo(place: Path) -> None:
    work_dir = place / "out" / "two"
    text = call(
        [BIN / "torchrun", "--standalone", "--nproc_per_node=2", "-m", "fashion_mmdet", "train",
         CONFIG, "--launcher", "pytorch", "--work-dir", work_dir, "--cfg-options", *SHORT],
        place,
    )
    # 8 photos, 2 a batch, 2 processes: 2 iterations an epoch; 4 where each takes all photos.
    assert max(losses(work_dir)) == 4 and (work_dir / "epoch_2.pth").is_file(), text[-2000:]


def test_spawned_loader_workers_train(place: Path) -> None:
    work_dir = place / "out" / "spawn"
    options = [o for o in SHORT if "workers" not in o and "epochs" not in o]
    call(
        [BIN / "fashion", "train", CONFIG, "--work-dir", work_dir, "--cfg-options", *options,
         "train_cfg.max_epochs=1", "train_dataloader.num_workers=1",
         "train_dataloader.multiprocessing_context=spawn"],
        place,
    )
    assert (work_dir / "epoch_1.pth").is_file()


def test_dry_run_prints_the_run_and_writes_nothing(place: Path) -> None:
    before = sorted(place.rglob("*"))
    text = call([BIN / "fashion", "train", CONFIG, "--dry-run", "--cfg-options", *SHORT], place)
    assert "dry run: nothing was written." in text and "8 images" in text
    # What only a real run's log needs: it would bury the lines above.
    assert "Config:" not in text and "Hooks will be executed" not in text
    assert "Checkpoints will be saved" not in text
    assert "leak check: none of" in text  # the lines of our own stay
    assert sorted(place.rglob("*")) == before


def test_dry_run_counts_parameters_with_options_of_their_own_and_lists_none(
    place: Path, fashion: Fashion
) -> None:
    apart = "optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0))"
    (place / "apart.py").write_text(f"_base_ = [{CONFIG!r}]\n{apart}\n")
    text = fashion("train", place / "apart.py", "--dry-run", "--cfg-options", *SHORT)
    assert "paramwise_options" not in text
    (count,) = re.findall(r"; options of (\d+) parameters by paramwise_cfg", text)
    assert int(count) > 20


def test_readmes_recipe_for_categories_of_ones_own_builds(place: Path, fashion: Fashion) -> None:
    readme = (REPO / "README.md").read_text(encoding="utf-8").split("## Your own photos")[1]
    recipe, own = re.findall(r"```python\n(.*?)```", readme, flags=re.S)[:2]
    for big, small in (("mask_rcnn_r50", "mask_rcnn_r18"), ("ccp", "ccp_288"),
                       ("schedule_1x_small", "adamw_cpu")):
        assert f"/{big}.py" in recipe
        recipe = recipe.replace(f"/{big}.py", f"/{small}.py")
    assert "mine = dict(data_root=data_root)\n" in recipe
    recipe = recipe.replace("mine = dict(data_root=data_root)\n", own)
    mine = place / "data" / "mine"
    (mine / "annotations").mkdir(parents=True)
    (mine / "photos").symlink_to(place / "data" / "demo" / "raw" / "train")
    coco = json.loads((place / "data/demo/annotations/all.json").read_text())
    ids = {c["id"]: name for name, c in zip(("lehenga", "kurta"), coco["categories"], strict=False)}
    coco["categories"] = [{"id": i, "name": name} for i, name in ids.items()]
    for k, annotation in enumerate(coco["annotations"]):
        annotation["category_id"] = list(ids)[k % 2]
        del annotation["bbox"], annotation["area"]
    for i, split in enumerate(("train", "val", "test")):
        images = coco["images"][i::3]
        kept = {image["id"] for image in images}
        held = [a for a in coco["annotations"] if a["image_id"] in kept]
        (mine / "annotations" / f"{split}.json").write_text(
            json.dumps({**coco, "images": images, "annotations": held})
        )
    configs = place / "configs"
    configs.mkdir()
    (configs / "_base_").symlink_to(REPO / "configs" / "_base_")
    (configs / "mine.py").write_text(recipe)
    words = ["train", configs / "mine.py", "--dry-run"]
    text = fashion(*words, FASHION_BACKBONE="none")
    assert "4 images, 2 classes" in text
    for option, fault in (
        ("model.roi_head.bbox_head.num_classes=1", "bbox_head.num_classes: 2 expected"),
        ("val_dataloader.dataset.ann_file=annotations/train.json", "got 4 of its 4; the first is"),
        ("val_dataloader.dataset.ann_file=gone.json", "gone.json: an annotation file expected"),
    ):
        text = fashion(*words, "--cfg-options", option, FASHION_BACKBONE="none", code=1)
        assert fault in text and "Traceback" not in text
    overfit = ["val_dataloader.dataset.ann_file=annotations/train.json",
               "default_hooks.leak_check=None"]  # fmt: skip
    text = fashion(*words, "--cfg-options", *overfit, FASHION_BACKBONE="none")
    assert "4 images, 2 classes" in text and "leak" not in text


def test_misspelt_option_is_refused_with_the_nearest(place: Path) -> None:
    text = call([BIN / "fashion", "train", CONFIG, "--cfg-options", "optim_wraper.optimizer.lr=1"],
                place, code=1)
    assert "Did you mean 'optim_wrapper'" in text and "Traceback" not in text


def test_wandb_offline_under_mim_leaves_a_run_directory(trained: Path) -> None:
    assert list(trained.rglob("*.wandb"))
