"""A sweep that is killed and started again ends where an undisturbed one ends: none lost, none doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_sweep import Arguments, sweep_in_peace, sweep_with_kills


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_of_driver_trial_and_head_change_nothing(tmp_path: Path) -> None:
    arguments = Arguments(trials=6, kills=3, max_source=1500)
    lengths = sweep_in_peace(tmp_path / "peace", arguments)
    kills, outcome, said = sweep_with_kills(tmp_path / "kills", arguments, tmp_path / "peace", lengths)
    # A machine that has become faster may have ended the sweep before a later one; the first finds it at work.
    assert kills[0].killed == "the driver", said
    assert outcome.is_flawless, (outcome, said)
    assert outcome.complete == arguments.trials
    assert set(outcome.reasons) <= {"the driver ended before the trial did"}, outcome
