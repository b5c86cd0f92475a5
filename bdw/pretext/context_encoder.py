"""Context encoder (Pathak, Krähenbühl, Donahue, Darrell and Efros, "Context encoders: feature learning by inpainting",
CVPR 2016): what was where parts of the image are masked?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bdw.config.pretext_options.context_encoder import ContextEncoderOptions
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.pretext.base import Crop, Encodes, Outputs, PretextTask, Views
from bdw.pretext.decoder import map_shape, up_convolutions


class ContextEncoder(PretextTask):
    """One view per instance: the image with squares of mid-grey at random places, each image its own.

    The head is the paper's: a layer that is fully connected within every channel of the encoder's map, a convolution
    over the channels, and up-convolutions to pixels, which are Z. Loss of an instance: squared error of the masked
    pixels (eq. 1), its mean over their values (images in [-1, 1]). The paper's adversarial loss (eq. 2) is left
    out; its authors learnt their features without it, too (section 5).
    """

    Options = ContextEncoderOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: ContextEncoderOptions | None = None):
        """`InputError` if the encoder has no map of positions, or if squares would be smaller than a pixel."""
        super().__init__(encoder, options)
        channels, size = encoder.image_shape[0], encoder.image_shape[-1]
        self.side = round(size * (self.options.masked / self.options.blocks) ** 0.5)
        """Of a masked square, in pixels."""
        if not 0 < self.side < size:
            raise InputError(
                f"pretext.masked: {self.options.masked} cannot work: {self.options.blocks} square(s) of {self.side} x "
                f"{self.side} pixels in images of crop_size {size}; allowed: squares from 1 to {size - 1} pixels"
            )
        self.shape = map_shape(encoder)
        width, height, columns = self.shape
        # Fully connected within a channel: one convolution as large as the map for each position that comes out.
        self.within_channels = nn.Conv2d(width, width * height * columns, (height, columns), groups=width)
        self.over_channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True))
        self.decoder = up_convolutions(self.shape, channels, size)

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Masked and whole crops (k, c, s, s), and masks (k, 1, s, s), 1 where nothing is seen."""
        crops = crop(images)
        count, size = len(crops), crops.shape[-1]
        begins = torch.randint(size - self.side + 1, (2, count, self.options.blocks, 1), generator=generator)
        places = torch.arange(size)
        rows, columns = ((begins <= places) & (places < begins + self.side)).unbind()
        masks = (rows[:, :, :, None] & columns[:, :, None, :]).any(dim=1).unsqueeze(1)
        masks = masks.to(crops.device, non_blocking=True)
        return Views(crops, (crops.masked_fill(masks, 0), crops, masks.to(crops)))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z: pixels (k, c, s, s). No hits."""
        masked, crops, masks = views.inputs
        maps = encoder.feature_map(masked)
        mixed = self.over_channels(self.within_channels(maps).view(-1, *self.shape))
        return Outputs((self.decoder(mixed),), (crops, masks), maps.detach().mean(dim=(2, 3)), None, (maps.detach(),))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean squared error of an instance's masked values."""
        (drawn,), (crops, masks) = outputs.z, outputs.given
        errors = ((drawn - crops) * masks).square().flatten(1).sum(dim=1)
        return errors / (masks.flatten(1).sum(dim=1) * crops.shape[1])
