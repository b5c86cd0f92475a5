from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import ControlComparison, compare, compare_ranks, compare_with_control, draw_control, save_figure
from analysis.figures.rank_diagram import RankDiagramArtists

Legible = Callable[[RankDiagramArtists], None]

LONG_NAMES = [
    "BetaDataWeighter, eta=10, rho=0.9, lambda=0.25, twenty-way five-shot",
    "a",
    "NearestNeighbourWeighterWithAVeryLongNameWithoutAnyPlaceToBreak",
    "$x_{1}^2$ is not mathematics",
]

DEMSAR = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}


def spread_out(num_methods: int, *, effect: float = 1.0, long: bool = False) -> ControlComparison:
    generator = np.random.default_rng(num_methods)
    names = [f"{LONG_NAMES[i % 4]} {i}" if long else f"method {i}" for i in range(num_methods)]
    values = generator.normal(size=(10, num_methods)) + effect * np.arange(num_methods)
    comparison = compare(pd.DataFrame(values, columns=names), higher_is_better=True)
    return compare_with_control(comparison, names[num_methods // 2])


@pytest.mark.parametrize("best", ["left", "right"])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("num_methods", [3, 4, 13, 30])
def test_one_of_everything_and_no_overlap(
    num_methods: int, long: bool, best: Literal["left", "right"], assert_diagram_legible: Legible
) -> None:
    compared = spread_out(num_methods, long=long)
    drawn = draw_control(compared, best=best)
    assert len(drawn.markers) == len(drawn.leaders) == len(drawn.labels) == len(drawn.rank_values) == num_methods
    assert drawn.figure.get_size_inches()[0] == pytest.approx(3.3)
    bold = [label.get_text().split() for label in drawn.labels if label.get_fontweight() == "bold"]
    assert ["".join(words) for words in bold] == ["".join(compared.control.split())]
    assert_diagram_legible(drawn)


@pytest.mark.parametrize("best", ["left", "right"])
def test_the_interval_is_one_critical_difference_each_way(best: Literal["left", "right"]) -> None:
    comparison = compare_ranks(DEMSAR, num_domains=40)
    compared = compare_with_control(comparison, "C4.5+m")
    drawn = draw_control(compared, best=best)
    start, end = drawn.scale.get_xdata()
    a_rank = (end - start) / 3
    centre = start + a_rank if best == "left" else end - a_rank
    low, high = centre - compared.critical_difference * a_rank, centre + compared.critical_difference * a_rank
    assert start < low < high < end
    assert drawn.band.get_x() == pytest.approx(low)
    assert drawn.band.get_x() + drawn.band.get_width() == pytest.approx(high)
    assert (min(drawn.ruler.get_xdata()), max(drawn.ruler.get_xdata())) == pytest.approx((low, high))
    # Hollow dots are the methods within; they are those of which no difference was shown.
    for method, marker in zip(comparison.methods, drawn.markers, strict=True):
        hollow = marker.get_markerfacecolor() == "white"
        inside = low < marker.get_xdata()[0] < high
        assert hollow == (inside and method != "C4.5+m")
        assert hollow == (method != "C4.5+m" and not compared.differs(method))
    assert "C4.5+m ± CD, CD = 0.69 (α = 0.05)" in drawn.ruler_label.get_text()


def test_an_interval_past_the_scale_is_cut_at_its_end() -> None:
    drawn = draw_control(compare_with_control(compare_ranks(DEMSAR, num_domains=14), "C4.5"))
    start, end = drawn.scale.get_xdata()
    assert start < drawn.band.get_x()
    assert drawn.band.get_x() + drawn.band.get_width() == pytest.approx(end)


def test_no_reader_can_overlook_that_nothing_was_shown(assert_diagram_legible: Legible) -> None:
    compared = spread_out(5, effect=0)
    assert not compared.comparison.is_significant
    drawn = draw_control(compared, title="A title")
    assert drawn.banner is not None
    assert drawn.banner.get_text().startswith("Friedman p = ")
    assert drawn.banner.get_text().endswith(": no difference shown")
    assert sum(marker.get_markerfacecolor() == "white" for marker in drawn.markers) == 4
    assert_diagram_legible(drawn)


def test_fills_given_axes(tmp_path: Path, assert_diagram_legible: Legible) -> None:
    figure = Figure(figsize=(3.3, 1.2), dpi=150)
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    drawn = draw_control(spread_out(8), ax)
    assert drawn.axes is ax
    assert_diagram_legible(drawn)
    assert b"/FontFile2" in save_figure(figure, tmp_path / "control.pdf").read_bytes()
