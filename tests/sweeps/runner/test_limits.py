"""When no more trials are started: hours, GPU-hours of all starts, failures of this one."""

from __future__ import annotations

from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from bdw.errors import InputError
from sweeps.runner.limits import Limits, gpu_hours, num_failed
from sweeps.runner.options import SweepOptions


def study_of(*trials: optuna.trial.FrozenTrial) -> optuna.Study:
    study = optuna.create_study()
    for trial in trials:
        study.add_trial(trial)
    return study


def ended(state: TrialState, **attributes: object) -> optuna.trial.FrozenTrial:
    value = 1.0 if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, user_attrs=attributes)


def test_hours_since_the_start() -> None:
    now = 100.0
    limits = Limits(hours=0.5, clock=lambda: now, began=100.0)
    assert limits.met(study_of()) is None
    now += 1799
    assert limits.met(study_of()) is None
    now += 1
    assert limits.met(study_of()) == "--max-hours: 0.5 hours are used up"


def test_gpu_hours_of_trials_that_ended_and_that_run() -> None:
    """Two GPUs for an hour, half a GPU for two hours, and one GPU since a quarter of an hour: 3.25."""
    study = study_of(
        ended(TrialState.COMPLETE, gpus=2.0, wall_seconds=3600.0),
        ended(TrialState.FAIL, gpus=0.5, wall_seconds=7200.0),
    )
    study.ask().set_user_attr("gpus", 1.0)
    started = study.trials[-1].datetime_start
    assert started is not None
    assert gpu_hours(study.trials, started + timedelta(minutes=15)) == pytest.approx(3.25)
    assert gpu_hours(study_of(ended(TrialState.COMPLETE)).trials, datetime.now()) == 0
    assert Limits(gpu_hours=3.5).met(study) is None
    met = Limits(gpu_hours=3.0).met(study)
    assert met is not None
    assert met.startswith("--max-gpu-hours: 3.0")


def test_failures_of_this_start() -> None:
    failed = [ended(TrialState.FAIL, reason="no") for _ in range(3)]
    study = study_of(*failed, ended(TrialState.FAIL, duplicate_of=0), ended(TrialState.COMPLETE))
    assert num_failed(study) == 3, "one was never started"
    assert Limits(failures=2).met(study) == "--max-failures: 3 trials failed, 2 may"
    assert Limits(failures=2).met(study, failed_before=1) is None
    assert Limits(failures=0).met(study, failed_before=2) == "--max-failures: 1 trials failed, 0 may"


def test_no_limit_is_never_met() -> None:
    assert (
        Limits(clock=lambda: 1e9, began=0.0).met(study_of(ended(TrialState.FAIL, gpus=9.0, wall_seconds=1e9))) is None
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_hours": 0.0}, "max_hours: 0.0 cannot work; allowed: a positive number of hours"),
        ({"max_gpu_hours": float("nan")}, "max_gpu_hours: nan cannot work"),
        ({"max_failures": -1}, "max_failures: -1 cannot work; allowed: 0 or more"),
    ],
)
def test_limits_that_cannot_work_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SweepOptions(**options).check()  # type: ignore[arg-type]
