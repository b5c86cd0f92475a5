"""A time budget in whole runs, by a clock that only steps, evaluations and step timing move."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Any

import pytest

from bdw.config import RunConfig
from bdw.errors import InputError, RunStopped
from bdw.parallel.stop_requests import Notice
from bdw.pretext import PretextModel
from bdw.report.table_files import read_table
from bdw.runs.directory import RunDirectory
from bdw.training import epoch as epoch_training
from bdw.training import finish, step_timing, wall_clock
from bdw.training.examiner import Examiner
from bdw.training.trainer import Trainer
from bdw.weighting.step import Learner, SourceBatch, StepMeasurements, train_step
from bdw.weighting.timer import WeightingTimer
from bdw.weighting.weighters.protocol import Learns

STEPS = 8
PLAIN, EVALUATION = 1.0, 4.0
"""Seconds of a plain step, and of an evaluation."""


class Machine:
    """Time that passes as the work does; learning adds 1 s to a step and 1 s for every 20 target images."""

    def __init__(self) -> None:
        self.now = 0.0
        self.speed = 1.0
        self.learning = 0.0

    def step(self, learner: Learner, batch: SourceBatch, *, learn: bool = True) -> StepMeasurements:
        learns = learn and learner.weighter.learns is not Learns.NEVER
        self.learning = (
            self._work(1.0 + learner.meta_loss.images_per_batch / 20) if learns and learner.meta_loss else 0.0
        )
        self._work(PLAIN)
        return train_step(learner, batch, learn=learn)

    def evaluate(self) -> None:
        self._work(EVALUATION)

    def _work(self, seconds: float) -> float:
        self.now += seconds / self.speed
        return seconds / self.speed


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    clock = types.SimpleNamespace(perf_counter=lambda: machine.now)
    for module in (wall_clock, epoch_training, step_timing):
        monkeypatch.setattr(module, "time", clock)
    for module in (epoch_training, step_timing):
        monkeypatch.setattr(module, "train_step", machine.step)

    def take(_: WeightingTimer) -> float:
        return machine.learning

    monkeypatch.setattr(WeightingTimer, "take", take)
    scores = Examiner.scores

    def evaluated(examiner: Examiner, model: PretextModel, *, evaluates: bool = True) -> dict[str, float]:
        found = scores(examiner, model, evaluates=evaluates)
        if not any(map(math.isnan, found.values())):
            machine.evaluate()
        return found

    monkeypatch.setattr(Examiner, "scores", evaluated)
    write = finish.write_results

    def written(*run: Any) -> None:
        write(*run)
        machine.evaluate()

    monkeypatch.setattr(finish, "write_results", written)
    return machine


def _config(tmp_path: Path, **options: Any) -> RunConfig:
    flat = {
        "run_dir": str(tmp_path / "run"), "max_source": 128, "batch_size": 16, "epochs": 6, "shots": 4, "queries": 4,
        "device": "cpu", "prune": False, "max_iterations": 5,
    }  # fmt: skip
    return RunConfig().replace(**{**flat, **options})


def _run(config: RunConfig) -> Trainer:
    trainer = Trainer(config)
    list(trainer.epochs())
    return trainer


def _column(trainer: Trainer, name: str) -> list[Any]:
    return [report.row()[name] for report in trainer.history]


# 8 steps of 1 s, 5 s of learning each from 80 images, and 4 s of evaluation an epoch; 8 trial steps before the first.
FULL = 6 * (STEPS * (PLAIN + 5.0) + EVALUATION)
PLAINLY = 6 * (STEPS * PLAIN + EVALUATION)


def test_without_a_budget_nothing_is_timed_or_changed(tmp_path: Path, machine: Machine) -> None:
    trainer = _run(_config(tmp_path, meta_every=3))
    assert _column(trainer, "meta_every") == [3] * 6
    assert _column(trainer, "meta_batch") == [80] * 6
    # Three of eight steps learn.
    assert machine.now == pytest.approx(6 * (STEPS * PLAIN + 3 * 5.0 + EVALUATION) + EVALUATION)
    assert RunDirectory(tmp_path / "run").read_config()["repeatable"] is True


def test_a_budget_that_is_ample_changes_nothing(
    tmp_path: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = _run(_config(tmp_path, time_budget=1000.0))
    assert _column(trainer, "meta_every") == [1] * 6
    assert _column(trainer, "meta_batch") == [80] * 6
    assert caplog.text == ""
    assert RunDirectory(tmp_path / "run").read_config()["repeatable"] is False


@pytest.mark.parametrize("share", [0.2, 0.7])
@pytest.mark.parametrize("options", [{}, {"evaluate_every": 2}, {"meta_every": 2}], ids=["plain", "rare", "every 2nd"])
def test_all_epochs_end_in_time_with_as_much_learning_as_fits(
    tmp_path: Path, machine: Machine, share: float, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    timing = 4 * (PLAIN + 5.0) + 4 * (PLAIN + 2.0)
    budget = timing + PLAINLY + 2 * EVALUATION + share * (FULL - PLAINLY)
    trainer = _run(_config(tmp_path, time_budget=budget / 60, **options))
    assert len(trainer.history) == 6
    assert trainer.state.clock.seconds() <= budget
    assert trainer.state.clock.seconds() == pytest.approx(machine.now)
    every = _column(trainer, "meta_every")
    least = options.get("meta_every", 1)
    assert all(interval == 0 or interval % least == 0 for interval in every)
    assert sum(_column(trainer, "weighting_seconds")) > 0
    if share < 0.5:
        assert "time_budget: from epoch 1 on" in caplog.text


def test_fewer_epochs_if_even_plain_ones_do_not_fit(
    tmp_path: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    budget = 36.0 + 0.6 * PLAINLY
    trainer = _run(_config(tmp_path, time_budget=budget / 60, lr_milestones=[1, 3, 5], evaluate_every=4))
    assert 2 <= len(trainer.history) <= 4
    assert trainer.state.clock.seconds() <= budget
    assert set(_column(trainer, "meta_every")) == {0}
    assert set(_column(trainer, "meta_batch")) == {0}
    assert not math.isnan(trainer.history[-1].validation_score), "the last epoch is evaluated"
    said = next(record.message for record in caplog.records if " of 6 epochs fit into " in record.message)
    assert "with the least learning" in said
    assert "lr_milestones stay where they are" in said
    rates = [0.1 * 0.1 ** sum(milestone <= epoch for milestone in (1, 3, 5)) for epoch in range(6)]
    assert _column(trainer, "learning_rate") == pytest.approx(rates[: len(trainer.history)])
    run = RunDirectory(tmp_path / "run")
    assert run.results.is_file()
    assert len(run.metrics.read_text().splitlines()) == 1 + len(trainer.history)


IMAGES = {"budget_unit": "images", "weighter": "oracle", "prune": True}
"""Keeps 69 of the 128 images: eleven epochs of five steps and a short one in the place of six of eight steps."""


def test_ample_time_for_a_budget_of_images_is_not_worth_a_word(
    tmp_path: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the number of epochs that fit into it grows with everything that is pruned."""
    trainer = _run(_config(tmp_path, time_budget=1000.0, **IMAGES))
    assert len(trainer.history) > 6
    assert trainer.history[-1].budget_share == 1
    settings = {
        **IMAGES,
        "weighter": "beta",
        "cdf_threshold": 0.4,
        "weight_lr": 100.0,
        "run_dir": str(tmp_path / "beta"),
    }
    learnt = _run(_config(tmp_path, time_budget=1000.0, **settings))
    assert len({report.kept for report in learnt.history}) > 2, "the number of epochs has changed once at most"
    assert [record.message for record in caplog.records if "time_budget" in record.message] == []


@pytest.mark.parametrize("schedule", ["cosine", "milestones"])
def test_a_time_budget_ends_a_budget_of_images_early_and_says_so(
    tmp_path: Path, machine: Machine, schedule: str, caplog: pytest.LogCaptureFixture
) -> None:
    milestones = {"lr_milestones": [1, 5]} if schedule == "milestones" else {}
    time_budget = 24.0 + 0.5 * PLAINLY
    config = _config(tmp_path, time_budget=time_budget / 60, schedule=schedule, **milestones, **IMAGES)
    trainer = _run(config)
    assert trainer.state.clock.seconds() <= time_budget
    last = trainer.history[-1]
    assert 0.25 < last.budget_share < 0.75
    assert last.budget_share == last.instances_seen / (6 * 128)
    assert not math.isnan(last.validation_score), "the last epoch is evaluated"
    said = [record.message for record in caplog.records if " epochs fit into " in record.message][-1]
    assert f"{len(trainer.history)} of 12 epochs fit" in said
    if schedule == "cosine":
        assert "the learning rate follows the whole budget, " in said
    else:
        # The first pass is made, the fifth is not.
        assert "lr_milestones stay where they are, [5] will not be reached" in said
    # It is over, and nothing is said again.
    caplog.clear()
    assert list(Trainer(config.replace(resume=True)).epochs()) == []
    assert "time_budget" not in caplog.text


def test_rare_evaluations_of_short_epochs_are_projected_by_passes(
    tmp_path: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    """Every other pass is about every fourth epoch. As if it were every other epoch, 90 s would not seem enough."""
    trainer = _run(_config(tmp_path, time_budget=90.0 / 60, evaluate_every=2, **IMAGES))
    assert len(trainer.history) == 12
    assert trainer.history[-1].budget_share == 1
    assert [math.isnan(score) for score in _column(trainer, "validation_score")].count(False) == 3
    assert "time_budget" not in caplog.text


def test_a_run_that_ended_in_time_is_over_until_it_may_go_on(tmp_path: Path, machine: Machine) -> None:
    config = _config(tmp_path, time_budget=(36.0 + 0.6 * PLAINLY) / 60)
    done = len(_run(config).history)
    began = machine.now
    assert list(Trainer(config.replace(resume=True)).epochs()) == []
    assert machine.now == began, "nothing was timed"
    more = _run(config.replace(resume=True, time_budget=1000.0))
    assert len(more.history) == 6
    assert _column(more, "meta_every") == [0] * done + [1] * (6 - done)


def test_epochs_under_a_budget_stay_unrepeatable_without_it(tmp_path: Path, machine: Machine) -> None:
    config = _config(tmp_path, time_budget=(36.0 + 0.6 * PLAINLY) / 60)
    done = len(_run(config).history)
    for _ in range(2):
        assert len(_run(config.replace(resume=True, time_budget=None)).history) == 6 > done
        assert RunDirectory(tmp_path / "run").read_config()["repeatable"] is False


@pytest.mark.parametrize("changes", [{"time_budget": 1e-3}, {"epochs": 2}], ids=["budget used up", "fewer epochs"])
def test_a_run_that_ends_where_it_was_interrupted_is_evaluated_there(
    tmp_path: Path, machine: Machine, changes: dict[str, Any]
) -> None:
    config = _config(tmp_path, epochs=10, evaluate_every=5, monitors=["rankme"], resume=True)
    epochs = Trainer(config).epochs()
    before = [next(epochs), next(epochs)]
    trainer = _run(config.replace(**changes))
    last = trainer.history[-1]
    # The same as of a run that was meant to have two epochs.
    whole = _run(config.replace(run_dir=str(tmp_path / "whole"), epochs=2)).history[-1]
    for name in ("epoch", "loss", "kept", "validation_score", "is_best", "monitors"):
        assert getattr(last, name) == getattr(whole, name), name
    assert not math.isnan(last.validation_score)
    assert last.wall_seconds >= before[1].wall_seconds + EVALUATION
    run = RunDirectory(tmp_path / "run")
    assert run.results.is_file()
    assert read_table(run.metrics, [])["validation_score"].iloc[-1] == pytest.approx(last.validation_score)
    began = machine.now
    again = Trainer(config.replace(**changes))
    assert list(again.epochs()) == []
    assert machine.now == began, "neither timed nor evaluated again"
    assert again.history[-1] == last


def test_an_epoch_that_was_begun_cannot_be_taken_back(tmp_path: Path, machine: Machine) -> None:
    config = _config(tmp_path, resume=True)
    notices = iter([None] * (STEPS + 2) + [Notice("gone", stop=True)])
    with pytest.raises(RunStopped, match="epoch 1 and 3 steps"):
        list(Trainer(config, notice_board=lambda: next(notices, None)).epochs())
    with pytest.raises(InputError, match="epochs: 1 is less than the 1 already trained and the one already begun"):
        Trainer(config.replace(epochs=1))
    assert len(_run(config.replace(epochs=2)).history) == 2


def test_one_epoch_is_trained_however_little_time_there_is(
    tmp_path: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = _run(_config(tmp_path, time_budget=0.001))
    assert len(trainer.history) == 1
    assert "time_budget: 1 of 6 epochs fit into 0.001 minutes" in caplog.text


def test_a_slower_machine_is_noticed_and_an_epoch_goes_on_as_it_began(tmp_path: Path, machine: Machine) -> None:
    config = _config(tmp_path, time_budget=1.5 * FULL / 60, resume=True)
    notices = iter([None] * (STEPS + 2) + [Notice("gone", stop=True)])
    with pytest.raises(RunStopped, match="epoch 1 and 3 steps"):
        list(Trainer(config, notice_board=lambda: next(notices, None)).epochs())
    machine.speed = 0.4
    trainer = Trainer(config)
    list(trainer.epochs())
    assert len(trainer.history) == 6
    every = _column(trainer, "meta_every")
    assert every[:2] == [1, 1]
    assert all(interval != 1 for interval in every[2:4])
    assert trainer.state.clock.seconds() <= 1.5 * FULL


@pytest.mark.parametrize("weighter", ["uniform", "l2rw"])
def test_weighters_that_cannot_skip_steps(tmp_path: Path, machine: Machine, weighter: str) -> None:
    budget = 24.0 + 0.7 * (PLAINLY if weighter == "uniform" else FULL)
    trainer = _run(_config(tmp_path, weighter=weighter, time_budget=budget / 60))
    assert trainer.state.clock.seconds() <= budget
    if weighter == "uniform":
        assert len(trainer.history) < 6
        assert set(_column(trainer, "meta_every")) == {0}
    else:
        assert len(trainer.history) == 6
        assert set(_column(trainer, "meta_every")) == {1}
        assert min(_column(trainer, "meta_batch")) < 80
