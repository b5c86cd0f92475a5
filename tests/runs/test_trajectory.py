"""Recorded trajectories: whole or not there, of exactly the epochs that a run has behind it, wherever it goes on."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem, load
from bdw.errors import InputError
from bdw.runs.backup_files import checkpoints, push_run
from bdw.runs.trajectory import Trajectory
from bdw.storage.remote_folder import RemoteFolder
from bdw.training.trainer import Trainer, iterate


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "epochs": 4, "max_source": 50, "batch_size": 16, "shots": 2, "queries": 2,
            "weight_lr": 50.0, "evaluate_every": 4, "device": "cpu", "prune": False, "record_trajectory": True,
        }
    )  # fmt: skip


@pytest.fixture
def problem(config: RunConfig, tmp_path: Path) -> Problem:
    return load(config.data, tmp_path / "data")


def recorded(run_dir: Path | str) -> Trajectory:
    return Trajectory(Path(run_dir) / "trajectory")


def assert_same(one: Trajectory, other: Trajectory) -> None:
    assert one.epochs() == other.epochs()
    for epoch in one.epochs():
        np.testing.assert_array_equal(one.read(epoch), other.read(epoch))


def test_round_trip(tmp_path: Path) -> None:
    trajectory = Trajectory(tmp_path / "trajectory")
    assert trajectory.epochs() == []
    logs = {epoch: torch.randn(2, 5) for epoch in (2, 10_000, 1)}
    for epoch, values in logs.items():
        trajectory.record(epoch, values)
    (trajectory.folder / ".epoch_0003.npy.1234.tmp").write_text("what a killed process left")
    (trajectory.folder / "epoch_last.npy").write_text("somebody's own")
    assert trajectory.epochs() == [1, 2, 10_000]
    for epoch, values in logs.items():
        np.testing.assert_array_equal(trajectory.read(epoch), values.numpy())
    assert trajectory.path(2) == tmp_path / "trajectory" / "epoch_0002.npy"


def test_files_that_are_no_trajectory_are_refused(tmp_path: Path) -> None:
    trajectory = Trajectory(tmp_path)
    with pytest.raises(InputError, match=r"trajectory: .*epoch_0001.npy cannot be read"):
        trajectory.read(1)
    trajectory.path(1).write_bytes(b"\x93NUMPY cut off")
    with pytest.raises(InputError, match=r"trajectory: .*epoch_0001.npy cannot be read"):
        trajectory.read(1)
    np.save(trajectory.path(2), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"epoch_0002.npy cannot be read: .*allow_pickle"):
        trajectory.read(2)
    for wrong in (np.zeros((2, 3)), np.zeros((3, 2), np.float32), np.full((2, 3), np.nan, np.float32)):
        np.save(trajectory.path(3), wrong)
        with pytest.raises(InputError, match=r"epoch_0003.npy holds .*; allowed: finite float32 \(2, images\)"):
            trajectory.read(3)


def test_a_run_records_what_its_weights_were(config: RunConfig, problem: Problem) -> None:
    trainer = Trainer(config, problem=problem)
    seen = [trainer.learner.weighter.state_dict()["parameters"].clone() for _ in trainer.epochs()]
    trajectory = recorded(config.output.run_dir)
    assert trajectory.epochs() == [1, 2, 3, 4]
    for epoch, logs in enumerate(seen, start=1):
        np.testing.assert_array_equal(trajectory.read(epoch), logs.numpy())
    assert not np.array_equal(trajectory.read(1), trajectory.read(4))


def test_recording_changes_nothing_else_and_only_happens_on_request(config: RunConfig, problem: Problem) -> None:
    silent = config.replace(record_trajectory=False, run_dir=f"{config.output.run_dir}-silent")
    trainers = [Trainer(settings, problem=problem) for settings in (config, silent)]
    for trainer in trainers:
        list(trainer.epochs())
    one, other = (trainer.learner.model.state_dict() for trainer in trainers)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not (Path(silent.output.run_dir) / "trajectory").exists()


def test_a_resumed_run_has_exactly_the_epochs_behind_it(config: RunConfig, problem: Problem) -> None:
    """It died in the fourth epoch, with a checkpoint after the second: the third is trained again."""
    list(iterate(config, problem=problem))
    parts = config.replace(run_dir=f"{config.output.run_dir}-parts", checkpoint_every=2)
    attempt = iterate(parts, problem=problem)
    for _ in range(3):
        next(attempt)
    attempt.close()
    trajectory = recorded(parts.output.run_dir)
    assert trajectory.epochs() == [1, 2, 3]
    trajectory.path(3).write_text("of an attempt that nobody continues")
    second = Trainer(parts.replace(resume=True), problem=problem)
    assert len(second.history) == 2
    assert trajectory.epochs() == [1, 2]
    list(second.epochs())
    assert_same(trajectory, recorded(config.output.run_dir))


def test_the_copy_has_the_epochs_of_its_checkpoint_and_gives_them_to_another_machine(
    config: RunConfig, problem: Problem, tmp_path: Path
) -> None:
    list(iterate(config, problem=problem))
    storage = tmp_path / "storage"
    copied = config.replace(run_dir=str(tmp_path / "one"), storage_path=f"file://{storage}", checkpoint_every=2)
    attempt = iterate(copied, problem=problem)
    for _ in range(3):
        next(attempt)
    attempt.close()
    assert recorded(storage).epochs() == [1, 2], "the third has no checkpoint yet"
    assert [place.epochs for place in checkpoints(RemoteFolder.at(str(storage)))] == [2]
    list(iterate(copied.replace(run_dir=str(tmp_path / "two"), resume=True), problem=problem))
    assert_same(recorded(tmp_path / "two"), recorded(config.output.run_dir))
    assert_same(recorded(storage), recorded(config.output.run_dir))


def test_each_epoch_travels_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    push = RemoteFolder.push

    def note(self: RemoteFolder, path: Path, name: str) -> None:
        sent.append(name)
        push(self, path, name)

    monkeypatch.setattr(RemoteFolder, "push", note)
    run, copy = tmp_path / "run", RemoteFolder.at(str(tmp_path / "storage"))
    for epoch in (1, 2, 3):
        recorded(run).record(epoch, torch.zeros(2, 4))
        (run / "checkpoints" / f"epoch_{epoch:04d}").mkdir(parents=True)
        push_run(copy, run)
        push_run(copy, run)
    assert sent == ["trajectory/epoch_0001.npy", "trajectory/epoch_0002.npy", "trajectory/epoch_0003.npy"]


def test_recording_from_the_middle_on_is_warned_about(
    config: RunConfig, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    list(iterate(config.replace(record_trajectory=False, epochs=2), problem=problem))
    with caplog.at_level(logging.WARNING):
        list(iterate(config.replace(resume=True), problem=problem))
    assert "record_trajectory: 2 of the 2 epochs behind this run were not recorded" in caplog.text
    assert recorded(config.output.run_dir).epochs() == [3, 4]


@pytest.mark.parametrize("weighter", ["uniform", "point", "l2rw"])
def test_other_weighters_have_nothing_to_record(config: RunConfig, weighter: str) -> None:
    with pytest.raises(InputError, match=f"record_trajectory: weighter '{weighter}' .*allowed: 'beta'"):
        Trainer(config.replace(weighter=weighter))
    assert not Path(config.output.run_dir).exists()
