"""Augmentation of whole batches on the device they lie on, every image with its own draw.

Shapes: B batch, C channels, H height, W width, S side of the crop. Images go in as uint8 and come out as float32 in
[-1, 1]; padding is black (0, which is -1 afterwards).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from bdw.errors import InputError


def to_float(images: Tensor) -> Tensor:
    """uint8 0 to 255 as float32 in [-1, 1], both ends exact."""
    return images.float().div_(127.5).sub_(1)


def random_crop_flip(
    images_BCHW: Tensor, crop_size: int, padding: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """A random crop of every image, padded before by `padding` pixels, with a fair coin's horizontal flip.

    Draws come from the CPU `generator`, so that every device sees the same crops. Returns (B, C, S, S) float32.
    """
    num_images, _, height, width = images_BCHW.shape
    free = _free_rows_and_columns(height, width, crop_size, padding)
    if free == (0, 0) and not flip:
        # The only crop is the whole image, and cutting it out would take longer than a step of a small model.
        return to_float(images_BCHW)
    top, left = (torch.randint(n + 1, (num_images,), generator=generator) for n in free)
    windows = pad(images_BCHW, (padding,) * 4) if padding else images_BCHW
    # All windows as a view without copying; indexing picks and copies one for each image.
    crops = _picked(windows.unfold(2, crop_size, 1).unfold(3, crop_size, 1), top, left)
    if flip:
        # Known on the host, so that the device need not be asked how many images turn.
        _flip_in_place(crops, torch.nonzero(torch.rand(num_images, generator=generator) < 0.5).flatten())
    return to_float(crops)


def _picked(windows_BCYXSS: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Window (top, left) of every image, a copy (B, C, S, S)."""
    which = torch.arange(len(top), device=windows_BCYXSS.device)
    if windows_BCYXSS.device.type == "cpu":
        # numpy's indexing copies rows of pixels, torch's on the CPU pixels: a ninth of the time.
        return torch.from_numpy(windows_BCYXSS.numpy()[which.numpy(), :, top.numpy(), left.numpy()])
    device = windows_BCYXSS.device
    return windows_BCYXSS[which, :, top.to(device, non_blocking=True), left.to(device, non_blocking=True)]


def _flip_in_place(images: Tensor, which: Tensor) -> None:
    """Turn these images (indices on the CPU) of a batch left to right."""
    if images.device.type == "cpu":
        images.numpy()[which.numpy()] = images.index_select(0, which).flip(-1).numpy()  # for the same reason
        return
    which = which.to(images.device, non_blocking=True)
    images[which] = images[which].flip(-1)


def centre_crop(images_BCHW: Tensor, crop_size: int) -> Tensor:
    """The central S x S pixels of every image, padded with black where the crop is larger; (B, C, S, S) float32."""
    height, width = images_BCHW.shape[-2:]
    top, left = (height - crop_size) // 2, (width - crop_size) // 2
    bottom, right = height - crop_size - top, width - crop_size - left
    return to_float(pad(images_BCHW, (-left, -right, -top, -bottom)))


def _free_rows_and_columns(height: int, width: int, crop_size: int, padding: int) -> tuple[int, int]:
    free = height + 2 * padding - crop_size, width + 2 * padding - crop_size
    if min(free) < 0:
        raise InputError(
            f"crop_size: {crop_size} is larger than the images; allowed: at most {min(height, width) + 2 * padding} "
            f"({height} x {width} pixels and {padding} padding on every side)"
        )
    return free
