"""What draws an image from an encoder's map: the one decoder of the tasks that predict every position."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from bdw.encoders import Encoder, untouched_statistics

WIDEST = 512
"""Channels of the first layer at most."""
NARROWEST = 16
"""Channels of a hidden layer at least."""


def map_shape(encoder: Encoder) -> tuple[int, int, int]:
    """Shape (d, h, w) of the map that the encoder makes of the images it is made for. `InputError` if it makes none."""
    device = next(encoder.parameters()).device
    with torch.no_grad(), untouched_statistics(encoder):
        # Two images, since batch norm may need as many.
        maps = encoder.feature_map(torch.zeros(2, *encoder.image_shape, device=device))
    channels, height, width = maps.shape[1:]
    return channels, height, width


def up_convolutions(shape: tuple[int, int, int], channels: int, size: int) -> nn.Sequential:
    """From maps (n, *shape) to (n, channels, size, size), twice as large from layer to layer; no layer draws smaller.

    Every layer repeats pixels and convolves, ReLU between them: the up-convolution of Dosovitskiy, Springenberg and
    Brox, "Learning to generate chairs with convolutional neural networks", CVPR 2015. Each has half as many channels
    as the layer before, `WIDEST` to `NARROWEST`. Parameters are drawn from torch's global generator.
    """
    width, *sides = shape[0], max(shape[1:])
    while sides[-1] * 2 < size:
        sides.append(sides[-1] * 2)
    hidden = [max(NARROWEST, min(width, WIDEST) >> number) for number in range(len(sides) - 1)]
    layers: list[nn.Module] = []
    pairs = itertools.pairwise((width, *hidden, channels))
    for (before, after), side in zip(pairs, (*sides[1:], size), strict=True):
        if layers:
            layers.append(nn.ReLU(inplace=True))
        layers += [nn.Upsample(size=(side, side), mode="nearest"), nn.Conv2d(before, after, 3, padding=1)]
    return nn.Sequential(*layers)
