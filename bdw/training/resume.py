"""What a checkpoint holds of a run, and how a run continues from it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bdw.config import RunConfig
from bdw.config.budget import Budget, depends_on_length
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.runs import checkpoint
from bdw.runs.directory import differences
from bdw.runs.metrics import EpochReport
from bdw.storage.retry import persistently
from bdw.training.epoch import EpochProgress

if TYPE_CHECKING:
    from bdw.training.trainer import Trainer

logger = logging.getLogger(__name__)


def capture(trainer: Trainer) -> dict[str, Any]:
    """All state between two steps (tensors, numbers, strings and containers of them); called on every worker."""
    return {
        "config": trainer.config.flat(),
        "source": trainer.problem.source.content_key,
        "target": trainer.problem.target.key,
        "model": trainer.learner.model.state_dict(),
        "optimiser": trainer.learner.optimiser.state_dict(),
        "weighter": trainer.learner.weighter.state_dict(),
        "direction": trainer.learner.direction.state_dict(),
        "natural": natural.state_dict() if (natural := trainer.learner.natural) else None,
        "shared_derivatives": shared.state_dict() if (shared := trainer.learner.shared_derivatives) else None,
        "verdicts": verdicts.state_dict() if (verdicts := trainer.learner.verdicts) else None,
        "mask": trainer.mask.state_dict(),
        "evidence": None if trainer.learner.evidence is None else trainer.learner.evidence.state_dict(),
        "randomness": collectives.gather_objects(trainer.learner.randomness.state_dict()),
        "history": [report.row() for report in trainer.history],
        "progress": None if trainer.progress is None else trainer.progress.state_dict(),
        "pace": trainer.pace.state_dict(),
        "wall_seconds": trainer.wall_seconds(),
        "best_score": trainer.best_score,
        "best_model": trainer.best_model,
    }


def restore(trainer: Trainer, state: dict[str, Any], name: str) -> None:
    """Continue from that checkpoint's state: bit for bit on as many workers, correctly on another number.

    Raises `InputError` if it is of another config, source or target; names what differs, and the checkpoint by `name`.
    """
    _check(state, trainer, name)
    learner = trainer.learner
    learner.model.load_state_dict(state["model"], strict=True)
    learner.optimiser.load_state_dict(state["optimiser"])
    learner.weighter.load_state_dict(state["weighter"])
    learner.direction.load_state_dict(state["direction"], trainer.device)
    if learner.natural is not None:
        learner.natural.load_state_dict(state["natural"], trainer.device)
    if learner.shared_derivatives is not None:
        learner.shared_derivatives.load_state_dict(state["shared_derivatives"])
    if learner.verdicts is not None:
        learner.verdicts.load_state_dict(state["verdicts"])
    trainer.mask.load_state_dict(state["mask"])
    if learner.evidence is not None and state["evidence"] is not None:  # None where it was not measured so far.
        learner.evidence.load_state_dict(state["evidence"], trainer.device)
    if len(state["randomness"]) == collectives.size():
        learner.randomness.load_state_dict(state["randomness"][collectives.rank()])
    else:
        learner.randomness.continue_as_another_worker(state["randomness"][0], name)
    # Shares of the budget that the run has now, which may be a larger one than when the epochs ended.
    share = trainer.budget.share
    trainer.history = [
        EpochReport.from_row({**row, "budget_share": share(row["epoch"], row["instances_seen"])})
        for row in state["history"]
    ]
    if state["progress"] is not None:
        kept = trainer.mask.kept.nonzero().flatten()
        limit = trainer.budget.left(trainer.done[1])
        batch_size, steps = trainer.config.optimiser.batch_size, state["progress"]["steps"]
        progress = EpochProgress.resumed(state["progress"], kept, batch_size, limit)
        if steps > len(progress.batches):
            whole = EpochProgress.resumed(state["progress"], kept, batch_size)
            raise _used_up(trainer.budget, trainer.done[1] + whole.instances)
        trainer.progress = progress
    trainer.pace.load_state_dict(state["pace"])
    trainer.best_score = state["best_score"]
    trainer.best_model = state["best_model"]


def newest(folder: Path, *, patience: float) -> tuple[dict[str, Any], str] | None:
    """The state of the newest checkpoint in that folder on any worker's machine, and its name; None if there is none.

    Called on every worker. Machines need not share the folder: the one that is furthest tells the others. A damaged
    checkpoint is set aside, with a warning, for the one before it; a disk that fails is tried again for `patience`
    seconds. Raises `InputError`, on all workers, if all are damaged or one is of another version.
    """
    everyones = collectives.gather_objects(checkpoint.positions(folder))
    damaged = ""
    for position in sorted({position for theirs in everyones for position in theirs}, reverse=True):
        owner = next(rank for rank, theirs in enumerate(everyones) if position in theirs)
        path = folder / position.name
        state, why = collectives.computed_on(owner, lambda path=path: _loaded(path, patience))  # type: ignore[misc]
        if state is not None:
            if damaged and collectives.rank() == 0:
                logger.warning("%s; going on from %s", damaged, path.name)
            return state, path.name
        damaged = damaged or why
    if damaged:
        raise InputError(f"{damaged}, and there is no older one that can")
    return None


def _loaded(path: Path, patience: float) -> tuple[dict[str, Any] | None, str]:
    """The state, or why there is none; a damaged checkpoint is set aside."""
    try:
        state = persistently(lambda: checkpoint.load(path), what=f"reading the checkpoint {path}", seconds=patience)
    except checkpoint.DamagedError as error:
        checkpoint.set_aside(path)
        return None, f"{error}"
    return state, ""


def _check(state: dict[str, Any], trainer: Trainer, name: str) -> None:
    config: RunConfig = trainer.config
    different = differences(state["config"], config.flat())
    if different:
        raise InputError(f"checkpoint {name} is of another run, --resume cannot continue it: {'; '.join(different)}")
    keys = {"source": trainer.problem.source.content_key, "target": trainer.problem.target.key}
    for images, key in keys.items():
        if state[images] != key:
            raise InputError(
                f"{images}: checkpoint {name} was trained on other images (content key {state[images]}, now {key}); "
                f"allowed: the same {images}"
            )
    _check_length(state, trainer)


def _check_length(state: dict[str, Any], trainer: Trainer) -> None:
    """`InputError` for a budget that the run has used up, or that its steps so far were not made for."""
    config, budget = trainer.config, trainer.budget
    was = Budget.of(RunConfig.from_earlier(state["config"]).optimiser, budget.pool)
    dependent = depends_on_length(config)
    if dependent and (was.passes, was.images is None) != (budget.passes, budget.images is None):
        raise InputError(
            f"budget_images, epochs: the budget was {was.passes:g} passes over the source and is {budget.passes:g}, "
            f"but what was done so far depends on it ({', '.join(dependent)}); allowed: the same budget, or a new run"
        )
    # Weights and model of an epoch that was begun are no longer those of the one before.
    trained, begun = len(state["history"]), state["progress"] is not None
    if budget.images is not None:
        seen = state["history"][-1]["instances_seen"] if trained else 0
        if seen >= budget.images + config.optimiser.batch_size:
            raise _used_up(budget, seen)
    elif trained + begun > config.optimiser.epochs:
        raise InputError(
            f"epochs: {config.optimiser.epochs} is less than the {trained} already trained"
            f"{' and the one already begun' if begun else ''}"
        )


def _used_up(budget: Budget, seen: int) -> InputError:
    return InputError(f"budget_images: {budget.images:,} is less than the {seen:,} images already trained on")
