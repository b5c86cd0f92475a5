"""What other thresholds would have pruned: checked against runs that really prune, and against scipy's Beta."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray

from bdw import cli
from bdw.config import RunConfig
from bdw.data import Problem, load
from bdw.diagnostics.replay import Replay, Thresholds, grid, replay
from bdw.errors import InputError
from bdw.runs.trajectory import Trajectory
from bdw.training.trainer import Trainer

NUM_SOURCE, EPOCHS = 80, 5
PAIRS = grid((0.1, 0.2, 0.3, 0.4), (0.4, 0.5, 0.7, 0.9))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return RunConfig().replace(**
        {
            "run_dir": str(tmp_path_factory.mktemp("replay") / "run"), "epochs": EPOCHS, "max_source": NUM_SOURCE,
            "batch_size": 16, "shots": 2, "queries": 2, "weight_lr": 30.0, "evaluate_every": EPOCHS, "device": "cpu",
            "prune": False, "record_trajectory": True,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def problem(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return load(config.data, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def unpruned(config: RunConfig, problem: Problem) -> Trajectory:
    return train(config, problem)[1]


def train(config: RunConfig, problem: Problem) -> tuple[list[NDArray[np.int32]], Trajectory]:
    """When each image went, as it was known after every epoch of a real run, and its trajectory."""
    trainer = Trainer(config, problem=problem)
    since = [trainer.mask.pruned_at_epoch.numpy().copy() for _ in trainer.epochs()]
    return since, Trajectory(trainer.run.trajectory)


def made_up(folder: Path, epochs: Sequence[NDArray[np.float32]]) -> Trajectory:
    trajectory = Trajectory(folder / "trajectory")
    for epoch, logs in enumerate(epochs, start=1):
        trajectory.record(epoch, torch.from_numpy(logs))
    return trajectory


def of_kind(replayed: Replay, pair: Thresholds, epoch: int) -> NDArray[np.bool_]:
    at = replayed.outcomes[pair].pruned_at_epoch
    return (at > 0) & (at <= epoch)


# The trainer as the oracle


def test_what_real_runs_prune_first_is_what_the_replay_said(
    config: RunConfig, problem: Problem, unpruned: Trajectory, tmp_path: Path
) -> None:
    pairs = [Thresholds(0.4, 0.4), Thresholds(0.3, 0.5), Thresholds(0.2, 0.7), Thresholds(0.1, 0.9)]
    replayed = replay(unpruned, config, pairs)
    firsts = [replayed.outcomes[pair].first_pruned for pair in pairs]
    assert len(set(firsts)) > 2, "the settings must prune at different times, or there is little to get wrong"
    assert max(first or 0 for first in firsts) > 1
    for pair in pairs:
        outcome = replayed.outcomes[pair]
        settings = config.replace(prune=True, run_dir=str(tmp_path / str(pair)), **pair._asdict())
        since, _ = train(settings, problem)
        first = outcome.first_pruned
        assert outcome.last_exact == (first or EPOCHS)
        for epoch in range(1, outcome.last_exact + 1):
            np.testing.assert_array_equal(since[epoch - 1] > 0, of_kind(replayed, pair, epoch))
            assert outcome.pruned[epoch - 1] == (since[epoch - 1] > 0).sum()
        assert first is None or outcome.pruned[first - 1] > 0


def test_with_a_budget_of_images_the_first_pruning_is_as_exact(
    config: RunConfig, problem: Problem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a run with that pair is no shorter: it makes more epochs."""
    images = config.replace(budget_unit="images", schedule="cosine", run_dir=str(tmp_path / "run"))
    since, trajectory = train(images, problem)
    assert len(since) == EPOCHS
    pair = Thresholds(0.3, 0.5)
    outcome = replay(trajectory, images, [pair]).outcomes[pair]
    first = outcome.first_pruned
    assert first is not None
    pruned, _ = train(images.replace(prune=True, run_dir=str(tmp_path / "pruned"), **pair._asdict()), problem)
    for epoch in range(1, first + 1):
        assert outcome.pruned[epoch - 1] == (pruned[epoch - 1] > 0).sum()
    assert len(pruned) > EPOCHS
    assert cli.main(["replay", "--run", str(tmp_path / "run"), "--lambda", "0.3", "--rho", "0.5"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"replayed {EPOCHS} epochs of {NUM_SOURCE} images under 1 pair")
    assert "what pruning saves is spent on the images that are kept" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"cdf_threshold": 0.4, "density_threshold": 0.5},
        {"cdf_threshold": 0.4, "density_threshold": 0.4, "min_kept": 60},
        {"cdf_threshold": 0.3, "density_threshold": 0.4, "burn_in_epochs": 2},
    ],
)
def test_a_pruned_run_is_its_own_replay_to_the_end(
    config: RunConfig, problem: Problem, tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = config.replace(prune=True, run_dir=str(tmp_path / "run"), **settings)
    since, trajectory = train(config, problem)
    own = Thresholds(settings["cdf_threshold"], settings["density_threshold"])
    other = Thresholds(0.35, 0.9)
    replayed = replay(trajectory, config, [own, other])
    outcome = replayed.outcomes[own]
    np.testing.assert_array_equal(outcome.pruned, [(at > 0).sum() for at in since])
    np.testing.assert_array_equal(outcome.pruned_at_epoch, since[-1])
    began = next(epoch for epoch, at in enumerate(since, start=1) if at.any())
    assert outcome.last_exact == EPOCHS
    assert (outcome.first_floor is not None) == ("min_kept" in settings)
    assert (replayed.own, replayed.own_first_pruned) == (own, began)
    assert replayed.outcomes[other].last_exact <= began, "from there on the run was disturbed by its own pruning"


def test_another_burn_in_than_the_runs_own(
    config: RunConfig, problem: Problem, unpruned: Trajectory, tmp_path: Path
) -> None:
    pair = Thresholds(0.4, 0.5)
    replayed = replay(unpruned, config, [pair], burn_in_epochs=2)
    since, _ = train(
        config.replace(prune=True, burn_in_epochs=2, run_dir=str(tmp_path / "run"), **pair._asdict()), problem
    )
    assert replayed.outcomes[pair].first_pruned == 3
    np.testing.assert_array_equal(since[2] > 0, of_kind(replayed, pair, 3))


# scipy as the oracle


def test_the_map_is_that_of_scipys_beta(config: RunConfig, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    epochs = [rng.normal(0, 0.4 * (1 + i), (2, 300)).astype(np.float32) for i in range(4)]
    replayed = replay(made_up(tmp_path, epochs), config, PAIRS)
    assert list(replayed.outcomes) == PAIRS
    for cut, share in PAIRS:
        gone = np.zeros(300, dtype=bool)
        fractions = []
        for logs in epochs:
            a, b = np.exp(logs.astype(np.float64))
            gone |= scipy.stats.beta.cdf(cut, a, b) > share
            fractions.append(gone.mean())
        np.testing.assert_allclose(replayed.pruned_fraction(Thresholds(cut, share)), fractions, rtol=1e-15)
    assert min(replayed.pruned_fraction(pair)[-1] for pair in PAIRS) > 0.02
    assert max(replayed.pruned_fraction(pair)[0] for pair in PAIRS) < 0.6


def test_images_trained_on_are_those_kept_by_the_epochs_before(config: RunConfig, tmp_path: Path) -> None:
    """Beta(1, e^2) has 1 - 0.5^(e^2) = 0.994 of its density below 0.5; the uniform prior 0.5."""
    away = [20, 50, 80]
    epochs = [np.zeros((2, 100), np.float32) for _ in away]
    for logs, n in zip(epochs, away, strict=True):
        logs[1, :n] = 2
    replayed = replay(made_up(tmp_path, epochs), config, [Thresholds(0.5, 0.9)])
    outcome = replayed.outcomes[0.5, 0.9]
    assert outcome.pruned.tolist() == away
    assert replayed.trained_fraction(Thresholds(0.5, 0.9)) == pytest.approx((1 + 0.8 + 0.5) / 3)
    assert (outcome.first_pruned, outcome.last_exact, outcome.first_floor) == (1, 1, None)


def test_planted_images_are_counted(config: RunConfig, tmp_path: Path) -> None:
    logs = np.zeros((2, 40), np.float32)
    logs[1, :10] = 2
    planted = np.array([0] * 8 + [1] + [-1] * 11 + [1] * 10 + [0] * 10, dtype=np.int8)
    replayed = replay(made_up(tmp_path, [logs]), config, [Thresholds(0.5, 0.9)], planted=planted)
    outcome = replayed.outcomes[0.5, 0.9]
    assert (outcome.pruned[0], outcome.junk_pruned[0], outcome.useful_pruned[0]) == (10, 8, 1)
    assert (replayed.num_junk, replayed.num_useful, replayed.is_planted) == (18, 11, True)
    assert not replay(Trajectory(tmp_path / "trajectory"), config, [Thresholds(0.5, 0.9)]).is_planted


def test_the_floor_is_named_and_nothing_is_pruned_by_nobody(config: RunConfig, tmp_path: Path) -> None:
    logs = np.zeros((2, 20), np.float32)
    logs[1] = 2
    logs[0, 3] = 0.5  # the best by mean weight
    replayed = replay(made_up(tmp_path, [logs]), config.replace(min_kept=1), [Thresholds(0.5, 0.8)])
    assert np.flatnonzero(replayed.outcomes[0.5, 0.8].pruned_at_epoch == 0).tolist() == [3]
    all_kept = replay(Trajectory(tmp_path / "trajectory"), config.replace(min_kept=20), [Thresholds(0.5, 0.8)])
    outcome = all_kept.outcomes[0.5, 0.8]
    assert (outcome.first_pruned, outcome.first_floor, outcome.last_exact) == (None, 1, 1)


# Bad input


def test_the_grid_has_the_pairs_that_a_run_may_have() -> None:
    assert grid((0.5, 0.1), (0.9, 0.3)) == [(0.1, 0.3), (0.1, 0.9), (0.5, 0.9)]
    assert grid([0.5], [0.5]) == [(0.5, 0.5)]


@pytest.mark.parametrize(
    ("cuts", "shares", "message"),
    [
        ((0.0,), (0.5,), r"cdf_threshold \(lambda\): 0.0 cannot work; allowed: between 0 and 1"),
        ((0.1,), (0.5, 1.0), r"density_threshold \(rho\): 1.0 cannot work; allowed: between 0 and 1"),
        ((float("nan"),), (0.5,), r"cdf_threshold \(lambda\): nan cannot work"),
        ((), (0.5,), r"cdf_threshold \(lambda\): none given; allowed: at least one"),
        ((0.1,), (0.5, 0.5), r"density_threshold \(rho\): 0.5 is given twice; allowed: each once"),
        ((0.1, 0.6), (0.5,), r"cdf_threshold \(lambda\): 0.6 is above every .*\(rho\).*; allowed: lambda <= rho"),
        (
            (0.3, 0.4),
            (0.2, 0.5),
            r"density_threshold \(rho\): 0.2 is below every .*; allowed: lambda <= rho",
        ),
    ],
)
def test_grids_that_cannot_work(cuts: tuple[float, ...], shares: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid(cuts, shares)


def test_runs_that_cannot_be_replayed(config: RunConfig, tmp_path: Path) -> None:
    zeros = np.zeros((2, 20), np.float32)
    trajectory = Trajectory(tmp_path / "trajectory")
    with pytest.raises(InputError, match=r"run: .*trajectory holds no recorded epochs; allowed: .*--record-trajectory"):
        replay(trajectory, config, PAIRS)
    made_up(tmp_path, [zeros] * 4)
    with pytest.raises(InputError, match=r"run: its weighter is 'point'; allowed: a run of 'beta'"):
        replay(trajectory, config.replace(weighter="point"), PAIRS)
    with pytest.raises(InputError, match="burn_in_epochs: -1 cannot work; allowed: 0 or more"):
        replay(trajectory, config, PAIRS, burn_in_epochs=-1)
    with pytest.raises(InputError, match="has 20 images, the run's weights 19; allowed: files of one run"):
        replay(trajectory, config, PAIRS, planted=np.zeros(19, np.int8))
    trajectory.record(4, torch.zeros(2, 21))
    with pytest.raises(InputError, match="epoch 4 has 21 images, the first one 20; allowed: epochs of one run"):
        replay(trajectory, config, PAIRS)
    trajectory.path(2).unlink()
    trajectory.path(3).unlink()
    with pytest.raises(InputError, match=r"run: epoch 2 of .* is missing \(2 in all\); allowed: .*first epoch on"):
        replay(trajectory, config, PAIRS)
