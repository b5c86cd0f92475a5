"""A trial whose reserved GPU does not work fails with the reason, and is not tried again."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.ray import trial
from bdw.ray.gpus import require_working_gpu
from bdw.ray.trial import TrialPlan, run_epochs
from bdw.ray.workers import CheckedTorchConfig, _CheckedBackend

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU of this machine works")


def test_a_trial_of_one_worker(config: RunConfig) -> None:
    plan = TrialPlan(config=config.flat(), gpus_per_worker=0.5)
    with pytest.raises(InputError, match=r"gpus_per_worker: 0.5 GPU reserved on .*torch sees no GPU"):
        run_epochs(plan, lambda row: None)
    closing = trial._run_to_the_end(plan, lambda row: None)
    assert closing["failure"].startswith("InputError: gpus_per_worker: 0.5 GPU reserved on ")
    assert "ended" not in closing


@pytest.mark.usefixtures("local_ray")
def test_a_trial_of_two_workers(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> dict[str, Any]:
        raise InputError("gpus_per_worker: 1 GPU reserved on here, but it cannot be used: ...")

    monkeypatch.setattr(trial, "train_on", refuses)
    plan = TrialPlan(config=config.flat(), num_workers=2, gpus_per_worker=1, train_dir="/nowhere")
    closing = trial._run_on_workers(plan, lambda row: None)
    assert closing["failure"] == "InputError: gpus_per_worker: 1 GPU reserved on here, but it cannot be used: ..."
    assert closing["epoch"] == 0


@dataclasses.dataclass
class Group:
    """Two workers in this process."""

    gpus: float

    def get_resources_per_worker(self) -> dict[str, float]:
        return {"CPU": 1.0, "GPU": self.gpus} if self.gpus else {"CPU": 1.0}

    def execute(self, function: Any, **arguments: Any) -> list[Any]:
        return [function(**arguments) for _ in range(2)]


def test_workers_are_asked_before_their_process_group_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    config = CheckedTorchConfig(backend="gloo")
    assert config.backend_cls is _CheckedBackend
    monkeypatch.setattr(_CheckedBackend.__mro__[1], "on_start", lambda self, group, config: made.append(group))
    with pytest.raises(InputError, match=r"gpus_per_worker: 1 GPU reserved on "):
        config.backend_cls().on_start(Group(gpus=1), config)
    assert made == []
    without = Group(gpus=0)
    config.backend_cls().on_start(without, config)
    assert made == [without]


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Ray with two GPUs that only writes down what it is asked; an attempt never ends."""
    asked: list[str] = []

    def remote(**options: object) -> Any:
        asked.append(f"reserve {options['num_gpus']}")
        return lambda function: SimpleNamespace(remote=lambda *arguments: "attempt")

    monkeypatch.setattr("ray.cluster_resources", lambda: {"GPU": 2.0})
    monkeypatch.setattr("ray.remote", remote)
    monkeypatch.setattr("ray.wait", lambda attempts, timeout: ([], attempts))
    monkeypatch.setattr("ray.cancel", lambda attempt, force: asked.append("cancel"))
    return asked


def test_gpus_that_are_busy_or_not_there_yet_hold_nobody_up(
    pretended: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_working_gpu("gpus_per_trial", 4)  # One of the four is looked at.
    assert pretended == ["reserve 1.0", "cancel"]
    pretended.clear()
    require_working_gpu("gpus_per_trial", 0)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    require_working_gpu("gpus_per_trial", 0.5)
    assert pretended == []
