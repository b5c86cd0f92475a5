"""What batch norm normalises by and moves in passes that are no training step; and passes without gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def untouched_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the batch's own statistics, as in training, but leave all running statistics as they are.

    Target batches and tangent passes must not move them (docs/design.md, section 2); without
    `track_running_stats` batch norm neither reads nor writes its buffers.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def source_statistics(model: nn.Module) -> Iterator[None]:
    """Within, batch norm normalises by its running statistics, those of the source's batches, and leaves them alone."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._NormBase)]
    training = [norm.training for norm in norms]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm, was_training in zip(norms, training, strict=True):
            norm.train(was_training)


@contextmanager
def constant(model: nn.Module) -> Iterator[None]:
    """Within, no gradient goes into the model's parameters, so that a forward pass keeps nothing for one."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
