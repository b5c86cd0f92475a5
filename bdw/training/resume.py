"""What a checkpoint holds of a run, and how a run continues from it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bdw.config import RunConfig
from bdw.config.budget import Budget
from bdw.config.identity import depends_on_length, differences
from bdw.data import Problem
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.runs import checkpoint
from bdw.storage.retry import persistently
from bdw.training.progress import used_up
from bdw.training.run_state import RunState

logger = logging.getLogger(__name__)


def contents(state: RunState, config: RunConfig, problem: Problem) -> dict[str, Any]:
    """What a checkpoint of this moment, between two steps, holds; called on every worker."""
    return {
        "config": config.flat(),
        "source": problem.source.content_key,
        "target": problem.target_key,
        **state.state_dict(),
    }


def restore(state: RunState, saved: dict[str, Any], name: str, config: RunConfig, problem: Problem) -> None:
    """Continue from a checkpoint's contents: bit for bit on as many workers, correctly on another number.

    Raises `InputError` if it is of another config, source or target; names what differs, and the checkpoint by `name`.
    """
    _check(saved, name, config, problem)
    _check_length(saved, config, state.budget)
    state.load_state_dict(saved)


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


def _check(saved: dict[str, Any], name: str, config: RunConfig, problem: Problem) -> None:
    different = differences(saved["config"], config.flat())
    if different:
        raise InputError(f"checkpoint {name} is of another run, --resume cannot continue it: {'; '.join(different)}")
    keys = {"source": problem.source.content_key, "target": problem.target_key}
    for images, key in keys.items():
        if saved[images] != key:
            raise InputError(
                f"{images}: checkpoint {name} was trained on other images (content key {saved[images]}, now {key}); "
                f"allowed: the same {images}"
            )


def _check_length(saved: dict[str, Any], config: RunConfig, budget: Budget) -> None:
    """`InputError` for a budget that the run has used up, or that its steps so far were not made for."""
    was = Budget.of(RunConfig.from_earlier(saved["config"]).budget, budget.pool)
    dependent = depends_on_length(config)
    if dependent and (was.passes, was.images is None) != (budget.passes, budget.images is None):
        raise InputError(
            f"budget_images, epochs: the budget was {was.passes:g} passes over the source and is {budget.passes:g}, "
            f"but what was done so far depends on it ({', '.join(dependent)}); allowed: the same budget, or a new run"
        )
    # Weights and model of an epoch that was begun are no longer those of the one before.
    trained, begun = len(saved["history"]), saved["progress"] is not None
    if budget.images is not None:
        seen = saved["history"][-1]["instances_seen"] if trained else 0
        if seen >= budget.images + config.optimiser.batch_size:
            raise used_up(budget, seen)
    elif trained + begun > config.budget.epochs:
        raise InputError(
            f"epochs: {config.budget.epochs} is less than the {trained} already trained"
            f"{' and the one already begun' if begun else ''}"
        )
