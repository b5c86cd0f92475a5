"""Measure and wrap the texts of labels in points, before anything is drawn.

Diagrams whose labels must not overlap are laid out from these sizes, not corrected afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

LINE_HEIGHT = 1.2
"""Height of a line of text in font sizes (matplotlib's own line spacing)."""

_BREAKS: tuple[Callable[[str, str], bool], ...] = (
    lambda last, following: last == " ",
    lambda last, following: last in "-_/,+",
    lambda last, following: last.islower() and following.isupper(),
)
"""Where a line may end, by its last sign and the one after it, the best kind first."""

# Glyph outlines are measured unhinted; renderers that hint glyphs draw up to this much wider.
_HINTING = 1.05


def text_width(text: str, font_size: float, *, bold: bool = False) -> float:
    """Return the width in points of the longest line of `text` in the current font."""
    families = tuple(rcParams["font.family"])
    return max(_HINTING * font_size * _width_of_size_1(line, bold, families) for line in text.split("\n"))


# Unhinted widths are proportional to the size, so one measurement serves all; wrapping asks for each many times.
@lru_cache(maxsize=10_000)
def _width_of_size_1(line: str, bold: bool, families: tuple[str, ...]) -> float:
    if not line:
        return 0.0
    font = FontProperties(family=list(families), size=100, weight="bold" if bold else "normal")
    return float(TextToPath().get_text_width_height_descent(line, font, ismath=False)[0]) / 100


def text_height(text: str, font_size: float) -> float:
    """Return the height in points of `text` with all its lines."""
    return (text.count("\n") + 1) * LINE_HEIGHT * font_size


def wrap(text: str, font_size: float, max_width: float, *, bold: bool = False) -> str:
    """Break `text` into lines of at most `max_width` points.

    Lines end at a space, or else after a hyphen, underscore, slash, comma or plus, or else before a capital letter
    within a word, or else anywhere; no character but the space at a break is lost. A single character may be wider than
    `max_width`.
    """
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest:
        fits = len(rest)
        while fits > 1 and text_width(rest[:fits].rstrip(), font_size, bold=bold) > max_width:
            fits -= 1
        if fits < len(rest):
            # A break very early would leave a crumb of a line: then rather the next best kind of break.
            places = range(fits, fits // 3, -1)
            fits = next((i for ends_here in _BREAKS for i in places if ends_here(rest[i - 1], rest[i])), fits)
        lines.append(rest[:fits].strip())
        rest = rest[fits:].lstrip()
    return "\n".join(lines)
