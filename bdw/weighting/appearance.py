"""What an image looks like without an encoder: its colours and its composition, to which an encoder may be blind."""

from __future__ import annotations

import torch
from torch import Tensor

from bdw.weighting.composition import composition
from bdw.weighting.gradient.smoothing import colours


def appearance(images: Tensor) -> Tensor:
    """(m, c (c + 1) + 4) of images (m, c, s, s): `colours`, then `composition`."""
    return torch.cat([colours(images), composition(images)], dim=1)
