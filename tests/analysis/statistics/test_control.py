import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import compare, compare_ranks, compare_with_control, describe_control
from analysis.errors import NoCriticalDifferenceError, OptionError, TooFewError
from analysis.statistics.control import bonferroni_dunn_critical_difference

DEMSAR = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}

# Demsar 2006, Table 5 (b): q at 0.05 and 0.10 for 2 to 10 methods, the control among them. He prints 2.724 for nine
# methods at 0.05; the normal quantile at 0.05/16 is 2.734.
Q_05 = [1.960, 2.241, 2.394, 2.498, 2.576, 2.638, 2.690, 2.734, 2.773]
Q_10 = [1.645, 1.960, 2.128, 2.241, 2.326, 2.394, 2.450, 2.498, 2.539]


@pytest.mark.parametrize(("alpha", "published"), [(0.05, Q_05), (0.10, Q_10)])
def test_critical_values_are_demsars(alpha: float, published: list[float]) -> None:
    ours = [bonferroni_dunn_critical_difference(k, 1, alpha) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    np.testing.assert_allclose(ours, published, atol=6e-4)


def test_demsars_worked_example() -> None:
    # Section 3.2.2 at 0.10, control C4.5: CD 1.04; it differs from C4.5+m+cf and C4.5+m, not from C4.5+cf. z 2.416,
    # 2.342, 0.512 and p 0.016, 0.019, 0.607; Holm at 0.05 rejects two (0.016 < 0.05/3, 0.019 < 0.05/2).
    compared = compare_with_control(compare_ranks(DEMSAR, num_domains=14, alpha=0.1), "C4.5")
    assert compared.critical_difference == pytest.approx(1.04, abs=0.005)
    assert compared.others == ("C4.5+m+cf", "C4.5+m", "C4.5+cf")
    np.testing.assert_allclose(-compared.z_values, [2.416, 2.342, 0.512], atol=0.001)
    np.testing.assert_allclose(compared.p_values, [0.016, 0.019, 0.607], atol=0.0015)
    assert [compared.differs(method) for method in compared.others] == [True, True, False]
    at_five = compare_with_control(compare_ranks(DEMSAR, num_domains=14), "C4.5")
    assert [at_five.differs(method, adjustment="holm") for method in at_five.others] == [True, True, False]
    # Bonferroni-Dunn finds one only: 0.016 < 0.05/3 < 0.019.
    assert [at_five.differs(method) for method in at_five.others] == [True, False, False]


def test_p_values_are_those_of_r() -> None:
    # friedmanPost of R's scmamp 0.2 with control C4.5 on Garcia and Herrera's 30 data sets, as its manual at rdrr.io
    # prints; the average ranks from nemenyiTest's differences there.
    differences = {"C4.5": 0, "k-NN(k=1)": 1.15, "NaiveBayes": 0.1, "Kernel": 67 / 30, "CN2": 61 / 60}
    best = (15 - sum(differences.values())) / 5
    comparison = compare_ranks({method: best + d for method, d in differences.items()}, num_domains=30)
    found = compare_with_control(comparison, "C4.5").p_values
    r = {"NaiveBayes": 8.064959e-01, "CN2": 0.01276301, "k-NN(k=1)": 0.004848763, "Kernel": 4.486991e-08}
    for method, p_value in r.items():
        assert found[method] == pytest.approx(p_value, rel=1e-6)


def random_comparison(seed: int, effect: float = 0.5):  # type: ignore[no-untyped-def]
    values = np.random.default_rng(seed).normal(size=(15, 6)) + effect * np.arange(6)
    return compare(pd.DataFrame(values, columns=list("abcdef")), higher_is_better=True)


@pytest.mark.parametrize("seed", range(10))
def test_adjusted_p_values_say_what_the_critical_difference_says(seed: int) -> None:
    comparison = random_comparison(seed)
    compared = compare_with_control(comparison, "c")
    for method in compared.others:
        distance = abs(comparison.average_ranks[method] - comparison.average_ranks["c"])
        assert compared.differs(method) == (compared.bonferroni_p_values[method] <= 0.05)
        assert compared.p_values[method] == pytest.approx(2 * stats.norm.sf(distance / np.sqrt(42 / 90)))
        assert compared.p_values[method] <= compared.holm_p_values[method] <= compared.bonferroni_p_values[method]
    assert compared.critical_difference < (comparison.critical_difference or 0)


def test_claims_nothing_where_the_methods_do_not_differ_at_all() -> None:
    comparison = random_comparison(1, effect=0)
    assert not comparison.is_significant
    compared = compare_with_control(comparison, "a")
    assert not any(compared.differs(method, adjustment="holm") for method in compared.others)
    text = describe_control(compared)
    assert "no difference shown at alpha = 0.05" in text
    assert "Against" not in text


def test_says_who_is_better_and_who_was_not_shown_to_differ() -> None:
    text = describe_control(compare_with_control(compare_ranks(DEMSAR, num_domains=14), "C4.5"))
    assert text.split("\n") == [
        "Friedman: chi-square 9.28, p = 0.026: the methods differ at alpha = 0.05.",
        "Against C4.5 (average rank 3.14), Bonferroni-Dunn (critical difference 1.17 ranks):",
        "C4.5+m+cf ranks better.",
        "Holm's procedure also shows a difference from C4.5+m.",
        "No difference from C4.5+cf was shown.",
    ]


def test_is_json() -> None:
    compared = compare_with_control(random_comparison(0), "b")
    read = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    assert list(read["methods"]) == list(compared.others)
    assert read["methods"]["a"]["holm_p_value"] == compared.holm_p_values["a"]


def test_bad_input_is_refused() -> None:
    comparison = random_comparison(0)
    with pytest.raises(OptionError, match="control: 'x' was not compared; allowed: "):
        compare_with_control(comparison, "x")
    compared = compare_with_control(comparison, "a")
    with pytest.raises(OptionError, match="method: 'a' was not compared"):
        compared.differs("a")
    with pytest.raises(OptionError, match="adjustment: 'none'; allowed: 'bonferroni', 'holm'"):
        compared.differs("b", adjustment="none")  # type: ignore[arg-type]
    with pytest.raises(TooFewError, match="methods: 2; allowed: at least 3"):
        compare_with_control(compare_ranks({"a": 1.0, "b": 2.0}, num_domains=5), "a")
    table = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
    table.iloc[0, 0] = np.nan
    with pytest.raises(NoCriticalDifferenceError, match="none is valid for all pairs"):
        compare_with_control(compare(table, higher_is_better=True, missing="skillings-mack"), "a")
