"""The tables of a comparison: as Markdown, as CSV, and as cells of a page.

And how texts from elsewhere, such as names of folders, are put into Markdown, CSV and terminals.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from datasets_tools.browse.lettering import printable
from fashion_mmdet.core.bootstrap import Interval
from fashion_mmdet.core.files import shown

from .gather import Pair, Recipe
from .runs import Run
from .settings import are_same, said, short_keys

_SHOWN = 4  # settings of a row; all of them are in a table of their own
KIND_NAMES = {"bbox": "box AP", "segm": "mask AP"}
REFERENCE = "the reference"


def percent(interval: Interval) -> str:
    """Return ``"14.3 [11.9, 17.0]"``: a figure and its interval, in percent."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def differences_said(recipes: Sequence[Recipe], settings: dict[str, list[Any]]) -> list[str]:
    """Return for each recipe what it sets otherwise than the first, in short.

    Args:
        recipes: the rows.
        settings: dotted key -> the value of each recipe.
    """
    keys = short_keys(list(settings))
    out = [REFERENCE] if len(recipes) > 1 else ["–"]
    for n in range(1, len(recipes)):
        differing = [key for key, values in settings.items() if not are_same(values[n], values[0])]
        differing.sort(key=_rank)  # which keeps the config's order among equals
        parts = [f"{keys[key]} {said(settings[key][n])}" for key in differing]
        more = len(parts) - _SHOWN
        shown = parts if more <= 1 else [*parts[:_SHOWN], f"and {more} more"]
        out.append("; ".join(shown))
    return out


def _rank(key: str) -> int:
    """Return how late a setting is named: first what people name their recipes by."""
    last = key.split(".")[-1]
    if last in _FIRST:
        return _FIRST.index(last)
    return len(_FIRST) + (last in _LAST)


_FIRST = ("depth", "max_epochs", "max_iters", "lr", "batch_size", "class_agnostic", "scale")
_LAST = ("mean", "std", "bgr_to_rgb", "in_channels", "style", "weights from", "evaluated", "end")


def main_table(
    recipes: Sequence[Recipe], kinds: Sequence[str], settings: dict[str, list[Any]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a recipe; numbers in percent where they are AP."""
    head = ["run", "what differs", "parameters, M", "GFLOPs", "training, img/s",
            "training memory, MiB", "inference, img/s"]  # fmt: skip
    head += [f"{KIND_NAMES[kind]} [95 %]" for kind in kinds]
    head += [f"{KIND_NAMES[kinds[-1]]}50", "seeds"]
    rows = []
    for recipe, differs in zip(recipes, differences_said(recipes, settings), strict=True):
        numbers = [
            _number(recipe.mean_of(lambda r: r.record.parameters.total / 1e6), "{:.1f}"),
            _number(recipe.mean_of(_gflops), "{:.1f}"),
            _number(recipe.mean_of(lambda r: r.record.images_per_s), "{:.2f}"),
            _number(recipe.mean_of(memory_mib), "{:,.0f}"),
            _number(recipe.mean_of(lambda r: r.images_per_s), "{:.2f}"),
        ]
        aps = [percent(recipe.interval(kind)) for kind in kinds]
        ap_50 = f"{100 * recipe.draws[kinds[-1], 'mAP_50'].value:.1f}"
        rows.append([recipe.title, differs, *numbers, *aps, ap_50, _seeds(recipe, kinds[-1])])
    return head, rows


def _gflops(run: Run) -> float | None:
    return run.record.compute.gflops if run.record.compute else None


def memory_mib(run: Run) -> float | None:
    """Return the most memory of training: of the GPU where there was one, else of the process."""
    record = run.record
    return record.peak_rss_mib if record.peak_cuda_mib is None else record.peak_cuda_mib


def _seeds(recipe: Recipe, kind: str) -> str:
    spread = recipe.spread(kind)
    return "1" if spread is None else f"{len(recipe.runs)}, ± {100 * spread:.1f}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def pair_table(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the verdicts."""
    head = ["second", "against first", "figure", "difference, points [95 %]", "the second is",
            "and other seeds"]  # fmt: skip
    rows = []
    for pair in pairs:
        d = pair.difference
        within = {None: "not known", True: "might turn it", False: "would hardly turn it"}
        rows.append([
            pair.second,
            pair.first,
            KIND_NAMES[pair.kind],
            f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]",
            pair.verdict,
            "–" if pair.verdict == "not distinguishable" else within[pair.is_within_seeds],
        ])
    return head, rows


def settings_table(
    recipes: Sequence[Recipe], settings: dict[str, list[Any]]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one row a setting in which the recipes differ."""
    head = ["setting", *(recipe.name for recipe in recipes)]
    return head, [[key, *map(said, values)] for key, values in settings.items()]


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


def runs_csv(
    recipes: Sequence[Recipe], kinds: Sequence[str], settings: dict[str, list[Any]]
) -> str:
    """Return one row a run: its settings that differ, its cost, AP in 0..1 with intervals."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = [f"{kind}_{name}{end}" for kind in kinds for name in ("mAP", "mAP_50", "mAP_75")
               for end in ("", "_low", "_high")]  # fmt: skip
    head = [
        "run", "recipe", "seed", *settings, "parameters", "gflops", "train_images_per_s",
        "train_memory_mib", "images_per_s", "wall_s", "checkpoint", "split", *figures,
    ]  # fmt: skip
    writer.writerow(map(csv_cell, head))
    for n, recipe in enumerate(recipes):
        for run, draws in zip(recipe.runs, recipe.of_run, strict=True):
            intervals = [draws[kind, name].interval for kind in kinds
                         for name in ("mAP", "mAP_50", "mAP_75")]  # fmt: skip
            record = run.record
            row = [
                run.name, recipe.name, record.seed,
                *(said(values[n]) for values in settings.values()),
                record.parameters.total, _gflops(run), record.images_per_s, memory_mib(run),
                run.images_per_s, record.wall_s, run.checkpoint, run.split,
                *(f"{v:.6f}" for i in intervals for v in (i.value, i.low, i.high)),
            ]  # fmt: skip
            writer.writerow(map(csv_cell, row))
    return stream.getvalue()


def pairs_csv(pairs: Sequence[Pair]) -> str:
    """Return one row a pair, differences in 0..1."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["first", "second", "kind", "difference", "low", "high", "verdict",
                     "seed_noise"])  # fmt: skip
    for pair in pairs:
        d = pair.difference
        noise = "" if pair.seed_noise is None else f"{pair.seed_noise:.6f}"
        row = [pair.first, pair.second, pair.kind, f"{d.value:.6f}", f"{d.low:.6f}",
               f"{d.high:.6f}", pair.verdict, noise]  # fmt: skip
        writer.writerow(map(csv_cell, row))
    return stream.getvalue()
