"""The results table that sweeps leave behind: one row per (method, domain, seed, metric)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import (
    AnalysisInputError,
    ColumnsError,
    DirectionError,
    DuplicateError,
    MetricError,
    MissingCellsError,
    NotFiniteError,
    NotNumericError,
    ResultsFileError,
    listing,
    shown,
)
from analysis.number_check import LARGEST, number_in
from analysis.rounding import mean_of
from analysis.table_forms import as_long, filled_up, is_wide, read_texts, read_wide_csv
from analysis.three_columns import with_our_names

COLUMNS = (
    "method",
    "domain",
    "seed",
    "metric",
    "value",
    "higher_is_better",
    "wall_seconds",
    "instances_seen",
    "kept_fraction",
    "run",
)
"""The columns of the published table, in order."""

KEYS = ("method", "domain", "seed", "metric")
SAYS_WHAT = "(`missing=` in Python) says what to do about them"
_NUMBERS = ("value", "wall_seconds", "instances_seen", "kept_fraction")
_BESIDE = frozenset(COLUMNS) - {"method", "domain", "value"}


def is_long(table: pd.DataFrame) -> bool:
    """Say whether `table` is a long results table (it has the columns `method` and `domain`) or a wide one."""
    return {"method", "domain"} <= {str(column) for column in table.columns}


def read_results(path: str | Path, *, metric: str | None = None, higher_is_better: bool | None = None) -> pd.DataFrame:
    """Read a results table, short or wide ones, too.

    Args:
        path: a `.parquet` or `.csv` file with the columns `COLUMNS`, or some of them (method, domain and value at
            least); or wide, data sets in the first column and a further one per method; or long with three columns of
            other names (see `three_columns`). Further columns are kept.
        metric: name of the metric where the table names none; "score" by default.
        higher_is_better: the direction, where the table does not say it.

    Returns:
        long DataFrame, one row per (method, domain, seed, metric); seed 0 where the table has no seeds.

    Raises:
        ResultsFileError: the file is absent, of another kind, or unreadable.
        ColumnsError: a needed column is absent. DuplicateError: a wide table has two columns or rows of one name.
        DirectionError: the table's direction is another one.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise ResultsFileError(f"results: {path} has the ending {path.suffix!r}; allowed: .parquet, .csv")
    if not path.is_file():
        raise ResultsFileError(f"results: {path} is not a file; allowed: a results table as sweeps write it")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            named = with_our_names(table, _BESIDE)
        else:
            named = with_our_names(read_texts(path), _BESIDE)
            # A method may be called "NA" or "1": only the columns of numbers are searched for numbers and gaps.
            table = pd.read_csv(
                path,
                dtype={"method": str, "domain": str, "metric": str, "run": str},
                keep_default_na=False,
                na_values={column: ["", "nan", "NaN", "NA"] for column in _NUMBERS},
            )
            table = read_wide_csv(path) if is_wide(list(table.columns)) else _texts_only_where_no_number(table)
    except AnalysisInputError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ResultsFileError(f"results: {path} cannot be read as {path.suffix[1:]} ({reason})") from error
    if named is not None:
        table = _texts_only_where_no_number(named)
    elif is_wide(list(map(str, table.columns))):
        table = as_long(table)
    _require_columns(table, ("method", "domain", "value"))
    return filled_up(table, metric=metric, higher_is_better=higher_is_better)


def _texts_only_where_no_number(table: pd.DataFrame) -> pd.DataFrame:
    """One word makes pandas read a whole column as texts: here the others are numbers again, and the word is found."""
    for column in {*_NUMBERS} & {*table.columns}:
        if not pd.api.types.is_numeric_dtype(table[column]):
            numbers_there = pd.to_numeric(table[column], errors="coerce")
            table[column] = numbers_there.astype(object).where(numbers_there.notna(), table[column].astype(object))
    return table


def rows_of_metric(results: pd.DataFrame, metric: str | None = None, *, allow_missing: bool = False) -> pd.DataFrame:
    """Select the rows of one metric and check that they can be averaged.

    Args:
        results: long table with the columns method, domain, seed, metric, value.
        metric: which metric; None where the table holds exactly one.
        allow_missing: whether a value may be NaN, which then counts as no row.

    Returns:
        the rows of that metric, keys filled, no (method, domain, seed) twice, every value a finite number, or NaN where
        that is allowed.

    Raises:
        ColumnsError, MetricError, DuplicateError, NotNumericError, NotFiniteError: see their names.
    """
    _require_columns(results, (*KEYS, "value"))
    for key in KEYS:
        empty = results[key].isna() | (results[key].astype(str) == "")
        if empty.any():
            row = int(np.flatnonzero(empty.to_numpy())[0])
            raise ColumnsError(f"{key}: row {row} (counted from 0) is empty; allowed: a name in every row")
    present = sorted(results["metric"].astype(str).unique())
    if metric is None and len(present) != 1:
        raise MetricError(f"metric: none was chosen, but exactly one must be; present: {listing(present) or 'none'}")
    chosen = present[0] if metric is None else metric
    if chosen not in present:
        raise MetricError(f"metric: {chosen!r} is not in the table; present: {listing(present) or 'none'}")
    rows = results[results["metric"].astype(str) == chosen]
    rows = rows.assign(method=rows["method"].astype(str), domain=rows["domain"].astype(str))
    repeated = rows.duplicated(["method", "domain", "seed"])
    if repeated.any():
        twice = rows.loc[repeated, ["method", "domain", "seed"]].drop_duplicates().itertuples(index=False)
        cells = listing(f"({row.method}, {row.domain}, {row.seed})" for row in twice)
        raise DuplicateError(f"(method, domain, seed): {cells} more than once for {chosen!r}; allowed: once each")
    return rows.assign(value=numbers(rows, "value", allow_missing=allow_missing))


def numbers(rows: pd.DataFrame, column: str, *, allow_missing: bool = False) -> pd.Series[float]:
    """Return a column as floats, NaN among them only where missing values are allowed.

    Raises:
        ColumnsError: no such column.
        NotNumericError, NotFiniteError: naming the first offending (method, domain, seed).
    """
    _require_columns(rows, (column,))
    present = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in rows[column]]
    found = [math.nan if value is None else number_in(value) for value in present]
    not_numeric = pd.Series([number is None for number in found], index=rows.index, dtype=bool)
    converted = pd.Series(found, index=rows.index, dtype=float)
    for wrong, error, allowed in (
        (not_numeric, NotNumericError, "numbers"),
        (
            np.isinf(converted) if allow_missing else ~np.isfinite(converted),
            NotFiniteError,
            f"finite numbers up to {LARGEST:g}",
        ),
    ):
        if wrong.any():
            row = rows.loc[wrong].iloc[0]
            where = f"({row['method']}, {row['domain']}, seed {row['seed']})"
            unless = f", unless --missing {SAYS_WHAT}" if column == "value" and pd.isna(row[column]) else ""
            raise error(f"{column}: {shown(row[column])} in row {where}; allowed: {allowed}{unless}")
    return converted


def metric_direction(rows: pd.DataFrame) -> bool:
    """Return whether higher is better for the rows of one metric, from their column `higher_is_better`.

    Raises:
        ColumnsError: no such column.
        DirectionError: the rows disagree, or hold something else than true and false.
    """
    _require_columns(rows, ("higher_is_better",))
    values = rows["higher_is_better"]
    present = {str(value).lower() for value in values.unique()}
    if not present <= {"true", "false"}:
        raise DirectionError(f"higher_is_better: {listing(sorted(present))}; allowed: True, False")
    if len(present) != 1:
        counts = values.map(lambda value: str(value).lower()).value_counts()
        raise DirectionError(
            f"higher_is_better: {counts['true']} rows say True and {counts['false']} say False; allowed: one direction"
        )
    return present == {"true"}


def domain_means(rows: pd.DataFrame, column: str = "value", *, allow_missing: bool = False) -> pd.DataFrame:
    """Average the seeds of each (domain, method).

    Seeds are repeats of one measurement: they never count as domains.

    Args:
        rows: rows of one metric, as `rows_of_metric` returns them.
        column: what to average.
        allow_missing: whether a method may have no row on a domain, or NaN alone.

    Returns:
        wide DataFrame of floats, index = domains, columns = methods, both in order of first appearance; NaN where a
        method was not run.

    Raises:
        MissingCellsError: some method was not run on some domain, and that is not allowed.
    """
    means = rows.groupby(["domain", "method"], sort=False)[column].agg(lambda values: mean_of(values.dropna().tolist()))
    wide = means.unstack("method").reindex(index=rows["domain"].unique(), columns=rows["method"].unique())
    if not allow_missing:
        require_complete(wide)
    return wide.astype(float)


def require_complete(wide: pd.DataFrame) -> None:
    """Raise MissingCellsError with the list of the (method, domain) cells of a wide table that are empty."""
    missing = [(wide.columns[column], wide.index[row]) for row, column in np.argwhere(wide.isna().to_numpy())]
    if missing:
        cells = listing(f"({method}, {domain})" for method, domain in missing)
        raise MissingCellsError(
            f"scores: {len(missing)} of {wide.size} (method, domain) cells are missing: {cells}; allowed: none, "
            f"unless --missing {SAYS_WHAT}: {_what_each_leaves(wide)}"
        )


def _what_each_leaves(wide: pd.DataFrame) -> str:
    """What the policies on missing cells leave of a wide table."""
    rows, columns = int(wide.notna().all(axis=1).sum()), int(wide.notna().all(axis=0).sum())
    return (
        f"drop-domains leaves {rows} of {len(wide)} domains, drop-methods {columns} of {len(wide.columns)} methods, "
        "skillings-mack all cells, without a diagram"
    )


def _require_columns(table: pd.DataFrame, needed: tuple[str, ...]) -> None:
    absent = [column for column in needed if column not in table.columns]
    if absent:
        raise ColumnsError(f"columns: {listing(absent)} absent; present: {listing(table.columns) or 'none'}")
