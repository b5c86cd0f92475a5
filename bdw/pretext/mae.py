"""Masked auto-encoder (He, Chen, Xie, Li, Dollár and Girshick, "Masked autoencoders are scalable vision learners", CVPR
2022): what do the patches show that the encoder did not see?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bdw.config.pretext_options.mae import MaskedAutoEncoderOptions
from bdw.encoders import Encoder, PatchEncoder
from bdw.encoders.timm_library import timm_library
from bdw.errors import InputError
from bdw.pretext.base import Crop, Encodes, Outputs, PretextTask, Views


class MaskedAutoEncoder(PretextTask):
    """One view per instance: a random quarter of its patches, which is all that the encoder works on.

    The head is the paper's light transformer, on the tokens of these patches and one learnt token for all others, with
    fixed sines and cosines of their places; Z are the pixels of the patches not seen. Loss of an instance: squared
    error, mean over these pixels (section 3). The features are the mean of the tokens of the patches seen.
    """

    Options = MaskedAutoEncoderOptions
    num_views = 1

    def __init__(self, encoder: Encoder, options: MaskedAutoEncoderOptions | None = None):
        """`InputError` if the encoder does not cut images into patches, or if no patch would be seen, or none left."""
        super().__init__(encoder, options)
        if not isinstance(encoder, PatchEncoder):
            encoder.refuse("does not cut images into patches", "small_vit, or a timm:vit_...")
        chosen, rows, columns = self.options, *encoder.grid
        self.prefix_tokens, patches = encoder.prefix_tokens, rows * columns
        self.num_seen = round((1 - chosen.masked) * patches)
        if not 0 < self.num_seen < patches:
            raise InputError(
                f"pretext.masked: {chosen.masked} cannot work: the encoder sees {self.num_seen} of {patches} patches; "
                f"allowed: 1 to {patches - 1} patches"
            )
        channels, size = encoder.image_shape[0], encoder.image_shape[-1]
        self.patch_side = size // rows
        values = channels * self.patch_side**2
        if chosen.normalised_pixels and values == 1:
            raise InputError(
                "pretext.normalised_pixels: True cannot work with patches of one grey pixel, which have no variance; "
                "allowed: False"
            )
        width, timm = chosen.decoder_width, timm_library()
        self.embed = nn.Linear(encoder.feature_dim, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        block = timm.models.vision_transformer.Block
        self.blocks = nn.Sequential(
            *(block(width, chosen.decoder_heads, qkv_bias=True) for _ in range(chosen.decoder_depth))
        )
        self.norm = nn.LayerNorm(width)
        self.to_pixels = nn.Linear(width, values)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # the paper's appendix A.1
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        places = timm.layers.build_sincos2d_pos_embed([rows, columns], width, device=self.mask_token.device)
        self.register_buffer("places", places, persistent=False)

    places: Tensor
    """(p, width) sines and cosines of the patches' rows and columns."""

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Crops (k, c, s, s), and the patches' numbers in random order (k, p), those that are seen first."""
        crops = crop(images)
        order = torch.rand(len(crops), len(self.places), generator=generator).argsort(dim=1)
        return Views(crops, (crops, order.to(crops.device, non_blocking=True)))

    def forward(self, encoder: Encodes, views: Views) -> Outputs:
        """Z: pixels (k, p - seen, c * side * side) of the patches that are not seen, in their random order. No hits."""
        images, order = views.inputs
        tokens = encoder.tokens(images, order[:, : self.num_seen])
        seen, places = self.embed(tokens), self.places[order]
        prefix, known = seen[:, : self.prefix_tokens], seen[:, self.prefix_tokens :] + places[:, : self.num_seen]
        guessed = self.mask_token + places[:, self.num_seen :]
        # Attention knows no order, so that patches need not be put back where they were.
        decoded = self.norm(self.blocks(torch.cat([prefix, known, guessed], dim=1)))
        pixels = self.to_pixels(decoded[:, -guessed.shape[1] :])
        features = tokens.detach()[:, self.prefix_tokens :].mean(dim=1)
        return Outputs((pixels,), (self._targets(images, order),), features, None, (tokens.detach(),))

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) mean squared error of the pixels that an instance's encoder did not see."""
        (pixels,), (targets,) = outputs.z, outputs.given
        return (pixels - targets).square().flatten(1).mean(dim=1)

    def _targets(self, images: Tensor, order: Tensor) -> Tensor:
        """(k, p - seen, c * side * side)."""
        unseen = patches_of(images, self.patch_side).gather(
            1, order[:, self.num_seen :, None].expand(-1, -1, images.shape[1] * self.patch_side**2)
        )
        if not self.options.normalised_pixels:
            return unseen
        variance, mean = torch.var_mean(unseen, dim=2, keepdim=True)
        return (unseen - mean) / (variance + 1e-6).sqrt()


def patches_of(images: Tensor, side: int) -> Tensor:
    """Images (k, c, s, s) cut into patches of that side, row by row: (k, p, c * side * side)."""
    cut = images.unfold(2, side, side).unfold(3, side, side)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
