"""Two views of an instance, alike or not."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from bdw.pretext.simclr import SimCLR
from tests.pretext.cases import small_encoder


def test_views_are_drawn_from_the_stored_image_and_describe_its_own_colours() -> None:
    """Stored images may be larger than the views; the description is the crop."""
    task = SimCLR(small_encoder(3, 6, "group"))
    images = torch.randint(256, (5, 3, 9, 11), dtype=torch.uint8)
    crops = images[:, :, :6, :6] / 127.5 - 1
    views = task.views(images, lambda _: crops, torch.Generator().manual_seed(0))
    assert views.images is crops
    (drawn,) = views.inputs
    assert drawn.shape == (10, 3, 6, 6)
    assert not torch.equal(drawn[0::2], drawn[1::2])


def test_the_second_view_may_be_drawn_in_another_way() -> None:
    task = SimCLR(small_encoder(3, 6, "group"))
    still = dataclasses.replace(
        task.augmentations[0], scale=(1.0, 1.0), flip=0.0, jitter=0.0, grey=0.0, blur=0.0, solarise=0.0
    )
    task.augmentations = (still, dataclasses.replace(still, solarise=1.0))
    images = torch.randint(256, (5, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = images / 127.5 - 1
    (drawn,) = task.views(images, lambda _: plain, torch.Generator().manual_seed(0)).inputs
    first, second = drawn.unflatten(0, (5, 2)).unbind(dim=1)
    torch.testing.assert_close(first, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(second, torch.where(images >= 128, -plain, plain), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_views_have_the_dtype_of_the_runs_crops(dtype: torch.dtype) -> None:
    task = SimCLR(small_encoder(3, 6, "group"))

    def crop(images: Tensor) -> Tensor:
        return images.to(dtype)

    views = task.views(torch.zeros(2, 3, 6, 6, dtype=torch.uint8), crop, torch.Generator())
    assert views.inputs[0].dtype == views.images.dtype == dtype
