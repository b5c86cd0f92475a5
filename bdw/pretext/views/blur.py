"""Gaussian blur, each image with a deviation of its own.

Blur is linear in the rows and in the columns: two batched products with matrices of weights, mirrored at the edges.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kernel_side(size: int) -> int:
    """Side in pixels of the kernel for images of that side: a tenth of it (Chen et al. 2020, appendix A), odd, at
    least 3."""
    return max(3, 2 * (size // 20) + 1)


def gaussian_blur(images: Tensor, deviations: Tensor, side: int) -> Tensor:
    """Images (n, c, s, s) blurred with standard deviations (n,) in pixels and a kernel of that odd side.

    The values of torchvision's `gaussian_blur`. `side // 2` is less than s.
    """
    size, radius, device = images.shape[-1], side // 2, images.device
    taps = torch.arange(-radius, radius + 1, device=device)
    weights = (-0.5 * (taps / deviations.to(images)[:, None]).square()).exp()
    weights = weights / weights.sum(dim=1, keepdim=True)
    sources = (torch.arange(size, device=device)[:, None] + taps).abs()
    sources = torch.where(sources < size, sources, 2 * (size - 1) - sources)
    matrices = images.new_zeros(len(images), size, size)
    matrices.scatter_add_(2, sources.expand(len(images), -1, -1), weights[:, None].expand(-1, size, -1))
    return torch.matmul(torch.matmul(matrices[:, None], images), matrices.transpose(1, 2)[:, None])
