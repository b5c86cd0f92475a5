"""VICReg (Bardes, Ponce and LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised
learning", ICLR 2022): embeddings of two views are alike, vary over the images, and their numbers do not covary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.vicreg import VICRegOptions
from bdw.encoders import Encoder
from bdw.pretext.base import BatchLoss, Outputs, Views
from bdw.pretext.gather import gathered
from bdw.pretext.product_norm import squared_norm_of_product
from bdw.pretext.projector import projector
from bdw.pretext.two_views import TwoViews
from bdw.pretext.weighted_batch import weighted_batch_loss, weighted_moments

EPSILON = 1e-4
"""Added to variances (section 4.1)."""


class VICReg(TwoViews):
    """Invariance, variance and covariance of the two views' embeddings, over all workers (eq. 1 to 6).

    As in the authors' code, whose weights these are, the invariance is the mean over the d numbers (eq. 5 has the sum),
    and the variance term the mean over the two views (eq. 6 has the sum):

        f = invariance mean_d s_d + variance mean_d (h_d + h'_d) / 2 + covariance (c + c'),

    with s_d the mean squared difference of the two views, h_d = max(0, 1 - sqrt(var_d + 0.0001)), and c the sum of
    the squared covariances of different numbers, over d. Means, variances and covariances are sums over the instances,
    in which each counts by its share of the batch's weight, times k / (k - 1) where the paper has k - 1;
    L = mean(w) f (`weighted_batch_loss`). The head is a projector with two hidden layers.
    """

    Options = VICRegOptions
    instances_interact = True
    loss_is_mean = False

    def __init__(self, encoder: Encoder, options: VICRegOptions | None = None):
        super().__init__(encoder, options)
        both = dataclasses.replace(self.augmentations[0], solarise=self.options.solarise)
        self.augmentations = (both, both)
        hidden = self.options.hidden_dim
        widths = (encoder.feature_dim, hidden, hidden, self.options.projection_dim)
        self.projector = projector(widths, batch_norm=self.options.batch_norm)

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: embeddings (k, 2, d). No hits."""
        features = encoder(views.inputs[0])
        embeddings = self.projector(features).unflatten(0, (-1, 2))
        return Outputs((embeddings,), (), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) parts of f, of which f is the mean: the instance's own invariance, and the batch's other two terms."""
        embeddings, begins = gathered(outputs.z[0])
        return self._losses(embeddings, slice(begins, begins + len(outputs.z[0])))

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        """L(Z, w), and the unweighted losses."""
        embeddings, begins = gathered(outputs.z[0])
        everyones, _ = gathered(weights.to(embeddings))
        own = self._invariances(embeddings)
        total = weighted_batch_loss(lambda shares: shares @ own + self._of_batch(embeddings, shares), everyones)
        with torch.no_grad():
            losses = self._losses(embeddings.detach(), slice(begins, begins + len(outputs.z[0])))
        return BatchLoss(total, losses)

    def _losses(self, embeddings: Tensor, mine: slice) -> Tensor:
        equal = embeddings.new_full((len(embeddings),), 1 / len(embeddings))
        losses: Tensor = self._invariances(embeddings[mine]) + self._of_batch(embeddings, equal)
        return losses

    def _invariances(self, embeddings: Tensor) -> Tensor:
        first, second = embeddings.unbind(dim=1)
        weighted: Tensor = self.options.invariance * (first - second).square().mean(dim=1)
        return weighted

    def _of_batch(self, embeddings: Tensor, shares: Tensor) -> Tensor:
        """The variance and the covariance term, a scalar."""
        unbiased = len(embeddings) / max(len(embeddings) - 1, 1)
        terms = []
        for view in embeddings.unbind(dim=1):
            centred, variances = weighted_moments(view, shares)
            variances = unbiased * variances
            all_covariances = unbiased**2 * squared_norm_of_product(shares[:, None] * centred, centred)
            others = all_covariances - variances.square().sum()
            lacking = functional.relu(1 - (variances + EPSILON).sqrt()).mean() / 2
            terms.append(self.options.variance * lacking + self.options.covariance * others / view.shape[1])
        total: Tensor = terms[0] + terms[1]
        return total
