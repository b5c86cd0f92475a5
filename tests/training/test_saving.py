"""Checkpoints, files and backups that fail for a while, and what must never be saved."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import InputError, NonFiniteError
from bdw.parallel.stop_requests import Notice
from bdw.runs import backup, checkpoint
from bdw.runs.backup_files import checkpoints, delete_checkpoints
from bdw.runs.directory import RunDirectory
from bdw.runs.metrics import EpochReport
from bdw.storage import retry
from bdw.storage.remote_folder import RemoteFolder
from bdw.training.trainer import Trainer, iterate
from tests.training.comparison import assert_same_end, run_to_end


def test_a_checkpoint_that_fails_for_a_while_is_written_in_the_end(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    save, calls = checkpoint.save, itertools.count()

    def fails_twice(*arguments: Any) -> Path:
        if next(calls) < 2:
            raise OSError(5, "Input/output error")
        return save(*arguments)

    monkeypatch.setattr(checkpoint, "save", fails_twice)
    assert len(list(iterate(config, problem=problem))) == 3
    assert "writing the checkpoint after epoch 1 failed ([Errno 5] Input/output error); trying again" in caplog.text
    assert "succeeded after 2 failure(s)" in caplog.text


def test_a_copy_that_fails_for_a_while_is_made_up_for(
    config: RunConfig, problem: Problem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The storage is a folder that goes away and comes back."""
    storage = tmp_path / "storage" / "run"
    reports = iterate(config.replace(storage_path=str(storage)), problem=problem)
    next(reports)
    assert [place.name for place in checkpoints(RemoteFolder.at(str(storage)))] == ["epoch_0001"]
    storage.rename(tmp_path / "away")
    storage.touch()  # A file where a folder should be: every write fails.
    next(reports)
    assert "copying the run to" in caplog.text
    assert "the next checkpoint tries again" in caplog.text
    storage.unlink()
    (tmp_path / "away").rename(storage)
    next(reports)
    assert checkpoint.Position(3) in checkpoints(RemoteFolder.at(str(storage)))
    assert (storage / "results.parquet").is_file()


def test_another_machine_goes_on_from_the_copy(config: RunConfig, problem: Problem, tmp_path: Path) -> None:
    whole = run_to_end(config, problem)
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=f"file://{tmp_path}/storage")
    reports = iterate(copied, problem=problem)
    next(reports)
    reports.close()
    elsewhere = copied.replace(run_dir=str(tmp_path / "two"), resume=True)
    assert_same_end(run_to_end(elsewhere, problem), whole)
    with pytest.raises(InputError, match=r"storage_path: .*/storage already holds a run \(after epoch 3\)"):
        Trainer(copied.replace(run_dir=str(tmp_path / "three")), problem=problem)
    with pytest.raises(InputError, match=r"holds another run.*: seed was 0 and is 1"):
        Trainer(elsewhere.replace(run_dir=str(tmp_path / "four"), seed=1), problem=problem)
    delete_checkpoints(RemoteFolder.at(f"file://{tmp_path}/storage"))
    with pytest.raises(InputError, match=r"storage_path: .*/storage already holds a finished run; choose another"):
        Trainer(copied.replace(run_dir=str(tmp_path / "five")), problem=problem)


def test_a_copy_of_another_run_does_not_take_this_ones_place(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=str(tmp_path / "storage"))
    run_to_end(copied, problem)
    mine = config.replace(run_dir=str(tmp_path / "mine"), seed=1)
    reports = iterate(mine, problem=problem)
    next(reports)
    reports.close()
    metrics = (tmp_path / "mine" / "metrics.csv").read_bytes()
    with pytest.raises(InputError, match=r"storage_path: .*storage holds another run.*: seed was 0 and is 1"):
        Trainer(mine.replace(storage_path=copied.output.storage_path, resume=True), problem=problem)
    assert (tmp_path / "mine" / "metrics.csv").read_bytes() == metrics
    assert checkpoint.positions(tmp_path / "mine" / "checkpoints") == [checkpoint.Position(1)]


@pytest.mark.parametrize("storage", ["run", "run/copy", "."])
def test_a_copy_lies_apart_from_its_run(config: RunConfig, problem: Problem, tmp_path: Path, storage: str) -> None:
    with pytest.raises(InputError, match=r"storage_path: .* lie in each other; allowed: a folder apart"):
        Trainer(config.replace(storage_path=str(tmp_path / storage)), problem=problem)


def test_storage_that_worked_when_the_run_began_is_waited_for(
    config: RunConfig,
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A group of workers that is started again must not give up where one that goes on would not."""
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    storage = tmp_path / "storage"
    storage.touch()  # A file where a folder should be.

    def comes_back(remote: RemoteFolder) -> list[checkpoint.Position]:
        if storage.is_file():
            storage.unlink()
            raise OSError("no route to host")
        return checkpoints(remote)

    monkeypatch.setattr(backup, "checkpoints", comes_back)
    trainer = Trainer(config.replace(storage_path=str(storage)), problem=problem, storage_is_known=True)
    assert len(list(trainer.epochs())) == 3
    assert "failed (no route to host); trying again" in caplog.text


def test_the_watchdog_sleeps_while_a_checkpoint_is_written(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It watches every step, but a slow disk between two steps is no hang."""
    events: list[str] = []

    class Recorder:
        def __enter__(self) -> None:
            events.append("watch")

        def __exit__(self, *_: object) -> None:
            events.append("rest")

        def pat(self) -> None:
            events.append("watch")

        def rest(self) -> None:
            events.append("rest")

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *arguments: (events.append("save"), save(*arguments))[1])
    trainer = Trainer(config.replace(checkpoint_minutes=1e-9, epochs=1), problem=problem)
    trainer._watchdog = Recorder()  # type: ignore[assignment]
    list(trainer.epochs())
    assert events == ["watch", *["rest", "save", "watch"] * 4, "rest", "save"]


def test_what_no_run_could_continue_from_is_never_saved(config: RunConfig, problem: Problem) -> None:
    """The last step before a notice ruined a parameter, which no loss has shown yet."""

    def ruin() -> Notice | None:
        with torch.no_grad():
            next(iter(trainer.learner.model.parameters())).fill_(math.nan)
        return Notice("the node goes", stop=False)

    trainer = Trainer(config, problem=problem, notice_board=ruin)
    with pytest.raises(NonFiniteError, match="a parameter is not finite at step 1 of epoch 1"):
        list(trainer.epochs())
    assert checkpoint.positions(Path(config.output.run_dir) / "checkpoints") == []


def test_metrics_that_cannot_be_written_for_a_while_are_written_in_the_end(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.001)
    write, calls = RunDirectory.write_metrics, itertools.count()

    def fails_at_first(run: RunDirectory, history: list[EpochReport]) -> None:
        if next(calls) % 2 == 0:
            raise OSError(5, "Input/output error")
        write(run, history)

    monkeypatch.setattr(RunDirectory, "write_metrics", fails_at_first)
    assert len(list(iterate(config, problem=problem))) == 3
    assert len((Path(config.output.run_dir) / "metrics.csv").read_text().splitlines()) == 4


def test_another_machine_goes_on_from_an_object_store(
    config: RunConfig, problem: Problem, tmp_path: Path, s3_address: str
) -> None:
    whole = run_to_end(config, problem)
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=s3_address)
    reports = iterate(copied, problem=problem)
    next(reports)
    reports.close()
    assert_same_end(run_to_end(copied.replace(run_dir=str(tmp_path / "two"), resume=True), problem), whole)


def test_storage_that_cannot_be_written_is_refused_before_training(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="storage_path: cannot write to"):
        Trainer(config.replace(storage_path=str(tmp_path / "file" / "run")), problem=problem)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    config: RunConfig, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(config, problem=problem)
    reports = trainer.epochs()
    next(reports)
    with torch.no_grad():
        trainer.learner.model.task.head.weight[0, 0] = math.nan  # type: ignore[index, union-attr]
    with pytest.raises(NonFiniteError, match=r"loss is not finite at step 1 of epoch 2"):
        next(reports)
    path = checkpoint.last(Path(config.output.run_dir) / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    assert len(state["history"]) == 1
    assert all(bool(value.isfinite().all()) for value in state["model"].values())


def test_a_parameter_that_is_not_finite_never_reaches_a_checkpoint(config: RunConfig, problem: Problem) -> None:
    wild = config.replace(weighter="uniform", batch_size=50, learning_rate=3e38, weight_decay=5.0, evaluate_every=5)
    with pytest.raises(NonFiniteError, match="a parameter is not finite at step 1 of epoch 1"):
        list(iterate(wild, problem=problem))
    assert checkpoint.last(Path(config.output.run_dir) / "checkpoints") is None
