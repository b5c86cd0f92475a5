"""Random functions against the kernel that they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from bdw.weighting.random_functions import MAX_WIDTH, RandomFunctions, narrowed


def _numbers(count: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _moments(descriptions: Tensor) -> tuple[Tensor, Tensor]:
    return descriptions.double().mean(dim=0), descriptions.double().square().mean(dim=0)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("widths", [(6,), (5, 2), (3, 1, 4)])
def test_inner_products_are_the_mean_of_gaussians_of_the_parts(widths: tuple[int, ...], sharpness: float) -> None:
    """exp(-s^2 |z - z'|^2 / 2d) by scipy's distances, with an error that falls as one over the root of their number."""
    descriptions = 3 * _numbers(30, sum(widths)) - 2
    standardised = ((descriptions - descriptions.mean(dim=0)) / descriptions.std(dim=0, correction=0)).numpy()
    parts = np.split(standardised, np.cumsum(widths)[:-1], axis=1)
    kernel = np.mean([np.exp(-(sharpness**2) * cdist(z, z, "sqeuclidean") / (2 * z.shape[1])) for z in parts], axis=0)
    count = 60_000
    values = RandomFunctions(widths, count, sharpness=sharpness)(descriptions, *_moments(descriptions)).numpy()
    waves, constant = values[:, :-1], values[:, -1]
    assert (constant == 1).all()
    # A product of two waves has a variance of at most 1.5 / count^2; five standard deviations over 900 pairs.
    assert np.abs(waves @ waves.T - kernel).max() < 5 * math.sqrt(1.5 / count)


def test_every_part_has_as_many_functions_as_any_other() -> None:
    """Those of a part are what moves with it alone."""
    widths, count = (2, 3, 4), 11
    functions = RandomFunctions(widths, count)
    assert functions.widths == widths
    assert functions.count == count
    base = _numbers(4, sum(widths))
    mean, squares = torch.zeros(9, dtype=torch.float64), torch.ones(9, dtype=torch.float64)
    moved_by = []
    for begin, width in zip((0, 2, 5), widths, strict=True):
        other = base.clone()
        other[:, begin : begin + width] += 1
        moved_by.append((functions(other, mean, squares) != functions(base, mean, squares)).any(dim=0)[:-1])
    counts = torch.stack(moved_by).sum(dim=1).tolist()
    assert counts == [4, 4, 3]
    assert (torch.stack(moved_by).sum(dim=0) == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 1.7, -1e4, 1e-12])
def test_a_number_that_never_moves_tells_nothing(value: float, dtype: torch.dtype) -> None:
    moving = _numbers(50, 3).to(dtype)
    never = torch.full((50, 1), value, dtype=dtype)
    descriptions = torch.cat([moving, never], dim=1)
    functions, moments = RandomFunctions((4,), 64, dtype=dtype), _moments(descriptions)
    found = functions(descriptions, *moments)
    assert found.isfinite().all()
    assert found.dtype == dtype
    # Neither by rounding nor by another value later.
    later = torch.cat([moving, 2 * never + 1], dim=1)
    assert torch.equal(functions(later, *moments), found)
    assert not torch.equal(functions(descriptions + 1, *moments), found)


def test_units_and_origins_do_not_matter() -> None:
    descriptions, functions = _numbers(40, 5), RandomFunctions((3, 2), 50)
    scale = torch.tensor([1e-6, 1e6, -1.0, 3.0, 0.1], dtype=torch.float64).abs()
    other = descriptions * scale + torch.tensor([0, 1e6, 5, -7, 0.1], dtype=torch.float64)
    torch.testing.assert_close(
        functions(other, *_moments(other)), functions(descriptions, *_moments(descriptions)), rtol=1e-7, atol=1e-8
    )


def test_they_are_the_same_in_every_run() -> None:
    """Whatever the global generator's state, and none of it is used up."""
    descriptions = _numbers(6, 5)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(RandomFunctions((3, 2), 20)(descriptions, *_moments(descriptions)))
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(*found)
    single = RandomFunctions((3, 2), 20, dtype=torch.float32)(descriptions, *_moments(descriptions))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found[0], rtol=0, atol=1e-6)


def test_narrowing_keeps_distances() -> None:
    """Johnson and Lindenstrauss: with k dimensions a squared distance varies by its own size times sqrt(2 / k)."""
    wide = _numbers(60, 512, seed=5).float()
    narrow = narrowed(wide)
    assert narrow.shape == (60, MAX_WIDTH)
    ratios = (torch.pdist(narrow) / torch.pdist(wide)).square()
    assert float(ratios.mean()) == pytest.approx(1, abs=0.05)
    assert float(ratios.std()) == pytest.approx(math.sqrt(2 / MAX_WIDTH), rel=0.2)
    assert torch.equal(narrowed(wide[:, :MAX_WIDTH]), wide[:, :MAX_WIDTH])
    assert torch.equal(narrowed(wide), narrow)
    torch.testing.assert_close(narrowed(wide.double()).float(), narrow, rtol=1e-4, atol=1e-4)
