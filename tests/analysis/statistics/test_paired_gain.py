from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import paired_gain
from analysis.errors import MissingCellsError, OptionError


def long_table(scores: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Method -> domain -> the scores of its seeds."""
    return pd.DataFrame(
        [
            {"method": method, "domain": f"d{i}", "seed": seed, "metric": "accuracy", "value": value}
            for method, domains in scores.items()
            for i, seeds in enumerate(domains)
            for seed, value in enumerate(seeds)
        ]
    )


def test_students_numbers_are_scipys() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 10, 3))
    found = paired_gain(long_table({"a": a.tolist(), "b": b.tolist()}), method="a", baseline="b", higher_is_better=True)
    theirs = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    interval = theirs.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.num_domains, found.num_seeds) == (10, 3)
    assert found.num_better == (a.mean(axis=1) > b.mean(axis=1)).sum()


def test_lower_is_better_turns_the_sign() -> None:
    table = long_table({"a": [[1.0], [2.0]], "b": [[2.0], [2.5]]})
    found = paired_gain(table, method="a", baseline="b", higher_is_better=False)
    assert (found.mean, found.num_better, found.num_worse) == (0.75, 2, 0)


def test_only_domains_and_seeds_of_both_are_paired() -> None:
    table = long_table({"a": [[1.0, 9.0], [2.0]], "b": [[0.0], [1.0], [5.0]]})
    found = paired_gain(table, method="a", baseline="b", higher_is_better=True)
    assert found.by_domain.to_dict() == {"d0": 1.0, "d1": 1.0}
    # All domains gain alike, so that nothing is left to measure a spread with.
    assert (found.low, found.high, found.p_value) == (1.0, 1.0, 0.0)


def test_one_domain_has_no_interval() -> None:
    found = paired_gain(long_table({"a": [[0.3]], "b": [[0.1]]}), method="a", baseline="b", higher_is_better=True)
    assert (found.low, found.high, found.p_value) == (None, None, None)


def test_differences_by_rounding_are_none() -> None:
    table = long_table({"a": [[0.1 + 0.2], [0.5]], "b": [[0.3], [0.5]]})
    found = paired_gain(table, method="a", baseline="b", higher_is_better=True)
    assert (found.num_better, found.num_worse, found.p_value) == (0, 0, 1.0)


def test_what_cannot_be_paired() -> None:
    table = long_table({"a": [[0.3]], "b": [[0.1]]})
    with pytest.raises(OptionError, match="method: 'c' is not in the table; allowed: a, b"):
        paired_gain(table, method="c", baseline="b", higher_is_better=True)
    apart = table.assign(domain=["x", "y"])
    with pytest.raises(MissingCellsError, match="share no domain and seed"):
        paired_gain(apart, method="a", baseline="b", higher_is_better=True)
