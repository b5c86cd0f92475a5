from pathlib import Path

import pandas as pd
import pytest

from analysis import read_results
from analysis.errors import ColumnsError, NotNumericError, ResultsFileError
from analysis.results_table import COLUMNS, rows_of_metric


def published() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ["NA", "x", 0, "accuracy", 0.5, True, 1.5, 100, 0.9, "run"],
            ["1", "x", 0, "accuracy", 0.6, True, None, 100, 1.0, ""],
        ],
        columns=list(COLUMNS),
    )


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_reads_what_was_written_names_that_look_like_numbers_included(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"results{ending}"
    published().to_parquet(path) if ending == ".parquet" else published().to_csv(path, index=False)
    table = read_results(path)
    assert list(table.columns) == list(COLUMNS)
    assert table["method"].tolist() == ["NA", "1"]
    assert table["wall_seconds"].isna().tolist() == [False, True]
    assert rows_of_metric(table)["value"].tolist() == [0.5, 0.6]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("results.xlsx", b"", ResultsFileError, r"ending '.xlsx'; allowed: .parquet, .csv"),
        ("results.parquet", b"not parquet", ResultsFileError, "cannot be read as parquet"),
        ("results.csv", b"", ResultsFileError, "cannot be read as csv"),
        ("results.csv", b"method,domain\na,b\n", ColumnsError, "columns: value absent"),
        ("absent.csv", None, ResultsFileError, "is not a file"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, error: type[ValueError], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_results(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_one_word_among_numbers_is_the_one_that_is_named(tmp_path: Path) -> None:
    table = published()
    table["value"] = ["0.5", "broken"]
    table.to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(NotNumericError, match=r"value: 'broken' in row \(1, x, seed 0\)"):
        rows_of_metric(read_results(tmp_path / "results.csv"))
