"""Barlow Twins (Zbontar, Jing, Misra, LeCun and Deny, "Barlow Twins: self-supervised learning via redundancy
reduction", ICML 2021): each number of an embedding tells the same of both views, and nothing that another tells."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.barlow_twins import BarlowTwinsOptions
from bdw.encoders import Encoder
from bdw.pretext.base import BatchLoss, Crop, Outputs, Views
from bdw.pretext.gather import gathered
from bdw.pretext.product_norm import squared_norm_of_product
from bdw.pretext.projector import projector
from bdw.pretext.two_views import TwoViews
from bdw.pretext.weighted_batch import weighted_batch_loss, weighted_moments

EPSILON = 1e-5
"""Added to variances, as the authors' code does by batch norm."""
LARGEST_NUMBER = 2**62


class BarlowTwins(TwoViews):
    """The cross-correlation matrix C of the two views' embeddings, over all workers (eq. 1 and 2):

        f = sum_d (1 - C_dd)^2 + off_diagonal sum_(d != e) C_de^2.

    Means, deviations and products are sums over the instances, in which each counts by its share of the batch's weight;
    L = mean(w) f (`weighted_batch_loss`). The head is a projector with two hidden layers.

    With `mixed` a third image is made for every instance (Bandara, De Melo and Patel, "Guarding Barlow Twins against
    overfitting with mixed samples", 2023): its first view mixed with the second view of a partner. The shares are those
    of the instance, and the partner is drawn among those of the same worker. In the paper one mixing ratio is drawn a
    batch, here each image has its own.
    """

    Options = BarlowTwinsOptions
    instances_interact = True
    loss_is_mean = False

    def __init__(self, encoder: Encoder, options: BarlowTwinsOptions | None = None):
        super().__init__(encoder, options)
        first, _ = self.augmentations
        second = dataclasses.replace(first, blur=self.options.second_blur, solarise=self.options.second_solarise)
        self.augmentations = (first, second)
        hidden = self.options.hidden_dim
        widths = (encoder.feature_dim, hidden, hidden, self.options.projection_dim)
        self.projector = projector(widths, batch_norm=self.options.batch_norm)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views (2k, c, s, s), or (3k, c, s, s) with mixed images, an instance's being consecutive.

        With mixed images also: ratios (k,), the share of the instance's own view, uniform from 0 to 1; random numbers
        (k,) by which partners find each other, and those of the partners.
        """
        views = super().views(images, crop, generator)
        if not self.options.mixed:
            return views
        count, device = len(images), views.images.device
        first, second = views.inputs[0].unflatten(0, (count, 2)).unbind(dim=1)
        partners = torch.randperm(count, generator=generator)
        ratios = torch.rand(count, generator=generator).to(first)
        numbers = torch.randint(LARGEST_NUMBER, (count,), generator=generator)
        mixed = torch.lerp(second[partners.to(device)], first, ratios[:, None, None, None])
        shown = torch.stack([first, second, mixed], dim=1).flatten(0, 1)
        return Views(views.images, (shown, ratios, numbers.to(device), numbers[partners].to(device)))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: embeddings (k, 2, d), or (k, 3, d) with those of the mixed images. Given: the ratios and numbers of
        `views`. No hits."""
        shown, *given = views.inputs
        features = encoder(shown)
        embeddings = self.projector(features).unflatten(0, (len(views.images), -1))
        return Outputs((embeddings,), tuple(given), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) parts of f, of which f is the mean; at least 0.

        The instance's part of 1 - C_dd is half the squared distance of its two standardised numbers. The other
        correlations, and the mixed images' term, belong to the batch: every instance has their sum.
        """
        return self._losses(*self._of_all(outputs))

    def loss(self, outputs: Outputs, weights: Tensor, instances: int) -> BatchLoss:
        """L(Z, w), and the unweighted losses."""
        embeddings, given, mine = self._of_all(outputs)
        everyones, _ = gathered(weights.to(embeddings))
        total = weighted_batch_loss(lambda shares: self._of_shares(embeddings, given, shares), everyones)
        with torch.no_grad():
            losses = self._losses(embeddings.detach(), given, mine)
        return BatchLoss(total, losses)

    def _of_all(self, outputs: Outputs) -> tuple[Tensor, tuple[Tensor, ...], slice]:
        """Everyone's embeddings and given rows, and which are this worker's."""
        embeddings, begins = gathered(outputs.z[0])
        given = tuple(gathered(rows)[0] for rows in outputs.given)
        return embeddings, given, slice(begins, begins + len(outputs.z[0]))

    def _of_shares(self, embeddings: Tensor, given: tuple[Tensor, ...], shares: Tensor) -> Tensor:
        """f, a scalar."""
        views = [standardised(view, shares) for view in embeddings.unbind(dim=1)]
        diagonal = shares @ (views[0] * views[1])
        others = squared_norm_of_product(shares[:, None] * views[0], views[1]) - diagonal.square().sum()
        found: Tensor = (1 - diagonal).square().sum() + self.options.off_diagonal * others
        if given:
            found = found + self._of_mixed(views, given, shares)
        return found

    def _of_mixed(self, views: list[Tensor], given: tuple[Tensor, ...], shares: Tensor) -> Tensor:
        """The mixed images correlate with either view as the mixture of their two embeddings does, Bandara et al."""
        (first, second, mixed), (ratios, numbers, partners) = views, given
        found = (partners[:, None] == numbers).int().argmax(dim=1)
        wanted = torch.lerp(second[found], first, ratios[:, None])
        excess = shares[:, None] * (mixed - wanted)
        squares = squared_norm_of_product(excess, first) + squared_norm_of_product(excess, second)
        weighted: Tensor = self.options.mixed * self.options.off_diagonal * squares
        return weighted

    def _losses(self, embeddings: Tensor, given: tuple[Tensor, ...], mine: slice) -> Tensor:
        shares = embeddings.new_full((len(embeddings),), 1 / len(embeddings))
        first, second = (standardised(view, shares) for view in embeddings[:, :2].unbind(dim=1))
        lacks = 1 - shares @ (first * second)
        # Standardised variances are a little below 1, by EPSILON.
        below = 1 - shares @ (first.square() + second.square()) / 2
        own = (functional.mse_loss(first, second, reduction="none") / 2 + below) @ lacks
        of_batch = self._of_shares(embeddings, given, shares) - lacks.square().sum()
        return own[mine] + of_batch


def standardised(rows: Tensor, shares: Tensor) -> Tensor:
    """Rows (k, d) with weighted mean 0 and weighted variance 1 (less if it was near `EPSILON`) of every number."""
    centred, variances = weighted_moments(rows, shares)
    return centred / (variances + EPSILON).sqrt()
