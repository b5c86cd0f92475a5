"""Which trial is taken for the best."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from sweeps.search import PAPER, best_trial, failures


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


def test_none_if_nothing_is_complete() -> None:
    study = study_of()
    failed = study.ask()
    failed.set_user_attr("reason", "crashed")
    study.tell(failed, state=TrialState.FAIL)
    assert best_trial(study) is None
    assert failures(study) == ["crashed"]
