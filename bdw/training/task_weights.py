"""Weights of several pretext tasks in one run: which tasks have them, and what they cannot be combined with."""

from __future__ import annotations

from typing import NoReturn

import torch

from bdw import encoders, pretext
from bdw.config import RunConfig
from bdw.errors import InputError
from bdw.weighting import registry as weighters
from bdw.weighting.weighters.protocol import Learns

_OF_IMAGES = "image"


def tasks_with_weights(config: RunConfig) -> tuple[str, ...]:
    """Names of the tasks that have weights of their own; none where weights are those of images, or are not learnt.

    Fixed weights leave every option of learning aside, so that a run is compared with them by one option alone.
    """
    if config.weighter.weights_per == _OF_IMAGES or weighters.learns(config.weighter) is Learns.NEVER:
        return ()
    return pretext.task_class(config.pretext.pretext, config.pretext.options).task_names


def check_task_weights(config: RunConfig) -> None:
    """`InputError` for what weights of tasks cannot work with, whatever the images are."""
    wanted = config.weighter.weights_per
    if wanted == _OF_IMAGES or weighters.learns(config.weighter) is Learns.NEVER:
        return
    task = pretext.task_class(config.pretext.pretext, config.pretext.options)
    if len(task.task_names) < 2:
        why = f"pretext {config.pretext.pretext!r} of one task"
        _refuse("weights_per", wanted, why, "'image', or pretext 'multitask' with several pretext.tasks")
    gradient, why = config.gradient, f"weights_per {wanted!r}"
    if gradient.natural_direction:
        _refuse("natural_direction", True, f"{why}, as the heads are several", "false")
    if config.output.diagnose_signal:
        _refuse("diagnose_signal", True, f"{why}: it is about weights of images", "false")
    if config.output.record_trajectory:
        _refuse("record_trajectory", True, f"{why}: a replay is about weights of images", "false")
    if config.weighter.prune and wanted == "image_and_task":
        _check_pruning_by_task(config, task)


def _check_pruning_by_task(config: RunConfig, task: type[pretext.PretextTask]) -> None:
    accumulate = config.optimiser.accumulate
    if accumulate > 1:
        why = f"weights_per {config.weighter.weights_per!r}, as the images of a step have different views"
        _refuse("accumulate", accumulate, why, "1, or --no-prune")
    one_view = [name for name, each in task.classes.items() if each.num_views == 1]  # type: ignore[attr-defined]
    if one_view and not _works_on_one_row(config):
        why = (
            f"weights_per {config.weighter.weights_per!r}: pruning may leave one image of a step to task "
            f"{one_view[0]!r}, and batch norm of encoder {config.encoder.encoder!r} needs two"
        )
        _refuse("prune", True, why, "false, or norm 'group' where the encoder has it")


def _works_on_one_row(config: RunConfig) -> bool:
    with torch.device("meta"):
        encoder = encoders.build(config.encoder.encoder, 3, config.data.crop_size, config.encoder.norm).train()
        try:
            encoder(torch.empty(1, *encoder.image_shape))
        except ValueError:  # torch's, where a channel has but one value
            return False
    return True


def _refuse(field: str, value: object, why: str, allowed: str) -> NoReturn:
    raise InputError(f"{field}: {value!r} cannot work with {why}; allowed: {allowed}")
