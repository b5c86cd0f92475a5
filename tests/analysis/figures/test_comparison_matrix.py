from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis import compare_pairs, draw_comparison_matrix
from analysis.errors import DirectionError, OptionError
from analysis.figures.figure_style import FULL_WIDTH


def table(num_domains: int, num_methods: int, *, whole: bool = False) -> pd.DataFrame:
    generator = np.random.default_rng(num_methods)
    values = generator.normal(size=(num_domains, num_methods)) + 0.5 * np.arange(num_methods)
    return pd.DataFrame(values.round() if whole else values, columns=[f"method {i}" for i in range(num_methods)])


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_counts_and_means_are_those_of_the_definition(higher_is_better: bool) -> None:
    scores = table(7, 4, whole=True)
    found = compare_pairs(scores, higher_is_better=higher_is_better)
    best_first = scores.mean().sort_values(ascending=not higher_is_better)
    assert found.mean_scores.tolist() == pytest.approx(best_first.tolist())
    for row, column in product(scores.columns, repeat=2):
        pairs = list(zip(scores[row], scores[column], strict=True))
        better = sum(a > b if higher_is_better else a < b for a, b in pairs)
        ties = sum(a == b for a, b in pairs)
        assert found.wins.loc[row, column] == better
        assert found.ties.loc[row, column] == ties
        assert found.losses.loc[row, column] == 7 - better - ties
        assert found.mean_differences.loc[row, column] == pytest.approx(np.mean([a - b for a, b in pairs]))


def test_p_values_are_scipys() -> None:
    scores = table(10, 4)
    found = compare_pairs(scores, higher_is_better=True)
    for row, column in product(scores.columns, repeat=2):
        if row != column:
            assert found.p_values.loc[row, column] == pytest.approx(stats.wilcoxon(scores[row], scores[column]).pvalue)
        else:
            assert found.p_values.loc[row, column] == 1
    assert found.differs.equals(found.adjusted_p_values < 0.05)


def test_corrected_p_values_are_statsmodels_over_the_pairs_of_the_table() -> None:
    scores = table(10, 5)
    found = compare_pairs(scores, higher_is_better=True)
    pairs = list(combinations(scores.columns, 2))
    expected = multipletests([stats.wilcoxon(scores[a], scores[b]).pvalue for a, b in pairs], method="holm")[1]
    for (a, b), p_value in zip(pairs, expected, strict=True):
        assert found.adjusted_p_values.loc[a, b] == pytest.approx(p_value)
        assert found.adjusted_p_values.loc[b, a] == pytest.approx(p_value)
    assert found.num_pairs == 10
    control = compare_pairs(scores, higher_is_better=True, against="method 2")
    others = list(control.p_values.index)
    alone = multipletests([stats.wilcoxon(scores[m], scores["method 2"]).pvalue for m in others], method="holm")[1]
    assert control.adjusted_p_values["method 2"].tolist() == pytest.approx(alone.tolist())
    assert control.num_pairs == 4


def test_differences_that_domains_do_not_agree_on_stay_pale() -> None:
    generator = np.random.default_rng(0)
    noise = pd.DataFrame(generator.normal(size=(25, 3)), columns=["a", "b", "c"])
    found = compare_pairs(noise, higher_is_better=True)
    differences = [noise[a] - noise[b] for a, b in combinations("abc", 2)]
    assert found.spread == pytest.approx(np.sqrt(np.mean([one.var(ddof=1) for one in differences])))
    for factor in (1e300, 1e-300):
        assert compare_pairs(factor * noise, higher_is_better=True).spread / factor == pytest.approx(found.spread)
    drawn = draw_comparison_matrix(found)
    colours = drawn.cells.get_facecolor()[[1, 2, 3, 5, 6, 7], :3]
    assert found.mean_differences.abs().to_numpy().max() < 0.4 * found.spread
    assert (colours.min(axis=1) > 0.65).all(), "full colour has a channel below 0.2"
    assert "a pair's standard deviation over domains" in drawn.small_print[-1].get_text().replace("\n", " ")
    sure = draw_comparison_matrix(compare_pairs(noise.add([0, 20, 40]), higher_is_better=True))
    assert sure.cells.get_facecolor()[[2, 6], :3].min() < 0.2
    assert "the largest mean difference" in sure.small_print[-1].get_text().replace("\n", " ")


def test_p_value_with_ties_and_zeros_is_that_of_all_signs() -> None:
    # 0.3 - 0.2 and 0.2 - 0.1 differ in their last bit; on paper they tie.
    a, b = [0.3, 0.2, 0.7, 0.5, 0.9, 0.4, 0.8], [0.2, 0.1, 0.7, 0.2, 0.5, 0.6, 0.2]
    sizes = np.array([1, 1, 0, 3, 4, 2, 6])
    signs = np.array([1, 1, 0, 1, 1, -1, 1])
    ranks = np.where(sizes == 0, 0, stats.rankdata(sizes))
    sums = [float(np.dot(ranks, flips)) for flips in product((-1, 1), repeat=7)]
    expected = np.mean([abs(total) >= abs(np.dot(ranks, signs)) - 1e-9 for total in sums])
    found = compare_pairs(pd.DataFrame({"a": a, "b": b}), higher_is_better=True)
    assert found.p_values.loc["a", "b"] == pytest.approx(expected)
    assert found.p_values.loc["b", "a"] == pytest.approx(expected)


def test_other_methods_do_not_matter() -> None:
    scores = table(9, 6)
    every = compare_pairs(scores, higher_is_better=True)
    two = compare_pairs(scores[["method 1", "method 4"]], higher_is_better=True)
    for field in ("mean_differences", "wins", "losses", "p_values"):
        assert getattr(two, field).loc["method 1", "method 4"] == getattr(every, field).loc["method 1", "method 4"]


def test_against_a_control_is_a_column_of_the_whole() -> None:
    scores = table(9, 6)
    every = compare_pairs(scores, higher_is_better=False)
    one = compare_pairs(scores, higher_is_better=False, against="method 2")
    assert list(one.wins.columns) == ["method 2"]
    assert list(one.wins.index) == [method for method in every.wins.index if method != "method 2"]
    for field in ("mean_differences", "wins", "ties", "losses", "p_values"):
        expected = getattr(every, field)["method 2"].drop("method 2")
        assert getattr(one, field)["method 2"].tolist() == expected.tolist()


def test_alike_methods_do_not_differ() -> None:
    scores = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 2.0]})
    found = compare_pairs(scores, higher_is_better=True)
    assert found.p_values.loc["a", "b"] == 1
    assert draw_comparison_matrix(found).texts["a", "b"].get_text() == "0.00\n0/2/0\n1.000"


def test_cells_say_what_was_found_and_are_bold_where_it_counts() -> None:
    found = compare_pairs(table(10, 5), higher_is_better=True)
    drawn = draw_comparison_matrix(found, score_format=".1f")
    assert len(drawn.texts) == 20
    for (row, column), text in drawn.texts.items():
        difference, counts, p_value = text.get_text().split("\n")
        value = float(found.mean_differences.loc[row, column])  # type: ignore[arg-type]
        assert float(difference.replace("−", "-")) == pytest.approx(value, abs=0.051)
        assert counts == "/".join(str(part.loc[row, column]) for part in (found.wins, found.ties, found.losses))
        corrected = float(found.adjusted_p_values.loc[row, column])  # type: ignore[arg-type]
        assert p_value == f"{corrected:.3f}"
        assert (text.get_fontweight() == "bold") == (corrected < 0.05)
    assert {text.get_fontweight() for text in drawn.texts.values()} == {"bold", "normal"}


def test_blue_is_good_whichever_direction_is() -> None:
    scores = table(10, 3)
    for higher_is_better in (True, False):
        found = compare_pairs(scores, higher_is_better=higher_is_better)
        colours = draw_comparison_matrix(found).cells.get_facecolor()
        best_against_worst, worst_against_best = colours[2], colours[6]
        assert best_against_worst[2] > best_against_worst[0]
        assert worst_against_best[0] > worst_against_best[2]


@pytest.mark.parametrize("long", [False, True], ids=["short names", "long names"])
@pytest.mark.parametrize("against", [False, True], ids=["all pairs", "against one"])
@pytest.mark.parametrize("num_methods", [2, 5, 13])
def test_legible(
    num_methods: int, against: bool, long: bool, long_names: list[str], assert_legible: Callable[..., None]
) -> None:
    scores = table(8, num_methods)
    if long:
        scores.columns = pd.Index([f"{long_names[i % 5]} {i}" for i in range(num_methods)])
    control = scores.columns[0] if against else None
    found = compare_pairs(scores, higher_is_better=True, against=control)
    drawn = draw_comparison_matrix(found, title="A title")
    texts = [*drawn.row_names, *drawn.column_names, *drawn.small_print, *list(drawn.texts.values())[:40]]
    assert_legible(drawn.figure, texts)
    assert drawn.figure.get_size_inches()[0] == pytest.approx(3.3)


def test_dots_take_the_place_of_numbers_that_could_not_be_read() -> None:
    scores = table(30, 30)
    found = compare_pairs(scores, higher_is_better=True)
    drawn = draw_comparison_matrix(found, width=FULL_WIDTH)
    assert {text.get_text() for text in drawn.texts.values()} == {"•"}
    marked = {(row, column) for row in scores for column in scores if found.adjusted_p_values.loc[row, column] < 0.05}
    assert set(drawn.texts) == marked
    assert drawn.small_print[-1].get_text().startswith("• p < 0.05")


def test_no_note_explains_dots_that_are_not_there() -> None:
    found = compare_pairs(table(30, 50), higher_is_better=True)
    marked = draw_comparison_matrix(found)
    assert len(marked.texts) == found.differs.to_numpy().sum() > 0
    crowded = draw_comparison_matrix(found, width=2)
    assert crowded.texts == {}
    assert not any("•" in text.get_text() for text in crowded.small_print)


def test_fills_given_axes() -> None:
    figure = Figure(figsize=(3.3, 3.3), dpi=200)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    assert draw_comparison_matrix(compare_pairs(table(6, 4), higher_is_better=True), ax).axes is ax
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 5}, "alpha: 5; allowed: between 0 and 1"),
        ({"against": "nobody"}, "against: 'nobody' is not a method; allowed: method 0, method 1"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compare_pairs(table(5, 2), higher_is_better=True, **change)


def test_bad_formats_and_directions_are_refused() -> None:
    with pytest.raises(OptionError, match="score_format: 'many'"):
        draw_comparison_matrix(compare_pairs(table(5, 2), higher_is_better=True), score_format="many")
    rows = [
        {"method": m, "domain": d, "seed": 0, "metric": "loss", "value": 1.0, "higher_is_better": False}
        for m in "ab"
        for d in "xy"
    ]
    with pytest.raises(DirectionError):
        compare_pairs(pd.DataFrame(rows), higher_is_better=True)
