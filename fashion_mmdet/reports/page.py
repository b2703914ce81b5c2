"""The page of a report: one HTML file that shows itself, with pictures in it and nothing fetched.

What is shown is plain text and bytes of pictures; the page is the only place that makes HTML of
them. It may be mailed, put on any server, or opened from a disk without a network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_SKELETON = Path(__file__).with_name("page.html")
_PARTS = ("{{csp}}", "{{title}}", "{{body}}")
# Pictures of photos side by side need broader places in the grid than cuts do.
_BROAD = 1.15


@dataclass(frozen=True)
class Plot:
    """A plot in two looks.

    Attributes:
        title: of the section.
        text: how to read it.
        light_png: for a light page.
        dark_png: for a dark one, of the same size.
    """

    title: str
    text: str
    light_png: bytes
    dark_png: bytes


@dataclass(frozen=True)
class Table:
    """A table that a click on a head sorts: by number where a column's cells begin with one.

    Attributes:
        title: of the section.
        text: how to read it.
        head: names of the columns.
        rows: cells; an empty one or a dash stands for what is not known and is sorted last.
        left: how many columns, from the first, are words and aligned to the left.
    """

    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


@dataclass(frozen=True)
class Picture:
    """A JPEG and what stands below it."""

    jpeg: bytes
    caption: str


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures; a click on one enlarges it.

    Attributes:
        title: of the section.
        text: what to look for.
        items: the pictures, in order.
    """

    title: str
    text: str
    items: Sequence[Picture]


def render(
    title: str,
    lead: str,
    figures: Mapping[str, str],
    notes: Sequence[str],
    sections: Sequence[Plot | Table | Pictures],
) -> str:
    """Return the page.

    Once it is shown, its body says ``data-images`` (how many there are) and ``data-broken`` (how
    many of them could not be shown), for tests in a browser.

    Args:
        title: plain text, as all texts here.
        lead: a sentence or two below the title: what this is, and what came of it.
        figures: the few numbers at the top, name -> text.
        notes: what to look out for.
        sections: in order; each has a link at the top.
    """
    body = [f"<header><h1>{_esc(title)}</h1>", f'<p class="lead">{_esc(lead)}</p></header>']
    if figures:
        cells = (f"<div><dt>{_esc(k)}</dt><dd>{_esc(v)}</dd></div>" for k, v in figures.items())
        body += ["<dl>", *cells, "</dl>"]
    if notes:
        body += ['<ul class="notes">', *(f"<li>{_esc(note)}</li>" for note in notes), "</ul>"]
    if len(sections) > 1:
        links = (f'<a href="#s{n}">{_esc(s.title)}</a>' for n, s in enumerate(sections, 1))
        body += ["<nav>", *links, "</nav>"]
    body += [_section(number, section) for number, section in enumerate(sections, 1)]
    text = _SKELETON.read_text(encoding="utf-8")
    script = text.split("<script>")[1].split("</script>")[0]
    out = []
    for part, fill in zip(_PARTS, (_policy(script), _esc(title), "\n".join(body)), strict=True):
        before, _, text = text.partition(part)
        out += [before, fill]
    return "".join([*out, text])


def _policy(script: str) -> str:
    """Return what a browser may do with the page: this script, its styles, pictures in it."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _section(number: int, section: Plot | Table | Pictures) -> str:
    if isinstance(section, Plot):
        content = _plot(section)
    elif isinstance(section, Table):
        content = _table(section)
    else:
        content = _grid(section)
    text = f'<p class="faint">{_esc(section.text)}</p>' if section.text else ""
    return f'<section id="s{number}"><h2>{_esc(section.title)}</h2>{text}{content}</section>'


def _plot(plot: Plot) -> str:
    dark = _data_uri(plot.dark_png, "png")
    return (
        '<figure class="plot" tabindex="0"><picture>'
        f'<source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f"{_image(plot.light_png, 'png', plot.title)}</picture></figure>"
    )


def _table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        tagged = (
            f'<td{" class=left" if n < table.left else ""}>{_esc(c)}</td>'
            for n, c in enumerate(cells)
        )
        return f"<tr>{''.join(tagged)}</tr>"

    heads = (
        f'<th scope="col"{" class=left" if n < table.left else ""}>'
        f'<button type="button">{_esc(name)}</button></th>'
        for n, name in enumerate(table.head)
    )
    rows = "\n".join(line(row) for row in table.rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _grid(pictures: Pictures) -> str:
    items = [
        f'<figure><button type="button" class="zoom">{_image(p.jpeg, "jpeg", p.caption)}</button>'
        f"<figcaption>{_esc(p.caption)}</figcaption></figure>"
        for p in pictures.items
    ]
    if not items:
        return '<p class="none">No pictures.</p>'
    ratios = [width / height for width, height in (_size_wh(p.jpeg) for p in pictures.items)]
    broad = " broad" if sum(ratios) / len(ratios) > _BROAD else ""
    return f'<div class="grid{broad}">\n' + "\n".join(items) + "\n</div>"


def _image(content: bytes, kind: str, text: str) -> str:
    # Width and height are stated lest the page jumps while it loads.
    width, height = _size_wh(content)
    return (
        f'<img src="{_data_uri(content, kind)}" alt="{_esc(text)}" '
        f'width="{width}" height="{height}">'
    )


def _size_wh(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


def _esc(text: str) -> str:
    # A name of a file may hold what UTF-8 cannot.
    return html.escape(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
