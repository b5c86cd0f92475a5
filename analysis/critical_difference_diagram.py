"""Demsar's critical-difference diagram (Demsar 2006, Figure 1).

    Friedman p = 0.31: no difference shown      <- only where Friedman's test does not reject
                |------ CD ------|
                1      2      3      4          <- average rank, best on the left
                |--o---+--o---o--+-o-|
                   |======|===|    |            <- cliques: no difference shown within a bar
    BDW   1.40 ----'      |   |====|
    L2RW  2.20 -----------'   |    '---- 3.60 RotNet
                              '--------- 2.80 NN-Weighter

It is laid out in points from measured text, so labels cannot overlap, however many and however long they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from analysis.comparison import Comparison
from analysis.figure_style import BLACK, BLUE, COLUMN_WIDTH, GREY, LIGHT_GREY, VERMILLION, new_figure
from analysis.label_text import text_height, text_width, wrap
from analysis.verdict import format_p

_FONT_SIZE = 7.5
_SMALLEST_FONT_SIZE = 2.0
_MAX_LABEL_SHARE = 0.3
"""Of the width, for the labels of one side; the scale gets at least what is left."""


@dataclass(frozen=True, kw_only=True)
class CriticalDifferenceArtists:
    """Everything that `draw_cd` drew, so that it can be restyled and counted."""

    figure: Figure
    axes: Axes
    scale: Line2D
    """The axis of average ranks."""
    ticks: tuple[Line2D, ...]
    tick_labels: tuple[Text, ...]
    ruler: Line2D
    """As long as the critical difference (cut at the length of the scale, which its label then says)."""
    ruler_label: Text
    markers: tuple[Line2D, ...]
    """One dot on the scale for each method, best first."""
    leaders: tuple[Line2D, ...]
    """From each dot to its label."""
    labels: tuple[Text, ...]
    """Names of the methods, best first; long ones in several lines."""
    rank_values: tuple[Text, ...]
    """The average ranks in digits, best first."""
    bars: tuple[Line2D, ...]
    """One for each clique, in the order of `Comparison.cliques`, with a dot at each of its members."""
    title: Text | None
    banner: Text | None
    """The warning that no difference was shown; None where Friedman's test rejects."""


def draw_cd(comparison: Comparison, ax: Axes | None = None, *, title: str = "") -> CriticalDifferenceArtists:
    """Draw a critical-difference diagram.

    Where Friedman's test does not reject, the diagram carries a banner that says so and loses its colours: its bars
    must not be read as findings.

    Args:
        comparison: from `compare` or `compare_ranks`.
        ax: axes to fill, as large as they are at the time of the call; fonts shrink where the room is short. None makes
            a figure as wide as a paper's column (3.3 inches) and as high as needed.
        title: written at the top.

    Returns:
        the artists; `.figure` is what to save (`analysis.save_figure` embeds fonts).
    """
    if ax is None:
        layout = _Layout(comparison, title, COLUMN_WIDTH * 72, _FONT_SIZE)
        ax = new_figure(COLUMN_WIDTH, layout.height / 72).add_axes((0, 0, 1, 1))
        height = layout.height
    else:
        root = ax.get_figure(root=True)
        if root is None:
            raise ValueError("ax: belongs to no figure; allowed: axes of a figure")
        box = ax.get_window_extent()
        width, height = (72 * float(side) / root.dpi for side in (box.width, box.height))
        font_size = _FONT_SIZE
        layout = _Layout(comparison, title, width, font_size)
        while not layout.fits(height) and font_size > _SMALLEST_FONT_SIZE:
            font_size *= 0.95
            layout = _Layout(comparison, title, width, font_size)
    # One data unit is one point, the origin the upper left corner.
    ax.set_xlim(0, layout.width)
    ax.set_ylim(-max(height, layout.height), 0)
    ax.set_axis_off()
    return _draw(ax, comparison, layout)


class _Layout:
    """Where everything goes, in points: x to the right, y upwards from 0 at the upper edge."""

    def __init__(self, comparison: Comparison, title: str, width: float, font_size: float) -> None:
        methods = comparison.methods
        self.width = width
        self.font_size = font_size
        self.small = 0.8 * font_size
        self.tiny = 0.7 * font_size
        self.num_left = (len(methods) + 1) // 2
        self.labels = [wrap(method, font_size, _MAX_LABEL_SHARE * width) for method in methods]
        gap = 0.4 * font_size
        value_width = text_width("88.88", self.tiny) + gap
        left_labels, right_labels = self.labels[: self.num_left], self.labels[self.num_left :]
        self.left_label_x = gap + max(text_width(label, font_size) for label in left_labels)
        self.right_label_x = width - gap - max(text_width(label, font_size) for label in right_labels)
        self.left_leader_x, self.right_leader_x = self.left_label_x + gap, self.right_label_x - gap
        self.scale_x = (self.left_leader_x + value_width, self.right_leader_x - value_width)
        self._place_header(comparison, title)
        self._place_bars(comparison)
        first_row_y = self.bars_end_y - 0.6 * font_size
        left_rows, left_end = self._rows(left_labels, first_row_y)
        right_rows, right_end = self._rows(list(reversed(right_labels)), first_row_y)
        # On the right the worst method comes first, so that no leader crosses another one.
        self.rows_y = left_rows + list(reversed(right_rows))
        self.height = -min(left_end, right_end) + 0.3 * font_size

    def fits(self, height: float) -> bool:
        start, end = self.scale_x
        return self.height <= height and end - start >= 0.15 * self.width

    def x(self, rank: float) -> float:
        """Return where on the scale a rank lies."""
        start, end = self.scale_x
        return start + (rank - 1) / (self.num_methods - 1) * (end - start)

    def _place_header(self, comparison: Comparison, title: str) -> None:
        self.num_methods = len(comparison.methods)
        self.banner = None
        y = -0.3 * self.font_size
        self.title = wrap(title, self.font_size, self.width - self.font_size, bold=True)
        self.title_y = y
        if self.title:
            y -= text_height(self.title, self.font_size) + 0.3 * self.font_size
        if not comparison.is_significant:
            text = f"Friedman {format_p(comparison.friedman_p_value)}: no difference shown"
            self.banner = wrap(text, self.font_size, self.width - 3 * self.font_size, bold=True)
            half_height = text_height(self.banner, self.font_size) / 2 + 0.4 * self.font_size
            self.banner_y = y - half_height
            y -= 2 * half_height + 0.4 * self.font_size
        self.ruler_label_y = y - 0.6 * self.font_size
        self.ruler_y = y - 1.7 * self.font_size
        self.tick_label_y = self.ruler_y - 0.5 * self.font_size - 0.6 * self.small
        self.scale_y = self.tick_label_y - 0.6 * self.small - 0.8 * self.font_size

    def _place_bars(self, comparison: Comparison) -> None:
        """Give each clique the uppermost level on which it touches no other bar."""
        self.bars_x: list[list[float]] = []
        level_ends: list[float] = []
        self.bars_y: list[float] = []
        step = 0.65 * self.font_size
        for clique in comparison.cliques:
            members = [self.x(float(comparison.average_ranks[method])) for method in clique]
            level = next((i for i, end in enumerate(level_ends) if members[0] > end + step), len(level_ends))
            level_ends[level : level + 1] = [members[-1]]
            self.bars_x.append(members)
            self.bars_y.append(self.scale_y - 0.9 * self.font_size - level * step)
        self.bars_end_y = min(self.bars_y, default=self.scale_y)

    def _rows(self, labels: list[str], y: float) -> tuple[list[float], float]:
        centres = []
        for label in labels:
            height = text_height(label, self.font_size) + 0.3 * self.font_size
            centres.append(y - height / 2)
            y -= height
        return centres, y


def _draw(ax: Axes, comparison: Comparison, at: _Layout) -> CriticalDifferenceArtists:
    figure = ax.get_figure(root=True)
    assert figure is not None
    finding = comparison.is_significant
    thin, thick = 0.08 * at.font_size, 0.3 * at.font_size
    scale_start, scale_end = at.scale_x

    def line(x: list[float], y: list[float], **style: object) -> Line2D:
        artist = Line2D(x, y, **{"color": BLACK, "linewidth": thin, "solid_capstyle": "butt", **style})  # type: ignore[arg-type]
        ax.add_line(artist)
        return artist

    def write(x: float, y: float, text: str, size: float, **style: object) -> Text:
        # A method may be called "$x": names are never mathematics.
        return ax.text(x, y, text, fontsize=size, **{"va": "center", "parse_math": False, **style})  # type: ignore[arg-type]

    scale = line([scale_start, scale_end], [at.scale_y] * 2, linewidth=1.5 * thin)
    ranks = _tick_ranks(at)
    tick_height = 0.5 * at.font_size
    ticks = [line([at.x(rank)] * 2, [at.scale_y, at.scale_y + tick_height]) for rank in ranks]
    tick_labels = [write(at.x(rank), at.tick_label_y, str(rank), at.small, ha="center") for rank in ranks]

    fits = comparison.critical_difference <= at.num_methods - 1
    ruler_end = at.x(1 + comparison.critical_difference) if fits else scale_end
    # The vertical strokes at the ends are part of the line, not markers: their size is then in points at any zoom.
    cap = 0.25 * at.font_size
    ruler = line(
        [scale_start, scale_start, scale_start, ruler_end, ruler_end, ruler_end],
        [at.ruler_y + d for d in (-cap, cap, 0, 0, *((cap, -cap) if fits else (0, 0)))],
        linewidth=1.5 * thin,
    )
    ruler_text = f"CD = {comparison.critical_difference:.2f} (α = {comparison.alpha:g})"
    ruler_label = write(
        scale_start,
        at.ruler_label_y,
        ruler_text if fits else f"{ruler_text}, longer than the scale",
        at.small,
        ha="left",
    )

    bars = [
        line(
            x,
            [y] * len(x),
            color=BLUE if finding else LIGHT_GREY,
            linewidth=thick,
            marker="o",
            markersize=1.6 * thick,
            markeredgewidth=0,
            zorder=3,
        )
        for x, y in zip(at.bars_x, at.bars_y, strict=True)
    ]

    markers, leaders, labels, values = [], [], [], []
    ink = BLACK if finding else GREY
    for i, (method, y, text) in enumerate(zip(comparison.methods, at.rows_y, at.labels, strict=True)):
        rank = float(comparison.average_ranks[method])
        x = at.x(rank)
        left = i < at.num_left
        label_x, leader_x = (at.left_label_x, at.left_leader_x) if left else (at.right_label_x, at.right_leader_x)
        markers.append(
            line([x], [at.scale_y], color=ink, marker="o", markersize=0.45 * at.font_size, markeredgewidth=0, zorder=4)
        )
        leaders.append(line([x, x, leader_x], [at.scale_y, y, y], color=ink))
        side = "right" if left else "left"
        labels.append(write(label_x, y, text, at.font_size, ha=side, multialignment=side))
        values.append(
            write(
                leader_x,
                y + 0.2 * at.tiny,
                f"{rank:.2f}",
                at.tiny,
                ha="left" if left else "right",
                va="bottom",
                color=GREY,
            )
        )

    heading = None
    if at.title:
        heading = write(
            at.width / 2,
            at.title_y,
            at.title,
            at.font_size,
            ha="center",
            va="top",
            multialignment="center",
            fontweight="bold",
        )
    banner = None
    if at.banner is not None:
        box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": VERMILLION, "linewidth": 2 * thin}
        banner = write(
            at.width / 2,
            at.banner_y,
            at.banner,
            at.font_size,
            ha="center",
            multialignment="center",
            color=VERMILLION,
            fontweight="bold",
            bbox=box,
            zorder=5,
        )
    return CriticalDifferenceArtists(
        figure=figure,
        axes=ax,
        scale=scale,
        ticks=tuple(ticks),
        tick_labels=tuple(tick_labels),
        ruler=ruler,
        ruler_label=ruler_label,
        markers=tuple(markers),
        leaders=tuple(leaders),
        labels=tuple(labels),
        rank_values=tuple(values),
        bars=tuple(bars),
        title=heading,
        banner=banner,
    )


def _tick_ranks(at: _Layout) -> list[int]:
    """Whole ranks to label: all of them, or every second, fifth, ... from the first on where all would not fit."""
    start, end = at.scale_x
    room = text_width("88", at.small) + 0.6 * at.small
    steps = (step * 10**power for power in range(4) for step in (1, 2, 5))
    step = next(step for step in steps if step * (end - start) / (at.num_methods - 1) >= room or step >= at.num_methods)
    return list(range(1, at.num_methods + 1, step))
