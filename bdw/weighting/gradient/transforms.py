"""What becomes of the derivatives before weights learn from them: named transforms, applied in the order of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from bdw.parallel import collectives

if TYPE_CHECKING:
    from bdw.diagnostics.visit_statistics import VisitStatistics

_KNOWN = "checked with the config: losses and features are known where weights learn after the update"


class Visit(NamedTuple):
    """This worker's part of a step, as far as transforms look at it."""

    indices: Tensor
    """(m,) global indices of the instances, on the CPU."""
    images: Tensor
    """(m, c, s, s) one crop of each."""
    instances: int
    """k: instances of the step over all workers."""
    losses: Tensor | None = None
    """(m,) unweighted losses, or (m, tasks) where every task has weights of its own; none before the update."""
    features: Tensor | None = None
    """(m * views, d) the encoder's features of the views; none before the update."""
    descriptions: tuple[Tensor, Tensor] | None = None
    """What verdicts describe the images by (`bdw.weighting.learning.descriptions_of`), where it is known already."""
    kept: Tensor | None = None
    """(m, tasks) bool on the CPU, for which tasks an instance had views; None where it had them for all."""

    def known_losses(self) -> Tensor:
        """Of a visit after the update."""
        assert self.losses is not None, _KNOWN
        return self.losses

    def mean_features(self) -> Tensor:
        """(m, d) means over the views, of a visit after the update."""
        assert self.features is not None, _KNOWN
        of_each: Tensor = self.features.unflatten(0, (len(self.images), -1))
        return of_each.mean(dim=1)


class Transform(Protocol):
    """Derivatives (m,) to derivatives (m,). Every worker calls it. One with a state has a `state_dict`."""

    @property
    def name(self) -> str:
        """Under which its state is kept."""

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """The derivatives of that visit, transformed."""


class LogLoss:
    """Derivatives of the losses' logarithms: images learnt already have small gradients, whatever they are worth."""

    name = "log_loss"

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """Each divided by its own loss."""
        losses = visit.known_losses()
        relative: Tensor = derivatives / losses.clamp(min=torch.finfo(losses.dtype).tiny)
        return relative


class Centring:
    """Derivatives less their mean over the batch: what moves all weights alike tells no image from another."""

    name = "centring"

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """The mean is that of the step's k instances."""
        return derivatives - collectives.total(derivatives.sum()) / visit.instances


@dataclass(frozen=True)
class Observer:
    """Lets the visit statistics see the derivatives, which stay what they are.

    It stands before `Smoothing`: predictions for one image are no independent visits, and agree with one another where
    there is no signal at all.
    """

    statistics: VisitStatistics
    name: str = "visit_statistics"

    def __call__(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """The same derivatives."""
        self.statistics.add(visit.indices, derivatives, visit.instances)
        return derivatives
