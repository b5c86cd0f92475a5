"""What `compare` refuses, in one line that names the field, the value and what is allowed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import compare, compare_ranks
from analysis.errors import (
    ColumnsError,
    ConstantScoresError,
    DirectionError,
    DuplicateError,
    MetricError,
    MissingCellsError,
    NotFiniteError,
    NotNumericError,
    OptionError,
    TooFewError,
)
from tests.analysis.statistics.score_tables import long_table, random_table


def with_cell(value: object) -> pd.DataFrame:
    table = random_table(0).astype(object)
    table.loc["d3", "m2"] = value
    return table


LONG = long_table()
BAD_TABLES = [
    (with_cell(None), MissingCellsError, r"1 of 50 .*\(m2, d3\)"),
    (with_cell(float("nan")), MissingCellsError, r"\(m2, d3\)"),
    (with_cell(pd.NA), MissingCellsError, r"\(m2, d3\)"),
    (with_cell(float("-inf")), NotFiniteError, r"-inf in cell \(m2, d3\); allowed: finite"),
    (with_cell(float("inf")), NotFiniteError, r"inf in cell \(m2, d3\); allowed: finite"),
    (with_cell("0.7"), NotNumericError, r"'0.7' in cell \(m2, d3\); allowed: numbers"),
    (with_cell(True), NotNumericError, r"True in cell"),
    (with_cell(1j), NotNumericError, r"1j in cell"),
    (with_cell(np.timedelta64(1, "s")), NotNumericError, r"in cell \(m2, d3\); allowed: numbers"),
    (with_cell(1.7e308), NotFiniteError, r"1.7e\+308 in cell \(m2, d3\); allowed: finite numbers up to 1e\+304"),
    (with_cell(10**400), NotFiniteError, r"1000.*\(401 signs\) in cell \(m2, d3\); allowed: finite"),
    (with_cell(np.array([1.0, 2.0])), NotNumericError, r"in cell \(m2, d3\); allowed: numbers"),
    (with_cell(None).rename(columns={"m2": "a\nb"}), MissingCellsError, r"\(a b, d3\)"),
    (random_table(0, num_methods=1), TooFewError, r"methods: 1 \(m0\); allowed: at least 2"),
    (random_table(0, num_domains=1), TooFewError, r"domains: 1 \(d0\); allowed: at least 2"),
    (random_table(0).iloc[:0], TooFewError, r"domains: 0 \(none\)"),
    (random_table(0) * 0, ConstantScoresError, r"all 5 methods tie on each of the 10 domains"),
    (pd.concat([random_table(0), random_table(1)]), DuplicateError, r"domains: d0, d1"),
    (pd.concat([random_table(0), random_table(1)], axis=1), DuplicateError, r"methods: m0"),
    (LONG.drop(index=[0, 1, 2]), MissingCellsError, r"1 of 50 .*\(m0, d0\)"),
    (pd.concat([LONG, LONG.iloc[[4]]]), DuplicateError, r"\(m1, d0, 1\) more than once for 'accuracy'"),
    (LONG.assign(value=LONG["value"].where(LONG.index != 7)), NotFiniteError, r"nan in row \(m2, d0, seed 1\)"),
    (LONG.assign(value=LONG["value"].astype(str)), NotNumericError, r"value: '.*' in row \(m0, d0, seed 0\)"),
    (LONG.assign(value=LONG["value"].astype(complex)), NotNumericError, r"value: .*j.* in row \(m0, d0, seed 0\)"),
    (LONG.assign(value=10**400), NotFiniteError, r"value: 1000.* in row \(m0, d0, seed 0\)"),
    (LONG.assign(method=LONG["method"].where(LONG.index != 7)), ColumnsError, r"method: row 7"),
    (LONG.drop(columns="seed"), ColumnsError, r"seed absent; present: method"),
    (LONG.assign(higher_is_better=LONG["seed"] > 0), DirectionError, r"100 rows say True and 50 say False"),
    (LONG.assign(higher_is_better="up"), DirectionError, r"up; allowed: True, False"),
    (LONG.assign(higher_is_better=False), DirectionError, r"True was asked for, but the table says False"),
    (LONG.assign(metric=LONG["seed"].map(str)), MetricError, r"none was chosen.*present: 0, 1, 2"),
    ([[1, 2], [3, 4]], ValueError, r"list; allowed: a pandas DataFrame"),
]


@pytest.mark.parametrize(("table", "error", "message"), BAD_TABLES)
def test_bad_tables_are_refused_in_one_clear_line(table: pd.DataFrame, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        compare(table, higher_is_better=True)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, float("nan"), "0.05", True])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(OptionError, match=r"alpha: .*between 0 and 1"):
        compare(random_table(0), higher_is_better=True, alpha=alpha)


@pytest.mark.parametrize("alpha", [1e-300, 1e-17, 1e-11, 0.9999, 1 - 1e-16])
def test_levels_without_a_known_quantile_are_refused(alpha: float) -> None:
    with pytest.raises(OptionError, match=r"alpha: .*; allowed: 1e-10 to 0.999"):
        compare(random_table(0), higher_is_better=True, alpha=alpha)


@pytest.mark.parametrize("alpha", [1e-10, 1e-6, 0.999])
def test_levels_at_the_edges_have_a_critical_difference(alpha: float) -> None:
    table = random_table(0, num_methods=2)
    # Of two methods the studentised range is the normal distribution's.
    expected = stats.norm.isf(alpha / 2) * np.sqrt(2 * 3 / (6 * 10))
    found = compare_ranks(compare(table, higher_is_better=True).average_ranks, num_domains=10, alpha=alpha)
    assert found.critical_difference == pytest.approx(expected, rel=1e-6)


def test_unknown_metric_lists_those_present() -> None:
    with pytest.raises(MetricError, match="'f1' is not in the table; present: accuracy"):
        compare(LONG, higher_is_better=True, metric="f1")
    with pytest.raises(OptionError, match="wide table"):
        compare(random_table(0), higher_is_better=True, metric="f1")
    with pytest.raises(OptionError, match="higher_is_better: 'yes'"):
        compare(random_table(0), higher_is_better="yes")  # type: ignore[arg-type]


def test_many_missing_cells_are_listed_briefly() -> None:
    table = random_table(0, num_domains=30)
    table.iloc[:20] = np.nan
    with pytest.raises(MissingCellsError, match=r"100 of 150 .* and 92 more; allowed: none"):
        compare(table, higher_is_better=True)


@pytest.mark.parametrize(
    ("ranks", "num_domains", "error", "message"),
    [
        ({"a": 1.0}, 10, TooFewError, "average_ranks: 1"),
        ({"a": 1.0, "b": 2.0}, 1, TooFewError, "num_domains: 1"),
        ({"a": 1.0, "b": 2.0}, 2.5, OptionError, "num_domains: 2.5"),
        ({"a": 0.5, "b": 2.5}, 10, OptionError, "0.5 for a; allowed: 1 to 2"),
        ({"a": 1.0, "b": 1.5}, 10, OptionError, "add up to 2.5; allowed: 3 for 2"),
        ({"a": float("nan"), "b": 1.5}, 10, NotFiniteError, "nan for a"),
        ({"a": "1", "b": 1.5}, 10, NotNumericError, "'1' for a"),
        (pd.Series([1.0, 2.0], index=["a", "a"]), 10, DuplicateError, "a more than once"),
    ],
)
def test_bad_average_ranks_are_refused(
    ranks: dict[str, float], num_domains: int, error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare_ranks(ranks, num_domains=num_domains)
