"""``AutocastOptimWrapper`` on a CPU; the GPU side is mmengine's own."""

from __future__ import annotations

import copy

import pytest

pytestmark = pytest.mark.mm


def made(dtype=None, **kwargs):
    """Return a small model, its wrapper and one batch."""
    import torch
    from mmengine.registry import OPTIM_WRAPPERS

    import fashion_mmdet.hooks.autocast  # noqa: F401  (registers the class)

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type="AutocastOptimWrapper", optimizer=optimizer, dtype=dtype, **kwargs)
    )
    return model, wrapper, torch.randn(32, 8)


def step(model, wrapper, batch):
    with wrapper.optim_context(model):
        out = model(batch)
        loss = (out.float() - batch.sum(1, keepdim=True)).square().mean()
    wrapper.update_params(loss)
    return out, loss.item()


@pytest.fixture
def cpu(monkeypatch):
    """Make the wrapper and mmengine's autocast see a CPU, also on a machine with a GPU."""
    for name in ("fashion_mmdet.hooks.autocast", "mmengine.runner.amp"):
        monkeypatch.setattr(f"{name}.get_device", lambda: "cpu")


def test_stock_wrapper_on_a_cpu_is_refused():
    # The reason why ours exists; once this fails, ours can go.
    import torch
    from mmengine.optim import AmpOptimWrapper

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(AssertionError):
        AmpOptimWrapper(optimizer=torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=1))


def test_autocast_wrapper_on_a_cpu_computes_in_bfloat16_and_learns(cpu):
    import torch

    model, wrapper, batch = made(clip_grad=dict(max_norm=35))
    out, first = step(model, wrapper, batch)
    assert out.dtype == torch.bfloat16
    for _ in range(30):
        last = step(model, wrapper, batch)[1]
    assert last < 0.5 * first
    for parameter in model.parameters():
        momentum = wrapper.optimizer.state[parameter]["momentum_buffer"]
        assert parameter.dtype == momentum.dtype == torch.float32


def test_autocast_wrapper_gradients_accumulate(cpu):
    model, wrapper, batch = made(accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = copy.deepcopy(model.state_dict())
    step(model, wrapper, batch)
    assert all((before[k] == v).all() for k, v in model.state_dict().items())
    step(model, wrapper, batch)
    assert any((before[k] != v).any() for k, v in model.state_dict().items())


def test_autocast_wrapper_resumed_goes_on_the_same(cpu):
    model, wrapper, batch = made()
    for _ in range(3):
        step(model, wrapper, batch)
    saved = copy.deepcopy((model.state_dict(), wrapper.state_dict()))
    expected = [step(model, wrapper, batch)[1] for _ in range(3)]
    model, wrapper, _ = made()
    model.load_state_dict(saved[0])
    wrapper.load_state_dict(saved[1])
    assert [step(model, wrapper, batch)[1] for _ in range(3)] == expected


@pytest.mark.parametrize("scale", [{}, {"scale": 1024.0, "growth_factor": 2.0}])
def test_autocast_wrapper_state_crosses_between_devices(cpu, scale):
    import torch

    _, source, _ = made()
    state = {**source.state_dict(), "loss_scaler": scale}
    _, wrapper, _ = made()
    # An enabled scaler, as on a GPU, refuses an empty state.
    wrapper.loss_scaler = torch.amp.GradScaler("cpu", enabled=not scale)
    wrapper.load_state_dict(state)


def test_autocast_wrapper_float16_on_a_cpu_is_said(cpu, monkeypatch):
    import torch

    said = []
    monkeypatch.setattr(
        "fashion_mmdet.hooks.autocast.print_log", lambda message, **_: said.append(message)
    )
    _, wrapper, _ = made(dtype="float16", loss_scale=512.0)
    assert wrapper.cast_dtype == torch.bfloat16
    assert len(said) == 1 and "float16 is not used" in said[0]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast_wrapper_on_a_gpu_is_the_stock_one(dtype):
    import torch
    from mmengine.optim import AmpOptimWrapper

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    model, wrapper, batch = made(dtype=dtype)
    model.cuda()
    stock_model = copy.deepcopy(model)
    stock = AmpOptimWrapper(
        dtype=dtype, optimizer=torch.optim.SGD(stock_model.parameters(), lr=0.05, momentum=0.9)
    )
    for _ in range(3):
        assert step(model, wrapper, batch.cuda())[1] == step(stock_model, stock, batch.cuda())[1]
    assert wrapper.loss_scaler.is_enabled()
