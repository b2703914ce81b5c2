"""The checkpoint reader: reads what mmengine writes, refuses the rest, runs nothing."""

from __future__ import annotations

import functools
import http.server
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.mm

TESTS = Path(__file__).resolve().parent.parent


class Call:
    """Pickles as a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.fixture(scope="module")
def stock_run(tmp_path_factory):
    """A run of four epochs, stopped after two, with mmengine's own CheckpointHook."""
    from toy_runner import train_until

    folder = tmp_path_factory.mktemp("stock") / "run"
    train_until(2, folder, epochs=4, hook="CheckpointHook")
    return folder


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


def load(path, **kwargs):
    import torch  # noqa: F401  (loads compat)
    from mmengine.runner import CheckpointLoader

    return CheckpointLoader.load_checkpoint(str(path), logger="silent", **kwargs)


def refused(match: str):
    import torch  # noqa: F401
    from mmengine.runner import CheckpointLoader  # noqa: F401

    from fashion_mmdet.compat.checkpoints import CheckpointError

    return pytest.raises(CheckpointError, match=match)


def run_python(code: str, *args: object, compat: bool = True) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    env["FASHION_COMPAT"] = "1" if compat else "0"
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


# ---- what is read -------------------------------------------------------------------------


def test_install_answers_for_every_scheme_of_mmengine():
    import torch  # noqa: F401
    from mmengine.runner import CheckpointLoader

    modules = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert modules == {"fashion_mmdet.compat.checkpoints"}


def test_install_with_mmengine_imported_before_torch_is_in_force():
    done = run_python(
        """
        import mmengine
        import torch
        from mmengine.fileio.backends import backends
        from mmengine.runner import CheckpointLoader
        print(backends["local"].__module__, CheckpointLoader._schemes[""].__module__)
        """
    )
    ours = ["fashion_mmdet.compat.file_backend", "fashion_mmdet.compat.checkpoints"]
    assert done.stdout.split() == ours, done.stderr


def test_read_stock_checkpoint_restores_history(stock_run):
    import torch
    from mmengine.logging import HistoryBuffer

    path = stock_run / "epoch_2.pth"
    with pytest.raises(pickle.UnpicklingError):  # why there is a reader at all
        torch.load(path, weights_only=True)
    methods = dict(HistoryBuffer._statistics_methods)
    buffer = load(path)["message_hub"]["log_scalars"]["train/loss"]
    real = torch.load(path, weights_only=False)["message_hub"]["log_scalars"]["train/loss"]
    assert type(buffer) is HistoryBuffer
    assert all(np.array_equal(a, b) for a, b in zip(buffer.data, real.data, strict=True))
    assert buffer.mean(3) == real.mean(3) and len(buffer.data[0]) == 8
    assert HistoryBuffer._statistics_methods == methods


@pytest.mark.parametrize("hook", ["CheckpointHook", "FashionCheckpointHook"])
def test_resume_of_stock_checkpoint_continues(hook, stock_run, tmp_path):
    from toy_runner import build

    path = str(stock_run / "epoch_2.pth")
    runner = build(tmp_path / "run", epochs=4, hook=hook, resume=True, load_from=path)
    runner.train()
    assert (runner.epoch, runner.iter) == (4, 16)
    history = runner.message_hub.get_scalar("train/loss").data[0]
    before = load(path)["message_hub"]["log_scalars"]["train/loss"].data[0]
    assert len(history) == 16 and np.array_equal(history[:8], before)
    lr = runner.message_hub.get_scalar("train/lr").data[0]
    assert lr.tolist() == [0.05] * 4 + [0.025] * 8 + [0.0125] * 4


@pytest.mark.parametrize("zipped", [True, False])
def test_read_plain_numpy_and_config_values_survive(zipped, tmp_path):
    import torch
    from mmengine.config import ConfigDict

    values = {
        "f": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "zero_d": np.array(3.5),
        "big_endian": np.array([1, 2], ">i4"),
        "names": np.array(["ab", "c"]),
        "flags": np.array([True, False]),
    }
    others = {"score": np.float64(0.25), "flag": np.bool_(True), "dtype": np.dtype("f4")}
    weights = OrderedDict(w=torch.arange(3.0))
    weights._metadata = OrderedDict({"": {"version": 2}})
    meta = {"cfg_dict": ConfigDict(a=dict(b=1)), "CLASSES": ("a", "b"), **others, **values}
    path = tmp_path / "a.pth"
    torch.save(
        {"meta": meta, "state_dict": weights}, path, _use_new_zipfile_serialization=zipped
    )
    read = load(path)
    for name, value in values.items():
        assert type(read["meta"][name]) is np.ndarray, name
        assert read["meta"][name].dtype == value.dtype, name
        assert np.array_equal(read["meta"][name], value), name
    assert {k: read["meta"][k] for k in others} == others
    assert read["meta"]["cfg_dict"] == {"a": {"b": 1}} and type(read["meta"]["cfg_dict"]) is dict
    assert read["meta"]["CLASSES"] == ("a", "b")
    assert torch.equal(read["state_dict"]["w"], weights["w"])
    assert read["state_dict"]._metadata == weights._metadata


def test_read_values_that_contain_each_other_ends(tmp_path):
    import torch

    ring: list = [np.float32(1)]
    ring.append({"ring": ring, "pair": (ring, np.arange(2))})
    torch.save({"ring": ring}, tmp_path / "a.pth")
    read = load(tmp_path / "a.pth")["ring"]
    assert read[1]["ring"] is read and type(read[1]["pair"][1]) is np.ndarray


def test_stand_ins_are_exactly_these_under_the_names_torch_reads():
    import torch  # noqa: F401

    from fashion_mmdet.compat.stand_ins import STAND_INS

    names = {f"{s.__module__}.{s.__name__}" for s in STAND_INS}  # torch 2.5
    assert names == {f"{s.__module__}.{s.__qualname__}" for s in STAND_INS}  # torch >= 2.6
    assert names == {
        "builtins.bytes",
        "builtins.getattr",
        "mmengine.config.config.ConfigDict",
        "mmengine.logging.history_buffer.HistoryBuffer",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }


# ---- what is refused ----------------------------------------------------------------------


def hostile_files(marker: Path, stock: Path) -> dict[str, bytes]:
    """File contents whose reading by ``pickle`` creates ``marker``, or is about to."""
    import io

    import torch
    from mmengine.logging import HistoryBuffer

    touch = Call(os.system, f"touch {marker}")
    fetch = Call(getattr, Call(getattr, HistoryBuffer, "__init__"), "__globals__")

    def saved(value, **kwargs):
        stream = io.BytesIO()
        torch.save(value, stream, **kwargs)
        return stream.getvalue()

    hidden = torch.load(stock / "epoch_2.pth", weights_only=False)
    hidden["message_hub"]["runtime_info"]["note"] = touch
    in_history = HistoryBuffer([1.0], [1])
    in_history.statistics_extra = [Call(exec, f"open({str(marker)!r}, 'w')")]
    in_array = np.array([touch, 1], dtype=object)
    return {
        **{f"pickle {p}": pickle.dumps(touch, protocol=p) for p in (0, 2, 4, 5)},
        "zip": saved({"state_dict": touch}),
        "legacy": saved({"state_dict": touch}, _use_new_zipfile_serialization=False),
        "message hub": saved(hidden),
        "history": saved({"message_hub": {"log_scalars": {"loss": in_history}}}),
        "object array": saved({"meta": {"a": in_array}}),
        "getattr": saved({"meta": fetch}),  # half-way to any function there is
    }


NAMES = {"getattr": "builtins.getattr", "history": "builtins.exec"}
KINDS = ["pickle 0", "pickle 2", "pickle 4", "pickle 5", "zip", "legacy", "message hub"]


@pytest.mark.parametrize("kind", [*KINDS, "history", "object array", "getattr"])
def test_hostile_file_is_refused_everywhere_and_not_run(kind, stock_run, marker, tmp_path):
    from toy_runner import build

    path = tmp_path / "hostile.pth"
    path.write_bytes(hostile_files(marker, stock_run)[kind])
    runner = build(tmp_path / "run", epochs=1)
    called = NAMES.get(kind, "posix.system")
    for read in (load, runner.load_checkpoint, runner.resume):
        with refused(f"hostile.pth: .*got a pickle that calls ({called})"):
            read(str(path))
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["pickle 4", "zip", "message hub", "history"])
def test_hostile_file_without_the_guard_is_run(kind, stock_run, marker, tmp_path):
    """Negative control: these files do what they are accused of."""
    import torch

    path = tmp_path / "hostile.pth"
    path.write_bytes(hostile_files(marker, stock_run)[kind])
    if kind.startswith("pickle"):
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_hostile_function_allowed_by_somebody_else_is_still_refused(tmp_path):
    """``add_safe_globals([getattr, ...])`` is a well-known remedy for mmengine's checkpoints."""
    import mmengine.runner  # noqa: F401  (imports parts of torch that add to the list)
    import torch

    before = set(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals([getattr, eval])
    try:
        for call in (Call(getattr, torch.Tensor, "__init__"), Call(eval, "1 + 1")):
            torch.save({"x": call}, tmp_path / "hostile.pth")
            with refused("calls builtins.(getattr|eval)"):
                load(tmp_path / "hostile.pth")
        assert set(torch.serialization.get_safe_globals()) == before | {getattr, eval}
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(list(before))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"PK\x03\x04 and no more", "cannot be read to its end"),
        (b"hello " * 100, "cannot be read to its end"),
        (None, "got no file"),
        ("folder", "got a folder"),
    ],
)
def test_read_no_checkpoint_says_so_in_one_line(content, message, tmp_path):
    path = tmp_path / "a.pth"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with refused(f"a.pth: .*{message}") as caught:
        load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("zipped", [True, False])
def test_read_truncated_anywhere_is_refused(zipped, tmp_path):
    import torch

    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(500.0)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    for size in np.linspace(1, len(data) - 1, 25).astype(int):
        path.write_bytes(data[:size])
        with refused("a.pth: a (whole )?checkpoint .*expected"):
            load(path)


def test_read_other_than_a_dictionary_is_refused(tmp_path):
    import torch

    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with refused("list.pth: a checkpoint, which is a dictionary, expected, got list"):
        load(tmp_path / "list.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pth")
    with refused("model.pth: .*calls torch.nn.modules.linear.Linear"):
        load(tmp_path / "model.pth")


# ---- configuration text -------------------------------------------------------------------

INFERENCER = """
    from mmengine.infer import BaseInferencer

    class Inferencer(BaseInferencer):
        def _init_pipeline(self, cfg): return None
        def visualize(self, *args, **kwargs): return []
        def postprocess(self, *args, **kwargs): return {}
"""


@pytest.fixture
def text_run(marker, tmp_path):
    """A run stopped after epoch 1 whose checkpoint carries configuration text with a call in it.

    Plain otherwise: ``torch.load(weights_only=True)`` finds nothing to complain about.
    """
    import torch
    from toy_runner import train_until

    train_until(1, tmp_path / "run", epochs=2)
    path = tmp_path / "run" / "epoch_1.pth"
    checkpoint = torch.load(path, weights_only=True)
    text = f"__import__('pathlib').Path({str(marker)!r}).touch()\nmodel = dict()\n"
    checkpoint["meta"].update(cfg=text, config=text)
    checkpoint["message_hub"]["runtime_info"]["cfg"] = text
    torch.save(checkpoint, path)
    return tmp_path / "run"


def test_config_text_is_kept_for_reading_and_never_run(text_run, marker):
    from toy_runner import build, log_text

    path = str(text_run / "epoch_1.pth")
    checkpoint = load(path)
    assert "touch()" in checkpoint["meta"]["cfg_text"]
    assert not {"cfg", "config"} & set(checkpoint["meta"])
    assert "cfg" not in checkpoint["message_hub"]["runtime_info"]

    build(text_run, epochs=2, resume=True).train()
    names: dict = {}
    exec(textwrap.dedent(INFERENCER), names)
    with pytest.raises(ValueError, match="Cannot find the config in the checkpoint"):
        names["Inferencer"](weights=path)
    assert not marker.exists()
    assert "the configuration text inside is kept as meta['cfg_text']" in log_text(text_run)


def test_config_text_det_inferencer_and_init_detector_do_not_run_it(text_run, marker):
    import torch  # noqa: F401
    from mmdet.apis import DetInferencer, init_detector
    from mmengine.config import Config

    path = str(text_run / "epoch_1.pth")
    with pytest.raises(ValueError, match="Cannot find the config in the checkpoint"):
        DetInferencer(weights=path, device="cpu")
    head = dict(type="RetinaHead", num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1)
    model = dict(
        type="RetinaNet",
        backbone=dict(type="ResNet", depth=18, base_channels=8),
        neck=dict(type="FPN", in_channels=[8, 16, 32, 64], out_channels=8, num_outs=5),
        bbox_head=head,
    )
    config = Config(dict(model=model, default_scope="mmdet"))
    init_detector(config, path, palette="coco", device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize("way", ["resume", "inferencer"])
def test_config_text_without_the_guard_is_run(way, text_run, marker):
    """Negative control: stock mmengine runs that text."""
    code = {
        "resume": """
            import sys
            from toy_runner import build
            build(sys.argv[1], epochs=2, hook="CheckpointHook", resume=True).train()
        """,
        "inferencer": INFERENCER
        + """
    import sys
    Inferencer(weights=sys.argv[1] + "/epoch_1.pth")
    """,
    }[way]
    done = run_python(code, text_run, compat=False)
    assert marker.exists(), done.stderr


# ---- addresses ----------------------------------------------------------------------------


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder and the address at which it is served."""
    folder = tmp_path / "web"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_load_from_http_reads_safely_and_downloads_once(web, marker, tmp_path):
    import torch

    folder, address = web
    torch.save({"w": torch.ones(2)}, folder / "good.pth")
    torch.save({"w": Call(os.system, f"touch {marker}")}, folder / "hostile.pth")
    assert torch.equal(load(f"{address}/good.pth")["w"], torch.ones(2))
    (folder / "good.pth").unlink()
    assert torch.equal(load(f"{address}/good.pth")["w"], torch.ones(2))
    assert (tmp_path / "hub" / "hub" / "checkpoints" / "good.pth").is_file()
    with refused("hostile.pth: .*calls posix.system"):
        load(f"{address}/hostile.pth")
    with refused("gone.pth: a download expected, got 'HTTP Error 404"):
        load(f"{address}/gone.pth")
    assert not marker.exists()


@pytest.mark.parametrize("prefix", ["torchvision", "modelzoo", "open-mmlab", "openmmlab", "mmcls"])
def test_load_from_model_zoo_name_reads_safely(prefix, web, marker, monkeypatch):
    import torch
    from mmengine.runner import CheckpointLoader  # noqa: F401

    from fashion_mmdet.compat import checkpoints

    folder, address = web
    torch.save({"state_dict": {"backbone.w": torch.ones(2)}}, folder / "good.pth")
    torch.save({"state_dict": Call(os.system, f"touch {marker}")}, folder / "hostile.pth")
    names = {name: f"{address}/{name}.pth" for name in ("good", "hostile")}
    for source in ("get_torchvision_models", "get_external_models", "get_mmcls_models"):
        monkeypatch.setattr(checkpoints, source, lambda: names)
    key = "w" if prefix == "mmcls" else "backbone.w"
    assert torch.equal(load(f"{prefix}://good")["state_dict"][key], torch.ones(2))
    with refused("hostile.pth: .*calls posix.system"):
        load(f"{prefix}://hostile")
    with refused(f"{prefix}://god: one of mmengine's 2 names expected, got 'god'"):
        load(f"{prefix}://god")
    assert not marker.exists()


def test_load_from_s3_reads_safely(marker, monkeypatch):
    import torch
    from mmengine.runner import CheckpointLoader  # noqa: F401

    from fashion_mmdet.compat import checkpoints

    class Store:
        def get(self, _path):
            return pickle.dumps(Call(os.system, f"touch {marker}"))

    monkeypatch.setattr(checkpoints, "get_file_backend", lambda *_a, **_k: Store())
    with refused("s3://bucket/a.pth: .*calls posix.system"):
        load("s3://bucket/a.pth")
    with refused("pavi://a"):
        load("pavi://a")
    assert torch.__version__ and not marker.exists()
