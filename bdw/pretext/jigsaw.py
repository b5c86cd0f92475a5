"""Jigsaw puzzles (Noroozi and Favaro, "Unsupervised learning of visual representations by solving jigsaw puzzles", ECCV
2016): into which of so many orders were the nine tiles of the image put?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.jigsaw import JigsawOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext.base import Crop, Images, Outputs, PretextTask, Views
from bdw.pretext.permutations import distant_permutations
from bdw.pretext.projector import projector
from bdw.pretext.views.colour import to_grey
from bdw.pretext.views.patches import cut_patches, require_patches

SIDE = 3
"""Rows and columns of tiles."""
LEAST_DEVIATION = 1 / 255
"""Of a tile's channel, in units of [-1, 1]: what is less is not blown up."""


class Jigsaw(PretextTask):
    """Nine tiles per instance, in one order of a fixed set; cross-entropy of the order's number.

    The encoder sees each tile by itself. The head makes `tile_dim` numbers of each, joins them in the puzzle's order,
    and has one hidden layer (section 3.1); Z are its logits. Tiles have mean 0 and deviation 1 in each channel (section
    3.3). They are cut from a window of `crop_size` at a random place of the stored image.
    """

    Options = JigsawOptions
    num_views = SIDE * SIDE
    permutations: Tensor
    """(n, 9) tile at each place."""

    def __init__(self, encoder: Encoder, options: JigsawOptions | None = None):
        """`InputError` if the encoder cannot work on the tiles."""
        super().__init__(encoder, options)
        self.window = encoder.image_shape[-1]
        self.cell = self.window // SIDE
        self.tile_size = round(self.options.tile * self.cell)
        require_patches(encoder, self.tile_size, "pretext.tile", self.options.tile)
        orders = distant_permutations(self.options.permutations, SIDE * SIDE)
        self.register_buffer("permutations", torch.tensor(orders), persistent=False)
        self.tile_head = nn.Sequential(nn.Linear(encoder.feature_dim, self.options.tile_dim), nn.ReLU(inplace=True))
        widths = (SIDE * SIDE * self.options.tile_dim, self.options.hidden_dim, len(orders))
        self.head = projector(widths, batch_norm=False)

    def check(self, images: Images) -> None:
        """`InputError` if the stored images are smaller than the window that is cut into tiles."""
        if self.window > min(images.height, images.width):
            raise InputError(
                f"crop_size: {self.window} cannot work with pretext 'jigsaw', which cuts tiles from images of "
                f"{images.height} x {images.width} pixels; allowed: at most {min(images.height, images.width)}"
            )

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Tiles (9k, c, t, t), an instance's row by row, and the numbers of their orders (k,). `crop` serves the
        description alone."""
        crops = crop(images)
        is_grey = torch.rand(len(images), generator=generator) < self.options.grey
        tiles = self._tiles(images, is_grey, generator).to(crops).div_(127.5).sub_(1)
        becomes_grey = is_grey.repeat_interleave(SIDE * SIDE)[:, None, None, None].to(tiles.device)
        tiles = torch.where(becomes_grey, to_grey(tiles), tiles)
        orders = torch.randint(self.options.permutations, (len(images),), generator=generator)
        return Views(crops, (standardised(tiles), orders.to(tiles.device)))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, n), one for each order. Hits (k,): whether the right one is the largest."""
        tiles, orders = views.inputs
        features = encoder(tiles)
        first = torch.arange(len(orders), device=orders.device)[:, None] * (SIDE * SIDE)
        shuffled = self.tile_head(features)[(first + self.permutations[orders]).flatten()]
        logits = self.head(shuffled.unflatten(0, (-1, SIDE * SIDE)).flatten(1))
        hits = (logits.detach().argmax(dim=1) == orders).to(logits.dtype)
        return Outputs((logits,), (orders,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy of the order."""
        (logits,), (orders,) = outputs.z, outputs.given
        return functional.cross_entropy(logits, orders, reduction="none")

    def _tiles(self, images: Tensor, is_grey: Tensor, generator: torch.Generator) -> Tensor:
        """(9k, c, t, t) of images (k, c, h, w), uint8; channels are shifted but in images that become grey."""
        (count, channels), sides = images.shape[:2], torch.tensor(images.shape[-2:])
        corners = (torch.rand(count, 1, 2, generator=generator) * (sides - self.window + 1)).long()
        cells = self.cell * torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))
        free = self.cell - self.tile_size
        places = corners + cells + torch.randint(free + 1, (count, SIDE * SIDE, 2), generator=generator)
        most = self.options.colour_shift
        shifts = torch.randint(-most, most + 1, (count, channels, SIDE * SIDE, 2), generator=generator)
        if channels > 1:
            coloured = (~is_grey)[:, None, None, None]
            # Each channel as an image of its own. A tile at the image's edge has no pixels beyond it.
            places = (places[:, None] + shifts * coloured).clamp(min=0)
            top, left = torch.minimum(places, sides - self.tile_size).flatten(0, 1).unbind(dim=2)
            cut = cut_patches(images.flatten(0, 1).unsqueeze(1), top, left, self.tile_size)
            return cut.view(count, channels, SIDE * SIDE, *cut.shape[-2:]).transpose(1, 2).flatten(0, 1)
        top, left = places.unbind(dim=2)
        return cut_patches(images, top, left, self.tile_size)


def standardised(tiles: Tensor) -> Tensor:
    """Tiles (n, c, t, t) with mean 0 and standard deviation 1 in each channel of each tile."""
    deviations = tiles.std(dim=(2, 3), keepdim=True, correction=0).clamp(min=LEAST_DEVIATION)
    return (tiles - tiles.mean(dim=(2, 3), keepdim=True)) / deviations
