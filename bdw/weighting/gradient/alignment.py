"""How far the instances' gradients agree with the target's: from the target batch to what weights learn from."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bdw.encoders import constant, recomputed_stem, source_statistics, untouched_statistics
from bdw.parallel import collectives
from bdw.parallel.randomness import Randomness
from bdw.storage.stateful import Stateful
from bdw.weighting.gradient.estimators import GradientEstimator, NaturalHead
from bdw.weighting.gradient.target_gradient import Direction, TargetGradient
from bdw.weighting.gradient.transforms import Observer, Transform, Visit
from bdw.weighting.learning import LearnsByVerdict, LearnsByVisit, Receiver
from bdw.weighting.meta_loss import MetaLoss
from bdw.weighting.verdicts import Verdicts
from bdw.weighting.verdicts_by_task import VerdictsByTask

if TYPE_CHECKING:
    from bdw.diagnostics.visit_statistics import VisitStatistics


@dataclass(frozen=True)
class Alignment:
    """The target's question and the instances' answers; one for a run whose weights learn."""

    meta_loss: MetaLoss
    estimator: GradientEstimator
    target_gradient: TargetGradient = field(default_factory=TargetGradient)
    """v, or its running mean."""
    transforms: Sequence[Transform] = ()
    """Applied in this order."""
    receiver: Receiver = field(default_factory=LearnsByVisit)
    """Who learns from the derivatives."""
    uses_source_statistics: bool = False
    """Normalise target images by the running statistics of source batches."""

    def ask_target(self, randomness: Randomness) -> tuple[Direction, Tensor | None]:
        """v = grad L_meta at the parameters of this moment, averaged over the workers, and this worker's own meta-loss.

        With a momentum of `target_gradient` v is a running mean over the steps that asked for it. A step that does not
        ask gets what the last one compared with, and no meta-loss. Parameters that the meta-loss does not depend on
        (the pretext head, under prototypes) are left out of v.
        """
        if not self.target_gradient.asks:
            return self.target_gradient.again(), None
        model, parameters = self.estimator.model, self.estimator.compared
        batch = self.meta_loss.draw(randomness)
        with contextlib.ExitStack() as stack:
            if self._has_statistics and self.uses_source_statistics:
                stack.enter_context(source_statistics(model))
            elif self._has_statistics:
                stack.enter_context(untouched_statistics(model))
                stack.enter_context(recomputed_stem(model))
            if self.estimator.head_alone:
                stack.enter_context(constant(model.encoder))
            loss = self.meta_loss(model, batch)
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        direction = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
        collectives.mean_in_place(list(direction.values()))
        if self.visit_statistics is not None:
            self.visit_statistics.add_direction(direction)
        return self.target_gradient.follow(direction), loss.detach()

    def transformed(self, derivatives: Tensor, visit: Visit) -> Tensor:
        """What weights learn from (m,)."""
        for transform in self.transforms:
            derivatives = transform(derivatives, visit)
        return derivatives

    @property
    def verdicts(self) -> Verdicts | VerdictsByTask | None:
        """What judges all images once an epoch, where the weighter learns from that."""
        return self.receiver.verdicts if isinstance(self.receiver, LearnsByVerdict) else None

    @property
    def visit_statistics(self) -> VisitStatistics | None:
        """What single visits say, where somebody observes them."""
        return next((each.statistics for each in self.transforms if isinstance(each, Observer)), None)

    def unobserved(self) -> Alignment:
        """The same, with nobody who observes visits."""
        return dataclasses.replace(self, transforms=[t for t in self.transforms if not isinstance(t, Observer)])

    def parts(self) -> dict[str, Stateful]:
        """All that has a state, by name."""
        found: dict[str, Any] = {"target_gradient": self.target_gradient}
        if self.verdicts is not None:
            found["verdicts"] = self.verdicts
        if isinstance(self.estimator, NaturalHead):
            found["natural_gradient"] = self.estimator.natural
        for transform in self.transforms:
            part = transform.statistics if isinstance(transform, Observer) else transform
            if hasattr(part, "state_dict"):
                found[transform.name] = part
        return found

    @functools.cached_property
    def _has_statistics(self) -> bool:
        """Whether target batches could move running statistics; a walk through the modules costs a small model time."""
        return any(True for _ in self.estimator.model.buffers())
