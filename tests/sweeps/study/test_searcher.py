"""The searcher tells the study the truth: complete, pruned with its step, failed with its reason, nothing twice."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from bdw import evaluation
from bdw.errors import InputError
from bdw.report import write_sweep_report
from sweeps.runner.search import failures
from sweeps.study.objective import SCORE, objective
from sweeps.study.open_study import only_driver, open_storage, open_study, requeue_unfinished, settled_trials
from sweeps.study.searcher import THOUSANDTHS, StudySearcher, Unworkable
from sweeps.study.tables import trial_rows, write_trials

LAST_EPOCH = 3
ACCURACY = evaluation.measure("accuracy")
Open = Callable[..., optuna.Study]


@pytest.fixture
def reopen(tmp_path: Path) -> Open:
    """Opens the same study as a new process would."""

    def open_again(name: str = "sweep", optimised: str = "accuracy", experiment: Any = None) -> optuna.Study:
        return open_study(
            open_storage(tmp_path / "study.journal"),
            name,
            directions=objective(optimised, ACCURACY).directions,
            experiment=experiment or {"data": "digits"},
            seed=7,
        )

    return open_again


def propose(trial: optuna.Trial) -> dict[str, Any]:
    x = trial.suggest_float("x", 0, 1)
    return {"plan": {"x": x}, "labels": {"run": f"run-{x!r}", "method": "BDW", "seed": 0}}


def searcher_for(study: optuna.Study, *, num_new: int = 10, optimised: str = "accuracy") -> StudySearcher:
    return StudySearcher(study, propose, objective=objective(optimised, ACCURACY), num_new=num_new)


def row(epoch: int, accuracy: float = 0.5, **more: Any) -> dict[str, Any]:
    own = {"epoch": epoch, "budget_share": epoch / LAST_EPOCH, SCORE: accuracy}
    return {**own, "wall_seconds": 1.5 * epoch, "instances_seen": 100 * epoch, **more}


def step(epoch: int) -> int:
    """Where an epoch's value stands."""
    return round(THOUSANDTHS * epoch / LAST_EPOCH)


def only_trial(study: optuna.Study) -> FrozenTrial:
    (trial,) = study.get_trials()
    return trial


def test_complete_after_its_last_epoch(reopen: Open) -> None:
    searcher = searcher_for(reopen())
    config = searcher.suggest("a")
    assert isinstance(config, dict)
    for epoch, accuracy in ((1, 0.2), (2, 0.4), (3, 0.6)):
        searcher.on_trial_result("a", row(epoch, accuracy))
    searcher.on_trial_complete("a", row(3, 0.6, ended=True, kept_fraction=0.7, results=[{"metric": "accuracy"}]))
    trial = only_trial(reopen())
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.6
    assert trial.params == config["plan"]
    assert trial.intermediate_values == {333: 0.2, 667: 0.4, 1000: 0.6}
    expected = {"run": config["labels"]["run"], "wall_seconds": 4.5, "instances_seen": 300, "kept_fraction": 0.7}
    assert expected.items() <= trial.user_attrs.items()


def test_pruned_with_its_step(reopen: Open) -> None:
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    searcher.on_trial_result("a", row(1, 0.2))
    searcher.on_trial_complete("a", row(2, 0.3))  # Tune keeps a stopped trial's last result from on_trial_result.
    trial = only_trial(reopen())
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {step(1): 0.2, step(2): 0.3}
    assert trial.user_attrs["pruned_at_epoch"] == 2


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (row(2, math.nan, ended=True), f"{SCORE} is nan at epoch 2"),
        ({"epoch": 3, "ended": True}, f"{SCORE} is missing at epoch 3"),
        (row(1, failure="NonFiniteError: loss is not finite"), "NonFiniteError: loss is not finite"),
        ({}, "ended before its first epoch"),
        (None, "ended before its first epoch"),
        (row(3), "ended after its last epoch without its results"),
        (row(2, ended=True), "ended after 67 % of its budget"),
    ],
)
def test_failed_with_its_reason(reopen: Open, last: dict[str, Any] | None, reason: str) -> None:
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    searcher.on_trial_complete("a", last)
    trial = only_trial(reopen())
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == reason


def test_a_failure_before_the_first_epoch_is_told_like_any_other(reopen: Open) -> None:
    """Such a trial's only row has no share of a budget."""
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    closing = {"epoch": 0, SCORE: math.nan, "failure": "InputError: encoder: 'nonsense' is not known"}
    searcher.on_trial_result("a", closing)
    searcher.on_trial_complete("a", closing)
    trial = only_trial(reopen())
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == closing["failure"]
    assert trial.intermediate_values == {}


def test_short_epochs_stand_at_their_shares_of_the_budget(reopen: Open) -> None:
    """A run that has pruned makes ever shorter epochs: as many images, more reports."""
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    for epoch, (share, accuracy) in enumerate([(0.25, 0.2), (0.375, 0.3), (0.4375, 0.4), (0.4376, 0.5)], start=1):
        searcher.on_trial_result("a", row(epoch, accuracy, budget_share=share))
    assert only_trial(reopen()).intermediate_values == {250: 0.2, 375: 0.3, 438: 0.4}


def test_crash_fails_with_the_reason_that_comes_later(reopen: Open) -> None:
    study = reopen()
    searcher = searcher_for(study)
    for trial_id in ("a", "b"):
        searcher.suggest(trial_id)
        searcher.on_trial_complete(trial_id, error=True)
    searcher.explain_crash("a", "ValueError: no")
    searcher.close()
    reasons = [trial.user_attrs["reason"] for trial in study.get_trials() if trial.state == TrialState.FAIL]
    assert reasons == ["ValueError: no", "crashed; the reason stands in Ray's logs"]


def test_a_crashed_trial_keeps_what_it_cost_and_is_continued_once(reopen: Open) -> None:
    def crash() -> optuna.Study:
        study = reopen()
        requeue_unfinished(study)
        searcher = searcher_for(study)
        searcher.suggest("a")
        searcher.on_trial_result("a", row(1, 0.2))
        searcher.on_trial_complete("a", error=True)
        searcher.explain_crash("a", "ActorDiedError: its machine went away")
        return study

    first = only_trial(crash())
    assert first.state == TrialState.FAIL
    assert {"epoch": 1, "wall_seconds": 1.5, "instances_seen": 100, "crashed": True}.items() <= first.user_attrs.items()
    study = reopen()
    assert requeue_unfinished(study) == 1
    assert requeue_unfinished(study) == 0
    second = crash().get_trials()[-1]
    assert second.user_attrs["continues"] == 0
    assert second.params == first.params
    # Twice is a reason to try something else.
    assert requeue_unfinished(reopen()) == 0
    assert crash().get_trials()[-1].params != first.params


def test_own_failures_are_not_tried_again(reopen: Open) -> None:
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    searcher.on_trial_complete("a", row(1, failure="NonFiniteError: loss is not finite"))
    assert requeue_unfinished(reopen()) == 0


def test_nothing_is_left_running_and_the_budget_holds(reopen: Open) -> None:
    searcher = searcher_for(reopen(), num_new=3)
    for i, last in enumerate((row(3, ended=True), row(1), row(1, failure="x"))):
        assert isinstance(searcher.suggest(str(i)), dict)
        searcher.on_trial_complete(str(i), last)
    assert searcher.suggest("more") == Searcher.FINISHED
    states = [trial.state for trial in reopen().get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]


def test_a_limit_leaves_trials_for_the_next_start(reopen: Open) -> None:
    searcher = searcher_for(reopen(), num_new=3)
    reason: str | None = None
    searcher.stop_at(lambda: reason)
    assert isinstance(searcher.suggest("a"), dict)
    reason = "--max-hours: 1 hours are used up"
    assert searcher.suggest("b") == Searcher.FINISHED
    assert searcher.limit_met == reason
    searcher.on_trial_complete("a", row(3, ended=True))
    assert only_trial(reopen()).state == TrialState.COMPLETE, "what runs is finished, and nothing else was asked for"


def test_parameters_that_cannot_meet_are_drawn_again(reopen: Open) -> None:
    def picky(trial: optuna.Trial) -> dict[str, Any]:
        found = propose(trial)
        if found["plan"]["x"] < 0.5:
            raise Unworkable("x: below a half")
        return found

    study = reopen()
    study.enqueue_trial({"x": 0.2})
    study.enqueue_trial({"x": 0.7})
    searcher = StudySearcher(study, picky, objective=objective("accuracy", ACCURACY), num_new=1)
    config = searcher.suggest("a")
    assert isinstance(config, dict)
    assert config["plan"] == {"x": 0.7}
    assert failures(study) == ["x: below a half"]


def test_several_objectives(reopen: Open) -> None:
    searcher = searcher_for(reopen(optimised="accuracy-seconds"), optimised="accuracy-seconds")
    searcher.suggest("a")
    searcher.on_trial_result("a", row(1))
    searcher.on_trial_complete("a", row(3, 0.6, ended=True))
    study = reopen(optimised="accuracy-seconds")
    assert only_trial(study).values == [0.6, 4.5]
    assert only_trial(study).intermediate_values == {step(1): 0.5, step(3): 0.6}
    assert len(study.best_trials) == 1


def test_the_same_run_never_runs_twice(reopen: Open) -> None:
    study = reopen()
    for x in (0.25, 0.25, 0.75):
        study.enqueue_trial({"x": x})
    searcher = searcher_for(study)
    first, second = searcher.suggest("a"), searcher.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert [first["plan"]["x"], second["plan"]["x"]] == [0.25, 0.75]
    assert study.get_trials()[1].user_attrs["reason"] == "the same parameters as trial 0"
    assert [row["trial"] for row in trial_rows(study, "accuracy")] == [
        "0",
        "2",
    ]  # What was drawn twice was never started.
    assert failures(study) == []


def test_a_kill_before_the_labels_costs_no_page(reopen: Open, tmp_path: Path) -> None:
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    searcher.on_trial_complete("a", row(3, 0.6, ended=True, kept_fraction=0.7))
    reopen().ask()  # And here the driver dies.
    study = reopen()
    assert requeue_unfinished(study) == 1
    known = {"method": "BDW", "domain": "digits", "seed": 0}
    for rows, methods in (
        (trial_rows(study, "accuracy"), ["BDW", ""]),
        (trial_rows(study, "accuracy", known=known), ["BDW", "BDW"]),
    ):
        assert [row["method"] for row in rows] == methods
        write_trials(tmp_path / "trials.csv", rows)
        page = write_sweep_report(tmp_path, "title").read_text()
        assert ("2 trials of 1 method: BDW. The method of 1 trial is unknown." in page) is ("" in methods)


def test_a_space_that_is_used_up_ends_the_search(reopen: Open) -> None:
    def constant(trial: optuna.Trial) -> dict[str, Any]:
        return {"plan": {}, "labels": {"run": "only"}}

    searcher = StudySearcher(reopen(), constant, objective=objective("accuracy", ACCURACY), num_new=5)
    assert isinstance(searcher.suggest("a"), dict)
    assert searcher.num_not_found == 0
    assert searcher.suggest("b") == Searcher.FINISHED
    assert (searcher.num_open, searcher.num_not_found) == (0, 4)


def test_restart_after_a_killed_driver(reopen: Open) -> None:
    study = reopen()
    study.enqueue_trial({"x": 0.5}, user_attrs={"origin": "paper"})
    killed = searcher_for(study)
    done, lost = killed.suggest("a"), killed.suggest("b")
    killed.on_trial_complete("a", row(3, ended=True))
    killed.on_trial_result("b", row(1))  # And here the driver dies.

    study = reopen()
    assert requeue_unfinished(study) == 1
    searcher = searcher_for(study, num_new=4 - len(settled_trials(study)))
    assert searcher.num_open == 3
    again = searcher.suggest("c")
    assert isinstance(again, dict)
    assert isinstance(lost, dict)
    assert again["labels"]["run"] == lost["labels"]["run"]
    assert isinstance(done, dict)
    trials = study.get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]
    assert trials[1].user_attrs["reason"] == "the driver ended before the trial did"
    assert trials[2].user_attrs["continues"] == 1


def test_a_requeued_trial_stays_a_paper_cell(reopen: Open) -> None:
    study = reopen()
    study.enqueue_trial({"x": 0.5}, user_attrs={"origin": "paper"})
    searcher_for(study).suggest("a")
    study = reopen()
    requeue_unfinished(study)
    assert study.get_trials()[1].user_attrs["origin"] == "paper"


def test_a_driver_that_starts_again_draws_something_else(reopen: Open) -> None:
    first, second = (searcher_for(reopen()).suggest("a") for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["plan"] != second["plan"]


def test_a_name_of_another_experiment_is_refused(reopen: Open) -> None:
    reopen(experiment={"data": "digits", "epochs": 5})
    with pytest.raises(InputError, match=r"'sweep' holds another experiment \(epochs: 5 there, 8 here\)"):
        reopen(experiment={"data": "digits", "epochs": 8})


def test_two_studies_share_a_storage_without_mixing(reopen: Open) -> None:
    searcher_for(reopen("one")).suggest("a")
    assert reopen("two").get_trials() == []


def test_a_second_driver_is_refused_and_told_who_runs_the_sweep_and_since_when(tmp_path: Path) -> None:
    for _ in range(2):
        said = rf"being run by process {os.getpid()} on \S+ since \d+-\d+-\d+ \d+:\d+:\d+ \(\d s\); wait, or choose"
        with only_driver(tmp_path), pytest.raises(InputError, match=said), only_driver(tmp_path):
            pass
    with only_driver(tmp_path):
        (tmp_path / ".driver.lock").write_text("")  # As long as the holder has not written itself into it.
        with (
            pytest.raises(InputError, match="being run by another process, which has just begun"),
            only_driver(tmp_path),
        ):
            pass


def test_a_storage_that_goes_away_ends_the_search_with_one_line(reopen: Open, tmp_path: Path) -> None:
    searcher = searcher_for(reopen())
    searcher.suggest("a")
    searcher.suggest("b")
    (tmp_path / "study.journal").rename(tmp_path / "away")
    (tmp_path / "study.journal").mkdir()
    with pytest.raises(InputError, match="study: its storage is locked or gone: Is a directory"):
        searcher.on_trial_result("a", row(1))
    assert searcher.suggest("c") == Searcher.FINISHED
    searcher.on_trial_complete("b", error=True)
    with pytest.raises(InputError, match="study: its storage is locked or gone"):
        searcher.close()
    (tmp_path / "study.journal").rmdir()
    (tmp_path / "away").rename(tmp_path / "study.journal")
    assert requeue_unfinished(reopen()) == 2


def test_a_database_works_like_the_journal(tmp_path: Path) -> None:
    def study() -> optuna.Study:
        storage = open_storage(tmp_path / "unused", f"sqlite:///{tmp_path}/study.db")
        return open_study(storage, "sweep", directions=["maximize"], experiment={}, seed=0)

    searcher_for(study()).suggest("a")
    continued = study()
    assert requeue_unfinished(continued) == 1
    continued._storage.remove_session()


def test_tune_may_pickle_it(reopen: Open) -> None:
    assert isinstance(pickle.loads(pickle.dumps(searcher_for(reopen()))), StudySearcher)
