from __future__ import annotations

import numpy as np
import pandas as pd

from bdw.report import trials_table


def _trials(**columns: list[object]) -> pd.DataFrame:
    count = len(columns["validation_score"])
    filled: dict[str, object] = {
        "trial": [f"t{i}" for i in range(count)],
        "state": "complete",
        "method": "beta",
        "wall_seconds": 1.0,
        "instances_seen": 1000,
        "kept_fraction": 1.0,
    }
    return pd.DataFrame(filled | columns, index=range(count))


def test_complete_trials_come_first_then_by_accuracy() -> None:
    trials = _trials(
        validation_score=[0.5, 0.9, np.nan, 0.7, np.nan], state=["complete", "pruned", "failed", "complete", "odd"]
    )
    assert list(trials_table.ranked(trials)["trial"]) == ["t3", "t0", "t1", "t2", "t4"]
    assert list(trials.columns) == list(trials_table.ranked(trials).columns)
    assert trials_table.state_counts(trials) == {"complete": 2, "pruned": 1, "failed": 1, "odd": 1}


def test_the_best_is_complete_and_chosen_on_validation() -> None:
    trials = _trials(
        validation_score=[0.5, 0.9, 0.7], state=["complete", "pruned", "complete"], test_score=[0.99, 0.99, 0.1]
    )
    best = trials_table.best_trial(trials)
    assert best is not None
    assert best["trial"].tolist() == ["t2"]
    table = trials_table.trials_table(trials)
    assert table.best == 0
    assert table.rows[0][:2] == ("t2", "complete")


def test_of_equals_the_one_that_saw_the_fewest_instances_then_the_first() -> None:
    trials = _trials(validation_score=[0.9, 0.9, 0.9, 0.8, 0.9], instances_seen=[300, 200, 200, 1, np.nan])
    assert list(trials_table.ranked(trials)["trial"]) == ["t1", "t2", "t0", "t4", "t3"]
    best = trials_table.best_trial(trials)
    assert best is not None
    assert best["trial"].tolist() == ["t1"]


def test_what_a_search_with_several_objectives_chose_is_its_best() -> None:
    trials = _trials(validation_score=[0.9, 0.88, 0.5], chosen=[0, 1, 0])
    best = trials_table.best_trial(trials)
    assert best is not None
    assert best["trial"].tolist() == ["t1"]
    table = trials_table.trials_table(trials)
    assert table.rows[table.best][0] == "t1"  # type: ignore[index]
    assert "chosen" not in table.headings
    others = trials_table.best_trial(trials.drop(index=1))
    assert others is not None
    assert others["trial"].tolist() == ["t0"]


def test_beside_a_search_only_its_own_trials_can_be_the_best() -> None:
    trials = _trials(validation_score=[0.9, 0.8, 0.95], trial=["comparison-0", "0", "comparison-1"])
    best = trials_table.best_trial(trials)
    assert best is not None
    assert best["trial"].tolist() == ["0"]
    assert trials_table.trials_table(trials).best == 2  # Ranked by score all the same.
    alone = trials_table.best_trial(trials[trials["trial"] != "0"])
    assert alone is not None
    assert alone["trial"].tolist() == ["comparison-1"]
    # As for the sweep, a search of which nothing is complete has no best trial.
    assert trials_table.best_trial(trials.assign(state=["complete", "failed", "complete"])) is None


def test_trials_without_a_method_are_counted_as_unknown() -> None:
    trials = _trials(validation_score=[0.5, 0.9, np.nan], method=["beta", "", np.nan])
    assert [row[:2] for row in trials_table.methods_table(trials).rows] == [("beta", "1"), ("unknown", "2")]
    nameless = _trials(validation_score=[np.nan], method=[np.nan])
    assert trials_table.methods_table(nameless).rows[0][:2] == ("unknown", "1")


def test_nothing_is_best_before_a_trial_completes() -> None:
    trials = _trials(validation_score=[0.5, 0.9], state=["running", "pruned"])
    assert trials_table.best_trial(trials) is None
    assert trials_table.trials_table(trials).best is None
    assert trials_table.methods_table(trials).rows == (("beta", "2", "–", "–", "–", "–", "–"),)


def test_columns_without_entries_are_left_out_and_parameters_kept() -> None:
    trials = _trials(
        validation_score=[0.5, 0.9], weight_lr=[10.0, np.nan], ways=[np.nan, np.nan], meta_loss=[None, "pretext"]
    )
    table = trials_table.trials_table(trials)
    assert table.headings == (
        "trial", "state", "method", "validation", "time", "instances seen", "kept", "weight_lr", "meta_loss",
    )  # fmt: skip
    assert [row[-2:] for row in table.rows] == [("–", "pretext"), ("10", "–")]
    assert "weight_lr" in table.numeric
    assert "meta_loss" not in table.numeric


def test_reasons_of_failures_come_last_and_bookkeeping_is_left_out() -> None:
    trials = _trials(
        validation_score=[0.5, np.nan],
        state=["complete", "failed"],
        git_revision="0123abc",
        value=[0.5, np.nan],
        reason=[None, "loss is NaN at step 3"],
        weight_lr=[1.0, 2.0],
    )
    table = trials_table.trials_table(trials)
    assert table.headings[-2:] == ("weight_lr", "reason")
    assert [row[-1] for row in table.rows] == ["–", "loss is NaN at step 3"]
    assert not {"git_revision", "value"} & set(table.headings)
