import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from analysis import compare, compare_ranks, compare_with_control, describe, describe_control, draw_cd
from analysis.errors import (
    ConstantScoresError,
    MissingCellsError,
    OptionError,
)
from tests.analysis.statistics.score_tables import long_table, random_table

# Demsar 2006, Table 6: four variants of C4.5 (AUC) on 14 data sets. The ranks, not the AUCs, are typed in: the printed
# AUCs are rounded and tie where the printed ranks do not (voting).
DEMSAR_METHODS = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
DEMSAR_RANKS = {
    "adult (sample)": [4, 3, 2, 1],
    "breast cancer": [1, 2, 3, 4],
    "breast cancer wisconsin": [4, 1, 2, 3],
    "cmc": [4, 1, 3, 2],
    "ionosphere": [4, 2, 3, 1],
    "iris": [1, 2.5, 4, 2.5],
    "liver disorders": [3, 2, 4, 1],
    "lung cancer": [2.5, 2.5, 4, 1],
    "lymphography": [4, 3, 2, 1],
    "mushroom": [2.5, 2.5, 2.5, 2.5],
    "primary tumor": [4, 2.5, 1, 2.5],
    "rheum": [3, 2, 4, 1],
    "voting": [4, 1, 2, 3],
    "wine": [3, 1, 4, 2],
}


def demsar_ranks() -> pd.DataFrame:
    return pd.DataFrame.from_dict(DEMSAR_RANKS, orient="index", columns=DEMSAR_METHODS)


def test_demsars_worked_example() -> None:
    # Demsar 2006, section 3.2.2: average ranks, chi-square 9.28 (he does not correct for ties), CD 1.25 at 0.05.
    ranks = demsar_ranks()
    comparison = compare(ranks, higher_is_better=False)
    expected = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert comparison.average_ranks.round(3).to_dict() == expected
    assert comparison.critical_difference == pytest.approx(1.25, abs=0.005)
    assert comparison.num_domains == 14
    uncorrected = compare_ranks(comparison.average_ranks, num_domains=14)
    assert uncorrected.friedman_statistic == pytest.approx(9.28, abs=0.005)
    assert comparison.friedman_statistic == pytest.approx(stats.friedmanchisquare(*ranks.to_numpy().T).statistic)
    # Section 3.2.4 at 0.10: CD 1.12; C4.5 differs from C4.5+m and C4.5+m+cf, C4.5+cf from neither.
    at_ten = compare(ranks, higher_is_better=False, alpha=0.1)
    assert at_ten.critical_difference == pytest.approx(1.12, abs=0.005)
    assert at_ten.differs("C4.5", "C4.5+m")
    assert at_ten.differs("C4.5", "C4.5+m+cf")
    assert not at_ten.differs("C4.5+cf", "C4.5+m+cf")
    assert at_ten.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


@pytest.mark.parametrize(
    ("ranks", "chi_square"),
    [([3.6, 2.8, 2.2, 1.4], 15.60), ([2.8, 2.6, 3.3, 1.3], 13.08)],
    ids=["logistic regression", "fine-tuned"],
)
def test_the_papers_figure_2(ranks: list[float], chi_square: float) -> None:
    methods = ["RotNet", "NN-Weighter", "L2RW", "BDW"]
    comparison = compare_ranks(dict(zip(methods, ranks, strict=True)), num_domains=10)
    assert comparison.friedman_statistic == pytest.approx(chi_square, abs=1e-9)
    assert comparison.critical_difference == pytest.approx(1.4832, abs=5e-5)
    assert comparison.is_significant
    assert comparison.methods[0] == "BDW"
    assert comparison.differs("BDW", "RotNet")


@pytest.mark.parametrize("num_tables", [50, pytest.param(1000, marks=pytest.mark.long)])
def test_agrees_with_scikit_posthocs_and_scipy_without_ties(num_tables: int) -> None:
    for seed in range(num_tables):
        table = random_table(seed, num_domains=3 + seed % 29, num_methods=3 + seed % 7)
        comparison = compare(table, higher_is_better=True)
        oracle = scikit_posthocs.posthoc_nemenyi_friedman(table)
        ours = comparison.nemenyi_p_values.loc[table.columns, table.columns]
        np.testing.assert_allclose(ours, oracle, atol=1e-10, rtol=0)
        friedman = stats.friedmanchisquare(*table.to_numpy().T)
        assert comparison.friedman_statistic == pytest.approx(friedman.statistic, abs=1e-10)
        assert comparison.friedman_p_value == pytest.approx(friedman.pvalue, abs=1e-12)
        without_ties = compare_ranks(comparison.average_ranks, num_domains=len(table))
        assert without_ties.friedman_statistic == pytest.approx(comparison.friedman_statistic, abs=1e-10)


def test_nemenyis_p_values_are_those_of_r() -> None:
    # R's PMCMRplus::frdAllPairsNemenyiTest, as frozen in the tests of scikit-posthocs (tests/test_posthocs.py).
    table = pd.DataFrame([[4, 3, 4, 4, 5, 6, 3], [1, 2, 3, 5, 6, 7, 7], [1, 2, 6, 4, 1, 5, 1]], columns=list("abcdefg"))
    r = [
        [0.9999999],
        [0.8414506, 0.8833015],
        [0.9177741, 0.9449086, 0.9999962],
        [0.9177741, 0.9449086, 0.9999962, 1.0000000],
        [0.2147827, 0.2597539, 0.9449086, 0.8833015, 0.8833015],
        [0.9976902, 0.9991770, 0.9888953, 0.9976902, 0.9976902, 0.5511935],
    ]
    p_values = compare(table, higher_is_better=True).nemenyi_p_values
    for method, row in zip("bcdefg", r, strict=True):
        for other, p_value in zip("abcdef", row, strict=False):
            assert p_values.at[method, other] == pytest.approx(p_value, abs=2e-7)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scipy_on_ties(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 3, size=(8, 4))
    table = pd.DataFrame(values, columns=list("abcd"))
    friedman = stats.friedmanchisquare(*values.T)
    comparison = compare(table, higher_is_better=True)
    assert comparison.friedman_statistic == pytest.approx(friedman.statistic, abs=1e-10)
    assert comparison.friedman_p_value == pytest.approx(friedman.pvalue, abs=1e-12)


def test_permuting_and_stretching_changes_nothing() -> None:
    table = random_table(3, num_methods=6)
    one = compare(table, higher_is_better=True)
    shuffled = table.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    # A monotone map of its own for each domain.
    stretched = shuffled.apply(lambda row: np.exp(3 * row) + 7, axis=1)
    for other in (compare(shuffled, higher_is_better=True), compare(stretched, higher_is_better=True)):
        pd.testing.assert_series_equal(one.average_ranks, other.average_ranks)
        pd.testing.assert_frame_equal(one.nemenyi_p_values, other.nemenyi_p_values)
        assert one.cliques == other.cliques
        assert one.friedman_statistic == pytest.approx(other.friedman_statistic)
    mirrored = compare(-table, higher_is_better=False)
    pd.testing.assert_series_equal(one.average_ranks, mirrored.average_ranks)


def test_direction_decides_who_is_best() -> None:
    table = pd.DataFrame({"good": [0.9, 0.8, 0.9], "bad": [0.1, 0.2, 0.3], "mid": [0.5, 0.5, 0.5]})
    assert compare(table, higher_is_better=True).methods == ("good", "mid", "bad")
    assert compare(table, higher_is_better=False).methods == ("bad", "mid", "good")


def test_p_value_is_below_alpha_where_ranks_are_a_critical_difference_apart() -> None:
    comparison = compare(random_table(5, num_domains=30) + np.arange(5) * 0.4, higher_is_better=True)
    ranks = comparison.average_ranks.to_numpy()
    apart = np.abs(ranks[:, None] - ranks) >= comparison.critical_difference
    np.testing.assert_array_equal(comparison.nemenyi_p_values.to_numpy() <= comparison.alpha, apart)
    assert apart.any()
    assert not apart.all()


def test_seeds_are_averaged_within_a_domain_and_never_count_as_domains() -> None:
    from_wide = compare(random_table(0), higher_is_better=True)
    from_long = compare(long_table(num_seeds=3), higher_is_better=True)
    assert from_long.num_domains == 10
    pd.testing.assert_series_equal(from_wide.average_ranks, from_long.average_ranks)
    assert from_long.friedman_p_value == from_wide.friedman_p_value


def test_methods_with_the_same_seeds_in_another_order_tie() -> None:
    values = {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.1, 0.2], "c": [0.0, 0.0, 0.1]}
    rows = [
        {"method": m, "domain": d, "seed": s, "metric": "x", "value": value}
        for d in ("one", "two")
        for m, seeds in values.items()
        for s, value in enumerate(seeds)
    ]
    ranks = compare(pd.DataFrame(rows), higher_is_better=True).average_ranks
    assert ranks.to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_scores_that_are_equal_but_for_rounding_tie() -> None:
    # In binary, 0.1 + 0.2 is more than 0.3 by one unit in the last place: five domains of that are no finding.
    alike = {"a": [0.1 + 0.2] * 5, "b": [0.3] * 5}
    for methods in (alike, {**alike, "c": [0.3] * 5}):
        with pytest.raises(ConstantScoresError, match="tie on each of the 5 domains"):
            compare(pd.DataFrame(methods), higher_is_better=True)
    ranks = compare(pd.DataFrame({**alike, "c": [0.2] * 5}), higher_is_better=True).average_ranks
    assert ranks.to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_seeds_with_the_same_mean_on_paper_tie() -> None:
    # Both methods average 0.2.
    seeds = {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.2, 0.2], "c": [0.15, 0.1, 0.05]}
    rows = [
        {"method": m, "domain": d, "seed": s, "metric": "x", "value": value}
        for d in ("one", "two", "three")
        for m, values in seeds.items()
        for s, value in enumerate(values)
    ]
    ranks = compare(pd.DataFrame(rows), higher_is_better=True).average_ranks
    assert ranks.to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_very_small_and_very_large_scores(scale: float) -> None:
    one, other = (compare(table, higher_is_better=True) for table in (random_table(0), random_table(0) * scale))
    pd.testing.assert_series_equal(one.average_ranks, other.average_ranks)


def test_nullable_and_categorical_columns_are_numbers() -> None:
    whole = (random_table(0) * 1000).round()
    expected = compare(whole, higher_is_better=True)
    for kind in ("Int64", "Float64", "category"):
        found = compare(whole.astype(kind), higher_is_better=True)
        pd.testing.assert_series_equal(found.average_ranks, expected.average_ranks)
    gap = whole.astype("Int64")
    gap.iloc[3, 2] = pd.NA
    with pytest.raises(MissingCellsError, match=r"\(m2, d3\)"):
        compare(gap, higher_is_better=True)


def test_chooses_the_metric_of_a_long_table() -> None:
    accuracy = long_table()
    loss = accuracy.assign(metric="loss", value=-accuracy["value"], higher_is_better=False)
    both = pd.concat([accuracy, loss])
    by_accuracy = compare(both, higher_is_better=True, metric="accuracy")
    by_loss = compare(both, higher_is_better=False, metric="loss")
    pd.testing.assert_series_equal(by_accuracy.average_ranks, by_loss.average_ranks)


def test_two_methods_are_decided_by_wilcoxon() -> None:
    table = random_table(1, num_methods=2)
    comparison = compare(table, higher_is_better=True)
    assert comparison.test == "wilcoxon"
    assert comparison.num_methods == 2
    oracle = stats.wilcoxon(table["m0"], table["m1"], method="exact")
    assert comparison.statistic == oracle.statistic
    assert comparison.p_value == pytest.approx(oracle.pvalue, abs=1e-12)
    # Friedman's fields stay: without ties this is the sign test's chi-square, (wins - losses)^2 / N.
    difference = table.diff(axis=1).iloc[:, 1]
    assert comparison.friedman_statistic == pytest.approx(np.sign(difference).sum() ** 2 / 10)


def test_of_two_methods_wilcoxon_alone_says_who_differs() -> None:
    # Ahead on 7 of 10 domains only, but where it is behind, then by little: signs say nothing, sizes do.
    table = pd.DataFrame({"a": [-0.1, -0.2, -0.3, 4, 5, 6, 7, 8, 9, 10], "b": [0.0] * 10})
    comparison = compare(table, higher_is_better=True)
    assert comparison.friedman_p_value is not None
    assert comparison.friedman_p_value > 0.05 > comparison.p_value
    assert comparison.is_significant
    assert comparison.differs("a", "b")
    assert not comparison.differs("a", "a")
    assert comparison.cliques == ()
    alike = compare(random_table(1, num_methods=2), higher_is_better=True)
    assert not alike.differs("m0", "m1")
    assert alike.cliques == (alike.methods,)
    losses = compare(-table, higher_is_better=False)
    assert losses.p_value == comparison.p_value
    assert losses.methods == comparison.methods


def test_names_the_test_that_decided() -> None:
    comparison = compare(random_table(0), higher_is_better=True)
    assert comparison.test == "friedman"
    assert comparison.num_methods == 5
    assert comparison.statistic == comparison.friedman_statistic
    assert comparison.p_value == comparison.friedman_p_value
    assert comparison.domain_counts.to_dict() == dict.fromkeys(comparison.methods, 10)
    assert compare_ranks({"a": 1.0, "b": 2.0}, num_domains=9).test == "friedman"


def test_who_was_not_compared_is_refused() -> None:
    comparison = compare(random_table(0), higher_is_better=True)
    with pytest.raises(OptionError, match="method: 'x' was not compared; allowed: "):
        comparison.differs("m0", "x")


def test_dictionary_is_json_and_complete() -> None:
    comparison = compare(random_table(2), higher_is_better=True)
    read = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert read["methods"] == list(comparison.methods)
    assert read["nemenyi_p_values"]["m0"]["m0"] == 1
    assert [tuple(clique) for clique in read["cliques"]] == list(comparison.cliques)


def test_no_pair_differs_where_friedman_does_not_reject() -> None:
    # The first and the last are further apart than the critical difference; Friedman's test over all sees nothing.
    ranks = {"first": 3.5, "last": 8.5, **{f"m{i}": 6.0 for i in range(9)}}
    comparison = compare_ranks(ranks, num_domains=10)
    assert comparison.critical_difference is not None
    assert comparison.critical_difference < 5
    assert comparison.nemenyi_p_values.at["first", "last"] < 0.05 < comparison.p_value
    assert not comparison.is_significant
    assert not any(comparison.differs(one, other) for one, other in combinations(comparison.methods, 2))
    assert "differs from" not in describe(comparison)
    assert draw_cd(comparison).banner is not None
    against = compare_with_control(comparison, "last")
    assert against.bonferroni_p_values["first"] < 0.05
    assert not any(against.differs(method) or against.differs(method, adjustment="holm") for method in against.others)
    assert "ranks better" not in describe_control(against)


def test_a_distance_of_exactly_the_critical_difference_is_a_difference() -> None:
    comparison = compare_ranks({"a": 1.0, "b": 2.0, "c": 3.0}, num_domains=20)
    assert replace(comparison, critical_difference=2.0).differs("a", "c")


def test_a_p_value_of_exactly_alpha_shows_nothing() -> None:
    comparison = compare(random_table(5, num_domains=30) + np.arange(5), higher_is_better=True)
    assert not replace(comparison, p_value=0.05).is_significant
    assert replace(comparison, p_value=0.0499).is_significant
