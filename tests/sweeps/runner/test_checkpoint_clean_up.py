"""Whose checkpoints a sweep deletes, and when: never those of a run that may be continued."""

from __future__ import annotations

import io
import logging
import pickle
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from ray import tune
from rich.console import Console

from bdw.errors import InputError
from bdw.evaluation import measure
from bdw.ray.cluster import Cluster
from bdw.runs import checkpoint
from bdw.runs.backup_files import push_run
from bdw.storage.remote_folder import RemoteFolder
from sweeps.runner import checkpoint_clean_up
from sweeps.runner.checkpoint_clean_up import SECONDS_BETWEEN, CheckpointCleanUp, superfluous
from sweeps.runner.dashboard_metrics import DashboardMetrics
from sweeps.runner.options import SweepOptions
from sweeps.runner.paths import Paths
from sweeps.runner.tune_runner import Workload, run_trials
from sweeps.study.objective import score_alone
from sweeps.study.searcher import StudySearcher

STATES = {
    "best": TrialState.COMPLETE,
    "worse": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": None,
}
SCORES = {"best": 0.9, "worse": 0.8}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["folder", "address"])
def paths(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Paths.of(f"file://{tmp_path}/storage" if request.param == "address" else str(tmp_path), "sweep")


def study_of(paths: Paths, domain: str = "digits") -> optuna.Study:
    """A trial in every state of `STATES`, each with a run that has two checkpoints here and one in the storage."""
    study = optuna.create_study(direction="maximize")
    for run, state in STATES.items():
        trial = study.ask()
        trial.set_user_attr("run", run)
        trial.set_user_attr("domain", domain)
        if state is not None:
            study.tell(trial, SCORES.get(run), state=state)
        add_run(paths, run)
    return study


def add_run(paths: Paths, run: str) -> None:
    folder = Path(paths.run_dir(run)).expanduser()
    for epoch in (1, 2):
        path = folder / "checkpoints" / f"epoch_{epoch:04d}"
        path.mkdir(parents=True)
        (path / "state.pt").write_text("state")
    (folder / "results.parquet").write_text("results")
    if copy := paths.run_copy(run):
        push_run(RemoteFolder.at(copy), folder)


def with_checkpoints(paths: Paths) -> set[str]:
    """The runs that have checkpoints; fails unless their copies agree, or if a run lost any other file."""
    runs = Path(paths.path / "runs")
    found = {path.name for path in runs.iterdir() if checkpoint.positions(path / "checkpoints")}
    for run in runs.iterdir():
        places = [run]
        if copy := paths.run_copy(run.name):
            places.append(Path(copy.removeprefix("file://")))
        for place in places:
            assert (place / "results.parquet").read_text() == "results"
            assert (place / "checkpoints").exists() == (run.name in found)
    return found


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("all", set(STATES)),
        ("best", {"best", "failed", "running"}),
        ("none", {"failed", "running"}),
    ],
)
def test_what_is_kept(paths: Paths, keep: str, kept: set[str]) -> None:
    study = study_of(paths)
    clean_up = CheckpointCleanUp(keep, study, paths)
    clean_up.finish()
    assert with_checkpoints(paths) == kept
    # The next start of the sweep has less to do.
    CheckpointCleanUp(keep, study, paths).finish()
    assert with_checkpoints(paths) == kept


def test_the_best_of_each_domain(paths: Paths) -> None:
    study = study_of(paths)
    for run, score in (("best-elsewhere", 0.2), ("worse-elsewhere", 0.1)):
        trial = study.ask()
        trial.set_user_attr("run", run)
        trial.set_user_attr("domain", "letters")
        study.tell(trial, score)
        add_run(paths, run)
    CheckpointCleanUp("best", study, paths).finish()
    assert with_checkpoints(paths) == {"best", "best-elsewhere", "failed", "running"}


def test_a_search_may_say_what_is_best(paths: Paths) -> None:
    study = study_of(paths)
    (worse,) = [trial for trial in study.get_trials() if trial.user_attrs["run"] == "worse"]
    CheckpointCleanUp("best", study, paths, best=lambda: [worse]).finish()
    assert with_checkpoints(paths) == {"worse", "failed", "running"}


def test_all_runs_of_a_trial_go_but_for_those_that_another_trial_is_at() -> None:
    study = optuna.create_study(direction="maximize")
    for runs in (["a", "b"], ["b", "c"]):
        trial = study.ask()
        trial.set_user_attr("run", runs[0])
        trial.set_user_attr("runs", runs)
    study.tell(0, 0.5)
    assert superfluous(study.get_trials(), [], ended_before=datetime.max) == ["a"]
    study.tell(1, 0.5)
    assert superfluous(study.get_trials(), [], ended_before=datetime.max) == ["a", "b", "c"]


def test_while_trials_run_not_too_often_and_not_too_early(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, study = Clock(), study_of(paths)
    clean_up = CheckpointCleanUp("none", study, paths, clock=clock)

    def step(seconds: float) -> set[str]:
        clock.now += seconds
        clean_up.on_step_end(0, [])
        return with_checkpoints(paths)

    assert step(SECONDS_BETWEEN) == set(STATES), "workers of a trial that has just been stopped may still write"
    monkeypatch.setattr(checkpoint_clean_up, "SECONDS_AFTER_THE_END", 0.0)
    assert step(1) == set(STATES)
    assert step(SECONDS_BETWEEN) == {"failed", "running"}


def test_what_cannot_be_deleted_ends_nothing_and_is_tried_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clean_up = CheckpointCleanUp("none", study_of(paths), paths)
    delete = checkpoint.delete_all

    def refuse_one(folder: Path) -> None:
        if folder.parent.name == "best":
            raise OSError("the disk fails")
        delete(folder)

    monkeypatch.setattr(checkpoint, "delete_all", refuse_one)
    with caplog.at_level(logging.WARNING):
        clean_up.finish()
    assert "the checkpoints of best cannot be deleted yet: the disk fails" in caplog.text
    assert with_checkpoints(paths) == {"best", "failed", "running"}
    monkeypatch.setattr(checkpoint, "delete_all", delete)
    clean_up.finish()
    assert with_checkpoints(paths) == {"failed", "running"}


def test_a_lost_study_ends_nothing(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    def lost() -> list[FrozenTrial]:
        raise InputError("study_storage: is gone")

    CheckpointCleanUp("best", study_of(paths), paths, best=lost).finish()
    assert "study_storage: is gone" in caplog.text
    assert with_checkpoints(paths) == set(STATES)


class FakeTuner:
    """Runs no trial; keeps what Tune would call."""

    callbacks: ClassVar[list[Any]] = []

    def __init__(self, trainable: Any, *, tune_config: Any, run_config: Any) -> None:
        FakeTuner.callbacks = run_config.callbacks

    def fit(self) -> None:
        pass


@pytest.mark.parametrize("num_new", [0, 1])
def test_a_stage_cleans_up_at_its_end(paths: Paths, monkeypatch: pytest.MonkeyPatch, num_new: int) -> None:
    """Also where nothing is left to run, since an earlier start may have been broken off before it came to that."""
    monkeypatch.setattr(tune, "Tuner", FakeTuner)
    cluster = Cluster(cpus=2.0, gpus=0.0, has_driver_resource=True, is_ours=True)
    workload = Workload.on(cluster, SweepOptions(keep_checkpoints_of="best"))
    accuracy, study = measure("accuracy"), study_of(paths)
    searcher = StudySearcher(study, lambda trial: {}, objective=score_alone(accuracy), num_new=num_new)
    console = Console(file=io.StringIO())
    run_trials("search", searcher, workload, paths, measure=accuracy, console=console)
    assert with_checkpoints(paths) == {"best", "failed", "running"}
    if num_new:
        kinds = {type(callback) for callback in FakeTuner.callbacks}
        assert kinds >= {CheckpointCleanUp, DashboardMetrics}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match=r"keep_checkpoints_of: 'bst' is not known .did you mean 'best'"):
        SweepOptions(keep_checkpoints_of="bst").check()


def test_tune_may_pickle_it(paths: Paths) -> None:
    clean_up: Any = CheckpointCleanUp("all", study_of(paths), paths)
    assert isinstance(pickle.loads(pickle.dumps(clean_up)), CheckpointCleanUp)
