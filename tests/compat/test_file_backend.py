"""The file backend: whole files or none, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

pytestmark = pytest.mark.mm


@pytest.fixture
def backend():
    import torch  # noqa: F401  (loads compat)
    from mmengine.fileio import get_file_backend

    from fashion_mmdet.compat.file_backend import AtomicLocalBackend

    backend = get_file_backend("some/path")
    assert type(backend) is AtomicLocalBackend
    return backend


def test_put_new_folder_is_made_and_mode_is_ordinary(backend, tmp_path):
    backend.put(b"content", tmp_path / "a" / "b.bin")
    backend.put_text("tüll\n", str(tmp_path / "a" / "c.txt"))
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"content"
    assert (tmp_path / "a" / "c.txt").read_bytes() == "tüll\n".encode()
    (tmp_path / "plain").write_bytes(b"")
    mode = [os.stat(tmp_path / name).st_mode & 0o777 for name in ("a/b.bin", "plain")]
    assert mode[0] == mode[1]


def test_put_disk_full_keeps_the_old_file_and_leaves_nothing(backend, tmp_path, monkeypatch):
    path = tmp_path / "epoch_1.pth"
    backend.put(b"old", path)

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="epoch_1.pth: .*No space left.*untouched") as caught:
        backend.put(b"new" * 1000, path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["epoch_1.pth"]


def write_limited(write) -> None:
    """Call ``write`` where no file may grow past 64 KiB: a write that fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    try:
        write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_put_write_failing_half_way_keeps_the_old_file(backend, tmp_path):
    path = tmp_path / "epoch_1.pth"
    backend.put(b"old", path)
    with pytest.raises(OSError, match="epoch_1.pth"):
        write_limited(lambda: backend.put(b"n" * 200_000, path))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["epoch_1.pth"]


def test_stock_put_write_failing_half_way_loses_the_old_file(tmp_path):
    """Negative control: mmengine's own backend, same failure."""
    from mmengine.fileio.backends import LocalBackend

    path = tmp_path / "epoch_1.pth"
    path.write_bytes(b"old")
    with pytest.raises(OSError):
        write_limited(lambda: LocalBackend().put(b"n" * 200_000, path))
    assert path.read_bytes() != b"old"


def test_put_through_a_link_writes_what_it_points_to(backend, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    backend.put(b"x", tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"x"


def test_save_checkpoint_goes_through_the_backend(backend, tmp_path, monkeypatch):
    import torch
    from mmengine.runner import save_checkpoint

    seen = []
    monkeypatch.setattr(type(backend), "put", lambda self, obj, path: seen.append(Path(path).name))
    save_checkpoint({"w": torch.ones(1)}, str(tmp_path / "a.pth"))
    assert seen == ["a.pth"]
