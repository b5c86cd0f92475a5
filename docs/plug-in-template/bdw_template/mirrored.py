"""A pretext task: is the image mirrored? Two views of each crop, as it is and flipped from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext import Crop, Encodes, Outputs, PretextTask, Views


@dataclass(frozen=True, kw_only=True)
class MirroredOptions:
    """Of `mirrored`: flags `--pretext.<name>` and fields `pretext.<name>` by themselves."""

    smoothing: float = 0.0
    """How far labels are drawn towards 1/2, from 0 (0 and 1) to below 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise InputError(f"pretext.smoothing: {self.smoothing!r} cannot work; allowed: 0 or more, below 1")


class Mirrored(PretextTask):
    """Two views an instance; binary cross-entropy, mean of the views. Z are the logits (2k, 1)."""

    Options = MirroredOptions
    num_views = 2

    def __init__(self, encoder: Encoder, options: Any = None):
        super().__init__(encoder, options)
        self.head = nn.Linear(encoder.feature_dim, 1)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Rows 2i and 2i + 1 are instance i's crop and its mirror image. Nothing is drawn but the crops."""
        del generator
        crops = crop(images)
        return Views(crops, (torch.stack([crops, crops.flip(3)], dim=1).flatten(0, 1),))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z, and the share of views that were told apart."""
        (inputs,) = views.inputs
        features = encoder(inputs)
        logits = self.head(features)
        is_mirrored = torch.arange(len(inputs), device=inputs.device).remainder(2).to(logits.dtype).unsqueeze(1)
        hits = ((logits.detach() > 0) == (is_mirrored > 0)).to(logits.dtype).view(-1, 2).mean(dim=1)
        return Outputs((logits,), (is_mirrored,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean of an instance's two views."""
        (logits,), (labels,) = outputs.z, outputs.given
        wanted = labels + self.options.smoothing * (0.5 - labels)
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return each.view(-1, 2).mean(dim=1)
