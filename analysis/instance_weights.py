"""The weight table that a run leaves behind: what was learnt about every image of the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import ColumnsError, NotFiniteError, NotNumericError, OptionError, ResultsFileError, listing, shown

NEEDED = ("index", "a", "b", "kept")


def read_instance_weights(path: str | Path) -> pd.DataFrame:
    """Read a weight table.

    Args:
        path: the directory of a run, or the file in it, or another `.parquet` or `.csv` file with these columns.

    Returns:
        DataFrame, one row an image, with at least the columns index, a, b (parameters of the Beta distribution of its
        weight) and kept (False once pruned), all checked as `checked_weights` does.

    Raises:
        ResultsFileError: the file is absent, of another kind, or unreadable.
        AnalysisInputError: as `checked_weights`.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "instance_weights.parquet"
    if path.suffix not in (".parquet", ".csv"):
        raise ResultsFileError(f"weights: {path} has the ending {path.suffix!r}; allowed: .parquet, .csv, a run")
    if not path.is_file():
        raise ResultsFileError(f"weights: {path} is not a file; allowed: a weight table as runs write it")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ResultsFileError(f"weights: {path} cannot be read as {path.suffix[1:]} ({reason})") from error
    return checked_weights(table)


def checked_weights(weights: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a and b as floats and kept as bool.

    Raises:
        ColumnsError: one of the columns index, a, b, kept is absent, or there are no rows.
        NotNumericError, NotFiniteError, OptionError: an a or b that is no positive finite number, as weighters other
            than `beta` leave them, or a kept that is neither True nor False; naming the first image.
    """
    absent = [column for column in NEEDED if column not in weights.columns]
    if absent:
        raise ColumnsError(f"weights: columns {listing(absent)} absent; present: {listing(weights.columns) or 'none'}")
    if len(weights) == 0:
        raise ColumnsError("weights: 0 rows; allowed: at least one image")
    checked = weights.reset_index(drop=True)
    for column in ("a", "b"):
        converted = pd.to_numeric(checked[column], errors="coerce").astype(float)
        for wrong, error, allowed in (
            (converted.isna() & checked[column].notna(), NotNumericError, "numbers"),
            (~np.isfinite(converted), NotFiniteError, "finite numbers, which the beta weighter alone learns"),
            (converted <= 0, OptionError, "numbers above 0"),
        ):
            if wrong.any():
                row = checked[wrong].iloc[0]
                raise error(f"weights: {column} {shown(row[column])} of image {row['index']}; allowed: {allowed}")
        checked[column] = converted
    kept = checked["kept"].map(lambda value: {"true": True, "false": False}.get(str(value).lower()))
    if kept.isna().any():
        row = checked[kept.isna()].iloc[0]
        raise OptionError(f"weights: kept {shown(row['kept'])} of image {row['index']}; allowed: True, False")
    return checked.assign(kept=kept.astype(bool))
