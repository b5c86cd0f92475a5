"""Which trial is taken for the best."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bdw.evaluation import measure
from sweeps.runner.search import best_trial, early_stopping, enqueue_cells, failures
from sweeps.runner.space import PAPER, RECIPE, RECOMMENDED
from sweeps.study.best import best_score
from sweeps.study.objective import SCORE
from sweeps.study.open_study import requeue_unfinished, withdraw_waiting
from sweeps.study.searcher import THOUSANDTHS
from sweeps.study.tables import trial_rows


def study_of(*trials: tuple[float, int, str | None]) -> optuna.Study:
    """Complete trials by accuracy, instances seen and origin."""
    study = optuna.create_study(direction="maximize")
    for accuracy, instances, origin in trials:
        trial = study.ask()
        trial.set_user_attr("instances_seen", instances)
        if origin is not None:
            trial.set_user_attr("origin", origin)
        study.tell(trial, accuracy)
    return study


def test_the_most_accurate_then_the_cheapest() -> None:
    study = study_of((0.8, 100, PAPER), (0.9, 300, PAPER), (0.9, 200, None), (0.7, 10, None))
    best, paper = best_trial(study), best_trial(study, origin=PAPER)
    assert best is not None
    assert paper is not None
    assert (best.number, paper.number) == (2, 1)


def test_of_equals_the_lowest_number() -> None:
    best = best_trial(study_of((0.8, 100, None), (0.9, 200, None), (0.9, 200, None)))
    assert best is not None
    assert best.number == 1


CELLS = [{"x": 0.25}, {"x": 0.5}]


def start(study: optuna.Study) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    return trial


def waiting(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.WAITING,))


def test_a_failed_cell_is_tried_again_at_the_next_start() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        enqueue_cells(study, CELLS, origin=PAPER)
        assert [trial.system_attrs["fixed_params"] for trial in waiting(study)] == CELLS
    study.tell(start(study), state=TrialState.FAIL)
    study.tell(start(study), 0.5)
    for _ in range(2):
        enqueue_cells(study, CELLS, origin=PAPER)
        (again,) = waiting(study)
        assert again.system_attrs["fixed_params"] == CELLS[0]
        assert again.user_attrs["origin"] == PAPER
    study.tell(start(study), state=TrialState.PRUNED)
    enqueue_cells(study, CELLS, origin=PAPER)
    assert not waiting(study)


def test_a_kill_while_requeueing_loses_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(direction="maximize")
    enqueue_cells(study, CELLS[:1], origin=PAPER)
    start(study)

    def killed(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(study, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            requeue_unfinished(study)
    assert len(waiting(study)) == 1
    assert requeue_unfinished(study) == 1
    enqueue_cells(study, CELLS[:1], origin=PAPER)
    (again,) = waiting(study)
    assert again.user_attrs == {"origin": PAPER, "continues": 0}


def test_none_if_nothing_is_complete() -> None:
    study = study_of()
    failed = study.ask()
    failed.set_user_attr("reason", "crashed")
    study.tell(failed, state=TrialState.FAIL)
    assert best_trial(study) is None
    assert failures(study) == ["crashed"]


def test_the_best_of_a_recipe() -> None:
    study = optuna.create_study(direction="maximize")
    for recipe, accuracy in ((PAPER, 0.9), (RECOMMENDED, 0.7), (RECOMMENDED, 0.8), (PAPER, 0.6)):
        study.enqueue_trial({RECIPE: recipe})
        trial = study.ask()
        trial.suggest_categorical(RECIPE, (PAPER, RECOMMENDED))
        study.tell(trial, accuracy)
    found = [best_trial(study, recipe=recipe) for recipe in (None, PAPER, RECOMMENDED)]
    assert [trial.number for trial in found if trial is not None] == [0, 0, 2]


def test_every_origin_is_queued_once_under_its_name() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        enqueue_cells(study, CELLS[:1], origin=RECOMMENDED)
        enqueue_cells(study, CELLS, origin=PAPER)
    assert [trial.user_attrs["origin"] for trial in waiting(study)] == [RECOMMENDED, PAPER]


def test_early_stopping_knows_the_past_but_not_published_settings() -> None:
    study = optuna.create_study(direction="maximize")
    for accuracy, origin in ((0.9, RECOMMENDED), (0.8, PAPER), (0.5, None)):
        trial = study.ask()
        if origin is not None:
            trial.set_user_attr("origin", origin)
        trial.report(accuracy, THOUSANDTHS // 2)
        study.tell(trial, accuracy)
    halving = early_stopping(study, measure("accuracy"))

    def heard(name: str, accuracy: float) -> str:
        tune_trial: Any = SimpleNamespace(trial_id=name, config={"labels": {}})
        return halving.on_trial_result(None, tune_trial, {"budget_share": 0.5, SCORE: accuracy})

    assert heard("as good as what was drawn", 0.5) == "CONTINUE"
    assert heard("worse", 0.4) == "STOP"


def test_a_search_queues_no_more_published_settings_than_it_has_trials() -> None:
    study = optuna.create_study(direction="maximize")
    enqueue_cells(study, CELLS[:1], origin=RECOMMENDED, at_most=2)
    enqueue_cells(study, [{"x": 0.5}, {"x": 0.75}], origin=PAPER, at_most=2)
    assert [trial.system_attrs["fixed_params"]["x"] for trial in waiting(study)] == [0.25, 0.5]
    enqueue_cells(study, [{"x": 0.5}, {"x": 0.75}], origin=PAPER, at_most=0)
    assert len(waiting(study)) == 2
    enqueue_cells(study, [{"x": 0.5}, {"x": 0.75}], origin=PAPER, at_most=3)
    assert [trial.system_attrs["fixed_params"]["x"] for trial in waiting(study)] == [0.25, 0.5, 0.75]


def test_what_will_not_be_started_is_withdrawn_and_comes_back_with_more_trials() -> None:
    """Two trials were cut short and a cell waits; the search is started again for one trial, then for three."""
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        start(study)
    enqueue_cells(study, CELLS[:1], origin=PAPER)
    assert requeue_unfinished(study) == 2
    left_out = withdraw_waiting(study, beyond=1)
    assert [trial.user_attrs.get("continues") for trial in left_out] == [1, None]
    (left,) = waiting(study)
    assert left.user_attrs["continues"] == 0
    assert [row["trial"] for row in trial_rows(study, "accuracy")] == ["0", "1"], "what never began is no row"
    assert len(failures(study)) == 2
    study.tell(start(study), 0.5)
    assert requeue_unfinished(study) == 1, "the one that was withdrawn, not the one that was continued"
    enqueue_cells(study, CELLS[:1], origin=PAPER)
    assert [trial.user_attrs for trial in waiting(study)] == [{"continues": 1}, {"origin": PAPER}]
    assert withdraw_waiting(study, beyond=2) == []


def test_nothing_continues_what_another_trial_has_finished() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        start(study).set_user_attr("run", "the same")
    study.tell(1, 0.5)
    assert requeue_unfinished(study) == 0
    assert waiting(study) == []


@pytest.mark.parametrize(
    ("directions", "values", "best"),
    [
        # Accuracy up, seconds down: the front is 0, 1 and 2, and 1 is nearest to (0.9, 10).
        (["maximize", "minimize"], [(0.90, 100), (0.88, 40), (0.50, 10), (0.87, 90)], 1),
        (["maximize", "minimize"], [(0.90, 100), (0.90, 90)], 1),
        (["maximize", "minimize"], [(0.90, 100), (0.80, 100)], 0),
        # Both at a distance of 1: the better first objective.
        (["maximize", "minimize"], [(0.50, 10), (0.90, 100)], 1),
        (["minimize", "maximize"], [(0.50, 10), (0.90, 100)], 0),
        # Three objectives; distances to (0, 0, 0) by hand: sqrt(2), sqrt(2), sqrt(2), sqrt(3) / 2.
        (["minimize"] * 3, [(0, 2, 2), (2, 0, 2), (2, 2, 0), (1, 1, 1)], 3),
    ],
)
def test_the_best_of_several_objectives_honours_all_of_them(
    directions: list[str], values: list[tuple[float, ...]], best: int
) -> None:
    study = optuna.create_study(directions=directions)
    for several in values:
        study.tell(study.ask(), several)
    found = best_trial(study)
    assert found is not None
    assert found.number == best


def test_the_score_that_a_continued_search_begins_with() -> None:
    study = optuna.create_study(direction="maximize")
    assert math.isnan(best_score(study.get_trials(), measure("accuracy")))
    for score, state in ((0.3, TrialState.PRUNED), (None, TrialState.PRUNED), (0.2, TrialState.PRUNED)):
        trial = study.ask()
        if score is not None:
            trial.set_user_attr(SCORE, score)
        study.tell(trial, state=state)
    assert best_score(study.get_trials(), measure("accuracy")) == 0.3
    assert best_score(study.get_trials(), measure("pretext_loss")) == 0.2
