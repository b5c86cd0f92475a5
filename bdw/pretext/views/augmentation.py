"""One recipe of random views, as contrastive tasks have them: crop, flip, colours, grey, blur, solarise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from bdw.config.pretext_options.augmentation import AugmentationOptions
from bdw.pretext.views.blur import gaussian_blur, kernel_side
from bdw.pretext.views.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    solarise,
    to_grey,
)
from bdw.pretext.views.crops import random_boxes, resized_crops

RATIO = (3 / 4, 4 / 3)
"""Least and largest width / height of a crop (Szegedy et al. 2015)."""
JITTER = (0.8, 0.8, 0.8, 0.2)
"""Largest changes of brightness, contrast, saturation and hue at strength 1 (Chen et al. 2020, appendix A)."""
DEVIATIONS = (0.1, 2.0)
"""Least and largest standard deviation of the blur in pixels (Chen et al. 2020, appendix A)."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Draws views of stored images: `augmentation(images, generator, copies)`.

    In this order: resized crop and flip of every view; then, each for the views that its coin chooses, colour jitter
    (brightness, contrast, saturation, hue, in this order, where torchvision shuffles them), grey, blur, solarise.
    """

    size: int
    """Side of the views in pixels."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Least and largest share of the image's area in a crop."""
    flip: float = 0.5
    """Probability of a flip left to right."""
    jitter: float = 0.8
    """Probability of colour jitter."""
    strength: float = 1.0
    """Of the colour jitter; `JITTER` is multiplied with it."""
    grey: float = 0.2
    """Probability of greying."""
    blur: float = 0.5
    """Probability of blur."""
    solarise: float = 0.0
    """Probability of solarising."""

    @classmethod
    def of(cls, options: AugmentationOptions, size: int) -> Self:
        """That a task's options describe, for views of that side."""
        return cls(
            size=size,
            scale=(options.least_area, 1.0),
            flip=options.flip,
            jitter=options.jitter,
            strength=options.jitter_strength,
            grey=options.grey,
            blur=options.blur,
        )

    def __call__(self, images: Tensor, generator: torch.Generator, copies: int = 1) -> Tensor:
        """`copies` views of each stored image (k, c, h, w) uint8: (k * copies, c, size, size), float32 in [-1, 1].

        An image's views are consecutive rows. Every view has its own draws, from the CPU `generator`.
        """
        height, width = images.shape[-2:]
        count = len(images) * copies
        boxes = random_boxes((len(images), copies), height, width, self.scale, RATIO, generator)
        flipped = (torch.rand(count, generator=generator) < self.flip).view(len(images), copies)
        views = resized_crops(images, boxes, self.size, flipped)
        factors = self._factors(count, generator)

        def jittered(chosen: Tensor, which: Tensor) -> Tensor:
            brightness, contrast, saturation, hue = factors[:, which]
            chosen = adjust_contrast(adjust_brightness(chosen, brightness), contrast)
            return adjust_hue(adjust_saturation(chosen, saturation), hue)

        deviations = torch.empty(count).uniform_(*DEVIATIONS, generator=generator)

        def blurred(chosen: Tensor, which: Tensor) -> Tensor:
            return gaussian_blur(chosen, deviations[which], kernel_side(self.size))

        views = _some(views, self.jitter, generator, jittered)
        views = _some(views, self.grey, generator, lambda chosen, _: to_grey(chosen))
        views = _some(views, self.blur, generator, blurred)
        views = _some(views, self.solarise, generator, lambda chosen, _: solarise(chosen))
        return views.mul_(2).sub_(1)

    def _factors(self, count: int, generator: torch.Generator) -> Tensor:
        """(4, count): factors of brightness, contrast and saturation, uniform around 1 but not below 0; shifts of hue,
        uniform around 0."""
        largest = torch.tensor(JITTER)[:, None] * self.strength
        middle = torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None]
        low, high = middle - largest, middle + largest
        low[:3].clamp_(min=0)
        return low + (high - low) * torch.rand(4, count, generator=generator)


def _some(
    views: Tensor, probability: float, generator: torch.Generator, change: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The views, those changed in place that a coin of that probability chooses; `change` takes them and their rows."""
    which = torch.nonzero(torch.rand(len(views), generator=generator) < probability).flatten()
    if len(which) == 0:
        return views
    rows = which.to(views.device, non_blocking=True)
    return views.index_copy_(0, rows, change(views.index_select(0, rows), which))
