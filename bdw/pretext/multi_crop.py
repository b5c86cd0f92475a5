"""Multi-crop: two large crops of an image and several small ones (Caron, Misra, Mairal, Goyal, Bojanowski and Joulin,
"Unsupervised learning of visual features by contrasting cluster assignments", NeurIPS 2020, section 3.3)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bdw.encoders import Encoder
from bdw.encoders.patches import PatchEncoder
from bdw.errors import InputError
from bdw.pretext.base import Crop, Views
from bdw.pretext.two_views import TwoViews
from bdw.pretext.views import Augmentation

LARGE, SMALL = 224, 96
"""Sides of the paper's crops in pixels; the small ones of other images have the same share."""


class MultiCrop(TwoViews):
    """Two large views per instance, and small ones of less of the image; options are `MultiCropOptions` and more.

    The encoder sees each size by itself; vision transformers interpolate their positions for the small one. `num_views`
    counts the large ones.
    """

    def __init__(self, encoder: Encoder, options: Any = None):
        """`InputError` if there are small crops and the encoder does not take images of their size."""
        super().__init__(encoder, options)
        options, large = self.options, encoder.image_shape[-1]
        size = options.local_size or _small_size(encoder)
        self.small_augmentation = dataclasses.replace(
            Augmentation.of(options, size), scale=(options.local_least_area, options.local_largest_area)
        )
        if options.local_crops and size != large:
            if isinstance(encoder, PatchEncoder):
                encoder.take_other_sizes()
            _require_size(encoder, size, large)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Large views (2k, c, s, s), and small ones (n k, c, t, t) if there are any; an instance's are consecutive."""
        views, copies = super().views(images, crop, generator), self.options.local_crops
        if not copies:
            return views
        small = self.small_augmentation(images, generator, copies=copies)
        return views._replace(inputs=(*views.inputs, small.to(views.images)))


def encoded(encoder: Callable[[Tensor], Tensor], views: Views) -> Tensor:
    """Features (k, 2 + n, d) of all views of k instances, the large ones first."""
    count = len(views.images)
    return torch.cat([encoder(part).unflatten(0, (count, -1)) for part in views.inputs], dim=1)


def _small_size(encoder: Encoder) -> int:
    """Side of small crops in pixels, whole patches where the encoder cuts images into them."""
    large = encoder.image_shape[-1]
    unit = large // encoder.grid[0] if isinstance(encoder, PatchEncoder) else 1
    return max(2, unit, unit * round(large // unit * SMALL / LARGE))


def _require_size(encoder: Encoder, size: int, large: int) -> None:
    """`InputError` unless the encoder takes images of that size; nothing is computed."""
    probe = copy.deepcopy(encoder).to("meta").eval()
    try:
        with torch.no_grad():
            probe(torch.empty(1, encoder.image_shape[0], size, size, device="meta"))
    except (RuntimeError, ValueError, AssertionError):
        raise InputError(
            f"pretext.local_size: {size} cannot work with encoder {type(encoder.backbone).__name__} for images of "
            f"{large} pixels, which does not take small crops of that size; allowed: {large}, or local_crops 0"
        ) from None
