"""The journal is on the disk at every change of state, and readable for others at once."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
import pytest

from sweeps.study.open_study import open_storage


def test_only_changes_of_state_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (waits.append(file), fsync(file)))
    study = optuna.create_study(storage=open_storage(tmp_path / "study.journal"), study_name="s")

    def waits_of(action: object) -> int:
        before = len(waits)
        assert callable(action)
        action()
        return len(waits) - before

    trial = study.ask()
    assert len(waits) >= 2, "the study and the trial"
    assert waits_of(lambda: trial.suggest_float("x", 0, 1)) == 0
    assert waits_of(lambda: [trial.report(0.5, step) for step in range(10)]) == 0
    assert waits_of(lambda: trial.set_user_attr("run", "r")) == 0
    assert waits_of(lambda: study.set_user_attr("driver", "d")) == 1
    assert waits_of(lambda: study.tell(trial, 0.5)) == 1


def test_what_was_written_in_passing_is_there_for_other_processes(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(tmp_path / "study.journal"), study_name="s")
    trial = study.ask()
    trial.report(0.25, 3)
    trial.set_user_attr("run", "r")
    other = optuna.load_study(storage=open_storage(tmp_path / "study.journal"), study_name="s")
    (seen,) = other.get_trials()
    assert (seen.intermediate_values, seen.user_attrs) == ({3: 0.25}, {"run": "r"})
    other.tell(other.ask(), 0.5)
    assert [trial.value for trial in study.get_trials()] == [None, 0.5]
