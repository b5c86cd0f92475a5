"""Tables and pictures are made from the studies and the tables alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from sweeps.pictures import draw_ranks, draw_trials
from sweeps.results import result_rows, trial_rows, write_results, write_trials
from sweeps.wrap_up import accuracy_table

MEASURED = {
    "best_validation_accuracy": 0.8,
    "wall_seconds": 12.0,
    "instances_seen": 1000,
    "kept_fraction": 0.5,
    "epoch": 4,
}


def measurement(metric: str, value: float) -> dict[str, Any]:
    own = {"method": "beta", "domain": "reader:x", "seed": 0, "metric": metric, "value": value, "run": "/tmp/x"}
    return {**own, "higher_is_better": True, "wall_seconds": 12.0, "instances_seen": 1000, "kept_fraction": 0.5}


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    complete = study.ask({"eta": optuna.distributions.FloatDistribution(0, 1)})
    labels = {"run": "bdw-1", "method": "BDW", "domain": "digits", "seed": 0}
    results = [measurement("accuracy", 0.7), measurement("planted_auroc", 0.6)]
    for key, value in {**labels, **MEASURED, "results": results}.items():
        complete.set_user_attr(key, value)
    study.tell(complete, 0.8)
    failed = study.ask()
    failed.set_user_attr("reason", "crashed")
    study.tell(failed, state=TrialState.FAIL)
    study.ask()
    study.enqueue_trial({"eta": 0.5})
    return study


def test_trials_csv(study: optuna.Study, tmp_path: Path) -> None:
    write_trials(tmp_path / "trials.csv", trial_rows(study, prefix="t"))
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table["trial"].tolist() == ["t0", "t1", "t2"]  # What still waits is no trial yet.
    assert table["state"].tolist() == ["complete", "failed", "running"]
    first = table.iloc[0]
    assert (first["validation_accuracy"], first["test_accuracy"], first["value"]) == (0.8, 0.7, 0.8)
    assert first["run"] == "runs/bdw-1"
    assert table.iloc[1]["reason"] == "crashed"


def test_results_carry_the_sweeps_names(study: optuna.Study, tmp_path: Path) -> None:
    rows = result_rows(study.get_trials()[0])
    write_results(tmp_path / "results.parquet", rows)
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert table["metric"].tolist() == ["accuracy", "planted_auroc"]
    assert set(zip(table["method"], table["domain"], table["run"], strict=True)) == {("BDW", "digits", "runs/bdw-1")}


def long_table(domains: int, methods: tuple[str, ...] = ("RotNet", "BDW")) -> pd.DataFrame:
    rows = [
        {**measurement("accuracy", 0.5 + 0.1 * i + 0.01 * domain), "method": method, "domain": f"d{domain}"}
        for domain in range(domains)
        for i, method in enumerate(methods)
    ]
    return pd.DataFrame(rows)


def test_ranks_are_drawn_with_the_remark(tmp_path: Path) -> None:
    assert draw_ranks(long_table(6, ("a", "b", "c")), tmp_path, metric="accuracy", remark="An illustration.") is None
    assert {path.name for path in tmp_path.iterdir()} == {
        "critical_difference.png",
        "critical_difference.pdf",
        "comparison.json",
    }
    contents = json.loads((tmp_path / "comparison.json").read_text())
    assert contents["verdict"].startswith("c ranks best")
    assert contents["verdict"].endswith("An illustration.")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (long_table(1), "2 methods on 1 domains; a comparison needs at least 2 of each"),
        (long_table(3, ("a",)), "1 methods on 3 domains"),
        (long_table(3).iloc[:-1], "1 of 6 method-domain pairs failed"),
    ],
)
def test_ranks_that_cannot_be_drawn_say_why(tmp_path: Path, table: pd.DataFrame, reason: str) -> None:
    assert reason in str(draw_ranks(table, tmp_path, metric="accuracy", remark=""))
    assert list(tmp_path.iterdir()) == []


def test_trials_are_drawn_by_cost(tmp_path: Path) -> None:
    rows = [
        {"trial": str(i), "state": state, "method": method, "validation_accuracy": 0.5 + 0.1 * i}
        | {"wall_seconds": 10.0 - i, "instances_seen": 100 * i}
        for i, (method, state) in enumerate(
            [("RotNet", "complete"), ("BDW", "complete"), ("BDW", "complete"), ("BDW", "pruned")]
        )
    ]
    assert draw_trials(pd.DataFrame(rows), "RotNet", tmp_path / "pareto.png") is None
    assert (tmp_path / "pareto.png").stat().st_size > 10_000
    reason = draw_trials(pd.DataFrame(rows[:1]), "RotNet", tmp_path / "none.png")
    assert reason == "none.png: 1 complete trials; a picture needs at least 2"


def test_the_terminals_table() -> None:
    table = accuracy_table(long_table(2).iloc[:-1])
    assert [column.header for column in table.columns] == ["target domain", "RotNet", "BDW"]
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["d0", "d1", "mean", "seconds a run", "instances a run", "kept at the end (%)"]
    assert cells[2] == ["60.0", "failed", "60.0", "12.0", "1,000", "50"]
