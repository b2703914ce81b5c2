"""HeadsFirstHook: the backbone rests, then trains what the model trains."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.mm


@pytest.fixture
def runner():
    from torch import nn

    model = nn.Module()
    model.backbone = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model.backbone[0].requires_grad_(False)  # the model's own frozen stage
    model.head = nn.Linear(2, 2)
    return SimpleNamespace(model=model, epoch=0, logger=logging.getLogger("hook"))


def trained(runner) -> list[str]:
    return [name for name, p in runner.model.named_parameters() if p.requires_grad]


def test_hook_backbone_rests_then_joins_without_its_frozen_stage(runner) -> None:
    from fashion_mmdet.hooks import HeadsFirstHook

    hook = HeadsFirstHook(epochs=2)
    before = trained(runner)
    for runner.epoch in (0, 1):
        hook.before_train_epoch(runner)
        assert trained(runner) == ["head.weight", "head.bias"]
    runner.epoch = 2
    hook.before_train_epoch(runner)
    assert trained(runner) == before
    assert "backbone.0.weight" not in before


def test_hook_resumed_after_its_epochs_freezes_nothing(runner) -> None:
    from fashion_mmdet.hooks import HeadsFirstHook

    before = trained(runner)
    runner.epoch = 1
    HeadsFirstHook(epochs=1).before_train_epoch(runner)
    assert trained(runner) == before


@pytest.mark.parametrize("epochs", [0, -1, 1.5])
def test_hook_with_no_whole_epoch_is_refused(epochs) -> None:
    from fashion_mmdet.hooks import HeadsFirstHook

    with pytest.raises(ValueError, match="epochs >= 1"):
        HeadsFirstHook(epochs=epochs)
