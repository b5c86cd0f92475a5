"""Is this embedding that of the same image, or one of these others? InfoNCE against constants (Wu, Xiong, Yu and Lin,
CVPR 2018, eq. 2; van den Oord, Li and Vinyals 2018, eq. 4; He et al., CVPR 2020, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def logits_against(
    embeddings: Tensor, positives: Tensor, negatives: Tensor, excluded: Tensor, temperature: float
) -> Tensor:
    """Logits (m, 1 + n): the embedding's product with its positive first, then those with all negatives; over the
    temperature.

    Args:
        embeddings: (m, d) of length 1.
        positives: (m, d) of length 1, constants.
        negatives: (n, d) of length 1, constants that all embeddings share.
        excluded: (m, n) bool, which are no negatives of an embedding; their logits are -inf.
        temperature: above 0.
    """
    same = (embeddings * positives).sum(dim=1, keepdim=True)
    others = (embeddings @ negatives.T).masked_fill(excluded, -torch.inf)
    return torch.cat([same, others], dim=1) / temperature


def positive_first(logits: Tensor) -> Tensor:
    """(m,) cross-entropy of the softmax at the first of the logits (m, 1 + n)."""
    return functional.cross_entropy(
        logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device), reduction="none"
    )


def hits(logits: Tensor) -> Tensor:
    """(m,) 1 where the positive beats all negatives, without gradient."""
    return (logits.detach().argmax(dim=1) == 0).to(logits.dtype)
