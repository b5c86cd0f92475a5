"""Random resized crops, each image with boxes of its own (Szegedy et al., "Going deeper with convolutions", CVPR 2015).

A bilinear resize is linear in the rows and in the columns, so that all crops of a batch are two batched products with
matrices of weights. They are those of torchvision's `resized_crop` with anti-aliasing, which is wanted where a crop is
larger than the view. A flip turns the columns' weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

TRIES = 10
"""Boxes drawn for an image before it takes the largest one in the middle; torchvision's number."""


class Boxes(NamedTuple):
    """Where crops lie, in pixels; int64 tensors of one shape, on the CPU."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def random_boxes(
    shape: tuple[int, ...],
    image_height: int,
    image_width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> Boxes:
    """Boxes of that shape, each drawn as torchvision's `RandomResizedCrop` draws one.

    The share of the image's area is uniform in `scale`, the logarithm of width / height in that of `ratio`. The first
    box of ten that fits into the image is taken, without one the largest in the middle whose ratio is allowed. As many
    numbers are drawn whatever fits, from the CPU `generator`.
    """
    area = torch.empty(*shape, TRIES).uniform_(*scale, generator=generator) * (image_height * image_width)
    ratios = torch.empty(*shape, TRIES).uniform_(math.log(ratio[0]), math.log(ratio[1]), generator=generator).exp()
    place = torch.rand(*shape, 2, generator=generator)
    widths, heights = (area * ratios).sqrt().round().long(), (area / ratios).sqrt().round().long()
    fits = (widths > 0) & (widths <= image_width) & (heights > 0) & (heights <= image_height)
    first = fits.int().argmax(dim=-1, keepdim=True)
    any_fits = fits.any(dim=-1)
    fallback_height, fallback_width = _largest(image_height, image_width, ratio)
    height = torch.where(any_fits, heights.gather(-1, first).squeeze(-1), fallback_height)
    width = torch.where(any_fits, widths.gather(-1, first).squeeze(-1), fallback_width)
    top = torch.where(any_fits, (place[..., 0] * (image_height - height + 1)).long(), (image_height - height) // 2)
    left = torch.where(any_fits, (place[..., 1] * (image_width - width + 1)).long(), (image_width - width) // 2)
    return Boxes(top, left, height, width)


def resized_crops(images: Tensor, boxes: Boxes, size: int, flipped: Tensor | None = None) -> Tensor:
    """Crops (k * v, c, size, size) in [0, 1] of stored images (k, c, h, w) uint8; an image's v crops are consecutive.

    Args:
        images: as stored.
        boxes: (k, v) each.
        size: side of the crops.
        flipped: (k, v) bool, which of them are turned left to right.
    """
    (num_images, copies), (channels, height, width) = boxes.top.shape, images.shape[1:]
    top, left, heights, widths = (part.flatten().to(images.device, non_blocking=True) for part in boxes)
    rows = _resize_weights(top, heights, height, size)
    columns = _resize_weights(left, widths, width, size)
    if flipped is not None:
        turned = flipped.flatten().to(images.device, non_blocking=True)
        columns = torch.where(turned[:, None, None], columns.flip(1), columns)
    # Rows first, so that the conversion to float also lays them out as the product wants them.
    pixels = (images.permute(0, 2, 1, 3).float() / 255).reshape(num_images, height, channels * width)
    shorter = torch.bmm(rows.view(num_images, copies * size, height), pixels)
    crops = torch.bmm(shorter.view(num_images * copies, size * channels, width), columns.transpose(1, 2))
    return crops.view(num_images * copies, size, channels, size).transpose(1, 2).contiguous()


def _resize_weights(begins: Tensor, lengths: Tensor, side: int, size: int) -> Tensor:
    """(n, size, side): what each of `size` new pixels takes of the `side` old ones, for segments `begins`, `lengths`.

    A triangle as wide as a new pixel, but no narrower than an old one; its part outside the segment is left out.
    """
    device = begins.device
    scale = (lengths.float() / size)[:, None]
    centres = scale * (torch.arange(size, device=device) + 0.5)
    places = torch.arange(side, device=device) - begins[:, None]
    inside = (places >= 0) & (places < lengths[:, None])
    # Old pixels outside the segment lie so far away that no triangle reaches them.
    places = torch.where(inside, places + 0.5, -math.inf)
    distances = (places[:, None, :] - centres[:, :, None]).abs_()
    weights = distances.div_(scale.clamp(min=1)[:, :, None]).neg_().add_(1).clamp_(min=0)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _largest(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest box whose width / height is allowed."""
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return height, width
