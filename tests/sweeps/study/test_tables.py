"""Tables and pictures are made from the studies and the tables alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from rich.console import Console

from analysis import COST_LABELS, read_curves
from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.evaluation import measure
from bdw.ray.trial import CURVE
from bdw.runs.export import RESULT_COLUMNS
from sweeps.results import figures
from sweeps.results.figures import draw_ranks, draw_trials
from sweeps.results.finish import finish_search, require_complete_trial, score_table
from sweeps.runner.comparison import CURVE_COLUMNS, Cell, comparison_curves
from sweeps.study.tables import LABELS, result_rows, trial_rows, write_curves, write_results, write_trials

ACCURACY = measure("accuracy")
MEASURED = {
    "best_validation_score": 0.8,
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
    write_trials(tmp_path / "trials.csv", trial_rows(study, "accuracy", prefix="t"))
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table["trial"].tolist() == ["t0", "t1", "t2"]  # What still waits is no trial yet.
    assert table["state"].tolist() == ["complete", "failed", "running"]
    first = table.iloc[0]
    assert (first["validation_score"], first["test_score"], first["value"]) == (0.8, 0.7, 0.8)
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
    assert draw_ranks(long_table(6, ("a", "b", "c")), tmp_path, measure=ACCURACY, remark="An illustration.") is None
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
        (long_table(3).assign(value=0.5), "critical_difference.png: "),
        (pd.concat([long_table(3), long_table(3).assign(seed=1).iloc[:-1]]), "completed different seeds on d2"),
        (pd.DataFrame([], columns=RESULT_COLUMNS), "0 methods on 0 domains"),
    ],
)
def test_ranks_that_cannot_be_drawn_say_why(tmp_path: Path, table: pd.DataFrame, reason: str) -> None:
    for name in ("critical_difference.png", "critical_difference.pdf", "comparison.json"):
        (tmp_path / name).write_text("last time's")
    assert reason in str(draw_ranks(table, tmp_path, measure=ACCURACY, remark=""))
    assert list(tmp_path.iterdir()) == []


def test_trials_are_drawn_by_cost(tmp_path: Path) -> None:
    rows = [
        {"trial": str(i), "state": state, "method": method, "validation_score": 0.5 + 0.1 * i}
        | {"wall_seconds": 10.0 - i, "instances_seen": 100 * i}
        for i, (method, state) in enumerate(
            [("RotNet", "complete"), ("BDW", "complete"), ("BDW", "complete"), ("BDW", "pruned")]
        )
    ]
    assert draw_trials(pd.DataFrame(rows), ACCURACY, "RotNet", tmp_path / "pareto.png") is None
    assert (tmp_path / "pareto.png").stat().st_size > 10_000
    (tmp_path / "none.png").write_text("last time's")
    reason = draw_trials(pd.DataFrame(rows[:1]), ACCURACY, "RotNet", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    assert reason == "none.png: 1 complete trials; a picture needs at least 2"


def test_a_cost_that_is_the_same_for_all_trials_has_no_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = pd.DataFrame(
        {"label": ["a", "b", "c"], "value": [0.5, 0.6, 0.7], "wall_seconds": [10.0, 12.0, 9.0]}
        | {"instances_seen": [64_000, 64_064, 64_032]}
    )
    assert figures.costs_that_differ(points, figures.COSTS) == ["wall_seconds"]
    drawn: list[tuple[float, list[str]]] = []
    monkeypatch.setattr(
        figures,
        "save_figure",
        lambda figure, path: drawn.append((figure.get_figwidth(), [ax.get_xlabel() for ax in figure.axes])),
    )
    for change in ({}, {"instances_seen": [64_000, 32_000, 16_000]}, {"wall_seconds": 10.0}):
        figures.draw_against_costs(points.assign(**change), figures.COSTS, ACCURACY, "a", tmp_path / "x.png")
    seconds, images = COST_LABELS["wall_seconds"], COST_LABELS["instances_seen"]
    assert drawn == [(3.45, [seconds]), (6.9, [seconds, images]), (3.45, [seconds])]


def wanted(domains: int, seeds: int = 1) -> list[Cell]:
    return [
        Cell(method, f"d{domain}", seed, RunConfig(), "run")
        for seed in range(seeds)
        for domain in range(domains)
        for method in ("RotNet", "BDW")
    ]


def columns_of(results: pd.DataFrame, cells: list[Cell]) -> list[list[str]]:
    return [[str(cell) for cell in column.cells] for column in score_table(results, cells, ACCURACY).columns]


def test_the_terminals_table() -> None:
    table = score_table(long_table(2), wanted(2), ACCURACY)
    assert [column.header for column in table.columns] == ["target domain", "RotNet", "BDW"]
    cells = columns_of(long_table(2), wanted(2))
    assert cells[0] == ["d0", "d1", "mean", "seconds a run", "instances a run", "kept at the end (%)"]
    assert cells[2] == ["60.0", "61.0", "60.5", "12.0", "1,000", "50"]


def test_means_are_over_what_every_method_completed() -> None:
    results = long_table(2).iloc[:-1].assign(wall_seconds=[1.0, 2.0, 100.0])
    names, rotnet, bdw = columns_of(results, wanted(2))
    assert names[:3] == ["d0", "d1", "mean of 1 of 2 domains"]
    assert rotnet[:4] == ["50.0", "51.0", "50.0", "1.0"]
    assert bdw[:4] == ["60.0", "failed", "60.0", "2.0"]


def test_a_missing_seed_is_told() -> None:
    results = pd.concat([long_table(2), long_table(2).assign(seed=1).iloc[:-1]], ignore_index=True)
    names, rotnet, bdw = columns_of(results, wanted(2, seeds=2))
    assert names[2] == "mean of 3 of 4 domains and seeds"
    assert rotnet[1:3] == ["51.0", "50.3"]
    assert bdw[1:3] == ["61.0 (1 of 2 seeds)", "60.3"]


def test_a_comparison_of_which_nothing_completed() -> None:
    names, *methods = columns_of(pd.DataFrame([], columns=RESULT_COLUMNS), wanted(1))
    assert names[:2] == ["d0", "mean of 0 of 1 domains"]
    assert methods == [["failed", "–", "–", "–", "–"]] * 2


def experiment_in(folder: Path, *, has_equal_budget: bool = True) -> Any:
    paths = SimpleNamespace(path=folder, fetch_run=lambda run: folder / run)
    choice = SimpleNamespace(remark="")
    return SimpleNamespace(
        paths=paths, base=RunConfig(), choice=choice, measure=ACCURACY, has_equal_budget=has_equal_budget
    )


def test_runs_counted_in_epochs_are_no_comparison_at_equal_budget(study: optuna.Study, tmp_path: Path) -> None:
    said = Console(file=io.StringIO(), width=200)
    (tmp_path / "curves.parquet").write_bytes(b"of an earlier version")
    experiment = experiment_in(tmp_path, has_equal_budget=False)
    comparison = optuna.create_study(direction="maximize")
    finish_search(experiment, study, comparison, wanted(2), baseline="RotNet", title="t", console=said)
    assert not (tmp_path / "curves.parquet").exists()
    assert not (tmp_path / "story.json").exists()


def test_the_end_survives_a_comparison_that_failed_altogether(study: optuna.Study, tmp_path: Path) -> None:
    said = Console(file=io.StringIO(), width=200)
    comparison = optuna.create_study(direction="maximize")
    experiment = experiment_in(tmp_path)
    page = finish_search(experiment, study, comparison, wanted(2), baseline="RotNet", title="t", console=said)
    assert page.is_file()
    assert pd.read_parquet(tmp_path / "results.parquet").empty
    assert pd.read_csv(tmp_path / "trials.csv")["method"].tolist() == ["BDW"] * 3
    assert "0 methods on 0 domains" in said.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_without_a_complete_trial_the_tables_stay(state: TrialState, tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    if state == TrialState.FAIL:
        trial.set_user_attr("reason", "no memory")
    study.tell(trial, state=state)
    with pytest.raises(InputError, match="none of 1 trials completed") as error:
        require_complete_trial(experiment_in(tmp_path), study, title="t")
    assert ("no memory" in str(error.value)) is (state == TrialState.FAIL)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 1
    assert (tmp_path / "report.html").is_file()


def test_a_sweep_without_a_single_trial(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trial was started"):
        require_complete_trial(experiment_in(tmp_path), optuna.create_study(), title="t")


def test_curves_have_a_row_for_every_evaluation_of_a_complete_run(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    for run in ("BDW-d0-0", "BDW-d1-0"):
        trial = study.ask()
        trial.set_user_attr("run", run)
        trial.set_user_attr("curve", [[320.0, 1.5, 0.4, 0.4, 1.0, 0.25], [640.0, 2.5, 0.3, 0.4, 0.5, 0.5]])
        if run == "BDW-d0-0":
            study.tell(trial, 0.4)
        else:
            study.tell(trial, state=TrialState.FAIL)
    cells = [Cell("BDW", domain, 0, RunConfig(), f"BDW-{domain}-0") for domain in ("d0", "d1")]
    write_curves(tmp_path / "curves.parquet", comparison_curves(study, cells))
    table = pd.read_parquet(tmp_path / "curves.parquet")
    assert table.to_dict("records") == [
        {
            "method": "BDW", "domain": "d0", "seed": 0, "instances_seen": seen, "wall_seconds": seconds,
            "value": value, "best_value": 0.4, "kept_fraction": kept, "budget_share": share,
        }
        for seen, seconds, value, kept, share in ((320, 1.5, 0.4, 1.0, 0.25), (640, 2.5, 0.3, 0.5, 0.5))
    ]  # fmt: skip
    assert read_curves(tmp_path / "curves.parquet")["value"].tolist() == [0.4, 0.3], "as the story reads it"
    write_curves(tmp_path / "none.parquet", comparison_curves(study, []))
    assert list(pd.read_parquet(tmp_path / "none.parquet")) == CURVE_COLUMNS


def test_the_curve_s_columns_are_those_that_a_trial_measures() -> None:
    renamed = {"validation_score": "value", "best_validation_score": "best_value"}
    assert [*LABELS, *(renamed.get(name, name) for name in CURVE)] == CURVE_COLUMNS
