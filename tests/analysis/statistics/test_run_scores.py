"""Interquartile means and performance profiles against their definitions, by hand and by enumeration."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import interquartile_means, performance_profiles
from analysis.errors import AnalysisInputError, MissingCellsError, OptionError


def rows(scores: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Long table of method -> domains -> seeds."""
    found = [
        ("accuracy", method, f"d{d}", seed, value)
        for method, domains in scores.items()
        for d, seeds in enumerate(domains)
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(found, columns=["metric", "method", "domain", "seed", "value"])


def test_the_mean_of_the_middle_half_of_all_runs() -> None:
    table = rows({"a": [[8, 1, 3, 100], [2, 6, 4, 5]], "b": [[1.0], [3.0]]})
    found = interquartile_means(table).set_index("method")
    # Of 1, 2, 3, 4, 5, 6, 8, 100 a quarter is left out at either end.
    assert found.loc["a", "interquartile_mean"] == pytest.approx((3 + 4 + 5 + 6) / 4)
    assert found.loc["a", "num_runs"] == 8
    assert found.loc["b", "interquartile_mean"] == pytest.approx(2)
    assert found.loc["b", ["low", "high"]].isna().all(), "one seed says nothing about seeds"


def test_intervals_are_quantiles_of_all_ways_to_draw_seeds_within_domains() -> None:
    domains = [[0.1, 0.5, 0.9], [0.2, 0.3, 0.7]]
    draws = [
        np.mean(np.sort([*first, *second])[1:5])  # scipy's rule: floor(6 / 4) of six runs at either end.
        for first in product(domains[0], repeat=3)
        for second in product(domains[1], repeat=3)
    ]
    for level in (0.5, 0.9):
        found = interquartile_means(rows({"a": domains}), level=level, num_resamples=60_000).iloc[0]
        expected = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        np.testing.assert_allclose([found["low"], found["high"]], expected, atol=0.012)


def test_the_same_seed_draws_the_same() -> None:
    table = rows({"a": [[0.1, 0.5, 0.9]]})
    assert interquartile_means(table, seed=3).equals(interquartile_means(table, seed=3))


@pytest.mark.parametrize(
    ("higher_is_better", "expected"),
    [(True, [[0.75, 0.5], [0.5, 0.5], [0.25, 0.5], [0, 0]]), (False, [[0, 0], [0.25, 0.5], [0.5, 0.5], [0.75, 0.5]])],
)
def test_profiles_are_shares_of_runs_beyond_each_score(higher_is_better: bool, expected: list[list[float]]) -> None:
    table = rows({"a": [[1, 2], [3, 4]], "b": [[1, 1], [4, 4]]})
    found = performance_profiles(table, higher_is_better=higher_is_better)
    assert found.index.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.to_numpy(), expected)
    at = performance_profiles(table, higher_is_better=higher_is_better, thresholds=[2.5])
    np.testing.assert_allclose(at.to_numpy(), [[0.5, 0.5]])


def test_a_better_method_is_above_everywhere() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4))
    found = performance_profiles(rows({"a": values.tolist(), "b": (values + 0.3).tolist()}), higher_is_better=True)
    assert (found["b"] >= found["a"]).all()
    assert (found["b"] > found["a"]).any()


@pytest.mark.parametrize(
    ("scores", "options", "error", "message"),
    [
        ({"a": [[1.0], [1, 2]]}, {}, AnalysisInputError, "seeds: a has 1 on d0 and 2 on d1; allowed: as many on each"),
        ({"a": [[1.0], [2.0]], "b": [[1.0]]}, {}, MissingCellsError, r"\(b, d1\)"),
        ({"a": [[1.0]]}, {"level": 2}, OptionError, "level: 2; allowed: between 0 and 1"),
        ({"a": [[1.0]]}, {"num_resamples": 0}, OptionError, "num_resamples: 0; allowed: a whole number"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    scores: dict[str, list[list[float]]], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        interquartile_means(rows(scores), **options)


@pytest.mark.parametrize("thresholds", [[], [2, 1], [1, float("nan")]])
def test_thresholds_that_do_not_rise_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(OptionError, match="thresholds"):
        performance_profiles(rows({"a": [[1.0]]}), higher_is_better=True, thresholds=thresholds)
