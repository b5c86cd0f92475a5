from collections.abc import Callable

import pytest
from matplotlib.lines import Line2D

from analysis.figures.figure_style import new_figure
from analysis.figures.legend_above import draw_legend, lay_out_legend


@pytest.mark.parametrize("num", [1, 2, 3, 7, 10, 28])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
def test_keeps_to_the_room_that_it_asked_for(
    num: int, long: bool, long_names: list[str], assert_legible: Callable[..., None]
) -> None:
    names = [f"{long_names[i % 5]} {i}" if long else f"name {i}" for i in range(num)]
    layout = lay_out_legend(names, width=220, font_size=7.5)
    height = layout.height + 100
    figure = new_figure(240 / 72, height / 72)
    ax = figure.add_axes((10 / 240, 0, 220 / 240, 100 / height))
    legend = draw_legend(ax, [Line2D([], []) for _ in names], layout)
    assert_legible(figure, legend.get_texts())
    box, frame = legend.get_window_extent(), ax.get_window_extent()
    assert box.x1 <= frame.x1 + 1
    assert box.y1 <= figure.bbox.y1 + 1
    assert ["".join(text.get_text().split()) for text in legend.get_texts()] == ["".join(n.split()) for n in names]


def test_columns_are_full_but_for_the_last() -> None:
    assert lay_out_legend([f"name {i}" for i in range(10)], width=400, font_size=7.5).num_columns == 5
    assert lay_out_legend(["a", "b"], width=400, font_size=7.5).num_columns == 2
