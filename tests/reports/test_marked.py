"""Text between markers: which lines are markers, and what of the file stays as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fashion_mmdet.core.errors import FashionError
from fashion_mmdet.reports.marked import BEGIN, END, is_stale, update

TEXT = "| a |\n|---|\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_update_keeps_the_line_ends_of_the_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.md"
    lines = ["# é", BEGIN, "old", END, "last"]
    path.write_bytes(end.join(lines).encode())
    assert update(path, TEXT)
    new = end.join(["# é", BEGIN, "| a |", "|---|", END, "last"])
    assert path.read_bytes() == new.encode()
    assert not is_stale(path, TEXT) and not update(path, TEXT)


def test_update_leaves_other_line_ends_outside_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(f"\ufeffa\r\nb\rc\n{BEGIN}\n{END}\r\nd\re".encode())
    update(path, "x")
    assert path.read_bytes() == f"\ufeffa\r\nb\rc\n{BEGIN}\nx\n{END}\r\nd\re".encode()


@pytest.mark.parametrize(
    "prose",
    [
        f"(`{BEGIN}`, `{END}`); with",
        f"```\n{BEGIN}\nexample\n{END}\n```",
        f"```md\n{BEGIN}\n~~~\n``\n{END}\n````",
        f"~~~~ `md\n{BEGIN}\n~~~\n{END}\n~~~~",
        f"    {BEGIN}\n    {END}",
        f"| {BEGIN} |\n| {END} |",
        f"x {BEGIN}\n{END} x",
    ],
)
def test_markers_in_prose_and_code_are_none(tmp_path: Path, prose: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"{prose}\n")
    for change in (update, is_stale):
        with pytest.raises(FashionError, match=r"alone on its line and outside code, got 0 and 0"):
            change(path, TEXT)
    assert path.read_text() == f"{prose}\n"
    path.write_text(f"{prose}\n\n  {BEGIN} \nold\n{END}\t\n")
    update(path, TEXT)
    assert path.read_text() == f"{prose}\n\n  {BEGIN} \n{TEXT}{END}\t\n"


def test_inline_code_of_three_marks_opens_no_fence(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"``` `x` ```\n{BEGIN}\n{END}\n")
    assert update(path, TEXT)


def test_markers_in_the_other_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"{END}\n{BEGIN}\n")
    with pytest.raises(FashionError, match="got 1 and 1 in the other order"):
        update(tmp_path / "a.md", TEXT)


def test_update_keeps_the_mode_and_refuses_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    path.chmod(0o640)
    update(path, TEXT)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o440)
    with pytest.raises(FashionError, match="a file that may be written expected, got .* mode 0440"):
        update(path, "other")
    assert path.stat().st_mode & 0o777 == 0o440 and TEXT in path.read_text()
    assert is_stale(path, "other"), "to look at it is no writing"
    assert os.listdir(tmp_path) == ["a.md"]
