"""A page and its parts as plain data, and the one template that turns them into a self-contained HTML file."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from matplotlib.figure import Figure
from PIL import Image

from bdw.errors import InputError
from bdw.report.contact_sheet import Tile
from bdw.report.figure import DENSITY, data_uri, to_png
from bdw.storage.atomic_write import write_text


@dataclass(frozen=True)
class Finding:
    """A sentence or two of a verdict, under one word."""

    label: str
    text: str


@dataclass(frozen=True)
class Headline:
    """A number that a reader should see first, with its meaning and a line of context."""

    label: str
    value: str
    context: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG (as a data URI) with its size on the page in CSS pixels, alternative text and caption."""

    address: str
    width: int
    height: int
    alternative: str
    caption: str = ""
    kind: str = "picture"


@dataclass(frozen=True)
class Table:
    """Text cells under headings. Columns named in `numeric` are right-aligned; row number `best` is highlighted.

    `bold` holds the cells that are set in bold, as (row, column), both counted from 0.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    numeric: frozenset[str] = frozenset()
    best: int | None = None
    sorted_by: str | None = None
    kind: str = "table"
    bold: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Sheet:
    """A contact sheet."""

    title: str
    caption: str
    tiles: tuple[Tile, ...]
    kind: str = "sheet"


@dataclass(frozen=True)
class Text:
    """A paragraph; kinds: "lead" is to be read first, "note" explains a table, "warning" is to be kept in mind."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Something to copy, set in a monospaced box."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Notice:
    """A warning: what it is about in a few words, then what it means."""

    title: str
    text: str
    kind: str = "notice"


@dataclass(frozen=True)
class Step:
    """Something to do: what, why, and the command to copy. Neighbouring steps share a line where there is room."""

    title: str
    text: str
    command: str
    kind: str = "step"


Block = Picture | Table | Sheet | Text | Code | Notice | Step


@dataclass(frozen=True)
class Section:
    """A titled part of a page. `folded` sections show only their title until opened."""

    title: str
    blocks: Sequence[Block]
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """Everything on a page."""

    title: str
    summary: str
    headlines: Sequence[Headline]
    sections: Sequence[Section]
    verdict: Sequence[Finding] = ()
    """Stands above everything else; empty where a page has none."""


def picture(figure: Figure, alternative: str, caption: str = "") -> Picture:
    """The figure as an embedded picture."""
    return _embedded(to_png(figure), alternative, caption)


def picture_file(path: Path, alternative: str, caption: str = "") -> Picture:
    """A PNG file as an embedded picture, shown at half its pixels. Raises `InputError` if it is not a PNG."""
    try:
        return _embedded(path.read_bytes(), alternative, caption)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: cannot be read as a PNG picture: {error}") from error


def write_page(page: Page, path: Path) -> Path:
    """Renders the page into the file, which is replaced only once the whole page is written; returns its path."""
    html = _environment().get_template("page.html").render(page=page)
    write_text(path, html)
    return path


def _embedded(png: bytes, alternative: str, caption: str) -> Picture:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        width, height = image.size
    return Picture(data_uri(png), width // DENSITY, height // DENSITY, alternative, caption)


def _groups_of_kind(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Neighbouring blocks of one kind together, so that pictures in a row share a line where there is room."""
    return [(kind, list(group)) for kind, group in itertools.groupby(blocks, key=lambda block: block.kind)]


def _unbroken(text: str) -> str:
    """The text with its numbers tied to their units, so that no line begins with a percent sign."""
    return re.sub(r"(?<=\d) (?=(?:%|s|min|h)(?!\w))", "\N{NO-BREAK SPACE}", text)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bdw.report", package_path=""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["groups_of_kind"] = _groups_of_kind
    environment.filters["unbroken"] = _unbroken
    return environment
