"""Files are written whole or not at all, and no name leaves its folder."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import pytest

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.files import (
    atomic_open,
    atomic_open_many,
    inside,
    read_json,
    refuse_overwrite,
    refuse_own_input,
    remove_stale_parts,
    require_writable,
    write_json,
)


def test_atomic_open_clean_exit_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("older", "newer é"):
        with atomic_open(path) as stream:
            stream.write(text)
    assert path.read_text(encoding="utf-8") == "newer é"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("mode", [0o440, 0o600, 0o755])
def test_atomic_open_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path, link = tmp_path / "a.txt", tmp_path / "link"
    path.write_text("older")
    link.symlink_to(path)
    path.chmod(mode)
    for name in (path, link):
        with atomic_open(name) as stream:
            stream.write("newer")
        assert path.stat().st_mode & 0o777 == mode and path.read_text() == "newer"


def test_atomic_open_binary_mode_takes_bytes(tmp_path):
    with atomic_open(tmp_path / "a", "wb") as stream:
        stream.write(b"\r\n\xff")
    assert (tmp_path / "a").read_bytes() == b"\r\n\xff"


def test_atomic_open_many_one_that_fails_at_its_end_leaves_all_older_files(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("older")
    fsync, calls = os.fsync, []

    def full_at_the_third(fd):
        calls.append(fd)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    for is_full in (True, False):
        with contextlib.suppress(OSError), atomic_open_many(paths) as streams:
            for stream, path in zip(streams, paths, strict=True):
                stream.write(path.name)
        found = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert found == {name: "older" if is_full else name for name in "abc"}


def test_atomic_open_full_disk_says_which_file(tmp_path):
    with pytest.raises(OSError) as caught, atomic_open(tmp_path / "a.json"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


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
    [
        (None, "found no file"),
        (b'{"a": 1,', "line 1 column"),
        (b"\xff\xfe{", "got UTF-16. Save it as UTF-8."),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"7" * 5000 + b"}", "digits"),
        (b'{"a": ["\\uD83D"]}', "lone surrogate"),
    ],
)
def test_read_json_bad_file_is_an_error_that_names_it(tmp_path, content, said):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FashionError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_json_missing_relative_path_names_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FashionError, match=rf"no file\. .* looked up from {tmp_path}\.$"):
        read_json("sub/a.json")
    with pytest.raises(FashionError, match=r"Check the path\.$"):
        read_json(tmp_path / "sub" / "a.json")


def test_read_json_character_of_two_escapes_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "\\ud83d\\udc60"}')
    assert read_json(tmp_path / "a.json") == {"a": "\N{HIGH-HEELED SHOE}"}


def test_read_json_folder_is_an_error_in_words(tmp_path):
    with pytest.raises(FashionError, match="a JSON file in UTF-8 expected, found a folder"):
        read_json(tmp_path)


def test_read_json_byte_order_mark_is_passed_by(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("write", [write_json, lambda path, _: require_writable(path)])
def test_writing_below_a_file_names_the_file(tmp_path, write):
    (tmp_path / "annotations").touch()
    said = rf"a folder {tmp_path / 'annotations'} expected, found a file of that name"
    with pytest.raises(FashionError, match=said):
        write(tmp_path / "annotations" / "new" / "a.json", {})


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


def test_refuse_overwrite_link_to_nothing_is_a_name_that_is_taken(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "nothing")
    with pytest.raises(FashionError, match="a new file expected, it exists already. Use --force"):
        refuse_overwrite(tmp_path / "a", force=False)
    refuse_overwrite(tmp_path / "a", force=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_require_writable_pipe_and_link_out_of_reach_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FashionError, match="a device or the like"):
        require_writable(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file" / "a")
    with pytest.raises(FashionError, match="found a file of that name"):
        require_writable(tmp_path / "link")
    assert require_writable(tmp_path / "new" / "a") is None


@pytest.mark.parametrize("force", [False, True])
def test_refuse_overwrite_folder_is_no_matter_of_force(tmp_path, force):
    with pytest.raises(FashionError, match="found a folder. Choose another name") as caught:
        refuse_overwrite(tmp_path, force)
    assert "--force" not in str(caught.value)


def test_atomic_open_link_stays_and_its_target_is_written(tmp_path):
    real, link = tmp_path / "disk" / "a.txt", tmp_path / "a.txt"
    real.parent.mkdir()
    link.symlink_to(real)
    for text in ("dangling at first", "there"):
        with atomic_open(link) as stream:
            stream.write(text)
        assert link.is_symlink() and real.read_text() == text
    assert [p.name for p in real.parent.iterdir()] == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a pipe", "link to itself"])
def test_atomic_open_what_is_no_file_is_refused_and_stays(tmp_path, kind):
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "b")
        path.symlink_to(tmp_path / "b")
    else:
        path.symlink_to(path)
    before = {p.name: p.lstat().st_mode for p in tmp_path.iterdir()}
    with pytest.raises(FashionError, match=f"^{path}: "), atomic_open(path) as stream:
        stream.write("x")
    assert {p.name: p.lstat().st_mode for p in tmp_path.iterdir()} == before


def test_refuse_own_input_same_file_by_any_name_is_refused(tmp_path):
    (tmp_path / "a").write_text("input")
    (tmp_path / "b").write_text("input")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "sub").mkdir()
    for name in ("a", "link", "sub/../a"):
        with pytest.raises(FashionError, match="another file than the input"):
            refuse_own_input(tmp_path / name, tmp_path / "gone", tmp_path / "a")
    refuse_own_input(tmp_path / "b", tmp_path / "a")
    refuse_own_input(tmp_path / "new", tmp_path / "a", tmp_path / "new")


def aged(path, hours, names=()):
    """Make a file, or a folder of ``names``, that was last touched ``hours`` ago."""
    if names:
        path.mkdir()
    for place in [path / name for name in names] or [path]:
        place.write_text("half")
    for place in [*path.rglob("*"), path]:
        os.utime(place, (time.time() - 3600 * hours,) * 2)
    return path


def test_remove_stale_parts_only_old_ones_of_the_target_go(tmp_path):
    stale = aged(tmp_path / ".a.json.abcd_123.part", 1.1)
    stays = [
        aged(tmp_path / ".a.json.abcd_124.part", 0.9),  # may be in use
        aged(tmp_path / ".b.json.abcd_123.part", 9),
        aged(tmp_path / ".a.json.backup.part", 9),
        aged(tmp_path / ".aXjson.abcd_123.part", 9),
        aged(tmp_path / ".a.json.abcd_123.partial", 9),
        aged(tmp_path / "a.json", 9),
        aged(tmp_path / ".a.json.folder_0.part", 9, ("x",)),
    ]
    assert remove_stale_parts(tmp_path / "a.json") == [stale]
    assert sorted(p for p in tmp_path.iterdir()) == sorted(stays)
    assert remove_stale_parts(tmp_path / "no such folder" / "a.json") == []


def test_remove_stale_parts_folder_needs_known_content_and_age_throughout(tmp_path):
    names = frozenset({"train", "train.csv"})
    stale = aged(tmp_path / ".set.abcd_123.part", 2, ("train.csv",))
    aged(tmp_path / ".set.foreign0.part", 2, ("train.csv", "notes.txt"))
    aged(tmp_path / ".set.a_file_0.part", 2)
    live = aged(tmp_path / ".set.working0.part", 2, ("train.csv",))
    os.utime(live / "train.csv")
    assert remove_stale_parts(tmp_path / "set", names) == [stale]
    assert len(list(tmp_path.iterdir())) == 3


def test_write_json_number_that_json_has_not_is_refused_and_the_older_file_stays(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(FashionError, match="a.json: finite numbers expected, got NaN"):
        write_json(tmp_path / "a.json", [float("inf")])
    assert read_json(tmp_path / "a.json") == 1
