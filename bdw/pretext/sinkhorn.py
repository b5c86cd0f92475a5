"""Balanced codes by the Sinkhorn-Knopp algorithm (Cuturi, "Sinkhorn distances", NeurIPS 2013; for batches Caron et al.
2020)."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_codes(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes (n, p), without graph: each image's sum to 1, and prototypes get equal shares of all images.

    Q maximises <Q, scores> + epsilon entropy(Q) among such codes (Caron et al. 2020, eq. 3 to 5). After few iterations
    the prototypes' shares are equal only nearly; the images' sums are exact.

    Args:
        scores: (n, p) of n images with p prototypes.
        epsilon: above 0.
        iterations: at least 1, each prototypes first, then images.
    """
    with torch.no_grad():
        logs = scores.detach() / epsilon
        for _ in range(iterations):
            logs = logs - logs.logsumexp(dim=0, keepdim=True)
            logs = logs - logs.logsumexp(dim=1, keepdim=True)
        return logs.exp()
