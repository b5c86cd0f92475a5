"""What diagrams of average ranks share: a scale, a dot for each method, its name beside, a ruler above, bars below.

Everything is laid out in points from measured text, so labels cannot overlap, however many and however long they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from analysis.errors import OptionError
from analysis.figures.figure_style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT_GREY,
    VERMILLION,
    new_figure,
    require_width,
    size_in_points,
)
from analysis.figures.label_text import text_height, text_width, wrap

_FONT_SIZE = 7.5
_SMALLEST_FONT_SIZE = 2.0
_MAX_LABEL_SHARE = 0.3
"""Largest share of the width for the labels of one side; the scale gets at least the rest."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RankDiagram:
    """What to draw, in ranks."""

    average_ranks: pd.Series[float]
    """(k,) by method, best first."""
    ruler: tuple[float, float]
    """From which rank to which; cut at the ends of the scale."""
    ruler_text: str
    bars: Sequence[Sequence[float]] = ()
    """The ranks of each bar's dots, ascending."""
    is_finding: bool
    """False greys everything out but the banner."""
    banner: str | None = None
    """A warning above everything but the title."""
    note: str | None = None
    """A remark in its place."""
    title: str = ""
    best: Literal["left", "right"] = "left"
    emphasised: str | None = None
    """The method whose name is in bold."""


@dataclass(frozen=True, kw_only=True)
class RankDiagramArtists:
    """Everything that diagrams of ranks have in common, so that it can be restyled and counted."""

    figure: Figure
    axes: Axes
    scale: Line2D
    """The axis of average ranks."""
    ticks: tuple[Line2D, ...]
    tick_labels: tuple[Text, ...]
    ruler: Line2D
    """As long as the critical difference says (cut at the ends of the scale, where it has no cap)."""
    ruler_label: Text
    markers: tuple[Line2D, ...]
    """One dot on the scale for each method, best first."""
    leaders: tuple[Line2D, ...]
    """From each dot to its label."""
    labels: tuple[Text, ...]
    """Names of the methods, best first; long ones in several lines."""
    rank_values: tuple[Text, ...]
    """The average ranks in digits, best first."""
    title: Text | None
    banner: Text | None
    """The warning that no difference was shown; None where the test that decided rejects."""
    note: Text | None
    """Which test decided, where it is not the one whose critical difference is drawn."""


class RankLayout:
    """Where everything goes, in points: x to the right, y upwards from 0 at the upper edge."""

    def __init__(self, diagram: RankDiagram, width: float, font_size: float) -> None:
        self.width = width
        self.font_size = font_size
        self.small = 0.8 * font_size
        self.tiny = 0.7 * font_size
        self.num_methods = len(diagram.average_ranks)
        self.best_left = diagram.best == "left"
        methods = [str(method) for method in diagram.average_ranks.index]
        self.is_bold = [method == diagram.emphasised for method in methods]
        self.labels = [
            wrap(method, font_size, _MAX_LABEL_SHARE * width, bold=bold)
            for method, bold in zip(methods, self.is_bold, strict=True)
        ]
        # From the left end of the scale to the right one; the half on either side has its labels there.
        in_place = list(range(self.num_methods))
        if not self.best_left:
            in_place.reverse()
        half = (self.num_methods + 1) // 2
        left, right = in_place[:half], in_place[half:]
        self.is_left = [i in set(left) for i in range(self.num_methods)]
        gap = 0.4 * font_size
        value_width = text_width("88.88", self.tiny) + gap
        widths = [text_width(text, font_size, bold=bold) for text, bold in zip(self.labels, self.is_bold, strict=True)]
        self.left_label_x = gap + max(widths[i] for i in left)
        self.right_label_x = width - gap - max(widths[i] for i in right)
        self.left_leader_x, self.right_leader_x = self.left_label_x + gap, self.right_label_x - gap
        self.scale_x = (self.left_leader_x + value_width, self.right_leader_x - value_width)
        self._place_header(diagram)
        self._place_bars(diagram.bars)
        # The outermost method comes first, so that no leader crosses another one.
        self.rows_y = [0.0] * self.num_methods
        ends = [self._place_rows(left), self._place_rows(right[::-1])]
        self.height = -min(ends) + 0.3 * font_size

    def fits(self, height: float) -> bool:
        """Return whether all of it has room in that height, and the scale some width."""
        start, end = self.scale_x
        return self.height <= height and end - start >= 0.15 * self.width

    def x(self, rank: float) -> float:
        """Return where on the scale a rank lies."""
        start, end = self.scale_x
        share = (rank - 1) / (self.num_methods - 1)
        return start + (share if self.best_left else 1 - share) * (end - start)

    def _place_header(self, diagram: RankDiagram) -> None:
        y = -0.3 * self.font_size
        self.title = wrap(diagram.title, self.font_size, self.width - self.font_size, bold=True)
        self.title_y = y
        if self.title:
            y -= text_height(self.title, self.font_size) + 0.3 * self.font_size
        self.banner = self.note = None
        if diagram.banner is not None:
            self.banner = wrap(diagram.banner, self.font_size, self.width - 3 * self.font_size, bold=True)
            half_height = text_height(self.banner, self.font_size) / 2 + 0.4 * self.font_size
            self.banner_y = y - half_height
            y -= 2 * half_height + 0.4 * self.font_size
        if diagram.note is not None:
            self.note = wrap(diagram.note, self.small, self.width - 2 * self.font_size)
            self.note_y = y
            y -= text_height(self.note, self.small) + 0.3 * self.font_size
        self.ruler_text = wrap(diagram.ruler_text, self.small, self.width - self.font_size)
        self.ruler_label_y = y
        self.ruler_y = y - text_height(self.ruler_text, self.small) - 0.7 * self.font_size
        self.tick_label_y = self.ruler_y - 0.5 * self.font_size - 0.6 * self.small
        self.scale_y = self.tick_label_y - 0.6 * self.small - 0.8 * self.font_size

    def _place_bars(self, bars: Sequence[Sequence[float]]) -> None:
        """Give each bar the uppermost level on which it touches no other one."""
        self.bars_x: list[list[float]] = []
        self.bars_y: list[float] = []
        taken: list[list[tuple[float, float]]] = []
        step = 0.65 * self.font_size
        for bar in bars:
            dots = [self.x(rank) for rank in bar]
            low, high = min(dots) - step, max(dots) + step
            level = next(
                (i for i, others in enumerate(taken) if all(high < start or end < low for start, end in others)),
                len(taken),
            )
            if level == len(taken):
                taken.append([])
            taken[level].append((min(dots), max(dots)))
            self.bars_x.append(dots)
            self.bars_y.append(self.scale_y - 0.9 * self.font_size - level * step)
        self.bars_end_y = min(self.bars_y, default=self.scale_y)

    def _place_rows(self, methods: Sequence[int]) -> float:
        y = self.bars_end_y - 0.6 * self.font_size
        for i in methods:
            height = text_height(self.labels[i], self.font_size) + 0.3 * self.font_size
            self.rows_y[i] = y - height / 2
            y -= height
        return y


def lay_out(diagram: RankDiagram, ax: Axes | None, width: float) -> tuple[Axes, RankLayout]:
    """Lay a diagram out in given axes, or in a new figure of that width in inches and as high as needed.

    Afterwards one data unit of the axes is one point, the origin its upper left corner.

    Raises:
        OptionError: `best` is neither "left" nor "right", the axes belong to no figure, or a width that is none.
    """
    require_width(width)
    if diagram.best not in ("left", "right"):
        raise OptionError(f"best: {diagram.best!r}; allowed: 'left', 'right'")
    if ax is None:
        layout = RankLayout(diagram, 72 * width, _FONT_SIZE)
        ax = new_figure(width, layout.height / 72).add_axes((0, 0, 1, 1))
        height = layout.height
    else:
        width, height = size_in_points(ax)
        font_size = _FONT_SIZE
        layout = RankLayout(diagram, width, font_size)
        while not layout.fits(height) and font_size > _SMALLEST_FONT_SIZE:
            font_size *= 0.95
            layout = RankLayout(diagram, width, font_size)
    ax.set_xlim(0, layout.width)
    ax.set_ylim(-max(height, layout.height), 0)
    ax.set_axis_off()
    return ax, layout


def add_line(ax: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> Line2D:
    """Add a line in points, black and with butt ends unless the style says otherwise."""
    line = Line2D(list(x), list(y), **{"color": BLACK, "solid_capstyle": "butt", **style})
    ax.add_line(line)
    return line


def draw_bars(ax: Axes, diagram: RankDiagram, at: RankLayout) -> tuple[Line2D, ...]:
    """Draw the bars, a dot at each of their members."""
    thick = 0.3 * at.font_size
    return tuple(
        add_line(
            ax,
            x,
            [y] * len(x),
            color=BLUE if diagram.is_finding else LIGHT_GREY,
            linewidth=thick,
            marker="o",
            markersize=1.6 * thick,
            markeredgewidth=0,
            zorder=3,
        )
        for x, y in zip(at.bars_x, at.bars_y, strict=True)
    )


def draw_common(ax: Axes, diagram: RankDiagram, at: RankLayout) -> dict[str, Any]:
    """Draw all but the bars; returns the fields of `RankDiagramArtists` by name."""
    thin = 0.08 * at.font_size

    def write(x: float, y: float, text: str, size: float, **style: Any) -> Text:
        # A method may be called "$x": names are never mathematics.
        return ax.text(x, y, text, fontsize=size, **{"va": "center", "parse_math": False, **style})

    ranks = _tick_ranks(at)
    tick_y = [at.scale_y, at.scale_y + 0.5 * at.font_size]
    ink = BLACK if diagram.is_finding else GREY
    markers, leaders, labels, values = [], [], [], []
    for i, (y, text) in enumerate(zip(at.rows_y, at.labels, strict=True)):
        rank = float(diagram.average_ranks.iloc[i])
        x, left = at.x(rank), at.is_left[i]
        label_x, leader_x = (at.left_label_x, at.left_leader_x) if left else (at.right_label_x, at.right_leader_x)
        dot = {"marker": "o", "markersize": 0.45 * at.font_size, "markeredgewidth": 0, "zorder": 4}
        markers.append(add_line(ax, [x], [at.scale_y], color=ink, linewidth=thin, **dot))
        leaders.append(add_line(ax, [x, x, leader_x], [at.scale_y, y, y], color=ink, linewidth=thin))
        side, inner = ("right", "left") if left else ("left", "right")
        weight = "bold" if at.is_bold[i] else "normal"
        labels.append(write(label_x, y, text, at.font_size, ha=side, multialignment=side, fontweight=weight))
        value_y = y + 0.2 * at.tiny
        values.append(write(leader_x, value_y, f"{rank:.2f}", at.tiny, ha=inner, va="bottom", color=GREY))

    centred = {"ha": "center", "multialignment": "center"}
    title = banner = note = None
    if at.title:
        title = write(at.width / 2, at.title_y, at.title, at.font_size, va="top", fontweight="bold", **centred)
    if at.banner is not None:
        box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": VERMILLION, "linewidth": 2 * thin}
        style = {"color": VERMILLION, "fontweight": "bold", "bbox": box, "zorder": 5, **centred}
        banner = write(at.width / 2, at.banner_y, at.banner, at.font_size, **style)
    if at.note is not None:
        note = write(at.width / 2, at.note_y, at.note, at.small, va="top", **centred)
    return {
        "figure": ax.get_figure(root=True),
        "axes": ax,
        "scale": add_line(ax, at.scale_x, [at.scale_y] * 2, linewidth=1.5 * thin),
        "ticks": tuple(add_line(ax, [at.x(rank)] * 2, tick_y, linewidth=thin) for rank in ranks),
        "tick_labels": tuple(write(at.x(rank), at.tick_label_y, str(rank), at.small, ha="center") for rank in ranks),
        "ruler": _draw_ruler(ax, diagram, at, 1.5 * thin),
        "ruler_label": write(_ruler_label_x(diagram, at), at.ruler_label_y, at.ruler_text, at.small, va="top"),
        "markers": tuple(markers),
        "leaders": tuple(leaders),
        "labels": tuple(labels),
        "rank_values": tuple(values),
        "title": title,
        "banner": banner,
        "note": note,
    }


def ruler_ends(diagram: RankDiagram, at: RankLayout) -> tuple[float, float, bool, bool]:
    """Return where the ruler starts and ends from left to right, in points, and whether each end is on the scale."""
    k = at.num_methods
    ranks = sorted(diagram.ruler, reverse=not at.best_left)
    # A ruler that ends at the last rank is whole: rounding is no reason to say that it is cut.
    inside = [1 - 1e-9 <= rank <= k + 1e-9 for rank in ranks]
    start, end = (at.x(min(max(rank, 1), k)) for rank in ranks)
    return start, end, inside[0], inside[1]


def _draw_ruler(ax: Axes, diagram: RankDiagram, at: RankLayout, linewidth: float) -> Line2D:
    start, end, start_inside, end_inside = ruler_ends(diagram, at)
    # The strokes at the ends are part of the line, not markers: their size is then in points at any zoom.
    cap = 0.25 * at.font_size
    strokes = [*((-cap, cap, 0) if start_inside else (0, 0, 0)), *((0, cap, -cap) if end_inside else (0, 0, 0))]
    return add_line(ax, [start] * 3 + [end] * 3, [at.ruler_y + stroke for stroke in strokes], linewidth=linewidth)


def _ruler_label_x(diagram: RankDiagram, at: RankLayout) -> float:
    """Where the ruler's label starts: with the ruler, but never past the right edge."""
    start, _, _, _ = ruler_ends(diagram, at)
    margin = 0.4 * at.font_size
    return max(margin, min(start, at.width - margin - text_width(at.ruler_text, at.small)))


def _tick_ranks(at: RankLayout) -> list[int]:
    """Whole ranks to label: all of them, or every second, fifth, ... from the first on where all would not fit."""
    start, end = at.scale_x
    room = text_width("88", at.small) + 0.6 * at.small
    steps = (step * 10**power for power in range(4) for step in (1, 2, 5))
    step = next(step for step in steps if step * (end - start) / (at.num_methods - 1) >= room or step >= at.num_methods)
    return list(range(1, at.num_methods + 1, step))
