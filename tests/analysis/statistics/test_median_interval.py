from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis import median_interval
from analysis.errors import NotFiniteError, OptionError


# Ranks of the lower end at 95 %, as tables of the sign test's interval give them (Hollander and Wolfe 1999, Table A.2).
@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6), (25, 8)])
def test_ranks_are_those_of_the_tables(count: int, rank: int) -> None:
    found = median_interval(range(1, count + 1))
    assert (found.low, found.high) == (rank, count + 1 - rank)


def test_five_values_allow_no_interval() -> None:
    assert median_interval([1, 2, 3, 4, 5]) == (3, None, None)


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_is_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=int(generator.integers(1, 40)))
    found = median_interval(values, confidence=0.9)
    theirs = stats.quantile_test(values, p=0.5).confidence_interval(0.9)
    assert found.median == np.median(values)
    for ours, other in ((found.low, theirs.low), (found.high, theirs.high)):
        assert math.isnan(other) if ours is None else ours == other


def test_it_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    samples = generator.exponential(size=(2000, 10))
    covered = np.mean([low <= math.log(2) <= high for _, low, high in map(median_interval, samples)])  # type: ignore[operator]
    assert covered == pytest.approx(1 - 22 / 1024, abs=0.01)


def test_infinite_values_are_the_largest() -> None:
    assert median_interval([1, math.inf, math.inf]).median == math.inf
    assert median_interval([1, 2, 3, 4, 5, 6, 7, 8, math.inf, math.inf]) == (5.5, 2, math.inf)


@pytest.mark.parametrize(("values", "kind"), [([], OptionError), ([[1.0]], OptionError), ([math.nan], NotFiniteError)])
def test_what_has_no_median(values: list[float], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        median_interval(values)
