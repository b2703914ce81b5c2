"""``fashion train --dry-run``: everything is built, one batch goes through, nothing is kept."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper

from fashion_mmdet.core.errors import ConfigError


def dry_run(cfg: Config) -> int:
    """Build the run in a temporary folder, train one batch, print what a run would be."""
    from fashion_mmdet.commands.train import build_runner
    from fashion_mmdet.register import latest_checkpoint

    target = cfg.work_dir
    cfg = cfg.copy()
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    for key in ("prefetch_factor", "multiprocessing_context"):  # worker processes only
        cfg.train_dataloader.pop(key, None)
    if "wandb" in cfg:
        check_wandb_mode(cfg.wandb.mode)
        cfg.wandb.mode = "off"
    if cfg.get("resume") and not cfg.get("load_from"):
        found = latest_checkpoint(target)
        cfg.load_from, cfg.resume = (str(found), True) if found else (None, False)
        if not found:
            print(f"--resume: no readable checkpoint in {target}, this would be a fresh start.")
    with tempfile.TemporaryDirectory(prefix="fashion-dry-run-") as folder:
        cfg.work_dir = folder
        runner = _built_quietly(cfg, build_runner)
        held_back = _HeldBack()
        runner.logger.addFilter(held_back)
        loop = runner.build_train_loop(runner._train_loop)
        runner._train_loop = loop
        if runner._val_loop is not None:
            runner._val_loop = runner.build_val_loop(runner._val_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        runner.call_hook("before_run")
        runner._init_model_weights()
        runner.load_or_resume()
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        batch = next(iter(loop.dataloader))
        runner.model.train()
        start = time.perf_counter()
        losses = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        seconds = time.perf_counter() - start
        # On every rank: what it asks for may be a file that one rank fetches for all.
        lines = _summary(runner, loop, batch, losses, seconds, target, held_back.parameters)
        if is_main_process():
            print("\n".join(lines))
        runner.visualizer.close()
    bad = [name for name, value in losses.items() if not torch.isfinite(value).all()]
    if bad:
        print(f"one batch: finite losses expected, got {bad}. Lower the learning rate.")
    return 1 if bad else 0


def _built_quietly(cfg: Config, build_runner: Callable[[Config], Any]) -> Any:
    """Build the runner; a real run's log has its lines of environment, config and hooks."""
    level = logging.getLevelName(cfg.get("log_level", "INFO"))
    cfg.log_level = "WARNING"
    runner = build_runner(cfg)
    for handler in runner.logger.handlers:
        if handler.level == logging.WARNING:  # not that of another rank, which is quieter still
            handler.setLevel(level)
    runner.logger.setLevel(level)
    return runner


class _HeldBack(logging.Filter):
    """Holds back lines of mmengine's that would bury the summary, or are not true of a dry run.

    They are a line for each option of each parameter, hundreds of them; where checkpoints will be
    saved; and what mmengine says of its own classes.

    Attributes:
        parameters: those that have options.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parameters: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether ``record`` is to be logged."""
        message = record.getMessage()
        found = re.match(r"paramwise_options -- ([^:]+):", message)
        if found:
            self.parameters.add(found[1])
        others = ("Checkpoints will be saved to", '"FileClient"', '"HardDiskBackend"')
        return not found and not message.startswith(others)


def check_wandb_mode(mode: str) -> None:
    """Refuse a W&B mode that the run itself would refuse."""
    if mode not in ("off", "offline", "online"):
        raise ConfigError(f"wandb.mode: 'off', 'offline' or 'online' expected, got {mode!r}.")


def _summary(
    runner: Any,
    loop: Any,
    batch: dict,
    losses: dict,
    seconds: float,
    target: str,
    with_options: set[str],
) -> list[str]:
    from fashion_mmdet.register import initialisation

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    dataset = loop.dataloader.dataset
    rates = ", ".join(f"{lr:g}" for lr in dict.fromkeys(runner.optim_wrapper.get_lr()["lr"]))
    shown = ", ".join(f"{k} {v.item():.3f}" for k, v in losses.items() if k.startswith("loss"))
    images = len(batch["inputs"])
    alone = len(with_options)
    return [
        "dry run: nothing was written.",
        f"  model      {type(model).__name__}, {trained / 1e6:.1f} M of "
        f"{sum(p.numel() for p in parameters) / 1e6:.1f} M parameters trained",
        f"  weights    {runner._load_from or f'no checkpoint; {initialisation(model)}'}"
        + (f", resumed after epoch {runner.epoch}" if runner._resume else ""),
        f"  data       {len(dataset)} images, {len(dataset.metainfo['classes'])} classes, "
        f"batch {images} x {runner.world_size} processes",
        f"  schedule   {loop.max_epochs} epochs, {loop.max_iters} iterations, "
        f"peak learning rate {rates}"
        + (f"; options of {alone} parameters by paramwise_cfg, see a run's log" if alone else ""),
        f"  device     {next(iter(parameters)).device}",
        f"  one batch  {seconds:.2f} s; {shown}",
        f"  work dir   {target}",
    ]
