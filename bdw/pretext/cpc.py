"""Contrastive predictive coding on patches (van den Oord, Li and Vinyals, "Representation learning with contrastive
predictive coding", 2018, section 3.2): which of all the patches in the batch lies so many rows below what was seen?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.cpc import CPCOptions
from bdw.encoders import Encoder
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.gather import gathered
from bdw.pretext.views import Augmentation
from bdw.pretext.views.patches import cut_patches, require_patches

WIDEST_CONTEXT = 256
"""Channels within a block of the context net of Hénaff et al., unless they are set."""
PREDICTION_SCALE = 0.1
"""What predictions are multiplied by in Hénaff et al.; without it logits are so large in the first steps that learning
stalls at chance."""


class CPC(PretextTask):
    """One augmented view per instance, cut into g x g patches that overlap by half; the encoder sees patches alone.

    A causal net makes a context of every position from the features of its row and the rows above. Loss of an instance:
    InfoNCE (eq. 4) of the patches 1, 2, ... rows below, predicted by a linear map for each distance (eq. 3), averaged
    over positions and distances. All other patches of the step, over all workers, are negatives.
    """

    Options = CPCOptions
    num_views = 1  # cut into patches
    instances_interact = True

    def __init__(self, encoder: Encoder, options: CPCOptions | None = None):
        """`InputError` if the encoder cannot work on the patches: too small, or another size than it was made for."""
        super().__init__(encoder, options)
        grid, width = self.options.grid, encoder.feature_dim
        self.augmentation = Augmentation.of(self.options, encoder.image_shape[-1])
        self.stride = encoder.image_shape[-1] // (grid + 1)
        self.patch_size = 2 * self.stride
        require_patches(encoder, self.patch_size, "pretext.grid", grid)
        inner = self.options.context_width or min(width, WIDEST_CONTEXT)
        self.context = _context_net(width, inner, self.options.context_blocks)
        distances = range(1, min(self.options.rows_ahead, grid - 1) + 1)
        self.predictors = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in distances)
        rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        below = [((rows + distance) * grid + columns)[: grid - distance].flatten() for distance in distances]
        self.register_buffer("predicted", torch.cat(below), persistent=False)

    predicted: Tensor
    """(p,) numbers of the patches that an instance's predictions are about, row by row of each distance."""

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Patches (k * g * g, c, s, s), an instance's row by row. `crop` serves the description alone."""
        crops = crop(images)
        drawn = self.augmentation(images, generator)
        count, grid, side = len(drawn), self.options.grid, max(1, round(self.options.patch_crop * self.patch_size))
        margin = (drawn.shape[-1] - self.stride * (grid + 1)) // 2
        corners = margin + self.stride * torch.cartesian_prod(torch.arange(grid), torch.arange(grid))
        places = torch.randint(self.patch_size - side + 1, (count, grid * grid, 2), generator=generator) + corners
        patches = cut_patches(drawn, places[..., 0], places[..., 1], side)
        before = (self.patch_size - side) // 2
        after = self.patch_size - side - before
        return Views(crops, (functional.pad(patches, (before, after, before, after)).to(crops),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: features of the patches (k, g * g, d), and predictions (k, p, d). No hits."""
        grid, features = self.options.grid, encoder(views.inputs[0])
        patches = features.unflatten(0, (-1, grid * grid))
        contexts = self.context(patches.transpose(1, 2).unflatten(2, (grid, grid))).flatten(2).transpose(1, 2)
        predictions = [
            PREDICTION_SCALE * predictor(contexts[:, : (grid - distance) * grid])
            for distance, predictor in enumerate(self.predictors, start=1)
        ]
        return Outputs((patches, torch.cat(predictions, dim=1)), (self.predicted,), features.detach(), None)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean cross-entropy of an instance's predictions."""
        (patches, predictions), (predicted,) = outputs.z, outputs.given
        return info_nce(patches, predictions, predicted).mean(dim=1)


def info_nce(patches: Tensor, predictions: Tensor, predicted: Tensor) -> Tensor:
    """Losses (k, p) of predictions (k, p, d), which are about the patches `predicted` (p,) of their instance, among all
    patches (k, n, d); van den Oord et al. 2018, eq. 4.

    Every worker calls it; the patches of all workers are compared with.
    """
    everyones, begins = gathered(patches)
    logits = predictions.flatten(0, 1) @ everyones.flatten(0, 1).T
    instances = torch.arange(begins, begins + len(patches), device=patches.device)
    right = (instances[:, None] * patches.shape[1] + predicted).flatten()
    return functional.cross_entropy(logits, right, reduction="none").view(predictions.shape[:2])


class _Causal(nn.Module):
    """A residual block on maps (k, d, g, g) that sees its own row and the one above."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (1, 3), padding=(0, 1)),
            nn.ZeroPad2d((0, 0, 1, 0)),
            nn.Conv2d(width, width, (2, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        changed: Tensor = maps + self.layers(maps)
        return changed


def _context_net(channels: int, width: int, blocks: int) -> nn.Sequential:
    """The context net of Hénaff et al., "Data-efficient image recognition with contrastive predictive coding", ICML
    2020, appendix; the paper itself names no more than a net in the style of PixelCNN.

    Without the ReLU after the last block: where it is 0 everywhere, nothing is learnt any more.
    """
    return nn.Sequential(*(_Causal(channels, width) for _ in range(blocks)))
