"""The composition of images: closed forms, scipy's moments, and what it must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from bdw.weighting.composition import BORDER, LARGEST, composition

SIZE = 24
EDGE, QUARTER = SIZE // BORDER, SIZE // 4


def _images(count: int = 8, channels: int = 3, seed: int = 0) -> Tensor:
    """Skewed grey levels with a ramp, so that no column is the same for all."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.rand(count, channels, SIZE, SIZE, generator=generator, dtype=torch.float64) ** 3
    ramp = torch.linspace(0, 1, SIZE, dtype=torch.float64) * torch.linspace(0, 2, count, dtype=torch.float64)[:, None]
    return levels + ramp[:, None, None, :]


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_scipy_and_numpy_say_of_the_grey_levels(channels: int) -> None:
    images = _images(channels=channels)
    expected = []
    for grey in images.numpy().mean(axis=1):
        inside = np.zeros((SIZE, SIZE), dtype=bool)
        inside[EDGE:-EDGE, EDGE:-EDGE] = True
        middle = grey[QUARTER:-QUARTER, QUARTER:-QUARTER]
        expected.append(
            [
                abs(scipy.stats.skew(grey, axis=None)),
                math.log(scipy.stats.kurtosis(grey, axis=None, fisher=False)),
                np.mean((middle - grey.mean()) ** 2) / grey.var(),
                grey[~inside].var() / grey.var(),
            ]
        )
    np.testing.assert_allclose(composition(images), expected, rtol=1e-10)
    np.testing.assert_allclose(composition(images.float()), expected, rtol=1e-4)


def test_two_levels_have_a_closed_form() -> None:
    """A share p of one level: skewness (1 - 2p) / sqrt(p (1 - p)), kurtosis 1 / (p (1 - p)) - 3."""
    images = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.float64)
    images[:, :, 8:16, 10:14] = 0.7  # within the middle quarter
    p = 32 / SIZE**2
    skewness, kurtosis = (1 - 2 * p) / math.sqrt(p * (1 - p)), 1 / (p * (1 - p)) - 3
    q = 32 / (SIZE - 2 * QUARTER) ** 2
    middle = (q * (1 - p) ** 2 + (1 - q) * p**2) / (p * (1 - p))
    expected = [[skewness, math.log(kurtosis), middle, 0.0]]
    np.testing.assert_allclose(composition(images), expected, rtol=1e-12, atol=1e-12)


def test_a_frame_is_all_in_the_border() -> None:
    images = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.float64)
    images[0, :, :, :EDGE] = 1  # one side of it
    images[1, :, EDGE:-EDGE, EDGE:-EDGE] = 1  # all of it
    found = composition(images)
    inside = (SIZE - 2 * EDGE) ** 2
    p, side = EDGE / SIZE, EDGE * SIZE / (SIZE**2 - inside)
    assert float(found[0, 3]) == pytest.approx(side * (1 - side) / (p * (1 - p)))
    assert float(found[1, 3]) == 0


@pytest.mark.parametrize(("contrast", "brightness"), [(5.0, 0.0), (1.0, -3.0), (0.01, 1.0), (-1.0, 0.0), (-2.0, 1.0)])
def test_contrast_brightness_and_negatives_change_nothing(contrast: float, brightness: float) -> None:
    images = _images()
    torch.testing.assert_close(composition(contrast * images + brightness), composition(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, -1.0, 0.3, 1 / 3, 255.0, 1e-30])
def test_a_blank_image_has_zeros(level: float, dtype: torch.dtype) -> None:
    """Exactly: rounding must not give it a composition, nor a division by nothing a NaN."""
    for size in (8, 24, 96):
        assert torch.equal(composition(torch.full((2, 3, size, size), level, dtype=dtype)), torch.zeros(2, 4).to(dtype))


def test_one_pixel_that_is_one_level_off_is_no_blank() -> None:
    levels = torch.full((1, 1, 224, 224), 255.0)
    levels[0, 0, 112, 112] = 254
    found = composition(levels / 127.5 - 1)
    # Far above both limits.
    assert found[0].tolist() == pytest.approx([LARGEST, math.log(LARGEST**2), 4.0, 0.0], rel=0.01)


def test_ranges() -> None:
    """Whatever the image: a single spike, noise, a ramp, stripes."""
    spike = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.float64)
    spike[:, :, SIZE // 2, SIZE // 2] = 1
    corner = torch.zeros_like(spike)
    corner[:, :, 0, 0] = 1
    stripes = (torch.arange(SIZE) % 2).double().expand(1, 3, SIZE, SIZE)
    found = composition(torch.cat([spike, corner, stripes, _images()]))
    assert found.isfinite().all()
    assert float(found.min()) >= 0
    assert float(found[:, [0, 2, 3]].max()) == LARGEST
    assert float(found[:, 1].max()) == pytest.approx(math.log(LARGEST**2))
    # Two levels in equal parts have the least kurtosis there is, 1.
    assert found[2].tolist() == pytest.approx([0, 0, 1, 1], abs=1e-12)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images, order = _images(), torch.tensor([5, 2, 7, 0, 1, 6, 4, 3])
    whole = composition(images)
    torch.testing.assert_close(composition(images[order]), whole[order], rtol=1e-12, atol=0)
    for i, image in enumerate(images):
        torch.testing.assert_close(composition(image.unsqueeze(0))[0], whole[i], rtol=1e-12, atol=0)
    assert whole.std(dim=0).min() > 0.01
