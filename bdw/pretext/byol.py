"""BYOL (Grill et al., "Bootstrap your own latent: a new approach to self-supervised learning", NeurIPS 2020): what does
a teacher, the encoder's moving average, make of another view of the image?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.byol import BYOLOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Outputs, Views
from bdw.pretext.projector import projector
from bdw.pretext.teacher import Teacher, cosine_momentum
from bdw.pretext.two_views import TwoViews


class BYOL(TwoViews):
    """Squared distance of a view's prediction from the teacher's projection of the other view (eq. 2), summed over the
    instance's two views.

    The head is a projector and a predictor with one hidden layer each; the teacher has no predictor. There are no
    negatives: instances meet in batch norm alone.
    """

    Options = BYOLOptions

    def __init__(self, encoder: Encoder, options: BYOLOptions | None = None):
        super().__init__(encoder, options)
        first, _ = self.augmentations
        second = dataclasses.replace(first, blur=self.options.second_blur, solarise=self.options.second_solarise)
        self.augmentations = (first, second)
        hidden, size, batch_norm = self.options.hidden_dim, self.options.projection_dim, self.options.batch_norm
        self.projector = projector((encoder.feature_dim, hidden, size), batch_norm=batch_norm)
        self.predictor = projector((size, hidden, size), batch_norm=batch_norm)
        self.teacher = Teacher(encoder, self.projector)

    def begin(self, encoder: nn.Module) -> None:
        """The teacher starts as the encoder and the projector are."""
        self.teacher.begin_as(encoder, self.projector)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: predictions (k, 2, d) of length 1. Given: the teacher's projections (k, 2, d) of length 1. No hits."""
        (seen,) = views.inputs
        features = encoder(seen)
        predictions = functional.normalize(self.predictor(self.projector(features)), dim=1)
        taught = functional.normalize(self.teacher(seen), dim=1)
        return Outputs((predictions.unflatten(0, (-1, 2)),), (taught.unflatten(0, (-1, 2)),), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) 0 to 8: the sum of the two squared distances between vectors of length 1."""
        (predictions,), (taught,) = outputs.z, outputs.given
        return 4 - 2 * cosines_with_the_other_view(predictions, taught)

    def after_step(self, encoder: nn.Module, outputs: Outputs, progress: float) -> None:
        """The teacher follows, more slowly the more of the budget is used."""
        del outputs
        momentum = cosine_momentum(self.options.teacher_momentum, progress)
        self.teacher.follow(encoder, self.projector, momentum=momentum)


def cosines_with_the_other_view(predictions: Tensor, aims: Tensor) -> Tensor:
    """(k,) sum over the two views of the cosine of the view's prediction and the other view's aim; both (k, 2, d) of
    length 1."""
    cosines: Tensor = torch.linalg.vecdot(predictions, aims.flip(1)).sum(dim=1)
    return cosines
