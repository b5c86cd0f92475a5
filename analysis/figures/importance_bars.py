"""Importance of hyper-parameters as bars, chance and doubt included."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures.figure_style import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    LIGHT_GREY,
    VERMILLION,
    figure_of,
    new_figure,
    require_width,
    style_axes,
)
from analysis.figures.label_text import text_height, text_width, wrap
from analysis.figures.legend_above import draw_legend, lay_out_legend
from analysis.statistics.importance import Importance

_FONT_SIZE = 7.5
_GAP = 3.0
_BELOW = 40.0
"""Points; the label has two lines."""
_MAX_NAME_SHARE = 0.32


@dataclass(frozen=True, kw_only=True)
class ImportanceArtists:
    """Everything that `draw_importance` drew."""

    figure: Figure
    axes: Axes
    bars: dict[str, Rectangle]
    """By parameter, the most important first: as long as its share; grey where chance does as well."""
    chance_marks: dict[str, Line2D]
    """The share that chance alone explains on average."""
    p_values: tuple[Text, ...]
    """Adjusted for the number of parameters."""
    names: tuple[Text, ...]
    legend: Legend


def draw_importance(
    importance: Importance, ax: Axes | None = None, *, width: float = COLUMN_WIDTH
) -> ImportanceArtists:
    """Draw a horizontal bar for each hyper-parameter: the share of the trials' variance that it explains by itself.

    Args:
        importance: from `parameter_importance`.
        ax: axes to draw into. The names stand to their left, the legend above, the label below.
        width: inches, where `ax` is None; the height follows.

    Returns:
        the artists; `.figure` is what to save.
    """
    require_width(width)
    table = importance.table
    names = [str(name) for name in table.index]
    has_shown = bool((table["p_holm"] < importance.alpha).any())
    has_doubtful = bool((table["p_holm"] >= importance.alpha).any())
    handles: list[Artist] = []
    explained: list[str] = []
    for is_there, handle, text in (
        (has_shown, Patch(color=BLUE), f"shown (p < {importance.alpha:g}, Holm)"),
        (has_doubtful, Patch(color=LIGHT_GREY), "not shown"),
        (True, Line2D([], [], color=VERMILLION, linewidth=1.5), "chance"),
    ):
        if is_there:
            handles.append(handle)
            explained.append(text)
    p_texts = [_p_text(p) for p in table["p_holm"].tolist()]
    p_room = max(text_width(text, 0.85 * _FONT_SIZE) for text in p_texts) + 2 * _GAP

    legend_left = 0.0
    if ax is None:
        points = 72 * width
        wrapped = [wrap(name, _FONT_SIZE, _MAX_NAME_SHARE * points) for name in names]
        left = max(text_width(name, _FONT_SIZE) for name in wrapped) + 3 * _GAP
        layout = lay_out_legend(explained, width=points - 2 * _GAP, font_size=_FONT_SIZE)
        row = max(text_height(name, _FONT_SIZE) for name in wrapped) + _GAP
        height = _BELOW + row * len(names) + layout.height + _GAP
        frame = (left / points, _BELOW / height, 1 - (left + 4 * _GAP) / points, row * len(names) / height)
        ax = new_figure(width, height / 72).add_axes(frame)
        legend_left = left - _GAP
    figure = figure_of(ax)
    x, _, axes_width, _ = (72 / figure.dpi * float(part) for part in ax.get_window_extent().bounds)
    if legend_left == 0:
        room = min(x - 2 * _GAP, _MAX_NAME_SHARE * 72 * figure.get_figwidth())
        wrapped = [wrap(name, _FONT_SIZE, room) for name in names]
        layout = lay_out_legend(explained, width=axes_width, font_size=_FONT_SIZE)

    shares, p_values = table["share"].tolist(), table["p_holm"].tolist()
    colours = [BLUE if p < importance.alpha else LIGHT_GREY for p in p_values]
    bars = ax.barh(range(len(names)), shares, height=0.7, color=colours, zorder=2)
    marks = {
        name: ax.plot([chance] * 2, [i - 0.42, i + 0.42], color=VERMILLION, linewidth=1.5, zorder=3)[0]
        for i, (name, chance) in enumerate(zip(names, table["chance"].tolist(), strict=True))
    }
    texts = tuple(
        ax.annotate(
            text,
            (max(share, chance), i),
            xytext=(_GAP, 0),
            textcoords="offset points",
            va="center",
            fontsize=0.85 * _FONT_SIZE,
            color=BLACK,
        )
        for i, (text, share, chance) in enumerate(zip(p_texts, shares, table["chance"].tolist(), strict=True))
    )
    label = f"share of the variance of {importance.num_settings} settings explained by itself"
    style_axes(ax, wrap(label, _FONT_SIZE, axes_width + 2 * _GAP), "", font_size=_FONT_SIZE)
    ax.grid(False, axis="y")
    # Room for the p-value behind the longest bar.
    longest = max(*shares, *table["chance"].tolist(), 0.01)
    ax.set_xlim(0, longest / max(0.2, 1 - p_room / axes_width))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    ax.set_yticks(range(len(names)), wrapped, fontsize=_FONT_SIZE, parse_math=False)
    ax.tick_params(axis="y", length=0)
    return ImportanceArtists(
        figure=figure,
        axes=ax,
        bars=dict(zip(names, bars.patches, strict=True)),
        chance_marks=marks,
        p_values=texts,
        names=tuple(ax.get_yticklabels()),
        legend=draw_legend(ax, handles, layout, left=legend_left),
    )


def _p_text(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value >= 0.001 else "p < 0.001"
