"""`diagnose_signal` in runs: it changes nothing, survives stops, and ends in numbers that agree with one another."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.diagnostics.diagnosis import Diagnosis, diagnosed, summary
from bdw.errors import InputError, RunStopped
from bdw.parallel.stop_requests import Notice
from bdw.training.trainer import Trainer, iterate

NUM_SOURCE = 50


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    return config.replace(cdf_threshold=0.4, diagnose_signal=True)


def run(config: RunConfig, problem: Problem) -> Trainer:
    trainer = Trainer(config, problem=problem)
    list(trainer.epochs())
    return trainer


def signal_file(trainer: Trainer) -> Diagnosis:
    return Diagnosis.from_json(trainer.run.signal.read_text())


def evidence_state(trainer: Trainer) -> dict[str, Any]:
    assert trainer.learner.visit_statistics is not None
    return trainer.learner.visit_statistics.state_dict()


def test_a_run_is_the_same_with_and_without(config: RunConfig, problem: Problem) -> None:
    with_it = run(config, problem)
    without = run(config.replace(diagnose_signal=False, run_dir=config.output.run_dir + "-silent"), problem)
    for part in ("model", "weighter", "randomness"):
        mine, others = (getattr(trainer.learner, part).state_dict() for trainer in (with_it, without))
        assert all(torch.equal(value, others[name]) for name, value in mine.items())
    assert torch.equal(with_it.mask.kept, without.mask.kept)
    assert without.learner.visit_statistics is None
    assert not without.run.signal.exists()
    columns = [trainer.run.metrics.read_text().splitlines()[0] for trainer in (with_it, without)]
    assert columns[0] == columns[1]


@pytest.mark.parametrize("options", [{}, {"weighter": "l2rw"}, {"weighter": "point", "meta_every": 2}])
def test_stopped_runs_count_every_visit_once(config: RunConfig, problem: Problem, options: dict[str, Any]) -> None:
    config = config.replace(**options)
    whole = run(config, problem)
    parts = config.replace(run_dir=config.output.run_dir + "-parts", resume=True)
    for _ in range(20):
        notices = iter([None, Notice("gone", stop=True)])
        trainer = Trainer(parts, problem=problem, notice_board=lambda notices=notices: next(notices, None))
        try:
            list(trainer.epochs())
            break
        except RunStopped:
            continue
    mine, theirs = evidence_state(trainer), evidence_state(whole)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert signal_file(trainer).json() == signal_file(whole).json()


def test_visits_are_those_to_the_kept(config: RunConfig, problem: Problem) -> None:
    """The pruned keep their numbers: visited once an epoch until they went."""
    trainer = run(config, problem)
    assert 0 < trainer.mask.count < NUM_SOURCE
    assert trainer.learner.visit_statistics is not None
    went = trainer.mask.pruned_at_epoch.numpy()
    assert trainer.learner.visit_statistics.visits().counts.tolist() == np.where(went == 0, 3, went).tolist()


def test_the_file_holds_what_was_found(config: RunConfig, problem: Problem) -> None:
    trainer = run(config.replace(prune=False), problem)
    found, values = signal_file(trainer), json.loads(trainer.run.signal.read_text())
    assert found.images == NUM_SOURCE == sum(map(sum, found.histogram.groups.values()))
    assert found.histogram.groups.keys() == {"useful", "others"}
    assert sum(found.histogram.noise) == pytest.approx(NUM_SOURCE)
    assert found.visits == 3
    assert found.pairs == 3 * 4 - 1, "four steps an epoch"
    assert math.isfinite(found.d_prime)
    assert values["naive"] == list(found.naive)
    assert json.loads(found.json()) == values
    assert f"{found.signal_to_noise:.3f}" in summary(found)


def test_what_is_shared_is_not_forecast(config: RunConfig, problem: Problem) -> None:
    found = signal_file(run(config.replace(shared_derivatives=True), problem))
    assert found.has_enough
    assert found.forecast.epochs is None
    assert "not known with shared_derivatives" in summary(found)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"schedule": "cosine"}, "not known with schedule cosine, whose learning rate has come down to 0"),
        (
            {"weighter": "counts", "target_margin": 0.1, "meta_loss": "pretext", "budget_unit": "images"},
            "not known with target_margin, as no visit is judged by itself",
        ),
    ],
)
def test_what_does_not_go_on_as_it_was_is_not_forecast(
    config: RunConfig, problem: Problem, options: dict[str, Any], why: str
) -> None:
    found = signal_file(run(config.replace(prune=False, **options), problem))
    assert found.has_enough
    assert found.epochs_per_visit == 1
    assert (found.forecast.epochs, found.forecast.why) == (None, why)


def test_what_steps_share_is_unknown_where_an_epoch_is_one_step(config: RunConfig, problem: Problem) -> None:
    found = signal_file(run(config.replace(batch_size=NUM_SOURCE, prune=False), problem))
    assert found.has_enough
    assert math.isnan(found.common_share)


def test_epochs_are_at_the_pace_of_the_last(config: RunConfig, problem: Problem) -> None:
    """A time budget may have it learn in fewer steps than the config says, and the end of `learn_share` in none."""
    trainer = run(config.replace(prune=False), problem)
    assert signal_file(trainer).epochs_per_visit == 1
    evidence, settings = trainer.learner.visit_statistics, trainer.config
    assert evidence is not None
    found = diagnosed(trainer.learner, evidence, trainer.mask, settings, problem, meta_every=2)
    assert found.epochs_per_visit == 2, "two of four steps"


def test_weights_that_learn_no_more_are_not_forecast(config: RunConfig, problem: Problem) -> None:
    options = {"cdf_threshold": 0.5, "weight_lr": 1000.0, "learn_share": 0.5, "min_kept": 40, "epochs": 6}
    trainer = run(config.replace(**options), problem)
    assert [report.meta_every for report in trainer.history][::5] == [1, 0]
    found = signal_file(trainer)
    assert (found.forecast.epochs, found.forecast.why) == (None, "never, since weights are no longer learnt")
    assert math.isnan(found.epochs_per_visit)
    assert math.isfinite(found.common_share), "of the last epoch that learnt"


def test_one_epoch_is_too_few(config: RunConfig, problem: Problem) -> None:
    found = signal_file(run(config.replace(epochs=1), problem))
    assert not found.has_enough
    assert "too few visits" in summary(found)
    assert found.forecast.epochs is None


def test_it_may_be_switched_on_and_off_when_resuming(config: RunConfig, problem: Problem) -> None:
    first = config.replace(diagnose_signal=False, epochs=2, prune=False)
    run(first, problem)
    on = run(first.replace(diagnose_signal=True, epochs=4, resume=True), problem)
    assert signal_file(on).visits == 2, "of the epochs that were diagnosed"
    off = run(first.replace(epochs=5, resume=True), problem)
    assert not off.run.signal.exists(), "it says nothing about this longer run"


@pytest.mark.parametrize("weighter", ["uniform", "nearest-neighbour", "oracle"])
def test_weights_that_do_not_learn_have_no_signal(config: RunConfig, problem: Problem, weighter: str) -> None:
    with pytest.raises(InputError, match=f"diagnose_signal: weighter '{weighter}' learns nothing .*allowed: "):
        next(iterate(config.replace(weighter=weighter), problem=problem))
