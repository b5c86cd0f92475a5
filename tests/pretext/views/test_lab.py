"""CIE L*a*b* against published values and another library's."""

from __future__ import annotations

import pytest
import torch

from bdw.pretext.views.lab import lab_to_rgb, rgb_to_lab

PUBLISHED = {
    (0, 0, 0): (0, 0, 0),
    (255, 255, 255): (100, 0, 0),
    (255, 0, 0): (53.2408, 80.0925, 67.2032),
    (0, 255, 0): (87.7347, -86.1827, 83.1793),
    (0, 0, 255): (32.2970, 79.1875, -107.8602),
    (128, 128, 128): (53.5850, 0, 0),
}
"""From brucelindbloom.com's colour calculator (sRGB, D65, no adaptation)."""
OF_SCIKIT_IMAGE = {
    (10, 200, 77): (70.80632938977291, -66.62549872016466, 48.859933203759944),
    (3, 2, 1): (0.586868916585928, 0.12242067630680031, 0.4706280574190369),
    (250, 128, 114): (67.26400711684238, 45.22553668401586, 29.096488828299762),
}
"""`skimage.color.rgb2lab` of scikit-image 0.26, whose matrix has six digits."""


def _image(colours: list[tuple[int, int, int]]) -> torch.Tensor:
    return torch.tensor(colours, dtype=torch.float64).T[None, :, None, :] / 255


@pytest.mark.parametrize(("known", "tolerance"), [(PUBLISHED, 6e-5), (OF_SCIKIT_IMAGE, 5e-3)])
def test_values_are_those_known(known: dict[tuple[int, int, int], tuple[float, ...]], tolerance: float) -> None:
    found = rgb_to_lab(_image(list(known)))
    expected = torch.tensor(list(known.values()), dtype=torch.float64).T[None, :, None, :]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_grey_has_no_colour() -> None:
    grey = torch.linspace(0, 1, 256, dtype=torch.float64).expand(1, 3, 256)
    assert float(rgb_to_lab(grey)[:, 1:].abs().max()) < 1e-12


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_every_colour_comes_back(dtype: torch.dtype, tolerance: float) -> None:
    levels = torch.linspace(0, 1, 24, dtype=dtype)
    colours = torch.cartesian_prod(levels, levels, levels)
    found = lab_to_rgb(rgb_to_lab(colours))
    assert found.dtype == dtype
    torch.testing.assert_close(found, colours, rtol=0, atol=tolerance)


def test_a_colour_that_srgb_has_not_is_clamped() -> None:
    found = lab_to_rgb(torch.tensor([[50.0, 120.0, 0.0], [100.0, 0.0, 90.0]], dtype=torch.float64))
    assert bool(((found >= 0) & (found <= 1)).all())
    assert float(found[0, 1]) == 0
    assert float(found[1, 0]) == pytest.approx(1, abs=1e-12)
