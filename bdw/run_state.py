"""What a checkpoint holds of a run, and how a run continues from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bdw import checkpoint, collectives
from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.measurements import EpochReport
from bdw.run_directory import differences

if TYPE_CHECKING:
    from bdw.trainer import Trainer


def capture(trainer: Trainer) -> dict[str, Any]:
    """All state between two epochs (tensors, numbers, strings and containers of them); called on every worker."""
    return {
        "config": trainer.config.flat(),
        "source": trainer.problem.source.content_key,
        "target": trainer.problem.target.key,
        "model": trainer.learner.model.state_dict(),
        "optimiser": trainer.learner.optimiser.state_dict(),
        "weighter": trainer.learner.weighter.state_dict(),
        "mask": trainer.mask.state_dict(),
        "randomness": collectives.gather_objects(trainer.learner.randomness.state_dict()),
        "history": [report.row() for report in trainer.history],
        "best_score": trainer.best_score,
        "best_model": trainer.best_model,
    }


def restore(trainer: Trainer, path: Path) -> None:
    """Continue from that checkpoint: bit for bit on as many workers, correctly on another number.

    Raises `InputError` if it is damaged, or of another config, source or target; names what differs.
    """
    state = checkpoint.load(path)
    _check(state, trainer, path)
    learner = trainer.learner
    learner.model.load_state_dict(state["model"], strict=True)
    learner.optimiser.load_state_dict(state["optimiser"])
    learner.weighter.load_state_dict(state["weighter"])
    trainer.mask.load_state_dict(state["mask"])
    if len(state["randomness"]) == collectives.size():
        learner.randomness.load_state_dict(state["randomness"][collectives.rank()])
    else:
        learner.randomness.continue_as_another_worker(state["randomness"][0], state["epoch"])
    trainer.history = [EpochReport.from_row(row) for row in state["history"]]
    trainer.best_score = state["best_score"]
    trainer.best_model = state["best_model"]


def _check(state: dict[str, Any], trainer: Trainer, path: Path) -> None:
    config: RunConfig = trainer.config
    different = differences(state["config"], config.flat())
    if different:
        raise InputError(f"checkpoint {path} is of another run, --resume cannot continue it: {'; '.join(different)}")
    keys = {"source": trainer.problem.source.content_key, "target": trainer.problem.target.key}
    for name, key in keys.items():
        if state[name] != key:
            raise InputError(
                f"{name}: checkpoint {path} was trained on other images (content key {state[name]}, now {key}); "
                f"allowed: the same {name}"
            )
    if len(state["history"]) > config.optimiser.epochs:
        raise InputError(f"epochs: {config.optimiser.epochs} is less than the {len(state['history'])} already trained")
