from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from analysis import PairSensitivity, compare, pool_sensitivity
from analysis.errors import ConstantScoresError, MissingCellsError, OptionError
from analysis.statistics.pool_sensitivity import EXACT_UP_TO


def random_table(seed: int, num_domains: int, num_methods: int, *, ties: bool = False) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(num_domains, num_methods)) + 0.5 * np.arange(num_methods)
    return pd.DataFrame(np.round(values) if ties else values, columns=[f"m{i}" for i in range(num_methods)])


def pair_of(found: tuple[PairSensitivity, ...], a: str, b: str) -> PairSensitivity:
    (pair,) = [pair for pair in found if {pair.first, pair.second} == {a, b}]
    return pair


def by_compare(table: pd.DataFrame, pool: tuple[str, ...], a: str, b: str) -> bool:
    try:
        return compare(table[list(pool)], higher_is_better=True).differs(a, b)
    except ConstantScoresError:
        return False


def test_a_distance_alone_is_no_verdict() -> None:
    # e and a are 2.5 ranks apart, the critical difference is 2.49; but Friedman's test has p = 0.067.
    rows = [[0, 6, 1, 2, 8], [1, 5, 2, 3, 8], [1, 7, 6, 0, 8], [1, 2, 2, 8, 8], [2, 3, 5, 1, 3], [7, 0, 8, 1, 2]]
    table = pd.DataFrame(rows, columns=list("abcde"))
    comparison = compare(table, higher_is_better=True)
    assert comparison.critical_difference is not None
    assert comparison.average_ranks["a"] - comparison.average_ranks["e"] > comparison.critical_difference
    assert not comparison.is_significant
    pair = pair_of(pool_sensitivity(table, higher_is_better=True), "a", "e")
    assert not pair.differs
    for other, differs in pair.differs_without.items():
        assert differs == by_compare(table, tuple(method for method in table.columns if method != other), "a", "e")


@pytest.mark.parametrize(("seed", "num_domains", "ties"), [(0, 8, False), (1, 15, False), (2, 10, True), (3, 6, True)])
def test_agrees_with_compare_on_every_sub_pool(seed: int, num_domains: int, ties: bool) -> None:
    table = random_table(seed, num_domains, 5, ties=ties)
    found = pool_sensitivity(table, higher_is_better=True)
    assert [(pair.first, pair.second) for pair in found] == list(
        combinations(compare(table, higher_is_better=True).methods, 2)
    )
    for pair in found:
        a, b = pair.first, pair.second
        others = [method for method in table.columns if method not in (a, b)]
        pools = [(a, b, *some) for size in range(len(others) + 1) for some in combinations(others, size)]
        verdicts = {frozenset(pool): by_compare(table, pool, a, b) for pool in pools}
        everyone = frozenset(table.columns)
        assert pair.covers_all_pools
        assert pair.differs == verdicts[everyone]
        assert pair.differs_without == {other: verdicts[everyone - {other}] for other in others}
        assert (pair.num_pools_with_difference, pair.num_pools) == (sum(verdicts.values()), len(pools))


def test_a_method_that_always_comes_between_makes_the_difference() -> None:
    # A beats B on 8 of 10 domains. By itself that is p = 0.11 (sign test). C between the two pulls their average ranks
    # apart, to 1.4 and 2.6: more than the critical difference of three methods, 2.343 sqrt(12/60) = 1.05.
    table = pd.DataFrame({"A": [3] * 8 + [1] * 2, "B": [1] * 8 + [3] * 2, "C": [2] * 10})
    pair = pair_of(pool_sensitivity(table, higher_is_better=True), "A", "B")
    assert pair.differs
    assert pair.flipped_by == ("C",)
    assert (pair.num_pools_with_difference, pair.num_pools, pair.is_stable) == (1, 2, False)
    assert pair.in_words() == (
        "A and B: differ among all methods. A difference is no longer shown without C. Shown in 1 of 2 pools with both."
    )


def test_bad_methods_that_nobody_needs_hide_a_difference() -> None:
    # A beats B on all of 11 domains: ranks 1 and 2 in every pool, as C and D always come last. The critical difference
    # is 1.00 among three methods (2.343 sqrt(12/66)), but 1.41 among four (2.569 sqrt(20/66)).
    table = pd.DataFrame({"A": [9] * 11, "B": [8] * 11, "C": [2] * 11, "D": [1] * 11})
    pair = pair_of(pool_sensitivity(table, higher_is_better=True), "A", "B")
    assert not pair.differs
    assert pair.flipped_by == ("C", "D")
    assert pair.share_with_difference == 3 / 4
    assert "no difference shown among all methods. A difference is shown without C or D. Shown in 3 of 4" in (
        pair.in_words()
    )


def test_many_methods_are_left_out_one_at_a_time() -> None:
    table = random_table(4, 12, EXACT_UP_TO + 1)
    found = pool_sensitivity(table, higher_is_better=True)
    for pair in (found[0], found[11], found[-1]):
        verdicts = {
            other: by_compare(table, tuple(table.columns.drop(other)), pair.first, pair.second)
            for other in table.columns.drop([pair.first, pair.second])
        }
        assert not pair.covers_all_pools
        assert pair.differs_without == verdicts
        assert pair.num_pools == EXACT_UP_TO
        assert pair.num_pools_with_difference == sum(verdicts.values()) + pair.differs
        assert "pools (all methods, and all but one)" in pair.in_words()


def test_direction_and_level() -> None:
    table = random_table(1, 15, 5)
    assert pool_sensitivity(table, higher_is_better=True) == pool_sensitivity(-table, higher_is_better=False)
    strict = pool_sensitivity(table, higher_is_better=True, alpha=1e-9)
    assert all(pair.is_stable and not pair.differs and pair.flipped_by == () for pair in strict)


def test_two_methods_have_one_pool() -> None:
    table = random_table(1, 15, 2) + np.array([0, 5])
    (pair,) = pool_sensitivity(table, higher_is_better=True)
    assert (pair.first, pair.differs, pair.num_pools, pair.differs_without) == ("m1", True, 1, {})
    assert pair.in_words() == "m1 and m0: differ among all methods. Shown in 1 of 1 pools with both."


def test_bad_input_is_refused() -> None:
    table = random_table(1, 15, 3)
    with pytest.raises(OptionError, match="alpha"):
        pool_sensitivity(table, higher_is_better=True, alpha=5)
    with pytest.raises(MissingCellsError):
        pool_sensitivity(table.mask(table > 1), higher_is_better=True)
