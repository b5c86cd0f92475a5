from __future__ import annotations

import pandas as pd
import pytest

from bdw.report.pace_table import pace_table


def test_stretches_that_learnt_alike_are_a_row_each() -> None:
    metrics = pd.DataFrame(
        {"epoch": range(1, 8), "meta_every": [1, 1, 4, 4, 0, 0, 1], "meta_batch": [1000, 1000, 1000, 20, 0, 0, 1000]}
    )
    table = pace_table(metrics)
    assert table is not None
    assert table.rows == (
        ("1 to 2", "all", "1,000"),
        ("3", "the first of every 4", "1,000"),
        ("4", "the first of every 4", "20"),
        ("5 to 6", "none", "0"),
        ("7", "all", "1,000"),
    )


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"meta_every": [2, 2], "meta_batch": [20, 20]},
        {"meta_every": [-1, 2], "meta_batch": [-1, 20]},
        {"meta_every": [float("nan"), 2], "meta_batch": [float("nan"), 20]},
    ],
    ids=["unknown", "alike", "continued", "empty cells"],
)
def test_nothing_is_said_where_nothing_is_known_to_have_changed(columns: dict[str, list[float]]) -> None:
    assert pace_table(pd.DataFrame({"epoch": [1, 2], **columns})) is None
