"""Runs to their end, and whether two of them ended in the same place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.runs.metrics import TIMED
from bdw.training.trainer import Trainer


def run_to_end(config: RunConfig, problem: Problem) -> Trainer:
    trainer = Trainer(config, problem=problem)
    list(trainer.epochs())
    return trainer


def parameters_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(trainer.learner.model.state_dict())


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def assert_same_end(one: Trainer, other: Trainer) -> None:
    assert_equal(parameters_of(one), parameters_of(other))
    assert_equal(one.learner.weighter.state_dict(), other.learner.weighter.state_dict())
    assert_equal(one.mask.state_dict(), other.mask.state_dict())
    assert_equal(one.learner.randomness.state_dict(), other.learner.randomness.state_dict())
    for first, second in zip(one.history, other.history, strict=True):
        rows = [{k: v for k, v in report.row().items() if k not in TIMED} for report in (first, second)]
        assert rows[0] == pytest.approx(rows[1], rel=0, abs=0, nan_ok=True)
