from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import Comparison, compare, compare_ranks, draw_cd, paper_accuracies, save_figure
from analysis.errors import OptionError
from analysis.figures.rank_diagram import RankDiagramArtists

Legible = Callable[[RankDiagramArtists], None]

LONG_NAMES = [
    "BetaDataWeighter, eta=10, rho=0.9, lambda=0.25, twenty-way five-shot",
    "a",
    "NearestNeighbourWeighterWithAVeryLongNameWithoutAnyPlaceToBreak",
    "$x_{1}^2$ is not mathematics",
    "trial_00017_of_study_stl10_pruning_on_gpu",
]


def spread_out(num_methods: int, *, num_domains: int = 10, effect: float = 1.0, long: bool = False) -> Comparison:
    generator = np.random.default_rng(num_methods)
    names = [f"{LONG_NAMES[i % 5]} {i}" if long else f"method {i}" for i in range(num_methods)]
    values = generator.normal(size=(num_domains, num_methods)) + effect * np.arange(num_methods)
    return compare(pd.DataFrame(values, columns=names), higher_is_better=True)


@pytest.mark.parametrize("best", ["left", "right"])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("num_methods", [2, 3, 4, 7, 13, 30])
def test_one_of_everything_and_no_overlap(
    num_methods: int, long: bool, best: Literal["left", "right"], assert_diagram_legible: Legible
) -> None:
    comparison = spread_out(num_methods, long=long)
    drawn = draw_cd(comparison, best=best)
    assert len(drawn.markers) == len(drawn.leaders) == len(drawn.labels) == len(drawn.rank_values) == num_methods
    assert len(drawn.bars) == len(comparison.cliques)
    assert drawn.figure.get_size_inches()[0] == pytest.approx(3.3)
    # Nothing of a name is lost in wrapping.
    shown = ["".join(label.get_text().split()) for label in drawn.labels]
    assert shown == ["".join(method.split()) for method in comparison.methods]
    assert [value.get_text() for value in drawn.rank_values] == [f"{rank:.2f}" for rank in comparison.average_ranks]
    assert_diagram_legible(drawn)


def test_lengths_tell_the_truth() -> None:
    comparison = compare_ranks({"RotNet": 3.6, "NN-Weighter": 2.8, "L2RW": 2.2, "BDW": 1.4}, num_domains=10)
    drawn = draw_cd(comparison)
    (start, end), _ = drawn.scale.get_data()
    a_rank = (end - start) / 3
    for marker, rank in zip(drawn.markers, comparison.average_ranks, strict=True):
        assert marker.get_xdata()[0] == pytest.approx(start + (rank - 1) * a_rank)
    ruler = drawn.ruler.get_xdata()
    assert max(ruler) - min(ruler) == pytest.approx(comparison.critical_difference * a_rank)
    for bar, clique in zip(drawn.bars, comparison.cliques, strict=True):
        expected = [start + (comparison.average_ranks[method] - 1) * a_rank for method in clique]
        assert list(bar.get_xdata()) == pytest.approx(expected)
    # The two bars share methods, so they must not share a level.
    assert len({bar.get_ydata()[0] for bar in drawn.bars}) == 2


@pytest.mark.parametrize(
    ("evaluation", "ranks", "bars"),
    [
        ("logistic_regression", [1.4, 2.2, 2.8, 3.6], [(1.4, 2.8), (2.2, 3.6)]),
        ("fine_tuned", [1.3, 2.6, 2.8, 3.3], [(1.3, 2.6), (2.6, 3.3)]),
    ],
)
def test_the_papers_figure_2_from_its_accuracies(
    evaluation: str, ranks: list[float], bars: list[tuple[float, float]], assert_diagram_legible: Legible
) -> None:
    """Bars by hand: from the first to the last of methods that lie within 1.4832 ranks."""
    drawn = draw_cd(compare(paper_accuracies(evaluation), higher_is_better=True), title=evaluation)
    assert [value.get_text() for value in drawn.rank_values] == [f"{rank:.2f}" for rank in ranks]
    (start, end), _ = drawn.scale.get_data()
    a_rank = (end - start) / 3
    ruler = drawn.ruler.get_xdata()
    assert (max(ruler) - min(ruler)) / a_rank == pytest.approx(1.4832, abs=5e-5)
    for bar, ends in zip(drawn.bars, bars, strict=True):
        reached = [1 + (x - start) / a_rank for x in bar.get_xdata()]
        assert (min(reached), max(reached)) == pytest.approx(ends)
    assert_diagram_legible(drawn)


def test_the_best_is_on_the_right_on_request() -> None:
    comparison = compare_ranks({"RotNet": 3.6, "NN-Weighter": 2.8, "L2RW": 2.2, "BDW": 1.4}, num_domains=10)
    drawn = draw_cd(comparison, best="right")
    start, end = drawn.scale.get_xdata()
    a_rank = (end - start) / 3
    for marker, rank in zip(drawn.markers, comparison.average_ranks, strict=True):
        assert marker.get_xdata()[0] == pytest.approx(end - (rank - 1) * a_rank)
    assert [label.get_text() for label in drawn.tick_labels] == ["1", "2", "3", "4"]
    assert drawn.tick_labels[0].get_position()[0] == pytest.approx(end)
    ruler = drawn.ruler.get_xdata()
    assert max(ruler) - min(ruler) == pytest.approx(comparison.critical_difference * a_rank)
    assert len({bar.get_ydata()[0] for bar in drawn.bars}) == 2
    with pytest.raises(OptionError, match="best: 'up'; allowed: 'left', 'right'"):
        draw_cd(comparison, best="up")  # type: ignore[arg-type]


@pytest.mark.parametrize("best", ["left", "right"])
def test_no_leader_crosses_another(best: Literal["left", "right"]) -> None:
    drawn = draw_cd(spread_out(12), best=best)
    lines = [leader.get_xydata() for leader in drawn.leaders]
    for (top, corner, _), (_, other_corner, other_end) in permutations(lines, 2):
        low, high = sorted([other_corner[0], other_end[0]])
        assert not (low < corner[0] < high and corner[1] < other_corner[1] < top[1])


def test_ties_of_thirty_methods_do_not_overlap(assert_diagram_legible: Legible) -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2, size=(10, 30)) + np.repeat([0, 3, 6], 10)
    comparison = compare(pd.DataFrame(values, columns=[f"method {i}" for i in range(30)]), higher_is_better=True)
    assert comparison.average_ranks.nunique() < 30
    assert_diagram_legible(draw_cd(comparison))


def test_two_methods_name_the_test_that_decided(assert_diagram_legible: Legible) -> None:
    apart = compare(pd.DataFrame({"a": np.arange(9.0), "b": np.arange(9.0) ** 2 + 1}), higher_is_better=True)
    assert apart.is_significant
    drawn = draw_cd(apart)
    assert drawn.banner is None
    assert drawn.note is not None
    assert drawn.note.get_text() == "Two methods: Wilcoxon p = 0.0039 decides, not CD"
    assert drawn.bars == ()
    assert_diagram_legible(drawn)
    alike = spread_out(2, num_domains=8, effect=0)
    drawn = draw_cd(alike)
    assert drawn.note is None
    assert drawn.banner is not None
    assert drawn.banner.get_text() == f"Wilcoxon p = {alike.p_value:.2g}: no difference shown"
    assert len(drawn.bars) == 1
    assert_diagram_legible(drawn)


def test_a_rejecting_test_gets_no_banner() -> None:
    assert draw_cd(spread_out(5, effect=3)).banner is None


def test_no_reader_can_overlook_that_nothing_was_shown(assert_diagram_legible: Legible) -> None:
    comparison = spread_out(5, num_domains=4, effect=0)
    assert not comparison.is_significant
    drawn = draw_cd(comparison, title="A title")
    assert drawn.banner is not None
    text = drawn.banner.get_text()
    assert text == f"Friedman p = {comparison.friedman_p_value:.2g}: no difference shown"
    assert drawn.banner.get_fontsize() >= max(label.get_fontsize() for label in drawn.labels)
    # It is the only thing in colour.
    coloured = drawn.banner.get_color()
    assert coloured not in {bar.get_color() for bar in drawn.bars} | {line.get_color() for line in drawn.leaders}
    assert_diagram_legible(drawn)


def test_a_ruler_longer_than_the_scale_says_so() -> None:
    drawn = draw_cd(spread_out(2, num_domains=2))
    assert "longer than the scale" in drawn.ruler_label.get_text()
    assert max(drawn.ruler.get_xdata()) == max(drawn.scale.get_xdata())


def test_fills_given_axes_and_shrinks_where_they_are_small(assert_diagram_legible: Legible) -> None:
    figure = Figure(figsize=(3.3, 3.0), dpi=150)
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1)
    for ax, comparison in ((upper, spread_out(4)), (lower, spread_out(12, long=True))):
        drawn = draw_cd(comparison, ax)
        assert drawn.axes is ax
        assert drawn.figure is figure
        assert_diagram_legible(drawn)


def test_tied_methods_share_a_place_but_not_a_row(assert_diagram_legible: Legible) -> None:
    comparison = compare_ranks({"a": 2.0, "b": 2.0, "c": 2.0}, num_domains=5)
    drawn = draw_cd(comparison)
    assert len({marker.get_xdata()[0] for marker in drawn.markers}) == 1
    assert_diagram_legible(drawn)


def test_vector_files_embed_fonts_and_repeat_byte_for_byte(tmp_path: Path) -> None:
    comparison = spread_out(4)
    first = save_figure(draw_cd(comparison).figure, tmp_path / "cd.pdf").read_bytes()
    assert b"/FontFile2" in first
    assert b"/Type3" not in first
    assert save_figure(draw_cd(comparison).figure, tmp_path / "cd.pdf").read_bytes() == first
    assert save_figure(draw_cd(comparison).figure, tmp_path / "cd.svg").stat().st_size > 0
    assert save_figure(draw_cd(comparison).figure, tmp_path / "cd.png").stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cd.pdf", "cd.png", "cd.svg"]
