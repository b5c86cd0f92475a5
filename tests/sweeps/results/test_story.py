"""The story's numbers are those of the tables, and a sweep that has none says why."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
from rich.console import Console

from bdw.config import RunConfig
from bdw.evaluation import measure
from sweeps.results.finish import finish_comparison
from sweeps.results.story import tell_story
from sweeps.runner.comparison import Cell

ACCURACY = measure("accuracy")
GAINS = {"plain": 0.0, "BDW": 0.03, "other": 0.01, "oracle": 0.06}


def results(num_domains: int = 4) -> pd.DataFrame:
    rows = [
        {"method": method, "domain": f"d{domain}", "seed": seed, "metric": "accuracy", "higher_is_better": True}
        | {"value": 0.5 + 0.05 * domain + gain * (1 + 0.1 * domain), "run": f"runs/{method}-{domain}-{seed}"}
        | {"wall_seconds": 10.0, "instances_seen": 1000, "kept_fraction": 1.0}
        for method, gain in GAINS.items()
        for domain in range(num_domains)
        for seed in range(2)
    ]
    return pd.DataFrame(rows)


def write_curves(folder: Path, num_domains: int = 4) -> None:
    table = results(num_domains)
    parts = [
        table.assign(
            instances_seen=int(1000 * share),
            wall_seconds=10 * share,
            best_value=table["value"] - 0.04 * (1 - share),
            budget_share=share,
        )
        for share in (0.25, 0.5, 0.75, 1.0)
    ]
    pd.concat(parts).to_parquet(folder / "curves.parquet")


def test_a_story_has_a_verdict_tables_and_curves(tmp_path: Path) -> None:
    write_curves(tmp_path)
    missing = tell_story(
        results(), tmp_path, measure=ACCURACY, baseline="plain", oracles=["oracle", "absent"], subject="BDW",
        validation_images={"d0": 120},
    )  # fmt: skip
    assert missing is None
    assert {path.name for path in tmp_path.iterdir()} == {
        *("curves.parquet", "curves.png", "story.json", "equal_budget.md", "equal_budget.html")
    }
    story = json.loads((tmp_path / "story.json").read_text())
    found = story["findings"]
    # 3 % times the mean of 1, 1.1, 1.2 and 1.3.
    assert found["gain"] == pytest.approx(3.45)
    assert found["mean"] - found["baseline_mean"] == pytest.approx(found["gain"])
    assert found["oracle_share"] == pytest.approx(0.5)
    assert (found["num_candidates"], found["num_better"]) == (1, 4)
    # It starts 3 points ahead at a quarter, where the baseline is 3 points below its end.
    assert found["images_ratio"] == pytest.approx(4.0)
    assert story["example_run"] == "runs/BDW-0-0"
    table = story["tables"]["domains"]
    assert table["headings"] == ["domain", *GAINS]
    assert [table["rows"][row][column] for row, column in table["bold"]] == [row[2] for row in table["rows"]]
    assert "**" in (tmp_path / "equal_budget.md").read_text()


def test_unless_it_is_named_the_best_real_competitor_is_told_of(tmp_path: Path) -> None:
    write_curves(tmp_path)
    assert tell_story(results(), tmp_path, measure=ACCURACY, baseline="plain", oracles=["oracle"], subject="x") is None
    story = json.loads((tmp_path / "story.json").read_text())
    assert (story["findings"]["method"], story["findings"]["num_candidates"]) == ("BDW", 2)
    assert "flatters" in story["verdict"][0]


def test_one_domain_has_a_story_without_ranks(tmp_path: Path) -> None:
    write_curves(tmp_path, 1)
    assert tell_story(results(1), tmp_path, measure=ACCURACY, baseline="plain", oracles=["oracle"]) is None
    story = json.loads((tmp_path / "story.json").read_text())
    assert story["findings"]["test"] is None
    assert story["findings"]["p_value"] is None  # JSON knows no NaN.
    assert story["verdict"][0].startswith("On the only domain compared")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (results()[lambda rows: rows["method"] != "plain"], "no results of 'plain' and another method"),
        (results()[lambda rows: rows["method"].isin(["plain", "oracle"])], "no results of 'plain' and another"),
        (results().iloc[:0], "no results of 'plain'"),
    ],
)
def test_without_anything_to_compare_it_says_why(tmp_path: Path, table: pd.DataFrame, reason: str) -> None:
    write_curves(tmp_path)
    for name in ("story.json", "curves.png", "equal_budget.md"):
        (tmp_path / name).write_text("last time's")
    assert reason in str(tell_story(table, tmp_path, measure=ACCURACY, baseline="plain", oracles=["oracle"]))
    assert {path.name for path in tmp_path.iterdir()} == {"curves.parquet"}


def test_damaged_curves_cost_the_story_only(tmp_path: Path) -> None:
    (tmp_path / "curves.parquet").write_text("rubbish")
    reason = tell_story(results(), tmp_path, measure=ACCURACY, baseline="plain")
    assert str(reason).startswith("story.json: curves: ")


@pytest.mark.parametrize("with_curves", [True, False])
def test_the_end_of_a_sweep_tells_it_where_there_are_curves(tmp_path: Path, with_curves: bool) -> None:
    study, cells, table = optuna.create_study(direction="maximize"), [], results()
    for row in table.to_dict("records"):
        cell = Cell(row["method"], row["domain"], row["seed"], config_of(row), row["run"].removeprefix("runs/"))
        cells.append(cell)
        trial = study.ask()
        own = {"method": cell.method, "domain": cell.domain, "seed": cell.seed, "run": cell.run}
        for name, value in {
            **own,
            "results": [row],
            "best_validation_score": row["value"],
            "kept_fraction": 1.0,
        }.items():
            trial.set_user_attr(name, value)
        study.tell(trial, row["value"])
    if with_curves:
        write_curves(tmp_path)
    fetched: list[str] = []
    paths = SimpleNamespace(path=tmp_path, fetch_run=fetched.append)
    choice = SimpleNamespace(remark="An illustration.")
    experiment = SimpleNamespace(paths=paths, choice=choice, measure=ACCURACY)
    console = Console(file=io.StringIO(), width=300)
    page = finish_comparison(
        experiment, study, cells, title="t", console=console, draw=lambda *_: None, baseline="plain", subject="BDW"  # type: ignore[arg-type]
    )  # fmt: skip
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("BDW is better than plain" in said) is with_curves
    assert ("What was found" in page.read_text()) is with_curves
    assert fetched == (["BDW-0-0"] if with_curves else [])
    if with_curves:
        story = json.loads((tmp_path / "story.json").read_text())
        assert story["findings"]["oracle"] == "oracle"
        assert set(story["validation_images"]) == {"d0", "d1", "d2", "d3"}
        assert all(count > 0 for count in story["validation_images"].values())


def config_of(row: dict[str, object]) -> RunConfig:
    return RunConfig().replace(weighter="oracle" if row["method"] == "oracle" else "uniform")
