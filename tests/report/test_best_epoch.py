from __future__ import annotations

import math

import pandas as pd
import pytest

from bdw.evaluation import measure
from bdw.report.best_epoch import best_epoch


def _metrics(scores: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, len(scores) + 1), "validation_score": scores})


@pytest.mark.parametrize(
    ("name", "scores", "flags", "best"),
    [
        ("accuracy", [0.5, 0.8, math.nan, 0.8, 0.7], [True, True, False, False, False], 2),
        ("pretext_loss", [3.0, 1.5, math.nan, 1.5, 2.0], [True, True, False, False, False], 2),
        ("accuracy", [math.nan, 0.4], [False, True], 2),
    ],
)
def test_the_first_of_equal_best_scores_with_and_without_flags(
    name: str, scores: list[float], flags: list[bool], best: int
) -> None:
    metrics = _metrics(scores)
    assert best_epoch(metrics, measure(name)) == best
    assert best_epoch(metrics.assign(is_best=flags), measure(name)) == best


def test_flags_decide_where_rounding_in_a_file_has_made_scores_equal() -> None:
    metrics = _metrics([0.8, 0.8]).assign(is_best=[True, True])
    assert best_epoch(metrics, measure("accuracy")) == 2


def test_flags_are_read_from_a_file_with_a_gap(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    file.write_text("epoch,validation_score,is_best\n1,0.5,True\n2,0.9,True\n3,0.7,\n")
    assert best_epoch(pd.read_csv(file), measure("accuracy")) == 2


def test_without_a_score_there_is_no_best_epoch() -> None:
    assert best_epoch(_metrics([math.nan, math.nan]), measure("accuracy")) is None
