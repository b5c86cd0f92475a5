"""A sweep's figures among Ray's metrics."""

from __future__ import annotations

import io
import pickle
import time
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from rich.console import Console

from bdw.evaluation import measure
from sweeps.runner import dashboard_metrics
from sweeps.runner.dashboard_metrics import BEST, SECONDS_BETWEEN, SPEED, TRIALS, DashboardMetrics
from sweeps.runner.progress import SweepProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name, config={"labels": {"title": name}})


def row(accuracy: float, speed: float = 100.0, **more: Any) -> dict[str, Any]:
    own = {"epoch": 1, "budget_share": 0.5, "validation_score": accuracy, "best_validation_score": accuracy}
    return {**own, "kept_fraction": 1.0, "images_per_second": speed, "wall_seconds": 1.0, **more}


def progress_of(num_trials: int) -> SweepProgress:
    return SweepProgress(
        "search", measure=measure("accuracy"), num_trials=num_trials, console=Console(file=io.StringIO())
    )


def metrics_of(progress: SweepProgress, clock: Clock) -> DashboardMetrics:
    return DashboardMetrics(progress, sweep="mine", stage="search", measure="accuracy", clock=clock)


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[tuple[str, ...], float]]:
    """Name of a gauge -> values of its labels -> what it was set to last; it may have no other labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}

    class Gauge:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            assert name not in found, "made once"
            self.name, self.keys = name, tag_keys
            found[name] = {}

        def set(self, value: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(self.keys)
            found[self.name][tuple(tags[key] for key in self.keys)] = value

    monkeypatch.setattr(dashboard_metrics, "Gauge", Gauge)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    return found


def test_states_best_score_and_speed(gauges: dict[str, dict[tuple[str, ...], float]]) -> None:
    progress, clock = progress_of(6), Clock()
    metrics = metrics_of(progress, clock)
    metrics.on_step_end(0, [])
    of = ("mine", "search")

    def states() -> dict[str, float]:
        return {labels[-1]: value for labels, value in gauges[TRIALS].items()}

    assert states() == {"complete": 0, "pruned": 0, "failed": 0, "running": 0, "waiting": 6}
    assert gauges[BEST] == {}, "no score yet"
    assert gauges[SPEED] == {of: 0}
    for name, accuracy, speed in (("a", 0.5, 100.0), ("b", 0.9, 200.0), ("c", 0.7, float("nan")), ("d", 0.1, 1.0)):
        progress.on_trial_result(0, [], trial(name), row(accuracy, speed))
    progress.on_trial_complete(0, [], trial("b"))
    progress.on_trial_result(0, [], trial("d"), {"failure": "InputError: no"})
    clock.now = SECONDS_BETWEEN - 1
    metrics.on_step_end(0, [])
    assert states()["waiting"] == 6, "not with every step of the driver"
    clock.now = SECONDS_BETWEEN
    metrics.on_step_end(0, [])
    assert states() == {"complete": 0, "pruned": 1, "failed": 1, "running": 2, "waiting": 2}
    assert gauges[BEST] == {(*of, "accuracy"): 0.9}
    assert gauges[SPEED] == {of: 100.0}
    for name in ("a", "c"):
        progress.on_trial_result(0, [], trial(name), row(0.5, ended=True))
    metrics.on_experiment_end([])
    assert states() == {"complete": 2, "pruned": 1, "failed": 1, "running": 0, "waiting": 2}
    assert gauges[SPEED] == {of: 0}


def test_without_a_ray_nothing_is_set(
    gauges: dict[str, dict[tuple[str, ...], float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    metrics_of(progress_of(2), Clock()).on_step_end(0, [])
    assert gauges == {}


def test_tune_may_pickle_it() -> None:
    metrics = metrics_of(progress_of(2), Clock())
    assert isinstance(pickle.loads(pickle.dumps(metrics)), DashboardMetrics)


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_ray_exports_them() -> None:
    progress = progress_of(3)
    metrics = metrics_of(progress, Clock())
    progress.on_trial_result(0, [], trial("a"), row(0.25))
    metrics.on_experiment_end([])
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    deadline, text = time.monotonic() + 60, ""
    while f"ray_{SPEED}" not in text and time.monotonic() < deadline:
        time.sleep(1)
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
    exported = [line for line in text.splitlines() if line.startswith("ray_bdw_sweep") and 'sweep="mine"' in line]
    assert any(
        line.startswith(f"ray_{TRIALS}") and 'state="waiting"' in line and line.endswith(" 2.0") for line in exported
    )
    assert any(line.startswith(f"ray_{BEST}") and line.endswith(" 0.25") for line in exported)
    assert any(line.startswith(f"ray_{SPEED}") and line.endswith(" 100.0") for line in exported)
