"""Whole runs of several workers: they agree, stop together, and go on, on another number too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import bdw
from bdw.config import RunConfig, presets
from bdw.errors import RunStopped
from bdw.parallel import collectives
from bdw.parallel.stop_requests import Notice, no_notice
from bdw.training.trainer import Trainer
from tests.workers import on_workers


def _train(config: dict[str, Any]) -> dict[str, Any]:
    trainer = Trainer(RunConfig().replace(**config))
    history = [report.row() for report in trainer.epochs()]
    return {
        "history": history,
        "weights": trainer.learner.weighter.state_dict()["parameters"],
        "kept": trainer.mask.kept,
        "model": {name: p.detach() for name, p in trainer.learner.model.named_parameters()},
    }


def _train_in_parts_and_whole(config: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": _train(parts | {"epochs": 2}),
        "resumed": _train(parts | {"resume": True}),
        "whole": _train(config),
    }


def test_two_workers_train_prune_resume_and_agree(tmp_path: Path) -> None:
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "epochs": 3, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weight_lr": 100.0, "cdf_threshold": 0.45, "device": "cpu", "direction_every": 2,
        }
    )  # fmt: skip
    parts = config.replace(run_dir=str(tmp_path / "parts"))
    mine, theirs = on_workers(2, tmp_path / "results", _train_in_parts_and_whole, config.flat(), parts.flat())
    for name in ("first", "resumed", "whole"):
        first, second = mine[name], theirs[name]
        assert torch.equal(first["weights"], second["weights"])
        assert torch.equal(first["kept"], second["kept"])
        assert all(torch.equal(first["model"][key], second["model"][key]) for key in first["model"])
        assert [row["loss"] for row in first["history"]] == [row["loss"] for row in second["history"]]
    history = mine["whole"]["history"]
    assert history[1]["instances_seen"] == 99 + history[0]["kept"], "an instance was dropped"
    assert 32 <= history[-1]["kept"] < 99
    # On as many workers as before, a resumed run ends bit for bit where the undisturbed one does.
    assert [row["epoch"] for row in mine["resumed"]["history"]] == [3]
    assert torch.equal(mine["resumed"]["weights"], mine["whole"]["weights"])
    assert torch.equal(mine["resumed"]["kept"], mine["whole"]["kept"])
    for name, value in mine["whole"]["model"].items():
        assert torch.equal(mine["resumed"]["model"][name], value)


def test_two_workers_end_a_budget_of_images_where_one_does(tmp_path: Path) -> None:
    """By fixed weights, whose choice is the same on any number of workers, and the same workers agree when learning."""
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "budget_images": 290, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weighter": "oracle", "schedule": "cosine", "warm_up": 0.1, "device": "cpu",
        }
    )  # fmt: skip
    alone = list(Trainer(config.replace(run_dir=str(tmp_path / "alone"))).epochs())
    assert len(alone) > 3
    assert 290 <= alone[-1].instances_seen < 290 + 32
    fields = ("epoch", "steps", "kept", "instances_seen", "budget_share", "learning_rate")
    for result in on_workers(2, tmp_path / "results", _trained_on_images, config.flat()):
        assert [[row[field] for field in fields] for row in result] == [
            [getattr(report, field) for field in fields] for report in alone
        ]
    recipe = presets.build("glyphs").replace(
        source="glyphs:images=200,letters=0.2", budget_images=790, device="cpu", run_dir=str(tmp_path / "glyphs")
    )
    mine, theirs = on_workers(2, tmp_path / "recipe", _trained_on_images, recipe.flat())
    assert [row["loss"] for row in mine] == [row["loss"] for row in theirs]
    assert 790 <= mine[-1]["instances_seen"] < 790 + 32
    assert mine[-1]["kept"] < 200


def _trained_on_images(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [report.row() for report in Trainer(RunConfig().replace(**config)).epochs()]


def _on_a_budget(config: dict[str, Any], rank_without_time: int) -> list[tuple[int, int]]:
    """Epochs and intervals of a run in which one worker's clock says that no time is left."""
    trainer = Trainer(RunConfig().replace(**config))
    if collectives.rank() == rank_without_time:
        trainer.state.clock.seconds = lambda: 1e9  # type: ignore[method-assign]
    return [(report.epoch, report.meta_every) for report in trainer.epochs()]


@pytest.mark.parametrize(("rank_without_time", "expected"), [(1, [(1, 1), (2, 1)]), (0, [(1, 0)])])
def test_rank_0s_clock_decides_for_all_on_a_time_budget(
    rank_without_time: int, expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "epochs": 2, "max_source": 64, "batch_size": 32, "shots": 2,
            "queries": 2, "time_budget": 1000.0, "device": "cpu",
        }
    )  # fmt: skip
    for result in on_workers(2, tmp_path / "results", _on_a_budget, config.flat(), rank_without_time):
        assert result == expected


class _StopsAfter:
    """Stops a run after so many steps; the notice goes to one worker alone."""

    def __init__(self, steps: int):
        self.left = steps

    def __call__(self) -> Notice | None:
        self.left -= 1
        return Notice("the node goes", stop=True) if self.left == 0 and collectives.rank() == 1 else None


def _state(trainer: Trainer) -> dict[str, Any]:
    weighter = trainer.learner.weighter.state_dict()
    model = {name: p.detach() for name, p in trainer.learner.model.named_parameters()}
    evidence = trainer.learner.visit_statistics
    table = {} if evidence is None else {"evidence": torch.from_numpy(evidence.deviations().means)}
    return {**weighter, **model, **table, "kept": trainer.mask.kept, "position": torch.tensor(trainer.position)}


def _stopped_and_resumed(config: dict[str, Any], parts: dict[str, Any], only_stop: bool) -> dict[str, Any]:
    """A run in one piece, and the same stopped in the middle of its first and its second epoch."""
    whole = Trainer(RunConfig().replace(**config))
    list(whole.epochs())
    states = {"whole": _state(whole)}
    for name, steps in (("first stop", 2), ("second stop", 3)):
        stopped = Trainer(RunConfig().replace(**parts), notice_board=_StopsAfter(steps))
        try:
            list(stopped.epochs())
        except RunStopped:
            states[name] = _state(stopped)
        if only_stop:
            return states
    resumed = Trainer(RunConfig().replace(**parts))
    list(resumed.epochs())
    return {**states, "resumed": _state(resumed)}


@pytest.fixture
def stoppable(tmp_path: Path) -> tuple[RunConfig, RunConfig]:
    config = RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "epochs": 3, "max_source": 99, "batch_size": 32, "shots": 2,
            "queries": 2, "weight_lr": 100.0, "cdf_threshold": 0.45, "device": "cpu", "diagnose_signal": True,
        }
    )  # fmt: skip
    return config, config.replace(run_dir=str(tmp_path / "parts"), resume=True)


def test_two_workers_stopped_in_the_middle_of_epochs_end_where_undisturbed_ones_do(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """The notice to one worker stops both after the same step, and the table that is saved is everybody's."""
    config, parts = stoppable
    mine, theirs = on_workers(2, tmp_path / "results", _stopped_and_resumed, config.flat(), parts.flat(), False)
    assert mine.keys() == {"whole", "first stop", "second stop", "resumed"}
    assert mine["first stop"]["position"].tolist() == [0, 2]
    assert mine["second stop"]["position"].tolist() == [1, 1]
    assert not mine["whole"]["kept"].all(), "nothing was pruned"
    for first, second in ((mine["resumed"], mine["whole"]), (theirs["resumed"], mine["whole"])):
        assert all(torch.equal(first[name], second[name]) for name in first)
    for stop in ("first stop", "second stop"):
        assert all(torch.equal(mine[stop][name], theirs[stop][name]) for name in mine[stop])


def _part(config: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """What a group of processes leaves that is stopped after so many steps, or that goes on to the end."""
    trainer = Trainer(RunConfig().replace(**config), notice_board=no_notice if steps is None else _StopsAfter(steps))
    try:
        list(trainer.epochs())
    except RunStopped:
        assert steps is not None
    return _state(trainer)


def test_three_workers_in_new_processes_end_where_undisturbed_ones_do(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """Three gradients add up differently in another order, and a process must not find its order in its first step."""
    config, parts = (settings.replace(encoder="small_resnet") for settings in stoppable)
    (whole, *_) = on_workers(3, tmp_path / "whole", _part, config.replace(epochs=1).flat(), None)
    (stopped, *_) = on_workers(3, tmp_path / "stopped", _part, parts.replace(epochs=1).flat(), 2)
    assert stopped["position"].tolist() == [0, 2]
    (resumed, *_) = on_workers(3, tmp_path / "resumed", _part, parts.replace(epochs=1).flat(), None)
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []


@pytest.mark.parametrize("weighter", ["beta", "point"])
def test_workers_agree_on_weights_that_most_steps_only_use(
    weighter: str, stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """A step that learns nothing still brings the rows that it uses up to date, on one worker."""
    config = stoppable[0].replace(meta_every=2, weighter=weighter, prune=False, batch_size=16).flat()
    first, second = on_workers(2, tmp_path / "results", _train, config)
    assert len(first["history"]) == 3
    assert torch.equal(first["weights"], second["weights"])


def test_one_worker_goes_on_in_the_middle_of_an_epoch_of_two(
    stoppable: tuple[RunConfig, RunConfig], tmp_path: Path
) -> None:
    """Weights, clocks and the kept set carry over exactly, and no instance of the epoch is left out or seen twice."""
    config, parts = stoppable
    stopped = on_workers(2, tmp_path / "results", _stopped_and_resumed, config.flat(), parts.flat(), True)[0]
    trainer = Trainer(parts)
    state = _state(trainer)
    assert trainer.position == (0, 2)
    assert all(torch.equal(state[name], stopped["first stop"][name]) for name in state)
    first = next(trainer.epochs())
    assert first.instances_seen == 99
    assert first.steps == 4


def _fitted(config: dict[str, Any]) -> dict[str, Any]:
    result = bdw.fit(RunConfig().replace(**config))
    return {"epochs": len(result.history), "images": len(result.instance_weights)}


def test_fit_hands_over_on_every_rank_and_another_number_of_workers_goes_on(tmp_path: Path) -> None:
    config = RunConfig().replace(
        **{"run_dir": str(tmp_path / "run"), "epochs": 1, "max_source": 64, "shots": 2, "queries": 2, "device": "cpu"}
    )
    for result in on_workers(2, tmp_path / "results", _fitted, config.flat()):
        assert result == {"epochs": 1, "images": 64}
    trainer = Trainer(config.replace(epochs=2, resume=True))
    before = Trainer(config.replace(run_dir=str(tmp_path / "other")))
    now, began = (t.learner.randomness.state_dict() for t in (trainer, before))
    assert not any(torch.equal(now[name], began[name]) for name in now if name != "model"), "old draws come again"
    (report,) = trainer.epochs()
    assert report.epoch == 2
    assert trainer.history[0].instances_seen == 64
