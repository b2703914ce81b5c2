"""Files are written whole or not at all, and no name leaves its folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import atomic_open, inside, read_json, refuse_overwrite, write_json


def test_atomic_open_clean_exit_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("older", "newer é"):
        with atomic_open(path) as stream:
            stream.write(text)
    assert path.read_text(encoding="utf-8") == "newer é"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_atomic_open_binary_mode_takes_bytes(tmp_path):
    with atomic_open(tmp_path / "a", "wb") as stream:
        stream.write(b"\r\n\xff")
    assert (tmp_path / "a").read_bytes() == b"\r\n\xff"


def test_atomic_open_before_the_exit_shows_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    with atomic_open(path) as stream:
        stream.write("newer")
        stream.flush()
        assert path.read_text() == "older"
    assert path.read_text() == "newer"


@pytest.mark.parametrize("older", [True, False])
def test_atomic_open_exception_leaves_the_older_file_and_no_litter(tmp_path, older):
    path = tmp_path / "a.txt"
    if older:
        path.write_text("older")
    with pytest.raises(KeyboardInterrupt), atomic_open(path) as stream:
        stream.write("half")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == (["a.txt"] if older else [])


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_atomic_open_killed_process_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    code = (
        "import os, signal, sys\n"
        "from fashion_mmdet.core.files import atomic_open\n"
        "with atomic_open(sys.argv[1]) as stream:\n"
        "    stream.write('half'); stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9 and path.read_text() == "older"


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")
def test_atomic_open_file_has_the_mode_of_an_ordinary_one(tmp_path):
    with atomic_open(tmp_path / "a"):
        pass
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_atomic_open_other_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'a'"), atomic_open(tmp_path / "a", "a"):
        pass


def test_write_json_value_reads_back(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_write_json_unwritable_value_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [1, object()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "found no file"), (b'{"a": 1,', "line 1 column"), (b"\xff\xfe{", "readable")],
)
def test_read_json_bad_file_is_an_error_that_names_it(tmp_path, content, said):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FashionError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)


def test_read_json_folder_is_an_error(tmp_path):
    with pytest.raises(FashionError):
        read_json(tmp_path)


@pytest.mark.parametrize("name", ["a.jpg", "sub/a.jpg", "a..b.jpg", "...", "./a.jpg"])
def test_inside_name_in_the_folder_is_joined(tmp_path, name):
    assert inside(tmp_path, name, "here") == tmp_path / name


@pytest.mark.parametrize(
    "name", ["", "../a", "sub/../../a", "/etc/passwd", "..\\a", "a\0b", "C:\\a", "c:/a", ".."]
)
def test_inside_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(FashionError, match="^here: a file name inside"):
        inside(tmp_path, name, "here")


def test_refuse_overwrite_existing_file_needs_force(tmp_path):
    path = tmp_path / "a"
    refuse_overwrite(path, force=False)
    path.touch()
    with pytest.raises(FashionError, match="--force"):
        refuse_overwrite(path, force=False)
    refuse_overwrite(path, force=True)
