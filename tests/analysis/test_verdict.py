from analysis import compare_ranks, describe
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


def test_p_values_are_short_and_honest() -> None:
    assert [format_p(p) for p in (1e-9, 0.031, 0.31, 0.999)] == ["p < 0.0001", "p = 0.031", "p = 0.31", "p = 1.0"]
