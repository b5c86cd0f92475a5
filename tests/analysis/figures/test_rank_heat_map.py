from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from analysis import draw_rank_heat_map
from analysis.errors import MissingCellsError, OptionError
from analysis.figures.figure_style import FULL_WIDTH
from analysis.figures.rank_heat_map import RankHeatMapArtists

Legible = Callable[..., None]


def table(num_domains: int, num_methods: int, seed: int = 0) -> pd.DataFrame:
    # Whole numbers, so that many tie.
    values = np.random.default_rng(seed).integers(0, 6, size=(num_domains, num_methods)).astype(float)
    return pd.DataFrame(
        values,
        index=[f"domain {i}" for i in range(num_domains)],
        columns=[f"method {i}" for i in range(num_methods)],
    )


def names_of(drawn: RankHeatMapArtists) -> list[Any]:
    return [*drawn.domain_names, *drawn.method_names, *drawn.group_names, *drawn.small_print]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_digits_and_colours_are_scipys_ranks(higher_is_better: bool) -> None:
    scores = table(7, 5)
    drawn = draw_rank_heat_map(scores, higher_is_better=higher_is_better)
    expected = stats.rankdata(-scores if higher_is_better else scores, axis=1)
    assert drawn.ranks.loc[scores.index, scores.columns].to_numpy().tolist() == expected.tolist()
    averages = expected.mean(axis=0)
    assert drawn.average_ranks.tolist() == pytest.approx(sorted(averages))
    colours = drawn.cells.get_facecolor()
    scale = colormaps["cividis"]
    for row, domain in enumerate(scores.index):
        for column, method in enumerate(drawn.ranks.columns):
            rank = expected[row, scores.columns.get_loc(method)]
            assert drawn.digits[domain, method].get_text() == f"{rank:g}"
            assert tuple(colours[row * 5 + column]) == pytest.approx(scale((rank - 1) / 4))
    assert any(text.get_text().endswith(".5") for text in drawn.digits.values())


def test_groups_order_the_domains_and_scores_stand_below_the_ranks() -> None:
    scores = table(4, 3)
    groups = {"signs": ["domain 2"], "photographs": ["domain 3", "domain 0", "domain 1"]}
    drawn = draw_rank_heat_map(scores, higher_is_better=True, groups=groups, with_scores=True, score_format=".1f")
    assert list(drawn.ranks.index) == ["domain 2", "domain 3", "domain 0", "domain 1"]
    assert [text.get_text() for text in drawn.group_names] == ["signs", "photographs"]
    rank, score = drawn.digits["domain 3", "method 1"].get_text().split("\n")
    assert (rank, score) == (
        f"{drawn.ranks.loc['domain 3', 'method 1']:g}",
        f"{scores.loc['domain 3', 'method 1']:.1f}",
    )


@pytest.mark.parametrize(("num_domains", "num_methods"), [(2, 2), (10, 6), (30, 13)])
@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
def test_no_names_overlap(
    num_domains: int, num_methods: int, long: bool, long_names: list[str], assert_legible: Legible
) -> None:
    scores = table(num_domains, num_methods)
    if long:
        scores.index = pd.Index([f"{long_names[i % 5]} {i}" for i in range(num_domains)])
        scores.columns = pd.Index([f"{long_names[i % 5]} {i}" for i in range(num_methods)])
    drawn = draw_rank_heat_map(scores, higher_is_better=True, title="A title", groups={"all": list(scores.index)})
    assert drawn.figure.get_size_inches()[0] == pytest.approx(3.3)
    assert_legible(drawn.figure, [*names_of(drawn), *list(drawn.digits.values())[:60]])
    shown = ["".join(text.get_text().split()) for text in drawn.method_names]
    assert shown == ["".join(method.split()) for method in drawn.ranks.columns]


def test_thirty_by_thirty_keeps_its_digits_over_both_columns_and_drops_them_in_one(assert_legible: Legible) -> None:
    wide = draw_rank_heat_map(table(30, 30), higher_is_better=True, width=FULL_WIDTH)
    assert len(wide.digits) == 900
    assert min(text.get_fontsize() for text in wide.digits.values()) >= 4
    assert_legible(wide.figure, names_of(wide))
    narrow = draw_rank_heat_map(table(30, 30), higher_is_better=True)
    assert narrow.digits == {}
    assert len(narrow.cells.get_facecolor()) == 31 * 30


def test_fills_given_axes(assert_legible: Legible) -> None:
    figure = Figure(figsize=(6.8, 2.4), dpi=200)
    left, right = figure.subplots(1, 2)
    one = draw_rank_heat_map(table(10, 4), higher_is_better=True, ax=left)
    other = draw_rank_heat_map(table(3, 3), higher_is_better=True, ax=right)
    assert one.axes is left
    # The few rows are stretched to fill the height.
    top, bottom = (other.domain_names[i].get_position()[1] for i in (0, -1))
    assert top - bottom > 0.4 * 72 * right.get_window_extent().height / figure.dpi
    FigureCanvasAgg(figure)
    assert_legible(figure, [*names_of(one), *names_of(other)])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": {"one": ["domain 0"]}}, OptionError, "domain 1, domain 2 in no group"),
        ({"groups": {"one": ["domain 0", "domain 1", "domain 2", "x"]}}, OptionError, "groups: x not in the table"),
        ({"groups": {"one": ["domain 0"] * 2}}, OptionError, "groups: domain 0 more than once"),
        ({"groups": {"one": "domain 0"}}, OptionError, "'domain 0' for 'one'; allowed: a list"),
        ({"with_scores": True, "score_format": "x y"}, OptionError, "score_format: 'x y'"),
        ({"width": 0.1}, OptionError, "width: 0.1; allowed: 1 to 50 inches"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        draw_rank_heat_map(table(3, 3), higher_is_better=True, **change)


def test_a_gap_is_refused() -> None:
    scores = table(3, 3)
    scores.iloc[1, 2] = np.nan
    with pytest.raises(MissingCellsError, match=r"\(method 2, domain 1\)"):
        draw_rank_heat_map(scores, higher_is_better=True)
