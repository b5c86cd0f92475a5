"""Changes of colour, each image with a factor of its own, in torchvision's meaning of the words.

Images are (n, c, s, s) in [0, 1] and stay in it; what comes back is new. Grey images (c = 1) have brightness and
contrast, and solarise; saturation, hue and greying leave them as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in the grey level (ITU-R BT.601), as torchvision has them."""


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Values times the image's factor (n,), 1 for no change."""
    brighter: Tensor = images * _per_image(factors, images)
    return brighter.clamp_(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Values' distance from the image's mean grey level, times the factor (n,)."""
    means = grey_levels(images).mean(dim=(2, 3), keepdim=True)
    return torch.lerp(means, images, _per_image(factors, images)).clamp_(0, 1)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Values' distance from the pixel's grey level, times the factor (n,); 0 is grey."""
    if images.shape[1] == 1:
        return images
    return torch.lerp(grey_levels(images), images, _per_image(factors, images)).clamp_(0, 1)


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Hue turned by shifts (n,) in turns of the colour wheel, -0.5 to 0.5 (HSV; saturation and value stay)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    spread = largest - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(spread == 0, 1.0, spread)
    # In sixths of a turn: 0 is red, 2 green, 4 blue.
    hue = torch.where(
        largest == red,
        (green - blue) / divisor,
        torch.where(largest == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue += 6 * shifts.to(images)[:, None, None]
    channels = []
    for sixths in (5, 3, 1):
        # How far the channel lies below the largest, as a share of the spread: 0, then 1, then 0 around the wheel.
        place = (hue + sixths).remainder_(6)
        below = torch.minimum(place, 4 - place).clamp_(0, 1)
        channels.append(torch.addcmul(largest, spread, below, value=-1))
    return torch.stack(channels, dim=1)


def to_grey(images: Tensor) -> Tensor:
    """The grey level in all channels."""
    return images if images.shape[1] == 1 else grey_levels(images).expand_as(images).contiguous()


def solarise(images: Tensor, threshold: float = 0.5) -> Tensor:
    """Values from the threshold on are inverted."""
    return torch.where(images >= threshold, 1 - images, images)


def grey_levels(images: Tensor) -> Tensor:
    """(n, 1, s, s) of images with three channels or one."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    levels: Tensor = GREY[0] * red
    return levels.add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def _per_image(factors: Tensor, images: Tensor) -> Tensor:
    return factors.to(images)[:, None, None, None]
