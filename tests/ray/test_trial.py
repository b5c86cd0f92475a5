"""The epoch loop as a Tune trial, in one process and on two workers, and what a second attempt finds."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from bdw.config import RunConfig as TrainingConfig
from bdw.errors import NonFiniteError
from bdw.parallel import collectives
from bdw.ray.trial import CURVE, DRIVER_CPU, TrialPlan, run_epochs, run_trial, trial_resources
from bdw.ray.workers import WorkerGroup
from bdw.runs.backup_files import delete_checkpoints
from bdw.runs.directory import RunDirectory
from bdw.storage.remote_folder import RemoteFolder
from bdw.training.trainer import Trainer

EPOCHS = 2
TINY = TrainingConfig().replace(
    **{
        "image_size": 8,
        "crop_size": 8,
        "crop_padding": 1,
        "max_source": 64,
        "batch_size": 32,
        "epochs": EPOCHS,
        "ways": 5,
        "shots": 2,
        "queries": 2,
        "weight_lr": 50.0,
        "density_threshold": 0.1,
        "min_kept": 32,
        "report": False,
        "device": "cpu",
    }
)


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    return TINY.replace(run_dir=str(tmp_path / "runs" / "tiny"), cache_dir=str(tmp_path / "packed"))


def tune_one(plan: TrialPlan, tmp_path: Path) -> dict[str, Any]:
    """The last result of the one trial that Tune ran."""
    results = tune.Tuner(
        tune.with_resources(run_trial, trial_resources(plan, has_driver_resource=True)),
        param_space={"plan": dataclasses.asdict(plan)},
        run_config=tune.RunConfig(name="test", storage_path=str(tmp_path / "tune"), verbose=0),
    ).fit()
    assert results.errors == []
    metrics: dict[str, Any] = results[0].metrics
    return metrics


def test_rows_are_the_epoch_reports(config: TrainingConfig) -> None:
    rows: list[dict[str, Any]] = []
    results = run_epochs(TrialPlan(config=config.flat()), rows.append)
    assert [row["epoch"] for row in rows] == [1, 2]
    best = [max(row["validation_score"] for row in rows[: i + 1]) for i in range(EPOCHS)]
    assert [row["best_validation_score"] for row in rows] == best
    assert {row["metric"] for row in results} >= {"accuracy", "validation_accuracy"}
    on_disk = RunDirectory(Path(config.output.run_dir)).read_metrics()
    for row, saved in zip(rows, on_disk, strict=True):
        for name, value in saved.items():
            assert row[name] == value or (math.isnan(row[name]) and math.isnan(value))
            assert type(row[name]) is type(value) or math.isfinite(value)


def test_a_second_attempt_goes_on_and_reports_everything(config: TrainingConfig) -> None:
    class Stopped(Exception):
        pass

    def stop_after_first(row: dict[str, Any]) -> None:
        rows.append(row)
        raise Stopped

    rows: list[dict[str, Any]] = []
    plan = TrialPlan(config=config.flat())
    with pytest.raises(Stopped):
        run_epochs(plan, stop_after_first)
    again: list[dict[str, Any]] = []
    run_epochs(plan, again.append)
    assert [row["epoch"] for row in again] == [1, 2]
    assert again[0]["seconds"] == rows[0]["seconds"]  # Not trained a second time.


def test_a_run_keeps_a_log(config: TrainingConfig, tmp_path: Path) -> None:
    """The first lines of a run and every epoch, an error in one line, in the storage too."""
    storage = tmp_path / "storage" / "tiny"
    plan = TrialPlan(config=config.replace(storage_path=str(storage)).flat())
    run_epochs(plan, lambda row: None)
    log = Path(config.output.run_dir) / "log.txt"
    said = log.read_text()
    for part in ("worker 1 of 1", "source  digits: 64 images", "epoch 1/2  loss", "epoch 2/2  loss", "has ended"):
        assert said.count(part) == 1, part
    assert said.index("epoch 1/2") < said.index("epoch 2/2") < said.index("has ended")
    assert (storage / "log.txt").read_text() == said
    run_epochs(plan, lambda row: None)
    assert log.read_text() == said, "nothing was trained"
    bad = config.replace(run_dir=str(tmp_path / "bad"), learning_rate=1e30)
    with pytest.raises(NonFiniteError):
        run_epochs(TrialPlan(config=bad.flat()), lambda row: None)
    said = (tmp_path / "bad" / "log.txt").read_text()
    assert "NonFiniteError: " in said
    assert "Traceback" not in said


def test_a_trial_that_is_stopped_says_so(config: TrainingConfig) -> None:
    def stop(row: dict[str, Any]) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        run_epochs(TrialPlan(config=config.flat()), stop)
    *_, before, last = (Path(config.output.run_dir) / "log.txt").read_text().splitlines()
    assert "epoch 1/2" in before
    assert last.endswith("  stopped before its end")


def test_a_finished_run_only_hands_out_its_rows(config: TrainingConfig) -> None:
    plan = TrialPlan(config=config.flat())
    first: list[dict[str, Any]] = []
    results = run_epochs(plan, first.append)
    shutil.rmtree(Path(config.output.run_dir) / "checkpoints")  # Nothing to train from: it would start again.
    second: list[dict[str, Any]] = []
    assert run_epochs(plan, second.append) == results
    assert [row["seconds"] for row in second] == [row["seconds"] for row in first]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"epochs": 1}, {"epochs": 2}),
        ({"epochs": 1, "budget_unit": "images"}, {"epochs": 2, "budget_unit": "images"}),
        ({"budget_images": 64}, {"budget_images": 128}),
    ],
)
def test_a_finished_run_that_may_be_longer_goes_on(
    config: TrainingConfig, short: dict[str, Any], long: dict[str, Any]
) -> None:
    config = config.replace(prune=False)
    for settings, epochs in ((short, [1]), (long, [1, 2]), (long, [1, 2])):
        rows: list[dict[str, Any]] = []
        run_epochs(TrialPlan(config=config.replace(**settings).flat()), rows.append)
        assert [row["epoch"] for row in rows] == epochs
        assert rows[-1]["budget_share"] == 1
    # And now it lacks nothing, so that it needs no checkpoint.
    shutil.rmtree(Path(config.output.run_dir) / "checkpoints")
    rows.clear()
    run_epochs(TrialPlan(config=config.replace(**long).flat()), rows.append)
    assert [row["epoch"] for row in rows] == [1, 2]


@pytest.mark.parametrize("lost", [["metrics.csv"], ["metrics.csv", "results.parquet"], ["results.parquet"]])
def test_an_attempt_that_died_while_it_wrote_its_files_is_reported_whole(
    config: TrainingConfig, lost: list[str]
) -> None:
    """The checkpoint is written first, so that everything else may lag behind it."""
    plan, run = TrialPlan(config=config.flat()), Path(config.output.run_dir)
    first: list[dict[str, Any]] = []
    results = run_epochs(plan, first.append)
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    for name in lost:
        (run / name).unlink()
    if "metrics.csv" in lost:
        (run / "metrics.csv").write_text("".join(lines[:-1]))
    second: list[dict[str, Any]] = []
    assert run_epochs(plan, second.append) == results
    assert [row["epoch"] for row in second] == [1, 2]
    assert [row["best_validation_score"] for row in second] == [row["best_validation_score"] for row in first]
    assert (run / "metrics.csv").read_text() == "".join(lines)


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_another_machine_continues_from_the_copy(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_checkpoints: bool
) -> None:
    def plan_with(home: str) -> TrialPlan:
        monkeypatch.setenv("HOME", str(tmp_path / home))
        places = {
            "run_dir": "~/runs/tiny",
            "cache_dir": "~/packed",
            "storage_path": f"file://{tmp_path}/storage/runs/tiny",
        }
        return TrialPlan(config={**config.flat(), **places})

    first: list[dict[str, Any]] = []
    results = run_epochs(plan_with("one"), first.append)
    assert (tmp_path / "storage/runs/tiny/encoder.safetensors").is_file()
    shutil.rmtree(tmp_path / "one")
    if not has_checkpoints:  # The sweep does not keep them.
        delete_checkpoints(RemoteFolder.at(f"file://{tmp_path}/storage/runs/tiny"))
    second: list[dict[str, Any]] = []
    assert run_epochs(plan_with("two"), second.append) == results
    assert [row["seconds"] for row in second] == [row["seconds"] for row in first]
    assert (tmp_path / "two/runs/tiny/results.parquet").is_file()


def test_weights_and_reports_find_a_backend_for_cpu_tensors() -> None:
    assert WorkerGroup(num_workers=2).backend == "gloo"
    assert WorkerGroup(num_workers=2, gpus_per_worker=1).backend == "cpu:gloo,cuda:nccl"


def test_resources() -> None:
    one = TrialPlan(config={}, cpus_per_worker=2, gpus_per_worker=0.5)
    assert trial_resources(one, has_driver_resource=True).bundles == [{"CPU": 2, "GPU": 0.5}]
    many = dataclasses.replace(one, num_workers=4)
    assert trial_resources(many, has_driver_resource=True).bundles == [{"trial_driver": 1}]
    assert trial_resources(many, has_driver_resource=False).bundles == [{"CPU": DRIVER_CPU}]


@pytest.mark.usefixtures("local_ray")
def test_a_trial_in_its_own_process(config: TrainingConfig, tmp_path: Path) -> None:
    last = tune_one(TrialPlan(config=config.flat()), tmp_path)
    assert last["epoch"] == EPOCHS
    assert last["ended"] is True
    assert {row["metric"] for row in last["results"]} >= {"accuracy"}
    assert last["curve"] == curve_on_disk(config)


def curve_on_disk(config: TrainingConfig) -> list[list[float]]:
    """The curve of a run whose metrics.csv has an evaluation in every epoch."""
    rows = RunDirectory(Path(config.output.run_dir)).read_metrics()
    best = list(itertools.accumulate((row["validation_score"] for row in rows), max))
    rows = [{**row, "best_validation_score": so_far} for row, so_far in zip(rows, best, strict=True)]
    return [[row[column] for column in CURVE] for row in rows]


def test_a_curve_has_a_point_for_every_evaluation(config: TrainingConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an attempt that finds a finished run; epochs without an evaluation have none."""
    rare = config.replace(epochs=3, evaluate_every=2)
    for _ in range(2):
        reported: list[dict[str, Any]] = []
        monkeypatch.setattr(tune, "report", reported.append)
        run_trial({"plan": dataclasses.asdict(TrialPlan(config=rare.flat()))})
        *epochs, last = reported
        expected = [[row[column] for column in CURVE] for row in epochs[1:]]
        assert [row["epoch"] for row in epochs] == [1, 2, 3]
        assert math.isnan(epochs[0]["validation_score"])
        assert last["curve"] == expected
        assert [point[CURVE.index("budget_share")] for point in last["curve"]] == [pytest.approx(2 / 3), 1]


def test_what_no_second_attempt_would_change_is_a_failure(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reported.append)
    run_trial({"plan": dataclasses.asdict(TrialPlan(config={**config.flat(), "batch_size": 1000}))})
    run_trial({"plan": dataclasses.asdict(TrialPlan(config={**config.flat(), "learning_rate": 1e30}))})
    assert "InputError: batch_size: 1000 is larger than the source" in reported[0]["failure"]
    assert "NonFiniteError" in reported[-1]["failure"]
    assert not any("curve" in row or "ended" in row for row in reported)


@pytest.mark.usefixtures("local_ray")
def test_a_trial_on_two_workers(config: TrainingConfig, tmp_path: Path) -> None:
    plan = TrialPlan(config=config.flat(), num_workers=2, train_dir=str(tmp_path / "train"))
    last = tune_one(plan, tmp_path)
    assert last["epoch"] == EPOCHS
    assert last["ended"] is True
    assert {row["metric"] for row in last["results"]} >= {"accuracy"}
    rows = RunDirectory(Path(config.output.run_dir)).read_metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert last["curve"] == curve_on_disk(config)
    logs = {path.name: path.read_text() for path in Path(config.output.run_dir).glob("log*.txt")}
    assert logs.keys() == {"log.txt", "log_worker_1.txt", "log_trial.txt"}
    assert "worker 1 of 2" in logs["log.txt"]
    assert "epoch 2/2" in logs["log.txt"]
    assert "worker 2 of 2" in logs["log_worker_1.txt"]
    assert "waiting for 2 CPUs" in logs["log_trial.txt"]
    assert "its workers are there" in logs["log_trial.txt"]


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data")  # Ray Train sets what Ray Data renamed.
def test_two_workers_keep_the_same_images(config: TrainingConfig, tmp_path: Path) -> None:
    trainer = TorchTrainer(
        kept_by_every_worker,
        train_loop_config=config.flat(),
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="kept", storage_path=str(tmp_path / "train")),
    )
    first, second = trainer.fit().return_value
    assert first == second
    assert 0 < sum(first) < len(first)


def kept_by_every_worker(config: dict[str, Any]) -> list[list[bool]]:
    trainer = Trainer(TrainingConfig().replace(**config))
    for _ in trainer.epochs():
        pass
    return collectives.gather_objects(trainer.mask.kept.tolist())
