"""What tasks have in common that learn from two augmented views of an image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bdw.encoders import Encoder
from bdw.pretext.base import Crop, PretextTask, Views
from bdw.pretext.views import Augmentation


class TwoViews(PretextTask):
    """Two augmented views per instance, drawn from the stored image; options are `AugmentationOptions` and more."""

    num_views = 2

    def __init__(self, encoder: Encoder, options: Any = None):
        super().__init__(encoder, options)
        both = Augmentation.of(self.options, encoder.image_shape[-1])
        self.augmentations = (both, both)
        """Of the first and of the second view; a task whose two differ replaces them (`dataclasses.replace`)."""

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Views (2k, c, s, s), rows 2i and 2i + 1 being instance i's first and second. `crop` serves the description
        alone."""
        crops = crop(images)
        first, second = self.augmentations
        if first == second:
            drawn = first(images, generator, copies=2)
        else:
            drawn = torch.stack([first(images, generator), second(images, generator)], dim=1).flatten(0, 1)
        return Views(crops, (drawn.to(crops),))
