"""``predictions.jsonl``: what is in it survives a kill, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.core.prediction import Prediction
from fashion_mmdet.core.rle import encode_mask
from fashion_mmdet.inference.ledger import Entry, Ledger, names_in

CLASSES = ("dress", "shoe")
SETTINGS = {"checkpoint": "abc", "operating point": {"score": 0.5, "classes": ("a",)}}
FOUND = Prediction(
    CLASSES, (3, 4), [1, 0], [0.875, 0.1 + 0.2], [[0, 0, 2, 2], [1.5, 0, 3, 3]],
    (encode_mask(np.eye(3, 4, dtype=bool)), encode_mask(np.ones((3, 4), dtype=bool))),
)  # fmt: skip


def entry(source: str, **changes: object) -> Entry:
    whole = Entry(source, "in/ก.jpg", "in/ก", None, (10, 20), ("a note",), FOUND)
    return dataclasses.replace(whole, **changes)


def opened(path: Path, **how: bool) -> Ledger:
    return Ledger(path, SETTINGS, CLASSES, **how)


def test_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "predictions.jsonl"
    odd = os.fsdecode(b"/photos/\xff.jpg")
    with opened(path) as ledger:
        for source in ("/a", odd):
            ledger.append(entry(source))
        ledger.append(entry("/bad", prediction=None, error="no photo"))
    with opened(path, resume=True) as ledger:
        for source in ("/a", odd):
            back = ledger.get(source)
            assert back is not None and back.prediction is not None
            assert (back.file_name, back.notes, back.source) == ("in/ก.jpg", ("a note",), source)
            for name in ("labels", "scores", "boxes_xyxy"):
                assert (getattr(back.prediction, name) == getattr(FOUND, name)).all()
            assert back.prediction.rles == FOUND.rles
            assert entry(source) in ledger
        assert entry("/bad") not in ledger  # it is tried again
        assert ledger.get("/gone") is None


def test_photo_that_has_changed_is_not_known(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger:
        ledger.append(entry("/a"))
        assert entry("/a", stamp=(10, 21)) not in ledger


def test_later_entry_counts(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl") as ledger:
        ledger.append(entry("/a", prediction=None, error="no memory"))
        ledger.append(entry("/a"))
    with opened(tmp_path / "p.jsonl", resume=True) as ledger:
        assert entry("/a") in ledger


def test_half_written_line_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with opened(path) as ledger:
        ledger.append(entry("/a"))
        ledger.append(entry("/b"))
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[-1]), 29):
        path.write_bytes(whole[:-cut])
        with opened(path, resume=True) as ledger:
            assert entry("/a") in ledger and entry("/b") not in ledger
            ledger.append(entry("/c"))
        with opened(path, resume=True) as ledger:
            assert entry("/c") in ledger


def test_ledger_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    with opened(path) as ledger:
        ledger.append(entry("/a"))
    with pytest.raises(FashionError, match="--resume, or begin anew with --force"):
        opened(path)
    with opened(path, force=True) as ledger:
        assert entry("/a") not in ledger


@pytest.mark.parametrize(
    ("settings", "classes", "what"),
    [
        ({**SETTINGS, "checkpoint": "x"}, CLASSES, "checkpoint"),
        ({"checkpoint": "abc"}, CLASSES, "operating point"),
        (SETTINGS, CLASSES[::-1], "classes"),
    ],
)
def test_ledger_of_other_settings_is_refused(
    tmp_path: Path, settings: dict, classes: tuple[str, ...], what: str
) -> None:
    opened(tmp_path / "p.jsonl").__exit__(None, None, None)
    with pytest.raises(FashionError, match=f"settings expected, got some of another {what}"):
        Ledger(tmp_path / "p.jsonl", settings, classes, resume=True)


def test_ledger_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "p.jsonl"):
        with pytest.raises(FashionError, match="no other process writes"):
            opened(tmp_path / "p.jsonl", resume=True)


@pytest.mark.parametrize("line", [b"{}", b"no json", b'{"source":"/a"}', b"[1]"])
def test_foreign_line_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "p.jsonl"
    opened(path).__exit__(None, None, None)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(FashionError, match=r"p\.jsonl:2: a line of"):
        opened(path, resume=True)
    path.write_bytes(line + b"\n")
    with pytest.raises(FashionError, match=r"p\.jsonl:1: a line of"):
        opened(path, resume=True)


def test_frames_of_a_video_are_kept_apart_and_a_kill_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    ledger = opened(path)
    for number in (4, 0, 12):
        ledger.append(entry("/clip.mp4", frame=number, name=f"clip/{number:06d}"))
    ledger.append(entry("/clip.mp4#000004", name="other"))
    whole = path.read_bytes()  # as a kill would leave it: nothing was closed
    ledger.__exit__(None, None, None)
    (tmp_path / "copy.jsonl").write_bytes(whole)
    with opened(tmp_path / "copy.jsonl", resume=True) as back:
        assert back.frames_of("/clip.mp4") == [0, 4, 12] and back.frames_of("/a") == []
        assert back.names == {"/clip.mp4": "clip", "/clip.mp4#000004": "other"}
        assert back.get("/clip.mp4", 4).name == "clip/000004"
    assert names_in(path) == ["clip", "other"]


def test_line_that_no_reader_can_follow_is_told_and_force_gets_past_it(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    opened(path).__exit__(None, None, None)
    head = path.read_bytes()
    for line in (b"[" * 200_000, b'{"source":"/a","name":"a","stamp":[Infinity,0]}'):
        path.write_bytes(head + line + b"\n")
        with pytest.raises(FashionError, match=r"p\.jsonl:2: a line of"):
            opened(path, resume=True)
        assert set(names_in(path)) <= {"a"}
    opened(path, force=True).__exit__(None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"counts": ["0"]},
        {"labels": [7, 0]},
        {"size_hw": [0, 4]},
        {"scores": [1]},
        {"scores": [9e9, 0]},
        {"labels": [0.5, 0]},
        {"boxes_xyxy": [[0, 0, float("nan"), 1]] * 2},
        {"size_hw": [float("inf"), 3]},
    ],
)
def test_entry_that_was_changed_is_refused_before_it_is_drawn(tmp_path: Path, change: dict) -> None:
    path = tmp_path / "p.jsonl"
    with opened(path) as ledger:
        ledger.append(entry("/a"))
    head, line = path.read_text().splitlines()
    path.write_text(f"{head}\n{json.dumps({**json.loads(line), **change})}\n")
    with opened(path, resume=True) as ledger, pytest.raises(FashionError, match="expected, got"):
        ledger.get("/a")
