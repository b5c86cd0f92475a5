"""Prototypes: directions into which images are sorted, and how well one view's sorting is told from another's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Prototypes(nn.Module):
    """Vectors whose cosines with an embedding are logits; lengths of either do not count.

    DINO's last layer, normalised in weights, and SwAV's prototypes. SwAV's authors shorten the prototypes to length 1
    before every step; here they are divided by their length in the forward pass, so that the step's gradient knows it.
    """

    def __init__(self, embedding_dim: int, count: int):
        super().__init__()
        # A linear layer's draws; their length does not count.
        self.weight = nn.Parameter(torch.empty(count, embedding_dim).uniform_(-1, 1))

    def forward(self, embeddings: Tensor, moves: Tensor | None = None) -> Tensor:
        """(n, count) cosines of embeddings (n, d).

        `moves`, 0 or 1, scales what reaches the prototypes: a gradient of 0, not none, since workers exchange it.
        """
        weight = self.weight if moves is None else self.weight.detach() + moves * (self.weight - self.weight.detach())
        return functional.normalize(embeddings, dim=-1) @ functional.normalize(weight, dim=1).T


def cross_entropy_between_views(wanted: Tensor, logits: Tensor) -> Tensor:
    """(k,) cross-entropy of one view's probabilities and another's, meaned over all pairs of different views.

    Args:
        wanted: (k, t, p) probabilities from the first t views of every instance, constants.
        logits: (k, v, p) of all v views, t <= v; v >= 2.

    Caron et al. 2020, eq. 1, with multi-crop their eq. 6; Caron et al. 2021, eq. 3.
    """
    num_wanted, num_views = wanted.shape[1], logits.shape[1]
    logs = functional.log_softmax(logits, dim=2)
    # Over all pairs, less those of a view with itself.
    pairs = torch.linalg.vecdot(wanted.sum(dim=1), logs.sum(dim=1))
    same: Tensor = torch.linalg.vecdot(wanted, logs[:, :num_wanted]).sum(dim=1)
    losses: Tensor = (same - pairs) / (num_wanted * (num_views - 1))
    return losses
