"""Every operation on a batch against torchvision's on one image at a time with the same parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as torchvision

from bdw.pretext.views.blur import gaussian_blur, kernel_side
from bdw.pretext.views.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    solarise,
    to_grey,
)
from bdw.pretext.views.crops import Boxes, resized_crops

N = 9


def _images(channels: int = 3, side: int = 14) -> Tensor:
    """Random ones, a blank one, one of two colours, and one with equal channels."""
    images = torch.rand(N, channels, side, side, generator=torch.Generator().manual_seed(0))
    images[0] = 0.25
    images[1] = images[1].round()
    images[2] = images[2, :1]
    return images


def _is_torchvisions(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, float], Tensor],
    parameters: Tensor,
    channels: int,
) -> None:
    images = _images(channels)
    before = images.clone()
    found = ours(images, parameters)
    assert torch.equal(images, before), "the batch that was given stays"
    for image, value, changed in zip(images, parameters.tolist(), found, strict=True):
        torch.testing.assert_close(changed, theirs(image, value), rtol=0, atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, torchvision.adjust_brightness),
        (adjust_contrast, torchvision.adjust_contrast),
        (adjust_saturation, torchvision.adjust_saturation),
    ],
)
def test_factors_mean_what_they_mean_in_torchvision(ours: Callable, theirs: Callable, channels: int) -> None:
    _is_torchvisions(ours, theirs, torch.linspace(0, 2, N), channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_hue_turns_as_in_torchvision(channels: int) -> None:
    _is_torchvisions(adjust_hue, torchvision.adjust_hue, torch.linspace(-0.5, 0.5, N), channels)


def test_a_third_of_a_turn_makes_red_green() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    turned = adjust_hue(red, torch.tensor([1 / 3])).flatten()
    torch.testing.assert_close(turned, torch.tensor([0.0, 1.0, 0.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_solarise_are_torchvisions(channels: int) -> None:
    images = _images(channels)
    for image, grey, inverted in zip(images, to_grey(images), solarise(images), strict=True):
        torch.testing.assert_close(
            grey, torchvision.rgb_to_grayscale(image, num_output_channels=channels), rtol=0, atol=2e-6
        )
        torch.testing.assert_close(inverted, torchvision.solarize(image, 0.5), rtol=0, atol=0)


@pytest.mark.parametrize("side", [3, 5, 23])
def test_blur_is_torchvisions(side: int) -> None:
    images, deviations = _images(), torch.linspace(0.1, 2, N)
    found = gaussian_blur(images, deviations, side)
    for image, deviation, blurred in zip(images, deviations.tolist(), found, strict=True):
        expected = torchvision.gaussian_blur(image, [side, side], [deviation, deviation])
        torch.testing.assert_close(blurred, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("size", "side"), [(24, 3), (32, 3), (96, 9), (224, 23)])
def test_the_kernel_is_a_tenth_of_the_image(size: int, side: int) -> None:
    assert kernel_side(size) == side


BOXES = [(0, 0, 20, 30), (3, 5, 7, 7), (19, 29, 1, 1), (0, 11, 20, 4), (2, 0, 18, 30), (5, 6, 3, 9)]


@pytest.mark.parametrize("size", [5, 16, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_are_resized_as_torchvision_does_it(size: int, channels: int) -> None:
    """Smaller and larger than the crop, rectangular images; three crops of every image."""
    images = torch.randint(256, (2, channels, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    top, left, height, width = torch.tensor(BOXES).view(2, 3, 4).unbind(dim=2)
    flipped = torch.tensor([[True, False, True], [False, False, True]])
    found = resized_crops(images, Boxes(top, left, height, width), size, flipped)
    assert found.shape == (6, channels, size, size)
    for row, box in enumerate(BOXES):
        expected = torchvision.resized_crop(images[row // 3].float() / 255, *box, [size, size], antialias=True)
        if flipped.flatten()[row]:
            expected = expected.flip(-1)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=5e-6)
