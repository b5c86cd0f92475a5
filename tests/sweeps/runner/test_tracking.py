"""What trackers hear of a trial, and what is said before any compute when they cannot be had."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from bdw.errors import InputError
from bdw.runs import trackers
from sweeps.runner import tracking
from sweeps.runner.options import SweepOptions
from sweeps.runner.paths import Paths
from sweeps.runner.tune_runner import Workload

ROW = {
    "epoch": 2, "validation_score": 0.75, "meta_loss": float("nan"), "knn_accuracy": 0.5,
    "training_iteration": 1, "time_total_s": 9.0, "config": {"plan": {"epochs": 3}}, "done": False, "date": "today",
}  # fmt: skip


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with names of packages that are not to be found."""

    def hide(*packages: str) -> None:
        monkeypatch.setattr(trackers, "find_spec", lambda name: None if name in packages else SimpleNamespace())

    return hide


def paths(folder: Path) -> Paths:
    found = Paths.of(str(folder), "sweep")
    found.prepare()
    return found


def test_only_a_trials_own_finite_numbers_at_its_epoch() -> None:
    assert tracking.numbers(ROW) == {
        "epoch": 2, "validation_score": 0.75, "knn_accuracy": 0.5, "training_iteration": 2,
    }  # fmt: skip
    assert tracking.numbers({**ROW, "ended": True, "results": [{}]}) == {}, "it repeats the last epoch"
    assert tracking.numbers({"epoch": 0, "failure": "InputError: x", "best_validation_score": 0.1}) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("wandb",), "log_to: 'wandb' needs `pip install wandb` (the extra `wandb`)"),
        (("mlflow",), "log_to: 'mlflow' needs `pip install mlflow` (the extra `mlflow`)"),
        (("tensorboard",), "log_to: 'tensorboard' needs `pip install tensorboardX`"),
        (("tensorbord",), "log_to: 'tensorbord' is not known (did you mean 'tensorboard'?)"),
        (("mlflow", "mlflow"), "log_to: 'mlflow' is given twice; allowed: each once"),
    ],
)
def test_what_cannot_be_had_is_said_at_once(names: tuple[str, ...], message: str, without: Any) -> None:
    without("wandb", "mlflow", "tensorboardX")
    with pytest.raises(InputError) as error:
        SweepOptions(log_to=names).check()
    assert str(error.value).startswith(message)


def test_wandb_needs_an_account_or_to_be_offline(without: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without()
    for variable in ("WANDB_API_KEY", "WANDB_MODE", *trackers.SILENT):
        monkeypatch.setenv(variable, "")
    with pytest.raises(InputError, match="'wandb' knows no account; set WANDB_API_KEY, or WANDB_MODE=offline"):
        SweepOptions(log_to=("wandb",)).check()
    monkeypatch.setenv("WANDB_MODE", "offline")
    SweepOptions(log_to=("wandb",)).check()


def test_without_tensorboardx_a_line_says_so(tmp_path: Path, without: Any) -> None:
    cluster = SimpleNamespace(room=lambda *_: 1, is_ours=True, has_driver_resource=True)
    assert Workload.on(cluster, SweepOptions()).remarks == ()  # type: ignore[arg-type]
    without("tensorboardX")
    (remark,) = Workload.on(cluster, SweepOptions()).remarks  # type: ignore[arg-type]
    assert remark == "no TensorBoard files: tensorboardX is not installed (`pip install tensorboardX`)"
    assert tracking.loggers((), paths(tmp_path)) == []


@dataclass(frozen=True)
class FakeTrial:
    """As much of Tune's trial as its loggers ask for."""

    folder: Path
    trial_id: str = "a"

    config: ClassVar[dict[str, Any]] = {"plan": {"config": {"epochs": 3}}, "labels": {"method": "BDW"}}
    evaluated_params: ClassVar[dict[str, Any]] = {}

    @property
    def local_path(self) -> str:
        return str(self.folder)

    def init_local_path(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)


def events(folder: Path) -> Iterator[Any]:
    """The events in a folder's file."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.glob("events.out.tfevents.*")
    contents = file.read_bytes()
    while contents:
        (length,) = struct.unpack("<Q", contents[:8])
        yield Event.FromString(contents[12 : 12 + length])
        contents = contents[16 + length :]


def values_in(folder: Path) -> list[Any]:
    """All values of a folder's events."""
    return [value for event in events(folder) for value in event.summary.value]


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of all scalars in a folder's event file."""
    for event in events(folder):
        for value in event.summary.value:
            yield value.tag, event.step, value.simple_value


def test_tensorboard_shows_curves_over_epochs(tmp_path: Path) -> None:
    (logger,) = tracking.loggers((), paths(tmp_path))
    one = FakeTrial(tmp_path / "one")
    logger.log_trial_start(one)
    for epoch, iteration in ((1, 1), (2, 1), (3, 2)):  # Tune counts from 1 again after a failure.
        logger.log_trial_result(1, one, {**ROW, "epoch": epoch, "training_iteration": iteration})
    logger.log_trial_result(1, one, {**ROW, "epoch": 3, "training_iteration": 3, "ended": True, "results": [{}]})
    logger.log_trial_end(one)
    found = list(scalars(tmp_path / "one"))
    assert {tag for tag, _, _ in found} == {"ray/tune/epoch", "ray/tune/validation_score", "ray/tune/knn_accuracy"}
    assert [(step, value) for tag, step, value in found if tag.endswith("validation_score")] == [
        (1, 0.75), (2, 0.75), (3, 0.75),
    ]  # fmt: skip


class SearchedTrial(FakeTrial):
    config: ClassVar[dict[str, Any]] = {
        "plan": {"config": {"epochs": 3}},
        "labels": {"method": "BDW", "domain": "digits", "seed": 0, "run": "bdw-1"},
        "varied": {"weight_lr": 3.0, "tangent_views": None, "lr_milestones": [2, 3], "prune": True},
    }
    evaluated_params: ClassVar[dict[str, Any]] = {"plan/config/epochs": 3}


def test_tensorboards_hparams_are_what_varies(tmp_path: Path) -> None:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    (logger,) = tracking.loggers((), paths(tmp_path))
    one = SearchedTrial(tmp_path / "one")
    logger.log_trial_start(one)
    logger.log_trial_result(1, one, ROW)
    logger.log_trial_end(one)
    plugins = [v.metadata.plugin_data.content for v in values_in(tmp_path / "one") if v.HasField("metadata")]
    (started,) = [
        found.session_start_info
        for found in map(HParamsPluginData.FromString, plugins)
        if found.HasField("session_start_info")
    ]
    assert set(started.hparams) == {"method", "domain", "seed", "weight_lr", "lr_milestones", "prune"}
    assert started.hparams["weight_lr"].number_value == 3.0
    assert started.hparams["lr_milestones"].string_value == "[2, 3]"


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of its database.
def test_mlflow_gets_an_experiment_a_sweep_and_curves_over_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = paths(tmp_path)
    _, logger = tracking.loggers(("mlflow",), sweep)
    logger.setup()
    one = FakeTrial(tmp_path / "one")
    logger.log_trial_start(one)
    logger.log_trial_result(1, one, ROW)
    logger.log_trial_end(one)
    client = mlflow.MlflowClient(f"sqlite:///{sweep.path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("sweep").experiment_id])
    assert run.data.metrics == {"epoch": 2, "validation_score": 0.75, "knn_accuracy": 0.5, "training_iteration": 2}
    assert run.data.params["plan/config/epochs"] == "3"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation_score")] == [2]


def test_tensorboards_file_is_a_few_seconds_behind_at_most(tmp_path: Path) -> None:
    """And no report waits for the disk by itself."""
    now = 0.0
    logger = tracking._TensorBoard(clock=lambda: now)
    one = FakeTrial(tmp_path / "one")
    logger.log_trial_start(one)  # type: ignore[arg-type]
    flushes: list[float] = []
    logger._trial_writer[one].flush = lambda: flushes.append(now)
    for epoch in range(1, 121):
        now = epoch / 10
        logger.log_trial_result(1, one, {**ROW, "epoch": epoch})  # type: ignore[arg-type]
    assert len(flushes) == 2
    gaps = [b - a for a, b in zip([0.0, *flushes], [*flushes, now], strict=True)]
    assert max(gaps) < 2 * tracking.SECONDS_BETWEEN_FLUSHES
    del logger._trial_writer[one].flush
    logger.log_trial_end(one)  # type: ignore[arg-type]
    assert [step for tag, step, _ in scalars(tmp_path / "one") if tag == "ray/tune/epoch"] == list(range(1, 121))
