"""Several targets that one encoder is trained for: what each of them answers moves its own column of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bdw.weighting.asked_target import AskedTarget
from bdw.weighting.weighters.protocol import WeightSample


class Answers:
    """Stands for the weighter while one target learns: keeps dL_c/dw (k,), so that all columns move together."""

    def __init__(self) -> None:
        self._gradients: list[Tensor] = []

    def update(self, sample: WeightSample, gradient: Tensor) -> None:
        """Keep the gradient."""
        del sample
        self._gradients.append(gradient)

    def take(self) -> Tensor | None:
        """The gradient since the last time; None where verdicts learn, once an epoch, instead."""
        taken, self._gradients = self._gradients, []
        return taken[0] if taken else None


@dataclass(frozen=True)
class TargetColumn(AskedTarget):
    """One target of several."""

    answers: Answers = field(default_factory=Answers)


def together(answers: Sequence[Tensor | None]) -> Tensor | None:
    """(k, c) of all columns; None where there are none."""
    known = [each for each in answers if each is not None]
    return torch.stack(known, dim=1) if known else None
