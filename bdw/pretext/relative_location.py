"""Relative patch location (Doersch, Gupta and Efros, "Unsupervised visual representation learning by context
prediction", ICCV 2015): on which of eight sides of the middle patch does this patch lie?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bdw.config.pretext_options.relative_location import RelativeLocationOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext.base import Crop, Images, Outputs, PretextTask, Views
from bdw.pretext.projector import projector
from bdw.pretext.views.patches import cut_patches, require_patches

SIDE = 3
"""Rows and columns of patches."""
MIDDLE = 4
"""Number of the middle patch, row by row."""
NEIGHBOURS = (0, 1, 2, 3, 5, 6, 7, 8)
NOISE = 0.01
"""Standard deviation of what replaces a dropped channel, as a share of that of the channel that stays (section 3.1)."""


class RelativeLocation(PretextTask):
    """Nine patches per instance, three by three with gaps, each moved by a random jitter. Loss of an instance: the mean
    over the eight neighbours of the cross-entropy of their position, from the features of middle and neighbour.

    The head has two hidden layers (the paper's fc7 and fc8); Z are its logits. A grid lies at a random place of the
    stored image. The paper's random downsampling of patches is left out.
    """

    Options = RelativeLocationOptions
    num_views = SIDE * SIDE

    def __init__(self, encoder: Encoder, options: RelativeLocationOptions | None = None):
        """`InputError` if the patches do not fit into the crop, or the encoder cannot work on them."""
        super().__init__(encoder, options)
        size = encoder.image_shape[-1]
        self.patch_size = self.options.patch_size or self._largest_patch(size)
        require_patches(encoder, self.patch_size, "pretext.patch_size", self.options.patch_size)
        if self._extent(self.patch_size) > size:
            raise InputError(
                f"pretext.patch_size: {self.patch_size} cannot work: with gaps and jitter, nine patches take "
                f"{self._extent(self.patch_size)} pixels of crop_size {size}; allowed: at most "
                f"{self._largest_patch(size)}"
            )
        hidden = self.options.hidden_dim or encoder.feature_dim
        widths = (2 * encoder.feature_dim, hidden, hidden, len(NEIGHBOURS))
        self.head = projector(widths, batch_norm=self.options.batch_norm)

    def check(self, images: Images) -> None:
        """`InputError` if the grid of patches is larger than the stored images."""
        extent, side = self._extent(self.patch_size), min(images.height, images.width)
        if extent > side:
            raise InputError(
                f"pretext.patch_size: {self.patch_size} cannot work: with gaps and jitter, nine patches take {extent} "
                f"pixels of images of {images.height} x {images.width}; allowed: at most {self._largest_patch(side)}"
            )

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Patches (9k, c, p, p), an instance's row by row. `crop` serves the description alone."""
        crops = crop(images)
        (gap, jitter), count, patch = self._pixels(self.patch_size), len(images), self.patch_size
        free = torch.tensor([side - self._extent(patch) for side in images.shape[-2:]])
        corners = (torch.rand(count, 1, 2, generator=generator) * (free + 1)).long()
        grid = (patch + gap) * torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))
        moved = torch.randint(2 * jitter + 1, (count, SIDE * SIDE, 2), generator=generator)
        top, left = (corners + grid + moved).unbind(dim=2)
        patches = cut_patches(images, top, left, patch).to(crops).div_(127.5).sub_(1)
        return Views(crops, (self._recoloured(patches, generator),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, 8, 8), by neighbour and position. Hits (k,): share of neighbours placed rightly."""
        features = encoder(views.inputs[0])
        patches = features.unflatten(0, (-1, SIDE * SIDE))
        neighbours = torch.cat([patches[:, :MIDDLE], patches[:, MIDDLE + 1 :]], dim=1)
        middle = patches[:, MIDDLE : MIDDLE + 1].expand_as(neighbours)
        pairs = torch.cat([middle, neighbours], dim=2).flatten(0, 1)
        logits = self.head(pairs).unflatten(0, (-1, len(NEIGHBOURS)))
        positions = torch.arange(len(NEIGHBOURS), device=logits.device).expand(logits.shape[:2])
        hits = (logits.detach().argmax(dim=2) == positions).to(logits.dtype).mean(dim=1)
        return Outputs((logits,), (positions,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean cross-entropy of an instance's eight neighbours."""
        (logits,), (positions,) = outputs.z, outputs.given
        found = functional.cross_entropy(logits.flatten(0, 1), positions.flatten(), reduction="none")
        return found.view(positions.shape).mean(dim=1)

    def _pixels(self, patch: int) -> tuple[int, int]:
        """Gap and jitter in pixels for patches of that side."""
        return round(self.options.gap * patch), round(self.options.jitter * patch)

    def _extent(self, patch: int) -> int:
        """Side in pixels of what nine patches of that side may take."""
        gap, jitter = self._pixels(patch)
        return SIDE * patch + (SIDE - 1) * gap + 2 * jitter

    def _largest_patch(self, side: int) -> int:
        """Side of the largest patch of which nine fit into so many pixels; 0 where none does."""
        return max(patch for patch in range(side + 1) if self._extent(patch) <= side)

    def _recoloured(self, patches: Tensor, generator: torch.Generator) -> Tensor:
        """Patches (n, c, p, p) in [-1, 1], without what colour fringes tell; grey ones are as they were."""
        if patches.shape[1] == 1 or self.options.colours == "keep":
            return patches
        return projected(patches) if self.options.colours == "project" else _dropped(patches, generator)


def projected(patches: Tensor) -> Tensor:
    """Colours (n, 3, p, p) without their part along a = (-1, 2, -1), green to magenta: p (I - a^T a / (a a^T)) for
    every pixel p (Doersch et al. 2015, section 3.1)."""
    axis = patches.new_tensor([-1.0, 2.0, -1.0])
    keeps = torch.eye(3, device=axis.device, dtype=axis.dtype) - torch.outer(axis, axis) / (axis @ axis)
    return torch.einsum("nchw,cd->ndhw", patches, keeps)


def _dropped(patches: Tensor, generator: torch.Generator) -> Tensor:
    stays = torch.randint(patches.shape[1], (len(patches),), generator=generator)
    noise = NOISE * torch.randn(patches.shape, generator=generator)
    is_kept = functional.one_hot(stays, patches.shape[1]).bool()[:, :, None, None].to(patches.device)
    deviations = patches.std(dim=(2, 3), keepdim=True, correction=0).masked_fill(~is_kept, 0).sum(dim=1, keepdim=True)
    return torch.where(is_kept, patches, noise.to(patches) * deviations)
