"""The multi-layer perceptron between an encoder's features and what a loss compares."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import nn


def projector(
    widths: Sequence[int],
    *,
    batch_norm: bool,
    normalised_output: bool = False,
    activation: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """Linear layers from `widths[0]` to `widths[-1]` numbers, with an activation between them; input (n, widths[0]).

    Args:
        widths: at least two; those between are the hidden layers.
        batch_norm: batch norm before every activation. Each worker normalises by its own part of the batch.
        normalised_output: batch norm without parameters after the last layer, too.
        activation: makes the module between two layers; none for ReLU.

    A linear layer has no bias where batch norm follows it. Parameters are drawn from torch's global generator.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        is_last = number == last
        is_normalised = normalised_output if is_last else batch_norm
        layers.append(nn.Linear(before, after, bias=not is_normalised))
        if is_normalised:
            layers.append(nn.BatchNorm1d(after, affine=not is_last))
        if not is_last:
            layers.append(nn.ReLU(inplace=True) if activation is None else activation())
    return nn.Sequential(*layers)
