"""Objectives of one's own: columns, directions, what a run must measure for them, and what is refused."""

from __future__ import annotations

import math

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.training.checks import check
from sweeps.study.objective import SCORE
from sweeps.tuning.goals import MEAN_GAIN, MEAN_RANK, Goals

ROW = {
    SCORE: 0.8, "best_epoch_rankme": 7.0, MEAN_GAIN: 0.1,
    "wall_seconds": 12.0, "instances_seen": 640, "kept_fraction": 0.5,
}  # fmt: skip


def test_several_goals_with_their_directions() -> None:
    goals = Goals.parse(["linear_accuracy:max", "rankme", "seconds", "kept:max"])
    assert str(goals) == "accuracy:max rankme:max seconds:min kept:max"
    found = goals.objective(None)
    assert found.values(ROW) == (0.8, 7.0, 12.0, 0.5)
    assert found.directions == ("maximize", "maximize", "minimize", "maximize")
    assert goals.fields == {"measure": "accuracy", "monitors": ["rankme"]}
    assert not goals.ranks_early
    check(RunConfig().replace(**goals.fields))


def test_the_first_measure_chooses_the_epoch_wherever_it_stands() -> None:
    goals = Goals.parse(["images", "pretext_loss", "knn_accuracy"])
    assert goals.measure.name == "pretext_loss"
    assert goals.objective(None).metrics == ("instances_seen", SCORE, "best_epoch_knn_accuracy")
    assert goals.objective(None).directions == ("minimize", "minimize", "maximize")
    assert goals.fields["monitors"] == ["knn_accuracy"]


def test_gains_are_positive_where_a_run_is_better() -> None:
    """Lower losses are gains, so the mean gain of a loss that is to be minimised is to be maximised."""
    for words, direction in (
        (["pretext_loss"], "maximize"),
        (["accuracy"], "maximize"),
        (["accuracy:min"], "minimize"),
    ):
        found = Goals.parse(words).objective(MEAN_GAIN)
        assert (found.metrics, found.directions) == ((MEAN_GAIN,), (direction,))
    ranks = Goals.parse(["accuracy", "seconds"]).objective(MEAN_RANK)
    assert ranks.metrics == (SCORE, "wall_seconds"), "the study is told the mean score"


def test_fine_tuning_is_measured_once() -> None:
    fields = Goals.parse(["fine_tuned_accuracy", "seconds"]).fields
    config = RunConfig().replace(**fields)
    assert config.evaluation.measure == "fine_tuned_accuracy"
    assert config.evaluation.evaluate_every > 1e6
    assert math.isfinite(config.evaluation.evaluate_every)


@pytest.mark.parametrize(("words", "early"), [(["accuracy"], True), (["pretext_loss:min"], True),
                                              (["accuracy:min"], False), (["accuracy", "seconds"], False)])  # fmt: skip
def test_trials_are_ranked_early_by_one_measure_in_its_own_direction(words: list[str], early: bool) -> None:
    assert Goals.parse(words).ranks_early is early


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acuracy"], r"objective: 'acuracy' is not known \(did you mean 'accuracy'\?\)"),
        (["accuracy:up"], "'accuracy:up' cannot work; allowed: accuracy:max or accuracy:min"),
        (["accuracy", "linear_accuracy"], "'accuracy' is given twice"),
        (["seconds"], "seconds cannot work without a measure"),
        ([], "none cannot work without a measure"),
    ],
)
def test_what_cannot_work_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Goals.parse(words)
