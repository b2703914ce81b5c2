"""The page that shows the plots and tables of ``fashion data stats``, and its parts in words."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from datasets_tools.colours import hex_colour, rgb_of_id

_SKELETON = Path(__file__).with_name("page.html")
_COLUMNS = (
    ("photos", "images", "{:,.0f}"),
    ("instances", "instances", "{:,.0f}"),
    ("share", "share", "{:.1%}"),
    ("a photo", "per_image", "{:.2f}"),
    ("median px", "area_px", "{:,.0f}"),
    ("of photo", "photo_share", "{:.2%}"),
    ("small", "small", "{:,.0f}"),
    ("medium", "medium", "{:,.0f}"),
    ("large", "large", "{:,.0f}"),
    ("poor anchor", "poor_anchors", "{:.1%}"),
)


@dataclass(frozen=True)
class Section:
    """One plot of the page: ``key`` names its files, ``text`` says how to read it."""

    key: str
    title: str
    text: str
    size_px: tuple[int, int]


def render(
    title: str,
    figures: Mapping[str, str],
    notes: Iterable[str],
    sections: Sequence[Section],
    tables: Sequence[tuple[str, str, str]],
) -> str:
    """Return the page.

    Args:
        title: plain text, as all texts here.
        figures: the few numbers at the top, name -> text.
        notes: what was left out and what to look out for.
        sections: the plots, in order.
        tables: (title, text, HTML of the table).
    """
    esc = html.escape
    body = [f"<h1>{esc(title)}</h1>", '<p class="faint">Written by fashion data stats.</p>', "<dl>"]
    body += [f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in figures.items()]
    body.append("</dl>")
    if notes := [f"<li>{esc(note)}</li>" for note in notes]:
        body += ['<ul class="notes">', *notes, "</ul>"]
    links = [f'<a href="#{s.key}">{esc(s.title)}</a>' for s in sections]
    links += [f'<a href="#table-{n}">{esc(t[0])}</a>' for n, t in enumerate(tables)]
    body += ["<nav>", *links, '<a href="stats.json">stats.json</a>', "</nav>"]
    body += [_section(section) for section in sections]
    for number, (name, text, table) in enumerate(tables):
        body.append(
            f'<section id="table-{number}"><h2>{esc(name)}</h2><p class="faint">{esc(text)}</p>'
            f'<div class="wide">{table}</div></section>'
        )
    head, middle, rest = _SKELETON.read_text(encoding="utf-8").partition("{{title}}")
    before, _, after = rest.partition("{{body}}")
    return head + esc(title) + before + "\n".join(body) + after


def _section(section: Section) -> str:
    width, height = section.size_px
    title, key = html.escape(section.title), section.key
    return (
        f'<section id="{key}"><h2>{title}</h2><p class="faint">{html.escape(section.text)}</p>'
        f'<figure><picture><source srcset="plots/{key}.dark.png" '
        f'media="(prefers-color-scheme: dark)"><img src="plots/{key}.png" alt="{title}" '
        f'width="{width}" height="{height}" loading="lazy"></picture></figure></section>'
    )


def class_rows(table: pd.DataFrame) -> str:
    """Return the table of :func:`.tables.class_table` as HTML."""
    return _table(table, [(head, key, form) for head, key, form in _COLUMNS])


def split_rows(names: pd.Series, images: pd.DataFrame, instances: pd.DataFrame) -> str:
    """Return photos and instances of every class in every split as HTML."""
    table = pd.DataFrame({"name": names, "instances": instances.sum(axis=1)})
    columns = []
    for number, split in enumerate(images):
        for what, counts in (("photos", images), ("instances", instances)):
            table[f"{number}{what}"] = counts[split]
            columns.append((f"{split}: {what}", f"{number}{what}", "{:,.0f}"))
    return _table(table, columns)


def _table(table: pd.DataFrame, columns: Sequence[tuple[str, str, str]]) -> str:
    rgb = rgb_of_id([{"id": i, "name": name} for i, name in table.name.items()])
    heads = "".join(f"<th>{html.escape(head)}</th>" for head, _, _ in columns)
    lines = [f'<table><thead><tr><th>id</th><th class="name">class</th>{heads}</tr></thead><tbody>']
    for category_id, row in table.iterrows():
        cells = "".join(
            f"<td>{'–' if pd.isna(row[key]) else form.format(row[key])}</td>"
            for _, key, form in columns
        )
        lines.append(
            f"<tr{'' if row['instances'] else ' class=none'}><td>{category_id}</td>"
            f'<td class="name"><i style="background:{hex_colour(rgb[category_id])}"></i>'
            f"{html.escape(row['name'])}</td>{cells}</tr>"
        )
    return "".join([*lines, "</tbody></table>"])
