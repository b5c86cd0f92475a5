"""Vision transformers (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021), whole or on some patches."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from bdw.encoders.base import Encoder
from bdw.encoders.timm_library import timm_library
from bdw.errors import InputError

PATCHES_A_SIDE = 8
"""Of `small_vit`: 64 tokens, whatever the size of the images."""
WIDTH, DEPTH, HEADS = 192, 6, 3
"""Of `small_vit`: the width and heads of ViT-Tiny (Touvron et al., "DeiT", ICML 2021) and half its blocks."""


class PatchEncoder(Encoder):
    """An encoder whose backbone is timm's `VisionTransformer`."""

    calls_its_layers = False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = self._vit.patch_embed.grid_size
        return rows, columns

    @property
    def prefix_tokens(self) -> int:
        """Tokens before those of the patches (class and register tokens)."""
        return int(self._vit.num_prefix_tokens)

    def tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens after the last norm, (B, prefix_tokens + n, d): the prefix, then the patches row by row.

        `keep` (B, n): numbers of the patches that every image keeps, in the order wanted; the blocks see no other (He
        et al., "Masked autoencoders are scalable vision learners", CVPR 2022). All patches if None. The features
        (B, d) of the encoder are what the model makes of all tokens.
        """
        return self._run(functools.partial(self._tokens, keep=keep), images)

    def take_other_sizes(self) -> None:
        """Let in images of other sizes that are whole patches; positions are interpolated for them.

        timm's `dynamic_img_size`, for a model that was made without it: what its code for export cannot do. Features of
        images of the own size stay what they were. timm interpolates positions in float32.
        """
        embed = self._vit.patch_embed
        self._vit.dynamic_img_size = True
        embed.strict_img_size, embed.flatten, embed.output_fmt = False, False, timm_library().layers.Format.NHWC

    def averaged(self, output: Tensor) -> Tensor:
        """Tokens (B, n, d) averaged over n."""
        return output.mean(dim=1) if output.dim() == 3 else super().averaged(output)

    def _map(self, images: Tensor) -> Tensor:
        patches = self._tokens(images)[:, self.prefix_tokens :]
        maps: Tensor = patches.transpose(1, 2).unflatten(2, self.grid)
        return maps

    def _tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        vit = self._vit
        tokens: Tensor = vit._pos_embed(vit.patch_embed(images))
        if keep is not None:
            prefix, patches = tokens[:, : self.prefix_tokens], tokens[:, self.prefix_tokens :]
            kept = patches.gather(1, keep.unsqueeze(2).expand(-1, -1, patches.shape[2]))
            tokens = torch.cat([prefix, kept], dim=1)
        result: Tensor = vit.norm(vit.blocks(vit.norm_pre(tokens)))
        return result

    @property
    def _vit(self) -> Any:
        return self.backbone


def small_vit(channels: int, size: int) -> Encoder:
    """timm's `VisionTransformer` for small images: 8 x 8 patches, 6 blocks, 192 features, the mean of all patches."""
    if size % PATCHES_A_SIDE:
        raise InputError(
            f"crop_size: {size} cannot work with encoder 'small_vit', which cuts images into {PATCHES_A_SIDE} x "
            f"{PATCHES_A_SIDE} patches; allowed: multiples of {PATCHES_A_SIDE}"
        )
    backbone = timm_library().models.VisionTransformer(
        img_size=size, patch_size=size // PATCHES_A_SIDE, in_chans=channels, num_classes=0, global_pool="avg",
        class_token=False, fc_norm=False, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
    )  # fmt: skip
    return PatchEncoder(backbone, channels, WIDTH, (channels, size, size))
