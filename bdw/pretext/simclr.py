"""SimCLR (Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual representations",
ICML 2020): which of all the views in the batch is another view of the same image?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.simclr import SimCLROptions
from bdw.encoders import Encoder
from bdw.pretext.base import Outputs, Views
from bdw.pretext.gather import gathered
from bdw.pretext.projector import projector
from bdw.pretext.two_views import TwoViews


class SimCLR(TwoViews):
    """NT-Xent (eq. 1) of two augmented views per instance, averaged over the instance's two views.

    The head is a projector with one hidden layer; Z are the projections. The negatives of a view are all views of all
    other instances of the step, over all workers, whatever their weights.
    """

    Options = SimCLROptions
    instances_interact = True

    def __init__(self, encoder: Encoder, options: SimCLROptions | None = None):
        super().__init__(encoder, options)
        hidden = self.options.hidden_dim or encoder.feature_dim
        widths = (encoder.feature_dim, hidden, self.options.projection_dim)
        self.projector = projector(widths, batch_norm=self.options.batch_norm)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: projections (k, 2, d) of length 1. No hits."""
        features = encoder(views.inputs[0])
        projections = functional.normalize(self.projector(features), dim=1).unflatten(0, (-1, 2))
        return Outputs((projections,), (), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean over the two views of -log of the softmax over all other views, at the instance's other view."""
        return nt_xent(outputs.z[0], self.options.temperature).mean(dim=1)


def nt_xent(projections: Tensor, temperature: float) -> Tensor:
    """Losses (k, 2) of both views of each instance, from projections (k, 2, d) of length 1; Chen et al. 2020, eq. 1.

    Every worker calls it; the views of all workers are compared with.
    """
    everyones, begins = gathered(projections)
    own = torch.arange(2 * begins, 2 * (begins + len(projections)), device=projections.device)
    cosines = projections.flatten(0, 1) @ everyones.flatten(0, 1).T
    is_self = torch.arange(2 * len(everyones), device=own.device) == own.unsqueeze(1)
    logits = (cosines / temperature).masked_fill(is_self, -torch.inf)
    partners = own + 1 - 2 * (own % 2)
    return functional.cross_entropy(logits, partners, reduction="none").view(-1, 2)
