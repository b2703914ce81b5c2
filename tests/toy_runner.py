"""A real mmengine ``Runner`` on a model of a few numbers, for tests of hooks and checkpoints.

Importable by the tests and by the processes that they start and kill.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

SCORES = {1: 0.3, 2: 0.7, 3: 0.5, 4: 0.9}
"""Metric ``toy/score`` after each epoch."""


class NoisySamples(Dataset):
    """Eight samples of three numbers, augmented from all three global generators."""

    metainfo = {"classes": ("a", "b"), "palette": np.array([[1, 2, 3], [4, 5, 6]])}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        noise = torch.rand(3) + float(np.random.rand()) + random.random()
        return {"inputs": noise + index, "target": torch.tensor([float(index % 2)])}


class ToyModel(BaseModel):
    """A linear layer behind dropout and a factor; three tensors."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(3))
        self.dropout = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(3, outputs)

    def forward(self, inputs: Any, target: Any = None, mode: str = "tensor") -> Any:
        out = self.head(self.dropout(self.factor * torch.stack(list(inputs)))).mean(1, True)
        if mode == "loss":
            return {"loss": ((out - torch.stack(list(target))) ** 2).mean() * 1e-2}
        return [{"score": value.item()} for value in out]


class ToyMetric(BaseMetric):
    """Gives :data:`SCORES`; draws random numbers, as a data loader for validation does."""

    default_prefix = "toy"

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0

    def process(self, data_batch: Any, data_samples: Any) -> None:
        torch.rand(3), np.random.rand(), random.random()
        self.results.append(0)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        self.rounds += 1
        return {"score": SCORES[self.rounds]}


class Stopped(Exception):
    """Raised by :class:`StopBefore`."""


class StopBefore(Hook):
    """Stops a run before an epoch, as an outage would: no loop ends, no last hook is called."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.epoch:
            raise Stopped


def build(
    work_dir: str | Path,
    epochs: int = 2,
    hook: str = "FashionCheckpointHook",
    validate: bool = False,
    tests: bool = False,
    classes: dict[str, tuple[str, ...]] | None = None,
    model: Any = None,
    custom_hooks: list[Any] | None = None,
    resume: bool = False,
    load_from: str | None = None,
    **hook_args: Any,
) -> Runner:
    """Build a runner that trains :class:`ToyModel` for ``epochs`` epochs of four iterations.

    ``classes``: split -> class names, where they are to differ from those of the samples.
    """
    import fashion_mmdet.hooks  # noqa: F401  (registers the hooks)

    loader: dict[str, Any] = dict(
        dataset=NoisySamples(),
        batch_size=2,
        num_workers=0,
        sampler=dict(type="DefaultSampler", shuffle=True),
        collate_fn=dict(type="pseudo_collate"),
    )
    val: dict[str, Any] = {}
    if validate:
        evaluator = Evaluator(ToyMetric())
        val = dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=evaluator)
    if tests:
        evaluator = Evaluator(ToyMetric())
        val.update(test_dataloader=loader, test_cfg=dict(), test_evaluator=evaluator)
    loaders = {**val, "train_dataloader": loader}
    for split, names in (classes or {}).items():
        samples = NoisySamples()
        samples.metainfo = {**samples.metainfo, "classes": names}
        loaders[f"{split}_dataloader"] = {**loader, "dataset": samples}
    torch.manual_seed(0)  # the weights of the model below; the runner seeds the rest
    return Runner(
        model=model or ToyModel(),
        work_dir=str(work_dir),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.05)),
        param_scheduler=dict(type="MultiStepLR", milestones=[1, 3], gamma=0.5),
        default_hooks=dict(checkpoint=dict(type=hook, interval=1, **hook_args)),
        custom_hooks=custom_hooks,
        randomness=dict(seed=1),
        resume=resume,
        load_from=load_from,
        experiment_name=uuid.uuid4().hex,  # message hubs are global, by name
        **loaders,
    )


def train_until(epoch: int, work_dir: str | Path, **build_args: Any) -> None:
    """Train and stop after ``epoch`` epochs, short of the end."""
    try:
        build(work_dir, custom_hooks=[StopBefore(epoch)], **build_args).train()
    except Stopped:
        return
    raise AssertionError(f"the run did not get to epoch {epoch}")


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    """Copy of the model's weights."""
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def log_text(work_dir: str | Path) -> str:
    """All that the runners of ``work_dir`` have logged."""
    return "\n".join(p.read_text() for p in sorted(Path(work_dir).glob("*/*.log")))
