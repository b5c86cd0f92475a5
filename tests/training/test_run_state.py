"""What a checkpoint holds, part by part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bdw.config import RunConfig
from bdw.data import Problem
from bdw.diagnostics.visit_statistics import VisitStatistics
from bdw.runs import checkpoint
from bdw.storage.stateful import restore, state_of, untouched
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.natural_gradient import NaturalDirection
from bdw.weighting.gradient.target_gradient import TargetGradient

OF_EVERY_RUN = {
    "keep_mask", "history", "progress", "meta_schedule", "best", "wall_seconds", "model", "optimiser", "weighter",
    "target_gradient", "randomness",
}  # fmt: skip


class _Counter:
    def __init__(self, count: int = 0):
        self.count = [count]

    def state_dict(self) -> list[int]:
        return self.count

    def load_state_dict(self, state: list[int]) -> None:
        self.count = list(state)


def test_a_state_is_put_back_by_name() -> None:
    saved = state_of({"one": _Counter(1), "gone": _Counter(2)})
    one, younger = _Counter(), _Counter(7)
    restore({"one": one, "younger": younger}, saved)
    assert (one.count, younger.count) == ([1], [7]), "what a state does not know begins anew"


def test_what_a_trial_does_is_forgotten() -> None:
    counter = _Counter(1)
    with untouched({"counter": counter}):
        counter.count[0] += 1  # The state that was taken before must not see it.
    assert counter.count == [1]


def test_a_checkpoint_holds_every_part_of_the_run(config: RunConfig, problem: Problem) -> None:
    options = {"weighter": "counts", "meta_loss": "pretext", "direction_parameters": "head", "epochs": 1}
    chosen = {
        "natural_gradient": {"natural_direction": True},
        "smoothing": {"shared_derivatives": True},
        "verdicts": {"target_margin": 0.5},
        "visit_statistics": {"diagnose_signal": True},
    }
    for name, option in [("plain", {}), *chosen.items()]:
        run_dir = Path(f"{config.output.run_dir}-{name}")
        trainer = Trainer(config.replace(**options, **option, run_dir=str(run_dir)), problem=problem)
        list(trainer.epochs())
        path = checkpoint.last(run_dir / "checkpoints")
        assert path is not None
        found = checkpoint.load(path).keys() - {"version", "config", "source", "target"}
        assert found == trainer.state.parts.keys() == OF_EVERY_RUN | ({name} if option else set())


@pytest.mark.parametrize(
    ("build", "tell", "moved"),
    [
        (lambda d: TargetGradient(0.9, device=d), lambda part, v: part.follow({"v": v}), "_mean"),
        (lambda d: NaturalDirection(d), lambda part, v: part.derivatives(v.unsqueeze(0), v), "_squares"),
        (lambda d: VisitStatistics(3, d), lambda part, v: part.add_direction({"v": v}), "_direction"),
    ],
    ids=["target gradient", "natural gradient", "visit statistics"],
)
def test_a_state_from_the_disk_lands_where_the_run_computes(
    build: Callable[[torch.device | None], Any], tell: Callable[[Any, torch.Tensor], object], moved: str
) -> None:
    told, resumed = build(None), build(torch.device("meta"))
    tell(told, torch.ones(4))
    resumed.load_state_dict(told.state_dict())
    found = getattr(resumed, moved)
    assert (found["v"] if isinstance(found, dict) else found).device.type == "meta"
