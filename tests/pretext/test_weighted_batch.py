"""Losses of a weighted batch: what they are for equal, scaled, and no weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bdw.pretext.weighted_batch import weighted_batch_loss, weighted_moments

ROWS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _of_shares(shares: Tensor) -> Tensor:
    centred, variances = weighted_moments(ROWS, shares)
    return variances.sqrt().sum() + (shares @ centred.pow(3)).sum()


def _loss(weights: Tensor) -> Tensor:
    return weighted_batch_loss(_of_shares, weights)


def test_moments_are_numpys() -> None:
    weights = torch.linspace(0.2, 1.5, 6, dtype=torch.float64)
    centred, variances = weighted_moments(ROWS, weights / weights.sum())
    means = np.average(ROWS.numpy(), axis=0, weights=weights.numpy())
    expected = np.average((ROWS.numpy() - means) ** 2, axis=0, weights=weights.numpy())
    np.testing.assert_allclose(centred.numpy(), ROWS.numpy() - means, rtol=0, atol=1e-14)
    np.testing.assert_allclose(variances.numpy(), expected, rtol=1e-12)


def test_it_grows_with_the_weights_and_is_the_plain_loss_where_they_are_1() -> None:
    equal = torch.full((6,), 1 / 6, dtype=torch.float64)
    assert float(_loss(torch.ones(6, dtype=torch.float64))) == pytest.approx(float(_of_shares(equal)), rel=1e-12)
    weights = torch.linspace(0.2, 1.5, 6, dtype=torch.float64)
    assert float(_loss(3 * weights)) == pytest.approx(3 * float(_loss(weights)), rel=1e-12)


def test_an_instance_of_weight_0_is_as_if_it_were_not_there() -> None:
    weights = torch.tensor([1.0, 0.5, 0.2, 0.7, 0.0, 0.9], dtype=torch.float64)
    found = float(_loss(weights)) * 6
    others = weights > 0

    def without(shares: Tensor) -> Tensor:
        centred, variances = weighted_moments(ROWS[others], shares)
        return variances.sqrt().sum() + (shares @ centred.pow(3)).sum()

    assert found == pytest.approx(float(weighted_batch_loss(without, weights[others])) * 5, rel=1e-12)


def test_without_any_weight_it_is_0_and_its_derivatives_are_those_at_equal_weights() -> None:
    """By central differences at equal weights of two sizes."""
    none = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    loss = _loss(none)
    assert float(loss.detach()) == 0
    (found,) = torch.autograd.grad(loss, none)
    for size in (0.01, 2.0):
        for i in range(6):
            step = torch.zeros(6, dtype=torch.float64)
            step[i] = size * 1e-5
            equal = torch.full((6,), size, dtype=torch.float64)
            difference = (_loss(equal + step) - _loss(equal - step)) / (2 * size * 1e-5)
            assert float(found[i]) == pytest.approx(float(difference), rel=1e-7)


def test_without_any_weight_no_gradient_goes_into_the_rows() -> None:
    rows = ROWS.clone().requires_grad_()
    zeros = torch.zeros(6, dtype=torch.float64)
    loss = weighted_batch_loss(lambda shares: weighted_moments(rows, shares)[1].sqrt().sum(), zeros)
    (gradient,) = torch.autograd.grad(loss, rows)
    assert float(gradient.abs().max()) < 1e-15
