import numpy as np
import pandas as pd
import pytest

from analysis import Dropped, compare
from analysis.errors import MissingCellsError, OptionError, TooFewError
from analysis.statistics.missing import MissingPolicy


def table_with_gaps() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(8, 4))
    table = pd.DataFrame(values, index=[f"d{i}" for i in range(8)], columns=list("abcd"))
    table.loc["d1", "b"] = table.loc["d1", "c"] = table.loc["d5", "b"] = np.nan
    return table


def as_long(table: pd.DataFrame) -> pd.DataFrame:
    long = table.rename_axis("domain").reset_index().melt(id_vars="domain", var_name="method").dropna()
    return pd.concat([long.assign(seed=seed, metric="accuracy") for seed in (0, 1)])


@pytest.mark.parametrize("shape", [lambda table: table, as_long], ids=["wide", "long"])
def test_drops_domains_and_says_which(shape: object) -> None:
    table = table_with_gaps()
    comparison = compare(shape(table), higher_is_better=True, missing="drop domains")  # type: ignore[operator]
    assert comparison.dropped == (
        Dropped(what="domain", name="d1", why="no score of b, c"),
        Dropped(what="domain", name="d5", why="no score of b"),
    )
    alone = compare(table.drop(index=["d1", "d5"]), higher_is_better=True)
    assert comparison.num_domains == 6
    assert comparison.friedman_statistic == alone.friedman_statistic
    pd.testing.assert_series_equal(comparison.average_ranks, alone.average_ranks)


def test_drops_methods_and_says_which() -> None:
    table = table_with_gaps()
    comparison = compare(table, higher_is_better=True, missing="drop methods")
    assert comparison.dropped == (
        Dropped(what="method", name="b", why="no score on d1, d5"),
        Dropped(what="method", name="c", why="no score on d1"),
    )
    assert set(comparison.methods) == {"a", "d"}
    assert comparison.test == "wilcoxon"
    assert comparison.to_dict()["dropped"][1] == {"what": "method", "name": "c", "why": "no score on d1"}


def test_keeps_gaps_and_drops_only_what_cannot_be_ranked() -> None:
    table = table_with_gaps()
    table.loc["lonely"] = [1.0, np.nan, np.nan, np.nan]
    table["new"] = np.nan
    table.loc["lonely 2", "new"] = 1.0
    comparison = compare(table, higher_is_better=True, missing="skillings-mack")
    assert comparison.dropped == (
        Dropped(what="domain", name="lonely", why="scores of fewer than 2 methods"),
        Dropped(what="domain", name="lonely 2", why="scores of fewer than 2 methods"),
        Dropped(what="method", name="new", why="no score on a domain with another method"),
    )
    assert comparison.test == "skillings-mack"
    assert comparison.num_domains == 8
    assert comparison.domain_counts.to_dict() == {"a": 8, "b": 6, "c": 7, "d": 8}


@pytest.mark.parametrize("missing", ["error", "drop domains", "drop methods", "skillings-mack"])
def test_complete_tables_are_the_same_under_every_policy(missing: MissingPolicy) -> None:
    table = pd.DataFrame(np.random.default_rng(1).normal(size=(9, 4)), columns=list("abcd"))
    comparison = compare(table, higher_is_better=True, missing=missing)
    assert comparison.to_dict() == compare(table, higher_is_better=True).to_dict()
    assert comparison.dropped == ()
    assert comparison.test == "friedman"


def test_two_methods_with_gaps_are_compared_on_common_domains() -> None:
    table = pd.DataFrame({"a": [1, 2, 3, 4, None], "b": [0, None, 1, 1, 1]}, dtype=float)
    comparison = compare(table, higher_is_better=True, missing="skillings-mack")
    assert comparison.test == "wilcoxon"
    assert comparison.num_domains == 3


def test_too_little_left_says_what_went() -> None:
    table = table_with_gaps()
    with pytest.raises(TooFewError, match=r"methods: 1 \(a\) left after dropping b, c, d; allowed: at least 2"):
        compare(table.assign(d=table["b"]), higher_is_better=True, missing="drop methods")
    with pytest.raises(TooFewError, match=r"domains: 1 \(d0\) left after dropping d1, d5"):
        compare(table.loc[["d0", "d1", "d5"]], higher_is_better=True, missing="drop domains")
    with pytest.raises(TooFewError, match="methods: 0"):
        compare(table * np.nan, higher_is_better=True, missing="skillings-mack")


def test_methods_that_nothing_links_are_refused() -> None:
    table = pd.DataFrame(
        {"a": [1, 2, None, None], "b": [2, 1, None, None], "c": [None, None, 1, 2], "d": [None, None, 3, 4]},
        dtype=float,
    )
    with pytest.raises(MissingCellsError, match="no domain links c, d to a, b, not even through other methods"):
        compare(table, higher_is_better=True, missing="skillings-mack")


def test_unknown_policies_are_refused() -> None:
    with pytest.raises(OptionError, match="missing: 'ignore'; allowed: 'error', 'drop domains', 'drop methods'"):
        compare(table_with_gaps(), higher_is_better=True, missing="ignore")  # type: ignore[arg-type]
