"""Several targets of one run: each asks the instances a question of its own, and its answers move its own column.

The estimator watches the training pass once for all targets. A further target costs its target batches and one more
product with every instance's gradient: next to nothing for the head alone, a tangent pass for the whole model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bdw.parallel.randomness import Randomness
from bdw.storage.stateful import Stateful
from bdw.weighting.gradient.alignment import Alignment
from bdw.weighting.weighters.protocol import WeightSample


@dataclass(frozen=True)
class TargetColumn:
    """One target of several."""

    target: str
    """Its name in the config."""
    alignment: Alignment
    randomness: Randomness
    """Draws of its own, so that what a target asks does not depend on which others there are."""
    answers: Answers = field(default_factory=lambda: Answers())

    @property
    def target_images(self) -> int:
        """Of a meta-batch on each worker."""
        return self.alignment.meta_loss.images_per_batch


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


def together(answers: Sequence[Tensor | None]) -> Tensor | None:
    """(k, c) of all columns; None where there are none."""
    known = [each for each in answers if each is not None]
    return torch.stack(known, dim=1) if known else None


def parts_of_columns(columns: Sequence[TargetColumn]) -> dict[str, Stateful]:
    """The parts of all that have a state and are the same on every worker, by `targets/<target>/<part>`."""
    found = {column.target: column.alignment.parts() for column in columns}
    return {f"targets/{target}/{name}": part for target, parts in found.items() for name, part in parts.items()}
