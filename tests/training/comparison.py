"""Runs to their end, and whether two of them ended in the same place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.errors import RunStopped
from bdw.parallel.stop_requests import Notice
from bdw.runs.metrics import TIMED
from bdw.training.trainer import Trainer


def run_to_end(config: RunConfig, problem: Problem) -> Trainer:
    trainer = Trainer(config, problem=problem)
    list(trainer.epochs())
    return trainer


def run_in_pieces(config: RunConfig, problem: Problem) -> tuple[Trainer, list[str]]:
    """A run of a config that resumes, stopped after every other step and begun again, and the places where it was."""
    stops: list[str] = []
    while True:
        notices = iter([None, Notice("gone", stop=True)])
        trainer = Trainer(config, problem=problem, notice_board=lambda notices=notices: next(notices, None))
        try:
            list(trainer.epochs())
            return trainer, stops
        except RunStopped as stopped:
            stops.append(stopped.checkpoint)


def parameters_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(trainer.learner.model.state_dict())


def assert_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if not _same(found[name], expected[name])] == []


def assert_same_end(one: Trainer, other: Trainer) -> None:
    """Every part of their states, bit for bit, but for what a clock said."""
    first, second = one.state.state_dict(), other.state.state_dict()
    for state in (first, second):
        del state["wall_seconds"]
        state["history"] = [{k: v for k, v in row.items() if k not in TIMED} for row in state["history"]]
    assert first["history"], "nothing was trained"
    assert_equal(first, second)


def _same(one: Any, other: Any) -> bool:
    """NaN is the same as NaN."""
    if isinstance(one, Tensor):
        return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (one != one and other != other)
