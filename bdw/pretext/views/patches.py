"""Square patches of stored images, each at a place of its own, at the resolution in which they are stored."""

from __future__ import annotations

import torch
from torch import Tensor

from bdw.encoders import Encoder, untouched_statistics
from bdw.errors import InputError


def cut_patches(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Patches (k * n, c, side, side) of images (k, c, h, w), an image's n patches being consecutive; of their type.

    `top` and `left` (k, n): the patches' first rows and columns, int64 on the CPU; all patches lie within the images.
    """
    windows = images.unfold(2, side, 1).unfold(3, side, 1)
    which = torch.arange(len(images)).repeat_interleave(top.shape[1])
    if images.device.type == "cpu":
        # numpy's indexing copies rows of pixels, torch's on the CPU pixels.
        return torch.from_numpy(windows.numpy()[which.numpy(), :, top.flatten().numpy(), left.flatten().numpy()])
    which, top, left = (each.flatten().to(images.device, non_blocking=True) for each in (which, top, left))
    return windows[which, :, top, left]


def require_patches(encoder: Encoder, side: int, field: str, value: object) -> None:
    """`InputError`, one line that begins with that option and its value, unless the encoder can work on such patches.

    The encoder is tried on two black patches; `side` in pixels.
    """
    channels, size, device = encoder.image_shape[0], encoder.image_shape[-1], next(encoder.parameters()).device
    try:
        if side < 1:
            raise ValueError("there is nothing to see")
        with torch.no_grad(), untouched_statistics(encoder):
            encoder(torch.zeros(2, channels, side, side, device=device, dtype=next(encoder.parameters()).dtype))
    except (AssertionError, RuntimeError, ValueError):
        raise InputError(
            f"{field}: {value} cannot work: encoder {type(encoder.backbone).__name__} cannot see patches of {side} x "
            f"{side} pixels, cut at crop_size {size}; allowed: a convolutional encoder, and patches that are large "
            "enough for it"
        ) from None
