"""Whole-tensor augmentation against a slow reference that treats one image at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bdw.data.augment import centre_crop, random_crop_flip, to_float
from bdw.errors import InputError


def images(height: int = 10, width: int = 12) -> Tensor:
    return torch.randint(0, 256, (40, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def reference(batch: Tensor, crop: int, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """The same draws, image by image and pixel by pixel."""
    count, channels, height, width = batch.shape
    top = torch.randint(height + 2 * padding - crop + 1, (count,), generator=generator)
    left = torch.randint(width + 2 * padding - crop + 1, (count,), generator=generator)
    coins = torch.rand(count, generator=generator) if flip else torch.ones(count)
    out = torch.full((count, channels, crop, crop), -1.0)
    for n in range(count):
        for y in range(crop):
            for x in range(crop):
                row = int(top[n]) + y - padding
                column = int(left[n]) + (crop - 1 - x if coins[n] < 0.5 else x) - padding
                if 0 <= row < height and 0 <= column < width:
                    out[n, :, y, x] = batch[n, :, row, column].float() / 127.5 - 1
    return out


@pytest.mark.parametrize(("crop", "padding", "flip"), [(8, 0, False), (8, 0, True), (10, 2, True), (13, 2, False)])
def test_equals_the_reference(crop: int, padding: int, flip: bool) -> None:
    batch = images()
    result = random_crop_flip(batch, crop, padding, flip, torch.Generator().manual_seed(5))
    assert torch.equal(result, reference(batch, crop, padding, flip, torch.Generator().manual_seed(5)))


def test_every_image_has_its_own_draw() -> None:
    same = images()[:1].expand(40, -1, -1, -1)
    result = random_crop_flip(same, 6, 2, True, torch.Generator().manual_seed(0))
    assert len({image.numpy().tobytes() for image in result}) > 20


def test_input_is_left_alone() -> None:
    batch = images()
    random_crop_flip(batch, 10, 0, True, torch.Generator().manual_seed(0))
    assert torch.equal(batch, images())


def test_range_is_exact() -> None:
    values = to_float(torch.tensor([0, 255], dtype=torch.uint8))
    assert values.tolist() == [-1.0, 1.0]
    assert values.dtype == torch.float32


def test_centre_crop() -> None:
    batch = images()
    assert torch.equal(centre_crop(batch, 6), to_float(batch[:, :, 2:8, 3:9]))
    padded = centre_crop(batch, 14)
    assert torch.equal(padded[:, :, 2:12, 1:13], to_float(batch))
    assert (padded[:, :, :2] == -1).all()


def test_crop_too_large() -> None:
    with pytest.raises(InputError, match="crop_size: 15 is larger than the images; allowed: at most 14"):
        random_crop_flip(images(), 15, 2, False, torch.Generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_devices_agree() -> None:
    batch = images()
    host, device = (
        random_crop_flip(batch.to(d), 8, 2, True, torch.Generator().manual_seed(1)) for d in ("cpu", "cuda")
    )
    assert torch.equal(host, device.cpu())


def test_an_image_that_can_only_be_cropped_in_one_way_is_converted_only() -> None:
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cropped = random_crop_flip(images, 8, 0, False, torch.Generator())
    assert torch.equal(cropped, images.float() / 127.5 - 1)
    assert images.dtype == torch.uint8
