"""Tables and JSON as files: read with one clear line of complaint when they are absent, damaged or lack a column."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

from bdw.errors import InputError


def read_table(path: Path, required: Iterable[str]) -> pd.DataFrame:
    """The table in a `.csv` or `.parquet` file.

    Raises `InputError` if the file is missing or unreadable, or if one of the required columns is not in it.
    """
    _require_file(path)
    try:
        with path.open("rb") as file:
            table = pd.read_csv(file) if path.suffix == ".csv" else pd.read_parquet(file)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as a table: {_first_line(error)}") from error
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(f"{path}: columns missing: {', '.join(missing)}; there are: {', '.join(map(str, table))}")
    return table


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises `InputError` if the file is missing or holds anything else."""
    _require_file(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a JSON {type(value).__name__}; allowed: an object")
    return value


def column(table: pd.DataFrame, name: str) -> pd.Series[float]:
    """A column as floats; NaN throughout if the table has no such column, NaN where an entry is not a number."""
    if name not in table.columns:
        return pd.Series(float("nan"), index=table.index, dtype="float64")
    return pd.to_numeric(table[name], errors="coerce").astype("float64")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: not found; a report is made from the files of a finished run or sweep")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
