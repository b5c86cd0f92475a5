"""Whoever continues a sweep with other code is told which trials are the old code's."""

from __future__ import annotations

import optuna

from sweeps.study.revisions import other_revisions

OLD, NEW = 40 * "a", 40 * "b"


def trials_of(*revisions: str | None) -> list[optuna.trial.FrozenTrial]:
    study = optuna.create_study()
    for revision in revisions:
        trial = study.ask()
        if revision is not None:
            trial.set_user_attr("git_revision", revision)
        study.tell(trial, 0.5)
    return study.get_trials()


def test_trials_of_other_revisions_are_counted_by_revision() -> None:
    told = other_revisions(trials_of(OLD, NEW, OLD, f"{NEW}-dirty", None), NEW)
    assert told == (
        "warning: trials of other code are not run anew: 2 of revision aaaaaaaaaaaa, 1 of revision bbbbbbbbbbbb-dirty; "
        "this is bbbbbbbbbbbb. Another --name runs all"
    )


def test_nothing_is_said_of_one_revision_or_of_unknown_ones() -> None:
    assert other_revisions(trials_of(NEW, NEW, None), NEW) is None
    assert other_revisions(trials_of(OLD), None) is None
    assert other_revisions([], NEW) is None
