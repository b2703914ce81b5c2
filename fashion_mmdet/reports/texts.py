"""How texts, also those from elsewhere, are put into Markdown, CSV, terminals and shells.

Names of folders, classes and files may hold anything; what is written of them shows them and does
nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from datasets_tools.browse.lettering import printable
from fashion_mmdet.core.files import shown


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table.

    Args:
        head: names of the columns.
        rows: cells.
        left: how many columns, from the first, are words, which may come from elsewhere; the
            others are figures of ours.
    """

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(inline(c) if n < left else _cell(c) for n, c in enumerate(cells))} |"

    lines = [line(head), "|" + "|".join("---" if n < left else "---:" for n in range(len(head)))]
    lines[-1] += "|"
    return "\n".join([*lines, *map(line, rows)]) + "\n"


def _cell(text: str) -> str:
    # Brackets stay: an interval would be hard to read in the source, and is no link.
    return re.sub(r"([\\|<*_`])", r"\\\1", one_line(text))


def inline(text: str) -> str:
    r"""Return a text from elsewhere as Markdown that shows it as it is, on one line.

    >>> print(inline("a_run <b>\n[x](y)"))
    a\_run \<b\> \[x\](y)
    """
    line = re.sub(r"([\\`|<>*_\[\]!&~#])", r"\\\1", one_line(text))
    # Where a paragraph begins with it, "- x" and "1. x" would be lists.
    return re.sub(r"^(\d*)([-+.)])(?=\s|$)", r"\1\\\2", line)


def code(text: str) -> str:
    """Return a text from elsewhere as a code span of Markdown.

    >>> print(code("ls"), code("a`b"), code("`"))
    `ls` ``a`b`` `` ` ``
    """
    line = one_line(text)
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def one_line(text: str) -> str:
    """Return ``text`` as one line that UTF-8 can hold, without what would steer a terminal."""
    line = shown(text)
    return " ".join(printable(line, len(line)).split())


def printed(text: str) -> str:
    """As :func:`one_line`, blanks as they are: for what goes to a terminal."""
    line = shown(text)
    return printable(line, len(line))


def shell_command(
    name: str, work_dirs: Sequence[str], options: Mapping[str, str | bool | None]
) -> str:
    """Return a command as a shell takes it, on one line and in characters that can be shown.

    Args:
        name: of the sub-command of ``fashion``.
        work_dirs: its folders; behind a ``--`` where one begins with a dash.
        options: ``--name`` -> its value, True for one without a value; None and False for one
            that is not given.
    """
    words = []
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif isinstance(value, str):
            # argparse takes a value that begins with a dash only so.
            words += [f"{option}={value}"] if value.startswith("-") else [option, value]
    has_dash = any(path.startswith("-") for path in work_dirs)
    words = [*words, "--", *work_dirs] if has_dash else [*work_dirs, *words]
    return " ".join(map(_word, ["fashion", name, *words]))


def _word(text: str) -> str:
    if text.isprintable():
        return shlex.quote(text)
    # Line breaks, escapes and bytes that are no UTF-8: bash and zsh read them back from this form.
    marks = {"'": "\\'", "\\": "\\\\"}
    return f"$'{''.join(marks.get(c) or (c if c.isprintable() else _bytes(c)) for c in text)}'"


def _bytes(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def csv_cell(value: Any) -> Any:
    """Return what stands in a CSV for a value: no spreadsheet is to take a name for a formula.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("a-b")
    ("'=1+1", '-0.5', 'a-b')
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
