"""A grid of coloured cells with names to the left and on top, laid out in points from measured text.

    Title
                 BDW  L2RW  RotNet      <- names of columns, upright where the cells are narrow
    Photographs                         <- heading of a group of rows
    cifar10     | 1  |  2  |  3  |
    stl10       | 1  | 2.5 | 2.5 |
    1 (best) [======] 3                 <- what the colours mean
    A note in small print.

Texts that do not fit into their cells at a readable size are left out: all those of a block, never only some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from analysis.figures.figure_style import BLACK, GREY, figure_of, ink_on, new_figure, size_in_points
from analysis.figures.label_text import LINE_HEIGHT, text_height, text_width, wrap

Floats = npt.NDArray[np.float64]

_FONT_SIZE = 7.5
_SMALLEST_FONT_SIZE = 2.0
_SMALLEST_READABLE = 4.0
"""Smallest font in points of texts in cells; texts that would have to be smaller are left out."""
_SMALLEST_MARK = 1.0
"""Smallest font in points of marks: short texts that need only be seen."""
_ROW_NAME_ROOM = ((0.32, 1.0), (0.42, 1.0), (0.42, 0.8))
"""Share of the width and size of the letters for the names of rows: the first with which two lines are enough."""
_MAX_COLUMN_NAME_SHARE = 0.55
"""Longest upright name, as a share of the figure's width."""
_MOST_LINES_ON_TOP = 3
_MAX_CELL_WIDTH = 130.0
"""Points: a table of one or two columns does not fill the page."""


@dataclass(frozen=True, kw_only=True)
class ColourScale:
    """What the colours of the cells mean."""

    colours: Colormap
    low_label: str
    high_label: str


@dataclass(frozen=True, kw_only=True)
class GridContents:
    """What to draw: n rows, m columns."""

    row_names: Sequence[str]
    column_names: Sequence[str]
    colours: Floats
    """(n, m, 4): red, green, blue, opacity of every cell."""
    texts: Sequence[Sequence[str]]
    """(n, m), lines separated by a line feed, "" for none."""
    scale: ColourScale
    bold: npt.NDArray[np.bool_] | None = None
    """(n, m): whose texts are bold."""
    headings: Mapping[int, str] = field(default_factory=dict)
    """Row -> what stands above it; "" for a gap, behind which texts have a size of their own."""
    title: str = ""
    note: str = ""
    short_texts: Sequence[Sequence[str]] | None = None
    """(n, m), marks to be drawn where `texts` would not be readable in the first block."""
    short_note: str = ""
    """Takes the place of `note` then; left out if there is no room for the marks either."""


@dataclass(frozen=True, kw_only=True)
class CellGrid:
    """Everything that `draw_cell_grid` drew."""

    figure: Figure
    axes: Axes
    cells: PolyCollection
    """n times m rectangles, row by row."""
    row_names: tuple[Text, ...]
    column_names: tuple[Text, ...]
    texts: dict[tuple[int, int], Text]
    """By (row, column); those that would not be readable are absent."""
    headings: tuple[Text, ...]
    strip: AxesImage
    """The colour scale."""
    small_print: tuple[Text, ...]
    """The scale's two labels, and the note if there is one."""
    title: Text | None


def draw_cell_grid(contents: GridContents, *, width: float, ax: Axes | None = None) -> CellGrid:
    """Draw a grid of cells.

    Args:
        contents: names, colours and texts.
        width: of the figure in inches, where `ax` is None; its height follows from the contents.
        ax: axes to fill, as large as they are at the time of the call; fonts shrink where the room is short.

    Returns:
        the artists.

    Raises:
        OptionError: `ax` belongs to no figure.
    """
    if ax is None:
        layout = _Layout(contents, 72 * width, _FONT_SIZE)
        ax = new_figure(width, layout.height / 72).add_axes((0, 0, 1, 1))
        height = layout.height
    else:
        available, height = size_in_points(ax)
        font_size = _FONT_SIZE
        layout = _Layout(contents, available, font_size)
        while layout.height > height and font_size > _SMALLEST_FONT_SIZE:
            font_size *= 0.95
            layout = _Layout(contents, available, font_size)
        layout.stretch(height)
    # One data unit is one point, the origin the upper left corner.
    ax.set_axis_off()
    grid = _draw(ax, contents, layout)
    ax.set_aspect("auto")
    ax.set_xlim(0, layout.width)
    ax.set_ylim(-max(height, layout.height), 0)
    return grid


class _Layout:
    """Where everything goes, in points: x to the right, y upwards from 0 at the upper edge."""

    def __init__(self, contents: GridContents, width: float, font_size: float) -> None:
        self.contents = contents
        self.width = width
        self.font_size = font_size
        self.small = 0.85 * font_size
        self.gap = 0.4 * font_size
        num_columns = len(contents.column_names)
        for share, size in _ROW_NAME_ROOM:
            self.row_font = size * font_size
            self.row_names = [wrap(name, self.row_font, share * width) for name in contents.row_names]
            if max(name.count("\n") for name in self.row_names) <= 1:
                break
        self.left = 2 * self.gap + max(text_width(name, self.row_font) for name in self.row_names)
        self.cell_width = min((width - self.gap - self.left) / num_columns, _MAX_CELL_WIDTH)
        self.right = self.left + num_columns * self.cell_width
        self._place_column_names()
        self.texts, self.smallest, note = contents.texts, _SMALLEST_READABLE, contents.note
        self._size_cells()
        if self.text_sizes[0] == 0 and contents.short_texts is not None:
            self.texts, self.smallest, note = contents.short_texts, _SMALLEST_MARK, contents.short_note
            self._size_cells()
            # A note on marks that were left out would suggest that no cell deserves one.
            if self.text_sizes[0] == 0 and any(any(row) for row in self.texts):
                note = ""
        self.title = wrap(contents.title, font_size, width - 2 * self.gap, bold=True)
        self.note = wrap(note, self.small, width - 2 * self.gap)
        self._stack()

    def stretch(self, height: float) -> None:
        """Make the rows higher, so that the grid fills the height."""
        self.row_height += max(0.0, height - self.height) / len(self.row_names)
        self._size_cells(self.row_height)
        self._stack()

    def _place_column_names(self) -> None:
        names, room = self.contents.column_names, self.cell_width - 2
        self.column_font = self.font_size
        wrapped = [wrap(name, self.font_size, room) for name in names]
        longest_words = max(text_width(word, self.font_size) for name in names for word in name.split() or [""])
        most_lines = max(name.count("\n") + 1 for name in wrapped)
        self.upright = longest_words > room or most_lines > _MOST_LINES_ON_TOP
        if not self.upright:
            self.column_names = wrapped
            self.column_names_height = max(text_height(name, self.font_size) for name in wrapped)
            return
        # One line where that leaves the largest letters, else several.
        length = _MAX_COLUMN_NAME_SHARE * self.width
        found: list[tuple[float, list[str]]] = []
        for lines in count(1):
            # A little less than fills the cell: small letters are drawn larger than they measure.
            font = min(self.font_size, 0.92 * self.cell_width / (lines * LINE_HEIGHT))
            broken = [wrap(name, font, length) for name in names]
            if max(name.count("\n") for name in broken) < lines:
                found.append((font, broken))
            if found and lines >= _MOST_LINES_ON_TOP:
                break
        self.column_font, self.column_names = max(found, key=lambda pair: pair[0])
        self.column_names_height = max(text_width(name, self.column_font) for name in self.column_names)

    def _size_cells(self, row_height: float | None = None) -> None:
        """Find the height of a row unless given, and for each the size of its cells' texts, 0 to leave them out."""
        names_height = max(text_height(name, self.row_font) for name in self.row_names) + 0.3 * self.row_font
        starts = sorted({0, *(row for row, heading in self.contents.headings.items() if not heading)})
        ends = [*starts[1:], len(self.row_names)]
        self.text_sizes: list[float] = []
        needed = names_height
        for start, end in zip(starts, ends, strict=True):
            size, num_lines = self._text_size(range(start, end), row_height)
            self.text_sizes += [size] * (end - start)
            needed = max(needed, num_lines * LINE_HEIGHT * size + 2)
        self.row_height = needed if row_height is None else row_height

    def _text_size(self, rows: range, row_height: float | None) -> tuple[float, int]:
        """The size in points at which all texts of these rows fit, 0 where that is not readable; and their lines."""
        bold = self.contents.bold
        texts = [
            (text, bold is not None and bool(bold[row, column]))
            for row in rows
            for column, text in enumerate(self.texts[row])
            if text
        ]
        if not texts:
            return 0.0, 0
        num_lines = max(text.count("\n") + 1 for text, _ in texts)
        size = min(self.font_size, (self.cell_width - 2) / max(text_width(text, 1, bold=b) for text, b in texts))
        if row_height is not None:
            size = min(size, (row_height - 2) / (num_lines * LINE_HEIGHT))
        return (size if size >= self.smallest else 0.0), num_lines

    def _stack(self) -> None:
        y = -self.gap
        self.title_y = y
        if self.title:
            y -= text_height(self.title, self.font_size) + self.gap
        y -= self.column_names_height
        self.column_names_y = y
        y -= 0.6 * self.gap
        self.tops: list[float] = []
        self.headings_y: dict[int, float] = {}
        for row in range(len(self.row_names)):
            heading = self.contents.headings.get(row)
            if heading is not None:
                y -= text_height(heading, self.font_size) + self.gap if heading else self.gap
                self.headings_y[row] = y + 0.4 * self.gap
            self.tops.append(y)
            y -= self.row_height
        y -= self.gap + self.small * LINE_HEIGHT / 2
        self.strip_y = y
        y -= self.small * LINE_HEIGHT / 2 + self.gap
        self.note_y = y
        if self.note:
            y -= text_height(self.note, self.small) + self.gap
        self.height = -y


def _draw(ax: Axes, contents: GridContents, at: _Layout) -> CellGrid:
    def write(x: float, y: float, text: str, size: float, **style: object) -> Text:
        # A method may be called "$x": names are never mathematics.
        return ax.text(x, y, text, fontsize=size, **{"va": "center", "parse_math": False, **style})  # type: ignore[arg-type]

    edges = at.left + at.cell_width * np.arange(len(at.column_names) + 1)
    corners = [
        [(left, top), (right, top), (right, top - at.row_height), (left, top - at.row_height)]
        for top in at.tops
        for left, right in pairwise(edges.tolist())
    ]
    cells = PolyCollection(
        corners, facecolors=contents.colours.reshape(-1, 4), edgecolors="white", linewidths=0.4, zorder=1
    )
    ax.add_collection(cells, autolim=False)
    middles = [top - at.row_height / 2 for top in at.tops]
    centres = edges[:-1] + at.cell_width / 2
    row_names = tuple(
        write(at.left - at.gap, y, name, at.row_font, ha="right", multialignment="right")
        for y, name in zip(middles, at.row_names, strict=True)
    )
    sides = {"rotation": 90, "multialignment": "left"} if at.upright else {"multialignment": "center"}
    column_names = tuple(
        write(x, at.column_names_y, name, at.column_font, ha="center", **{**sides, "va": "bottom"})
        for x, name in zip(centres.tolist(), at.column_names, strict=True)
    )
    texts = {
        (row, column): write(
            float(centres[column]),
            middles[row],
            text,
            at.text_sizes[row],
            ha="center",
            multialignment="center",
            color=ink_on(contents.colours[row, column]),
            fontweight="bold" if contents.bold is not None and contents.bold[row, column] else "normal",
            zorder=2,
        )
        for row, line in enumerate(at.texts)
        for column, text in enumerate(line)
        if text and at.text_sizes[row] > 0
    }
    headings = tuple(
        write(at.gap, at.headings_y[row], text, at.font_size, ha="left", va="bottom", fontweight="bold")
        for row, text in contents.headings.items()
        if text
    )
    title = None
    if at.title:
        title = write(at.width / 2, at.title_y, at.title, at.font_size, ha="center", va="top", fontweight="bold")
    strip, labels = _draw_scale(ax, contents.scale, at)
    note = (write(at.gap, at.note_y, at.note, at.small, ha="left", va="top", color=GREY),) if at.note else ()
    return CellGrid(
        figure=figure_of(ax),
        axes=ax,
        cells=cells,
        row_names=row_names,
        column_names=column_names,
        texts=texts,
        headings=headings,
        strip=strip,
        small_print=(*labels, *note),
        title=title,
    )


def _draw_scale(ax: Axes, scale: ColourScale, at: _Layout) -> tuple[AxesImage, tuple[Text, Text]]:
    style = {"fontsize": at.small, "va": "center", "parse_math": False, "color": BLACK}
    start = at.gap + text_width(scale.low_label, at.small) + at.gap
    most = at.width - at.gap - text_width(scale.high_label, at.small) - at.gap
    end = max(min(most, start + 0.3 * at.width), start + at.gap)
    half = 0.3 * at.small
    strip = ax.imshow(
        np.linspace(0, 1, 256)[None],
        cmap=scale.colours,
        extent=(start, end, at.strip_y - half, at.strip_y + half),
        aspect="auto",
        interpolation="nearest",
        zorder=1,
    )
    low = ax.text(at.gap, at.strip_y, scale.low_label, ha="left", **style)  # type: ignore[arg-type]
    high = ax.text(end + at.gap, at.strip_y, scale.high_label, ha="left", **style)  # type: ignore[arg-type]
    return strip, (low, high)
