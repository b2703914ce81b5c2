"""Twelve drawn photos as the demo's data, for tests that train in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
CONFIG = REPO / "configs" / "demo" / "mask_rcnn_r18_demo.py"
BIN = Path(sys.executable).parent
#: one epoch of four iterations
SHORT = {
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.batch_size": 2,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
    "param_scheduler.1.end": 1,
    "default_hooks.logger.interval": 1,
}


def draw(root: Path) -> None:
    """Make ``root/data/demo/``: 8 photos to train on, 2 to validate on, 2 to test on."""
    raw, ann = root / "data" / "demo" / "raw", root / "data" / "demo" / "annotations"
    for words in (
        ["make-demo", "--out", raw, "--images", "12", "--size", "96", "128"],
        ["convert", "imaterialist2019", raw / "train.csv", "--descriptions",
         raw / "label_descriptions.json", "--images", raw / "train", "--out", ann / "shoe.json"],
        ["shoe-types", ann / "shoe.json", raw / "shoe_types.csv", "--out", ann / "all.json"],
        ["split", ann / "all.json", "--fractions", "0.7", "0.15", "0.15", "--out", ann],
    ):  # fmt: skip
        call([BIN / "fashion", "data", *words], root)


def call(words: list, root: Path, code: int = 0, timeout_s: float = 300, **extra: str) -> str:
    """Run a command in ``root``, with its data; assert its exit code; return what it printed.

    No variable of a W&B account of the user's gets through.
    """
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and k[:6] != "WANDB_"}
    env |= {"FASHION_DATA": str(root / "data"), "OMP_NUM_THREADS": "1", "NETRC": str(root / "no"),
            "WANDB_CONFIG_DIR": str(root / "wandb-config"),
            "PATH": f"{BIN}{os.pathsep}{env['PATH']}", **extra}  # fmt: skip
    done = subprocess.run(
        [str(w) for w in words], cwd=root, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout[-4000:]
    return done.stdout
