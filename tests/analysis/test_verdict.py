import numpy as np
import pandas as pd

from analysis import compare, compare_ranks, describe
from analysis.verdict import format_p


def test_says_who_differs_and_who_was_not_shown_to() -> None:
    text = describe(compare_ranks({"RotNet": 3.6, "NN-Weighter": 2.8, "L2RW": 2.2, "BDW": 1.4}, num_domains=10))
    assert text.split("\n") == [
        "BDW ranks best (average rank 1.40; 4 methods over 10 domains).",
        "Friedman: chi-square 15.60, p = 0.0014: the methods differ at alpha = 0.05.",
        "Nemenyi (critical difference 1.48 ranks): BDW differs from RotNet. "
        "No difference between BDW and L2RW or NN-Weighter was shown.",
    ]


def test_claims_no_pair_where_friedman_does_not_reject() -> None:
    text = describe(compare_ranks({"a": 1.9, "b": 2.0, "c": 2.1}, num_domains=10))
    assert "no difference shown at alpha = 0.05" in text
    assert "differs from" not in text


def test_names_all_who_tie_for_the_first_place() -> None:
    text = describe(compare_ranks({"a": 1.5, "b": 1.5, "c": 3.0}, num_domains=20))
    assert text.startswith("a and b rank best")


def test_two_methods_are_wilcoxons_and_in_his_direction() -> None:
    table = pd.DataFrame({"a": np.arange(8.0) + 2, "b": np.zeros(8)})
    assert describe(compare(table, higher_is_better=True)).split("\n") == [
        "a ranks best (average rank 1.00; 2 methods over 8 domains).",
        "Wilcoxon signed-rank: T = 0, p = 0.0078 (exact): the methods differ at alpha = 0.05.",
        "a differs from b, and the signed ranks favour a.",
    ]
    # Ahead on 31 domains of 60, but by little.
    values = np.r_[np.arange(1, 32) * 0.1, -np.arange(32, 61)]
    text = describe(compare(pd.DataFrame({"often": values, "far": np.zeros(60)}), higher_is_better=True))
    assert text.startswith("often ranks best")
    assert "often differs from far, but the signed ranks favour far: often is ahead on more domains" in text


def test_two_methods_without_a_difference() -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3, 4, 5], "b": [2.0, 1, 4, 3, 7]})
    text = describe(compare(table, higher_is_better=True))
    assert text.endswith("no difference shown at alpha = 0.05.")
    assert "Friedman" not in text
    assert "differs" not in text


def test_many_domains_say_that_the_p_value_is_approximate() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    assert "(normal approximation)" in describe(compare(table, higher_is_better=True))


def test_says_what_was_left_out() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=list("abc"), index=list("uvwxyz"))
    table.loc["w", "b"] = np.nan
    text = describe(compare(table, higher_is_better=True, missing="drop domains"))
    assert text.startswith("Left out: domain w (no score of b).\n")
    assert "3 methods over 5 domains" in text


def test_p_values_are_short_and_honest() -> None:
    assert [format_p(p) for p in (1e-9, 0.031, 0.31, 0.999)] == ["p < 0.0001", "p = 0.031", "p = 0.31", "p = 1.0"]
